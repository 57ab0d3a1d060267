"""Which function reads a node: what a format writes in several nodes, then those of the rows, and
behind them what the format has of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

from archspec.readers.trace import UNKNOWN, Unsupported

Read = Callable[[Any], Any]


def collect_readings(
    rows: Iterable[Mapping[str, Read]],
    own: Mapping[str, Read],
    in_several: Mapping[str, Read] = MappingProxyType({}),
) -> Mapping[str, Read]:
    """Return what reads each kind of node.

    `in_several` reads nodes that are one of several which an operator is written in. Else of the
    rows that name a node, the first whose reading gives something has it; then the format's own.
    """
    found: dict[str, list[Read]] = {kind: [read] for kind, read in in_several.items()}
    for row in rows:
        for kind, read in row.items():
            found.setdefault(kind, []).append(read)
    several = {
        kind: partial(_read_first, [*reads, own.get(kind, _refuse)])
        for kind, reads in found.items()
    }
    return {**own, **several}


def _read_first(reads: Sequence[Read], call: Any) -> Any:
    """What the first gives that gives something; or the last, be it nothing."""
    *others, last = reads
    for read in others:
        made = read(call)
        if made is not None:
            return made
    return last(call)


def _refuse(call: Any) -> Any:
    raise Unsupported(UNKNOWN)
