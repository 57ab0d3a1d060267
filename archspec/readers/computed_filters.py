"""Filters that a file computes of a weight before a convolution uses them: standardized ones.

What is computed is followed as a pattern (`fusion`), in which "x" is the weight, and with it where
the filters stand: a letter for each dimension, O for one that has a place for each filter, I, H and
W for those inside a filter, F for a whole filter in a row, 1 for what is the same all along.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isclose, prod
from typing import Any, TypeVar

import numpy as np

from archspec.operators.attributes import Attrs
from archspec.operators.convolutions import standardized
from archspec.operators.norms import CENTRED, over_its_root
from archspec.readers.fusion import Pattern, bind_names
from archspec.readers.tensors import Tensor, compute_later
from archspec.readers.trace import UNKNOWN, Call, Unsupported
from archspec.stored_numbers import decimal

MAX_NODES = 256
"""Of a pattern; each that is read twice is counted twice."""
INSIDE = frozenset("IHWF")
PLACES = {4: "OIHW", 3: "1OF", 2: "OF"}
"""Where filters stand in a tensor of so many dimensions."""
EACH = {4: "O111", 3: "1O1", 2: "O1", 1: "O"}
"""Where one number of each filter stands."""
WHOLE = frozenset({"OIHW", "OF", "O"})
"""Letters of all values of each filter in their order, or of one number of each."""

AnyCall = TypeVar("AnyCall", bound=Call)

_UNKNOWN = ("what is not known", None)
_MEAN_OF_A_PART = "mean of a part"
"""With the letters of what is still to be averaged."""


@dataclass(frozen=True, slots=True)
class OfWeight:
    """What is computed of one weight alone."""

    weight: Tensor
    dims: tuple[int, ...]
    places: str
    """The letter of each dimension."""
    value: Pattern
    size: int = 1
    """Nodes of the pattern."""

    @property
    def axis(self) -> int:
        """The dimension that has a place for each filter."""
        return self.places.index("O")

    @property
    def is_unknown(self) -> bool:
        """Nothing is known of it but the weight."""
        return bool(self.value == _UNKNOWN)

    @property
    def is_whole(self) -> bool:
        """It has all values of each filter, not one number."""
        return not INSIDE.isdisjoint(self.places)


def of_weight(value: Any) -> OfWeight:
    """Return a weight as what is computed of it: itself."""
    if isinstance(value, OfWeight):
        return value
    if not isinstance(value, Tensor) or len(value.dims) not in PLACES or min(value.dims) < 1:
        raise Unsupported(UNKNOWN)
    made = OfWeight(value, value.dims, PLACES[len(value.dims)], "x")
    return made if made.places[0] == "O" or made.dims[0] == 1 else _unknown(made)


def find_eps(value: OfWeight) -> float:
    """Return the eps of filters that have mean 0 and variance 1:
    normed as a layer norm norms a pixel.
    """
    for _, pattern in over_its_root(CENTRED):
        bound = bind_names(value.value, pattern)
        if bound is not None and bound["x"] == "x" and value.places == "OIHW":
            return decimal(float(bound["eps"]))
    raise Unsupported(_difference(value))


def with_its_weight(call: AnyCall) -> tuple[AnyCall, Attrs]:
    """Return a convolution's node that reads the weight itself where it reads what is computed of
    one, and the attributes that say what that is.
    """
    filters = call.inputs[1]
    if not isinstance(filters, OfWeight):
        return call, {}
    weight = _in_shape(filters.weight, filters.dims)
    told = standardized(find_eps(filters))
    return replace(call, inputs=(call.inputs[0], weight, *call.inputs[2:])), told


def _in_shape(weight: Tensor, dims: tuple[int, ...]) -> Tensor:
    """A weight of which the file had another shape, the values in the same order."""
    if weight.dims == dims:
        return weight
    return replace(
        weight, dims=dims, values=None, source=compute_later("Reshape", dims, weight.place)
    )


# ---- what a file may compute


def mean(x: OfWeight, axes: Sequence[int], keeps: bool) -> OfWeight:
    """Return the mean over dimensions; those of means over one after the other are one."""
    gone = {axis % len(x.dims) for axis in axes}
    if x.is_unknown or x.axis in gone:
        return _unknown(x)
    taken = {x.places[axis] for axis in gone} & INSIDE
    left, inner, value = _to_average(x) - taken, x.value, x.value
    if _kind(inner) == _MEAN_OF_A_PART:
        inner = inner[2]
    if taken:
        value = (_MEAN_OF_A_PART, "".join(sorted(left)), inner) if left else ("mean", None, inner)
    places, dims = [*x.places], [*x.dims]
    for at in gone:
        places[at], dims[at] = "1", 1
    kept = [at for at in range(len(dims)) if keeps or at not in gone]
    where = "".join(places[at] for at in kept)
    return _replace_value(x, value, tuple(dims[at] for at in kept), where)


def sum_over(x: OfWeight, axes: Sequence[int], keeps: bool) -> OfWeight:
    """Return the sum over dimensions: so many times the mean."""
    count = prod(x.dims[axis % len(x.dims)] for axis in axes)
    return times(mean(x, axes, keeps), count)


def plus(x: OfWeight, number: float) -> OfWeight:
    """Return a sum with a number."""
    return _replace_value(x, ("plus", number, x.value))


def times(x: OfWeight, number: float) -> OfWeight:
    """Return a product with a number; two in a row are one, and a factor of 1 is none."""
    inner = x.value
    if _kind(inner) == "times":
        number, inner = number * inner[1], inner[2]
    if isclose(number, 1, rel_tol=1e-6):
        return replace(x, value=inner)
    return _replace_value(x, ("times", number, inner))


def minus(x: OfWeight, y: OfWeight) -> OfWeight:
    """Return a difference; of what has mean 0 already, its mean takes nothing away."""
    is_centred = _kind(x.value) == "subtract" and x.value[3] == ("mean", None, x.value[2])
    if is_centred and y.value == ("mean", None, x.value):
        return x
    return _of_two("subtract", x, y)


def product(x: OfWeight, y: OfWeight) -> OfWeight:
    """Return a product, what has all values of a filter first."""
    first, second = (y, x) if y.is_whole and not x.is_whole else (x, y)
    return _of_two("multiply", first, second)


def quotient(x: OfWeight, y: OfWeight) -> OfWeight:
    """Return one divided by the other."""
    return _of_two("divide", x, y)


def square(x: OfWeight) -> OfWeight:
    """Return the square."""
    return product(x, x)


def root(x: OfWeight) -> OfWeight:
    """Return the root."""
    return _replace_value(x, ("sqrt", None, x.value))


def reciprocal(x: OfWeight) -> OfWeight:
    """Return one divided by it."""
    return _replace_value(x, ("reciprocal", None, x.value))


def reshape(x: OfWeight, target: Sequence[int]) -> OfWeight:
    """Return the same values in a row in another shape that keeps each filter by itself, and has
    all of its values in their order: of a part of them the new dimensions would tell nothing.
    """
    sizes = [*target]
    if -1 in sizes:
        rest = prod(size for size in sizes if size != -1)
        sizes[sizes.index(-1)] = prod(x.dims) // max(rest, 1)
    dims = tuple(sizes)
    places = (PLACES if x.is_whole else EACH).get(len(dims), "")
    stands_first = x.places.lstrip("1").startswith("O")
    if x.is_unknown:
        return x
    is_same = prod(dims) == prod(x.dims) and "O" in places and stands_first
    is_in_order = x.places.replace("1", "") in WHOLE
    if not (is_same and is_in_order) or dims[places.index("O")] != x.dims[x.axis]:
        return _unknown(x)
    ones = (size for size, letter in zip(dims, places, strict=True) if letter == "1")
    return _replace_value(x, x.value, dims, places) if {*ones} <= {1} else _unknown(x)


def transpose(x: OfWeight, axes: Sequence[int]) -> OfWeight:
    """Return the dimensions in another order."""
    if x.is_unknown:
        return x
    dims = tuple(x.dims[axis] for axis in axes)
    return _replace_value(x, x.value, dims, "".join(x.places[axis] for axis in axes))


def expand(x: OfWeight, target: Sequence[int]) -> OfWeight:
    """Return one number of each filter as often as a shape says."""
    if x.is_unknown:
        return x
    dims = np.broadcast_shapes(x.dims, tuple(target))
    places = x.places.rjust(len(dims), "1")
    return _replace_value(x, x.value, dims, places)


def normalize(x: OfWeight, eps: float) -> OfWeight:
    """Return what a batch norm makes of filters that are its channels, in training mode."""
    places = x.places
    if places != "1OF":
        return _unknown(x)
    centred = minus(x, mean(x, (2,), keeps=True))
    variance = mean(square(centred), (2,), keeps=True)
    return quotient(centred, root(plus(variance, decimal(float(eps)))))


def is_mean_of(value: Any, x: OfWeight) -> bool:
    """Return whether a value is the mean of each filter."""
    return _is_each(value, x) and bool(value.value == ("mean", None, x.value))


def is_variance_of(value: Any, x: OfWeight) -> bool:
    """Return whether a value is the variance of each filter."""
    centred = ("subtract", None, x.value, ("mean", None, x.value))
    squares = ("multiply", None, centred, centred)
    return _is_each(value, x) and bool(value.value == ("mean", None, squares))


def _is_each(value: Any, x: OfWeight) -> bool:
    return isinstance(value, OfWeight) and value.weight is x.weight and value.places == "O"


def _of_two(kind: str, x: OfWeight, y: OfWeight) -> OfWeight:
    if x.is_unknown or y.is_unknown or x.weight is not y.weight:
        return _unknown(x)
    dims = np.broadcast_shapes(x.dims, y.dims)
    places = ""
    for a, b in zip(x.places.rjust(len(dims), "1"), y.places.rjust(len(dims), "1"), strict=True):
        if a != b and "1" not in (a, b):
            return _unknown(x)
        places += b if a == "1" else a
    if places.count("O") != 1:
        return _unknown(x)
    return _replace_value(x, (kind, None, x.value, y.value), dims, places, x.size + y.size + 1)


def _replace_value(
    x: OfWeight,
    value: Pattern,
    dims: tuple[int, ...] | None = None,
    places: str = "",
    size: int = 0,
) -> OfWeight:
    dims, size = x.dims if dims is None else dims, size or x.size + 1
    made = OfWeight(x.weight, dims, places or x.places, value, size)
    return _unknown(made) if size > MAX_NODES else made


def _unknown(x: OfWeight) -> OfWeight:
    """What is computed in another way: it is a fault where a convolution reads it, if one does."""
    return replace(x, value=_UNKNOWN, size=1)


def _to_average(x: OfWeight) -> set[str]:
    """The letters over which a mean of whole filters is still to be taken."""
    return {*x.value[1]} if _kind(x.value) == _MEAN_OF_A_PART else {*x.places} & INSIDE


def _kind(value: Pattern) -> str:
    return "" if isinstance(value, str) else str(value[0])


# ---- what it is instead

_VARIANCE = ("mean", None, ("multiply", None, CENTRED, CENTRED))
_UNBIASED = ("times", "factor", _VARIANCE)
_DIVISORS = (
    (("plus", "eps", ("sqrt", None, _UNBIASED)), "their unbiased deviation + {eps}"),
    (("plus", "eps", ("sqrt", None, _VARIANCE)), "their deviation + {eps}"),
    (("sqrt", None, ("plus", "eps", _UNBIASED)), "the root of their unbiased variance + {eps}"),
    (("sqrt", None, _UNBIASED), "their unbiased deviation"),
    (("sqrt", None, _VARIANCE), "their deviation"),
)


def _difference(value: OfWeight) -> str:
    """What filters are that are standardized in another way, as a predicate."""
    for divisor, words in _DIVISORS:
        bound = bind_names(value.value, ("divide", None, CENTRED, divisor))
        if bound is not None and bound["x"] == "x":
            told = {"eps": decimal(float(bound["eps"]))} if "eps" in bound else {}
            by = words.format(**told)
            ours = "the root of their variance + weight_eps"
            return f"divides its filters by {by}; standardized: true divides them by {ours}"
    return "reads filters that are computed in another way than is known here"
