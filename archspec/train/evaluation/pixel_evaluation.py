"""What is found out about a network where each pixel has a class."""

from __future__ import annotations

import numpy as np

from archspec.train.evaluation.calibration import divide
from archspec.train.evaluation.evaluation import Evaluation
from archspec.train.evaluation.label_accuracy import mean_of_known
from archspec.train.evaluation.pixel_accuracy import PixelMeasure, find_ious


class PixelExamination(PixelMeasure):
    """Judges by label maps (N, H, W); -1 fills, and is ignored."""

    def examine(self) -> Evaluation:
        """Return what all devices have found; each device must call it."""
        figures, confusion = self.figures(), self.confusion()
        own, there = confusion.diagonal(), confusion.sum(axis=1)
        per_class = {
            "iou": find_ious(confusion),
            "recall": divide(own, there),
            "precision": divide(own, confusion.sum(axis=0)),
            "pixels": there,
        }
        averages = {"balanced_accuracy": mean_of_known(per_class["recall"])}
        return Evaluation(figures, averages, per_class, confusion=confusion.astype(np.int64))
