"""Activations: functions of each value by itself; a PReLU alone has a weight for each channel."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Annotated

from pydantic import Field

from archspec.operators import activation_nodes as nodes
from archspec.operators.activation_patterns import (
    CLAMPS,
    ELU,
    EXACT_GELUS,
    HARD_SIGMOID,
    HARD_SWISHES,
    MISHES,
    SILU,
    SOFTPLUSES,
    TANH,
    TANH_GELUS,
)
from archspec.operators.attributes import Attrs
from archspec.operators.mindspore_writing import MindSpore
from archspec.operators.onnx_writing import node_of
from archspec.operators.operator import Operator
from archspec.operators.shape_rules import Shape, of_its_channels, same_shape
from archspec.settings import SpecModel

Bound = Annotated[float, Field(strict=True, ge=-1_000, le=1_000, allow_inf_nan=False)]


class ActivationSettings(SpecModel):
    """Settings of all activations; each kind has some of them, with a default of its own."""

    kind: str
    slope: Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)] | None = None
    """Of negative values: of leaky_relu (0.01 where absent), at the start of prelu (0.25)."""
    alpha: Annotated[float, Field(strict=True, gt=0, le=100, allow_inf_nan=False)] | None = None
    """Of elu: large negative values become -alpha; 1 where absent."""
    beta: Annotated[float, Field(strict=True, gt=0, le=100, allow_inf_nan=False)] | None = None
    """Of softplus: how sharp its bend is; 1 where absent."""
    low: Bound | None = None
    """Of hard_tanh: what smaller values become; -1 where absent."""
    high: Bound | None = None
    """Of hard_tanh: what larger values become; 1 where absent."""


def _slopes(attrs: Attrs) -> Mapping[str, Shape]:
    return {"w": (attrs["channels"],)}


def _make_call(text: str) -> MindSpore:
    return MindSpore(call=text, is_inline=True)


def _relu_of_no_slope(attrs: Attrs) -> str:
    return "" if attrs["slope"] else "relu"


def _is_straight(attrs: Attrs, channels: int) -> bool:
    return bool(attrs["slope"] == 1)


def _elu_call(attrs: Attrs, ins: str) -> Mapping[str, str]:
    """MindSpore's own knows an alpha of 1 alone."""
    if attrs["alpha"] == 1:
        return {"elu": "ops.elu"}
    return {"elu": "elu", "unusual": "yes"}


def _bounds_in_order(attrs: Attrs) -> str:
    low, high = attrs["low"], attrs["high"]
    return "" if low < high else f"low (={low}) must be less than high (={high})"


_ELU_TEXT = '''\
def elu(x, alpha):
    """MindSpore's own knows an alpha of 1 alone on a CPU."""
    return ops.where(x > 0, x, alpha * ops.elu(x))
'''
_TANH_TEXT = '''\
def tanh(x):
    """MindSpore's own is 1e-4 off on a CPU."""
    return ops.sigmoid(2 * x) - ops.sigmoid(-2 * x)
'''
_MISH_TEXT = '''\
def mish(x):
    """x tanh(log(1 + exp(x))); MindSpore's own is NaN above 88 on a CPU, its slope 1e-3 off."""
    s = ops.sigmoid(x)
    t = s * (2 - s)
    return x * (t / (2 - t))
'''


def _make_function(kind: str, text: str) -> MindSpore:
    """A function of the module's own."""
    return MindSpore(call=f"{kind}({{x}})", definition=text, name=kind, is_inline=True)


ROWS = (
    Operator(
        "relu",
        same_shape,
        _make_call("ops.relu({x})"),
        family="activation",
        about="max(x, 0)",
        is_clamp=True,
        is_never_negative=True,
        interval=lambda attrs: (0.0, inf),
        mindir={
            "ReLU": nodes.read_plain("relu"),
            "ClampScalar": nodes.read_between("relu", 0, inf),
        },
        onnx={
            "Relu": nodes.read_plain("relu"),
            "Clip": nodes.read_between("relu", 0, inf),
            "Max": nodes.read_larger_than_zero,
        },
        write_onnx=node_of("Relu"),
        # Of one behind a convolution the pair takes the place: it gives nothing below zero.
        onnx_of_int8="Relu",
    ),
    Operator(
        "relu6",
        same_shape,
        _make_call("ops.relu6({x})"),
        family="activation",
        about="min(max(x, 0), 6)",
        is_clamp=True,
        is_never_negative=True,
        interval=lambda attrs: (0.0, 6.0),
        mindir={
            "ReLU6": nodes.read_plain("relu6"),
            "ClampScalar": nodes.read_between("relu6", 0, 6),
        },
        onnx={"Clip": nodes.read_between("relu6", 0, 6)},
        write_onnx=nodes.write_clip(0.0, 6.0),
    ),
    Operator(
        "silu",
        same_shape,
        _make_call("ops.silu({x})"),
        family="activation",
        about="x sigmoid(x)",
        other_names=("swish",),
        patterns=(({}, SILU),),
        mindir={"SiLU": nodes.read_plain("silu")},
        onnx={"com.microsoft::QuickGelu": nodes.read_quick_gelu},
        write_onnx=nodes.write_silu,
    ),
    Operator(
        "gelu",
        same_shape,
        _make_call('ops.gelu({x}, approximate="none")'),
        family="activation",
        about="x times the normal distribution's share below x",
        defaults={"approximate": "none"},
        unsaid={"approximate": "is approximated by tanh; the language's gelu is exact"},
        patterns=(*EXACT_GELUS, *TANH_GELUS),
        mindir={"GeLU": lambda node: node.elementwise("gelu", approximate="tanh")},
        onnx={"Gelu": nodes.read_gelu, "com.microsoft::Gelu": nodes.read_gelu},
        write_onnx=nodes.write_gelu,
    ),
    Operator(
        "hard_swish",
        same_shape,
        _make_call("ops.hardswish({x})"),
        family="activation",
        about="x hard_sigmoid(x)",
        other_names=("hswish", "hardsilu"),
        patterns=tuple(({}, pattern) for pattern in HARD_SWISHES),
        mindir={"HSwish": nodes.read_plain("hard_swish")},
        onnx={"HardSwish": nodes.read_plain("hard_swish")},
        write_onnx=node_of("HardSwish"),
    ),
    Operator(
        "leaky_relu",
        same_shape,
        _make_call("ops.leaky_relu({x}, {slope})"),
        family="activation",
        about="slope x where x < 0",
        other_names=("lrelu",),
        other_keys={"negative_slope": "slope"},  # torch
        same_as=_relu_of_no_slope,
        is_idle=_is_straight,
        required=("slope",),
        settings={"slope": 0.01},
        mindir={"Maximum": nodes.read_larger_than_a_share},
        onnx={"LeakyRelu": nodes.read_leaky_relu},
        write_onnx=nodes.write_leaky_relu,
    ),
    Operator(
        "prelu",
        of_its_channels,
        MindSpore(cell="nn.PReLU({ins}, {slope})", is_inline=True),
        tensors=_slopes,
        family="activation",
        about="slope x where x < 0, with a slope of each channel that is learned",
        required=("channels", "slope"),
        untold=frozenset({"slope"}),
        settings={"slope": 0.25},
        mindir={"PReLU": nodes.read_prelu},
        onnx={"PRelu": nodes.read_prelu},
        write_onnx=nodes.write_prelu,
    ),
    Operator(
        "sigmoid",
        same_shape,
        _make_call("ops.sigmoid({x})"),
        family="activation",
        about="1 / (1 + exp(-x))",
        is_never_negative=True,
        is_gate=True,
        times_input="silu",
        mindir={"Sigmoid": nodes.read_plain("sigmoid")},
        onnx={"Sigmoid": nodes.read_plain("sigmoid")},
        write_onnx=node_of("Sigmoid"),
    ),
    Operator(
        "hard_sigmoid",
        same_shape,
        _make_call("ops.hardsigmoid({x})"),
        family="activation",
        about="min(max(x + 3, 0), 6) / 6",
        is_never_negative=True,
        other_names=("hsigmoid",),
        is_gate=True,
        times_input="hard_swish",
        patterns=(({}, HARD_SIGMOID),),
        mindir={"HSigmoid": nodes.read_plain("hard_sigmoid")},
        onnx={"HardSigmoid": nodes.read_hard_sigmoid},
        write_onnx=node_of("HardSigmoid", alpha=1 / 6, beta=0.5),
    ),
    Operator(
        "elu",
        same_shape,
        MindSpore(
            call="{elu}({x}, {alpha})",
            arguments=_elu_call,
            general=_ELU_TEXT,
            name="elu",
            is_inline=True,
        ),
        family="activation",
        about="alpha (exp(x) - 1) where x < 0",
        required=("alpha",),
        settings={"alpha": 1.0},
        patterns=(({}, ELU),),
        mindir={"Elu": nodes.read_elu(1)},
        onnx={"Elu": nodes.read_elu()},
        write_onnx=nodes.write_elu,
    ),
    Operator(
        "mish",
        same_shape,
        _make_function("mish", _MISH_TEXT),
        family="activation",
        about="x tanh(softplus(x))",
        patterns=tuple(({}, pattern) for pattern in MISHES),
        mindir={"Mish": nodes.read_plain("mish")},
        onnx={"Mish": nodes.read_plain("mish")},
        write_onnx=node_of("Mish"),
    ),
    Operator(
        "tanh",
        same_shape,
        _make_function("tanh", _TANH_TEXT),
        family="activation",
        about="tanh(x)",
        patterns=(({}, TANH),),
        mindir={"Tanh": nodes.read_plain("tanh")},
        onnx={"Tanh": nodes.read_plain("tanh")},
        write_onnx=node_of("Tanh"),
    ),
    Operator(
        "softplus",
        same_shape,
        _make_call("ops.softplus({x}, {beta}, 20)"),
        family="activation",
        about="log(1 + exp(beta x)) / beta",
        required=("beta",),
        settings={"beta": 1.0},
        is_never_negative=True,
        patterns=SOFTPLUSES,
        mindir={"Softplus": nodes.read_softplus},
        onnx={"Softplus": nodes.read_softplus},
        write_onnx=nodes.write_softplus,
    ),
    Operator(
        "hard_tanh",
        same_shape,
        _make_call("ops.clamp({x}, {low}, {high})"),
        family="activation",
        about="min(max(x, low), high)",
        required=("low", "high"),
        settings={"low": -1.0, "high": 1.0},
        fault=_bounds_in_order,
        other_names=("htanh",),
        other_keys={"min_val": "low", "max_val": "high"},  # torch
        interval=lambda attrs: (attrs["low"], attrs["high"]),
        patterns=tuple(({}, pattern) for pattern in CLAMPS),
        mindir={"ClampScalar": nodes.read_hard_tanh},
        onnx={"Clip": nodes.read_hard_tanh},
        write_onnx=nodes.write_hard_tanh,
    ),
)
