"""Which sources each channel of a value depends on, and how operators carry that on.

Channels that a convolution reads depend on one source each, and a layer may read thousands of them
from hundreds of sources: so channels are rows of a table, and alike ones share a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from typing_extensions import Self

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

    def sliced(self, start: int, stop: int) -> Reach:
        """Return some of the channels."""
        return Reach(self.rows, self.at[start:stop])

    def shuffled(self, groups: int) -> Reach:
        """Return the channels of all groups interleaved."""
        return Reach(self.rows, self.at.reshape(groups, -1).T.reshape(-1))

    def unite(self, size: int) -> Reach:
        """Return a channel for each `size` in a row, which depends on all of them."""
        groups = len(self.at) // size
        return apply_filters(self, np.ones((groups, size), bool), groups)

    def repeated(self, times: int) -> Reach:
        """Return so many channels of each, one after another."""
        return Reach(self.rows, np.repeat(self.at, times))

    def mixed(self, groups: int) -> Reach:
        """Return channels each of which depends on all of its group."""
        if groups == len(self.at):
            return self
        size = len(self.at) // groups
        return apply_filters(self, np.ones((len(self.at), size), bool), groups)

    def beside(self, others: Sequence[Reach]) -> Reach:
        """Return the channels of several values, one after another."""
        parts = [self, *others]
        tables = {id(part.rows): part.rows for part in parts}
        offsets = dict(zip(tables, np.cumsum([0, *map(len, tables.values())]), strict=False))
        at = np.concatenate([part.at + offsets[id(part.rows)] for part in parts])
        return Reach(self.rows if len(tables) == 1 else np.vstack(list(tables.values())), at)

    def with_all_of(self, others: Sequence[Reach]) -> Reach:
        """Return channels that depend on all that the values' channels
        of the same place depend on.
        """
        return Reach.of(np.logical_or.reduce([self.table, *(part.table for part in others)]))

    def where(self, passes: Array) -> Reach:
        """Return the channels, those that do not pass without a source."""
        return Reach(self.rows, np.where(passes, self.at, 0))


def apply_filters(x: Reach, filters: Array, groups: int = 1) -> Reach:
    """Return channels that depend on what the filters (outputs, inputs / groups)
    read of a group each.
    """
    if groups == 1:
        return Reach.of(_read_filters(x, filters))
    inputs, outputs = len(x.at) // groups, len(filters) // groups
    if inputs == 1:
        return Reach(x.rows, np.where(filters[:, 0], np.repeat(x.at, outputs), 0))
    pieces = (
        _read_filters(
            Reach(x.rows, x.at[group * inputs :][:inputs]), filters[group * outputs :][:outputs]
        )
        for group in range(groups)
    )
    return Reach.of(np.vstack(list(pieces)))


def _read_filters(x: Reach, filters: Array) -> Array:
    order = np.argsort(x.at, kind="stable")
    rows, starts = np.unique(x.at[order], return_index=True)
    reads = np.logical_or.reduceat(filters[:, order], starts, axis=1)
    return (reads.astype(np.float32) @ x.rows[rows].astype(np.float32)) > 0
