"""Top-1, top-5 and loss over exactly every image once.

Batches of an evaluation all have one size, so one compiled graph serves; the last is filled up and
the filling masked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from archspec.errors import TrainingError
from archspec.train.distributed.worker_group import sum_over_workers


@dataclass(frozen=True)
class Accuracy:
    """Mean cross entropy, and shares of images whose class is the first,
    or among the first five, guesses.
    """

    main: ClassVar[str] = "top1"
    main_name: ClassVar[str] = "accuracy"
    verdict: ClassVar[str] = "is right on {:.2%} of"

    loss: float
    top1: float
    top5: float
    images: int


class ClassMeasure:
    """Judges by labels (N,) of one class each, -1 for filling."""

    def __init__(self, classes: int) -> None:
        self._sums = np.zeros(4)

    def add(self, outputs: npt.NDArray[np.float64], targets: npt.NDArray[np.int32]) -> None:
        """Judge logits (N, classes). Raises TrainingError (T006) where one is no number."""
        is_image = targets >= 0
        self._sums += _sum_figures(check_finite(outputs[is_image]), targets[is_image])

    def figures(self) -> Accuracy:
        """Return the figures of all devices; each device must call it."""
        loss, top1, top5, count = (float(value) for value in sum_over_workers(self._sums))
        shown = max(count, 1)
        return Accuracy(loss / shown, top1 / shown, top5 / shown, int(count))


def check_finite(logits: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the logits. Raises TrainingError (T006) where one of them is no number."""
    if not np.isfinite(logits).all():
        raise TrainingError.one(
            "T006",
            "the network gives what is no number: its weights or moving statistics overflowed",
            "",
            "a lower --lr, or in half precision a smaller loss_scale",
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
