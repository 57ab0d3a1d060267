"""Networks that have something for each pass to do, and what is asked of any that was rewritten."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import oracle
from writers.operator_networks import graph_of

from archspec.graph.ir import Graph
from archspec.rewrites.optimize import Level, Optimized, optimize

CONV = {"conv": {"width": "k", "kernel": 3}}
HALF = {"conv": {"width": "2k", "kernel": 3}}

SETTINGS: Mapping[str, dict[str, Any]] = {
    "dropout": {
        "layer": ["norm", "activation", CONV, "dropout"],
        "drop_rate": 0.2,
        "head": {"num_classes": 3, "dropout": 0.5},
    },
    "dropout between a convolution and its norm": {
        "layer": [CONV, {"dropout2d": {"rate": 0.2}}, {"drop_path": {"rate": 0.1}}, "norm"],
    },
    "joins of joins": {
        "blocks": [{"layers": 2}, {"layers": 2}, {"layers": 1}],
        "transition": "none",
        "layer": [
            {"branches": {"of": [[], [{"branches": {"of": [[], ["activation"]]}}]]}},
            CONV,
        ],
    },
    "equal branches": {
        "layer": [
            {"branches": {"of": [["norm", "activation", HALF], ["norm", "activation", HALF]]}},
            CONV,
        ],
    },
    "equal branches and feature maps": {"layer": "two_way", "features": [1, 2], "growth_rate": 4},
    "repeated layers": {
        "blocks": [
            {"layers": 3, "connectivity": {"edges": [[0], [0], [2, 1]]}},
            {"layers": 3, "connectivity": {"edges": [[0], [0], [0]], "output": [3, 1, 0, 2]}},
        ],
    },
    "repeated layers and a map of theirs": {
        "blocks": [{"layers": 2, "connectivity": {"edges": [[0], [0]]}}, {"layers": 1}],
        "features": [1],
    },
    "a slice that leaves layers out": {
        "blocks": [{"layers": 3}, {"layers": 2}],
        "transition": {"steps": [{"slice": {"stop": 4}}, {"conv": {"width": "out", "kernel": 1}}]},
    },
    "two norms behind a convolution": {"layer": [CONV, "norm", {"norm": "batch"}, "activation"]},
    "a biased convolution": {"layer": [{"conv": {"kernel": 3, "bias": True}}, "norm", CONV]},
    "scales around a norm": {"layer": [CONV, "scale", "norm", {"scale": {"initial": 0.2}}]},
    "a norm beside another reader": {
        "layer": [CONV, {"branches": {"join": "add", "of": [[], ["norm", "activation"]]}}],
    },
    "standardized filters": {
        "layer": [{"conv": {"width": "k", "kernel": 3, "standardized": True}}, "norm"],
    },
    "groups": {
        "growth_rate": 4,
        "layer": [{"conv": {"width": "k", "kernel": 3, "groups": 2}}, "norm", "activation"],
        "stem": {"channels": 4, "kernel": 3, "stride": 1, "norm": False, "pool": "none"},
        "transition": {"channels": 4},
    },
    "another kind of norm": {"layer": [CONV, {"norm": {"kind": "group", "groups": 3}}, "norm"]},
    "a norm of the image": {"stem": ["norm", {"conv": {"width": 4, "kernel": 3}}, "norm"]},
    "a transposed convolution": {
        "transition": {
            "steps": [{"conv_transpose": {"width": 4, "kernel": 2, "stride": 2}}, "norm"],
        },
    },
    "a crop that cuts nothing off": {
        "blocks": [{"layers": 1}, {"layers": 1}, {"layers": 1}],
        "input": {"channels": 2, "height": 12, "width": 10},
        "transitions": [
            {},
            {
                "steps": [{"conv_transpose": {"width": 4, "kernel": 2, "stride": 2}}, "norm"],
                "skip": 1,
                "crop": True,
            },
        ],
    },
    "a maximum of all pixels": {
        "head": [{"global_pool": {"kind": "max"}}, "dense"],
    },
    "feature maps": {"features": [1, 2]},
    "no head": {"head": "none", "transition": {"steps": ["norm"]}, "blocks": [{"layers": 1}] * 2},
    "nothing": {"norm": "none"},
}


def network(case: str) -> Graph:
    return graph_of(**SETTINGS[case])


def tensors_of(graph: Graph, *, are_equal: bool = False) -> dict[str, Any]:
    """Tensors, none of them trivial; or those of one shape and role are all the same."""
    tensors = oracle.random_parameters(graph.ops.values(), 0)
    if not are_equal:
        return tensors
    first: dict[Any, Any] = {}
    for name, values in tensors.items():
        key = (name.rpartition(".")[2], values.shape)
        tensors[name] = first.setdefault(key, values)
    return tensors


def images_of(graph: Graph) -> Any:
    shape = graph.ops[graph.inputs[0]].attrs["shape"]
    return np.random.default_rng(1).normal(size=(2, *shape)).astype(np.float32)


def outputs_of(graph: Graph, tensors: Mapping[str, Any], images: Any) -> dict[str, Any]:
    made = oracle.values(graph.ops.values(), tensors, images)
    by_name = dict(zip(graph.ops, made, strict=True))
    return {name: by_name[name] for name in graph.outputs}


def farthest(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> float:
    """How far outputs, which stand in one order, are apart, relative to the largest."""
    assert [*found] == [*wanted]
    return max(oracle.distance(found[name], wanted[name]) for name in wanted)


def rewrite(graph: Graph, level: Level, **how: Any) -> tuple[Optimized, float]:
    """What passes make of a graph, and how far its outputs are from the graph's own, in float64."""
    tensors, images = tensors_of(graph, **how), images_of(graph)
    made = optimize(graph, tensors, level)
    found = outputs_of(made.network.graph, made.network.tensors, images)
    return made, farthest(found, outputs_of(graph, tensors, images))


def count_kinds(graph: Graph) -> Counter[str]:
    return Counter(op.kind for op in graph.ops.values())
