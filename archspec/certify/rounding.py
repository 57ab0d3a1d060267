"""What do rounding and clipping leave of a quantised ONNX?

A scale or a zero point may be such that all values of a feature become one, or all weights its
largest number: the operators are the spec's, and the network is gone. Weights tell that by
themselves. Features do not: so the file's nodes compute random images in ONNX Runtime, and each
feature is compared with what its pair of QuantizeLinear and DequantizeLinear leaves of it. Real
images would tell more, and nobody has them here: what is refused is what next to nothing is left
of, at whatever contrast, and not what costs accuracy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from archspec.certify.rounded_features import (
    MOST_LOST,
    TriedFeature,
    find_pairs,
    measure_pairs,
)
from archspec.certify.subgraph import NotExtractable
from archspec.compare.compare import MAX_LINES
from archspec.compare.match import Match
from archspec.errors import Diagnostic, EnvironmentFault, format_count, name_first
from archspec.readers.onnx.read import OnnxReading
from archspec.readers.tensors import Computed, Values, values_of

FEWEST = 8
"""Weights of one scale that are looked at: fewer may well be its largest number all."""
NEAR, MOST_NEAR = 2, 0.9
"""Steps from an end of the range, and the share of weights that may stand there."""
MOST_OF_ONE = 0.5
"""The share of filters that are one number each."""

Array = Any


@dataclass(frozen=True, slots=True)
class Rounding:
    """What rounding and clipping leave of a file."""

    features: tuple[TriedFeature, ...]
    """In running order."""
    weights: tuple[str, ...]
    """Those that are nothing but the ends of their range, or lose what they were."""
    not_run: str = ""
    """Why no feature was looked at."""
    has_given_weights: bool = False
    """All filters and biases are those of given weights: what is the same for every image is so by
    these, such as a gate that no image opens."""

    @property
    def differences(self) -> tuple[Diagnostic, ...]:
        """What next to nothing is left of."""
        return tuple(self._list_differences())[:MAX_LINES]

    def _list_differences(self) -> Iterator[Diagnostic]:
        for name in self.weights:
            rule = "rounding or clipping has left nothing of these weights: the scale does not fit"
            yield Diagnostic("R113", f"{name}: {rule}", name)
        gone = [each for each in self.features if each.lost > MOST_LOST]
        for name, lost in gone:
            kept = f"{max(0, 1 - lost):.0%} of what varies in its output"
            rule = f"rounding and clipping leave {kept}: scale or zero point does not fit"
            yield Diagnostic("R113", f"{name}: {rule}", name)
        if self._same and not gone and not self.has_given_weights:  # else it follows from those
            rule = "gives the same for every image: a scale or zero point before it does not fit"
            yield Diagnostic("R113", f"{self._same[0]} {rule}", self._same[0])

    @property
    def _same(self) -> list[str]:
        """What gives one value in all of its features."""
        return [each.maker for each in self.features if np.isnan(each.lost)]

    @property
    def notes(self) -> tuple[str, ...]:
        """How that was found out."""
        if self.not_run:
            return (f"nobody looked what rounding and clipping leave of features: {self.not_run}",)
        if not self.features or self.differences:
            return ()
        told = []
        varying = [each for each in self.features if not np.isnan(each.lost)]
        if varying:
            worst = max(varying, key=attrgetter("lost"))
            maps = format_count(len(varying), "feature map")
            left = f"at least {1 - worst.lost:.1%} of what varies ({worst.maker})"
            told.append(f"on random images rounding and clipping leave {maps} {left}")
        if self._same:
            told.append(f"gives the same for every random image: {name_first(self._same)}")
        return tuple(told)


def try_rounding(match: Match, reading: OnnxReading, path: Path) -> Rounding | None:
    """Return what rounding and clipping leave of a file that is equal to its spec; None where it
    has no whole numbers.

    Raises:
        ModelFileError: R005, R006, the file cannot be read any more.
    """
    pairs = find_pairs(reading)
    if not pairs and not reading.whole_weights:
        return None
    with values_of(path) as values:
        weights = tuple(_find_lost_weights(reading, values))
        try:
            # What is refused anyway need not be run.
            found = () if weights or not pairs else measure_pairs(match, reading, values, pairs)
        except NotExtractable as reason:
            return Rounding((), weights, str(reason))
        except EnvironmentFault as fault:
            return Rounding((), weights, fault.diagnostics[0].message)
    return Rounding(found, weights)


def _find_lost_weights(reading: OnnxReading, values: Values) -> Iterator[str]:
    for name, source in reading.whole_weights.items():
        whole, after = values.of(source.inputs[0]), values.of(source)
        if whole is None or after is None:
            continue
        before = _find_floats(source, values)
        if before is not None:
            is_lost = _loses_most(before, after, source)
        else:
            kind = whole.dtype if whole.dtype.kind in "iu" else np.asarray(source.inputs[2]).dtype
            is_lost = after.any() and _is_flat(whole, kind)  # zeros are told of elsewhere
        if is_lost:
            yield name


def _find_floats(source: Computed, values: Values) -> Array | None:
    """What is rounded in the file itself."""
    inner = source.inputs[0]
    if isinstance(inner, Computed) and inner.operator == "QuantizeLinear":
        return values.of(inner.inputs[0])
    return None


def _is_flat(whole: Array, kind: Any) -> bool:
    """Whether half of several filters or more are one number each, or nearly all weights stand at
    the ends of their type's range; of biases all.

    A filter of its own scale has one weight at an end, or two; one that is zero is none of these.
    """
    limits = np.iinfo(kind)
    # Quantisers leave out the least of a signed type, so that both ends are as far from zero.
    is_end = (whole >= limits.max) | (whole <= limits.min + (limits.min < 0))
    if whole.ndim < 2:
        return whole.size >= FEWEST and bool(is_end.all())
    rows = whole.reshape(len(whole), -1)
    if len(rows) < 2 or rows.shape[1] < FEWEST:
        return False
    is_near = (rows >= limits.max - NEAR) | (rows <= limits.min + NEAR)
    is_one = (rows == rows[:, :1]).all(axis=1) & (rows != 0).any(axis=1)
    return bool(is_near.mean() > MOST_NEAR or is_one.mean() >= MOST_OF_ONE)


def _loses_most(before: Array, after: Array, source: Computed) -> bool:
    """Whether some scale does so to its weights."""
    axis, scale = (source.axes or (0,))[0], np.asarray(source.inputs[1])
    others = tuple(at for at in range(before.ndim) if at != axis) if scale.size > 1 else None
    lost = np.square(after - before).sum(axis=others)
    return bool((lost > MOST_LOST * np.square(before).sum(axis=others)).any())
