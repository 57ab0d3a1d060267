"""Operators that make, take away or move pixels and compute nothing of channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from archspec.operators.operator import Attrs, MindSpore, Operator, Step, Widths, always
from archspec.operators.shapes import Shape, ShapeFault, expect_map, sizes
from archspec.settings import Flag, SpecModel, broken_rule


class UpsampleStep(SpecModel):
    """Each pixel repeated, or interpolated between."""

    factor: Annotated[int, Field(strict=True, ge=2, le=32)] = 2
    """How many times higher and wider."""
    mode: Literal["nearest", "bilinear"] = "nearest"
    """Whether pixels are repeated or interpolated between."""
    align_corners: Flag = False
    """Of `bilinear` alone: the first and last pixels stay where they are,
    else the edges of the map do."""

    @model_validator(mode="after")
    def _check_align_corners(self) -> Self:
        if self.align_corners and self.mode != "bilinear":
            rule = f"is a setting of mode bilinear, not of {self.mode}"
            raise broken_rule("align_corners", f"align_corners (=true) {rule}")
        return self


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


def _upsample_attrs(upsample: UpsampleStep, ins: int, known: Widths) -> Attrs:
    attrs = {"factor": upsample.factor, "mode": upsample.mode}
    return {**attrs, "align_corners": True} if upsample.align_corners else attrs


def _upsample_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    channels, height, width = expect_map(inputs[0])
    return (channels, height * attrs["factor"], width * attrs["factor"])


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


def _crop_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    channels, *pixels = expect_map(inputs[0])
    if any(size < wanted for size, wanted in zip(pixels, attrs["size"], strict=True)):
        raise ShapeFault(f"cannot be cropped from {sizes(pixels)} to {sizes(attrs['size'])}")
    return (channels, *attrs["size"])


def _unusual_upsample(attrs: Attrs, ins: str) -> Mapping[str, str]:
    mode = "" if attrs["mode"] == "nearest" else f', "{attrs["mode"]}"'
    return {"settings": mode + (", align_corners=True" if attrs.get("align_corners") else "")}


# Not ops.interpolate: it asks for the rank, so that a model file with a free batch cannot be run.
_UPSAMPLE = '''\
class Upsample(nn.Cell):
    """Higher and wider by `factor`: pixels repeated, or interpolated between."""

    def __init__(self, factor, mode="nearest", align_corners=False):
        super().__init__()
        self.factor = factor
        self.resize = ops.ResizeNearestNeighborV2(half_pixel_centers=True)
        if mode == "bilinear":
            self.resize = ops.ResizeBilinearV2(align_corners, not align_corners)

    def construct(self, x):
        return self.resize(x, (x.shape[2] * self.factor, x.shape[3] * self.factor))
'''
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
        MindSpore(
            cell="{name}({factor}{settings})",
            arguments=_unusual_upsample,
            definition=_UPSAMPLE,
            name="Upsample",
        ),
        required=("factor", "mode"),
        defaults={"align_corners": False},
        enlarges=True,
        resizes=True,
        keeps_sign=True,
        keeps_logits=True,
        step=Step(
            "upsample",
            UpsampleStep,
            _upsample_attrs,
            said={name: name for name in ("factor", "mode", "align_corners")},
            note=(
                "`mode` may be `bilinear`; `align_corners`, of that alone: the first and last "
                "pixels stay where they are"
            ),
        ),
    ),
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
        step=Step(
            "pixel_unshuffle",
            PixelUnshuffleStep,
            _shuffle_attrs,
            said={"factor": "factor"},
            note="what undoes it: C x factor^2 channels; factor must divide height and width",
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
