"""Pairs of chains cut to the parts of the spec: a layer, an aggregation, a transition is a piece of its own.

Where a value has one reader, two parts are one chain. A connection that is lost makes one chain of two, one too
many makes two of one; cut to parts, both graphs have the same pieces again, and the difference is the connection.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from archspec.compare.chains import Chain, Pair
from archspec.compare.concat_sources import COMMUTATIVE


def cut(pairs: Iterable[Pair]) -> tuple[Pair, ...]:
    """Return pairs of pieces, in the same order."""
    return tuple(pair for alike, run in groupby(pairs, _alike) for pair in _cut(list(run), alike))


def _alike(pair: Pair) -> bool:
    expected, found = pair
    return expected is not None and found is not None and expected.classes == found.classes


def _cut(run: Sequence[Pair], alike: bool) -> Iterator[Pair]:
    recut = [] if alike else _recut(run)
    if recut:
        yield from recut
        return
    for expected, found in run:
        if expected is None or found is None or len(expected.ops) != len(found.ops):
            yield expected, found
            continue
        pieces = _parts(expected)
        yield from zip(pieces, _pieces(found, [len(piece.ops) for piece in pieces]), strict=True)


def _recut(run: Sequence[Pair]) -> list[Pair]:
    """Pairs anew, where what the file has is a part after the other as the spec has them; else nothing."""
    parts = [part for expected, _ in run if expected is not None for part in _parts(expected)]
    left = [found for _, found in run if found is not None]
    pairs = list[Pair]()
    for part in parts:
        size = len(part.ops)
        if left and _key(left[0])[:1] != _key(part)[:1] and left[0].ops[0].kind in COMMUTATIVE:
            surplus, *left[:1] = _pieces(left[0], [1, len(left[0].ops) - 1])
            pairs.append((None, surplus))
        if left and _key(left[0])[:size] == _key(part):
            found, *rest = _pieces(left[0], [size, len(left[0].ops) - size])
            left[:1] = rest
            pairs.append((part, found))
        else:
            pairs.append((part, None))
    return [] if left else pairs


def _key(chain: Chain) -> list[tuple[str, object]]:
    """Slices of a value are told apart by their bounds alone."""
    return [
        (kind, (op.attrs["start"], op.attrs["stop"]) if kind == "slice" else ())
        for kind, op in zip(chain.classes, chain.ops, strict=True)
    ]


def _parts(chain: Chain) -> list[Chain]:
    return _pieces(
        chain, [len(list(ops)) for _, ops in groupby(chain.ops, key=lambda op: op.region)]
    )


def _pieces(chain: Chain, sizes: Sequence[int]) -> list[Chain]:
    """A chain in pieces of so many operators, each of which reads the one before."""
    pieces, at = list[Chain](), 0
    for size in filter(None, sizes):
        before = pieces[-1] if pieces else None
        piece = replace(chain, ops=chain.ops[at : at + size])
        pieces.append(
            replace(piece, reads=(before.output,), through=(), joined="") if before else piece
        )
        at += size
    return pieces
