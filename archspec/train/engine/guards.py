"""What goes with an update that is left out, or a part that is computed twice: a loss scale that
falls, statistics that come back.

Imports mindspore; call `archspec.runtime.prepare` before.
"""

from __future__ import annotations

from typing import Any

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops

from archspec.train.distributed.moving_statistics import is_moving
from archspec.train.recipe.update_settings import DynamicLossScale

SMALLEST_SCALE = 1.0


def make_counter(name: str) -> Any:
    """Return a parameter that counts from 0 and is not trained."""
    return Parameter(Tensor(0, ms.int32), name=name, requires_grad=False)


def make_dynamic_scale(settings: DynamicLossScale) -> Any:
    """Return the parameter that a dynamic loss scale is."""
    initial = Tensor(settings.initial, ms.float32)
    return Parameter(initial, name="scale_sense", requires_grad=False)


class ScaleAdjustment(nn.Cell):
    """Whether an update's gradients are finite -> the loss scale of the next one.

    It falls after an overflow and rises after many updates without one, as MindSpore's and
    PyTorch's dynamic scales do.
    """

    def __init__(self, scale: Any, settings: DynamicLossScale) -> None:
        super().__init__(auto_prefix=False)
        self.scale, self.factor, self.window = scale, settings.factor, settings.window
        self.good_updates = make_counter("good_updates")

    def construct(self, is_finite: Any) -> Any:
        """Adjust the scale."""
        good = ops.select(is_finite, self.good_updates + 1, ops.zeros_like(self.good_updates))
        is_due = good >= self.window
        lower = ops.maximum(self.scale / self.factor, Tensor(SMALLEST_SCALE, ms.float32))
        higher = self.scale * self.factor
        higher = ops.select(ops.isfinite(higher), higher, self.scale + 0)
        risen = ops.select(is_due, higher, self.scale + 0)
        ops.assign(self.scale, ops.select(is_finite, risen, lower))
        ops.assign(self.good_updates, ops.select(is_due, ops.zeros_like(good), good))
        return True


class MovingStatistics(nn.Cell):
    """A network's moving statistics, and a copy of them as they were after the last good update:
    a forward pass over what are no numbers spoils them before any gradient is known.
    """

    def __init__(self, network: Any, prefix: str = "kept") -> None:
        super().__init__(auto_prefix=False)
        moving = [p for p in network.get_parameters() if is_moving(p.name)]
        self.has_any = bool(moving)
        self.moving = ms.ParameterTuple(moving)
        self.kept = self.moving.clone(prefix, "same")
        self.map = ops.HyperMap()

    def construct(self, is_restored: bool) -> Any:
        """Bring the statistics back, or keep them."""
        if not self.has_any:
            return True
        if is_restored:
            return self.map(_copy, self.moving, self.kept)
        return self.map(_copy, self.kept, self.moving)


class FirstStatistics(MovingStatistics):
    """A network's moving statistics as the forward pass left them: batch norms that are computed
    again for the backward pass move them once more.
    """

    def __init__(self, network: Any) -> None:
        super().__init__(network, "first")

    def keep(self, logits: Any) -> Any:
        """Return the logits of the forward pass, once the statistics are kept."""
        if not self.has_any:
            return logits
        return ops.depend(logits, self.map(_assign, self.kept, self.moving))

    def bring_back(self, gradients: Any) -> Any:
        """Return the gradients; whoever reads the statistics next reads those that were kept."""
        if not self.has_any:
            return gradients
        kept = ops.depend(self.kept, gradients)  # not before all is computed again
        # Constants: an update that waited for all gradients would hold a tenth more memory.
        return ops.depend(gradients, self.map(_copy, self.moving, kept))


def _assign(target: Any, source: Any) -> Any:
    # Its result is what the backward pass waits for; a constant would be waited for by nobody.
    return ops.assign(target, source)


def _copy(target: Any, source: Any) -> Any:
    ops.assign(target, source)
    return True
