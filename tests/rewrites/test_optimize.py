"""Passes take away what they say, and give what the network gave: a NumPy forward of both."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import oracle
import pytest
from hypothesis import HealthCheck, given, reject, settings
from pydantic import ValidationError
from rewrites.networks import (
    SETTINGS,
    count_kinds,
    images_of,
    network,
    outputs_of,
    rewrite,
    tensors_of,
)
from spec.language import specs
from writers.operator_networks import CASES, graph_of

from archspec.errors import ArchspecError, GraphError
from archspec.graph.build import build_graph
from archspec.graph.ir import Graph
from archspec.operators.table import OPERATORS
from archspec.rewrites.costs import measure_cost
from archspec.rewrites.optimize import LEVELS, describe_all, optimize
from archspec.rewrites.proof import prove
from archspec.rewrites.weighted_graph import WeightedGraph
from archspec.spec.catalogue import shipped
from archspec.spec.load import load_spec
from archspec.spec.spec import Spec
from archspec.verifiers.verify import verify_or_raise

ROUNDING = 1e-5
"""Of weights that are rounded to float32 once more."""
RANDOM = settings(
    deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


@pytest.mark.parametrize("are_equal", [False, True], ids=["any weights", "equal weights"])
@pytest.mark.parametrize("case", SETTINGS)
def test_what_is_rewritten_gives_the_same(case: str, are_equal: bool) -> None:
    """To the last bit where no weight is rounded anew."""
    graph = network(case)
    assert rewrite(graph, "basic", are_equal=are_equal)[1] == 0
    assert rewrite(graph, "all", are_equal=are_equal)[1] < ROUNDING


@pytest.mark.parametrize("case", CASES)
def test_every_operator_comes_through(case: str) -> None:
    graph = graph_of(**CASES[case])
    assert rewrite(graph, "basic")[1] == 0
    assert rewrite(graph, "all")[1] < ROUNDING


def assert_random_network(values: dict[str, Any]) -> None:
    try:
        graph = verify_or_raise(build_graph(Spec.model_validate(values)))
    except (GraphError, ValidationError):
        reject()
    tensors, images = tensors_of(graph), images_of(graph)
    moved = images.astype(np.float64) * (1 + 1e-7 * np.sign(images))
    wanted = outputs_of(graph, tensors, images)
    shaken = outputs_of(graph, tensors, moved)
    if max(oracle.distance(shaken[name], wanted[name]) for name in wanted) > ROUNDING:
        reject()  # norms over few values with a tiny eps: a rounding moves it further
    for are_equal in (False, True):
        assert rewrite(graph, "basic", are_equal=are_equal)[1] <= 1e-12
        assert rewrite(graph, "all", are_equal=are_equal)[1] < 100 * ROUNDING


@settings(RANDOM, max_examples=3)
@given(values=specs())
def test_any_network_gives_the_same(values: dict[str, Any]) -> None:
    assert_random_network(values)


@pytest.mark.slow
@settings(RANDOM, max_examples=300)
@given(values=specs())
def test_many_networks_give_the_same(values: dict[str, Any]) -> None:
    assert_random_network(values)


@pytest.mark.slow
@pytest.mark.parametrize("name", shipped())
def test_a_shipped_network_gives_the_same(name: str) -> None:
    """On images of a quarter of their size where they are large; no norm is left as one."""
    whole = load_spec(name).input
    size = {f"input.{side}": getattr(whole, side) for side in ("height", "width")}
    smaller = {key: 64 for key, pixels in size.items() if pixels > 64}
    graph = build_graph(load_spec(name, smaller))
    made, distance = rewrite(graph, "all")
    assert distance < ROUNDING
    left = [op for op in made.network.graph.ops.values() if op.kind == "batch_norm"]
    assert [op.name for op in left if op.attrs["eps"] is not None] == []


def test_without_passes_the_graph_itself_is_written() -> None:
    graph = network("dropout")
    tensors = tensors_of(graph)
    made = optimize(graph, tensors, "none")
    assert (made.network, made.reports) == (WeightedGraph(graph, tensors), ())


def kinds(case: str, level: Any = "basic", **how: Any) -> Any:
    """Kinds of operators before and after."""
    graph = network(case)
    return count_kinds(graph), count_kinds(rewrite(graph, level, **how)[0].network.graph)


def test_what_is_of_training_alone_is_gone() -> None:
    for case in ("dropout", "dropout between a convolution and its norm"):
        before, after = kinds(case)
        assert any(OPERATORS[kind].is_of_training for kind in before)
        assert not any(OPERATORS[kind].is_of_training for kind in after)


def test_no_join_is_read_by_joins_alone() -> None:
    graph = rewrite(network("joins of joins"), "basic")[0].network.graph
    joins = [op for op in graph.ops.values() if op.kind == "concat"]
    for join in joins:
        readers = {op.kind for op in graph.ops.values() if join.name in op.inputs}
        assert readers != {"concat"}
    assert len(joins) < count_kinds(network("joins of joins"))["concat"]


def test_equal_operators_stand_once_and_those_of_other_weights_stay() -> None:
    before, other = kinds("equal branches", are_equal=False)
    assert other["conv"] == before["conv"]
    before, equal = kinds("equal branches", are_equal=True)
    assert (before["conv"] - equal["conv"], before["batch_norm"] - equal["batch_norm"]) == (4, 4)
    before, repeated = kinds("repeated layers", are_equal=True)
    # One layer of the first block, two of the second, of two convolutions each.
    assert before["conv"] - repeated["conv"] == 6


def test_layers_that_a_slice_leaves_out_are_gone() -> None:
    graph = network("a slice that leaves layers out")
    made = rewrite(graph, "basic")[0].network.graph
    gone = {op.region for op in graph.ops.values()} - {op.region for op in made.ops.values()}
    # 4 channels of the stem and 3 of each layer: four are those of the stem.
    layers = {f"features.denseblock1.denselayer{number}" for number in (1, 2, 3)}
    assert layers <= gone


def test_norms_are_in_convolutions_or_scales_and_shifts() -> None:
    """Two behind one convolution are both in it; one behind what another reads is a scale."""
    for case, left in {
        "two norms behind a convolution": 0,
        "a biased convolution": 0,
        "groups": 0,
        "a norm beside another reader": 4,
        "standardized filters": 4,
    }.items():
        made = rewrite(network(case), "all")[0].network
        norms = [op for op in made.graph.ops.values() if op.kind == "batch_norm"]
        in_layers = [op for op in norms if "denselayer" in op.name]
        assert (case, len(in_layers)) == (case, left)
        assert {op.attrs["eps"] for op in norms} <= {None}
        assert not [name for name in made.tensors if "moving" in name]


@pytest.mark.parametrize("bad", [np.nan, np.inf, 3e38])
def test_a_norm_whose_values_are_no_numbers_stays(bad: float) -> None:
    """It gives what it gave, and neither filters nor a scale hide which norm was at fault."""
    graph = network("two norms behind a convolution")
    tensors = tensors_of(graph)
    name = "features.denseblock1.denselayer1.norm1"
    tensors[f"{name}.gamma"] = np.full(3, bad, np.float32)
    tensors[f"{name}.moving_variance"] = np.zeros(3, np.float32)
    made = optimize(graph, tensors, "all").network
    assert made.graph.ops[name].attrs["eps"] is not None
    assert np.array_equal(made.tensors[f"{name}.gamma"], tensors[f"{name}.gamma"], equal_nan=True)


def test_the_report_says_what_each_pass_did() -> None:
    """Feature maps read and written, 4 bytes a value: of one layer counted by hand."""
    graph = network("dropout")
    made = rewrite(graph, "all")[0]
    names = [report.name for report in made.reports]
    assert names == ["idle operators removed", "norms written as scale and shift"]
    idle, written = made.reports
    assert idle.before.operators - idle.after.operators == 5  # of four layers and the head
    assert idle.before.bytes_moved == idle.after.bytes_moved  # no file has them
    assert idle.before == measure_cost(graph)
    norms = [op for op in graph.ops.values() if op.kind == "batch_norm"]
    channels = sum(op.attrs["channels"] for op in norms)
    assert written.before.parameters - written.after.parameters == 2 * channels
    assert written.after.operators - written.before.operators == len(norms)
    lines = describe_all(made.reports, "all")
    assert lines[0].startswith("idle operators removed: operators ")
    assert "bytes moved " in lines[1]


def test_bytes_moved_are_those_of_what_is_read_and_written() -> None:
    """A convolution, a ReLU, a join of two, a mean and a dense layer on 6 x 5 pixels."""
    stem = [{"conv": {"width": 4, "kernel": 3}}]
    graph = graph_of(
        input={"channels": 2, "height": 6, "width": 5},
        stem={"channels": 4, "steps": stem},
        blocks=[{"layers": 1, "layer": ["activation", CASES_CONV]}],
        head=["global_pool", "dense"],
    )
    pixels = 30
    moved = (2 + 4) * pixels + (4 + 4) * pixels + (4 + 3) * pixels + (4 + 3 + 7) * pixels
    moved += 7 * pixels + 7
    moved += 7 + graph.ops[graph.outputs[0]].attrs["out_channels"]
    assert measure_cost(graph).bytes_moved == 4 * moved


CASES_CONV = {"conv": {"width": "k", "kernel": 3}}


def test_nothing_to_do_is_said() -> None:
    made = rewrite(network("nothing"), "all")[0]
    assert describe_all(made.reports, "all") == ("--optimize all: nothing to do",)
    assert describe_all((), "none") == ()


def break_kind(made: WeightedGraph) -> WeightedGraph:
    name = next(name for name, op in made.graph.ops.items() if op.kind == "relu")
    graph = made.graph.with_op(replace(made.graph.ops[name], kind="silu"))
    return replace(made, graph=graph)


def break_tensors(made: WeightedGraph) -> WeightedGraph:
    name = next(name for name in made.tensors if name.endswith("weight"))
    return replace(made, tensors={**made.tensors, name: made.tensors[name][:1]})


def break_join(made: WeightedGraph) -> WeightedGraph:
    """Layers in one another's place."""
    join = next(op for op in made.graph.ops.values() if op.kind == "concat" and op.inputs[2:])
    first, second, *others = join.inputs[1:]
    inputs = (join.inputs[0], second, first, *others)
    graph = made.graph.with_op(replace(join, inputs=inputs))
    graph = graph.with_op(replace(graph.ops[join.name], inputs=(*inputs[:1], *inputs[1:2] * 2)))
    return replace(made, graph=graph)


def break_names(made: WeightedGraph) -> WeightedGraph:
    name = next(name for name, op in made.graph.ops.items() if op.kind == "relu")
    return replace(made, graph=made.graph.without_op(name))


@pytest.mark.parametrize("damage", [break_kind, break_tensors, break_join, break_names])
def test_a_pass_that_makes_another_network_is_found_out(damage: Any) -> None:
    graph: Graph = network("dropout")
    made = optimize(graph, tensors_of(graph), "all").network
    prove(graph, made, "a pass")
    with pytest.raises(ArchspecError, match="W005 is not written: a pass: "):
        prove(graph, damage(made), "a pass")


def test_levels_hold_one_another() -> None:
    """`basic` is where no number changes."""
    assert not LEVELS["none"]
    assert [*LEVELS["all"]][: len(LEVELS["basic"])] == [*LEVELS["basic"]]
