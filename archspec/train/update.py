"""From the gradients of a batch to an update of the weights.

Imports mindspore; call `archspec.runtime.prepare` before.
"""

from __future__ import annotations

from typing import Any

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops

from archspec.train.ema import MovingAverage
from archspec.train.recipe.model import Recipe

SMALLEST_SCALE = 1.0


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
        self.batches = recipe.accumulate
        self.is_accumulating = recipe.accumulate > 1
        if self.is_accumulating:
            self.accumulated = optimizer.parameters.clone("accumulated", "zeros")
            self.count = _make_counter("accumulated_batches")
        self.is_parallel = world > 1
        if self.is_parallel:
            self.average = nn.DistributedGradReducer(optimizer.parameters)
        self.is_dynamic = recipe.loss_scale == "dynamic"
        self.divisor = float(recipe.accumulate)
        if self.is_dynamic:
            self.factor = recipe.dynamic_loss_scale.factor
            self.window = recipe.dynamic_loss_scale.window
            self.good_updates = _make_counter("good_updates")
        else:
            # The optimizer may divide by the scale itself.
            self.divisor *= scale / optimizer.loss_scale
        self.is_guarded = self.is_dynamic or recipe.on_nan == "skip"
        self.is_restoring = recipe.on_nan == "skip"
        if self.is_restoring:
            moving = [p for p in network.get_parameters() if _is_moving(p.name)]
            self.is_restoring = bool(moving)
        if self.is_restoring:
            self.moving = ms.ParameterTuple(moving)
            self.kept = self.moving.clone("kept", "same")
        self.norm, self.value = None, None
        if recipe.clip is not None:
            self.norm, self.value = recipe.clip.norm, recipe.clip.value
        self.is_averaging = recipe.ema is not None
        if recipe.ema is not None:
            self.ema = MovingAverage(network, recipe.ema)

    def state_parameters(self) -> list[Any]:
        """Return what a checkpoint must hold for a run to go on as if it had not stopped."""
        found: list[Any] = []
        if self.is_accumulating:
            found += [*self.accumulated, self.count]
        if self.is_dynamic:
            found += [self.scale, self.good_updates]
        if self.is_restoring:
            found += self.kept
        if self.is_averaging:
            found += [*self.ema.averages, self.ema.updates]
        return found

    def construct(self, gradients: Any) -> Any:
        """Move the weights, or with accumulation remember the gradients until the last batch."""
        if not self.is_accumulating:
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
        if self.is_guarded:
            return self.apply_if_finite(gradients)
        return self.move(gradients)

    def apply_if_finite(self, gradients: Any) -> Any:
        """Move the weights if all gradients are numbers; the rate goes on in any case."""
        is_finite = ops.isfinite(self.find_norm(gradients))
        if is_finite:
            self.move(gradients)
            if self.is_restoring:
                self.map(_copy, self.kept, self.moving)
        else:
            ops.assign_add(self.optimizer.global_step, self.optimizer.global_step_increase_tensor)
            if self.is_restoring:
                self.map(_copy, self.moving, self.kept)
        if self.is_dynamic:
            self.adjust_scale(is_finite)
        return True

    def adjust_scale(self, is_finite: Any) -> Any:
        """Halve the scale after an overflow, double it after many updates without (by default)."""
        good = ops.select(is_finite, self.good_updates + 1, ops.zeros_like(self.good_updates))
        is_due = good >= self.window
        lower = ops.maximum(self.scale / self.factor, Tensor(SMALLEST_SCALE, ms.float32))
        higher = self.scale * self.factor
        higher = ops.select(ops.isfinite(higher), higher, self.scale)
        ops.assign(
            self.scale,
            ops.select(is_finite, ops.select(is_due, higher, self.scale + 0), lower),
        )
        ops.assign(self.good_updates, ops.select(is_due, ops.zeros_like(good), good))
        return True

    def move(self, gradients: Any) -> Any:
        """Clip the gradients, and move weights and averages."""
        if self.norm is not None:
            share = self.norm / ops.maximum(
                self.find_norm(gradients), Tensor(self.norm, ms.float32)
            )
            gradients = self.map(ops.partial(_multiply, share), gradients)
        if self.value is not None:
            gradients = self.map(ops.partial(_bound, self.value), gradients)
        moved = self.optimizer(gradients)
        if self.is_averaging:
            moved = ops.depend(moved, self.ema())
        return moved

    def find_norm(self, gradients: Any) -> Any:
        """Return the Euclidean norm of all gradients together."""
        return ops.sqrt(2 * ops.addn(self.map(self.half_square, gradients)))


def _make_counter(name: str) -> Any:
    return Parameter(Tensor(0, ms.int32), name=name, requires_grad=False)


def _is_moving(name: str) -> bool:
    return name.rpartition(".")[2].startswith("moving_")


def _add(total: Any, value: Any) -> Any:
    ops.assign_add(total, value)
    return True


def _clear(total: Any) -> Any:
    ops.assign(total, ops.zeros_like(total))
    return True


def _copy(target: Any, source: Any) -> Any:
    ops.assign(target, source)
    return True


def _multiply(factor: Any, gradient: Any) -> Any:
    return factor * gradient


def _bound(value: Any, gradient: Any) -> Any:
    return ops.clamp(gradient, -value, value)
