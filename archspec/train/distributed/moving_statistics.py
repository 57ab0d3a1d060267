"""The moving statistics of batch norms, and averages of them, which differ from device to device.

Under data parallelism each device's batch norms see other images, and their statistics drift apart;
weights do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from archspec.train.distributed.worker_group import all_reduce_sum

Values = npt.NDArray[np.float32]


def share(parameters: Sequence[Any], world: int) -> None:
    """Average them over the devices: what is validated and saved must be one network."""
    values = read(parameters)
    if world > 1 and len(values):  # without batch norms there is nothing to share
        write(parameters, all_reduce_sum(values) / world)


def gather(parameters: Sequence[Any], rank: int, world: int) -> Values | None:
    """Return a row of each device, (devices, values); None where there is one device."""
    if world == 1:
        return None
    values = read(parameters)
    rows = np.zeros((world, len(values)), np.float32)
    rows[rank] = values
    return all_reduce_sum(rows) if len(values) else rows


def choose_row(rows: Values, rank: int, world: int) -> Values:
    """Return a device's own of the rows that `gather` gave, their mean where it was of another
    number of devices.
    """
    own: Values = rows[rank] if len(rows) == world else rows.mean(0)
    return own


def read(parameters: Sequence[Any]) -> Values:
    """Return those of this device among parameters, (values,)."""
    # In one array: a reduction for each of hundreds of small tensors takes far longer.
    flat = [p.asnumpy().astype(np.float32).ravel() for p in _moving(parameters)]
    return np.concatenate(flat) if flat else np.zeros(0, np.float32)


def write(parameters: Sequence[Any], values: Values) -> None:
    """Give parameters what `read` returned of them."""
    import mindspore as ms
    from mindspore import ops

    moving = _moving(parameters)
    ends = np.cumsum([p.size for p in moving])[:-1]
    for parameter, part in zip(moving, np.split(values, ends), strict=True):
        # Not set_data: where a compiled step changes a parameter under a condition, it goes on with
        # the values that it had before.
        ops.assign(parameter, ms.Tensor(part.reshape(parameter.shape), parameter.dtype))


def _moving(parameters: Sequence[Any]) -> list[Any]:
    return [p for p in parameters if is_moving(p.name)]


def is_moving(name: str) -> bool:
    """Tell whether a parameter is a moving statistic, or an average or a copy of one."""
    return name.rpartition(".")[2].startswith("moving_")
