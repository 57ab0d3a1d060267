"""Direct connections: derived from the graph, equal to what a search over paths finds."""

from collections.abc import Iterator

import networkx as nx
import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from operators.example_values import is_sum
from operators.examples import READING, READING_NAMES

from archspec.graph.build import build_graph
from archspec.graph.connections import derive_connections, derive_ports, layers_of
from archspec.graph.ir import Graph, Op, Region
from archspec.operators.attributes import Attrs
from archspec.spec.load import load_spec
from archspec.spec.spec import Spec


def makes_features(op: Op) -> bool:
    """By filters, or of nothing."""
    return not op.inputs or "weight" in oracle.shapes_of(op.kind, op.attrs)


@st.composite
def small_specs(draw: st.DrawFn) -> Spec:
    listed = draw(st.lists(st.integers(1, 8), min_size=1, max_size=4))
    layer = st.sampled_from(["basic", "bottleneck"])
    entries = [
        {"layers": n, "growth_rate": draw(st.integers(1, 6)), "layer": draw(layer)} for n in listed
    ]
    drop = draw(st.sampled_from([0.0, 0.2]))
    return Spec.model_validate({"growth_rate": 4, "blocks": entries, "drop_rate": drop})


def inside(graph: Graph, region: str) -> set[str]:
    """Operators of a region and of those nested in it."""
    names = {region, *(r.name for r in graph.regions.values() if r.parent == region)}
    return {op.name for op in graph.ops.values() if op.region in names}


def border(graph: Graph, region: str) -> tuple[set[str], set[str]]:
    """Values read from outside, and values read outside, from the edges alone."""
    own = inside(graph, region)
    entering = {a for a, b in graph.digraph.edges if b in own and a not in own}
    leaving = {a for a, b in graph.digraph.edges if a in own and b not in own}
    return entering, leaving | (own & set(graph.outputs))


def searched(graph: Graph, block: str) -> Iterator[set[int]]:
    """The sources of each layer and of the output, by asking networkx for a path to each of them.

    For source j and layer i only these operators may be walked on: j itself, what lies in no layer
    and makes no new features, and layer i up to its first convolution.
    """
    layers = [inside(graph, layer.name) for layer in graph.regions_of("dense_layer", block)]
    free = inside(graph, block) - set().union(*layers)
    passing = {name for name in free if not makes_features(graph.ops[name])}
    starts = [
        border(graph, block)[0],
        *(border(graph, layer.name)[1] for layer in layers_of_block(graph, block)),
    ]
    for layer in layers:
        yield set(reaching(graph, [start - layer for start in starts], passing, layer))
    yield set(reaching(graph, starts, passing, border(graph, block)[1]))


def layers_of_block(graph: Graph, block: str) -> tuple[Region, ...]:
    return graph.regions_of("dense_layer", block)


def reaching(
    graph: Graph, starts: list[set[str]], passing: set[str], target: set[str]
) -> Iterator[int]:
    for number, sources in enumerate(starts):
        others = set().union(*starts) - sources
        walkable = graph.digraph.subgraph((passing | sources | target) - (others - target))
        pairs = ((source, goal) for source in sources for goal in target)
        if any(goal in walkable and nx.has_path(walkable, source, goal) for source, goal in pairs):
            yield number


@settings(max_examples=40)
@given(small_specs())
def test_derived_connections_equal_a_search_over_paths(spec: Spec) -> None:
    """Layer by layer and source by source, and all of them are the paper's."""
    graph = build_graph(spec)
    for block, found in zip(
        graph.regions_of("dense_block"), derive_connections(graph), strict=True
    ):
        *sources, gathered = searched(graph, block.name)
        assert (
            [set(s) for s in found.sources]
            == sources
            == [set(range(i)) for i in range(1, len(sources) + 1)]
        )
        assert set(found.gathered) == gathered == set(range(len(sources) + 1))
        assert found.edges == len(sources) * (len(sources) + 1) // 2


@settings(max_examples=40)
@given(small_specs(), st.data())
def test_with_edges_missing_the_search_still_agrees(spec: Spec, data: st.DataObject) -> None:
    """Concatenations lose some of their inputs:
    what is derived is what is there, not what should be.
    """
    graph = build_graph(spec)
    for op in list(graph.ops.values()):
        if op.kind == "concat":
            kept = data.draw(st.sets(st.sampled_from(op.inputs), min_size=1))
            inputs = tuple(source for source in op.inputs if source in kept)
            graph = graph.with_op(Op(op.name, op.kind, inputs, op.attrs, op.region))
    for block, found in zip(
        graph.regions_of("dense_block"), derive_connections(graph), strict=True
    ):
        *sources, gathered = searched(graph, block.name)
        assert [set(s) for s in found.sources] == sources
        assert set(found.gathered) == gathered


@settings(max_examples=30)
@given(small_specs())
def test_ports_are_the_edges_that_cross_a_border(spec: Spec) -> None:
    """For every region, nested ones included; each has one value in and one out."""
    graph = build_graph(spec)
    for name, found in derive_ports(graph).items():
        assert (set(found.entering), set(found.leaving)) == border(graph, name)
        assert len(found.entering) == len(found.leaving) == 1


def hand_made(*middle: Op, reads: str) -> Graph:
    """input -> first layer -> `middle` -> second layer,
    in one block whose output joins all sources.
    """
    conv = {"in_channels": 2, "out_channels": 2, "kernel": 1, "stride": 1, "padding": 0}
    ops = [
        Op("input", "input", (), {"shape": (2, 4, 4)}),
        Op("before", "relu", ("input",)),
        Op("first", "conv", ("before",), conv, "layer1"),
        *middle,
        Op("second", "conv", (reads,), conv, "layer2"),
        Op("out", "concat", ("before", "first", "second"), {}, "block"),
        Op("after", "relu", ("out",)),
    ]
    regions = [
        Region("block", "dense_block"),
        Region("layer1", "dense_layer", "block"),
        Region("layer2", "dense_layer", "block"),
    ]
    return Graph.of("hand", ops, regions)


@pytest.mark.parametrize(("kind", "attrs"), READING, ids=READING_NAMES)
def test_a_connection_runs_through_what_only_carries_features(kind: str, attrs: Attrs) -> None:
    """Norm, activation, pooling, dropout and concatenation do not break a direct connection; what
    filters does, and so does what adds.
    """
    middle = Op("middle", kind, ("first",), attrs, "block")
    breaks = makes_features(middle) or is_sum(kind)
    found = derive_connections(hand_made(middle, reads="middle"))[0]
    assert found.sources == ((0,), () if breaks else (1,))


def test_a_convolution_on_the_way_breaks_a_direct_connection() -> None:
    """Its output is new features: layer 2 then has no direct source at all."""
    middle = Op("middle", "conv", ("first",), {}, "block")
    assert derive_connections(hand_made(middle, reads="middle"))[0].sources == (
        (0,),
        (),
    )


def test_two_ways_to_one_source_are_one_connection() -> None:
    """Connections are counted by source and layer, not by path."""
    middle = [
        Op("a", "relu", ("first",), {}, "block"),
        Op("b", "gelu", ("first",), {}, "block"),
        Op("c", "concat", ("a", "b", "before"), {}, "block"),
    ]
    found = derive_connections(hand_made(*middle, reads="c"))[0]
    assert found.sources == ((0,), (1, 0))
    assert found.edges == 3


def test_the_search_agrees_on_the_hand_made_graph() -> None:
    """The oracle is not blind to missing or broken connections."""
    for reads in ("first", "before"):
        graph = hand_made(reads=reads)
        assert [set(s) for s in derive_connections(graph)[0].sources] == list(
            searched(graph, "block")
        )[:-1]


def test_densenet121_has_its_535_connections() -> None:
    """21 + 78 + 300 + 136, found in the graph."""
    graph = build_graph(load_spec("densenet121"))
    assert [found.edges for found in derive_connections(graph)] == [21, 78, 300, 136]
    block = graph.regions["features.denseblock1"]
    assert [layer.name.rpartition(".")[2] for layer in layers_of(graph, block)] == [
        f"denselayer{i}" for i in range(1, 7)
    ]
