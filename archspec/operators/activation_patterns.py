"""Activations as files write them out in several nodes; `archspec/readers/fusion.py` says what a
pattern is.
"""

from __future__ import annotations

from math import pi, sqrt
from typing import Any

from archspec.operators.attributes import Attrs

Pattern = Any

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


EXACT_GELUS: tuple[tuple[Attrs, Pattern], ...] = tuple(
    ({}, pattern) for pattern in _half_gated(_ERF)
)
TANH_GELUS = tuple(
    ({"approximate": "tanh"}, pattern)
    for tanh in map(_tanh_of, _CUBES)
    for pattern in _half_gated(tanh)
)

SILU: Pattern = ("multiply", None, "x", ("sigmoid", None, "x"))

_SHIFTED_RELU6: Pattern = ("relu6", None, ("plus", 3.0, "x"))
HARD_SIGMOID: Pattern = ("times", 1 / 6, _SHIFTED_RELU6)
HARD_SWISHES: tuple[Pattern, ...] = (
    ("multiply", None, "x", ("hard_sigmoid", None, "x")),
    ("times", 1 / 6, ("multiply", None, "x", _SHIFTED_RELU6)),
)

_ELU_OF_ONE: Pattern = ("elu", {"alpha": 1.0}, "x")
ELU: Pattern = ("select", None, ("greater", 0.0, "x"), "x", ("times", "alpha", _ELU_OF_ONE))

TANH: Pattern = (
    "subtract",
    None,
    ("sigmoid", None, ("times", 2.0, "x")),
    ("sigmoid", None, ("times", -2.0, "x")),
)

_SOFTPLUS_OF_ONE: Pattern = ("softplus", {"beta": 1.0}, "x")
_SIGMOID: Pattern = ("sigmoid", None, "x")
_SHARE: Pattern = ("multiply", None, _SIGMOID, ("from", 2.0, _SIGMOID))
MISHES: tuple[Pattern, ...] = (
    ("multiply", None, "x", ("tanh", None, _SOFTPLUS_OF_ONE)),
    ("multiply", None, "x", ("divide", None, _SHARE, ("from", 2.0, _SHARE))),
)

_SCALED: Pattern = ("times", "beta", "x")
_LINEAR_ABOVE = 20.0
_SOFTPLUS: Pattern = ("softplus", {"beta": "beta"}, "x")
SOFTPLUSES: tuple[tuple[Attrs, Pattern], ...] = (
    ({}, ("times", "1/beta", ("softplus", {"beta": 1.0}, _SCALED))),
    ({}, ("select", None, ("greater", _LINEAR_ABOVE, _SCALED), "x", _SOFTPLUS)),
    ({"beta": 1.0}, ("select", None, ("greater", _LINEAR_ABOVE, "x"), "x", _SOFTPLUS_OF_ONE)),
)
"""Where beta x is above 20 frameworks take x itself, which is 2e-9 / beta more."""

CLAMPS: tuple[Pattern, ...] = (
    ("at_most", "high", ("at_least", "low", "x")),
    ("at_least", "low", ("at_most", "high", "x")),
)
