"""What is found out about a network where an image may have several labels."""

from __future__ import annotations

import numpy as np

from archspec.train.evaluation.evaluation import Evaluation
from archspec.train.evaluation.label_accuracy import (
    LabelMeasure,
    judge_labels,
    mean_of_known,
    summarize,
)


class LabelExamination(LabelMeasure):
    """Judges by targets (N, classes) of 0 and 1; rows of -1 fill."""

    def examine(self) -> Evaluation:
        """Return what all devices have found; each device must call it."""
        logits, has_label = self.gather()
        found = judge_labels(logits, has_label)
        averages = {
            "macro_precision": mean_of_known(found.precision),
            "macro_recall": mean_of_known(found.recall),
            "macro_f1": mean_of_known(found.f1),
            "micro_f1": np.nan,
        }
        said = logits >= 0
        if (said | has_label).any():
            right = (said & has_label).sum()
            averages["micro_f1"] = float(2 * right / (said.sum() + has_label.sum()))
        return Evaluation(summarize(logits, has_label, found), averages, found._asdict())
