"""Which function reads a node: those of the rows, and behind them what a format has of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from archspec.readers.trace import UNKNOWN, Unsupported

Read = Callable[[Any], Any]


def collect_readings(
    rows: Iterable[Mapping[str, Read]], own: Mapping[str, Read]
) -> Mapping[str, Read]:
    """Return what reads each kind of node.

    Of several rows that name it, the first whose reading gives something has the node; then the
    format's own has it.
    """
    found: dict[str, list[Read]] = {}
    for row in rows:
        for kind, read in row.items():
            found.setdefault(kind, []).append(read)
    of_rows = {
        kind: partial(_read_first, [*reads, own.get(kind, _refuse)])
        for kind, reads in found.items()
    }
    return {**own, **of_rows}


def _read_first(reads: Sequence[Read], call: Any) -> Any:
    """What a row or, behind them, the last reading gives, be it nothing."""
    *of_rows, last = reads
    for read in of_rows:
        made = read(call)
        if made is not None:
            return made
    return last(call)


def _refuse(call: Any) -> Any:
    raise Unsupported(UNKNOWN)
