"""Batch norms whose statistics are those of the images of all devices.

The network's cells stay: in training they call another operator. So parameters keep their names,
frozen norms and validation what they compute, and half precision knows the cells for norms, which
it does not with `nn.SyncBatchNorm`.

Imports mindspore; call `archspec.runtime.prepare` before.
"""

from __future__ import annotations

from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops
from mindspore.ops.operations import _inner_ops as inner

from archspec.train.distributed.worker_group import get_rank

GROUP = "hccl_world_group"
"""All devices of a job on Ascend."""


def synchronise_norms(network: Any, world: int) -> None:
    """Have a network's batch norms, but for frozen ones, learn from the images of all devices."""
    if world == 1:
        return
    for _, cell in network.cells_and_names():
        if isinstance(cell, nn.BatchNorm2d) and cell.use_batch_statistics is not False:
            cell.bn_train = _make_operator(cell, world)


def _make_operator(norm: Any, world: int) -> Any:
    if ms.get_context("device_target") == "CPU":
        return SynchronisedNorm(norm.eps, norm.momentum, get_rank(), world)
    return make_ascend_operator(norm, world)


def make_ascend_operator(norm: Any, world: int) -> Any:
    """Return all that `nn.SyncBatchNorm` has other than a norm of each device's own images."""
    return inner.SyncBatchNorm(
        epsilon=norm.eps, momentum=norm.momentum, group=GROUP, device_num=world
    )


class SynchronisedNorm(nn.Cell):  # type: ignore[misc]
    """What MindSpore's operator of the same kind computes, which has no kernel for a CPU.

    Each device's mean and variance become rows that all devices know by one sum; a gradient comes
    back by another. Of those two numbers the whole variance follows without the difference of
    large numbers that sums of squares end in.
    """

    def __init__(self, eps: float, momentum: float, rank: int, world: int) -> None:
        super().__init__(auto_prefix=False)
        self.eps, self.momentum, self.world = eps, momentum, world
        own = np.zeros((world, 1, 1), np.float32)
        own[rank] = 1
        self.own_row = Tensor(own)
        self.add_up = ops.AllReduce()

    def construct(
        self, x: Any, gamma: Any, beta: Any, moving_mean: Any, moving_variance: Any
    ) -> tuple[Any, ...]:
        """Return the normalised (N, C, H, W), mean and variance (C,); move the statistics."""
        mean, variance = self.find_statistics(x)
        count = self.world * x.shape[0] * x.shape[2] * x.shape[3]
        unbiased = variance * (count / max(count - 1, 1))
        moved = (
            ops.assign(moving_mean, moving_mean + self.momentum * (mean - moving_mean)),
            ops.assign(
                moving_variance, moving_variance + self.momentum * (unbiased - moving_variance)
            ),
        )
        scale = gamma * ops.rsqrt(variance + self.eps)
        y = (x - _spread(mean)) * _spread(scale) + _spread(beta)
        return ops.depend(y, moved), mean, variance

    def find_statistics(self, x: Any) -> tuple[Any, Any]:
        """Return mean and variance of each channel over the images of all devices."""
        own_mean = ops.mean(x, (0, 2, 3))
        own_variance = ops.mean(ops.square(x - _spread(own_mean)), (0, 2, 3))
        rows = self.add_up(self.own_row * ops.stack((own_mean, own_variance)))
        means, variances = rows[:, 0], rows[:, 1]
        mean = ops.mean(means, 0)
        return mean, ops.mean(variances + ops.square(means - mean), 0)


def _spread(values: Any) -> Any:
    """A value of each channel, beside (N, C, H, W)."""
    return ops.reshape(values, (1, -1, 1, 1))
