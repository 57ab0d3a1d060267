"""An evaluation in words, for the screen and for a report."""

from __future__ import annotations

import math
from collections.abc import Mapping

from archspec.errors import format_count, name_first
from archspec.train.evaluation.evaluation import COUNTS, Evaluation

MOST_CLASSES = 20
WORST_CLASSES = 10
AVERAGES: Mapping[str, str] = {
    "macro_precision": "macro precision",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "balanced_accuracy": "balanced accuracy",
    "expected_calibration_error": "calibration error",
}
"""What is told of the averages: macro recall is balanced accuracy."""
HEADINGS: Mapping[str, str] = {
    "f1": "F1",
    "auc": "AUC",
    "average_precision": "AP",
    "support": "images",
}
"""What people call a figure of a class, where it is not its name."""
JUDGED_BY = ("f1", "iou")
"""The first of them that there is says which classes are the worst."""


def describe_averages(found: Evaluation) -> str:
    """Return `macro F1 91.20%  balanced accuracy 91.31%  calibration error 3.10%`."""
    words = []
    for name, title in AVERAGES.items():
        if name in found.averages:
            words.append(f"{title} {format_figure(name, found.averages[name])}")
    return "  ".join(words)


def describe_skipped(found: Evaluation) -> str:
    """Return `2 images left out that cannot be read: a.png and 1 more`, "" where none is."""
    if not found.skipped:
        return ""
    count = format_count(len(found.skipped), "image")
    return f"{count} left out that cannot be read: {name_first(found.skipped)}"


def choose_classes(
    found: Evaluation, most: int = MOST_CLASSES, worst: int = WORST_CLASSES
) -> tuple[str, list[int]]:
    """Return the classes that a table shows, all or else the worst, and what it is said to show."""
    count = len(found.classes)
    by = next((name for name in JUDGED_BY if name in found.per_class), "")
    if count <= most or not by:
        return "", list(range(count if count <= most else 0))
    title = f"the {worst} of {count:,} classes with the lowest {head(by)}, of those with images"
    return title, found.find_worst(worst, by)


def head(name: str) -> str:
    """Return what people call a figure of a class."""
    return HEADINGS.get(name, name.replace("_", " "))


def format_figure(name: str, value: float) -> str:
    """Return a share in percent, a count as it is, `-` for what cannot be told."""
    if math.isnan(value):
        return "-"
    return f"{value:,.0f}" if name in COUNTS else f"{value:.2%}"


def list_confusions(found: Evaluation, count: int) -> list[str]:
    """Return the most frequent confusions: `shirt taken for coat: 14 of 80`."""
    names, lines = found.classes, []
    noun = " pixels" if "pixels" in found.per_class else ""
    for right, said, mistaken, of in found.find_confusions(count):
        lines.append(f"{names[right]} taken for {names[said]}: {mistaken:,} of {of:,}{noun}")
    return lines
