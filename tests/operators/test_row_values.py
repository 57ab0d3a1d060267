"""What each row says of values, held to the NumPy forward of its examples: whoever reads the row
believes it, and a flag that is wrong would be a wrong proof, not an error.
"""

from contextlib import suppress
from typing import Any

import numpy as np
import oracle
import pytest
from operators.example_values import computed, drawn
from operators.examples import READING, READING_NAMES, read_by

from archspec.certify.reach import Reach
from archspec.operators.shape_rules import ShapeFault
from archspec.operators.table import JOINS, OPERATORS


@pytest.mark.parametrize(("kind", "attrs"), READING, ids=READING_NAMES)
def test_what_a_row_says_of_signs_and_bounds_holds(kind: str, attrs: Any) -> None:
    row, inputs = OPERATORS[kind], drawn(kind)
    made = computed(kind, attrs, inputs)
    if row.is_never_negative:
        assert made.min() >= 0
    if row.is_gate:
        assert 0 <= made.min() <= made.max() <= 1
    if row.is_clamp:
        assert (made[inputs[0] < 0] == 0).all()
    if row.keeps_sign:
        assert computed(kind, attrs, drawn(kind, np.abs)).min() >= 0
    if row.interval is not None:
        assert (made == np.clip(inputs[0], *row.interval(attrs))).all()


@pytest.mark.parametrize(("kind", "attrs"), READING, ids=READING_NAMES)
def test_what_a_row_says_of_other_kinds_holds(kind: str, attrs: Any) -> None:
    """That it does nothing, that another undoes it, is the same, or comes of it and its input."""
    row, inputs = OPERATORS[kind], drawn(kind)
    made, x = computed(kind, attrs, inputs), inputs[0]
    if row.is_idle(attrs, x.shape[1]):
        assert (made == x).all()
    if row.undone_by:
        assert (computed(row.undone_by, attrs, [made]) == x).all()
    if row.times_input:
        assert np.allclose(computed(row.times_input, {}, inputs), x * made)
    if row.same_as(attrs):
        assert np.allclose(computed(row.same_as(attrs), attrs, inputs), made)


@pytest.mark.parametrize("kind", JOINS)
def test_a_row_says_whether_the_order_of_what_it_reads_is_nothing(kind: str) -> None:
    row, inputs = OPERATORS[kind], drawn(kind)
    made, turned = computed(kind, {}, inputs), computed(kind, {}, inputs[::-1])
    assert row.commutes == np.allclose(made, turned)
    assert row.verb


@pytest.mark.parametrize("kind", [kind for kind, row in OPERATORS.items() if row.over_whole_map])
def test_over_the_whole_map_it_is_what_its_row_says(kind: str) -> None:
    x = drawn(kind)[0][:, :, :6, :6]
    window = {"kernel": 6, "stride": 1, "padding": 0}
    expected = computed(OPERATORS[kind].over_whole_map, {"keep": True}, [x])
    assert np.allclose(computed(kind, window, [x]), expected)


@pytest.mark.parametrize("kind", [kind for kind, row in OPERATORS.items() if row.over_one_pixel])
def test_over_one_pixel_it_is_what_its_row_says(kind: str) -> None:
    x = drawn(kind)[0][:, :, :1, :1]
    for attrs in ({}, {"keep": True}):
        expected = computed(OPERATORS[kind].over_one_pixel, attrs, [x])
        assert np.array_equal(computed(kind, attrs, [x]), expected)


def test_over_a_vector_a_convolution_is_what_its_row_says() -> None:
    """With the same weights, as a matrix."""
    kind = "conv"
    attrs = {"in_channels": 16, "out_channels": 24, "kernel": 1, "stride": 3, "padding": 0}
    other, own = OPERATORS[kind].over_vector({**attrs, "bias": True}) or ("", {})
    x, draw = drawn(kind)[0][:, :, :1, :1], np.random.default_rng(1)
    weight, bias = draw.normal(size=(24, 16, 1, 1)), draw.normal(size=24)
    made = oracle.KINDS[kind]([x], {"weight": weight, "bias": bias}, attrs)
    flat = {"weight": weight[:, :, 0, 0], "bias": bias}
    assert np.allclose(oracle.KINDS[other]([x[:, :, 0, 0]], flat, own), made[:, :, 0, 0])
    for more in ({"kernel": 3, "padding": 1}, {"groups": 4}, {"standardized": True}):
        assert OPERATORS[kind].over_vector({**attrs, **more}) is None


@pytest.mark.parametrize(("kind", "attrs"), READING, ids=READING_NAMES)
def test_what_a_row_says_of_pixels_holds(kind: str, attrs: Any) -> None:
    row, inputs = OPERATORS[kind], drawn(kind)
    made, x = computed(kind, attrs, inputs), inputs[0]
    has_pixels = made.ndim == x.ndim == 4
    if not has_pixels or made.shape[2:] != x.shape[2:]:
        changes = made.shape[2:] != x.shape[2:]
        assert not changes or row.resizes or row.cuts_pixels
    assert row.enlarges == (has_pixels and made.shape[2:] > x.shape[2:])
    if row.keeps_one_pixel(attrs) and x.ndim == 4 and gives_a_pixel(kind, attrs):
        pixel = x[:, :, :1, :1]
        found = computed(kind, attrs, [pixel])
        assert (found.ravel() == pixel.ravel()).all()


def gives_a_pixel(kind: str, attrs: Any) -> bool:
    """A window may not fit into one."""
    with suppress(ShapeFault):
        return bool(OPERATORS[kind].shape(attrs, [(16, 1, 1)]))
    return False


@pytest.mark.parametrize(("kind", "attrs"), READING, ids=READING_NAMES)
def test_a_row_says_of_each_channel_on_what_it_depends(kind: str, attrs: Any) -> None:
    """Of as many as there are: which they are, tests of `reach` compare with numbers."""
    row, counts = OPERATORS[kind], [shape[0] for shape in read_by(kind)]
    if row.has_filters:
        return  # which their weights say
    parts = [Reach(np.eye(count, max(counts), dtype=bool), np.arange(count)) for count in counts]
    assert len(row.reach(attrs, parts).at) == row.channels(attrs, counts)


@pytest.mark.parametrize(("kind", "attrs"), READING, ids=READING_NAMES)
def test_what_a_row_says_of_weights_of_zero_holds(kind: str, attrs: Any) -> None:
    """They cut channels off: of what has filters and of what scales; the shift is left."""
    row = OPERATORS[kind]
    if not row.tensors(attrs) or not (row.has_filters or row.is_cut_by_zeros):
        return
    first, second = (computed(kind, attrs, drawn(kind, by), 0.0) for by in (np.array, np.abs))
    assert (first == second).all()
