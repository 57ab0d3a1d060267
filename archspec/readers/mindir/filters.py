"""Filters that a MINDIR computes of a weight before a convolution uses them: standardized ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from archspec.operators.table import OPERATORS
from archspec.readers.fusion import Pattern, bound_in
from archspec.readers.tensors import Tensor
from archspec.readers.trace import UNKNOWN, Call, Unsupported, decimal

OVER_A_FILTER = (1, 2, 3)


@dataclass(frozen=True, slots=True)
class OfWeight:
    """What is computed of one weight alone, as a pattern (archspec/readers/fusion.py);
    "x" is the weight.
    """

    weight: Tensor
    value: Pattern


def is_of_weights(call: Call) -> bool:
    """Return whether an operator computes something of a weight alone."""
    known = (Tensor, OfWeight, int, float, tuple)
    return (
        call.kind in _COMPUTED
        and all(isinstance(value, known) for value in call.inputs)
        and any(isinstance(value, (Tensor, OfWeight)) for value in call.inputs)
    )


def of_weights(call: Call) -> OfWeight:
    """Return what an operator computes of a weight."""
    given = [_known(value) for value in call.inputs]
    weights = [each.weight for each in given if isinstance(each, OfWeight)]
    if any(weight != weights[0] for weight in weights):
        raise Unsupported(UNKNOWN)
    return OfWeight(weights[0], _COMPUTED[call.kind](*given))


def standardized(value: OfWeight) -> float:
    """Return the eps of filters that have mean 0 and variance 1:
    normed as a layer norm norms a pixel.
    """
    for _, pattern in OPERATORS["layer_norm"].patterns:
        bound = bound_in(value.value, pattern)
        if bound is not None and bound["x"] == "x":
            return decimal(float(bound["eps"]))
    raise Unsupported("reads filters that are computed in another way than is known here")


def _known(value: Any) -> Any:
    return OfWeight(value, "x") if isinstance(value, Tensor) else value


def _mean(x: Any, axes: Any, keeps: Any, *_: Any) -> Pattern:
    if axes != OVER_A_FILTER or not keeps:
        raise Unsupported(UNKNOWN)
    return ("mean", None, x.value)


def _two(kind: str) -> Callable[[Any, Any], Pattern]:
    def made(first: Any, second: Any) -> Pattern:
        if not (isinstance(first, OfWeight) and isinstance(second, OfWeight)):
            raise Unsupported(UNKNOWN)
        return (kind, None, first.value, second.value)

    return made


def _plus(first: Any, second: Any) -> Pattern:
    if not isinstance(second, (int, float)):
        raise Unsupported(UNKNOWN)
    return ("plus", second, first.value)


_COMPUTED: Mapping[str, Callable[..., Pattern]] = {
    "ReduceMean": _mean,
    "Sub": _two("subtract"),
    "Mul": _two("multiply"),
    "Div": _two("divide"),
    "Add": _plus,
    "Square": lambda x: ("multiply", None, x.value, x.value),
    "Sqrt": lambda x: ("sqrt", None, x.value),
    "Rsqrt": lambda x: ("reciprocal", None, ("sqrt", None, x.value)),
}
