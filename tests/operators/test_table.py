"""One row for each kind of operator, and no second list of kinds anywhere in the package."""

import ast
from collections.abc import Iterator
from pathlib import Path
from string import Formatter
from typing import get_args

import pytest

from archspec.operators.operator import MindSpore
from archspec.operators.table import (
    ACTIVATIONS,
    NORMS,
    OPERATORS,
    STEPS,
    find_by_word,
    norm_name,
)
from archspec.spec.steps import ActivationKind, NormKind, StepSpec

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(
    path
    for package in ("archspec", "densenet_cli")
    for path in (ROOT / package).rglob("*.py")
    if (ROOT / "archspec/operators") not in path.parents
)
FAMILY = {*ACTIVATIONS, *NORMS, *map(norm_name, NORMS)} - {"group", "layer", "batch"}
WITH_FILTERS = {kind for kind, row in OPERATORS.items() if row.has_filters}


def words(node: ast.AST) -> set[str]:
    """The texts that a tuple, a list, a set, or the keys of a mapping holds."""
    parts = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", [])
    return {part.value for part in parts if isinstance(part, ast.Constant)}


def lists(path: Path) -> Iterator[tuple[int, set[str]]]:
    """Literal collections of a file that name two activations or norms, all kinds with filters, or
    four kinds.
    """
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.Tuple, ast.List, ast.Set, ast.Dict)):
            found = words(node)
            is_all_filters = found == WITH_FILTERS and not isinstance(node, ast.Dict)
            if len(found & FAMILY) > 1 or len(found & {*OPERATORS}) > 3 or is_all_filters:
                yield node.lineno, found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_has_a_list_of_kinds_of_its_own(path: Path) -> None:
    """A new operator would be missing in it, and nobody would know."""
    assert list(lists(path)) == []


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
