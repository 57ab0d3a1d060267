"""Which row reads a node of a model file, and what rows may ask of it."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from archspec.operators.file_node import FileNode
from archspec.operators.table import OPERATORS
from archspec.readers.mindir.node import MindirNode
from archspec.readers.mindir.operators import PRIMITIVES
from archspec.readers.onnx.node import OnnxNode
from archspec.readers.onnx.operators import KNOWN
from archspec.readers.readings import collect_readings
from archspec.readers.trace import Unsupported

OF_ONE_ALONE = {OnnxNode: {"outputs", "is_before"}, MindirNode: {"size"}}


def signature(owner: Any, name: str) -> list[str]:
    """Names of what a method takes; nothing of a field."""
    member = inspect.getattr_static(owner, name)
    return [*inspect.signature(member).parameters] if inspect.isfunction(member) else []


@pytest.mark.parametrize("node", [OnnxNode, MindirNode])
def test_a_node_answers_all_that_a_row_may_ask(node: type) -> None:
    """Else a row that asks it would be the first to find out."""
    asked = {name for name in vars(FileNode) if not name.startswith("_")}
    (other,) = {*OF_ONE_ALONE} - {node}
    asked -= OF_ONE_ALONE[other]
    assert asked - {*dir(node)} == set()
    for name in asked:
        wanted, found = signature(FileNode, name), signature(node, name)
        assert found[: len(wanted)] == wanted, name


def test_the_first_row_that_gives_something_has_a_node() -> None:
    """Then the format's own reading, whatever it gives; a node that no row takes is refused."""
    rows = [
        {"Clip": lambda node: "relu" if node == 0 else None},
        {"Clip": lambda node: "relu6" if node <= 6 else None, "Erf": lambda node: None},
        {"Mul": lambda node: None},
    ]
    read = collect_readings(rows, {"Mul": lambda node: None, "Add": lambda node: None})
    assert [read["Clip"](node) for node in (0, 6)] == ["relu", "relu6"]
    assert (read["Mul"](1), read["Add"](1)) == (None, None)
    for kind in ("Clip", "Erf"):
        with pytest.raises(Unsupported, match="is no operator of a dense network"):
            read[kind](7)


def test_readers_know_the_nodes_of_all_rows() -> None:
    """One that is in a row alone is read."""
    assert {kind for row in OPERATORS.values() for kind in row.onnx} <= KNOWN
    assert {kind for row in OPERATORS.values() for kind in row.mindir} <= {*PRIMITIVES}
