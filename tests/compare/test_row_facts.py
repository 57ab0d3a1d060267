"""What comparisons conclude of rows, held to the NumPy forward of an example of each kind: what is
said of an operator that is not so would make two networks equal that are not.
"""

from itertools import product
from typing import Any

import numpy as np
import oracle
import pytest
from operators.examples import ALL, NAMES, read_by

from archspec.compare.row_facts import (
    has_bias,
    has_statistics,
    is_written_out,
    standardizes_filters,
)
from archspec.graph.ir import Op
from archspec.operators.norms import norm_of_scale_and_shift
from archspec.operators.table import OPERATORS, ROWS

Array = Any
OPS = [Op("x", kind, ("y",), attrs) for kind, attrs in ALL if kind != "input"]
IDS = [name for (kind, _), name in zip(ALL, NAMES, strict=True) if kind != "input"]


def drawn(kind: str, seed: int = 0) -> list[Array]:
    draw = np.random.default_rng(seed)
    return [draw.normal(size=(2, *shape), scale=3.0) for shape in read_by(kind)]


def weights_of(op: Op) -> dict[str, Array]:
    weights = oracle.random_parameters([op], 0)
    return {name.removeprefix("x."): values for name, values in weights.items()}


def computed(op: Op, inputs: list[Array], **others: Array) -> Array:
    return oracle.KINDS[op.kind](inputs, {**weights_of(op), **others}, op.attrs)


@pytest.mark.parametrize("op", OPS, ids=IDS)
def test_what_has_statistics_scales_and_shifts_each_channel(op: Op) -> None:
    """Of sums it gives the sums, and of one channel alone nothing but that channel."""
    if not has_statistics(op):
        assert not {"moving_mean", "moving_variance"} & {*weights_of(op)}
        return
    (first,), (second,) = drawn(op.kind), drawn(op.kind, 1)
    shift = computed(op, [0 * first])
    both = computed(op, [first]) + computed(op, [second])
    assert np.allclose(computed(op, [first + second]) + shift, both)
    alone = first * (np.arange(first.shape[1]) == 3)[:, None, None]
    assert ((computed(op, [alone]) != shift).any((0, 2, 3)).nonzero()[0] == [3]).all()


def test_a_norm_of_a_scale_and_a_shift_is_one_that_is_written_out() -> None:
    """The kind is one that has statistics; where the file tells its eps, it stands there itself."""
    kind, attrs = norm_of_scale_and_shift(16)
    assert is_written_out(Op("x", kind, (), attrs))
    assert not is_written_out(Op("x", kind, (), {**attrs, "eps": 1e-5}))
    others = [row.kind for row in ROWS if row.family == "norm" and row.kind != kind]
    assert not any(is_written_out(Op("x", other, (), attrs)) for other in others)


@pytest.mark.parametrize("op", OPS, ids=IDS)
def test_standardized_filters_are_those_of_other_weights_too(op: Op) -> None:
    """Ten thousand times the weights, and more, filter alike but for what the eps comes to."""
    if "weight" not in weights_of(op):
        assert not standardizes_filters(op)
        return
    weight = 1e4 * weights_of(op)["weight"]
    first, second = (computed(op, drawn(op.kind), weight=weight + more) for more in (0, 1e4))
    assert standardizes_filters(op) == np.allclose(first, second, atol=1e-4)


@pytest.mark.parametrize("op", OPS, ids=IDS)
def test_what_has_a_bias_has_a_tensor_of_it(op: Op) -> None:
    """Said or by default."""
    assert has_bias(op) == ("bias" in weights_of(op))


@pytest.mark.parametrize("op", OPS, ids=IDS)
def test_what_is_done_by_value_is_done_to_a_vector_as_to_a_map(op: Op) -> None:
    if OPERATORS[op.kind].is_by_value:
        pixel = drawn(op.kind)[0][:, :, :1, :1]
        assert np.allclose(computed(op, [pixel[:, :, 0, 0]]), computed(op, [pixel])[:, :, 0, 0])


@pytest.mark.parametrize("groups", list(product((2, 4, 8), repeat=2)))
def test_a_second_shuffle_undoes_the_first_where_the_row_says_so(groups: tuple[int, int]) -> None:
    first, second = (Op("x", "shuffle", (), {"groups": number}) for number in groups)
    (x,) = drawn("shuffle")
    is_back = np.array_equal(computed(second, [computed(first, [x])]), x)
    assert OPERATORS["shuffle"].undoes_itself(first.attrs, second.attrs, 16) == is_back


@pytest.mark.parametrize("kind", [row.kind for row in ROWS if row.arity != 1 and row.arity != 0])
def test_a_product_gives_the_product_of_what_it_reads(kind: str) -> None:
    """And no other join does."""
    inputs = drawn(kind)
    made, both = computed(Op("x", kind, (), {}), inputs), inputs[0]
    try:
        both = inputs[0] * inputs[1]
    except ValueError:
        assert not OPERATORS[kind].is_product
        return
    assert OPERATORS[kind].is_product == np.array_equal(made, both)


@pytest.mark.parametrize("row", [row for row in ROWS if row.interval], ids=lambda row: row.kind)
def test_what_has_bounds_has_them_as_its_settings_or_has_none(row: Any) -> None:
    """So that bounds tell all that there is of it."""
    assert len(row.settings) in (0, 2)
    bounds = (-0.75, 3.5) if row.settings else row.interval({})
    attrs = dict(zip(row.settings, bounds, strict=False))
    assert row.interval(attrs) == bounds
    (x,) = drawn(row.kind)
    assert (computed(Op("x", row.kind, (), attrs), [x]) == np.clip(x, *bounds)).all()


@pytest.mark.parametrize("row", [row for row in ROWS if row.case_of], ids=lambda row: row.kind)
def test_a_case_of_a_kind_is_what_that_kind_may_be_as_well(row: Any) -> None:
    """An instance norm, with as many groups as channels."""
    (attrs,) = (attrs for kind, attrs in ALL if kind == row.kind)
    whole = OPERATORS[row.case_of]
    (more,) = {*whole.required} - {*row.required}
    as_whole = {**attrs, more: attrs["channels"]}
    assert whole.same_as(as_whole) == row.kind
    inputs = drawn(row.kind)
    made = computed(Op("x", row.kind, (), attrs), inputs)
    assert np.allclose(computed(Op("x", whole.kind, (), as_whole), inputs), made)
