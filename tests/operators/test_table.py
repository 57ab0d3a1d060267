"""One row for each kind of operator, and each row agrees with itself."""

import re
from collections.abc import Iterator
from string import Formatter
from typing import Any, get_args

import pytest
from operators.examples import EXAMPLES

from archspec.operators.activations import ActivationSettings
from archspec.operators.attributes import DERIVED
from archspec.operators.file_node import PARTS
from archspec.operators.mindspore_writing import MindSpore
from archspec.operators.norms import NormSettings
from archspec.operators.operator import Operator
from archspec.operators.table import (
    ACTIVATIONS,
    JOINS,
    NORMS,
    OPERATORS,
    ROWS,
    STEPS,
    find_by_word,
    norm_name,
    setting_meant_by,
)
from archspec.spec.field_docs import describe_fields
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
    if row.family in ("activation", "norm"):
        assert {*row.settings} == {*row.required} - DERIVED
    said = {*row.step.said.values(), *row.step.widths.values()} if row.step else set()
    assert said <= {*row.required, *row.defaults}


@pytest.mark.parametrize("kind", OPERATORS)
def test_a_row_speaks_of_attributes_and_settings_that_it_has(kind: str) -> None:
    """Of none by another name, which would be passed over in silence."""
    row = OPERATORS[kind]
    own = {*row.required, *row.defaults}
    code = row.mindspore
    assert {*row.of_one_channel, *code.varying, *code.as_wide} <= own
    assert row.in_training | row.untold <= own
    settings = {*row.settings, *(row.step.settings.model_fields if row.step else ())}
    assert {meant.partition(",")[0] for meant in row.other_keys.values()} <= settings


@pytest.mark.parametrize("kind", OPERATORS)
def test_a_row_names_operators_that_there_are(kind: str) -> None:
    """Those that it is as well, or undoes; and parts, with attributes that come to its own."""
    row = OPERATORS[kind]
    others = {row.undone_by, row.times_input, row.over_whole_map, row.over_one_pixel}
    assert others - {""} <= {*OPERATORS}
    assert {*row.remains_of} <= {*PARTS}
    own = {*row.required, *row.defaults, *DERIVED}
    for part, attrs in row.remains_of.items():
        assert {*row.required} <= {*PARTS[part], *attrs} <= own
        assert {name for name, value in attrs.items() if value is None} <= row.untold
    assert {*row.unsaid} <= {*row.defaults} - {*row.said}


def test_no_part_is_two_operators_or_an_operator_itself() -> None:
    """The later row would take it from the earlier, and nobody would know."""
    parts = [part for row in ROWS for part in row.remains_of]
    assert len(parts) == len({*parts})
    assert not {*PARTS} & {*OPERATORS}


def kinds_in(pattern: Any) -> Iterator[str]:
    if not isinstance(pattern, str):
        kind, _, *parts = pattern
        yield kind
        for part in parts:
            yield from kinds_in(part)


@pytest.mark.parametrize("kind", [kind for kind, row in OPERATORS.items() if row.patterns])
def test_a_pattern_is_made_of_operators_and_parts(kind: str) -> None:
    """Another word is read of no file: the pattern would never be met."""
    row = OPERATORS[kind]
    for attrs, pattern in row.patterns:
        assert {*kinds_in(pattern)} <= {*OPERATORS, *PARTS}
        assert {*attrs} <= {*row.required, *row.defaults}


NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e-?\d+)?(?![\w.]*\w)")


@pytest.mark.parametrize("key", sorted({*ActivationSettings.model_fields} - {"kind"}))
def test_what_is_said_of_a_setting_are_its_owners_and_their_defaults(key: str) -> None:
    """Its docstring is the schema's, and stands apart from the rows."""
    words = describe_fields(ActivationSettings)[key]
    owners = {
        kind: OPERATORS[kind].settings for kind in ACTIVATIONS if key in OPERATORS[kind].settings
    }
    assert {word for word in re.findall(r"\w+", words) if word in ACTIVATIONS} == {*owners}
    said = {float(number) for number in NUMBER.findall(words)}
    assert {settings[key] for settings in owners.values()} <= said


@pytest.mark.parametrize("key", sorted({*NormSettings.model_fields} - {"kind"}))
def test_a_norms_default_is_the_language_s(key: str) -> None:
    """One value, of all norms that have the setting."""
    default = NormSettings.model_fields[key].default
    owners = [kind for kind in NORMS if key in OPERATORS[kind].settings]
    assert {OPERATORS[kind].settings[key] for kind in owners} == {default}
    named = re.search(r"Of `(\w+)` alone", describe_fields(NormSettings)[key])
    assert owners == ([f"{named[1]}_norm"] if named else [*NORMS])


@pytest.mark.parametrize("kind", [kind for kind, row in OPERATORS.items() if row.has_filters])
def test_a_row_knows_which_dimension_of_its_weight_runs_over_what_it_reads(kind: str) -> None:
    """Weights are permuted along it; what the operator gives stands along the other."""
    row, attrs = OPERATORS[kind], EXAMPLES[kind][0]
    weight = row.tensors({**attrs, **row.of_one_channel})["weight"]
    dims = (weight[row.axis_read], weight[1 - row.axis_read])
    assert dims == (attrs["in_channels"], attrs["out_channels"])


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
        ("InstanceNorm2d", "instance_norm"),
        ("MaxGlobalPool", "global_max_pool"),
        ("feature_dropout", "dropout2d"),
        ("unshuffle", "pixel_unshuffle"),
        ("shuffle_pixels", "pixel_shuffle"),
    ],
)
def test_a_word_of_other_frameworks_is_known(word: str, kind: str) -> None:
    """In the spelling of a class and of a function; the nearest word of ours may be another."""
    row = find_by_word(word)
    assert row is not None
    assert row.kind == kind


def test_no_word_means_two_operators() -> None:
    """Else the later row would take it from the earlier one, and nobody would know."""
    words = [word for row in ROWS for word in (row.kind, *row.other_names, *row.names_with)]
    assert len(words) == len({*words})


def test_no_setting_of_others_means_two_settings() -> None:
    """All that others call so is looked up in one place."""
    pairs = {pair for row in ROWS for pair in row.other_keys.items()}
    assert len(pairs) == len({key for key, _ in pairs})


@pytest.mark.parametrize(
    ("word", "kind", "setting"),
    [
        ("WSConv2d", "conv", "standardized: true"),
        ("weight_standardization", "conv", "standardized: true"),
        ("DepthwiseConv2D", "conv", "groups: depthwise"),
        ("gmp", "global_max_pool", "kind: max"),
        ("GlobalAveragePooling2D", "global_avg_pool", ""),
        ("conv", "conv", ""),
        ("mish", "mish", ""),
        ("selu", None, ""),
    ],
)
def test_a_word_may_say_a_setting_beside_its_operator(
    word: str, kind: str | None, setting: str
) -> None:
    row = find_by_word(word)
    assert (row and row.kind) == kind
    assert setting_meant_by(word) == setting


@pytest.mark.parametrize("row", [row for row in ROWS if row.names_with], ids=lambda row: row.kind)
def test_a_setting_that_a_word_says_is_one_of_its_step(row: Operator) -> None:
    """And not what it is where nothing is said, or the word would be another name."""
    assert row.step is not None
    fields = row.step.settings.model_fields
    for said in row.names_with.values():
        name, value = said.split(": ")
        assert name in fields
        assert value != str(fields[name].default).lower()


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


@pytest.mark.parametrize("kind", [*ACTIVATIONS, *NORMS, *JOINS])
def test_what_stands_in_a_table_of_the_language_s_page_says_what_it_is(kind: str) -> None:
    assert OPERATORS[kind].about


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_an_activation_says_how_files_write_it(kind: str) -> None:
    row = OPERATORS[kind]
    assert row.mindir or row.patterns
    assert row.onnx or row.patterns
