"""An exponential moving average of a network's parameters.

It holds moving statistics too, as MindCV's and timm's do: averaged weights give other activations
than the last ones, to which the last statistics would not fit.

Imports mindspore; call `archspec.runtime.prepare` before.
"""

from __future__ import annotations

from typing import Any

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops

from archspec.train.recipe.update_settings import EmaRecipe

PREFIX = "ema"
WARMUP_UPDATES = 2_000
"""MindCV's: mindcv/utils/train_step.py."""


class MovingAverage(nn.Cell):
    """Averages `ema.NAME` of a network's parameters; called after each update."""

    def __init__(self, network: Any, settings: EmaRecipe) -> None:
        super().__init__(auto_prefix=False)
        self.weights = ms.ParameterTuple(list(network.get_parameters()))
        self.averages = self.weights.clone(PREFIX, "same")
        for average in self.averages:
            average.requires_grad = False
        self.updates = Parameter(Tensor(0.0, ms.float32), name="updates", requires_grad=False)
        self.decay, self.warmup = settings.decay, settings.warmup
        self.map, self.between = ops.HyperMap(), ops.Lerp()

    def construct(self) -> Any:
        """Draw the averages to the weights."""
        kept = self.decay
        if self.warmup:
            ops.assign_add(self.updates, Tensor(1.0, ms.float32))
            kept = self.decay * (1 - ops.exp(-self.updates / WARMUP_UPDATES))
        share = Tensor(1.0, ms.float32) - kept
        return self.map(ops.partial(_draw, self.between, share), self.averages, self.weights)


def _draw(between: Any, share: Any, average: Any, weight: Any) -> Any:
    ops.assign(average, between(average, weight, share))
    return True
