"""Digests: the same for the same structure whatever the names, another for any other structure."""

import random
from dataclasses import replace

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archspec.graph.build import build_graph
from archspec.graph.digest import digest_with_names, structure_digest
from archspec.graph.ir import Graph, Op
from archspec.spec.catalogue import shipped
from archspec.spec.load import load_spec

DIGITS = build_graph(load_spec("densenetbc_digits"))
CONV = {"in_channels": 2, "out_channels": 2, "kernel": 3, "stride": 1, "padding": 1}
INPUT = Op("x", "input", (), {"shape": (2, 4, 4)})


def renamed(graph: Graph, seed: int) -> Graph:
    """Every operator and region under a random other name."""
    rng = random.Random(seed)
    numbers = rng.sample(range(10**6), len(graph.ops) + len(graph.regions))
    new = {
        name: f"n{number}"
        for name, number in zip([*graph.ops, *graph.regions], numbers, strict=True)
    }
    new[""] = ""
    ops = [
        Op(
            new[op.name],
            op.kind,
            tuple(new[source] for source in op.inputs),
            op.attrs,
            new[op.region],
        )
        for op in graph.ops.values()
    ]
    regions = [replace(r, name=new[r.name], parent=new[r.parent]) for r in graph.regions.values()]
    return Graph.of("other", ops, regions)


def relisted(graph: Graph, seed: int) -> Graph:
    """The operators in another topological order."""
    rank = {name: random.Random(f"{seed} {name}").random() for name in graph.ops}
    order = nx.lexicographical_topological_sort(graph.digraph, key=rank.__getitem__)
    return Graph.of(graph.name, [graph.ops[name] for name in order], graph.regions.values())


def changed(graph: Graph, name: str, **changes: object) -> Graph:
    return graph.with_op(replace(graph.ops[name], **changes))  # type: ignore[arg-type]


@given(st.integers(0, 10**6))
def test_names_and_listing_do_not_touch_the_structure_digest(seed: int) -> None:
    """Equal under renaming of everything and under any topological order of listing."""
    digest = structure_digest(DIGITS)
    assert structure_digest(renamed(DIGITS, seed)) == digest
    assert structure_digest(relisted(DIGITS, seed)) == digest
    assert structure_digest(relisted(renamed(DIGITS, seed), seed)) == digest


@given(st.integers(0, 10**6))
def test_the_named_digest_knows_names_but_not_the_listing(seed: int) -> None:
    """A checkpoint's names matter; the order in which operators are listed does not."""
    assert digest_with_names(relisted(DIGITS, seed)) == digest_with_names(DIGITS)
    assert digest_with_names(renamed(DIGITS, seed)) != digest_with_names(DIGITS)


def test_another_order_of_listing_is_really_tried() -> None:
    """The graph has more than one topological order, and the shuffle finds others."""
    graph = build_graph(load_spec("densenetbc_digits"))
    twins = [Op("a", "conv", ("x",), CONV), Op("b", "relu", ("x",)), Op("y", "concat", ("a", "b"))]
    assert {tuple(relisted(Graph.of("t", [INPUT, *twins]), seed).ops) for seed in range(20)} == {
        ("x", "a", "b", "y"),
        ("x", "b", "a", "y"),
    }
    assert structure_digest(graph) == structure_digest(DIGITS)


@pytest.mark.parametrize("overrides", [[], ["layer=basic", "drop_rate=0.1", "stem.norm=true"]])
def test_any_changed_attribute_kind_or_wire_is_another_structure(overrides: list[str]) -> None:
    """Each attribute of each operator, each kind, each input exchanged,
    dropped or doubled: all differ.
    """
    graph = build_graph(load_spec("densenetbc_digits", overrides))
    mutants = []
    for op in graph.ops.values():
        for key, value in op.attrs.items():
            other = (*value, 1) if isinstance(value, tuple) else value + 1
            mutants.append(changed(graph, op.name, attrs={**op.attrs, key: other}))
        mutants.append(changed(graph, op.name, kind="gelu"))
        for index, source in enumerate(op.inputs):
            mutants.append(
                changed(graph, op.name, inputs=op.inputs[:index] + op.inputs[index + 1 :])
            )
            mutants.append(changed(graph, op.name, inputs=(*op.inputs, source)))
            if source != "input":
                inputs = (*op.inputs[:index], "input", *op.inputs[index + 1 :])
                mutants.append(changed(graph, op.name, inputs=inputs))
        if len(op.inputs) > 1:
            mutants.append(changed(graph, op.name, inputs=op.inputs[::-1]))
    digests = [structure_digest(mutant) for mutant in mutants]
    assert structure_digest(graph) not in digests
    assert len(mutants) > 100


def test_two_equal_convolutions_are_not_one_used_twice() -> None:
    """They hold different weights."""
    a, b = Op("a", "conv", ("x",), CONV), Op("b", "conv", ("x",), CONV)
    two = Graph.of("two", [INPUT, a, b, Op("y", "concat", ("a", "b"))])
    one = Graph.of("one", [INPUT, a, Op("y", "concat", ("a", "a"))])
    assert structure_digest(two) != structure_digest(one)


def test_who_shares_equal_convolutions_matters() -> None:
    """Two joins of twins: each join reads both twins, or each reads one of them twice."""
    twins = [INPUT, Op("a", "conv", ("x",), CONV), Op("b", "conv", ("x",), CONV)]
    crossed = [Op("p", "concat", ("a", "b")), Op("q", "concat", ("b", "a"))]
    apart = [Op("p", "concat", ("a", "a")), Op("q", "concat", ("b", "b"))]
    end = Op("y", "concat", ("p", "q"))
    digests = {structure_digest(Graph.of("g", [*twins, *joins, end])) for joins in (crossed, apart)}
    assert len(digests) == 2


def test_several_outputs_are_known_in_any_order() -> None:
    """A graph with two outputs has one digest however they are listed."""
    ends = [Op("p", "relu", ("x",)), Op("q", "conv", ("x",), CONV)]
    digests = {structure_digest(Graph.of("g", [INPUT, *order])) for order in (ends, ends[::-1])}
    assert len(digests) == 1


def test_regions_are_part_of_the_named_digest_alone() -> None:
    """What a region declares is no operator, but a diff must see it."""
    region = DIGITS.regions["head"]
    other = Graph.of(
        "g",
        DIGITS.ops.values(),
        [*(r for r in DIGITS.regions.values() if r != region), replace(region, attrs={})],
    )
    assert structure_digest(other) == structure_digest(DIGITS)
    assert digest_with_names(other) != digest_with_names(DIGITS)


def test_no_two_shipped_specs_share_a_digest() -> None:
    """And a rebuilt graph has its old digest."""
    found = {name: structure_digest(build_graph(load_spec(name))) for name in shipped()}
    assert len(set(found.values())) == len(found)
    assert structure_digest(build_graph(load_spec("densenet121"))) == found["densenet121"]
