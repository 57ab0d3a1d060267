"""Normalisations: a scale of each channel, and a shift but for `rms`;
they differ in what they average over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field

from archspec.operators import norm_nodes as nodes
from archspec.operators.attributes import Attrs
from archspec.operators.file_node import Feature, FileNode
from archspec.operators.mindspore_writing import MindSpore
from archspec.operators.operator import Operator
from archspec.operators.shape_rules import Shape, ShapeFault, expect_map, of_its_channels
from archspec.settings import Channels, SpecModel

Pattern = Any
"""What a value is made of: see archspec/readers/fusion.py."""


def over_its_root(x: Pattern) -> tuple[tuple[Attrs, Pattern], ...]:
    """Return how a value is written that is divided by the root of the mean of its square."""
    squares = (("power", 2.0, x), ("multiply", None, x, x))
    roots = [("sqrt", None, ("plus", "eps", ("mean", None, square))) for square in squares]
    divided = [("divide", None, x, root) for root in roots]
    multiplied = [("multiply", None, x, ("reciprocal", None, root)) for root in roots]
    return tuple(({}, pattern) for pattern in (*divided, *multiplied))


CENTRED = ("subtract", None, "x", ("mean", None, "x"))

EPS, MOMENTUM, GROUPS = 1e-5, 0.9, 32


class NormSettings(SpecModel):
    """Settings of all norms; each kind has some of them."""

    kind: str
    eps: Annotated[float, Field(strict=True, gt=0, le=1, allow_inf_nan=False)] = EPS
    """Added to the variance."""
    momentum: Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)] = MOMENTUM
    """Of `batch` alone: share of the moving statistics that a step keeps,
    MindSpore's sense, 1 - PyTorch's."""
    groups: Channels = GROUPS
    """Of `group` alone."""


def _over_pixels(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    """Over pixels: a vector has none."""
    expect_map(inputs[0])
    return of_its_channels(attrs, inputs)


def _group_norm_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    channels, groups = attrs["channels"], attrs["groups"]
    if channels % groups:
        raise ShapeFault(f"groups (={groups}) of the norm must divide {channels} channels")
    return _over_pixels(attrs, inputs)


def _affine_tensors(attrs: Attrs) -> Mapping[str, Shape]:
    return dict.fromkeys(("gamma", "beta"), (attrs["channels"],))


def _scale_alone(attrs: Attrs) -> Mapping[str, Shape]:
    return {"gamma": (attrs["channels"],)}


def _batch_norm_tensors(attrs: Attrs) -> Mapping[str, Shape]:
    """Without an eps, which is None, it is a scale and a shift alone."""
    if attrs.get("eps", EPS) is None:
        return _affine_tensors(attrs)
    return dict.fromkeys(("moving_mean", "moving_variance", "gamma", "beta"), (attrs["channels"],))


def norm_of_scale_and_shift(channels: int) -> tuple[str, Attrs]:
    """Return the norm that a scale and a shift of each channel are, its kind and its attributes:
    statistics and eps are in the scale, so that no file tells the eps.
    """
    return "batch_norm", {"channels": channels, "eps": None}


def _all_of_a_group(attrs: Attrs, parts: Sequence[Any]) -> Any:
    """A norm over several channels: each of them depends on all."""
    return parts[0].mixed(attrs.get("groups", 1))


def _has_groups_of_several(attrs: Attrs) -> bool:
    return attrs["groups"] not in (1, attrs["channels"])


def _instance_norm_of_one(attrs: Attrs) -> str:
    return "instance_norm" if attrs["groups"] == attrs["channels"] else ""


_BATCH_NORM = '''\
def {name}(channels):
    """Batch normalisation; momentum is the share of the old statistics that stays."""
    return nn.BatchNorm2d(channels, eps={eps}, momentum={momentum})
'''
_GROUP_NORM = '''\
def {name}(channels):
    """Normalisation over {groups} groups of channels."""
    return nn.GroupNorm({groups}, channels, eps={eps})
'''
_INSTANCE_NORM = '''\
def {name}(channels):
    """Normalisation of each channel by itself; MindSpore's InstanceNorm2d does not run on a CPU."""
    return nn.GroupNorm(channels, channels, eps={eps})
'''
_LAYER_NORM = '''\
class {name}(nn.LayerNorm):
    """Normalisation over the channels of each pixel, (N, C, H, W), or of a vector, (N, C)."""

    def __init__(self, channels):
        super().__init__((channels,), epsilon={eps})

    def construct(self, x):
        if x.ndim == 2:
            return super().construct(x)
        x = super().construct(ops.transpose(x, (0, 2, 3, 1)))
        return ops.transpose(x, (0, 3, 1, 2))
'''


_RMS_NORM = '''\
class {name}(nn.Cell):
    """Root mean square of the channels of each pixel, (N, C, H, W), or of a vector, (N, C)."""

    def __init__(self, channels):
        super().__init__()
        self.gamma = Parameter(initializer("ones", (channels,)))

    def construct(self, x):
        gamma = self.gamma if x.ndim == 2 else ops.reshape(self.gamma, (-1, 1, 1))
        return x * ops.rsqrt(ops.mean(ops.square(x), 1, True) + {eps}) * gamma
'''


def _make_cell(name: str, definition: str) -> MindSpore:
    return MindSpore(
        cell="{name}({ins})",
        definition=definition,
        name=name,
        is_for_each_setting=True,
        is_inline=True,
    )


def _add_norm(
    node: FileNode, kind: str, x: Feature, places: Sequence[int], **attrs: Any
) -> Feature:
    """A norm whose weights stand at these places among the inputs."""
    weights = [node.weight(place, 1) for place in places]
    channels = x.shape[1]
    if any(weight.dims != (channels,) for weight in weights):
        node.refuse(f"is made for {weights[0].dims[0]} channels, reads {channels}")
    made = node.in_place(kind, x, weights, channels=channels, **attrs)
    if kind == "batch_norm":
        node.note_variance(made, weights[3])
    return made


def _affine_places(node: FileNode) -> Sequence[int]:
    """Of a scale and a shift, which an ONNX may leave out."""
    return (1, 2) if node.has(2) else (1,)


def _onnx_eps(node: FileNode) -> float:
    return node.number("epsilon", nodes.EPS)


def _onnx_batch_norm(node: FileNode) -> Feature:
    made = _add_norm(node, "batch_norm", node.feature(), (1, 2, 3, 4), eps=_onnx_eps(node))
    if node.attrs.get("training_mode") or node.outputs > 1:
        node.blame(made, "was exported in training mode")
    return made


def _mindir_batch_norm(node: FileNode) -> tuple[Feature, None, None, None, None]:
    """The others are what training alone has, here and in the norms below."""
    eps = node.number("epsilon", EPS, 6)
    made = _add_norm(node, "batch_norm", node.feature(), (1, 2, 3, 4), eps=eps)
    if node.option("is_training", 5, False):
        node.blame(made, "was exported in training mode")
    return made, None, None, None, None


def _onnx_layer_norm(node: FileNode) -> Feature:
    x = node.channels_last(node.attrs.get("axis", -1))
    return _add_norm(node, "layer_norm", x, _affine_places(node), eps=_onnx_eps(node))


def _mindir_layer_norm(node: FileNode) -> tuple[Feature, None, None]:
    axes = node.option("begin_norm_axis", 3, 1), node.option("begin_params_axis", 4, 1)
    x, eps = node.channels_last(*axes), node.number("epsilon", 1e-7, 5)
    return _add_norm(node, "layer_norm", x, (1, 2), eps=eps), None, None


def _onnx_group_norm(node: FileNode) -> Feature:
    x, groups = node.feature(), node.attrs["num_groups"]
    channels, scales = x.shape[1], node.weight(1, 1).dims[0]
    if scales != channels or channels % groups:
        node.refuse(f"has {groups} groups and {scales} scales for {channels} channels")
    places, eps = _affine_places(node), _onnx_eps(node)
    return _add_norm(node, "group_norm", x, places, groups=groups, eps=eps)


def _mindir_group_norm(node: FileNode) -> tuple[Feature, None, None]:
    x, groups = node.feature(), node.option("num_groups", 1)
    if type(groups) is not int or groups < 1 or x.shape[1] % groups:
        node.refuse(f"has {groups} groups for {x.shape[1]} channels")
    eps = node.number("epsilon", EPS, 4)
    return _add_norm(node, "group_norm", x, (2, 3), groups=groups, eps=eps), None, None


def _onnx_instance_norm(node: FileNode) -> Feature | None:
    """Where each group is a channel to it, it is part of a group norm."""
    if node.is_pending("grouped"):
        return None
    x = node.feature(dims=4)
    return _add_norm(node, "instance_norm", x, _affine_places(node), eps=_onnx_eps(node))


def _onnx_rms_norm(node: FileNode) -> Feature:
    x = node.channels_last(node.attrs.get("axis", -1))
    if node.has(2):
        node.refuse("does not norm the channels of each pixel")
    return _add_norm(node, "rms_norm", x, (1,), eps=_onnx_eps(node))


ROWS = (
    Operator(
        "batch_norm",
        _over_pixels,
        _make_cell("norm", _BATCH_NORM),
        tensors=_batch_norm_tensors,
        family="norm",
        about="each channel, of all images of a batch; in evaluation by moving statistics",
        required=("channels", "eps", "momentum"),
        defaults={"weights_of": None},
        in_training=frozenset({"momentum"}),
        untold=frozenset({"eps"}),
        hint="before a global_pool, or `keep: true` there",
        other_names=("bn", "batch_norm2d"),
        settings={"eps": EPS, "momentum": MOMENTUM},
        mindir={"BatchNorm": _mindir_batch_norm},
        onnx={"BatchNormalization": _onnx_batch_norm},
        write_onnx=nodes.write_batch_norm,
    ),
    Operator(
        "layer_norm",
        of_its_channels,
        _make_cell("LayerNorm2d", _LAYER_NORM),
        tensors=_affine_tensors,
        family="norm",
        about="the channels of each pixel",
        required=("channels", "eps"),
        untold=frozenset({"eps"}),
        reach=_all_of_a_group,
        other_names=("ln", "layer_norm2d"),
        settings={"eps": EPS},
        patterns=over_its_root(CENTRED),
        mindir={"LayerNorm": _mindir_layer_norm},
        onnx={"LayerNormalization": _onnx_layer_norm},
        write_onnx=nodes.write_layer_norm,
    ),
    Operator(
        "group_norm",
        _group_norm_shape,
        _make_cell("group_norm", _GROUP_NORM),
        tensors=_affine_tensors,
        family="norm",
        about="the channels of each group in an image; `groups` must divide the channels",
        required=("channels", "eps", "groups"),
        untold=frozenset({"eps"}),
        of_one_channel={"groups": 1},
        tells_places=_has_groups_of_several,
        reach=_all_of_a_group,
        same_as=_instance_norm_of_one,
        hint="feature maps, and a divisor of their channels",
        other_names=("gn",),
        settings={"eps": EPS, "groups": GROUPS},
        mindir={"GroupNorm": _mindir_group_norm},
        onnx={"GroupNormalization": _onnx_group_norm},
        write_onnx=nodes.write_group_norm,
    ),
    Operator(
        "instance_norm",
        _over_pixels,
        _make_cell("instance_norm", _INSTANCE_NORM),
        tensors=_affine_tensors,
        family="norm",
        about="each channel of an image by itself",
        required=("channels", "eps"),
        untold=frozenset({"eps"}),
        case_of="group_norm",
        hint="before a global_pool, or `keep: true` there",
        other_names=("instance_norm2d",),
        settings={"eps": EPS},
        onnx={"InstanceNormalization": _onnx_instance_norm},
        write_onnx=nodes.write_instance_norm,
    ),
    Operator(
        "rms_norm",
        of_its_channels,
        _make_cell("RMSNorm2d", _RMS_NORM),
        tensors=_scale_alone,
        family="norm",
        about="the channels of each pixel, with a scale and no shift",
        required=("channels", "eps"),
        untold=frozenset({"eps"}),
        reach=_all_of_a_group,
        other_names=("rms_norm2d",),
        settings={"eps": EPS},
        patterns=over_its_root("x"),
        onnx={"RMSNormalization": _onnx_rms_norm},
        write_onnx=nodes.write_rms_norm,
    ),
)
