"""Transposed convolutions, which enlarge a map by filters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from archspec.operators.attributes import Attrs, Widths, always
from archspec.operators.convolutions import add_filters, filters_of
from archspec.operators.file_node import Feature, FileNode
from archspec.operators.language_step import Step
from archspec.operators.mindspore_writing import MindSpore
from archspec.operators.named_widths import Width, width_of
from archspec.operators.onnx_writing import OnnxWriter, window_of
from archspec.operators.operator import Operator
from archspec.operators.shape_rules import (
    Shape,
    ShapeFault,
    expect_channels,
    expect_map,
    expect_outputs,
    weight_and_bias,
)
from archspec.settings import Flag, Padding, SpecModel, Stride, Window


class ConvTransposeStep(SpecModel):
    """A transposed convolution, which enlarges height and width by its stride."""

    width: Width | None = None
    """Output channels; as many as it reads where absent."""
    kernel: Window
    """Pixels of the square window."""
    stride: Stride
    """How many times larger the result is; exactly so where kernel = stride + 2 x padding."""
    padding: Padding = 0
    """Pixels that are cut from each side of the result."""
    bias: Flag = False
    """Whether it adds a number to each channel."""


def _conv_transpose_attrs(conv: ConvTransposeStep, ins: int, known: Widths) -> Attrs:
    attrs = {
        "in_channels": ins,
        "out_channels": ins if conv.width is None else width_of(conv.width, known),
        "kernel": conv.kernel,
        "stride": conv.stride,
        "padding": conv.padding,
    }
    return {**attrs, "bias": True} if conv.bias else attrs


def _conv_transpose_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    expect_channels(attrs["in_channels"], expect_map(inputs[0]))
    expect_outputs(attrs)
    reach = attrs["kernel"] - 2 * attrs["padding"]
    height, width = ((size - 1) * attrs["stride"] + reach for size in inputs[0][1:])
    if height < 1 or width < 1:
        raise ShapeFault(f"padding (={attrs['padding']}) leaves no pixel")
    return (attrs["out_channels"], height, width)


def _conv_transpose_tensors(attrs: Attrs) -> Mapping[str, Shape]:
    kernel, outs = attrs["kernel"], attrs["out_channels"]
    return weight_and_bias(
        (attrs["in_channels"], outs, kernel, kernel), outs, attrs.get("bias", False)
    )


def _conv_transpose_macs(attrs: Attrs, inputs: Sequence[Shape], output: Shape) -> int:
    return prod(_conv_transpose_tensors(attrs)["weight"]) * prod(inputs[0][1:])


def _read_conv_transpose(node: FileNode) -> Feature:
    found = node.enlarging_filters()
    return add_filters(node, "conv_transpose", found, found.weights[0].dims[1])


def _write_conv_transpose(node: OnnxWriter) -> str:
    return node.add("ConvTranspose", *filters_of(node), **window_of(node))


_WINDOW = ("kernel", "stride", "padding")

ROWS = (
    Operator(
        "conv_transpose",
        _conv_transpose_shape,
        MindSpore(
            cell="nn.Conv2dTranspose({ins}, {outs}, {kernel}, stride={stride}, "
            'pad_mode="pad", padding={padding}, has_bias={bias})',
            he_normal="nn.Conv2dTranspose",
        ),
        tensors=_conv_transpose_tensors,
        macs=_conv_transpose_macs,
        carries=False,
        required=("in_channels", "out_channels", *_WINDOW),
        defaults={"bias": False, "weights_of": None},
        has_filters=True,
        folds_norm=True,
        mixes=always,
        axis_read=0,
        enlarges=True,
        resizes=True,
        other_names=("deconv", "deconvolution", "conv2d_transpose"),
        step=Step(
            "conv_transpose",
            ConvTransposeStep,
            _conv_transpose_attrs,
            base="conv",
            said={name: name for name in (*_WINDOW, "bias")},
            widths={"width": "out_channels"},
            note=(
                "n pixels become (n - 1) x stride + kernel - 2 x padding; as wide as what it reads "
                "where no width is said"
            ),
        ),
        mindir={"Conv2DTranspose": _read_conv_transpose},
        onnx={"ConvTranspose": _read_conv_transpose},
        write_onnx=_write_conv_transpose,
    ),
)
