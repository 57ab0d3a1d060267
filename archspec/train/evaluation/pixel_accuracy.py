"""Pixel accuracy, intersections over unions and loss, over exactly every pixel that has a class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from archspec.train.distributed.worker_group import sum_over_workers
from archspec.train.evaluation.accuracy import check_finite
from archspec.train.evaluation.label_accuracy import mean_of_known


@dataclass(frozen=True)
class PixelAccuracy:
    """Mean cross entropy of a pixel, the mean of the classes' intersections over unions, and the
    share of pixels whose class is the first guess.
    """

    main: ClassVar[str] = "miou"
    main_name: ClassVar[str] = "mIoU"
    verdict: ClassVar[str] = "has a mean IoU of {:.2%} on"
    shares: ClassVar[dict[str, str]] = {"miou": "mIoU", "pixel_accuracy": "pixel accuracy"}

    loss: float
    miou: float
    pixel_accuracy: float
    images: int
    """Those with a pixel that has a class."""


class PixelMeasure:
    """Judges by label maps (N, H, W), -1 for filling and for ignored pixels."""

    def __init__(self, classes: int) -> None:
        self._confusion = np.zeros((classes, classes))
        self._sums = np.zeros(2)

    def add(self, outputs: npt.NDArray[np.float64], targets: npt.NDArray[np.int32]) -> None:
        """Judge logits (N, classes, H, W). Raises TrainingError (T006) where one is no number."""
        has_class = targets >= 0
        labels = targets[has_class]
        logits = check_finite(np.moveaxis(outputs, 1, -1)[has_class])
        losses = _cross_entropy(logits, labels)
        classes = len(self._confusion)
        # Of equal logits the first is the guess, as everywhere.
        pairs = labels * classes + logits.argmax(axis=1)
        self._confusion += np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
        self._sums += losses.sum(), has_class.any(axis=(1, 2)).sum()

    def confusion(self) -> npt.NDArray[np.float64]:
        """Return the pixels of each class (rows) that were taken for each class (columns), of all
        devices; each device must call it.
        """
        return sum_over_workers(self._confusion)

    def figures(self) -> PixelAccuracy:
        """Return the figures of all devices; each device must call it."""
        confusion = self.confusion()
        loss, images = (float(value) for value in sum_over_workers(self._sums))
        pixels = max(confusion.sum(), 1)
        return PixelAccuracy(
            loss=loss / pixels,
            miou=mean_of_known(find_ious(confusion)),
            pixel_accuracy=float(confusion.trace() / pixels),
            images=int(images),
        )


def find_ious(confusion: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return each class's intersection over union (classes,), NaN where it is neither there nor
    said of any pixel.
    """
    own = confusion.diagonal()
    unions = confusion.sum(axis=0) + confusion.sum(axis=1) - own
    return np.where(unions > 0, own / np.maximum(unions, 1), np.nan)


def _cross_entropy(
    logits: npt.NDArray[np.float64], labels: npt.NDArray[np.int32]
) -> npt.NDArray[np.float64]:
    shifted = logits - logits.max(axis=1, keepdims=True)
    own = np.take_along_axis(shifted, labels[:, None], axis=1)[:, 0]
    return np.asarray(np.log(np.exp(shifted).sum(axis=1)) - own)
