"""Operators that take a part: some pixels, or some channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from archspec.operators.attributes import Attrs, Widths, always
from archspec.operators.language_step import Step
from archspec.operators.mindspore_writing import MindSpore
from archspec.operators.named_widths import Border, Width, width_of
from archspec.operators.onnx_writing import OnnxWriter
from archspec.operators.operator import Operator
from archspec.operators.shape_rules import Shape, ShapeFault, expect_map, sizes
from archspec.settings import SpecModel


class SliceStep(SpecModel):
    """Some of the channels: from `start`, counted from 0, up to but without `stop`."""

    start: Border | None = None
    """The first where absent."""
    stop: Width | None = None
    """All the others where absent."""


def _slice_attrs(step: SliceStep, ins: int, known: Widths) -> Attrs:
    start = 0 if step.start is None else width_of(step.start, known)
    stop = ins if step.stop is None else width_of(step.stop, known)
    return {"start": start, "stop": stop}


def _crop_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    channels, *pixels = expect_map(inputs[0])
    if any(size < wanted for size, wanted in zip(pixels, attrs["size"], strict=True)):
        raise ShapeFault(f"cannot be cropped from {sizes(pixels)} to {sizes(attrs['size'])}")
    return (channels, *attrs["size"])


def _slice_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    channels = inputs[0][0]
    if not 0 <= attrs["start"] < attrs["stop"] <= channels:
        raise ShapeFault(f"takes channels {attrs['start']} to {attrs['stop']} of {channels}")
    return (attrs["stop"] - attrs["start"], *inputs[0][1:])


def _count_sliced(attrs: Attrs, inputs: Sequence[int]) -> int:
    return int(attrs["stop"] - attrs["start"])


def _takes_all(attrs: Attrs, channels: int) -> bool:
    return bool(attrs["start"] == 0 and attrs["stop"] == channels)


def _slice_reach(attrs: Attrs, parts: Sequence[Any]) -> Any:
    return parts[0].sliced(attrs["start"], attrs["stop"])


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
_SLICE = '''\
class Slice(nn.Cell):
    """Channels `start` to `stop`, the latter left out."""

    def __init__(self, start, stop):
        super().__init__()
        self.start, self.stop = start, stop

    def construct(self, x):
        return x[:, self.start : self.stop]
'''


def _write_crop(node: OnnxWriter) -> str:
    (top, left), (height, width) = node.attrs["corner"], node.attrs["size"]
    node.shape()  # a cutout of fixed size fits no other map
    return _write_cut(node, [top, left], [top + height, left + width], [2, 3])


def _write_slice(node: OnnxWriter) -> str:
    return _write_cut(node, [node.attrs["start"]], [node.attrs["stop"]], [1])


def _write_cut(node: OnnxWriter, *borders: list[int]) -> str:
    """From where, up to where, and along which axes."""
    return node.add("Slice", *node.inputs, *map(node.constant, borders))


ROWS = (
    Operator(
        "crop",
        _crop_shape,
        MindSpore(
            cell="{name}({size}, {corner})", varying=("size",), definition=_CROP, name="Crop"
        ),
        required=("size", "corner"),
        write_onnx=_write_crop,
        cuts_pixels=True,
        keeps_sign=True,
        keeps_logits=True,
        hint="only what is larger can be cropped: enlarge by more",
    ),
    Operator(
        "slice",
        _slice_shape,
        MindSpore(
            cell="{name}({start}, {stop})",
            varying=("start", "stop"),
            definition=_SLICE,
            name="Slice",
        ),
        channels=_count_sliced,
        is_idle=_takes_all,
        required=("start", "stop"),
        write_onnx=_write_slice,
        of_one_channel={"start": 0, "stop": 1},
        tells_places=always,
        reach=_slice_reach,
        keeps_sign=True,
        keeps_logits=True,
        hint="at least one channel must be left of those there are",
        step=Step(
            "slice",
            SliceStep,
            _slice_attrs,
            widths={"start": "start", "stop": "stop"},
            usual=lambda said: {"start": 0, "stop": "in"},
            note=(
                "from the first channel to the last where nothing is said; both are widths: `stop: "
                "in/2` keeps the first half, `start: in/2` the others"
            ),
        ),
    ),
)
