"""What a report counts: blocks, stages, depth, and plain values for JSON."""

import json

import networkx as nx
import oracle
import pytest

from archspec.graph.build import build_graph
from archspec.graph.ir import Graph
from archspec.graph.report import report
from archspec.spec.catalogue import shipped
from archspec.spec.load import load_spec


def built(name: str, *overrides: str) -> Graph:
    return build_graph(load_spec(name, overrides))


def test_densenet121_block_by_block() -> None:
    """Table 1 of the paper: channels in and out, layers,
    and each block's connections as expected.
    """
    blocks = report(built("densenet121")).blocks
    rows = [
        (b.layers, b.growth_rate, b.in_channels, b.out_channels, b.edges, b.expected_edges)
        for b in blocks
    ]
    assert rows == [
        (6, 32, 64, 256, 21, 21),
        (12, 32, 128, 512, 78, 78),
        (24, 32, 256, 1024, 300, 300),
        (16, 32, 512, 1024, 136, 136),
    ]


def test_densenet121_stage_by_stage() -> None:
    """Names, kinds and output sizes in the order of the network."""
    found = [
        (stage.name.removeprefix("features."), stage.output)
        for stage in report(built("densenet121")).stages
    ]
    assert found == [
        ("stem", (64, 56, 56)),
        ("denseblock1", (256, 56, 56)),
        ("transition1", (128, 28, 28)),
        ("denseblock2", (512, 28, 28)),
        ("transition2", (256, 14, 14)),
        ("denseblock3", (1024, 14, 14)),
        ("transition3", (512, 7, 7)),
        ("denseblock4", (1024, 7, 7)),
        ("head", (1000,)),
    ]


@pytest.mark.parametrize("name", shipped())
def test_depth_is_the_longest_way_through_weights(name: str) -> None:
    """networkx finds the same longest path, where an edge into an operator
    with weights counts 1.
    """
    graph = built(name)
    tensors = oracle.shapes(graph.ops.values())
    weighty = {name for name in graph.ops if f"{name}.weight" in tensors}
    weighted = nx.DiGraph()
    weighted.add_weighted_edges_from((a, b, int(b in weighty)) for a, b in graph.digraph.edges)
    assert report(graph).depth == nx.dag_longest_path_length(weighted)


def test_flops_are_twice_the_macs_and_statistics_are_not_learnt() -> None:
    """Two conventions that are often confused, both shown."""
    found = report(built("densenetbc_digits"))
    norms = [
        op.attrs["channels"]
        for op in built("densenetbc_digits").ops.values()
        if op.kind == "batch_norm"
    ]
    assert found.flops == 2 * found.macs
    assert found.params_with_stats - found.params == 2 * sum(norms)


def test_macs_follow_the_image_and_parameters_do_not() -> None:
    """Twice the sides, four times the multiply-accumulates of every convolution."""
    small, large = (
        report(built("densenetbc100_k12", f"input.height={n}", f"input.width={n}"))
        for n in (32, 64)
    )
    dense = large.stages[-1].macs
    assert small.params == large.params
    assert large.macs - dense == 4 * (small.macs - dense)


def test_json_has_the_promised_keys() -> None:
    """What scripts rely on: plain values under stable names."""
    values = json.loads(json.dumps(report(built("densenet121")).as_json()))
    assert set(values) >= {
        "name",
        "input",
        "params",
        "params_with_stats",
        "macs",
        "flops",
        "edges",
        "depth",
        "blocks",
    }
    assert set(values["blocks"][0]) >= {
        "layers",
        "growth_rate",
        "in_channels",
        "out_channels",
        "edges",
        "expected_edges",
    }
    assert (values["name"], values["input"], values["depth"]) == ("densenet121", [3, 224, 224], 121)


def test_blocks_may_differ_in_every_setting() -> None:
    """Growth rates and templates of their own; a transition of its own compression."""
    graph = built(
        "densenetbc_digits",
        (
            "blocks=[{layers: 3, growth_rate: 5, layer: basic}, {layers: 2, growth_rate: 7, "
            "bottleneck: 2}]"
        ),
        "transitions=[{compression: 0.29, pool: max}]",
    )
    first, second = report(graph).blocks
    assert (first.in_channels, first.out_channels) == (24, 39)
    assert (second.in_channels, second.out_channels) == (11, 25)  # floor(0.29 x 39)
