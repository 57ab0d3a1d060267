"""What a training step is estimated to hold, and what `recompute: auto` makes of it."""

import pytest

from archspec.errors import SpecError
from archspec.graph.build import build_graph
from archspec.spec.load import load_spec
from archspec.train.engine.memory import (
    estimate_memory,
    find_recomputed,
    plan_recompute,
    read_free_memory,
)
from archspec.train.recipe.recipe import load_recipe
from archspec.train.recipe.recompute import KINDS

MEASURED = {"none": 5.99, "concat": 4.37, "layer": 3.54, "block": 4.84}
"""GB of densenet121, 224 px, batch 32, on a CPU: benchmarks/memory.py."""


@pytest.fixture(scope="module")
def graph():
    return build_graph(load_spec("densenet121"))


def recipe_of(*settings):
    plain = ["amp=O0", "loss_scale=1.0", "batch_size=32"]
    return load_recipe("imagenet_ascend", [*plain, *settings])


@pytest.mark.parametrize("kind", KINDS)
def test_the_estimate_is_near_what_was_measured(graph, kind):
    held = estimate_memory(graph, recipe_of(), kind, "CPU") / 1e9
    assert held == pytest.approx(MEASURED[kind], rel=0.07)


@pytest.mark.parametrize(
    ("memory", "kind"),
    [("6GB", "none"), ("5 GB", "concat"), ("3.7GB", "layer"), ("900MB", "layer")],
)
def test_auto_is_the_quickest_that_fits_else_the_smallest(graph, memory, kind):
    asked = recipe_of(f"recompute={{kind: auto, memory: {memory}}}")
    recipe, line = plan_recompute(asked, graph, device_target="CPU", devices=1)
    assert recipe.resolved()["recompute"] == {"kind": kind}
    assert f": {kind}: the process holds about " in line
    assert ("which is too much: a smaller --batch-size" in line) == (memory == "900MB")


def test_auto_takes_what_is_free_where_nothing_is_said(graph):
    """An even share of it for each process."""
    assert read_free_memory() > 100e6
    asked = recipe_of("recompute=auto")
    recipe, line = plan_recompute(asked, graph, device_target="CPU", devices=1_000)
    assert recipe.recompute.kind == "layer"
    assert " that are free: layer: a device holds about " in line


def test_auto_on_ascend_needs_the_memory(graph):
    with pytest.raises(SpecError) as caught:
        plan_recompute(recipe_of("recompute=auto"), graph, device_target="Ascend", devices=1)
    (fault,) = caught.value.diagnostics
    assert str(fault) == (
        "--set recompute=auto S006 recompute auto needs the memory of a device of Ascend "
        "(--set recipe.recompute.memory=32GB)"
    )
    asked = recipe_of("recompute={kind: auto, memory: 2GB}")
    recipe, _ = plan_recompute(asked, graph, device_target="Ascend", devices=8)
    assert recipe.recompute.kind == "layer"


def test_what_is_said_is_taken_and_told(graph):
    recipe, line = plan_recompute(
        recipe_of("recompute=block"), graph, device_target="CPU", devices=1
    )
    assert recipe.recompute.kind == "block"
    assert line == (
        "recompute block: the process holds about 4.9 GB in training, instead of 5.9 GB"
    )
    assert plan_recompute(recipe_of(), graph, device_target="CPU", devices=1)[1] == ""


def test_what_draws_at_random_is_never_computed_again():
    """Nor what a region gives; with `concat` nothing that has filters."""
    layer = "[norm, activation, {conv: {width: k, kernel: 3}}, {dropout: {rate: 0.1}}, activation]"
    graph = build_graph(load_spec("densenetbc_digits", [f"layer={layer}"]))
    place = "features.denseblock1.denselayer1."
    kinds = {kind: set(find_recomputed(graph, kind)) for kind in KINDS}
    assert kinds["none"] == set()
    for found in kinds.values():
        assert not [name for name in found if "drop" in name]
    assert {f"{place}norm1", f"{place}relu1", f"{place}conv1"} <= kinds["layer"]
    assert f"{place}relu2" not in kinds["layer"]
    assert f"{place}relu2" in kinds["block"]
    assert f"{place}norm1" in kinds["concat"]
    assert f"{place}conv1" not in kinds["concat"]
