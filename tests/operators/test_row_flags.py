"""The truths that a row says in a word, each derived anew: from the NumPy forward of its examples,
or from the nodes that it writes. Whoever reads the row believes them.
"""

from math import inf, prod
from typing import Any

import numpy as np
import oracle
import pytest
from operators.example_values import changes_numbers, computed, drawn, is_sum, weights_of
from operators.examples import EXAMPLES, MAP, READING, READING_NAMES, network_of, read_by

from archspec.graph.ir import Graph
from archspec.operators.table import OPERATORS
from archspec.writers.onnx.model import make_onnx

Array = Any
KINDS = [kind for kind, row in OPERATORS.items() if row.arity != 0]
SAID = [(kind, name) for kind in KINDS for name in OPERATORS[kind].said]
ORDER = np.random.default_rng(3).permutation(MAP[0])
"""Other places for the channels of an example."""


def is_linear(kind: str, attrs: Any) -> bool:
    """But for what it adds: three times what it reads, or the first of it, gives three times of
    what comes of that.
    """
    inputs = drawn(kind)
    zero = computed(kind, attrs, [0 * x for x in inputs])
    made = computed(kind, attrs, inputs) - zero
    first = [[3 * inputs[0], *inputs[1:]], [3 * x for x in inputs]]
    return any(np.allclose(computed(kind, attrs, each) - zero, 3 * made) for each in first)


def gives_both_signs(kind: str, attrs: Any) -> bool:
    made = [computed(kind, attrs, drawn(kind, by)) for by in (np.array, np.abs, negative)]
    return min(map(np.min, made)) < 0 < max(map(np.max, made))


def negative(x: Array) -> Array:
    return -np.abs(x)


@pytest.mark.parametrize(("kind", "attrs"), READING, ids=READING_NAMES)
def test_logits_stay_logits_behind_what_neither_bends_nor_evens_them_out(
    kind: str, attrs: Any
) -> None:
    """What has weights of its own makes logits, whatever it reads."""
    row = OPERATORS[kind]
    holds_back = row.family in ("activation", "norm") or row.is_of_training or row.has_filters
    keeps = not holds_back and is_linear(kind, attrs) and gives_both_signs(kind, attrs)
    assert row.keeps_logits == keeps


@pytest.mark.parametrize("kind", KINDS)
def test_new_features_are_made_by_filters_and_sums_alone(kind: str) -> None:
    """Everything else passes features on: a direct connection runs through it."""
    row = OPERATORS[kind]
    assert row.carries == (not row.has_filters and not is_sum(kind))


@pytest.mark.parametrize(("kind", "attrs"), READING, ids=READING_NAMES)
def test_what_has_filters_alone_has_macs(kind: str, attrs: Any) -> None:
    """One for each weight at least; norms, pools and sums are not counted."""
    row, read = OPERATORS[kind], read_by(kind)
    macs = row.macs(attrs, read, row.shape(attrs, read))
    least = prod(row.tensors(attrs)["weight"]) if row.has_filters else 0
    assert macs >= least
    assert (macs > 0) == row.has_filters


def scales_its_channels(kind: str, attrs: Any) -> bool:
    """Its filters, those of each output times a number, give the output times that number."""
    mine, axis = weights_of(kind, attrs), OPERATORS[kind].axis_read
    if "weight" not in mine:
        return False
    factors = np.linspace(0.5, 2, mine["weight"].shape[1 - axis])
    along = [1] * mine["weight"].ndim
    along[1 - axis] = len(factors)
    scaled = {**mine, "weight": mine["weight"] * factors.reshape(along)}
    if "bias" in mine:
        scaled["bias"] = mine["bias"] * factors
    forward, inputs = oracle.KINDS[kind], drawn(kind)
    made, other = forward(inputs, mine, attrs), forward(inputs, scaled, attrs)
    return np.allclose(other, made * factors.reshape(-1, *[1] * (made.ndim - 2)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_norm_is_folded_into_what_its_scale_can_go_into(kind: str) -> None:
    """Filters of the operator's own; or fixed ones, which a file has as those of a convolution."""
    row = OPERATORS[kind]
    assert row.folds_norm == any(scales_its_channels(kind, attrs) for attrs in EXAMPLES[kind])
    filters = {word for other in OPERATORS.values() if other.folds_norm for word in other.onnx}
    assert row.folds_scale == (not row.folds_norm and bool(filters & {*row.onnx}))


def is_constant_without_weights(kind: str, attrs: Any) -> bool:
    first, second = (computed(kind, attrs, drawn(kind, by), 0.0) for by in (np.array, np.abs))
    return bool((first == second).all())


@pytest.mark.parametrize("kind", KINDS)
def test_a_weight_of_zero_cuts_off_what_scales_channels_alone(kind: str) -> None:
    """Norms do by their family; a slope or a shift of zero leaves features what they are."""
    row = OPERATORS[kind]
    learned = [attrs for attrs in EXAMPLES[kind] if row.tensors(attrs) and not row.has_filters]
    cuts = any(is_constant_without_weights(kind, attrs) for attrs in learned)
    assert row.scales_channels == (cuts and row.family != "norm")
    assert row.is_cut_by_zeros == cuts


def moves(kind: str, attrs: Any) -> bool:
    """With its channels, and their weights, in another order what it gives is more than that."""
    inputs, mine = drawn(kind), weights_of(kind, attrs)
    made = oracle.KINDS[kind](inputs, mine, attrs)
    ordered = {role: values[ORDER] for role, values in mine.items()}
    other = oracle.KINDS[kind]([x[:, ORDER] for x in inputs], ordered, attrs)
    return made.shape[1] != MAP[0] or not np.allclose(other, made[:, ORDER])


def mixes_all(kind: str, attrs: Any) -> bool:
    """Its filters in that order undo it."""
    inputs, mine = drawn(kind), weights_of(kind, attrs)
    axis = OPERATORS[kind].axis_read
    if mine["weight"].shape[axis] != MAP[0]:
        return False
    weight = np.take(mine["weight"], ORDER, axis)
    made = oracle.KINDS[kind](inputs, mine, attrs)
    other = oracle.KINDS[kind]([x[:, ORDER] for x in inputs], {**mine, "weight": weight}, attrs)
    return np.allclose(made, other)


@pytest.mark.parametrize(
    ("kind", "attrs"),
    [(kind, attrs) for kind, attrs in READING if kind not in ("concat", "output")],
)
def test_a_row_says_whether_the_place_of_a_channel_matters(kind: str, attrs: Any) -> None:
    """Of filters their order may be the weights' own. What a join gives one behind the other, and
    the order of what a network gives, are told elsewhere.
    """
    row = OPERATORS[kind]
    if not row.has_filters:
        assert row.tells_places(attrs) == moves(kind, attrs)
        assert not row.mixes(attrs)
        return
    assert row.mixes(attrs) == mixes_all(kind, attrs)
    assert row.tells_places(attrs) == (not row.mixes(attrs))


@pytest.mark.parametrize("kind", KINDS)
def test_what_resizes_gives_another_number_of_pixels(kind: str) -> None:
    """In one example at least."""
    row, (read, *_) = OPERATORS[kind], read_by(kind)
    changed = [row.shape(attrs, read_by(kind))[1:] != read[1:] for attrs in EXAMPLES[kind]]
    assert (row.resizes or row.cuts_pixels) == any(changed)


@pytest.mark.parametrize(("kind", "name"), SAID)
def test_what_changes_nothing_in_evaluation_is_of_training_or_untold(kind: str, name: str) -> None:
    """And nothing else is of training: no file would be asked for it. What learned weights start
    from is untold.
    """
    row = OPERATORS[kind]
    if changes_numbers(kind, name):
        assert name not in row.in_training
    else:
        assert name in row.in_training | row.untold


def nodes_of(kind: str) -> set[str]:
    """Kinds of the nodes that a row writes for its examples."""
    made = set[str]()
    for attrs in EXAMPLES[kind]:
        graph = Graph.of("one", network_of(kind, attrs))
        model = make_onnx(graph, oracle.random_parameters(graph.ops.values(), 0))
        made |= {node.op_type for node in model.graph.node if node.name.startswith("made")}
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_quantised_has_filters_or_ends_at_zero(kind: str) -> None:
    """The node is one that the row writes and reads: another would be left as it is, or become
    what is read as something else. Of a ReLU the pair takes the place.
    """
    row, ends_at_zero = OPERATORS[kind], False
    if row.is_clamp and row.interval is not None:
        ends_at_zero = row.interval({}) == (0, inf)
    assert not row.onnx_of_int8 or row.has_filters or ends_at_zero
    assert not row.onnx_of_int8 or row.onnx_of_int8 in nodes_of(kind) & {*row.onnx}
