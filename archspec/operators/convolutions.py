"""Convolutions, which make channels by filters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from archspec.operators.attributes import Attrs, Widths
from archspec.operators.convolution_code import (
    CONV,
    CONV_OF_ALL_KINDS,
    CONV_OF_STANDARDIZED_FILTERS,
)
from archspec.operators.file_node import Feature, FileNode, SlidingFilters
from archspec.operators.language_step import Step
from archspec.operators.mindspore_writing import MindSpore
from archspec.operators.named_widths import Width, width_of
from archspec.operators.onnx_writing import OnnxWriter, window_of
from archspec.operators.operator import Operator
from archspec.operators.shape_rules import (
    Shape,
    ShapeFault,
    expect_channels,
    expect_outputs,
    weight_and_bias,
    window_pixels,
)
from archspec.settings import Channels, Flag, Padding, SpecModel, Stride, Window, broken_rule


def same_padding(kernel: int, dilation: int) -> int | None:
    """Return the pixels on each side with which a stride of 1 keeps height and width,
    the one default there is.

    None where dilation x (kernel - 1) is odd: such a window has no middle, and frameworks round
    either way.
    """
    around = dilation * (kernel - 1)
    return None if around % 2 else around // 2


WEIGHT_EPS = 1e-6
"""As timm has it."""


class ConvStep(SpecModel):
    """A convolution, padded so that a stride of 1 keeps height and width."""

    width: Width | None = None
    """Output channels; as many as it reads where absent."""
    kernel: Window
    """Pixels of the square window."""
    stride: Stride = 1
    """Pixels from window to window."""
    padding: Padding | None = None
    """Pixels on each side; dilation x (kernel - 1) / 2 where absent,
    which must be a whole number."""
    dilation: Annotated[int, Field(strict=True, ge=1, le=64)] = 1
    """Pixels from tap to tap of the window."""
    groups: Channels | Literal["depthwise"] = 1
    """`depthwise`: as many groups as it reads channels."""
    bias: Flag = False
    """Whether it adds a number to each channel."""
    standardized: Flag = False
    """Whether each filter has mean 0 and variance 1 wherever it is used (Qiao et al. 2019)."""
    weight_eps: Annotated[float, Field(strict=True, gt=0, le=1, allow_inf_nan=False)] = WEIGHT_EPS
    """Of a standardized one alone: added to a filter's variance."""

    @model_validator(mode="after")
    def _check_weight_eps(self) -> Self:
        if "weight_eps" in self.model_fields_set and not self.standardized:
            rule = "is a setting of what is standardized: true"
            raise broken_rule("weight_eps", f"weight_eps (={self.weight_eps}) {rule}")
        return self

    @model_validator(mode="after")
    def _check_padding(self) -> Self:
        around = self.dilation * (self.kernel - 1)
        if self.padding is None and same_padding(self.kernel, self.dilation) is None:
            halves = " or ".join(str(half) for half in (around // 2, around // 2 + 1) if half)
            choice = f"say padding: 0, as a patch stem has it, or the rounded half, {halves}"
            why = f"dilation x (kernel - 1) (={around}) is odd, so the window has no middle"
            raise broken_rule("padding", f"padding must be said where {why}; {choice}")
        return self


def conv_attrs(conv: ConvStep, ins: int, known: Widths) -> Attrs:
    """Return the attributes of a convolution that reads so many channels."""
    padding = conv.padding
    if padding is None:
        padding = same_padding(conv.kernel, conv.dilation)
    attrs: dict[str, Any] = {
        "in_channels": ins,
        "out_channels": ins if conv.width is None else width_of(conv.width, known),
        "kernel": conv.kernel,
        "stride": conv.stride,
        "padding": padding,
        "dilation": conv.dilation,
        "groups": ins if conv.groups == "depthwise" else conv.groups,
    }
    if conv.standardized:
        attrs |= standardized(conv.weight_eps)
    return {**attrs, "bias": True} if conv.bias else attrs


def standardized(weight_eps: float | None) -> Attrs:
    """Return the attributes of a convolution with standardized filters; an eps of None says that
    they are stored as they are used, and what weights they were, nothing tells.
    """
    return {"standardized": True, "weight_eps": weight_eps}


def _standardizes(attrs: Attrs) -> bool:
    return bool(attrs.get("standardized")) and attrs.get("weight_eps") is not None


def _conv_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    expect_channels(attrs["in_channels"], inputs[0])
    expect_outputs(attrs)
    ins, outs, groups = attrs["in_channels"], attrs["out_channels"], attrs.get("groups", 1)
    if ins % groups or outs % groups:
        raise ShapeFault(f"groups (={groups}) must divide {ins} and {outs}")
    if attrs.get("standardized") and ins == groups and attrs["kernel"] == 1:
        raise ShapeFault("standardizes filters of one weight each, of which nothing is left")
    return (outs, *window_pixels(attrs, inputs[0]))


def _conv_tensors(attrs: Attrs) -> Mapping[str, Shape]:
    kernel, outs = attrs["kernel"], attrs["out_channels"]
    weight = (outs, attrs["in_channels"] // attrs.get("groups", 1), kernel, kernel)
    return weight_and_bias(weight, outs, attrs.get("bias", False))


def _conv_macs(attrs: Attrs, inputs: Sequence[Shape], output: Shape) -> int:
    return prod(_conv_tensors(attrs)["weight"]) * prod(output[1:])


def is_depthwise(attrs: Attrs) -> bool:
    """Return whether a convolution filters each channel by itself."""
    return bool(attrs.get("groups", 1) == attrs["in_channels"] > 1)


def _filters_each_channel(attrs: Attrs) -> bool:
    """Say of a depthwise convolution that it has one filter for each channel."""
    return is_depthwise(attrs) and bool(attrs["out_channels"] == attrs["in_channels"])


def _has_one_group(attrs: Attrs) -> bool:
    return bool(attrs.get("groups", 1) == 1)


def _has_groups_of_several(attrs: Attrs) -> bool:
    groups = attrs.get("groups", 1)
    return groups > 1 and not groups == attrs["in_channels"] == attrs["out_channels"]


def _stride_and_unusual(attrs: Attrs, ins: str) -> Mapping[str, str]:
    stride = f", stride={attrs['stride']}" if attrs["stride"] != 1 else ""
    unusual = _unusual(attrs, ins)
    special = f", weight_eps={attrs['weight_eps']}" if attrs.get("standardized") else ""
    return {"unusual": unusual, "special": special, "settings": stride + unusual + special}


def _unusual(attrs: Attrs, ins: str) -> str:
    """The arguments of a convolution that most do not have."""
    dilation, groups = attrs.get("dilation", 1), attrs.get("groups", 1)
    given = dict[str, Any]()
    if attrs["padding"] != same_padding(attrs["kernel"], dilation):
        given["padding"] = attrs["padding"]
    if dilation != 1:
        given["dilation"] = dilation
    if groups != 1:
        given["groups"] = ins if is_depthwise(attrs) else groups
    if attrs.get("bias"):
        given["bias"] = True
    return "".join(f", {name}={value}" for name, value in given.items())


_POINT: Attrs = {"kernel": 1, "padding": 0, "groups": 1, "standardized": False}


def _as_dense(attrs: Attrs) -> tuple[str, Attrs] | None:
    """Over one pixel a convolution is a dense layer, unless its weights are more, or others."""
    if any(attrs.get(name, value) != value for name, value in _POINT.items()):
        return None
    kept = ("in_channels", "out_channels", "weights_of")
    sizes = {name: attrs[name] for name in kept if name in attrs}
    return "dense", sizes if attrs.get("bias") else {**sizes, "bias": False}


_WINDOW = ("kernel", "stride", "padding")
_SAID = (*_WINDOW, "dilation", "groups", "bias", "standardized", "weight_eps")


def _usual(said: Mapping[str, Any]) -> Mapping[str, Any]:
    """What filters each channel by itself gives as many as it reads."""
    padding = same_padding(said["kernel"], said["dilation"])
    width = said.get("width") if said["groups"] == "depthwise" else None
    return {"padding": padding, "width": width}


def add_filters(node: FileNode, kind: str, found: SlidingFilters, outs: int) -> Feature:
    """Add what makes so many channels by filters that slide, as a model file has it."""
    attrs = {**found.attrs, "in_channels": found.x.shape[1], "out_channels": outs}
    if found.weights[1:]:
        attrs["bias"] = True
    shape = (found.x.shape[0], outs, *found.pixels)
    return node.op(kind, [found.x], shape, found.weights, **attrs)


def _read_conv(node: FileNode) -> Feature | None:
    """What mirrors its edges is a blur."""
    if node.mirrors_edges():
        return None
    found = node.sliding_filters()
    return add_filters(node, "conv", found, found.weights[0].dims[0])


def filters_of(node: OnnxWriter) -> list[str]:
    """Return what a node with filters reads: features, filters, and the bias where there is one."""
    values = [node.inputs[0], node.tensor("weight")]
    return [*values, node.tensor("bias")] if node.attrs["bias"] else values


def _write_conv(node: OnnxWriter) -> str:
    attrs, values = node.attrs, filters_of(node)
    if attrs["standardized"]:
        values[1] = _write_standardized(node, values[1])
    dilations = [attrs["dilation"]] * 2
    return node.add("Conv", *values, **window_of(node), group=attrs["groups"], dilations=dilations)


def _write_standardized(node: OnnxWriter, filters: str) -> str:
    """Filters less their mean, divided by the root of their variance."""
    axes = node.constant([1, 2, 3])
    centred = node.add("Sub", filters, node.add("ReduceMean", filters, axes))
    variance = node.add("ReduceMean", node.add("Mul", centred, centred), axes)
    eps = node.constant(node.attrs["weight_eps"])
    return node.add("Div", centred, node.add("Sqrt", node.add("Add", variance, eps)))


ROWS = (
    Operator(
        "conv",
        _conv_shape,
        MindSpore(
            cell="conv({ins}, {outs}, {kernel}{settings})",
            arguments=_stride_and_unusual,
            definition=CONV,
            general=CONV_OF_ALL_KINDS,
            special=CONV_OF_STANDARDIZED_FILTERS,
            as_wide={"groups": is_depthwise},
            he_normal="nn.Conv2d",
        ),
        tensors=_conv_tensors,
        macs=_conv_macs,
        carries=False,
        required=("in_channels", "out_channels", *_WINDOW),
        defaults={
            "groups": 1,
            "dilation": 1,
            "bias": False,
            "weights_of": None,
            "standardized": False,
            "weight_eps": None,
        },
        of_one_channel={"groups": 1, "standardized": False},
        has_filters=True,
        standardizes=_standardizes,
        folds_norm=True,
        over_vector=_as_dense,
        mixes=_has_one_group,
        tells_places=_has_groups_of_several,
        resizes=True,
        names_with={
            **dict.fromkeys(
                (
                    *("std_conv", "std_conv2d", "standardized_conv", "standardized_conv2d"),
                    *("ws_conv", "ws_conv2d", "weight_standardization"),
                ),
                "standardized: true",
            ),
            **dict.fromkeys(
                ("depthwise_conv", "depthwise_conv2d", "dw_conv", "dw_conv2d"),
                "groups: depthwise",
            ),
        },
        other_keys=dict.fromkeys(("weight_standardization", "ws"), "standardized"),
        step=Step(
            "conv",
            ConvStep,
            conv_attrs,
            said={name: name for name in _SAID},
            widths={"width": "out_channels"},
            words={"groups": ("depthwise", _filters_each_channel)},
            follow_widths=("groups",),
            usual=_usual,
            note=(
                "as wide as what it reads where no width is said; padding dilation x (kernel - 1) /"
                " 2; `groups: depthwise`: one for each channel; `standardized`: each filter has "
                "mean 0 and variance 1 wherever it is used, `weight_eps` being added to the "
                "variance"
            ),
        ),
        mindir={"Conv2D": _read_conv},
        onnx={"Conv": _read_conv},
        write_onnx=_write_conv,
        onnx_of_int8="Conv",
    ),
)
