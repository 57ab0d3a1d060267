"""Which row reads a node of a model file, and what rows may ask of it."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
from readers.onnx_styles import File, Step, Style, finished

from archspec.operators.file_node import FileNode
from archspec.operators.table import OPERATORS
from archspec.readers.mindir.node import MindirNode
from archspec.readers.mindir.operators import PRIMITIVES
from archspec.readers.onnx import operators as onnx_operators
from archspec.readers.onnx.node import OnnxNode
from archspec.readers.onnx.operators import KNOWN
from archspec.readers.onnx.read import read_onnx
from archspec.readers.readings import collect_readings
from archspec.readers.trace import Unsupported

OF_ONE_ALONE = {OnnxNode: {"outputs", "is_before"}, MindirNode: {"size"}}


def signature(owner: Any, name: str) -> list[tuple[str, bool]]:
    """What a method takes beside the node, and whether it may be left out; nothing of a field."""
    member = inspect.getattr_static(owner, name)
    if not inspect.isfunction(member):
        return []
    taken = []
    for each in [*inspect.signature(member).parameters.values()][1:]:
        called = "**" if each.kind == each.VAR_KEYWORD else each.name
        taken.append((called, each.default is not each.empty))
    return taken


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


def test_what_several_nodes_come_to_is_asked_for_before_rows() -> None:
    """A row that takes such a node by itself takes no part of what is larger."""
    rows = [{"Mean": lambda node: "a row's"}]
    read = collect_readings(rows, {}, {"Mean": lambda node: "a part" if node == 2 else None})
    assert [read["Mean"](node) for node in (1, 2)] == ["a row's", "a part"]


@pytest.mark.parametrize(("steps", "kinds"), [(1, ["tanh"]), (2, ["global_avg_pool"])])
def test_a_row_may_take_the_mean_of_one_axis(
    steps: int, kinds: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of them in a row are the mean of the pixels all the same; a tanh stands for the row."""
    own = onnx_operators.OPERATORS["ReduceMean"]
    row = {"ReduceMean": lambda node: node.in_place("tanh", node.feature())}
    read = collect_readings([row], {"ReduceMean": own}, onnx_operators.IN_SEVERAL)
    monkeypatch.setattr(onnx_operators, "OPERATORS", {**onnx_operators.OPERATORS, **read})
    file = File(Style())
    file.add(Step("x", "input", (), {"shape": (4, 6, 8)}))
    made = "x"
    for axis in range(2, 2 + steps):
        made = file.node("ReduceMean", made, axes=[axis])
    model = finished(file, "x", ("N", 4, 6, 8), made)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    found = read_onnx(tmp_path / "model.onnx").ops.values()
    assert [op.kind for op in found] == ["input", *kinds]


def test_readers_know_the_nodes_of_all_rows() -> None:
    """One that is in a row alone is read."""
    assert {kind for row in OPERATORS.values() for kind in row.onnx} <= KNOWN
    assert {kind for row in OPERATORS.values() for kind in row.mindir} <= {*PRIMITIVES}
