"""What NumPy makes of an example: the numbers that a row is held to."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import oracle
from operators.examples import EXAMPLES, Shape, default_of, read_by

from archspec.graph.ir import Op
from archspec.operators.table import JOINS

Array = Any


def drawn(kind: str, change: Callable[[Array], Array] = np.array) -> list[Array]:
    """What an example reads: values on both sides of 0, changed."""
    return drawn_of(read_by(kind), change)


def drawn_of(shapes: tuple[Shape, ...], change: Callable[[Array], Array] = np.array) -> list[Array]:
    """Values of these shapes."""
    draw = np.random.default_rng(0)
    return [change(draw.normal(size=(2, *shape), scale=3.0)) for shape in shapes]


def weights_of(kind: str, attrs: Any) -> Mapping[str, Array]:
    """An operator's tensors by role, none of them trivial."""
    weights = oracle.random_parameters([Op("x", kind, (), attrs)], 0)
    return {name.removeprefix("x."): values for name, values in weights.items()}


def computed(kind: str, attrs: Any, inputs: list[Array], factor: float = 1.0) -> Array:
    """What an operator gives, its weights multiplied by a factor."""
    mine = {role: factor * values for role, values in weights_of(kind, attrs).items()}
    return oracle.KINDS[kind](inputs, mine, attrs)


def other_value(kind: str, name: str, attrs: Any) -> Any:
    """Another value of an attribute than that of an example: the default, or one more."""
    default = default_of(kind, name)
    return attrs[name] + 1 if default is None else default


def changes_numbers(kind: str, name: str) -> bool:
    """Whether what an operator gives in evaluation depends on an attribute that a spec says."""
    (attrs, *_) = (attrs for attrs in EXAMPLES[kind] if name in attrs)
    made = computed(kind, attrs, drawn(kind))
    try:
        other = computed(kind, {**attrs, name: other_value(kind, name, attrs)}, drawn(kind))
    except ValueError:  # groups that do not divide the channels
        return True
    return made.shape != other.shape or not np.array_equal(made, other)


def is_sum(kind: str) -> bool:
    """Each value of a join is a sum of several, times whatever is fixed: the values of sums are
    sums.
    """
    if kind not in JOINS:
        return False
    first, second = drawn(kind), drawn(kind, np.cos)
    both = [x + y for x, y in zip(first, second, strict=True)]
    made, more = computed(kind, {}, first), computed(kind, {}, second)
    is_of_several = made.shape[1] < sum(x.shape[1] for x in first)
    return is_of_several and np.allclose(computed(kind, {}, both), made + more)
