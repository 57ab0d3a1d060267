"""From the gradients of a batch to an update of the weights.

Imports mindspore; call `archspec.runtime.prepare` before.
"""

from __future__ import annotations

from typing import Any

import mindspore as ms
from mindspore import Tensor, nn, ops

from archspec.train.engine.ema import MovingAverage
from archspec.train.engine.guards import MovingStatistics, ScaleAdjustment, make_counter
from archspec.train.recipe.recipe import Recipe


class Update(nn.Cell):
    """Gradients of the scaled loss, one for each parameter of the optimizer -> an update.

    In this order: accumulated over `accumulate` batches, averaged over the devices, divided by the
    loss scale, left out where they are no numbers and the recipe says so, clipped, given to the
    optimizer; then the moving average follows. What a recipe does not ask for is not compiled.
    """

    def __init__(
        self, network: Any, optimizer: Any, recipe: Recipe, world: int, scale: Any
    ) -> None:
        super().__init__(auto_prefix=False)
        self.optimizer, self.scale = optimizer, scale
        self.map, self.half_square = ops.HyperMap(), ops.L2Loss()
        self.batches, self.is_parallel = recipe.accumulate, world > 1
        if self.batches > 1:
            self.accumulated = optimizer.parameters.clone("accumulated", "zeros")
            self.count = make_counter("accumulated_batches")
        if self.is_parallel:
            self.average = nn.DistributedGradReducer(optimizer.parameters)
        self.is_dynamic = recipe.loss_scale == "dynamic"
        self.is_restoring = recipe.on_nan == "skip"
        self.divisor = float(self.batches)
        if self.is_dynamic:
            self.adjust_scale = ScaleAdjustment(scale, recipe.dynamic_loss_scale)
        else:
            # The optimizer may divide by the scale itself.
            self.divisor *= scale / optimizer.loss_scale
        self.may_skip = self.is_dynamic or self.is_restoring
        if self.may_skip:
            self.skipped = make_counter("skipped_updates")
        if self.is_restoring:
            self.statistics = MovingStatistics(network)
        self.norm = recipe.clip.norm if recipe.clip else None
        self.value = recipe.clip.value if recipe.clip else None
        self.is_averaging = recipe.ema is not None
        if recipe.ema is not None:
            self.ema = MovingAverage(network, recipe.ema)

    def state_parameters(self) -> list[Any]:
        """Return what a checkpoint must hold for a run to go on as if it had not stopped."""
        # Between two updates, where checkpoints are written, nothing is accumulated.
        found: list[Any] = [self.skipped] if self.may_skip else []
        if self.is_dynamic:
            found += [self.scale, self.adjust_scale.good_updates]
        if self.is_restoring:
            found += self.statistics.kept
        if self.is_averaging:
            found += [*self.ema.averages, self.ema.updates]
        return found

    def construct(self, gradients: Any) -> Any:
        """Move the weights, or with accumulation remember the gradients until the last batch."""
        if self.batches == 1:
            return self.apply_gradients(gradients)
        self.map(_add, self.accumulated, gradients)
        ops.assign_add(self.count, Tensor(1, ms.int32))
        if self.count == self.batches:
            self.apply_gradients(self.accumulated)
            self.map(_clear, self.accumulated)
            ops.assign(self.count, Tensor(0, ms.int32))
        return True

    def apply_gradients(self, gradients: Any) -> Any:
        """Move the weights by the summed gradients of the scaled loss."""
        if self.is_parallel:
            gradients = self.average(gradients)
        if self.is_dynamic:
            gradients = self.map(ops.partial(_multiply, 1 / (self.divisor * self.scale)), gradients)
        elif self.divisor != 1:
            gradients = self.map(ops.partial(_multiply, 1 / self.divisor), gradients)
        if self.is_dynamic or self.is_restoring:
            return self.apply_if_finite(gradients)
        return self.move(gradients)

    def apply_if_finite(self, gradients: Any) -> Any:
        """Move the weights if all gradients are numbers; the rate goes on in any case."""
        is_finite = ops.isfinite(self.find_norm(gradients))
        if is_finite:
            self.move(gradients)
            if self.is_restoring:
                self.statistics(False)
        else:
            ops.assign_add(self.optimizer.global_step, Tensor([1], ms.int32))
            ops.assign_add(self.skipped, Tensor(1, ms.int32))
            if self.is_restoring:
                self.statistics(True)
        if self.is_dynamic:
            self.adjust_scale(is_finite)
        return True

    def move(self, gradients: Any) -> Any:
        """Clip the gradients, and move weights and averages."""
        if self.norm is not None:
            bound = Tensor(self.norm, ms.float32)
            share = bound / ops.maximum(self.find_norm(gradients), bound)
            gradients = self.map(ops.partial(_multiply, share), gradients)
        if self.value is not None:
            gradients = self.map(ops.partial(_clip_value, self.value), gradients)
        moved = self.optimizer(gradients)
        if self.is_averaging:
            moved = ops.depend(moved, self.ema())
        return moved

    def find_norm(self, gradients: Any) -> Any:
        """Return the Euclidean norm of all gradients together."""
        return ops.sqrt(2 * ops.addn(self.map(self.half_square, gradients)))


def _add(total: Any, value: Any) -> Any:
    ops.assign_add(total, value)
    return True


def _clear(total: Any) -> Any:
    ops.assign(total, ops.zeros_like(total))
    return True


def _multiply(factor: Any, gradient: Any) -> Any:
    return factor * gradient


def _clip_value(value: Any, gradient: Any) -> Any:
    return ops.clamp(gradient, -value, value)
