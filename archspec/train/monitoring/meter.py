"""What training reports of its steps: mean loss, accuracy, images per second."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import numpy.typing as npt

from archspec.errors import TrainingError

SECONDS_BETWEEN_EVENTS = 2.0


class Meter:
    """Collects losses on the device and fetches them when a report is due, not at every step.

    `sums` are the loss, the right answers and the images of an epoch so far.
    """

    def __init__(
        self, every: int, global_batch: int, sums: tuple[float, ...] = (0.0, 0.0, 0.0)
    ) -> None:
        self.every, self.global_batch = every, global_batch
        self.waiting: list[tuple[Any, Any, int]] = []
        self.sums = np.array(sums, np.float64)
        self.since = time.monotonic()

    def add(self, loss: Any, right: Any, images: int) -> None:
        """Take a step's mean loss and right answers, still on the device."""
        self.waiting.append((loss, right, images))

    def due(self, *, last: bool) -> bool:
        """Return whether enough steps or time have passed to read what was collected."""
        late = time.monotonic() - self.since > SECONDS_BETWEEN_EVENTS
        return last or late or len(self.waiting) >= self.every

    def find_not_finite(self) -> list[int]:
        """Return which of the steps that wait have a loss that is no number, from 0."""
        losses = [loss.asnumpy() for loss, _, _ in self.waiting]
        return [number for number, loss in enumerate(losses) if not np.isfinite(loss).all()]

    def read(self) -> dict[str, float]:
        """Return mean loss, accuracy and images per second since the last reading, over the steps
        whose loss is a number.
        """
        rows = [(0.0, 0.0, 0)]
        for loss, right, images in self.waiting:
            if np.isfinite(loss.asnumpy()):
                rows.append((float(loss.asnumpy()) * images, float(right.asnumpy()), images))
        sums, steps = np.sum(rows, axis=0), len(self.waiting)
        now = time.monotonic()
        speed = steps * self.global_batch / max(now - self.since, 1e-9)
        self.sums, self.waiting, self.since = self.sums + sums, [], now
        return {**_means(sums), "images_per_second": speed}

    def totals(self) -> dict[str, float]:
        """Return the epoch's means.

        Raises:
            TrainingError: T006, every step was left out.
        """
        if not self.sums[2]:
            rule = "every step of the epoch was left out: no loss is a number"
            raise TrainingError.one("T006", rule, "", "a lower --lr, or a recipe with warm-up")
        return _means(self.sums)


def _means(sums: npt.NDArray[np.float64]) -> dict[str, float]:
    loss, right, images = (float(value) for value in sums)
    # Of steps that were all left out there is nothing to tell.
    return {"loss": loss / max(images, 1), "accuracy": right / max(images, 1)}
