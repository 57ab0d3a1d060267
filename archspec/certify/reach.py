"""Which sources each channel of a value depends on, and how operators carry that on.

Channels that a convolution reads depend on one source each, and a layer may read thousands of them from hundreds of
sources: so channels are rows of a table, and alike ones share a row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from typing_extensions import Self

from archspec.graph.ir import Op

Array = Any


@dataclass(frozen=True, slots=True)
class Reach:
    """Channel c depends on the sources of `rows[at[c]]`; row 0 is that of no source."""

    rows: Array
    """Booleans, (rows, sources)."""
    at: Array
    """Numbers of rows, one for each channel."""

    @classmethod
    def of(cls, table: Array) -> Self:
        """Return channels that depend on the sources that a table (channels, sources) says."""
        return cls(np.vstack([np.zeros_like(table[:1]), table]), np.arange(1, len(table) + 1))

    @property
    def sources(self) -> Array:
        """Which sources some channel depends on."""
        there = np.zeros(len(self.rows), bool)
        there[self.at] = True
        return self.rows[there].any(axis=0)

    @property
    def live(self) -> Array:
        """Which channels depend on a source."""
        return self.rows.any(axis=1)[self.at]

    @property
    def table(self) -> Array:
        """Booleans, (channels, sources)."""
        return self.rows[self.at]

    def where(self, passes: Array) -> Reach:
        """Return the channels, those that do not pass without a source."""
        return Reach(self.rows, np.where(passes, self.at, 0))


def joined(parts: Sequence[Reach]) -> Reach:
    """Return the channels of several values, one after another."""
    tables = {id(part.rows): part.rows for part in parts}
    offsets = dict(zip(tables, np.cumsum([0, *map(len, tables.values())]), strict=False))
    at = np.concatenate([part.at + offsets[id(part.rows)] for part in parts])
    return Reach(parts[0].rows if len(tables) == 1 else np.vstack(list(tables.values())), at)


def added(parts: Sequence[Reach]) -> Reach:
    """Return channels that depend on all that the values' channels of the same place depend on."""
    return Reach.of(np.logical_or.reduce([part.table for part in parts]))


def filtered(x: Reach, filters: Array, groups: int = 1) -> Reach:
    """Return channels that depend on what the filters (outputs, inputs / groups) read of a group each."""
    if groups == 1:
        return Reach.of(_read(x, filters))
    inputs, outputs = len(x.at) // groups, len(filters) // groups
    if inputs == 1:
        return Reach(x.rows, np.where(filters[:, 0], np.repeat(x.at, outputs), 0))
    pieces = (
        _read(Reach(x.rows, x.at[group * inputs :][:inputs]), filters[group * outputs :][:outputs])
        for group in range(groups)
    )
    return Reach.of(np.vstack(list(pieces)))


def _read(x: Reach, filters: Array) -> Array:
    order = np.argsort(x.at, kind="stable")
    rows, starts = np.unique(x.at[order], return_index=True)
    reads = np.logical_or.reduceat(filters[:, order], starts, axis=1)
    return (reads.astype(np.float32) @ x.rows[rows].astype(np.float32)) > 0


def _mixed(op: Op, x: Reach) -> Reach:
    """A norm over several channels: each of them depends on all."""
    groups = op.attrs.get("groups", 1)
    if groups == len(x.at):
        return x
    size = len(x.at) // groups
    return filtered(x, np.ones((len(x.at), size), bool), groups)


def _slice(op: Op, x: Reach) -> Reach:
    return Reach(x.rows, x.at[op.attrs["start"] : op.attrs["stop"]])


def _shuffle(op: Op, x: Reach) -> Reach:
    return Reach(x.rows, x.at.reshape(op.attrs["groups"], -1).T.reshape(-1))


def _same(op: Op, x: Reach) -> Reach:
    return x


CARRIED: Mapping[str, Callable[[Op, Reach], Reach]] = {
    **dict.fromkeys(("relu", "relu6", "silu", "gelu", "hard_swish", "leaky_relu", "prelu"), _same),
    **dict.fromkeys(("sigmoid", "hard_sigmoid", "dropout", "output"), _same),
    **dict.fromkeys(
        ("max_pool", "avg_pool", "blur_pool", "global_avg_pool", "upsample", "crop"), _same
    ),
    "batch_norm": _same,
    **dict.fromkeys(("layer_norm", "group_norm"), _mixed),
    "slice": _slice,
    "shuffle": _shuffle,
}
"""What becomes of the channels of one value where all weights pass them."""

FILTERS = ("conv", "conv_transpose", "dense")
"""Kinds that make channels by weights."""

JOINS: Mapping[str, Callable[[Sequence[Reach]], Reach]] = {
    "concat": joined,
    "add": added,
    "multiply": added,
}
"""Kinds that read several values: a product depends on each of its factors."""
