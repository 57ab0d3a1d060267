"""The dense layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from archspec.operators.attributes import Attrs, Widths, always
from archspec.operators.file_node import Feature, FileNode, Weight
from archspec.operators.language_step import Step
from archspec.operators.mindspore_writing import MindSpore
from archspec.operators.named_widths import Width, width_of
from archspec.operators.onnx_writing import OnnxWriter
from archspec.operators.operator import Operator
from archspec.operators.shape_rules import (
    Shape,
    ShapeFault,
    expect_channels,
    expect_outputs,
    weight_and_bias,
)
from archspec.settings import Flag, SpecModel


class DenseStep(SpecModel):
    """A dense layer over the channels."""

    width: Width = "out"
    """Output channels."""
    bias: Flag = True
    """Whether it adds a number to each channel."""


def _dense_attrs(dense: DenseStep, ins: int, known: Widths) -> Attrs:
    attrs = {"in_channels": ins, "out_channels": width_of(dense.width, known)}
    return attrs if dense.bias else {**attrs, "bias": False}


def _dense_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    if len(inputs[0]) != 1:
        raise ShapeFault(f"needs a vector (C,), reads {inputs[0]}")
    expect_channels(attrs["in_channels"], inputs[0])
    expect_outputs(attrs)
    return (attrs["out_channels"],)


def _dense_tensors(attrs: Attrs) -> Mapping[str, Shape]:
    outs = attrs["out_channels"]
    return weight_and_bias((outs, attrs["in_channels"]), outs, attrs.get("bias", True))


def _dense_macs(attrs: Attrs, inputs: Sequence[Shape], output: Shape) -> int:
    return int(attrs["in_channels"] * attrs["out_channels"])


def _add_dense(
    node: FileNode, x: Feature, weight: Weight, is_by_rows: bool, bias: Weight = None
) -> Feature:
    """A matrix has a row for each output, or a column; there may be a bias."""
    outs, ins = weight.dims if is_by_rows else weight.dims[::-1]
    if ins != x.shape[1]:
        node.refuse(f"is made for {ins} channels, reads {x.shape}")
    attrs = {"in_channels": ins, "out_channels": outs}
    if bias is None:
        attrs["bias"] = False
    by_rows = weight if is_by_rows else node.turned(weight)
    made = node.op("dense", [x], (x.shape[0], outs), [by_rows], **attrs)
    if bias is not None:
        node.add_bias(made, bias)
    return made


def _onnx_matmul(node: FileNode) -> Feature:
    """A bias that is added to it becomes its own."""
    weight = node.weight(1, 2)
    return _add_dense(node, node.feature(dims=2), weight, is_by_rows=False)


def _onnx_gemm(node: FileNode) -> Feature:
    a = node.attrs
    if a.get("alpha", 1.0) != 1 or a.get("transA") or (node.has(2) and a.get("beta", 1.0) != 1):
        node.refuse("scales or transposes what it multiplies")
    weight, is_by_rows = node.weight(1, 2), bool(a.get("transB"))
    outs = weight.dims[0 if is_by_rows else 1]
    bias = node.inputs[2] if node.has(2) else None
    if bias is not None and not (node.is_weight(bias) and bias.dims in ((outs,), (1, outs))):
        node.refuse(f"adds a bias that is not one value for each of {outs} outputs")
    return _add_dense(node, node.feature(dims=2), weight, is_by_rows, bias)


def _mindir_matmul(node: FileNode) -> Feature:
    x, weight = node.feature(dims=2), node.weight(1, 2)
    if node.option("transpose_a", 2, False):
        node.refuse("transposes what it multiplies")
    return _add_dense(node, x, weight, bool(node.option("transpose_b", 3, False)))


def _mindir_dense(node: FileNode) -> Feature:
    x, weight = node.feature(dims=2), node.weight(1, 2)
    bias = node.inputs[2] if node.has(2) and node.is_weight(node.inputs[2]) else None
    return _add_dense(node, x, weight, is_by_rows=True, bias=bias)


def _write_dense(node: OnnxWriter) -> str:
    bias = [node.tensor("bias")] if node.attrs["bias"] else []
    return node.add("Gemm", node.inputs[0], node.tensor("weight"), *bias, transB=1)


ROWS = (
    Operator(
        "dense",
        _dense_shape,
        MindSpore(cell="nn.Dense({ins}, {outs}, has_bias={bias})", he_uniform="nn.Dense"),
        tensors=_dense_tensors,
        macs=_dense_macs,
        carries=False,
        required=("in_channels", "out_channels"),
        defaults={"bias": True, "weights_of": None},
        has_filters=True,
        folds_norm=True,
        mixes=always,
        hint="a global_pool before it gives a vector",
        other_names=("linear", "fc"),
        step=Step(
            "dense",
            DenseStep,
            _dense_attrs,
            said={"bias": "bias"},
            widths={"width": "out_channels"},
            note="after `global_pool`",
        ),
        mindir={
            **dict.fromkeys(("MatMul", "MatMulExt"), _mindir_matmul),
            "Dense": _mindir_dense,
        },
        onnx={"MatMul": _onnx_matmul, "Gemm": _onnx_gemm},
        write_onnx=_write_dense,
        onnx_of_int8="Gemm",
    ),
)
