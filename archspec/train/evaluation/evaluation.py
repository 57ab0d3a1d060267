"""What was found out about a network: figures, figures of each class, and what it confuses."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from archspec.train.evaluation.calibration import BINS, Calibration
from archspec.train.evaluation.measures import Figures, read_figures

COUNTS = ("support", "pixels")
"""What of a class is no share."""
OTHERS = (
    "classes",
    "confusion_matrix",
    "calibration",
    "mistakes",
    "skipped_images",
    "skipped",
)
"""What stands in the JSON beside figures and averages."""


@dataclass(frozen=True)
class Mistake:
    """An image that the network takes for another class's."""

    number: int
    """In the data set."""
    said: int
    right: int
    probability: float
    """Of what it said."""
    image: str = ""
    """The file, or the number among the records."""


class Confusion(NamedTuple):
    """So many images, or pixels, of a class are taken for another one's, of all that it has."""

    right: int
    said: int
    mistaken: int
    of: int


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What was found out about a network, over every image once."""

    figures: Figures
    averages: Mapping[str, float]
    """Over the classes that have images, each as much as the others, and what else is one number;
    NaN where nothing can be said."""
    per_class: Mapping[str, npt.NDArray[np.float64]]
    """By the name of the figure, (classes,); NaN where a class has none."""
    classes: tuple[str, ...] = ()
    confusion: npt.NDArray[np.int64] | None = None
    """Images, or pixels where each has a class, of each class (rows) by what was said of them
    (columns); None where an image has several."""
    calibration: Calibration | None = None
    """Of one class an image."""
    mistakes: tuple[Mistake, ...] = ()
    """Those of which the network was surest, most first; likewise."""
    skipped: tuple[str, ...] = ()
    """Images that were left out since they cannot be read: their files."""

    def as_json(self) -> dict[str, Any]:
        """Return all of it as plain values, None where a figure cannot be told."""
        rows = [{"class": name} for name in self.classes]
        found: dict[str, Any] = {**asdict(self.figures), **_plain(self.averages)}
        found |= {"skipped_images": len(self.skipped), "skipped": list(self.skipped)}
        found["classes"] = [
            {**row, **_plain(self.figures_of(number))} for number, row in enumerate(rows)
        ]
        if self.confusion is not None:
            found["confusion_matrix"] = self.confusion.tolist()
        if self.calibration is not None:
            found["calibration"] = list(_list_bins(self.calibration))
        if self.calibration is not None:
            found["mistakes"] = [self._describe(mistake) for mistake in self.mistakes]
        return found

    def figures_of(self, number: int) -> dict[str, float]:
        """Return the figures of a class by their names."""
        return {name: float(values[number]) for name, values in self.per_class.items()}

    def find_worst(self, count: int, by: str) -> list[int]:
        """Return the classes that are worst by a figure, of those that have images, worst first."""
        values = self.per_class[by]
        is_judged = ~np.isnan(values) & (self.per_class.get("support", values) > 0)
        order = np.argsort(values, kind="stable")
        return [int(number) for number in order[is_judged[order]][:count]]

    def find_confusions(self, count: int) -> list[Confusion]:
        """Return the most frequent confusions of a class with another one."""
        if self.confusion is None:
            return []
        wrong = self.confusion.copy()
        np.fill_diagonal(wrong, 0)
        totals, found = self.confusion.sum(axis=1), []
        for place in np.argsort(-wrong, axis=None, kind="stable")[:count]:
            right, said = divmod(int(place), len(wrong))
            if wrong[right, said]:
                found.append(Confusion(right, said, int(wrong[right, said]), int(totals[right])))
        return found

    def _describe(self, mistake: Mistake) -> dict[str, Any]:
        names = {"said": self.classes[mistake.said], "right": self.classes[mistake.right]}
        return {**asdict(mistake), **names}


def read_evaluation(values: Mapping[str, Any]) -> Evaluation:
    """Return the evaluation that `as_json` has written."""
    figures = read_figures(values)
    if figures is None:
        raise ValueError("these are no figures of an evaluation")
    rows = values["classes"]
    classes = tuple(row["class"] for row in rows)
    names = [name for name in rows[0] if name != "class"] if rows else []
    named = {*asdict(figures), *OTHERS}
    averages = {name: _number(values[name]) for name in values if name not in named}
    per_class = {}
    for name in names:
        per_class[name] = np.array([_number(row[name]) for row in rows])
    confusion, bins = values.get("confusion_matrix"), values.get("calibration")
    return Evaluation(
        figures,
        averages,
        per_class,
        classes,
        None if confusion is None else np.array(confusion, np.int64),
        None if bins is None else _read_bins(bins),
        tuple(_read_mistake(mistake, classes) for mistake in values.get("mistakes", ())),
        tuple(values["skipped"]),
    )


def _plain(figures: Mapping[str, float]) -> dict[str, float | int | None]:
    plain: dict[str, float | int | None] = {}
    for name, value in figures.items():
        plain[name] = None if math.isnan(value) else value
        if name in COUNTS:
            plain[name] = int(value)
    return plain


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _list_bins(found: Calibration) -> Iterator[dict[str, Any]]:
    means = {"probability": found.mean_probability, "accuracy": found.accuracy}
    for number in range(BINS):
        ends = {"above": number / BINS, "up_to": (number + 1) / BINS}
        shares = _plain({name: float(values[number]) for name, values in means.items()})
        yield {**ends, "images": int(found.images[number]), **shares}


def _read_bins(bins: Sequence[Mapping[str, Any]]) -> Calibration:
    images = np.array([row["images"] for row in bins], np.float64)
    sums = []
    for name in ("probability", "accuracy"):
        sums.append(np.array([row[name] or 0.0 for row in bins]) * images)
    return Calibration(images, sums[0], sums[1])


def _read_mistake(values: Mapping[str, Any], classes: Sequence[str]) -> Mistake:
    # Two classes of one name cannot be told apart: the first stands for both.
    numbers = {name: classes.index(values[name]) for name in ("said", "right")}
    return Mistake(**{**values, **numbers})
