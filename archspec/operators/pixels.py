"""Operators that make or take away pixels and compute nothing of channels: enlarging and cropping."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from archspec.operators.operator import Attrs, MindSpore, Operator, Step, Widths
from archspec.operators.shapes import Shape, ShapeFault, expect_map, sizes
from archspec.settings import SpecModel


class UpsampleStep(SpecModel):
    """Each pixel repeated, or interpolated between."""

    factor: Annotated[int, Field(strict=True, ge=2, le=32)] = 2
    """How many times higher and wider."""
    mode: Literal["nearest", "bilinear"] = "nearest"
    """Whether pixels are repeated or interpolated between."""


def _upsample_attrs(upsample: UpsampleStep, ins: int, known: Widths) -> Attrs:
    return {"factor": upsample.factor, "mode": upsample.mode}


def _upsample_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    channels, height, width = expect_map(inputs[0])
    return (channels, height * attrs["factor"], width * attrs["factor"])


def _crop_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    channels, *pixels = expect_map(inputs[0])
    if any(size < wanted for size, wanted in zip(pixels, attrs["size"], strict=True)):
        raise ShapeFault(f"cannot be cropped from {sizes(pixels)} to {sizes(attrs['size'])}")
    return (channels, *attrs["size"])


_UPSAMPLED = (
    'ops.interpolate({x}, scale_factor={factor}.0, mode="{mode}", recompute_scale_factor=True)'
)
_CROP = '''\
class Crop(nn.Cell):
    """A cutout of `size` (rows, columns), its upper left pixel at `corner`."""

    def __init__(self, size, corner):
        super().__init__()
        self.top, self.left = corner
        self.bottom, self.right = corner[0] + size[0], corner[1] + size[1]

    def construct(self, x):
        return x[:, :, self.top : self.bottom, self.left : self.right]
'''

ROWS = (
    Operator(
        "upsample",
        _upsample_shape,
        MindSpore(call=_UPSAMPLED),
        required=("factor", "mode"),
        enlarges=True,
        resizes=True,
        keeps_sign=True,
        keeps_logits=True,
        step=Step(
            "upsample",
            UpsampleStep,
            _upsample_attrs,
            said={"factor": "factor", "mode": "mode"},
        ),
    ),
    Operator(
        "crop",
        _crop_shape,
        MindSpore(cell="{name}({size}, {corner})", definition=_CROP, name="Crop"),
        required=("size", "corner"),
        keeps_sign=True,
        keeps_logits=True,
        hint="only what is larger can be cropped: enlarge by more",
    ),
)
