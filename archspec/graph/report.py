"""What a graph amounts to: parameters, MACs, connections, depth, stage by stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from archspec.graph.connections import count_expected_edges, derive_connections, derive_ports
from archspec.graph.ir import Graph
from archspec.graph.shapes import infer_shapes, running_order
from archspec.operators.shape_rules import Shape
from archspec.operators.table import OPERATORS


@dataclass(frozen=True, slots=True)
class BlockReport:
    """A dense block: channels, and its direct connections as found beside the closed form."""

    name: str
    layers: int
    growth_rate: int
    in_channels: int
    out_channels: int
    edges: int
    expected_edges: int


@dataclass(frozen=True, slots=True)
class StageReport:
    """A stem, dense block, transition or head; `output` is (C, H, W) or (C,)."""

    name: str
    kind: str
    output: Shape
    params: int
    macs: int


@dataclass(frozen=True, slots=True)
class FeatureReport:
    """A block's output that the network gives, as timm's feature_info."""

    block: int
    channels: int
    stride: int
    """Of the input's height."""


@dataclass(frozen=True, slots=True)
class Report:
    """Counts of a whole graph;
    `flops` is 2 x `macs`, `depth` counts convolutions and dense layers.
    """

    name: str
    input: Shape
    output: Shape
    params: int
    params_with_stats: int
    macs: int
    flops: int
    edges: int
    depth: int
    blocks: tuple[BlockReport, ...]
    features: tuple[FeatureReport, ...]
    stages: tuple[StageReport, ...]

    def as_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def report(graph: Graph) -> Report:
    """Return the counts of a graph that `verify` finds right."""
    shapes, _ = infer_shapes(graph)
    params = {op.name: OPERATORS[op.kind].params(op.attrs) for op in graph.ops.values()}
    stats = sum(OPERATORS[op.kind].stats(op.attrs) for op in graph.ops.values())
    macs: dict[str, int] = {}
    for op in graph.ops.values():
        inputs = [shapes[source] for source in op.inputs]
        macs[op.name] = OPERATORS[op.kind].macs(op.attrs, inputs, shapes[op.name])
    blocks = _report_blocks(graph, shapes)
    total = sum(macs.values())
    return Report(
        name=graph.name,
        input=shapes[graph.inputs[0]],
        output=shapes[_find_main_output(graph)],
        params=sum(params.values()),
        params_with_stats=sum(params.values()) + stats,
        macs=total,
        flops=2 * total,
        edges=sum(block.edges for block in blocks),
        depth=_measure_depth(graph),
        blocks=blocks,
        features=_report_features(graph, shapes),
        stages=_report_stages(graph, shapes, params, macs),
    )


def _find_main_output(graph: Graph) -> str:
    """The output that is no feature; of a backbone, the last block's."""
    for name in graph.outputs:
        if graph.ops[name].kind != "output":
            return name
    position = {name: number for number, name in enumerate(graph.ops)}
    return max(graph.outputs, key=lambda name: position[graph.ops[name].inputs[0]])


def _report_blocks(graph: Graph, shapes: Mapping[str, Shape]) -> tuple[BlockReport, ...]:
    found = derive_ports(graph)
    return tuple(
        BlockReport(
            name=block.name,
            layers=len(connections.sources),
            growth_rate=block.attrs["growth_rate"],
            in_channels=shapes[found[block.name].entering[0]][0],
            out_channels=shapes[found[block.name].leaving[0]][0],
            edges=connections.edges,
            expected_edges=count_expected_edges(block),
        )
        for block, connections in zip(
            graph.regions_of("dense_block"), derive_connections(graph), strict=True
        )
    )


def _report_features(graph: Graph, shapes: Mapping[str, Shape]) -> tuple[FeatureReport, ...]:
    height = shapes[graph.inputs[0]][1]
    given = ((op.name, shapes[op.name]) for op in graph.ops.values() if op.kind == "output")
    return tuple(
        FeatureReport(int(name.removeprefix("feature")), shape[0], round(height / shape[1]))
        for name, shape in given
    )


def _report_stages(
    graph: Graph, shapes: Mapping[str, Shape], params: Mapping[str, int], macs: Mapping[str, int]
) -> tuple[StageReport, ...]:
    found = derive_ports(graph)
    stages = []
    for region in (r for r in graph.regions.values() if not r.parent):
        # Layers and an aggregation stand in regions of their own inside their block's.
        nested = [r.name for r in graph.regions.values() if region.name in (r.name, r.parent)]
        names = [op.name for name in nested for op in graph.members[name]]
        output = shapes[found[region.name].leaving[0]]
        own_params = sum(params[name] for name in names)
        own_macs = sum(macs[name] for name in names)
        stages.append(StageReport(region.name, region.kind, output, own_params, own_macs))
    return tuple(stages)


def _measure_depth(graph: Graph) -> int:
    """Operators with weights, norms aside, on the longest way from
    input to output (121 in densenet121).
    """
    depths: dict[str, int] = {}
    for name in running_order(graph):
        op = graph.ops[name]
        before = max((depths[source] for source in op.inputs), default=0)
        depths[name] = before + (OPERATORS[op.kind].has_filters)
    return max(depths.values())
