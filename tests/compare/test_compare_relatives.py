"""Comparing relatives of dense networks: each lost connection is one line, where it is lost;
permutations forgiven.
"""

from __future__ import annotations

import random
from dataclasses import replace

import networkx as nx
import pytest

from archspec.compare.compare import compare
from archspec.graph.build import build_graph
from archspec.graph.ir import Graph
from archspec.spec.load import load_spec
from archspec.spec.spec import Spec

B = "features.denseblock"


def network(name: str, *overrides: str) -> Graph:
    size = min(64, load_spec(name).input.height)
    return build_graph(load_spec(name, [f"input.height={size}", f"input.width={size}", *overrides]))


def pruned(graph: Graph, outputs: tuple[str, ...]) -> Graph:
    used = {*outputs}.union(*(nx.ancestors(graph.digraph, name) for name in outputs))
    return replace(graph, ops={name: op for name, op in graph.ops.items() if name in used})


def reading(graph: Graph, name: str, *inputs: str) -> Graph:
    """The graph with an operator that reads something else."""
    return pruned(graph.with_op(replace(graph.ops[name], inputs=inputs)), graph.outputs)


def without(graph: Graph, name: str, instead: str) -> Graph:
    """The graph with all readers of an operator reading another one."""
    outputs = graph.outputs
    for op in graph.ops.values():
        if name in op.inputs:
            graph = graph.with_op(
                replace(op, inputs=tuple(instead if x == name else x for x in op.inputs))
            )
    return pruned(graph, outputs)


def lacking(graph: Graph, name: str, part: str) -> Graph:
    return reading(
        graph, name, *(source for source in graph.ops[name].inputs if part not in source)
    )


def lines(ours: Graph, theirs: Graph) -> list[str]:
    bare = [replace(op, region="") for op in theirs.ops.values()]
    return [difference.message for difference in compare(ours, Graph.of("file", bare)).differences]


FC, VOV, CSP, PELEE = (
    network(name) for name in ("fcdensenet103", "vovnet39", "cspdensenet121", "peleenet")
)
UP = "features.transition"


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        (
            FC,
            reading(FC, f"{UP}6.join", f"{UP}6.crop"),
            ["transition 6 does not read block 5 (its skip)"],
        ),
        (
            FC,
            reading(FC, f"{UP}7.join", f"{UP}7.crop", f"{B}3.concat"),
            ["transition 7 does not read block 4 (its skip)", "transition 7 must not read block 3"],
        ),
        (
            FC,
            lacking(FC, f"{B}5.concat", "denselayer3."),
            ["the output of block 5 does not read layer 3"],
        ),
        (
            FC,
            lacking(FC, f"{B}8.concat4", "denselayer2."),
            ["block 8, layer 4 does not read layer 2"],
        ),
        (
            VOV,
            without(VOV, f"{B}4.sum", f"{B}4.aggregate.relu"),
            ["block 4 does not add its input to its output"],
        ),
        (
            VOV,
            lacking(VOV, f"{B}3.concat", "denselayer2."),
            ["block 3's aggregation does not read layer 2"],
        ),
        (
            CSP,
            without(CSP, f"{B}2.fuse", CSP.ops[f"{B}2.fuse"].inputs[1]),
            ["block 2's bypass is missing"],
        ),
        (
            PELEE,
            without(
                PELEE, f"{B}1.denselayer2.join1", PELEE.ops[f"{B}1.denselayer2.join1"].inputs[0]
            ),
            [
                (
                    "block 1, layer 2 lacks conv, batch_norm, relu, conv, batch_norm, relu, "
                    "conv, batch_norm, relu"
                )
            ],
        ),
    ],
)
def test_a_lost_connection_is_one_line(ours: Graph, theirs: Graph, expected: list[str]) -> None:
    """However many layers read through the place where it is lost."""
    assert lines(ours, theirs) == expected


@pytest.mark.parametrize(
    ("config", "expected"),
    [("[6]", "1 block"), ("[6,12,24]", "3 blocks"), ("[6,12,24,16,4]", "5 blocks")],
)
def test_another_number_of_blocks_comes_first(config: str, expected: str) -> None:
    """Its consequences follow."""
    found = lines(network("densenet121"), network("densenet121", f"block_config={config}"))
    assert found[0] == f"the file has {expected}, the spec says 4"
    assert len(found) > 1


@pytest.mark.parametrize(
    "name", ["sparsenet40_k24", "hardnet39ds", "vovnet39", "peleenet", "cspdensenet121"]
)
def test_permuted_joins_are_a_note(name: str) -> None:
    """Every concatenation and sum in a random order: no relative depends on it."""
    graph, rng = network(name), random.Random(4)
    permuted = graph
    for op in graph.ops.values():
        if op.kind in ("concat", "add"):
            permuted = permuted.with_op(
                replace(op, inputs=tuple(rng.sample(op.inputs, len(op.inputs))))
            )
    assert lines(graph, permuted) == []


GROUPED = [{"conv": {"width": 8, "kernel": 3, "groups": 2}}, {"conv": {"width": "k", "kernel": 3}}]
SUMMED = [
    {"branches": {"join": "add", "of": [["norm"], [], ["activation"]]}},
    {
        "branches": {
            "join": "multiply",
            "of": [[], [{"global_pool": {"keep": True}}, {"conv": {"kernel": 1}}]],
        }
    },
    {"conv": {"width": "k", "kernel": 3}},
]


@pytest.mark.parametrize(
    ("layer", "head", "depends"),
    [(GROUPED, "classifier", "conv1"), (SUMMED, "classifier", ""), ("basic", "none", "the output")],
)
def test_an_order_that_matters_is_a_difference(layer: object, head: str, depends: str) -> None:
    """Grouped filters and outputs know channels by their place;
    sums of what is permuted alike do not.
    """
    document = {
        "input": {"channels": 2, "height": 12, "width": 12},
        "stem": {"kernel": 3, "stride": 1, "channels": 4, "pool": "none"},
        "growth_rate": 4,
        "layer": layer,
        "blocks": [{"layers": 2}],
        "head": {"steps": head, **({} if head == "none" else {"num_classes": 3})},
    }
    graph = build_graph(Spec.model_validate(document))
    permuted = graph
    for op in graph.ops.values():
        if op.kind == "concat":
            permuted = permuted.with_op(replace(op, inputs=op.inputs[::-1]))
    found = lines(graph, permuted)
    assert len(found) == bool(depends)
    assert all(
        "in another order, on which" in line and line.endswith(f"{depends} depends")
        for line in found
    )
