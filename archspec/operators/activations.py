"""Activations: functions of each value by itself; a PReLU alone has a weight for each channel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf, pi, sqrt
from typing import Annotated, Any

from pydantic import Field

from archspec.operators.operator import Attrs, MindSpore, Operator
from archspec.operators.shapes import Shape, of_its_channels, same_shape
from archspec.settings import SpecModel

Pattern = Any
"""What a value is made of: see archspec/readers/fusion.py."""


Bound = Annotated[float, Field(strict=True, ge=-1_000, le=1_000, allow_inf_nan=False)]


class ActivationSettings(SpecModel):
    """Settings of all activations; each kind has some of them, with a default of its own."""

    kind: str = "relu"
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


def _plain(kind: str) -> Callable[[Any], Any]:
    """Reads a node that is this activation, whatever its inputs and attributes."""
    return lambda node: node.elementwise(kind)


def _elu(node: Any) -> Any:
    return node.elementwise("elu", alpha=node.number("alpha", 1.0))


def _elu_in_mindir(node: Any) -> Any:
    return node.elementwise("elu", alpha=node.number("alpha", 1.0, 1))


def _softplus(node: Any) -> Any:
    return node.elementwise("softplus", beta=1.0)


def _elu_call(attrs: Attrs, ins: str) -> Mapping[str, str]:
    """MindSpore's own knows an alpha of 1 alone."""
    if attrs["alpha"] == 1:
        return {"elu": "ops.elu"}
    return {"elu": "elu", "unusual": "yes"}


def _bounds_in_order(attrs: Attrs) -> str:
    low, high = attrs["low"], attrs["high"]
    return "" if low < high else f"low (={low}) must be less than high (={high})"


def _leaky_relu(node: Any) -> Any:
    return node.elementwise("leaky_relu", slope=node.number("alpha", 0.01))


def _hard_sigmoid(node: Any) -> Any:
    """Read relu6(x + 3) / 6, the one that is known."""
    slope, start = node.number("alpha", 0.2), node.number("beta", 0.5)
    if abs(slope - 1 / 6) > 1e-4 or start != 0.5:
        known = "only 1/6 and 1/2 are known"
        node.refuse(f"has the slope {slope} and the value {start} at 0; {known}")
    return node.elementwise("hard_sigmoid")


def _gelu(node: Any) -> Any:
    how = node.text("approximate", "none")
    return node.elementwise("gelu", **({} if how == "none" else {"approximate": how}))


def _quick_gelu(node: Any) -> Any:
    """Read x times sigmoid(x), a SiLU; with another factor inside it is none."""
    factor = node.number("alpha", 1.702)
    if factor != 1:
        node.refuse(f"has the factor {factor}; only 1 is known, a SiLU")
    return node.elementwise("silu")


_ERF: Pattern = ("plus", 1.0, ("erf", None, ("times", sqrt(1 / 2), "x")))
_CUBES: tuple[Pattern, ...] = (
    ("power", 3.0, "x"),
    ("multiply", None, "x", ("multiply", None, "x", "x")),
    ("multiply", None, "x", ("power", 2.0, "x")),
)


def _tanh_of(cube: Pattern) -> Pattern:
    inner = ("times", sqrt(2 / pi), ("add", None, "x", ("times", 0.044715, cube)))
    return ("plus", 1.0, ("tanh", None, inner))


def _half_gated(gate: Pattern) -> tuple[Pattern, ...]:
    """x times half a gate, as it is written."""
    return (
        ("times", 0.5, ("multiply", None, "x", gate)),
        ("multiply", None, ("times", 0.5, "x"), gate),
        ("multiply", None, "x", ("times", 0.5, gate)),
    )


_EXACT_GELUS: tuple[tuple[Attrs, Pattern], ...] = tuple(
    ({}, pattern) for pattern in _half_gated(_ERF)
)
_TANH_GELUS = tuple(
    ({"approximate": "tanh"}, pattern)
    for tanh in map(_tanh_of, _CUBES)
    for pattern in _half_gated(tanh)
)
_SHIFTED_RELU6: Pattern = ("relu6", None, ("plus", 3.0, "x"))

_ELU_OF_ONE: Pattern = ("elu", {"alpha": 1.0}, "x")
_ELU: Pattern = ("select", None, ("greater", 0.0, "x"), "x", ("times", "alpha", _ELU_OF_ONE))

_TWO_SIGMOIDS: Pattern = (
    "subtract",
    None,
    ("sigmoid", None, ("times", 2.0, "x")),
    ("sigmoid", None, ("times", -2.0, "x")),
)

_SOFTPLUS_OF_ONE: Pattern = ("softplus", {"beta": 1.0}, "x")
_SIGMOID: Pattern = ("sigmoid", None, "x")
_SHARE: Pattern = ("multiply", None, _SIGMOID, ("from", 2.0, _SIGMOID))
_MISHES: tuple[Pattern, ...] = (
    ("multiply", None, "x", ("tanh", None, _SOFTPLUS_OF_ONE)),
    ("multiply", None, "x", ("divide", None, _SHARE, ("from", 2.0, _SHARE))),
)

_SCALED: Pattern = ("times", "beta", "x")
_LINEAR_ABOVE = 20.0
_SOFTPLUS: Pattern = ("softplus", {"beta": "beta"}, "x")
_SOFTPLUSES: tuple[tuple[Attrs, Pattern], ...] = (
    ({}, ("times", "1/beta", ("softplus", {"beta": 1.0}, _SCALED))),
    ({}, ("select", None, ("greater", _LINEAR_ABOVE, _SCALED), "x", _SOFTPLUS)),
    ({"beta": 1.0}, ("select", None, ("greater", _LINEAR_ABOVE, "x"), "x", _SOFTPLUS_OF_ONE)),
)
"""Where beta x is above 20 frameworks take x itself, which is 2e-9 / beta more."""

_CLAMPS: tuple[Pattern, ...] = (
    ("at_most", "high", ("at_least", "low", "x")),
    ("at_least", "low", ("at_most", "high", "x")),
)

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
        mindir={"ReLU": _plain("relu")},
        onnx={"Relu": _plain("relu")},
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
        mindir={"ReLU6": _plain("relu6")},
    ),
    Operator(
        "silu",
        same_shape,
        _make_call("ops.silu({x})"),
        family="activation",
        about="x sigmoid(x)",
        other_names=("swish",),
        patterns=(({}, ("multiply", None, "x", ("sigmoid", None, "x"))),),
        mindir={"SiLU": _plain("silu")},
        onnx={"com.microsoft::QuickGelu": _quick_gelu},
    ),
    Operator(
        "gelu",
        same_shape,
        _make_call('ops.gelu({x}, approximate="none")'),
        family="activation",
        about="x times the normal distribution's share below x",
        defaults={"approximate": "none"},
        patterns=(*_EXACT_GELUS, *_TANH_GELUS),
        mindir={"GeLU": lambda node: node.elementwise("gelu", approximate="tanh")},
        onnx={"Gelu": _gelu, "com.microsoft::Gelu": _gelu},
    ),
    Operator(
        "hard_swish",
        same_shape,
        _make_call("ops.hardswish({x})"),
        family="activation",
        about="x hard_sigmoid(x)",
        other_names=("hswish", "hardsilu"),
        patterns=(
            ({}, ("multiply", None, "x", ("hard_sigmoid", None, "x"))),
            ({}, ("times", 1 / 6, ("multiply", None, "x", _SHIFTED_RELU6))),
        ),
        mindir={"HSwish": _plain("hard_swish")},
        onnx={"HardSwish": _plain("hard_swish")},
    ),
    Operator(
        "leaky_relu",
        same_shape,
        _make_call("ops.leaky_relu({x}, {slope})"),
        family="activation",
        about="slope x where x < 0",
        other_names=("lrelu",),
        required=("slope",),
        settings={"slope": 0.01},
        onnx={"LeakyRelu": _leaky_relu},
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
        mindir={"Sigmoid": _plain("sigmoid")},
        onnx={"Sigmoid": _plain("sigmoid")},
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
        patterns=(({}, ("times", 1 / 6, _SHIFTED_RELU6)),),
        mindir={"HSigmoid": _plain("hard_sigmoid")},
        onnx={"HardSigmoid": _hard_sigmoid},
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
        patterns=(({}, _ELU),),
        mindir={"Elu": _elu_in_mindir},
        onnx={"Elu": _elu},
    ),
    Operator(
        "mish",
        same_shape,
        _make_function("mish", _MISH_TEXT),
        family="activation",
        about="x tanh(softplus(x))",
        patterns=tuple(({}, pattern) for pattern in _MISHES),
        mindir={"Mish": _plain("mish")},
        onnx={"Mish": _plain("mish")},
    ),
    Operator(
        "tanh",
        same_shape,
        _make_function("tanh", _TANH_TEXT),
        family="activation",
        about="tanh(x)",
        patterns=(({}, _TWO_SIGMOIDS),),
        mindir={"Tanh": _plain("tanh")},
        onnx={"Tanh": _plain("tanh")},
    ),
    Operator(
        "softplus",
        same_shape,
        _make_call("ops.softplus({x}, {beta}, 20)"),
        family="activation",
        about="log(1 + exp(beta x)) / beta",
        required=("beta",),
        settings={"beta": 1.0},
        patterns=_SOFTPLUSES,
        mindir={"Softplus": _softplus},
        onnx={"Softplus": _softplus},
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
        interval=lambda attrs: (attrs["low"], attrs["high"]),
        patterns=tuple(({}, pattern) for pattern in _CLAMPS),
    ),
)
