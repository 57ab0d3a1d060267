"""One optimisation step as a compiled cell: loss, gradients, update.

Imports mindspore; call `archspec.runtime.prepare` before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import mindspore as ms
from mindspore import nn, ops

from archspec.train.engine.guards import FirstStatistics, make_dynamic_scale
from archspec.train.engine.losses import RightAnswers, make_loss
from archspec.train.engine.update import Update
from archspec.train.recipe.recipe import Recipe


class Loss(nn.Cell):
    """The recipe's loss of a network, scaled for half precision."""

    def __init__(
        self, network: Any, recipe: Recipe, world: int, class_weights: Sequence[float] | None = None
    ) -> None:
        super().__init__(auto_prefix=False)  # parameters keep the names that checkpoints have
        self.network = network
        self.measure = make_loss(recipe, class_weights, world)
        self.count_right = RightAnswers(world)
        self.scale: Any = recipe.loss_scale
        if recipe.loss_scale == "dynamic":
            self.scale = make_dynamic_scale(recipe.dynamic_loss_scale)
        self.is_recomputing = recipe.recompute.kind != "none"
        if self.is_recomputing:
            self.statistics = FirstStatistics(network)

    def construct(self, images: Any, targets: Any) -> tuple[Any, Any]:
        """Return the scaled loss and the number of right answers in the batch."""
        logits = ops.cast(self.network(images), ms.float32)
        if self.is_recomputing:
            logits = self.statistics.keep(logits)
        return self.measure(logits, targets) * self.scale, self.count_right(logits, targets)


class TrainStep(nn.Cell):
    """Images (N, C, H, W) float32 and targets -> loss, number of right answers; updates the
    weights.

    Targets are labels (N,) int32, or (N, classes) float32, see `make_loss`. Under data parallelism
    gradients are averaged over the devices before the update. With `accumulate` every k-th call
    updates the weights.
    """

    def __init__(
        self,
        network: Any,
        optimizer: Any,
        recipe: Recipe,
        world: int,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__(auto_prefix=False)
        self.loss = Loss(network, recipe, world, class_weights)
        self.optimizer = optimizer
        self.update = Update(network, optimizer, recipe, world, self.loss.scale)
        self.gradient = ms.value_and_grad(
            self.loss, None, weights=optimizer.parameters, has_aux=True
        )

    def construct(self, images: Any, targets: Any) -> tuple[Any, Any]:
        """Return the unscaled loss and the number of right answers in the batch."""
        (loss, right), gradients = self.gradient(images, targets)
        if self.loss.is_recomputing:
            gradients = self.loss.statistics.bring_back(gradients)
        # Graph mode runs what a result depends on, and the update is no part of the loss.
        return ops.depend(loss / self.loss.scale, self.update(gradients)), right

    def state_parameters(self) -> list[Any]:
        """Return what a checkpoint holds of the step, beside the network's and the optimizer's."""
        return self.update.state_parameters()

    def count_skipped(self) -> int:
        """Return how many updates were left out so far, since gradients were no numbers."""
        return int(self.update.skipped.asnumpy()) if self.update.may_skip else 0

    def averages(self) -> Mapping[str, Any]:
        """Return the moving average of each of the network's parameters, by the parameter's name;
        empty without `ema`.
        """
        if not self.update.is_averaging:
            return {}
        ema = self.update.ema
        return {w.name: average for w, average in zip(ema.weights, ema.averages, strict=True)}
