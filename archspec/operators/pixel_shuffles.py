"""Pixel shuffles: channels that become pixels of a square, and pixels that become channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from archspec.operators.attributes import Attrs, Widths, always
from archspec.operators.file_node import Feature, FileNode
from archspec.operators.language_step import Step
from archspec.operators.mindspore_writing import MindSpore
from archspec.operators.onnx_writing import OnnxWriter
from archspec.operators.operator import Operator
from archspec.operators.shape_rules import Shape, ShapeFault, expect_map
from archspec.settings import SpecModel


class PixelShuffleStep(SpecModel):
    """Each `factor` x `factor` channels in a row become the pixels
    of a square (Shi et al. 2016).
    """

    factor: Annotated[int, Field(strict=True, ge=2, le=32)] = 2
    """How many times higher and wider."""


class PixelUnshuffleStep(SpecModel):
    """What undoes a pixel shuffle: the pixels of each square become channels in a row."""

    factor: Annotated[int, Field(strict=True, ge=2, le=32)] = 2
    """How many times lower and narrower."""


def _shuffle_attrs(step: PixelShuffleStep | PixelUnshuffleStep, ins: int, known: Widths) -> Attrs:
    return {"factor": step.factor}


def _shuffle_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    channels, height, width = expect_map(inputs[0])
    factor = attrs["factor"]
    if channels % factor**2:
        rule = f"must have a square that divides the channels (={channels})"
        raise ShapeFault(f"factor (={factor}) of the pixel shuffle {rule}")
    return (channels // factor**2, height * factor, width * factor)


def _unshuffle_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    channels, height, width = expect_map(inputs[0])
    factor = attrs["factor"]
    if height % factor or width % factor:
        rule = f"must divide {height} x {width} pixels"
        raise ShapeFault(f"factor (={factor}) of the pixel unshuffle {rule}")
    return (channels * factor**2, height // factor, width // factor)


def _divide_channels(attrs: Attrs, inputs: Sequence[int]) -> int:
    return int(inputs[0] // attrs["factor"] ** 2)


def _multiply_channels(attrs: Attrs, inputs: Sequence[int]) -> int:
    return int(inputs[0] * attrs["factor"] ** 2)


def _shuffle_reach(attrs: Attrs, parts: Sequence[Any]) -> Any:
    return parts[0].unite(attrs["factor"] ** 2)


def _unshuffle_reach(attrs: Attrs, parts: Sequence[Any]) -> Any:
    return parts[0].repeated(attrs["factor"] ** 2)


def _onnx_depth_to_space(node: FileNode) -> Feature:
    """Each factor x factor channels in a row as a square."""
    x, factor = node.feature(dims=4), node.attrs["blocksize"]
    if node.text("mode", "DCR") != "CRD":
        where = "all over the channels, as TensorFlow does (DCR)"
        node.refuse(f"takes a square's pixels from {where}")
    if factor < 1 or x.shape[1] % factor**2:
        node.refuse(f"has a factor of {factor} for {x.shape[1]} channels")
    if factor == 1:
        return x
    shape = _shuffle_shape({"factor": factor}, [x.shape[1:]])
    return node.op("pixel_shuffle", [x], (x.shape[0], *shape), factor=factor)


def _write_shuffle(node: OnnxWriter) -> str:
    return node.add("DepthToSpace", *node.inputs, blocksize=node.attrs["factor"], mode="CRD")


def _write_unshuffle(node: OnnxWriter) -> str:
    """ONNX's own takes a square's pixels all over the channels."""
    (channels, height, width), factor = node.shape(), node.attrs["factor"]
    rows, columns = height // factor, width // factor
    squares = node.constant([0, channels, rows, factor, columns, factor])
    x = node.add("Reshape", *node.inputs, squares)
    x = node.add("Transpose", x, perm=(0, 1, 3, 5, 2, 4))
    return node.add("Reshape", x, node.constant([0, channels * factor**2, rows, columns]))


ROWS = (
    Operator(
        "pixel_shuffle",
        _shuffle_shape,
        MindSpore(call="ops.pixel_shuffle({x}, {factor})"),
        channels=_divide_channels,
        required=("factor",),
        tells_places=always,
        reach=_shuffle_reach,
        undone_by="pixel_unshuffle",
        enlarges=True,
        resizes=True,
        keeps_sign=True,
        keeps_logits=True,
        hint="a convolution before it of factor x factor times as many channels",
        other_names=("depth_to_space", "shuffle_pixels", "subpixel"),
        other_keys={"upscale_factor": "factor"},  # torch
        step=Step(
            "pixel_shuffle",
            PixelShuffleStep,
            _shuffle_attrs,
            said={"factor": "factor"},
            note=(
                "each factor x factor channels in a row become the pixels of a square: C / factor^2"
                " channels"
            ),
        ),
        onnx={"DepthToSpace": _onnx_depth_to_space},
        write_onnx=_write_shuffle,
    ),
    Operator(
        "pixel_unshuffle",
        _unshuffle_shape,
        MindSpore(call="ops.pixel_unshuffle({x}, {factor})"),
        channels=_multiply_channels,
        required=("factor",),
        tells_places=always,
        reach=_unshuffle_reach,
        undone_by="pixel_shuffle",
        resizes=True,
        keeps_sign=True,
        keeps_logits=True,
        hint="a divisor of height and width",
        other_names=("space_to_depth", "unshuffle", "unshuffle_pixels"),
        other_keys={"downscale_factor": "factor"},  # torch
        step=Step(
            "pixel_unshuffle",
            PixelUnshuffleStep,
            _shuffle_attrs,
            said={"factor": "factor"},
            note="what undoes it: C x factor^2 channels; factor must divide height and width",
        ),
        write_onnx=_write_unshuffle,
    ),
)
