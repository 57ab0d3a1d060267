"""How good a network is that gives an image several labels, or none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from archspec.train.distributed.worker_group import gather_rows
from archspec.train.evaluation.accuracy import check_finite
from archspec.train.evaluation.calibration import divide

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LabelAccuracy:
    """Mean binary cross entropy, and means over the classes of which images have and lack them."""

    main: ClassVar[str] = "mean_ap"
    main_name: ClassVar[str] = "mAP"
    verdict: ClassVar[str] = "has a mean average precision of {:.2%} over"
    shares: ClassVar[dict[str, str]] = {"mean_ap": "mAP", "mean_auc": "AUC", "f1": "F1"}

    loss: float
    mean_ap: float
    """The area under precision by recall."""
    mean_auc: float
    """The share of pairs, an image that has the label and one that lacks it, in the right order."""
    f1: float
    """Where a label counts as said from a probability of 0.5 on."""
    images: int


class LabelFigures(NamedTuple):
    """Of each class, (classes,); NaN where it cannot be told."""

    precision: Values
    recall: Values
    f1: Values
    average_precision: Values
    auc: Values
    support: Values


class LabelMeasure:
    """Judges by targets (N, classes) of 0 and 1; rows of -1 fill.

    Keeps the logits of all images, (images, classes) float32: order is not told from sums.
    """

    def __init__(self, classes: int) -> None:
        self._classes = classes
        self._logits: list[npt.NDArray[np.float32]] = []
        self._targets: list[npt.NDArray[np.float32]] = []

    def add(self, outputs: Values, targets: npt.NDArray[np.float32]) -> None:
        """Judge logits (N, classes). Raises TrainingError (T006) where one is no number."""
        is_image = (targets >= 0).any(axis=1)
        self._logits.append(check_finite(outputs[is_image]).astype(np.float32))
        self._targets.append(targets[is_image].astype(np.float32))

    def figures(self) -> LabelAccuracy:
        """Return the figures of all devices; each device must call it."""
        logits, has_label = self.gather()
        return summarize(logits, has_label, judge_labels(logits, has_label))

    def gather(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """Return logits and labels of the images of all devices, (images, classes)."""
        empty = np.zeros((0, self._classes), np.float32)
        logits = gather_rows(np.concatenate([empty, *self._logits]))
        return logits, gather_rows(np.concatenate([empty, *self._targets])) > 0.5


def summarize(
    logits: npt.NDArray[np.float32], has_label: npt.NDArray[np.bool_], found: LabelFigures
) -> LabelAccuracy:
    """Return loss and means, 0 where no class can be judged."""
    # log(1 + exp(x)) - y x, of which exp of a large x would overflow.
    losses = np.logaddexp(0, logits.astype(np.float64)) - logits * has_label
    return LabelAccuracy(
        float(losses.mean()) if losses.size else 0.0,
        mean_of_known(found.average_precision),
        mean_of_known(found.auc),
        mean_of_known(found.f1),
        len(logits),
    )


def mean_of_known(values: Values) -> float:
    """Return the mean of those that are numbers, 0 where none is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else 0.0


def judge_labels(logits: npt.NDArray[np.float32], has_label: npt.NDArray[np.bool_]) -> LabelFigures:
    """Return the figures of each class.

    A class that no image has is told nothing of; where every image has it, there is no AUC. Where
    it is never said, precision and F1 are 0, as in scikit-learn.
    """
    said = logits >= 0  # a probability of 0.5 or more
    right = (said & has_label).sum(axis=0).astype(np.float64)
    support = has_label.sum(axis=0).astype(np.float64)
    is_known = support > 0
    precision = np.where(is_known, right / np.maximum(said.sum(axis=0), 1), np.nan)
    f1 = divide(2 * right, np.where(is_known, said.sum(axis=0) + support, 0))
    areas = [find_areas(logits[:, number], has_label[:, number]) for number in range(len(support))]
    average_precision, auc = np.array(areas, np.float64).reshape(-1, 2).T
    return LabelFigures(precision, divide(right, support), f1, average_precision, auc, support)


def find_areas(
    scores: npt.NDArray[np.float32], has_label: npt.NDArray[np.bool_]
) -> tuple[float, float]:
    """Return average precision and AUC of one class, from scores (N,) and truths (N,).

    Images of equal scores stand at one place of the order: none of them is before another.
    """
    _, places = np.unique(-scores, return_inverse=True)
    images = np.bincount(places).astype(np.float64)
    having = np.bincount(places, has_label).astype(np.float64)
    total, lacking = having.sum(), images.sum() - having.sum()
    if not total:
        return np.nan, np.nan
    precision = np.cumsum(having) / np.cumsum(images)
    average_precision = float((precision * having).sum() / total)
    if not lacking:
        return average_precision, np.nan
    lacks = images - having
    # Of each place: those that lack the label behind it, and half of those beside it.
    behind = lacking - np.cumsum(lacks) + lacks / 2
    return average_precision, float((having * behind).sum() / (total * lacking))
