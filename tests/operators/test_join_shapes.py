"""What a join takes side by side: what NumPy joins to the shape that the row says, and nothing that
tests of the row do not know.
"""

from itertools import product

import numpy as np
import oracle
import pytest
from operators.example_values import computed, drawn, drawn_of
from operators.examples import MAP, Shape

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


def fault_of(kind: str, pair: tuple[Shape, Shape]) -> ShapeFault | None:
    try:
        OPERATORS[kind].shape({}, pair)
    except ShapeFault as fault:
        return fault
    return None


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
        try:
            made = oracle.KINDS[kind](drawn_of(pair), {}, {}).shape[1:]
        except ValueError:
            made = ()
        assert shape == made, f"{kind} of {pair}"
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
