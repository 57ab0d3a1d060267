"""Operators that order or scale channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field, model_validator
from typing_extensions import Self

from archspec.operators.attributes import Attrs, Widths, always
from archspec.operators.file_node import CHANNEL_SCALE, Feature, FileNode
from archspec.operators.language_step import Step
from archspec.operators.mindspore_writing import MindSpore
from archspec.operators.onnx_writing import OnnxWriter, of_each_channel
from archspec.operators.operator import Operator
from archspec.operators.shape_rules import Shape, ShapeFault, expect_map, of_its_channels
from archspec.settings import Channels, SpecModel, broken_rule


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


def _scale_attrs(scale: ScaleStep, ins: int, known: Widths) -> Attrs:
    if scale.value is not None:
        return {"value": scale.value}
    return {"channels": ins, "initial": scale.initial}


def _is_learned(attrs: Attrs) -> bool:
    return attrs.get("value") is None


def _factors(attrs: Attrs) -> Mapping[str, Shape]:
    return {"gamma": (attrs["channels"],)} if _is_learned(attrs) else {}


def _scale_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    return of_its_channels(attrs, inputs) if _is_learned(attrs) else inputs[0]


def _is_one(attrs: Attrs, channels: int) -> bool:
    return bool(attrs.get("value") == 1)


def _shuffle_attrs(shuffle: ShuffleStep, ins: int, known: Widths) -> Attrs:
    return {"groups": shuffle.groups}


def _shuffle_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    channels, groups = expect_map(inputs[0])[0], attrs["groups"]
    if channels % groups:
        raise ShapeFault(f"groups (={groups}) of the shuffle must divide {channels} channels")
    return inputs[0]


def _leaves_places(attrs: Attrs, channels: int) -> bool:
    return attrs["groups"] in (1, channels)


def _is_back_again(attrs: Attrs, behind: Attrs, channels: int) -> bool:
    """Groups of c channels are transposed to c groups, and so back again."""
    return bool(attrs["groups"] * behind["groups"] == channels)


def _shuffle_reach(attrs: Attrs, parts: Sequence[Any]) -> Any:
    return parts[0].shuffled(attrs["groups"])


_LAYER_SCALE = '''\
class LayerScale(nn.Cell):
    """A learned factor for each channel of (N, C, H, W) or (N, C), `initial` at first."""

    def __init__(self, channels, initial):
        super().__init__()
        self.gamma = Parameter(initializer(initial, (channels,)))

    def construct(self, x):
        return x * (self.gamma if x.ndim == 2 else ops.reshape(self.gamma, (-1, 1, 1)))
'''


def _mindir_shuffle(node: FileNode) -> Feature:
    x, groups = node.feature(dims=4), node.option("group", 1)
    if type(groups) is not int or groups < 1 or x.shape[1] % groups:
        node.refuse(f"has {groups} groups for {x.shape[1]} channels")
    return node.op("shuffle", [x], x.shape, groups=groups)


def _write_shuffle(node: OnnxWriter) -> str:
    """Channels as a table, whose rows become its columns."""
    (channels, height, width), groups = node.shape(), node.attrs["groups"]
    table = node.constant([0, groups, channels // groups, height, width])
    turned = node.add("Transpose", node.add("Reshape", *node.inputs, table), perm=(0, 2, 1, 3, 4))
    return node.add("Reshape", turned, node.constant([0, channels, height, width]))


def _write_scale(node: OnnxWriter) -> str:
    if not _is_learned(node.attrs):
        return node.add("Mul", *node.inputs, node.constant(node.attrs["value"]))
    return node.add("Mul", *node.inputs, of_each_channel(node, "gamma"))


ROWS = (
    Operator(
        "shuffle",
        _shuffle_shape,
        MindSpore(call="ops.channel_shuffle({x}, {groups})"),
        required=("groups",),
        of_one_channel={"groups": 1},
        is_idle=_leaves_places,
        undoes_itself=_is_back_again,
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
            follow_widths=("groups",),
            note="channels of the groups in turn, as ShuffleNet has it; groups must divide them",
        ),
        mindir={"ChannelShuffle": _mindir_shuffle},
        write_onnx=_write_shuffle,
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
        defaults={"value": None, "initial": None},
        untold=frozenset({"initial"}),
        is_idle=_is_one,
        keeps_logits=True,
        scales_channels=True,
        remains_of={"times": {}, CHANNEL_SCALE: {"initial": None}},
        other_names=("layer_scale", "res_scale", "residual_scaling"),
        other_keys={
            "init_values": "initial",  # timm
            "layer_scale_init_value": "initial, of a step scale",  # timm
        },
        step=Step(
            "scale",
            ScaleStep,
            _scale_attrs,
            said={"value": "value", "initial": "initial"},
            note=(
                "a factor of each channel is learned; `{value: 0.2}`: all times a constant "
                "instead; `{initial: 0.1}`: what learned factors start from"
            ),
        ),
        write_onnx=_write_scale,
    ),
)
