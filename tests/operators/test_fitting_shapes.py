"""What a row's shape rule takes is what NumPy computes, to the shape that it says: what it took
beyond that would be a network that no engine runs, and the proof would have no fault to find.
"""

from contextlib import suppress
from itertools import product
from typing import Any

import numpy as np
import pytest
from operators.example_values import computed, drawn, drawn_of
from operators.examples import MAP, READING, Shape

from archspec.certify.reach import Reach
from archspec.operators.shape_rules import ShapeFault
from archspec.operators.table import JOINS, OPERATORS

CHANNELS, HEIGHT, WIDTH = MAP
SHAPES: tuple[Shape, ...] = (
    MAP,
    (3, HEIGHT, WIDTH),
    (1, HEIGHT, WIDTH),
    (CHANNELS, 5, WIDTH),
    (CHANNELS, HEIGHT, 1),
    (CHANNELS, 1, 1),
    (1, 1, 1),
    (CHANNELS,),
    (1,),
)
"""Of a map, and what it might be joined with."""


PAIRS = [*product(SHAPES, SHAPES)]
ALONE = [(kind, attrs) for kind, attrs in READING if kind not in JOINS]


def fault_of(kind: str, pair: tuple[Shape, Shape]) -> ShapeFault | None:
    try:
        OPERATORS[kind].shape({}, pair)
    except ShapeFault as fault:
        return fault
    return None


def shape_in_numpy(kind: str, attrs: Any, *read: Shape) -> Shape | None:
    """With the weights that the operator has; None where they do not fit."""
    with suppress(ValueError, IndexError):
        return computed(kind, attrs, drawn_of(read)).shape[1:]
    return None


def shape_of(kind: str, attrs: Any, *read: Shape) -> Shape | None:
    with suppress(ShapeFault):
        return OPERATORS[kind].shape(attrs, read)
    return None


@pytest.mark.parametrize(("kind", "attrs"), ALONE, ids=[kind for kind, _ in ALONE])
def test_an_operator_takes_what_numpy_computes_with_its_weights(kind: str, attrs: Any) -> None:
    """Not another number of channels than it has weights for, nor a vector where it needs pixels;
    and to something it comes.
    """
    found = {read: shape_of(kind, attrs, read) for read in SHAPES}
    taken = {read: shape for read, shape in found.items() if shape is not None}
    assert taken
    assert taken == {read: shape_in_numpy(kind, attrs, read) for read in taken}


@pytest.mark.parametrize("kind", JOINS)
def test_a_join_takes_what_numpy_joins_to_the_shape_that_it_says(kind: str) -> None:
    """NumPy would also repeat the one channel of what has one: each channel depends on those of its
    place, of which there are as many in all that is read, unless they stand one behind the other.
    """
    row = OPERATORS[kind]
    for pair in PAIRS:
        if fault_of(kind, pair) is not None:
            continue
        shape, counts = row.shape({}, pair), [each[0] for each in pair]
        assert shape == shape_in_numpy(kind, {}, *pair), f"{kind} of {pair}"
        assert row.channels({}, counts) == shape[0], f"{kind} of {pair}"
        assert len({*counts}) == 1 or shape[0] == sum(counts), f"{kind} of {pair}"


@pytest.mark.parametrize("kind", JOINS)
def test_a_join_refuses_some_and_says_which_of_what_it_reads_does_not_fit(kind: str) -> None:
    """By their positions, of which a message of the spec makes branches or layers; and the cure."""
    faults = [fault_of(kind, pair) for pair in PAIRS]
    assert None in faults
    told = [{*fault.inputs} for fault in faults if fault is not None]
    assert told
    assert all(positions and positions <= {0, 1} for positions in told)
    assert OPERATORS[kind].hint


@pytest.mark.parametrize("kind", JOINS)
def test_a_channel_of_a_join_depends_on_all_that_moves_it(kind: str) -> None:
    """Each of what is read is moved by itself."""
    read = drawn(kind)
    made, seen, sources = computed(kind, {}, read), [], range(len(read))
    for source in sources:
        other = [x + (number == source) * np.cos(x) for number, x in enumerate(read)]
        changes = (computed(kind, {}, other) != made).swapaxes(0, 1)
        seen.append(changes.reshape(len(changes), -1).any(axis=1))
    rows = np.eye(len(read) + 1, len(read), -1, bool)
    parts = [Reach(rows, np.full(x.shape[1], source + 1)) for source, x in enumerate(read)]
    assert (OPERATORS[kind].reach({}, parts).table == np.stack(seen, axis=1)).all()
