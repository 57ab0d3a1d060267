"""The nodes in which an ONNX standardizes filters; what they come to says `readers.filters`.

PyTorch's TorchScript exporter writes mean and variance out; or, for filters that timm lays in a row
of channels, a batch norm, in training mode or with the mean and the variance that the file computes
before it. Its dynamo exporter leaves them in the file where the weight is large.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from archspec.operators.norm_nodes import EPS
from archspec.readers import computed_filters as filters
from archspec.readers.computed_filters import OfWeight, of_weight
from archspec.readers.onnx.call import Call, take_over_sizes
from archspec.readers.tensors import Tensor
from archspec.readers.trace import UNKNOWN, Feature, Unsupported
from archspec.stored_numbers import decimal

_BEGIN = frozenset({"ReduceMean", "ReduceSum", "BatchNormalization"})
"""What a file computes of filters, and of no other constant."""
USUAL_MOMENTUM = 0.9
_FIRST_WITH_A_MODE = 14
"""The opset from which on a batch norm says whether it is in training mode."""


def is_of_filters(call: Call) -> bool:
    """Return whether a node computes something of filters alone."""
    if call.kind not in FILTERS or any(isinstance(value, Feature) for value in call.inputs):
        return False
    begins = call.kind in _BEGIN and call.has(0) and isinstance(call.inputs[0], Tensor)
    return begins or any(isinstance(value, OfWeight) for value in call.inputs)


def _average(compute: Callable[[OfWeight, Any, bool], OfWeight], call: Call) -> OfWeight:
    x = of_weight(call.inputs[0])
    given = call.option("axes", 1, tuple(range(len(x.dims))))
    axes = given if isinstance(given, tuple) else (given,)
    return compute(x, axes, bool(call.attrs.get("keepdims", 1)))


def _arithmetic(call: Call) -> OfWeight:
    first, second = call.inputs
    by_number = _BY_NUMBER.get(call.kind)
    for x, other, is_first in ((first, second, True), (second, first, False)):
        number = _number_of(other)
        if number is not None and by_number is not None:
            return by_number(of_weight(x), float(number), is_first)
    if call.kind not in _OF_TWO:
        raise Unsupported(UNKNOWN)
    return _OF_TWO[call.kind](of_weight(first), of_weight(second))


def _number_of(value: Any) -> float | None:
    """A constant's one number; one of half precision as it was before it was rounded to that."""
    if not isinstance(value, Tensor) or value.number is None:
        return None
    is_half = value.values.dtype == np.float16
    return decimal(float(value.number), "e") if is_half else value.number


def _sum_with(x: OfWeight, number: float, is_first: bool) -> OfWeight:
    return filters.plus(x, number)


def _difference_from(x: OfWeight, number: float, is_first: bool) -> OfWeight:
    if not is_first:
        raise Unsupported(UNKNOWN)
    return filters.plus(x, -number)


def _product_with(x: OfWeight, number: float, is_first: bool) -> OfWeight:
    return filters.times(x, number)


def _quotient_by(x: OfWeight, number: float, is_first: bool) -> OfWeight:
    if is_first:
        return filters.times(x, 1 / number)
    return filters.times(filters.reciprocal(x), number)


def _power(x: OfWeight, number: float, is_first: bool) -> OfWeight:
    powers = {2.0: filters.square, 0.5: filters.root}
    if not is_first or number not in powers:
        raise Unsupported(UNKNOWN)
    return powers[number](x)


_BY_NUMBER: Mapping[str, Callable[[OfWeight, float, bool], OfWeight]] = {
    "Add": _sum_with,
    "Sub": _difference_from,
    "Mul": _product_with,
    "Div": _quotient_by,
    "Pow": _power,
}
"""Of a value and a number, and whether the value comes first."""
_OF_TWO: Mapping[str, Callable[[OfWeight, OfWeight], OfWeight]] = {
    "Sub": filters.minus,
    "Mul": filters.product,
    "Div": filters.quotient,
}


def _reshape(call: Call) -> OfWeight:
    x, target = of_weight(call.inputs[0]), call.option("shape", 1)
    return filters.reshape(x, take_over_sizes(call, target, x.dims))


def _transpose(call: Call) -> OfWeight:
    x = of_weight(call.inputs[0])
    return filters.transpose(x, call.attrs.get("perm", tuple(reversed(range(len(x.dims))))))


def _expand(call: Call) -> OfWeight:
    return filters.expand(of_weight(call.inputs[0]), call.option("shape", 1))


def _normalize(call: Call) -> OfWeight:
    """A batch norm over filters; in training mode it takes mean and variance of them itself.

    With another momentum than 1 ONNX Runtime norms by a share of the given ones in training mode.
    """
    x = of_weight(call.inputs[0])
    if not (_are_all(call.inputs[1], 1) and _are_all(call.inputs[2], 0)):
        raise Unsupported("multiplies standardized filters, or adds to them")
    is_old = call.opset < _FIRST_WITH_A_MODE
    trains = call.outputs > 1 if is_old else bool(call.attrs.get("training_mode"))
    takes_its_own = trains and call.attrs.get("momentum", USUAL_MOMENTUM) == 1
    mean, variance = call.inputs[3:5]
    are_given = filters.is_mean_of(mean, x) and filters.is_variance_of(variance, x)
    if not (takes_its_own or are_given):
        raise Unsupported("norms filters by another mean or variance than theirs")
    return filters.normalize(x, call.attrs.get("epsilon", EPS))


def _are_all(value: Any, number: int) -> bool:
    known = isinstance(value, Tensor) and value.values is not None
    return known and bool((value.values == number).all())


def _each(compute: Callable[[OfWeight], OfWeight], call: Call) -> OfWeight:
    return compute(of_weight(call.inputs[0]))


FILTERS: Mapping[str, Callable[[Call], Any]] = {
    "ReduceMean": partial(_average, filters.mean),
    "ReduceSum": partial(_average, filters.sum_over),
    "BatchNormalization": _normalize,
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Pow"), _arithmetic),
    "Sqrt": partial(_each, filters.root),
    "Reciprocal": partial(_each, filters.reciprocal),
    "Reshape": _reshape,
    "Transpose": _transpose,
    "Expand": _expand,
}
