"""Primitives in which a MINDIR standardizes filters; what they come to says `readers.filters`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from archspec.readers import computed_filters as filters
from archspec.readers.computed_filters import OfWeight, of_weight
from archspec.readers.tensors import Tensor
from archspec.readers.trace import UNKNOWN, Call, Unsupported


def is_of_weights(call: Call) -> bool:
    """Return whether an operator computes something of a weight alone."""
    known = (Tensor, OfWeight, int, float, tuple)
    if call.kind not in _COMPUTED or not all(isinstance(value, known) for value in call.inputs):
        return False
    return any(isinstance(value, (Tensor, OfWeight)) for value in call.inputs)


def of_weights(call: Call) -> OfWeight:
    """Return what an operator computes of a weight."""
    given: list[Any] = []
    for value in call.inputs:
        given.append(of_weight(value) if isinstance(value, Tensor) else value)
    return _COMPUTED[call.kind](*given)


def _mean(x: OfWeight, axes: Any, keeps: Any, *_: Any) -> OfWeight:
    return filters.mean(x, axes if isinstance(axes, tuple) else (axes,), bool(keeps))


def _two(compute: Callable[[OfWeight, OfWeight], OfWeight]) -> Callable[[Any, Any], OfWeight]:
    def made(first: Any, second: Any) -> OfWeight:
        if not (isinstance(first, OfWeight) and isinstance(second, OfWeight)):
            raise Unsupported(UNKNOWN)
        return compute(first, second)

    return made


def _plus(first: Any, second: Any) -> OfWeight:
    if not isinstance(second, (int, float)):
        raise Unsupported(UNKNOWN)
    return filters.plus(first, second)


_COMPUTED: Mapping[str, Callable[..., OfWeight]] = {
    "ReduceMean": _mean,
    "Sub": _two(filters.minus),
    "Mul": _two(filters.product),
    "Div": _two(filters.quotient),
    "Add": _plus,
    "Square": filters.square,
    "Sqrt": filters.root,
    "Rsqrt": lambda x: filters.reciprocal(filters.root(x)),
}
