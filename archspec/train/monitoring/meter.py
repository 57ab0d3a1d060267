"""What training reports of its steps: mean loss and accuracy over the images of all devices, and
images per second.
"""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import numpy.typing as npt

from archspec.errors import TrainingError
from archspec.train.distributed.worker_group import sum_over_workers
from archspec.train.monitoring.image_speed import ImageSpeed

SECONDS_BETWEEN_EVENTS = 2.0


class Meter:
    """Collects losses on the device and fetches them when a report is due, not at every step.

    `sums` are the loss, the right answers and the images of an epoch so far, on all devices; `own`
    those of this one since the meter was made. `loading` is how quickly images come.
    """

    def __init__(
        self, every: int, global_batch: int, sums: tuple[float, ...] = (0.0, 0.0, 0.0)
    ) -> None:
        self.every, self.global_batch = every, global_batch
        self.waiting: list[tuple[Any, Any, int]] = []
        self.sums, self.own = np.array(sums, np.float64), np.zeros(3)
        self.since = time.monotonic()
        self.untimed = 0
        self.loading = ImageSpeed()

    def add(self, loss: Any, right: Any, images: int) -> None:
        """Take a step's mean loss and right answers, still on the device."""
        self.waiting.append((loss, right, images))

    def restart_clock(self) -> None:
        """Time the steps from now on: the first one took as long as the network's compilation."""
        self.since, self.untimed = time.monotonic(), len(self.waiting)
        self.loading.restart()

    @property
    def is_late(self) -> bool:
        """Whether so much time has passed that somebody who looks on should see something new."""
        return time.monotonic() - self.since > SECONDS_BETWEEN_EVENTS

    @property
    def is_full(self) -> bool:
        """Whether as many steps wait as the recipe says."""
        return len(self.waiting) >= self.every

    def find_not_finite(self) -> list[int]:
        """Return which of the steps that wait have a loss that is no number, from 0."""
        losses = [loss.asnumpy() for loss, _, _ in self.waiting]
        return [number for number, loss in enumerate(losses) if not np.isfinite(loss).all()]

    def read(self) -> dict[str, float]:
        """Return mean loss, accuracy and images per second since the last reading, over the steps
        whose loss is a number; all devices must read after the same step.

        Where no step was timed, nothing is told of images per second.
        """
        rows = np.array([(0.0, 0.0, 0, 0), *(_tell_step(*step) for step in self.waiting)])
        every = sum_over_workers(rows)
        # A step that is no number on one device is left out on all of them.
        is_counted = every[:, 3] == 0
        sums, own = every[is_counted, :3].sum(axis=0), rows[is_counted, :3].sum(axis=0)
        now, timed = time.monotonic(), len(self.waiting) - self.untimed
        speed = {"images_per_second": timed * self.global_batch / max(now - self.since, 1e-9)}
        self.sums, self.own = self.sums + sums, self.own + own
        self.waiting, self.since, self.untimed = [], now, 0
        return {**mean_of(sums), **(speed if timed else {})}

    def totals(self) -> dict[str, float]:
        """Return the epoch's means over all devices.

        Raises:
            TrainingError: T006, every step was left out.
        """
        if not self.sums[2]:
            rule = "every step of the epoch was left out: no loss is a number"
            raise TrainingError.one("T006", rule, "", "a lower --lr, or a recipe with warm-up")
        return mean_of(self.sums)


def _tell_step(loss: Any, right: Any, images: int) -> tuple[float, float, int, int]:
    """Loss, right answers, images, and 1 where the loss is no number."""
    value = float(loss.asnumpy())
    if not math.isfinite(value):
        return (0.0, 0.0, 0, 1)
    return (value * images, float(right.asnumpy()), images, 0)


def mean_of(sums: npt.NDArray[np.float64]) -> dict[str, float]:
    """Return the mean loss and the share of right answers, of sums of both and a count."""
    loss, right, images = (float(value) for value in sums)
    # Of steps that were all left out there is nothing to tell.
    return {"loss": loss / max(images, 1), "accuracy": right / max(images, 1)}
