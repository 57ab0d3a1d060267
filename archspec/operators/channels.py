"""Operators that choose, order, scale or join channels, and sums and products of several values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field, model_validator
from typing_extensions import Self

from archspec.operators.operator import Attrs, MindSpore, Operator, Step, Widths, always
from archspec.operators.shapes import Shape, ShapeFault, expect_map, of_its_channels, sizes
from archspec.operators.widths import Border, Width, width_of
from archspec.settings import Channels, SpecModel, broken_rule


class SliceStep(SpecModel):
    """Some of the channels: from `start`, counted from 0, up to but without `stop`."""

    start: Border | None = None
    """The first where absent."""
    stop: Width | None = None
    """All the others where absent."""


class ScaleStep(SpecModel):
    """All values times a constant, or each channel times a learned factor (Touvron et al. 2021)."""

    value: Annotated[float, Field(strict=True, gt=0, le=1_000, allow_inf_nan=False)] | None = None
    """The constant, such as 0.2 in a residual; the factors are learned where it is absent."""
    initial: Annotated[float, Field(strict=True, gt=0, le=1, allow_inf_nan=False)] = 1e-6
    """What learned factors start from."""

    @model_validator(mode="after")
    def _check_one_value(self) -> Self:
        if self.value is not None and "initial" in self.model_fields_set:
            rule = "value and initial exclude each other: a constant is not learned"
            raise broken_rule("initial", rule)
        return self


class ShuffleStep(SpecModel):
    """The channels of all groups interleaved,
    so that a convolution with groups reads from each (Zhang et al. 2018).
    """

    groups: Channels
    """How many."""


def _slice_attrs(step: SliceStep, ins: int, known: Widths) -> Attrs:
    start = 0 if step.start is None else width_of(step.start, known)
    stop = ins if step.stop is None else width_of(step.stop, known)
    return {"start": start, "stop": stop}


def _scale_attrs(scale: ScaleStep, ins: int, known: Widths) -> Attrs:
    if scale.value is not None:
        return {"value": scale.value}
    return {"channels": ins, "initial": scale.initial}


def _is_learned(attrs: Attrs) -> bool:
    return "value" not in attrs


def _factors(attrs: Attrs) -> Mapping[str, Shape]:
    return {"gamma": (attrs["channels"],)} if _is_learned(attrs) else {}


def _scale_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    return of_its_channels(attrs, inputs) if _is_learned(attrs) else inputs[0]


def _is_one(attrs: Attrs, channels: int) -> bool:
    return bool(attrs.get("value") == 1)


def _shuffle_attrs(shuffle: ShuffleStep, ins: int, known: Widths) -> Attrs:
    return {"groups": shuffle.groups}


def _slice_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    channels = inputs[0][0]
    if not 0 <= attrs["start"] < attrs["stop"] <= channels:
        raise ShapeFault(f"takes channels {attrs['start']} to {attrs['stop']} of {channels}")
    return (attrs["stop"] - attrs["start"], *inputs[0][1:])


def _shuffle_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    channels, groups = expect_map(inputs[0])[0], attrs["groups"]
    if channels % groups:
        raise ShapeFault(f"groups (={groups}) of the shuffle must divide {channels} channels")
    return inputs[0]


def _concat_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    size = inputs[0][1:]
    channels = 0
    # Where layers read all before them this loop sees every direct connection: keep it bare.
    for shape in inputs:
        if shape[1:] != size:
            raise _tell_sizes_apart(inputs)
        channels += shape[0]
    return (channels, *size)


def _tell_sizes_apart(inputs: Sequence[Shape]) -> ShapeFault:
    """Return the fault of a join, with the first input of each size, the last met first."""
    first_of_size: dict[Shape, int] = {}
    for position, shape in enumerate(inputs):
        first_of_size.setdefault(shape[1:], position)
    listed = ", ".join(map(sizes, reversed(first_of_size)))
    positions = [*reversed(first_of_size.values())]
    return ShapeFault(f"joins feature maps of different size: {listed}", positions)


def _add_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    for position, shape in enumerate(inputs):
        if shape != inputs[0]:
            message = f"adds {sizes(inputs[0])} and {sizes(shape)} (C x H x W)"
            raise ShapeFault(message, (0, position))
    return inputs[0]


def _multiply_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    """The second scales the first: equal, or one value for each channel."""
    first, second = inputs
    if second not in (first, (first[0], *(1 for _ in first[1:]))):
        raise ShapeFault(f"multiplies {sizes(first)} by {sizes(second)} (C x H x W)", (0, 1))
    return first


def _count_sliced(attrs: Attrs, inputs: Sequence[int]) -> int:
    return int(attrs["stop"] - attrs["start"])


def _all_together(attrs: Attrs, inputs: Sequence[int]) -> int:
    return sum(inputs)


def _takes_all(attrs: Attrs, channels: int) -> bool:
    return bool(attrs["start"] == 0 and attrs["stop"] == channels)


def _leaves_places(attrs: Attrs, channels: int) -> bool:
    return attrs["groups"] in (1, channels)


def _slice_reach(attrs: Attrs, parts: Sequence[Any]) -> Any:
    return parts[0].sliced(attrs["start"], attrs["stop"])


def _shuffle_reach(attrs: Attrs, parts: Sequence[Any]) -> Any:
    return parts[0].shuffled(attrs["groups"])


def _one_beside_the_other(attrs: Attrs, parts: Sequence[Any]) -> Any:
    return parts[0].beside(parts[1:])


def _all_of_a_place(attrs: Attrs, parts: Sequence[Any]) -> Any:
    """Of a sum, and of a product, which depends on each of its factors."""
    return parts[0].with_all_of(parts[1:])


_LAYER_SCALE = '''\
class LayerScale(nn.Cell):
    """A learned factor for each channel of (N, C, H, W) or (N, C), `initial` at first."""

    def __init__(self, channels, initial):
        super().__init__()
        self.gamma = Parameter(initializer(initial, (channels,)))

    def construct(self, x):
        return x * (self.gamma if x.ndim == 2 else ops.reshape(self.gamma, (-1, 1, 1)))
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

ROWS = (
    Operator(
        "slice",
        _slice_shape,
        MindSpore(cell="{name}({start}, {stop})", definition=_SLICE, name="Slice"),
        channels=_count_sliced,
        is_idle=_takes_all,
        required=("start", "stop"),
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
            note=(
                "from the first channel to the last where nothing is said; both are widths: `stop: "
                "in/2` keeps the first half, `start: in/2` the others"
            ),
        ),
    ),
    Operator(
        "shuffle",
        _shuffle_shape,
        MindSpore(call="ops.channel_shuffle({x}, {groups})"),
        required=("groups",),
        is_idle=_leaves_places,
        tells_places=always,
        reach=_shuffle_reach,
        keeps_sign=True,
        keeps_logits=True,
        hint="a divisor of the channels",
        other_names=("channel_shuffle",),
        step=Step(
            "shuffle",
            ShuffleStep,
            _shuffle_attrs,
            said={"groups": "groups"},
            note="channels of the groups in turn, as ShuffleNet has it; groups must divide them",
        ),
    ),
    Operator(
        "scale",
        _scale_shape,
        MindSpore(
            cell="{name}({ins}, {initial})",
            call="{x} * {value}",
            definition=_LAYER_SCALE,
            name="LayerScale",
            has_state=_is_learned,
            is_inline=True,
        ),
        tensors=_factors,
        untold=frozenset({"initial"}),
        is_idle=_is_one,
        keeps_logits=True,
        scales_channels=True,
        remains_of=("times", "norm's scale"),
        other_names=("layer_scale", "res_scale", "residual_scaling"),
        step=Step(
            "scale",
            ScaleStep,
            _scale_attrs,
            said={"value": "value", "initial": "initial"},
            note=(
                "a factor of each channel is learned, from 1e-6; `{value: 0.2}`: all times a "
                "constant instead; `{initial: 0.1}`: what learned factors start from"
            ),
        ),
    ),
    Operator(
        "concat",
        _concat_shape,
        MindSpore(call="ops.concat(({x}), 1)"),
        arity=None,
        channels=_all_together,
        reach=_one_beside_the_other,
        keeps_sign=True,
        keeps_logits=True,
        hint="what is joined must have one height and width: the same strides and pooling",
    ),
    Operator(
        "multiply",
        _multiply_shape,
        MindSpore(sign=" * "),
        arity=2,
        reach=_all_of_a_place,
        keeps_sign=True,
        keeps_logits=True,
        hint="the second branch must have the first's channels, and its height and width or 1 x 1",
    ),
    Operator(
        "add",
        _add_shape,
        MindSpore(sign=" + "),
        arity=None,
        carries=False,
        reach=_all_of_a_place,
        keeps_sign=True,
        keeps_logits=True,
        hint="what is added must have the same channels, height and width",
    ),
)
