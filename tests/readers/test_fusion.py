"""Operators that files write out in several nodes: joins too, one within another, with attributes
that a file leaves out.

Rows are planted that the package does not have: what is here holds for whichever is added.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from archspec.errors import ModelFileError
from archspec.graph.ir import Op
from archspec.operators.attributes import Attrs
from archspec.operators.joins import _add_shape
from archspec.operators.operator import Operator
from archspec.operators.shape_rules import Shape, same_shape
from archspec.operators.table import OPERATORS
from archspec.readers import fusion
from archspec.readers.mindir.node import MindirNode
from archspec.readers.mindir.operators import PRIMITIVES
from archspec.readers.onnx.read import read_onnx
from archspec.readers.trace import Feature, Trace, Unsupported

MAP: Shape = (6, 4, 4)
MEAN: Any = ("times", 0.5, ("add", None, "x", "y"))
DIFFERENCE: Any = ("times", 2.0, ("subtract", None, "x", "y"))
WHOLE_GATE: Any = ("multiply", None, "x", ("plus", 1.0, ("sigmoid", None, "x")))
HALF_GATE: Any = ("times", 0.5, WHOLE_GATE)
INNER: Any = ("times", 3.0, ("tanh", None, "x"))
OUTER: Any = ("plus", 4.0, ("tanh", None, INNER))
Node = tuple[str, str, tuple[Any, ...]]
"""What it gives, its operator, and what it reads: names, or numbers."""


def planted(monkeypatch: pytest.MonkeyPatch, rows: Mapping[str, Any]) -> None:
    """Add rows of one pattern each; what reads several values is a join of equal shapes."""
    for kind, pattern in rows.items():
        is_join = "'y'" in repr(pattern)
        shape = _add_shape if is_join else same_shape
        row = Operator(kind, shape, patterns=(({}, pattern),), arity=2 if is_join else 1)
        monkeypatch.setitem(OPERATORS, kind, row)
    joins = (*fusion.JOINS, *(kind for kind in rows if OPERATORS[kind].arity != 1))
    monkeypatch.setattr(fusion, "JOINS", joins)
    monkeypatch.setattr(fusion, "PATTERNS", fusion.list_patterns(OPERATORS))


def in_an_onnx(nodes: list[Node], path: Path) -> list[tuple[str, tuple[str, ...]]]:
    """Kinds that are read of a file, each with the kinds of what it reads."""
    made, constants = [], []
    for name, kind, inputs in nodes:
        read = []
        for number, value in enumerate(inputs):
            if isinstance(value, float):
                told = helper.make_tensor(f"{name}{number}", TensorProto.FLOAT, [], [value])
                constants.append(told)
                value = told.name
            read.append(value)
        made.append(helper.make_node(kind, read, [name]))
    x = helper.make_tensor_value_info("image", TensorProto.FLOAT, [None, *MAP])
    y = helper.make_tensor_value_info(nodes[-1][0], TensorProto.FLOAT, None)
    graph = helper.make_graph(made, "g", [x], [y], constants)
    onnx.save(helper.make_model(graph), path)
    found = read_onnx(path).ops
    return [(op.kind, tuple(found[name].kind for name in op.inputs)) for op in found.values()]


def in_a_mindir(nodes: list[Node]) -> list[tuple[str, tuple[str, ...]]]:
    """The same of the last of nodes, and of what it is made of."""
    trace = Trace()
    shape = ("N", *MAP)
    image = trace.add(Op("image", "input", (), {"shape": MAP}), shape)
    known: dict[str, Any] = {"image": Feature(image, shape)}
    for name, kind, inputs in nodes:
        read = tuple(known.get(value, value) for value in inputs)
        known[name] = PRIMITIVES[kind](MindirNode(trace, name, kind, read, {}))
    return [*tell(trace, known[nodes[-1][0]].op)]


def tell(trace: Trace, name: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    op = trace.ops[name]
    for before in dict.fromkeys(op.inputs):
        yield from tell(trace, before)
    yield op.kind, tuple(trace.ops[each].kind for each in op.inputs)


TWO: list[Node] = [("a", "Tanh", ("image",)), ("b", "Sigmoid", ("image",))]
HALF_A_SUM: list[Node] = [*TWO, ("c", "Add", ("a", "b")), ("d", "Mul", ("c", 0.5))]
TWICE_LESS: list[Node] = [*TWO, ("c", "Sub", ("a", "b")), ("d", "Mul", ("c", 2.0))]


@pytest.mark.parametrize(
    ("kind", "pattern", "nodes", "reads"),
    [
        ("mean", MEAN, HALF_A_SUM, {"tanh", "sigmoid"}),
        ("difference", DIFFERENCE, TWICE_LESS, ("tanh", "sigmoid")),
    ],
)
def test_a_join_that_is_written_out_is_one_in_both_formats(
    kind: str, pattern: Any, nodes: list[Node], reads: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    """In the order of its letters, where the order matters."""
    planted(monkeypatch, {kind: pattern})
    for found in (in_an_onnx(nodes, tmp_path / "a.onnx"), in_a_mindir(nodes)):
        last, read = found[-1]
        assert last == kind
        assert type(reads)(read) == reads


def test_a_join_of_one_value_reads_it_twice(tmp_path: Path, monkeypatch: Any) -> None:
    planted(monkeypatch, {"mean": MEAN})
    nodes: list[Node] = [("a", "Tanh", ("image",)), ("c", "Add", ("a", "a"))]
    nodes.append(("d", "Mul", ("c", 0.5)))
    for found in (in_an_onnx(nodes, tmp_path / "a.onnx"), in_a_mindir(nodes)):
        assert found[-1] == ("mean", ("tanh", "tanh"))


def _joins_nothing(attrs: Attrs, inputs: Any) -> Shape:
    return _add_shape(attrs, [inputs[0], (1, 1, 1)])


def test_what_its_row_does_not_join_is_refused(tmp_path: Path, monkeypatch: Any) -> None:
    """Though the nodes that it is written out in would join it."""
    planted(monkeypatch, {"mean": MEAN})
    picky = Operator("mean", _joins_nothing, arity=2)
    monkeypatch.setitem(OPERATORS, "mean", picky)
    with pytest.raises(ModelFileError, match="adds 6 x 4 x 4 and 1 x 1 x 1"):
        in_an_onnx(HALF_A_SUM, tmp_path / "a.onnx")
    with pytest.raises(Unsupported, match="adds 6 x 4 x 4 and 1 x 1 x 1"):
        in_a_mindir(HALF_A_SUM)


def test_a_multiple_of_a_sum_is_no_multiple_of_a_mean(monkeypatch: Any) -> None:
    """What a mean halves is an operator by itself."""
    planted(monkeypatch, {"mean": MEAN})
    nodes: list[Node] = [*TWO, ("c", "Add", ("a", "b")), ("d", "Mul", ("c", 0.3))]
    assert [kind for kind, _ in in_a_mindir(nodes)][-2:] == ["add", "times"]


GATED: list[Node] = [
    ("s", "Sigmoid", ("image",)),
    ("p", "Add", ("s", 1.0)),
    ("m", "Mul", ("image", "p")),
]
WITHIN: list[Node] = [
    ("a", "Tanh", ("image",)),
    ("b", "Mul", ("a", 3.0)),
    ("c", "Tanh", ("b",)),
    ("d", "Add", ("c", 4.0)),
]


@pytest.mark.parametrize("is_reversed", [False, True], ids=["as they stand", "the other way"])
@pytest.mark.parametrize(
    ("rows", "nodes", "wanted"),
    [
        ({"inner": INNER, "outer": OUTER}, WITHIN, "outer"),
        ({"inner": INNER, "outer": OUTER}, WITHIN[:2], "inner"),
        ({"gated": WHOLE_GATE, "half": HALF_GATE}, [*GATED, ("h", "Mul", ("m", 0.5))], "half"),
        ({"gated": WHOLE_GATE, "half": HALF_GATE}, GATED, "gated"),
    ],
)
def test_a_pattern_within_another_rows_pattern_hides_it_not(
    rows: dict[str, Any],
    nodes: list[Node],
    wanted: str,
    is_reversed: bool,
    tmp_path: Path,
    monkeypatch: Any,
) -> None:
    """Whichever row stands first."""
    ordered = dict(reversed(rows.items())) if is_reversed else rows
    planted(monkeypatch, ordered)
    expected = [("input", ()), (wanted, ("input",))]
    assert in_an_onnx(nodes, tmp_path / "a.onnx") == expected
    assert in_a_mindir(nodes) == expected


def test_of_two_patterns_that_end_at_one_value_the_larger_is_it(
    tmp_path: Path, monkeypatch: Any
) -> None:
    """The smaller one's x is a part of the larger one."""
    small: Any = ("plus", 4.0, "x")
    planted(monkeypatch, {"small": small, "outer": OUTER})
    assert in_an_onnx(WITHIN, tmp_path / "a.onnx")[-1] == ("outer", ("input",))
    assert in_a_mindir(WITHIN)[-1] == ("outer", ("input",))


@pytest.mark.parametrize(
    ("wanted", "said", "is_found"),
    [
        (True, {"keep": True}, True),
        (True, {}, False),
        (False, {}, True),
        (None, {}, True),
        ("k", {"keep": True}, True),
        ("k", {}, True),
    ],
)
def test_an_attribute_that_is_left_out_is_its_default(
    wanted: Any, said: dict[str, Any], is_found: bool, monkeypatch: Any
) -> None:
    """Whether a pool keeps its map is told by some nodes alone; a word or a truth is no number."""
    pattern = ("plus", 1.0, ("global_avg_pool", {"keep": wanted}, "x"))
    planted(monkeypatch, {"one_more": pattern})
    assert OPERATORS["global_avg_pool"].defaults["keep"] is False
    trace = Trace()
    for op in (
        Op("image", "input", (), {"shape": MAP}),
        Op("pool", "global_avg_pool", ("image",), said),
        Op("sum", "plus", ("pool",), {"value": 1.0}),
    ):
        trace.add(op, ("N", *MAP))
    found = fusion.recognise(trace, "sum")
    assert (found is not None) == is_found
    if found is not None:
        assert found.reads == ("image",)
        assert found.attrs == ({"k": said.get("keep", False)} if wanted == "k" else {})


def test_a_multiple_of_what_a_number_depends_on_has_its_factor() -> None:
    """Of a softplus, whose own factor is one by beta: 0.3 times what a half makes whole."""
    trace = Trace()
    for op in (
        Op("image", "input", (), {"shape": MAP}),
        Op("twice", "times", ("image",), {"value": 2.0}),
        Op("soft", "softplus", ("twice",), {"beta": 1.0}),
        Op("last", "times", ("soft",), {"value": 0.3}),
    ):
        trace.add(op, ("N", *MAP))
    found = fusion.recognise_multiple(trace, "last")
    assert found is not None
    whole, factor = found
    assert (whole.kind, whole.attrs["beta"], factor) == ("softplus", 2.0, 0.6)
