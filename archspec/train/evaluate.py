"""Top-1, top-5 and loss over exactly every image once, and what training reports of its steps.

Batches of an evaluation all have one size, so one compiled graph serves; the last is filled up and
the filling masked.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from archspec.errors import TrainingError
from archspec.train.distributed.worker_group import all_reduce_sum

SECONDS_BETWEEN_EVENTS = 2.0
Batches = Iterable[tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]]


@dataclass(frozen=True)
class Accuracy:
    """Mean cross entropy, and shares of images whose class is the first,
    or among the first five, guesses.
    """

    loss: float
    top1: float
    top5: float
    images: int


def evaluate(network: Any, batches: Batches) -> Accuracy:
    """Return the accuracy of a network over batches of images (N, C, H,
    W) and labels (N,), -1 for filling.

    The network is left in evaluation mode. Under data parallelism each rank brings its share of the
    images and all get the figures of the whole.
    """
    from mindspore import Tensor

    network.set_train(False)
    sums = np.zeros(4)  # of 64 bits: the sum of many small losses would round in 32
    for images, labels in batches:
        logits = network(Tensor(images)).asnumpy().astype(np.float64)
        sums += _sum_figures(check_finite(logits[labels >= 0]), labels[labels >= 0])
    loss, top1, top5, count = (float(value) for value in all_reduce_sum(sums.astype(np.float32)))
    return Accuracy(loss / max(count, 1), top1 / max(count, 1), top5 / max(count, 1), int(count))


def check_finite(logits: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the logits. Raises TrainingError (T006) where one of them is no number."""
    if not np.isfinite(logits).all():
        raise TrainingError.one(
            "T006", "the network's outputs are no numbers: its weights or statistics are none"
        )
    return logits


def _sum_figures(
    logits: npt.NDArray[np.float64], labels: npt.NDArray[np.int32]
) -> npt.NDArray[np.float64]:
    """Summed loss, right first guesses, right among five guesses, number of images."""
    rows = np.arange(len(labels))
    shifted = logits - logits.max(axis=1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[rows, labels]
    own = logits[rows, labels][:, None]
    # Of equal logits the first counts as the better guess: a network that says the same of all is
    # no good one.
    ahead = (logits > own) | ((logits == own) & (np.arange(logits.shape[1]) < labels[:, None]))
    better = ahead.sum(axis=1)
    return np.array([losses.sum(), (better < 1).sum(), (better < 5).sum(), len(labels)])


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

    def find_not_finite(self) -> int | None:
        """Return which of the steps that wait has a loss that is no number, from 0."""
        for number, (loss, _, _) in enumerate(self.waiting):
            if not np.isfinite(loss.asnumpy()).all():
                return number
        return None

    def read(self) -> dict[str, float]:
        """Return mean loss, accuracy and images per second since the last reading.

        A step whose loss is no number was left out, and counts in no mean.
        """
        rows = [
            (float(loss.asnumpy()) * n, float(right.asnumpy()), n)
            for loss, right, n in self.waiting
        ]
        finite = [row for row in rows if np.isfinite(row[0])]
        sums, steps = np.sum(finite, axis=0) if finite else np.zeros(3), len(rows)
        now = time.monotonic()
        speed = steps * self.global_batch / max(now - self.since, 1e-9)
        self.sums, self.waiting, self.since = self.sums + sums, [], now
        return {
            "loss": sums[0] / max(sums[2], 1),
            "accuracy": sums[1] / max(sums[2], 1),
            "images_per_second": speed,
        }

    def totals(self) -> dict[str, float]:
        """Return the epoch's means."""
        loss, right, images = (float(value) for value in self.sums)
        images = max(images, 1)
        return {"loss": loss / images, "accuracy": right / images}
