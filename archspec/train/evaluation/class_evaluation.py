"""What is found out about a network where each image has one class.

Kept are counts and the surest mistakes, never the logits of all images: for 1,000 classes 8 MB,
however many images there are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from archspec.train.distributed.worker_group import get_rank, get_world_size, sum_over_workers
from archspec.train.evaluation.accuracy import ClassMeasure
from archspec.train.evaluation.calibration import BINS, Calibration, count_bins, divide
from archspec.train.evaluation.evaluation import Evaluation, Mistake

MOST_MISTAKES = 24
Values = npt.NDArray[np.float64]


class ClassExamination(ClassMeasure):
    """Judges by labels (N,) of one class each, -1 for filling."""

    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        self._confusion = np.zeros((classes, classes))
        self._bins = np.zeros((3, BINS))
        self._mistakes = np.zeros((0, 4))  # probability, number, said, right
        self._seen = 0

    def add(self, outputs: Values, targets: npt.NDArray[np.int32]) -> None:
        """Judge logits (N, classes). Raises TrainingError (T006) where one is no number."""
        super().add(outputs, targets)
        is_image = targets >= 0
        labels, probabilities = targets[is_image], share_out(outputs[is_image])
        said = outputs[is_image].argmax(axis=1)
        probability = probabilities[np.arange(len(said)), said]
        np.add.at(self._confusion, (labels, said), 1)
        self._bins += count_bins(probability, said == labels)
        # The images that a device has: see `held_out_indices`.
        positions = self._seen + np.flatnonzero(is_image)  # one that could not be read has its own
        numbers = get_rank() + positions * get_world_size()
        self._seen += len(targets)
        found = np.stack([probability, numbers, said, labels], axis=1)
        self._mistakes = _keep_surest(np.concatenate([self._mistakes, found[said != labels]]))

    def examine(self) -> Evaluation:
        """Return what all devices have found; each device must call it."""
        figures = self.figures()
        confusion = sum_over_workers(self._confusion)
        calibration = Calibration(*sum_over_workers(self._bins))
        per_class = judge_classes(confusion)
        has_images = per_class["support"] > 0
        averages = {}
        for name in ("precision", "recall", "f1"):
            known = per_class[name][has_images]
            averages[f"macro_{name}"] = float(known.mean()) if len(known) else np.nan
        averages["balanced_accuracy"] = averages["macro_recall"]
        averages["expected_calibration_error"] = calibration.error
        return Evaluation(
            figures,
            averages,
            per_class,
            confusion=confusion.round().astype(np.int64),
            calibration=calibration,
            mistakes=self._gather_mistakes(),
        )

    def _gather_mistakes(self) -> tuple[Mistake, ...]:
        rows = np.zeros((get_world_size(), MOST_MISTAKES, 4))
        rows[get_rank(), : len(self._mistakes)] = self._mistakes
        surest = _keep_surest(sum_over_workers(rows).reshape(-1, 4))
        # Rows that no device has filled have a probability of 0.
        return tuple(
            Mistake(int(number), int(said), int(right), float(probability))
            for probability, number, said, right in surest
            if probability > 0
        )


def share_out(logits: npt.NDArray[Any]) -> Values:
    """Return probabilities (N, classes) for logits."""
    # Less the row's largest: exp of large logits would overflow.
    shifted: Values = np.exp(logits - logits.max(axis=1, keepdims=True), dtype=np.float64)
    shifted /= shifted.sum(axis=1, keepdims=True)
    return shifted


def tell_probabilities(logits: npt.NDArray[Any], *, are_independent: bool) -> Values:
    """Return probabilities (N, classes): of one class among all, or of each class for itself."""
    if not are_independent:
        return share_out(logits)
    # exp of a large number would overflow; both ends are exact.
    shares: Values = 0.5 * (1 + np.tanh(0.5 * logits.astype(np.float64)))
    return shares


def judge_classes(confusion: Values) -> dict[str, Values]:
    """Return precision, recall, F1 and support of each class from a matrix whose rows are right.

    Of a class without images nothing can be told but what was said to be of it. Where a class is
    never said, precision and F1 are 0, as in scikit-learn.
    """
    right, support, said = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    is_known = support + said > 0
    return {
        "precision": np.where(is_known, right / np.maximum(said, 1), np.nan),
        "recall": divide(right, support),
        "f1": divide(2 * right, support + said),
        "support": support,
    }


def _keep_surest(mistakes: Values) -> Values:
    order = np.lexsort((mistakes[:, 1], -mistakes[:, 0]))  # of equal ones the first image
    surest: Values = mistakes[order[:MOST_MISTAKES]]
    return surest
