"""What each row says of values, held to the NumPy forward of its examples: whoever reads the row
believes it, and a flag that is wrong would be a wrong proof, not an error.
"""

from contextlib import suppress
from typing import Any

import numpy as np
import oracle
import pytest
from operators.example_values import computed, drawn
from operators.examples import EXAMPLES, READING, READING_NAMES, read_by

from archspec.certify.reach import Reach
from archspec.operators.shape_rules import ShapeFault
from archspec.operators.table import ACTIVATIONS, JOINS, OPERATORS

Array = Any


KINDS = [kind for kind, row in OPERATORS.items() if row.arity != 0]


def negative(x: Array) -> Array:
    return -np.abs(x)


def range_of(kind: str, *changes: Any) -> tuple[float, float]:
    """The least and the largest value that any example gives."""
    made = [computed(kind, attrs, drawn(kind, by)) for attrs in EXAMPLES[kind] for by in changes]
    return min(map(np.min, made)), max(map(np.max, made))


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_says_which_signs_and_bounds_its_values_have(kind: str) -> None:
    """Of what an activation or dropout reads nobody asks whether it keeps the sign."""
    row, is_function = OPERATORS[kind], OPERATORS[kind].family == "activation"
    least, most = range_of(kind, np.array, np.abs, negative)
    assert row.is_never_negative == (least >= 0)
    assert row.is_gate == (is_function and least >= 0 and most <= 1)
    is_asked = not is_function and not row.is_of_training and kind != "output" and least < 0
    assert row.keeps_sign == (is_asked and range_of(kind, np.abs)[0] >= 0)


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_a_row_says_whether_an_activation_leaves_values_between_bounds_as_they_are(
    kind: str,
) -> None:
    """And cuts off the rest, at zero or elsewhere."""
    row, (attrs, *_), (x,) = OPERATORS[kind], EXAMPLES[kind], drawn(kind)
    made = computed(kind, attrs, [x])
    cuts = bool(np.isin(made[made != x], [made.min(), made.max()]).all())
    assert (row.interval is not None) == cuts
    assert row.is_clamp == (made[x < 0] == 0).all()
    if row.interval is not None:
        assert (made == np.clip(x, *row.interval(attrs))).all()


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_a_row_says_which_activation_its_input_times_its_output_is(kind: str) -> None:
    (attrs, *_), (x,) = EXAMPLES[kind], drawn(kind)
    plain = [other for other in ACTIVATIONS if not OPERATORS[other].required]
    product = x * computed(kind, attrs, [x])
    found = [other for other in plain if np.allclose(computed(other, {}, [x]), product)]
    assert [OPERATORS[kind].times_input] == (found or [""])


@pytest.mark.parametrize("kind", sorted({*OPERATORS} - {*ACTIVATIONS}))
def test_what_is_no_activation_says_nothing_that_activations_alone_are_asked(kind: str) -> None:
    row = OPERATORS[kind]
    assert (row.interval, row.is_clamp, row.is_gate, row.times_input) == (None, False, False, "")


@pytest.mark.parametrize(("kind", "attrs"), READING, ids=READING_NAMES)
def test_what_a_row_says_of_other_kinds_holds(kind: str, attrs: Any) -> None:
    """That it does nothing, that another undoes it, or is the same."""
    row, inputs = OPERATORS[kind], drawn(kind)
    made, x = computed(kind, attrs, inputs), inputs[0]
    if row.is_idle(attrs, x.shape[1]):
        assert (made == x).all()
    if row.undone_by:
        assert (computed(row.undone_by, attrs, [made]) == x).all()
    if row.same_as(attrs):
        assert np.allclose(computed(row.same_as(attrs), attrs, inputs), made)


@pytest.mark.parametrize("kind", JOINS)
def test_a_row_says_whether_the_order_of_what_it_reads_is_nothing(kind: str) -> None:
    row, inputs = OPERATORS[kind], drawn(kind)
    made, turned = computed(kind, {}, inputs), computed(kind, {}, inputs[::-1])
    assert row.commutes == np.allclose(made, turned)
    assert row.verb


@pytest.mark.parametrize("kind", sorted({*OPERATORS} - {*JOINS}))
def test_what_reads_one_value_has_no_order(kind: str) -> None:
    assert not OPERATORS[kind].commutes


@pytest.mark.parametrize("kind", [kind for kind in KINDS if OPERATORS[kind].required])
def test_a_row_says_what_undoes_it(kind: str) -> None:
    """Another kind with the same attributes; dropouts do nothing that could be undone."""
    row, (attrs, *_), inputs = OPERATORS[kind], EXAMPLES[kind], drawn(kind)
    others = [other for other in KINDS if OPERATORS[other].required == row.required]
    alike = [other for other in others if other != kind and not row.is_of_training]
    found = [other for other in alike if undoes(other, kind, attrs, inputs)]
    assert [row.undone_by] == (found or [""])


def undoes(other: str, kind: str, attrs: Any, inputs: list[Array]) -> bool:
    with suppress(ValueError):
        again = computed(other, attrs, [computed(kind, attrs, inputs)])
        return np.array_equal(again, inputs[0])
    return False


def words_of(kind: str) -> set[str]:
    """What files call an operator."""
    row = OPERATORS.get(kind)
    return {*row.onnx, *row.mindir} if row else set()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_read_as_a_pool_of_the_whole_map_shares_its_nodes(kind: str) -> None:
    """The other row reads them where the window is the map."""
    row = OPERATORS[kind]
    assert row.is_read_as_whole == bool(words_of(row.over_whole_map) & words_of(kind))


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


def test_of_pools_that_are_one_over_a_pixel_all_but_one_say_so() -> None:
    """Those over all pixels: each names another of them, and at last all the same."""
    free = [kind for kind in KINDS if OPERATORS[kind].resizes and not OPERATORS[kind].required]
    same = [kind for kind in free if is_pixel_kept(kind, {})]
    last = [kind for kind in same if not OPERATORS[kind].over_one_pixel]
    assert len(last) == 1
    assert {OPERATORS[kind].over_one_pixel for kind in same} <= {*last, ""}


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
        assert not changes or row.resizes != row.cuts_pixels
    if row.cuts_pixels:
        assert np.isin(made, x).all()
    assert row.enlarges == (has_pixels and made.shape[2:] > x.shape[2:])
    if x.ndim == 4 and len(inputs) == 1 and gives_a_pixel(kind, attrs):
        assert row.keeps_one_pixel(attrs) == (row.resizes and is_pixel_kept(kind, attrs))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "kernel" in OPERATORS[kind].required])
def test_a_window_of_one_pixel_keeps_what_its_row_says(kind: str) -> None:
    """Those of examples are larger than a pixel; a blur has none that is so small."""
    attrs = {**EXAMPLES[kind][-1], "kernel": 1, "padding": 0}
    with suppress(ValueError):
        assert OPERATORS[kind].keeps_one_pixel(attrs) == is_pixel_kept(kind, attrs)


def is_pixel_kept(kind: str, attrs: Any) -> bool:
    pixel = drawn(kind)[0][:, :, :1, :1]
    return np.array_equal(computed(kind, attrs, [pixel]).ravel(), pixel.ravel())


def gives_a_pixel(kind: str, attrs: Any) -> bool:
    """A window may not fit into one."""
    with suppress(ShapeFault):
        return OPERATORS[kind].shape(attrs, [(16, 1, 1)])[1:] in ((), (1, 1))
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
