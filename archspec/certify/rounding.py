"""What do rounding and clipping leave of a quantised ONNX?

A scale or a zero point may be such that all values of a feature become one, or all weights its
largest number: the operators are the spec's, and the network is gone. Weights tell that by
themselves. Features do not: so the file's nodes compute random images in ONNX Runtime, and each
feature is compared with what its pair of QuantizeLinear and DequantizeLinear leaves of it. Real
images would tell more, and nobody has them here: what is refused is what next to nothing is left
of, at whatever contrast, and not what costs accuracy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from archspec.certify.probe import SEED, open_session, refusals_as_not_extractable
from archspec.certify.subgraph import FLOAT, NotExtractable, SubgraphExtractor, fix_shape
from archspec.compare.compare import MAX_LINES
from archspec.compare.match import Match
from archspec.errors import Diagnostic, EnvironmentFault, format_count
from archspec.readers.onnx.read import OnnxReading
from archspec.readers.tensors import Computed, Values, values_of
from archspec.readers.trace import Grid
from archspec.runtime import import_onnx_runtime

MOST_LOST = 0.75
"""Of what varies in a feature, as a share of its variance. A good pair of 8 bits loses thousandths;
one whose scale is a hundred times too large or too small, more than this."""
CONTRASTS = (1.0, 0.1, 10.0)
"""Standard deviations of random images, one after another until all features are passed."""
PATCHES = 4
FEWEST = 8
"""Weights of one scale that are looked at: fewer may well be its largest number all."""
RARE = 1e-2
"""A channel of its own scale that varies so little beside the others is not judged."""
FLOAT32 = 1e-14
"""What rounding to float32 leaves of the square of what is constant."""

Array = Any


class TriedFeature(NamedTuple):
    """A feature that is rounded."""

    maker: str
    """What the spec calls what makes it; several may have one, before a Flatten and behind it."""
    lost: float
    """The share of what varies in it; NaN where nothing does."""


@dataclass(frozen=True, slots=True)
class Rounding:
    """What rounding and clipping leave of a file."""

    features: tuple[TriedFeature, ...]
    """In running order."""
    weights: tuple[str, ...]
    """Those that are nothing but the ends of their range, or lose what they were."""
    not_run: str = ""
    """Why no feature was looked at."""

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
        same = [each.maker for each in self.features if np.isnan(each.lost)]
        if same and not gone:  # else it follows from those
            rule = "gives the same for every image: a scale or zero point before it does not fit"
            yield Diagnostic("R113", f"{same[0]} {rule}", same[0])

    @property
    def notes(self) -> tuple[str, ...]:
        """How that was found out."""
        if self.not_run:
            return (f"nobody looked what rounding and clipping leave of features: {self.not_run}",)
        if not self.features or self.differences:
            return ()
        worst = max(self.features, key=attrgetter("lost"))
        maps = format_count(len(self.features), "feature map")
        left = f"at least {1 - worst.lost:.1%} of what varies ({worst.maker})"
        return (f"on random images rounding and clipping leave {maps} {left}",)


def try_rounding(match: Match, reading: OnnxReading, path: Path) -> Rounding | None:
    """Return what rounding and clipping leave of a file that is equal to its spec; None where it
    has no whole numbers.

    Raises:
        ModelFileError: R005, R006, the file cannot be read any more.
    """
    grids = _choose_grids(reading)
    if not grids and not reading.whole_weights:
        return None
    with values_of(path) as values:
        weights = tuple(_find_lost_weights(reading, values))
        try:
            # What is refused anyway need not be run.
            found = () if weights or not grids else _measure(match, reading, values, grids)
        except NotExtractable as reason:
            return Rounding((), weights, str(reason))
        except EnvironmentFault as fault:
            return Rounding((), weights, fault.diagnostics[0].message)
    return Rounding(found, weights)


# ---- weights


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
    """Whether all of several filters' weights are one number, or the ends of their type's range;
    of biases the latter.
    """
    limits = np.iinfo(kind)
    # Quantisers leave out the least of a signed type, so that both ends are as far from zero.
    is_end = (whole >= limits.max) | (whole <= limits.min + (limits.min < 0))
    if whole.ndim < 2:
        return whole.size >= FEWEST and bool(is_end.all())
    if len(whole) < 2 or whole.shape[1] < 2 or whole[0].size < FEWEST:
        return False
    return bool(is_end.all() or (whole == whole.flat[0]).all())


def _loses_most(before: Array, after: Array, source: Computed) -> bool:
    """Whether some scale does so to its weights."""
    axis, scale = (source.axes or (0,))[0], np.asarray(source.inputs[1])
    others = tuple(at for at in range(before.ndim) if at != axis) if scale.size > 1 else None
    lost = np.square(after - before).sum(axis=others)
    return bool((lost > MOST_LOST * np.square(before).sum(axis=others)).any())


# ---- features


def _choose_grids(reading: OnnxReading) -> dict[str, Grid]:
    """By the tensor that is rounded; what leads to no output is left out."""
    chosen = {}
    for node in reading.model.nodes:
        grid = reading.grids.get(next(iter(node.outputs), ""))
        feature = reading.features.get(next(iter(node.inputs), ""))
        if grid is not None and feature is not None and feature.op in reading.graph.ops:
            chosen[node.inputs[0]] = grid
    return chosen


def _measure(
    match: Match, reading: OnnxReading, values: Values, grids: Mapping[str, Grid]
) -> tuple[TriedFeature, ...]:
    """What is lost of each feature that is rounded."""
    runtime = import_onnx_runtime()
    left = [*grids]
    subgraph = SubgraphExtractor(reading, values).extract_values(set(), left)
    session = open_session(subgraph.model, runtime)
    ((name, image),) = subgraph.inputs.items()
    if subgraph.types.get(name, FLOAT) != FLOAT:
        raise NotExtractable("the images are of another type than float32")
    found = dict[str, float]()
    random = np.random.default_rng(SEED)
    for contrast in CONTRASTS:
        sums = {tensor: _Sums(grids[tensor]) for tensor in left}
        for images in _draw_images(fix_shape(image), random):
            _add_run(sums, session, {name: (contrast * images).astype(np.float32)})
        for tensor, each in sums.items():
            found[tensor] = float(np.fmin(each.share_lost(), found.get(tensor, np.nan)))
        left = [tensor for tensor in left if not found[tensor] <= MOST_LOST]
        if not left:
            break
    names = _name_makers(match)
    makers = {tensor: reading.features[tensor].op for tensor in found}
    return tuple(
        TriedFeature(names.get(makers[tensor], makers[tensor]), lost)
        for tensor, lost in found.items()
    )


def _add_run(sums: Mapping[str, _Sums], session: Any, given: Mapping[str, Array]) -> None:
    with refusals_as_not_extractable():
        made = session.run([*sums], given)
    for each, values in zip(sums.values(), made, strict=True):
        each.add(values.astype(np.float64))


def _name_makers(match: Match) -> dict[str, str]:
    """What the spec calls each operator of a file."""
    names = {}
    for expected, found in match.complete_pairs:
        for ours, theirs in zip(expected.ops, found.ops, strict=False):
            names[theirs.name] = ours.name
    return names


def _draw_images(shape: Sequence[int], random: Any) -> Iterator[Array]:
    """Noise, coarse noise, and colours: what a network tells apart is of some size, and what is
    pooled over all pixels, as a gate is, varies by colours alone.
    """
    first, channels, height, width = shape
    yield random.normal(size=shape)
    for patches in (PATCHES, 1, 1):
        coarse = random.normal(size=(first, channels, patches, patches))
        rows, columns = (np.arange(size) * patches // size for size in (height, width))
        yield coarse[:, :, rows][..., columns]


@dataclass
class _Sums:
    """Sums over pixels and images of a feature, and of what its pair changes, by channels."""

    grid: Grid
    origin: Array = None
    totals: Array = field(default_factory=lambda: np.zeros(1))
    """Of features, their squares, changes and their squares, (4, C)."""
    count: int = 0

    def add(self, x: Array) -> None:
        """Add a feature (N, C, H, W) or (N, C)."""
        change = self._round(x)
        if self.grid.zero.min() == np.iinfo(self.grid.zero.dtype).min:
            x, change = np.maximum(x, 0), self._round(np.maximum(x, 0))
        axes = (0, *range(2, x.ndim))
        if self.origin is None:
            self.origin = x.mean(axis=axes, keepdims=True)
        x = x - self.origin
        parts = [each.sum(axis=axes) for each in (x, x * x, change, change * change)]
        self.totals = self.totals + np.stack(parts)
        self.count += x.size // x.shape[1]

    def _round(self, x: Array) -> Array:
        """What rounding and clipping add to a feature."""
        grid, limits = self.grid, np.iinfo(self.grid.zero.dtype)
        spread = [1] * x.ndim
        spread[grid.axis] = grid.scale.size
        scale = grid.scale.astype(np.float64).reshape(spread)
        zero = grid.zero.astype(np.float64).reshape(spread)
        with np.errstate(over="ignore", invalid="ignore"):
            whole = np.clip(np.rint(x / scale) + zero, limits.min, limits.max)
            return (whole - zero) * scale - x

    def share_lost(self) -> float:
        """Return the largest share of what varies that a scale loses, NaN where nothing varies."""
        x, squares, change, changes = self.totals
        varies = np.maximum(squares - x * x / self.count, 0)
        lost = np.maximum(changes - change * change / self.count, 0)
        if not np.isfinite(varies).all() or not np.isfinite(lost).all():
            return 1.0
        if varies.sum() <= FLOAT32 * self.count * np.square(self.origin).sum():
            return np.nan
        if self.grid.scale.size == 1 or self.grid.axis != 1:
            return float(lost.sum() / varies.sum())
        judged = varies > RARE**2 * varies.mean()
        return float((lost[judged] / varies[judged]).max())
