"""One optimisation step as a compiled cell, and what it needs: optimizer, loss.

Imports mindspore; call `archspec.runtime.prepare` before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mindspore as ms
from mindspore import nn, ops

from archspec.train.recipe.model import Recipe


def make_sgd(network: Any, recipe: Recipe, rates: Sequence[float]) -> Any:
    """Return SGD with momentum whose rate follows `rates` step by step."""
    settings = recipe.optimizer
    decayed: list[Any] = []
    spared: list[Any] = []
    for parameter in network.trainable_params():
        # Gammas, betas and biases are the parameters of one dimension.
        is_decayed = settings.decay_norm_and_bias or parameter.ndim > 1
        (decayed if is_decayed else spared).append(parameter)
    groups = [{"params": decayed, "weight_decay": settings.weight_decay}]
    if spared:
        groups.append({"params": spared, "weight_decay": 0.0})
    # Or the optimizer would hold its parameters group by group, not in the network's order.
    groups.append({"order_params": network.trainable_params()})
    # nn.Momentum would do, but MindSpore 2.10's kernel of it for CPUs ignores use_nesterov without
    # a word.
    return nn.SGD(
        groups,
        learning_rate=list(rates),
        momentum=settings.momentum,
        dampening=0.0,
        weight_decay=0.0,
        nesterov=settings.nesterov and settings.momentum > 0,
        loss_scale=recipe.loss_scale,
    )


class Loss(nn.Cell):
    """Cross entropy of logits (N, classes) and labels (N,), scaled for half precision."""

    def __init__(self, network: Any, recipe: Recipe) -> None:
        super().__init__(auto_prefix=False)  # parameters keep the names that checkpoints have
        self.network = network
        self.entropy = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
        self.scale = recipe.loss_scale

    def construct(self, images: Any, labels: Any) -> tuple[Any, Any]:
        """Return the scaled loss and the logits."""
        logits = ops.cast(self.network(images), ms.float32)
        return self.entropy(logits, labels) * self.scale, logits


class TrainStep(nn.Cell):
    """Images (N, C, H, W) float32 and labels (N,) int32 -> loss,
    number of right answers; updates the weights.

    Under data parallelism gradients are averaged over the devices before the update.
    """

    def __init__(self, network: Any, optimizer: Any, recipe: Recipe, world: int) -> None:
        super().__init__(auto_prefix=False)
        self.loss = Loss(network, recipe)
        self.optimizer = optimizer
        self.scale = recipe.loss_scale
        self.gradient = ms.value_and_grad(
            self.loss, None, weights=optimizer.parameters, has_aux=True
        )
        self.parallel = world > 1
        if self.parallel:
            self.average = nn.DistributedGradReducer(optimizer.parameters)

    def construct(self, images: Any, labels: Any) -> tuple[Any, Any]:
        """Return the unscaled loss and the number of right answers in the batch."""
        (loss, logits), gradients = self.gradient(images, labels)
        if self.parallel:
            gradients = self.average(gradients)
        # Graph mode runs what a result depends on, and the update is no part of the loss.
        loss = ops.depend(loss / self.scale, self.optimizer(gradients))
        right = ops.cast(ops.argmax(logits, 1) == labels, ms.float32)
        return loss, ops.sum(right)
