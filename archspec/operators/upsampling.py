"""Upsampling: pixels repeated, or interpolated between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from archspec.operators.attributes import Attrs, Widths
from archspec.operators.file_node import Feature, FileNode, Read
from archspec.operators.language_step import Step
from archspec.operators.mindspore_writing import MindSpore
from archspec.operators.onnx_writing import OnnxWriter
from archspec.operators.operator import Operator
from archspec.operators.shape_rules import Shape, expect_map
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


def _upsample_attrs(upsample: UpsampleStep, ins: int, known: Widths) -> Attrs:
    attrs = {"factor": upsample.factor, "mode": upsample.mode}
    return {**attrs, "align_corners": True} if upsample.align_corners else attrs


def _upsample_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    channels, height, width = expect_map(inputs[0])
    return (channels, height * attrs["factor"], width * attrs["factor"])


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


# Of an ONNX: which pixel a pixel of the larger map is taken from, coordinates and rounding.
_NEAREST = frozenset(
    {
        ("asymmetric", "floor"),
        ("half_pixel", "round_prefer_floor"),
        ("half_pixel", "round_prefer_ceil"),
    }
)
_BETWEEN_MIDDLES = frozenset({"half_pixel", "pytorch_half_pixel"})
_BETWEEN_CORNERS = "align_corners"


def _onnx_resize(node: FileNode) -> Feature:
    """Before opset 11 a node says neither coordinates nor rounding."""
    x, a = node.feature(dims=4), node.attrs
    is_old = node.kind == "Upsample" or node.is_before(11)
    factor = node.enlarging_factor(x)
    mode = node.text("mode", "nearest")
    place = "asymmetric" if is_old else a.get("coordinate_transformation_mode", "half_pixel")
    rounding = "floor" if is_old else a.get("nearest_mode", "round_prefer_floor")
    is_nearest = mode == "nearest" and (place, rounding) in _NEAREST
    is_between = mode == "linear" and place in (*_BETWEEN_MIDDLES, _BETWEEN_CORNERS)
    if not (is_nearest or is_between):
        node.refuse(f"resizes with mode {mode}, coordinates {place}, rounding {rounding}")
    kind = "nearest" if is_nearest else "bilinear"
    return _add_upsample(node, x, factor, kind, place == _BETWEEN_CORNERS)


def _mindir_resize(mode: str) -> Read:
    """Reads what enlarges a map, in a mode that the primitive's name says."""

    def read(node: FileNode) -> Feature:
        x = node.feature(dims=4)
        factor = node.enlarging_factor(x)
        aligned = bool(node.option("align_corners", 2, False))
        halves = bool(node.option("half_pixel_centers", 3, False))
        is_nearest = mode == "nearest" and not aligned
        is_between = mode == "bilinear" and aligned != halves
        if not (is_nearest or is_between):
            between = "the middles of pixels nor between corners"
            node.refuse(f"interpolates neither between {between}")
        return _add_upsample(node, x, factor, mode, aligned)

    return read


def _add_upsample(node: FileNode, x: Feature, factor: int, mode: str, is_aligned: bool) -> Feature:
    if factor == 1:
        return x
    attrs: dict[str, Any] = {"factor": factor, "mode": mode}
    if is_aligned:
        attrs["align_corners"] = True
    shape = (*x.shape[:2], x.shape[2] * factor, x.shape[3] * factor)
    return node.op("upsample", [x], shape, **attrs)


def _write_upsample(node: OnnxWriter) -> str:
    factor = float(node.attrs["factor"])
    scales = node.constant([1.0, 1.0, factor, factor])
    how = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    if node.attrs["mode"] == "nearest":
        how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric"}
        how["nearest_mode"] = "floor"
    if node.attrs["align_corners"]:
        how["coordinate_transformation_mode"] = _BETWEEN_CORNERS
    return node.add("Resize", *node.inputs, "", scales, **how)


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
        other_names=("interpolate", "resize", "upsampling2d"),
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
        mindir={
            "ResizeNearestNeighborV2": _mindir_resize("nearest"),
            "ResizeBilinearV2": _mindir_resize("bilinear"),
        },
        onnx=dict.fromkeys(("Resize", "Upsample"), _onnx_resize),
        write_onnx=_write_upsample,
    ),
)
