"""What each row says, by an example that has all settings its operator may have: the shape that the
NumPy forward gives, tensors, and code that has each of the settings.
"""

import ast
from typing import Any

import numpy as np
import oracle
import pytest
from operators.examples import ALL, EXAMPLES, NAMES, default_of, read_by, step_of

from archspec.graph.ir import Op
from archspec.operators.table import OPERATORS
from archspec.spec.steps import StepSpec
from archspec.writers.mindspore.cells import is_cell, write_call, write_cell, write_definitions
from archspec.writers.mindspore.formatting import LINE_LENGTH

SAID = [
    (kind, name)
    for kind, row in OPERATORS.items()
    for name in dict.fromkeys((*row.required, *row.said))
]


def test_each_kind_has_an_example() -> None:
    """What is not in it is not looked at."""
    assert {*EXAMPLES} == {*OPERATORS}


@pytest.mark.parametrize(("kind", "name"), SAID)
def test_an_example_has_every_setting_and_none_is_the_default(kind: str, name: str) -> None:
    """One that is read wrongly, or left out, would be the default, or another's."""
    values = [attrs[name] for attrs in EXAMPLES[kind] if name in attrs]
    assert any(value != default_of(kind, name) for value in values)


@pytest.mark.parametrize(("kind", "attrs"), ALL, ids=NAMES)
def test_a_row_gives_the_shape_that_numpy_gives(kind: str, attrs: Any) -> None:
    """Of a map that is higher than wide; its channels by themselves, and its tensors too."""
    row, read = OPERATORS[kind], read_by(kind)
    op = Op("x", kind, tuple(f"x{number}" for number in range(len(read))), attrs)
    weights = oracle.random_parameters([op], 0)
    inputs = [np.ones((2, *shape)) for shape in read] or [np.ones((2, *attrs["shape"]))]
    mine = {name.removeprefix("x."): values for name, values in weights.items()}
    shape = row.shape(attrs, read)
    assert shape == oracle.KINDS[kind](inputs, mine, attrs).shape[1:]
    assert row.channels(attrs, [each[0] for each in read]) == shape[0]
    assert row.tensors(attrs) == {role: values.shape for role, values in mine.items()}


@pytest.mark.parametrize("kind", OPERATORS)
def test_a_call_has_what_it_reads_once(kind: str) -> None:
    """A call may be written into another one: a norm that stood in it twice would run twice, and in
    training count its batch twice.
    """
    assert OPERATORS[kind].mindspore.call.count("{x}") <= 1


def written(kind: str, attrs: Any) -> tuple[str, ...]:
    """An operator's expression, and what the module defines for it."""
    reads = tuple(f"x{number}" for number in range(len(read_by(kind))))
    op = Op("x", kind, reads, attrs)
    definitions, names = write_definitions([op])
    made = write_cell(op, "ins", "outs", names) if is_cell(op) else ""
    return (made, write_call(op, "x", [*reads]), *definitions)


WRITTEN = [each for each in zip(ALL, NAMES, strict=True) if each[0][0] != "input"]


@pytest.mark.parametrize(
    ("kind", "attrs"), [each for each, _ in WRITTEN], ids=[name for _, name in WRITTEN]
)
def test_the_texts_of_a_row_are_python(kind: str, attrs: Any) -> None:
    """They name no attribute that there is not, what is filled in is whole, and no formatter would
    break a line of what is defined.
    """
    made, called, *definitions = written(kind, attrs)
    for text in filter(None, (made, called, *definitions)):
        ast.parse(text)
    for line in "\n".join(definitions).splitlines():
        assert len(line) <= LINE_LENGTH or '"""' in line, line


@pytest.mark.parametrize(("kind", "attrs"), ALL, ids=NAMES)
def test_what_is_absent_is_the_default(kind: str, attrs: Any) -> None:
    """To each function of the row, which looks for an attribute by itself."""
    row, read = OPERATORS[kind], read_by(kind)
    bare = {name: attrs[name] for name in attrs if row.defaults.get(name) is None}
    full = {**row.defaults, **bare}
    shape = row.shape(bare, read)
    assert row.shape(full, read) == shape
    assert row.tensors(full) == row.tensors(bare)
    assert row.macs(full, read, shape) == row.macs(bare, read, shape)
    if kind != "input":
        assert written(kind, full) == written(kind, bare)


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind, row in OPERATORS.items() for name in row.said],
)
def test_a_rows_code_has_each_setting(kind: str, name: str) -> None:
    """Of two operators that differ in one setting alone the code differs."""
    (attrs, *_) = (attrs for attrs in EXAMPLES[kind] if name in attrs)
    other = default_of(kind, name)
    if other is None:
        other = attrs[name] + 1
    assert written(kind, attrs) != written(kind, {**attrs, name: other})


@pytest.mark.parametrize("kind", [kind for kind, row in OPERATORS.items() if row.step])
def test_the_language_says_an_example(kind: str) -> None:
    """Its step's settings come to the example's attributes."""
    row, attrs = OPERATORS[kind], EXAMPLES[kind][0]
    made = row.step.attrs(StepSpec.model_validate(step_of(kind)).settings, 16, {})
    assert made == attrs


@pytest.mark.parametrize("kind", sorted({*OPERATORS} - {"pixel_shuffle"}))
def test_pixels_are_followed_with_one_channel(kind: str) -> None:
    """A window without a pixel is looked for so; `of_one_channel` says what must be changed. A
    pixel shuffle alone makes pixels of channels.
    """
    row, attrs = OPERATORS[kind], EXAMPLES[kind][0]
    one = {**attrs, "in_channels": 1, "out_channels": 1, "channels": 1, **row.of_one_channel}
    read = [(1, *shape[1:]) for shape in read_by(kind)]
    shape = row.shape(attrs, read_by(kind))
    assert row.shape(one, read)[1:] == shape[1:]
