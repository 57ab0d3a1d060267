"""One row for each kind of operator, and each row agrees with itself."""

from string import Formatter
from typing import get_args

import pytest

from archspec.operators.operator import MindSpore, Operator
from archspec.operators.table import (
    ACTIVATIONS,
    NORMS,
    OPERATORS,
    ROWS,
    STEPS,
    find_by_word,
    norm_name,
)
from archspec.spec.steps import ActivationKind, NormKind, StepSpec


def test_the_choices_of_the_language_are_the_rows() -> None:
    """What can be written is there, and what is there can be written."""
    assert get_args(ActivationKind) == ACTIVATIONS
    assert get_args(NormKind) == (*map(norm_name, NORMS), "none")
    assert {*STEPS} < {*StepSpec.model_fields}


@pytest.mark.parametrize("kind", OPERATORS)
def test_a_row_says_how_its_operator_is_written(kind: str) -> None:
    """As a cell, a call or a sign, one of them; an image alone is not written."""
    code = OPERATORS[kind].mindspore
    forms = sum(map(bool, (code.cell, code.call, code.sign)))
    may_be_either = code.has_state is not MindSpore().has_state
    assert forms == (2 if may_be_either else kind != "input")


@pytest.mark.parametrize("kind", [*ACTIVATIONS, *NORMS])
def test_the_text_of_a_row_names_attributes_that_its_operator_has(kind: str) -> None:
    """Another name would be found out by whoever emits the first such network."""
    row = OPERATORS[kind]
    code, attrs = row.mindspore, {**dict.fromkeys(row.required, 1), **row.defaults, **row.settings}
    known = {"x", "ins", "outs", "name", *attrs, *code.arguments(attrs, "8")}
    named = {field for _, field, _, _ in Formatter().parse(code.call + code.cell) if field}
    assert named <= known


@pytest.mark.parametrize("kind", OPERATORS)
def test_a_rows_attributes_are_those_that_it_needs_or_has_a_default_for(kind: str) -> None:
    """Nothing is both; settings of activations and norms are attributes."""
    row = OPERATORS[kind]
    assert not {*row.required} & {*row.defaults}
    assert {*row.settings} <= {*row.required}
    said = {*row.step.said.values(), *row.step.widths.values()} if row.step else set()
    assert said <= {*row.required, *row.defaults}


@pytest.mark.parametrize("kind", OPERATORS)
def test_a_row_speaks_of_attributes_and_settings_that_it_has(kind: str) -> None:
    """Of none by another name, which would be passed over in silence."""
    row = OPERATORS[kind]
    own = {*row.required, *row.defaults}
    assert row.in_training | row.untold | {*row.of_one_channel, *row.mindspore.varying} <= own
    settings = {*row.settings, *(row.step.settings.model_fields if row.step else ())}
    assert {meant.partition(",")[0] for meant in row.other_keys.values()} <= settings


ATTRS = {"in_channels": 4, "out_channels": 6, "kernel": 3, "stride": 1, "padding": 0, "factor": 2}
ATTRS |= {"channels": 4, "groups": 2, "start": 1, "stop": 3, "value": 0.5}
PLACES = {"shape": (4, 5, 7), "size": (2, 3), "corner": (0, 1)}


@pytest.mark.parametrize("kind", OPERATORS)
def test_a_row_has_a_shape_and_a_number_of_channels_that_agree(kind: str) -> None:
    """Both are asked for: where shapes do not fit, channels alone are counted on."""
    row = OPERATORS[kind]
    read = (4,) if kind == "dense" else (4, 6, 8)
    count = 2 if row.arity is None else row.arity
    own = {*row.required, *row.defaults}
    attrs = {key: value for key, value in {**ATTRS, **PLACES}.items() if key in own}
    shape = row.shape(attrs, [read] * count)
    assert len(shape) in (1, 3)
    assert all(isinstance(size, int) and size > 0 for size in shape)
    assert row.channels(attrs, [4] * count) == shape[0]


@pytest.mark.parametrize("kind", [kind for kind, row in OPERATORS.items() if row.has_filters])
def test_a_row_knows_which_dimension_of_its_weight_runs_over_what_it_reads(kind: str) -> None:
    """Weights are permuted along it; what the operator gives stands along the other."""
    row = OPERATORS[kind]
    weight = row.tensors({**ATTRS, "groups": 1})["weight"]
    assert (weight[row.axis_read], weight[1 - row.axis_read]) == (4, 6)


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("StochasticDepth", "drop_path"),
        ("stochastic_depth", "drop_path"),
        ("BatchNorm2d", "batch_norm"),
        ("bn", "batch_norm"),
        ("LayerNorm2d", "layer_norm"),
        ("GroupNorm", "group_norm"),
        ("AdaptiveAvgPool2d", "global_avg_pool"),
        ("adaptive_max_pool", "global_max_pool"),
        ("gap", "global_avg_pool"),
        ("channel_shuffle", "shuffle"),
        ("Linear", "dense"),
        ("SpatialDropout2D", "dropout2d"),
        ("swish", "silu"),
    ],
)
def test_a_word_of_other_frameworks_is_known(word: str, kind: str) -> None:
    """In the spelling of a class and of a function; the nearest word of ours may be another."""
    row = find_by_word(word)
    assert row is not None
    assert row.kind == kind


def test_no_word_means_two_operators() -> None:
    """Else the later row would take it from the earlier one, and nobody would know."""
    words = [word for row in OPERATORS.values() for word in (row.kind, *row.other_names)]
    assert len(words) == len({*words})


def test_no_two_rows_have_one_kind_or_one_step() -> None:
    """The later would hide the earlier; a step that says the kind has one row for each."""
    kinds = [row.kind for row in ROWS]
    assert [kind for kind in kinds if kinds.count(kind) > 1] == []
    steps = [row.step.name for row in ROWS if row.step is not None and not row.step.kinds]
    assert [step for step in steps if steps.count(step) > 1] == []


@pytest.mark.parametrize("row", [row for row in ROWS if row.step], ids=lambda row: row.kind)
def test_what_a_step_says_of_an_operator_are_settings_that_it_has(row: Operator) -> None:
    """Else `lift` would write a key that the language does not know."""
    assert set(row.step.said) | set(row.step.widths) <= set(row.step.settings.model_fields)


def test_families_are_those_that_the_language_asks_for() -> None:
    """A norm is called by its step's word, and has an eps that a spec may say."""
    assert {row.family for row in ROWS} == {"", "activation", "norm", "pool"}
    for row in ROWS:
        if row.family == "norm":
            assert row.kind.endswith("_norm")
            assert {"channels", "eps"} <= set(row.required)


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_an_activation_says_what_it_is_and_how_files_write_it(kind: str) -> None:
    row = OPERATORS[kind]
    assert row.about
    assert row.mindir
    assert row.onnx
