"""What trains: network, optimizer, compiled step and rates of a recipe, and networks to judge by.

Imports mindspore; call `archspec.runtime.prepare` before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import mindspore as ms

from archspec.graph.build import build_graph
from archspec.graph.parts import list_parts
from archspec.spec.spec import Spec
from archspec.train.distributed.worker_group import get_rank
from archspec.train.engine.evaluation_network import make_evaluation_network
from archspec.train.engine.half_precision import lower_precision
from archspec.train.engine.memory import plan_recompute
from archspec.train.engine.optimizers import make_optimizer
from archspec.train.engine.parameter_groups import find_frozen, freeze
from archspec.train.engine.recomputed_parts import recompute_parts
from archspec.train.engine.step import TrainStep
from archspec.train.engine.synchronised_norms import synchronise_norms
from archspec.train.recipe.loss import class_weights_of
from archspec.train.recipe.recipe import Recipe
from archspec.train.recipe.schedule import learning_rates
from archspec.weights.load_into import load_tensors
from archspec.writers.mindspore.create_model import create_model

_RATES = re.compile(r"learning_rate$")


@dataclass(frozen=True)
class Engine:
    """All that a loop calls: `step(images, targets)`, then `judge` and `averaged`."""

    network: Any
    """The one that is trained, with the recipe's precision."""
    optimizer: Any
    step: Any
    """Images, targets -> loss, right answers; see `archspec.train.engine.step.TrainStep`."""
    rates: list[float]
    """Of each update of the run."""
    batches_per_epoch: int
    """Those that fill whole updates."""
    judge: Any
    """The network to validate: the trained one, or one of full precision with its parameters."""
    averaged: Any = None
    """A network of the moving averages, with `ema`."""

    def rate_at(self, epoch: int, batch: int, accumulate: int) -> float:
        """Return the rate of the update that a batch of an epoch belongs to, both from 0."""
        done = epoch * self.batches_per_epoch + batch
        return self.rates[done // accumulate]

    def state(self) -> list[Any]:
        """Return what a checkpoint holds for a run to go on: parameters of the network, state of
        optimizer and step, each once, but for the rates: the recipe has them.
        """
        every = (
            *self.network.get_parameters(),
            *self.optimizer.get_parameters(),
            *self.step.state_parameters(),
        )
        return list({p.name: p for p in every if not _RATES.match(p.name)}.values())

    def get_parameters(self) -> list[Any]:
        """Return what a checkpoint holds for a network to be used: its parameters, and their moving
        averages `ema.NAME` with `ema`.
        """
        return [*self.network.get_parameters(), *self.step.averages().values()]


def make_engine(
    spec: Spec,
    recipe: Recipe,
    *,
    labels: Any,
    batches: int,
    count_pixels: Callable[[], Sequence[int]] | None = None,
    world: int = 1,
    initial: Mapping[str, Any] | None = None,
) -> Engine:
    """Return what trains a spec's network as a recipe says.

    Args:
        spec: the network's.
        recipe: all of how it is trained.
        labels: the class of each training image (N,), for weights of classes.
        batches: of an epoch on each device.
        count_pixels: of images whose pixels have a class each, the pixels of each class.
        world: devices.
        initial: tensors to begin with, by name.

    Raises:
        SpecError: S006, see `Recipe.check_classes` and `find_frozen`.
    """
    classes = spec.head.num_classes
    recipe.check_classes(classes)
    graph = build_graph(spec)
    parts = list_parts(graph)
    # A run's recipe has no `auto` but where somebody has written it there.
    target = ms.get_context("device_target")
    recipe, _ = plan_recompute(recipe, graph, device_target=target, devices=world)
    # The same on all workers, so that they begin with equal weights.
    ms.set_seed(recipe.seed)
    network = create_model(spec, initialisation=recipe.initialisation)
    if initial is not None:
        load_tensors(network, initial)
    freeze(network, find_frozen(recipe, parts))
    _draw_by_device(network)
    if recipe.sync_batch_norm:
        synchronise_norms(network, world)
    recompute_parts(network, graph, recipe.recompute.kind)
    # Last, since it wraps cells: parameters are named and filled before.
    network = lower_precision(network, graph, recipe)
    updates = batches // recipe.accumulate
    rates = learning_rates(recipe.schedule, epochs=recipe.epochs, steps_per_epoch=updates)
    optimizer = make_optimizer(network, recipe, rates, parts)
    weights = class_weights_of(recipe.loss, labels, classes, count_pixels)
    step = TrainStep(network, optimizer, recipe, world, weights)
    judge, averaged = network, None
    if recipe.val_amp == "O0":
        own = {parameter.name: parameter for parameter in network.get_parameters()}
        judge = make_evaluation_network(spec, recipe, own)
    if recipe.ema is not None:
        averaged = make_evaluation_network(spec, recipe, step.averages())
    whole = updates * recipe.accumulate
    return Engine(network, optimizer, step, rates, whole, judge, averaged)


def _draw_by_device(network: Any) -> None:
    """Have devices drop other values: of one seed, all would drop the same of their batches."""
    for primitive in _list_primitives(network):
        if "Seed0" in primitive.attrs:
            primitive.add_prim_attr("Seed0", primitive.attrs["Seed0"] + get_rank())


def _list_primitives(network: Any) -> Iterator[Any]:
    for _, cell in network.cells_and_names():
        yield from cell._primitives.values()
