"""A graph is a value, and what follows from it is derived once."""

import pickle
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import CodeType, FrameType
from typing import Any

import pytest

from archspec.graph.build import build_graph
from archspec.graph.connections import derive_connections, derive_ports
from archspec.graph.digest import digest_with_names, structure_digest
from archspec.graph.ir import Graph, Op
from archspec.graph.report import report
from archspec.graph.shapes import infer_shapes, running_order
from archspec.operators.table import OPERATORS
from archspec.spec.load import load_spec
from archspec.verifiers.verify import verify, verify_or_raise
from archspec.writers.mindspore.module import write_module
from archspec.writers.tables import make_stage_table, make_tree
from densenet_cli.check import check

DERIVING = (
    infer_shapes,
    running_order,
    derive_ports,
    derive_connections,
    structure_digest,
    digest_with_names,
)


@contextmanager
def derivations() -> Iterator[Counter[tuple[str, int]]]:
    """Count how often each function really runs, by its name and the graph that it runs on."""
    codes: dict[CodeType, str] = {own(derive).__code__: own(derive).__name__ for derive in DERIVING}
    found: Counter[tuple[str, int]] = Counter()
    graphs: list[Graph] = []  # kept, so that no other graph is given the number of one

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code in codes:
            graphs.append(frame.f_locals["graph"])
            found[codes[frame.f_code], id(graphs[-1])] += 1

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield found
    finally:
        sys.setprofile(before)


def own(derive: Callable[[Graph], Any]) -> Any:
    """The function itself, without what keeps its results."""
    return derive.__wrapped__


@pytest.mark.parametrize("name", ["densenet121", "fcdensenet103", "cspdensenet121"])
def test_everything_is_derived_once_for_all_who_ask(name: str) -> None:
    spec = load_spec(name)
    with derivations() as found:
        graph = verify_or_raise(build_graph(spec))
        make_stage_table(report(graph), graph)
        make_tree(graph)
        write_module(graph)
        structure_digest(graph)
        digest_with_names(graph)
    assert found == {(own(derive).__name__, id(graph)): 1 for derive in DERIVING}


def test_the_command_check_infers_the_shapes_of_its_graph_once() -> None:
    with derivations() as found:
        check(["densenet121"])
    asked = Counter(name for name, _ in found.elements())
    assert asked == dict.fromkeys(
        ("infer_shapes", "running_order", "derive_ports", "derive_connections"), 1
    )


def test_a_built_graph_has_the_shapes_that_its_builder_inferred() -> None:
    """They are those that anybody infers of the same operators, and no rule is asked twice."""
    rule, asked = OPERATORS["conv"].shape.__code__, Counter[str]()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code is rule:
            asked["conv"] += 1

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        graph = build_graph(load_spec("densenet121"))
        shapes, faults = infer_shapes(graph)
    finally:
        sys.setprofile(before)
    assert asked["conv"] == sum(op.kind == "conv" for op in graph.ops.values())
    again = Graph.of(graph.name, graph.ops.values(), graph.regions.values())
    assert (dict(shapes), faults) == (dict(infer_shapes(again)[0]), ())


def test_a_changed_graph_is_another_and_derives_its_own() -> None:
    graph = build_graph(load_spec("densenetbc_digits"))
    conv = next(op for op in graph.ops.values() if op.kind == "conv")
    before = infer_shapes(graph), structure_digest(graph)
    wider = replace(conv, attrs={**conv.attrs, "out_channels": 7})
    changed = graph.with_op(wider)
    assert infer_shapes(changed)[0][conv.name][0] == 7
    assert structure_digest(changed) != before[1]
    assert verify(changed)
    assert (infer_shapes(graph), structure_digest(graph)) == before


def test_what_was_derived_is_no_part_of_the_value() -> None:
    asked, fresh = (build_graph(load_spec("densenetbc_digits")) for _ in range(2))
    infer_shapes(asked), derive_ports(asked), derive_connections(asked)
    assert asked == fresh
    assert repr(asked) == repr(fresh)


def test_who_asks_cannot_change_what_others_are_given() -> None:
    graph = build_graph(load_spec("densenetbc_digits"))
    for found in (infer_shapes(graph)[0], derive_ports(graph)):
        with pytest.raises(TypeError):
            found["input"] = None
    assert isinstance(running_order(graph), tuple)


def test_a_graph_of_plain_mappings_can_be_pickled_before_and_after_it_was_asked() -> None:
    graph = Graph("plain", {"input": Op("input", "input", (), {"shape": (3, 8, 8)})})
    for _ in range(2):
        again = pickle.loads(pickle.dumps(graph))
        assert again == graph
        assert infer_shapes(again) == infer_shapes(graph) == ({"input": (3, 8, 8)}, ())


def test_a_fault_is_told_to_all_who_ask() -> None:
    graph = Graph.of("short", [Op("input", "input", (), {"shape": (3, 1, 1)})])
    pool = Op("pool", "max_pool", ("input",), {"kernel": 2, "stride": 2, "padding": 0})
    broken = graph.with_op(pool)
    first, second = infer_shapes(broken)[1], infer_shapes(broken)[1]
    assert [fault.code for fault in first] == ["G006"]
    assert first == second
