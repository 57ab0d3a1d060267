"""The passes, in their order, and what each of them did.

A pass takes a network and returns another one that computes the same in evaluation. What it is
given was proved; what it returns is proved before the next one sees it (`proof.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from archspec.graph.ir import Graph
from archspec.rewrites.costs import Cost, measure_cost
from archspec.rewrites.norm_rewrites import fold_norms, write_norms_out
from archspec.rewrites.proof import prove
from archspec.rewrites.unneeded import drop_idle, drop_unread, flatten_joins, merge_equal
from archspec.rewrites.weighted_graph import Tensors, WeightedGraph

Pass = Callable[[WeightedGraph], WeightedGraph]
Level = Literal["none", "basic", "all"]

BASIC: Mapping[str, Pass] = {
    "idle operators removed": drop_idle,
    "equal operators merged": merge_equal,
    "unread maps removed": drop_unread,
    "joins of joins flattened": flatten_joins,
}
"""Those that change no number, in an order in which each leaves the next what it can."""
OF_NORMS: Mapping[str, Pass] = {
    "norms folded into convolutions": fold_norms,
    "norms written as scale and shift": write_norms_out,
}
"""Those that round otherwise."""
LEVELS: Mapping[Level, Mapping[str, Pass]] = {
    "none": {},
    "basic": BASIC,
    "all": {**BASIC, **OF_NORMS},
}


@dataclass(frozen=True, slots=True)
class PassReport:
    """What a pass did."""

    name: str
    before: Cost
    after: Cost


@dataclass(frozen=True, slots=True)
class Optimized:
    """A network that passes have rewritten."""

    network: WeightedGraph
    reports: tuple[PassReport, ...] = ()
    """Of those that did something, in their order."""


def optimize(graph: Graph, tensors: Tensors, level: Level) -> Optimized:
    """Return a spec's verified graph with its tensors, rewritten by the passes of a level.

    Raises:
        ArchspecError: W005, a pass made another network: a fault of this program.
    """
    network, reports = WeightedGraph(graph, tensors), list[PassReport]()
    for name, rewrite in LEVELS[level].items():
        made = rewrite(network)
        if is_same(made, network):
            continue
        prove(graph, made, name)
        reports.append(PassReport(name, measure_cost(network.graph), measure_cost(made.graph)))
        network = made
    return Optimized(network, tuple(reports))


def is_same(made: WeightedGraph, before: WeightedGraph) -> bool:
    """Return whether a pass did nothing."""
    return dict(made.graph.ops) == dict(before.graph.ops)


def describe(report: PassReport) -> str:
    """Return what a pass did, in one line."""
    before, after = report.before, report.after
    return (
        f"{report.name}: operators {before.operators:,} -> {after.operators:,}, "
        f"parameters {before.parameters:,} -> {after.parameters:,}, "
        f"bytes moved {_in_megabytes(before)} -> {_in_megabytes(after)} MB an image"
    )


def _in_megabytes(cost: Cost) -> str:
    return f"{cost.bytes_moved / 1e6:,.2f}"


def describe_all(reports: Sequence[PassReport], level: Level) -> tuple[str, ...]:
    """Return what passes did, a line each; or that there was nothing to do, where any was asked."""
    if not reports and level != "none":
        return (f"--optimize {level}: nothing to do",)
    return tuple(map(describe, reports))
