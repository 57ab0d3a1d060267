"""What a row refuses to join is refused where a file has it: a reading that looks at no shapes
would certify a network that no engine runs, or one that repeats a channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from operators.examples import MAP, Shape, making
from readers.onnx_styles import File, Step, Style, finished

from archspec.errors import ModelFileError
from archspec.graph.ir import Graph, Op
from archspec.graph.shapes import infer_shapes
from archspec.operators.operator import Operator
from archspec.operators.shape_rules import ShapeFault
from archspec.operators.table import JOINS, OPERATORS
from archspec.readers.mindir.node import MindirNode
from archspec.readers.mindir.operators import PRIMITIVES
from archspec.readers.onnx import operators as onnx_operators
from archspec.readers.onnx.read import read_onnx
from archspec.readers.trace import Feature, Trace, Unsupported

CHANNELS, HEIGHT, WIDTH = MAP
SHAPES: tuple[Shape, ...] = (
    MAP,
    (3, HEIGHT, WIDTH),
    (1, HEIGHT, WIDTH),
    (CHANNELS, 5, WIDTH),
    (CHANNELS, HEIGHT, 1),
    (CHANNELS, 1, 1),
    (CHANNELS,),
)
PAIRS = [*product(SHAPES, SHAPES)]
SIGNS = {" + ": "Add", " * ": "Mul"}
"""What MindSpore has where a row's code is a sign."""


def primitives_of(row: Operator) -> list[str]:
    """None of a join that MindSpore writes out in several."""
    return [*row.mindir] or [SIGNS[sign] for sign in filter(None, [row.mindspore.sign])]


PRIMITIVES_OF_JOINS = [(kind, word) for kind in JOINS for word in primitives_of(OPERATORS[kind])]


def is_joined(kind: str, pair: Sequence[Shape]) -> bool:
    """As the row says, in either order where none is told."""
    row, orders = OPERATORS[kind], [pair, pair[::-1]]
    for order in orders if row.commutes else orders[:1]:
        try:
            return bool(row.shape({}, order))
        except ShapeFault:
            continue
    return False


@dataclass
class ByItsRow:
    """What a row is given that writes a join into a file."""

    file: File
    inputs: list[str]
    shapes: Sequence[Shape]

    attrs = property(lambda self: {})

    def shape(self, index: int = 0) -> Shape:
        return self.shapes[index]

    def channels(self, index: int = 0) -> int:
        return self.shapes[index][0]

    def is_map(self, index: int = 0) -> bool:
        return len(self.shapes[index]) == 3

    def constant(self, values: Any) -> str:
        return self.file.constant(values, kind="int64" if isinstance(values, list) else "float32")

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        return self.file.node(kind, *inputs, **attributes)


def in_an_onnx(kind: str, pair: Sequence[Shape], path: Path) -> Path:
    """A file that joins two values of these shapes, which are made of the image."""
    file, inputs = File(Style(opset=18)), list[str]()
    file.add(Step("x", "input", (), {"shape": MAP}))
    for number, shape in enumerate(pair):
        of_image, attrs = making(shape, number)
        file.add(Step(f"x{number}", of_image, ("x",), attrs))
        inputs.append(file.values[f"x{number}"])
    write = OPERATORS[kind].write_onnx
    assert write is not None
    model = finished(file, "x", (2, *MAP), write(ByItsRow(file, inputs, pair)))
    path.write_bytes(model.SerializeToString())
    return path


def shape_in(file: Path) -> tuple[str, Shape] | None:
    """What a file's join is read as, and its shape; None where it is refused."""
    try:
        graph = read_onnx(file)
    except ModelFileError:
        return None
    (*_, last) = graph.ops.values()
    shapes, faults = infer_shapes(graph)
    assert not faults
    return last.kind, shapes[last.name]


@pytest.mark.parametrize("kind", JOINS)
def test_what_a_row_does_not_join_no_onnx_has(kind: str, tmp_path: Path) -> None:
    for pair in PAIRS:
        found = shape_in(in_an_onnx(kind, pair, tmp_path / "joined.onnx"))
        assert (found is not None) == is_joined(kind, pair), f"{kind} of {pair}"
        assert found is None or found[0] == kind


@pytest.mark.parametrize(("kind", "word"), PRIMITIVES_OF_JOINS)
def test_what_a_row_does_not_join_no_mindir_has(kind: str, word: str) -> None:
    for pair in PAIRS:
        trace, read = Trace(), list[Feature]()
        for number, shape in enumerate(pair):
            op = Op(f"x{number}", "input", (), {"shape": shape})
            read.append(Feature(trace.add(op, (2, *shape)), (2, *shape)))
        try:
            PRIMITIVES[word](MindirNode(trace, "node", word, tuple(read), {}))
        except Unsupported:
            assert not is_joined(kind, pair), f"{kind} of {pair}"
            continue
        (*_, last) = trace.ops.values()
        assert last.kind == kind
        assert is_joined(kind, pair), f"{kind} of {pair}"
        assert infer_shapes(Graph.of("one", trace.ops.values()))[1] == ()


def join_anything(node: Any) -> Feature:
    """What a row would read that looks at no shapes."""
    read = [node.any_feature(index) for index in range(2)]
    shape = (read[0].shape[0], sum(x.shape[1] for x in read), *read[0].shape[2:])
    return node.op("concat", read, shape)


def test_a_reading_that_looks_at_no_shapes_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for table in (PRIMITIVES, onnx_operators.OPERATORS):
        monkeypatch.setitem(table, "Concat", join_anything)
    with pytest.raises(AssertionError):
        test_what_a_row_does_not_join_no_onnx_has("concat", tmp_path)
    with pytest.raises(AssertionError):
        test_what_a_row_does_not_join_no_mindir_has("concat", "Concat")
