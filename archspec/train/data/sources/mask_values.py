"""What the values of masks mean: which is which class, and which is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from typing_extensions import Self

from archspec.errors import format_count
from archspec.train.recipe.data import DataRecipe

LEVELS = 256
MAX_VALUES = 5  # of a mask that are out of range, told one by one
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class MaskValues:
    """The value of each class in turn, and the one of pixels without a class; where that is the
    value of a class too, the class has no pixels.
    """

    of_classes: tuple[int, ...] = ()
    ignored: int | None = 255
    are_listed: bool = False
    """Whether a recipe says them, rather than that they are 0, 1, ..."""

    @classmethod
    def of_recipe(cls, recipe: DataRecipe, classes: int) -> Self:
        """Return what a recipe says of masks with so many classes."""
        listed, ignored = recipe.mask_values, recipe.ignore_index
        if listed is None:
            return cls(tuple(range(classes)), ignored)
        # Of white on black: 255 is a class, and nothing is ignored.
        return cls(listed, None if ignored in listed else ignored, are_listed=True)

    def make_table(self) -> npt.NDArray[np.uint8]:
        """Return for each value (256,) its class + 1, 0 for what has none."""
        table = np.zeros(LEVELS, np.uint8)
        table[list(self.of_classes)] = np.arange(1, len(self.of_classes) + 1)
        if self.ignored is not None:
            table[self.ignored] = 0
        return table

    def count_classes(self, counts: Counts) -> Counts:
        """Return the pixels of each class (..., classes), of those of each value (..., 256)."""
        counts = counts.copy()
        if self.ignored is not None:
            counts[..., self.ignored] = 0
        return counts[..., list(self.of_classes)]

    def describe_others(self, counts: Counts) -> str:
        """Return in words which values, and of how many pixels, are neither class nor ignored, of
        those of each value (256,); "" where none is.
        """
        known = {*self.of_classes, self.ignored}
        wrong = [int(value) for value in np.flatnonzero(counts) if value not in known]
        if not wrong:
            return ""
        named = []
        for value in wrong[:MAX_VALUES]:
            named.append(f"{value} ({format_count(int(counts[value]), 'pixel')})")
        more = [f"{len(wrong) - MAX_VALUES} more"] if len(wrong) > MAX_VALUES else []
        return f"has values out of range: {', '.join(named + more)}; {self._describe()}"

    def decode(self, classes: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Return the values of classes, of any shape; of such as no mask has, values that are left
        over, in their order.
        """
        others = np.setdiff1d(np.arange(LEVELS), self.of_classes)
        table = np.array([*self.of_classes, *others], np.uint8)
        return np.asarray(table[classes])

    def _describe(self) -> str:
        said = f"classes are 0 to {len(self.of_classes) - 1}"
        if self.are_listed:
            said = f"classes are {_name_values(self.of_classes)} (data.mask_values)"
        if self.ignored is None:
            return said
        return f"{said}, {self.ignored} is ignored (data.ignore_index)"


NUMBERS = MaskValues()
"""Before anybody has said or seen which classes there are."""


def _name_values(values: Sequence[int]) -> str:
    more = [f"{len(values) - MAX_VALUES} more"] if len(values) > MAX_VALUES else []
    return ", ".join([*map(str, values[:MAX_VALUES]), *more])
