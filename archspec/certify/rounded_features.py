"""How much of what varies in its features does a quantised ONNX lose by rounding and clipping, on
random images?
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, NamedTuple

import numpy as np

from archspec.certify.probe import SEED, open_session, refusals_as_not_extractable
from archspec.certify.subgraph import FLOAT, NotExtractable, SubgraphExtractor, fix_shape
from archspec.compare.match import Match
from archspec.readers.onnx.read import OnnxReading
from archspec.readers.tensors import Values
from archspec.readers.trace import Grid
from archspec.runtime import import_onnx_runtime

MOST_LOST = 0.75
"""Of what varies in a feature, as a share of its variance. A good pair of 8 bits loses thousandths;
one whose scale is a hundred times too large or too small, more than this."""
CONTRASTS = (1.0, 0.1, 10.0)
"""Standard deviations of random images, one after another until all features are passed."""
PATCHES = 4
MOST_HELD = 2**26
"""Values of features that are in memory at once; densenet121 has fewer at 224 pixels."""
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


class Pair(NamedTuple):
    """A tensor of the file, and what it is rounded to; several may round one."""

    tensor: str
    grid: Grid


def find_pairs(reading: OnnxReading) -> list[Pair]:
    """Return those that lead to an output, in running order."""
    makers = {output: node for node in reading.model.nodes for output in node.outputs}
    seen, waiting = set[str](), [*reading.model.outputs]
    while waiting:
        name = waiting.pop()
        if name in makers and name not in seen:
            waiting.extend(makers[name].inputs)
        seen.add(name)
    used = [node for node in reading.model.nodes if {*node.outputs} & reading.grids.keys() & seen]
    return [Pair(node.inputs[0], reading.grids[node.outputs[0]]) for node in used]


def measure_pairs(
    match: Match, reading: OnnxReading, values: Values, pairs: Sequence[Pair]
) -> tuple[TriedFeature, ...]:
    """Return what is lost of each feature that is rounded.

    Raises:
        EnvironmentFault: E009, onnxruntime is not installed.
        NotExtractable: it does not run.
    """
    run = _Run(reading, values, pairs)
    found = dict.fromkeys(range(len(pairs)), np.nan)
    left = [*found]
    for contrast in CONTRASTS:
        lost = run.measure([pairs[number] for number in left], contrast)
        for number, share in zip(left, lost, strict=True):
            found[number] = float(np.fmin(share, found[number]))
        left = [number for number, share in found.items() if not share <= MOST_LOST]
        if not left:
            break
    names = _name_makers(match)
    makers = [pair.grid.op for pair in pairs]
    return tuple(TriedFeature(names.get(makers[at], makers[at]), found[at]) for at in found)


class _Run:
    """What gives the features of random images."""

    def __init__(self, reading: OnnxReading, values: Values, pairs: Sequence[Pair]) -> None:
        runtime, self.reading = import_onnx_runtime(), reading
        ends = [*dict.fromkeys(pair.tensor for pair in pairs)]
        subgraph = SubgraphExtractor(reading, values).extract_values(set(), ends)
        ((self.name, image),) = subgraph.inputs.items()
        if subgraph.types.get(self.name, FLOAT) != FLOAT:
            raise NotExtractable("the images are of another type than float32")
        self.shape = fix_shape(image.shape)
        self.session = open_session(subgraph.model, runtime)
        self.random = np.random.default_rng(SEED)

    def measure(self, pairs: Sequence[Pair], contrast: float) -> list[float]:
        """Return the share that each pair loses."""
        sums = [_Sums(pair.grid) for pair in pairs]
        groups = list(self._split_by_size(pairs))
        for images in _draw_images(self.shape, self.random):
            given = {self.name: (contrast * images).astype(np.float32)}
            for tensors in groups:
                features = self._compute(tensors, given)
                _add_features(sums, pairs, features)
        return [each.share_lost() for each in sums]

    def _compute(self, tensors: Sequence[str], given: Mapping[str, Array]) -> dict[str, Array]:
        with refusals_as_not_extractable():
            made = self.session.run(tensors, given)
        return dict(zip(tensors, made, strict=True))

    def _split_by_size(self, pairs: Sequence[Pair]) -> Iterator[list[str]]:
        """Tensors that are held at once."""
        group, held = list[str](), 0
        shapes = {pair.tensor: pair.grid.shape for pair in pairs}
        for tensor, shape in shapes.items():
            size = prod(fix_shape(shape))
            if group and held + size > MOST_HELD:
                yield group
                group, held = [], 0
            group.append(tensor)
            held += size
        yield group


def _add_features(
    sums: Sequence[_Sums], pairs: Sequence[Pair], features: Mapping[str, Array]
) -> None:
    for each, pair in zip(sums, pairs, strict=True):
        if pair.tensor in features:
            each.add(features[pair.tensor].astype(np.float64))


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
        """Add a feature (N, C, H, W) or (N, C), or one with channels that stand elsewhere."""
        x = np.moveaxis(x, -1, 1) if self.grid.is_last else x
        change = self._round(x)
        if self.grid.zero.min() == np.iinfo(self.grid.zero.dtype).min:
            x, change = np.maximum(x, 0), self._round(np.maximum(x, 0))
        axes = (0, *range(2, x.ndim))
        with np.errstate(all="ignore"):
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
        with np.errstate(all="ignore"):  # of what has overflowed
            whole = np.clip(np.rint(x / scale) + zero, limits.min, limits.max)
            return (whole - zero) * scale - x

    def share_lost(self) -> float:
        """Return the largest share of what varies that a scale loses, NaN where nothing varies."""
        x, squares, change, changes = self.totals
        with np.errstate(all="ignore"):
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
