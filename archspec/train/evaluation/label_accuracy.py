"""How good a network is that gives an image several labels, or none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from archspec.train.distributed.worker_group import all_reduce_sum
from archspec.train.evaluation.accuracy import check_finite


@dataclass(frozen=True)
class LabelAccuracy:
    """Mean binary cross entropy, and F1 of all labels together, each said from a probability of 0.5
    on.
    """

    main: ClassVar[str] = "f1"
    main_name: ClassVar[str] = "F1"
    verdict: ClassVar[str] = "has an F1 of {:.2%} over"

    loss: float
    f1: float
    images: int


class LabelMeasure:
    """Judges by targets (N, classes) of 0 and 1; rows of -1 fill."""

    def __init__(self, classes: int) -> None:
        self._sums = np.zeros(4)

    def add(self, outputs: npt.NDArray[np.float64], targets: npt.NDArray[Any]) -> None:
        """Judge logits (N, classes). Raises TrainingError (T006) where one is no number."""
        is_image = (targets >= 0).all(axis=1)
        logits, truth = check_finite(outputs[is_image]), targets[is_image]
        losses = np.logaddexp(0, logits) - logits * truth
        said = logits >= 0
        right = (said & (truth > 0)).sum()
        self._sums += [losses.mean(axis=1).sum(), right, said.sum() + truth.sum(), len(truth)]

    def figures(self) -> LabelAccuracy:
        """Return the figures of all devices; each device must call it."""
        summed = all_reduce_sum(self._sums.astype(np.float32))
        loss, right, of, images = (float(value) for value in summed)
        return LabelAccuracy(loss / max(images, 1), 2 * right / max(of, 1), int(images))
