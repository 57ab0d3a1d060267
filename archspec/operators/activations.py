"""Activations: functions of each value by itself; a PReLU alone has a weight for each channel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import pi, sqrt
from typing import Annotated, Any

from pydantic import Field

from archspec.operators.operator import Attrs, MindSpore, Operator
from archspec.operators.shapes import Shape, of_its_channels, same_shape
from archspec.settings import SpecModel

Pattern = Any
"""What a value is made of: see archspec/readers/fusion.py."""


class ActivationSettings(SpecModel):
    """Settings of all activations; each kind has some of them, with a default of its own."""

    kind: str = "relu"
    slope: Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)] | None = None
    """Of negative values: of leaky_relu (0.01 where absent), at the start of prelu (0.25)."""


def _slopes(attrs: Attrs) -> Mapping[str, Shape]:
    return {"w": (attrs["channels"],)}


def _called(text: str) -> MindSpore:
    return MindSpore(call=text, is_inline=True)


def _plain(kind: str) -> Callable[[Any], Any]:
    """Reads a node that is this activation, whatever its inputs and attributes."""
    return lambda node: node.elementwise(kind)


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

ROWS = (
    Operator(
        "relu",
        same_shape,
        _called("ops.relu({x})"),
        family="activation",
        is_clamp=True,
        is_never_negative=True,
        mindir={"ReLU": _plain("relu")},
        onnx={"Relu": _plain("relu")},
    ),
    Operator(
        "relu6",
        same_shape,
        _called("ops.relu6({x})"),
        family="activation",
        is_clamp=True,
        is_never_negative=True,
        mindir={"ReLU6": _plain("relu6")},
    ),
    Operator(
        "silu",
        same_shape,
        _called("ops.silu({x})"),
        family="activation",
        patterns=(({}, ("multiply", None, "x", ("sigmoid", None, "x"))),),
        mindir={"SiLU": _plain("silu")},
        onnx={"com.microsoft::QuickGelu": _quick_gelu},
    ),
    Operator(
        "gelu",
        same_shape,
        _called('ops.gelu({x}, approximate="none")'),
        family="activation",
        defaults={"approximate": "none"},
        patterns=(*_EXACT_GELUS, *_TANH_GELUS),
        mindir={"GeLU": lambda node: node.elementwise("gelu", approximate="tanh")},
        onnx={"Gelu": _gelu, "com.microsoft::Gelu": _gelu},
    ),
    Operator(
        "hard_swish",
        same_shape,
        _called("ops.hardswish({x})"),
        family="activation",
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
        _called("ops.leaky_relu({x}, {slope})"),
        family="activation",
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
        required=("channels", "slope"),
        untold=frozenset({"slope"}),
        settings={"slope": 0.25},
    ),
    Operator(
        "sigmoid",
        same_shape,
        _called("ops.sigmoid({x})"),
        family="activation",
        is_never_negative=True,
        is_gate=True,
        times_input="silu",
        mindir={"Sigmoid": _plain("sigmoid")},
        onnx={"Sigmoid": _plain("sigmoid")},
    ),
    Operator(
        "hard_sigmoid",
        same_shape,
        _called("ops.hardsigmoid({x})"),
        family="activation",
        is_never_negative=True,
        is_gate=True,
        times_input="hard_swish",
        patterns=(({}, ("times", 1 / 6, _SHIFTED_RELU6)),),
        mindir={"HSigmoid": _plain("hard_sigmoid")},
        onnx={"HardSigmoid": _hard_sigmoid},
    ),
)
