"""Frozen parts and rates of parts, of real networks."""

import numpy as np
import pytest

from archspec.errors import SpecError
from archspec.graph.build import build_graph
from archspec.graph.parameters import list_parameters
from archspec.graph.parts import list_parts
from archspec.runtime import prepare
from archspec.spec.catalogue import shipped
from archspec.spec.load import load_spec
from archspec.train.engine.parameter_groups import find_frozen, freeze, group_parameters
from archspec.train.recipe.recipe import load_recipe

TINY = ["block_config=[1,1]", "growth_rate=4", "stem.channels=4"]


def parts_of(name, overrides=()):
    return list_parts(build_graph(load_spec(name, overrides)))


@pytest.mark.parametrize("name", shipped("spec"))
def test_each_tensor_of_a_network_stands_in_one_part(name):
    """In the order of the network, from stem to head."""
    graph = build_graph(load_spec(name))
    parts = list_parts(graph)
    named = [tensor for tensors in parts.values() for tensor in tensors]
    assert sorted(named) == sorted(list_parameters(graph))
    assert next(iter(parts)) == "stem"


def test_parts_are_called_as_the_spec_numbers_them():
    """Blocks and transitions from 1; the last norm is the head's or the last block's neighbour."""
    parts = parts_of("densenet121")
    between = [f"{kind} {n}" for n in (1, 2, 3) for kind in ("block", "transition")]
    assert list(parts) == ["stem", *between, "block 4", "head"]
    assert parts["transition 2"][-1] == "features.transition2.conv.weight"
    assert "classifier.bias" in parts["head"]
    assert all(name.startswith("features.denseblock3.") for name in parts["block 3"])


FROZEN = {
    "stem, blocks 1-2": {"stem", "block 1", "block 2"},
    "Stem,  block 2": {"stem", "block 2"},
    "transitions 1 - 3": {"transition 1", "transition 2", "transition 3"},
    "[stem, 'blocks 1-2', block 2]": {"stem", "block 1", "block 2"},
    "head": {"head"},
    "[]": set(),
}


@pytest.mark.parametrize(("written", "frozen"), FROZEN.items(), ids=FROZEN)
def test_parts_are_frozen_as_they_are_written(written, frozen):
    """In a list or in one line; ranges; read again from what a run saves."""
    recipe = load_recipe("imagefolder", [f"freeze={written}"])
    parts = parts_of("densenet121")
    found = find_frozen(recipe, parts)
    assert found == {name for part in frozen for name in parts[part]}
    assert set(recipe.freeze) == frozen


REFUSED = {
    "block 5": "S006 freeze names block 5, which the network has not (its parts are stem, block 1",
    "stem, blocks 4-6": "S006 freeze names block 5, block 6, which",
    "features": "S003 freeze (=features): must be parts such as stem, block 1, blocks 1-2",
    "block": "S003 freeze (=block): must be parts such as",
    "blocks 2-1": "S003 freeze (=blocks 2-1): must name a range from a part to a later one",
    "3": "S003 freeze (=3): must be parts such as",
    "[stem, [block 1]]": "S003",
    "{stem: true}": "S003",
    "stem, blocks 1-4, transitions 1-3, head": "S006 freeze leaves nothing to train",
}


@pytest.mark.parametrize(("written", "message"), REFUSED.items(), ids=REFUSED)
def test_parts_that_are_none_are_refused(written, message):
    """With those that the network has."""
    with pytest.raises(SpecError) as caught:
        find_frozen(load_recipe("imagefolder", [f"freeze={written}"]), parts_of("densenet121"))
    assert message in str(caught.value)
    assert "--set freeze=" in caught.value.diagnostics[0].where


def test_frozen_parts_keep_weights_and_statistics_and_the_others_move():
    """A frozen norm judges by its moving statistics in training too, at any level of precision."""
    prepare()
    import mindspore as ms

    from archspec.train.engine.optimizers import make_optimizer
    from archspec.train.engine.step import TrainStep
    from archspec.writers.mindspore.create_model import create_model

    ms.set_context(mode=ms.GRAPH_MODE)
    spec = load_spec("densenetbc_digits", TINY)
    parts = list_parts(build_graph(spec))
    recipe = load_recipe("digits", ["freeze=stem, block 1", "amp=O2"])
    network = create_model(spec)
    frozen = find_frozen(recipe, parts)
    freeze(network, frozen)
    network = ms.amp.auto_mixed_precision(network, recipe.amp).set_train(True)
    before = {p.name: p.asnumpy().copy() for p in network.get_parameters()}
    step = TrainStep(network, make_optimizer(network, recipe, [0.1] * 4), recipe, world=1)
    rng = np.random.default_rng(0)
    images = rng.normal(size=(8, 1, 8, 8), loc=2).astype(np.float32)
    step(ms.Tensor(images), ms.Tensor(rng.integers(10, size=8).astype(np.int32)))
    kept = {p.name for p in network.get_parameters() if (p.asnumpy() == before[p.name]).all()}
    assert kept == frozen
    assert {name for name in frozen if name.endswith("moving_mean")}


class Tensor:
    """What grouping asks of a parameter."""

    def __init__(self, name, ndim):
        self.name, self.ndim = name, ndim


def test_the_rate_falls_from_the_head_to_the_stem_by_the_layer_decay():
    """Once for each part; decay spares one-dimensional tensors where it shall."""
    parts = {"stem": ["a"], "block 1": ["b", "c"], "head": ["d", "e"]}
    tensors = [Tensor(name, ndim) for name, ndim in zip("abcde", (4, 4, 1, 2, 1), strict=True)]
    settings = ["optimizer.layer_decay=0.5", "optimizer.decay_norm_and_bias=false"]
    recipe = load_recipe("imagefolder", [*settings, "optimizer.weight_decay=0.1"])
    groups = group_parameters(tensors, recipe.optimizer, parts)
    found = {p.name: (g.rate_factor, g.weight_decay) for g in groups for p in g.parameters}
    expected = {"a": (0.25, 0.1), "b": (0.5, 0.1), "c": (0.5, 0.0), "d": (1, 0.1), "e": (1, 0.0)}
    assert found == expected
