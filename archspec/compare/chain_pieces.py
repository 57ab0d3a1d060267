"""Pairs of chains cut to the parts of the spec:
a layer, an aggregation, a transition is a piece of its own.

Where a value has one reader, two parts are one chain. A connection that is lost makes one chain of
two, one too many makes two of one; cut to parts, both graphs have the same pieces again, and the
difference is the connection.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from archspec.compare.chains import Chain, Pair
from archspec.operators.table import COMBINING


def cut_pairs(pairs: Iterable[Pair]) -> tuple[Pair, ...]:
    """Return pairs of pieces, in the same order."""
    cut: list[Pair] = []
    # Pairs that differ one behind the other are cut together: a part that the one has may stand in
    # the partner of the next.
    for alike, run in groupby(pairs, _are_alike):
        cut.extend(_cut_run(list(run), alike))
    return tuple(cut)


def _are_alike(pair: Pair) -> bool:
    expected, found = pair
    return expected is not None and found is not None and expected.classes == found.classes


def _cut_run(run: Sequence[Pair], alike: bool) -> Iterator[Pair]:
    recut = [] if alike else _pair_parts_anew(run)
    if recut:
        yield from recut
        return
    for expected, found in run:
        # Of chains that differ in length nothing tells where a part of the file's ends.
        if expected is None or found is None or len(expected.ops) != len(found.ops):
            yield expected, found
            continue
        pieces = _split_by_region(expected)
        yield from zip(
            pieces, _split_by_sizes(found, [len(piece.ops) for piece in pieces]), strict=True
        )


def _pair_parts_anew(run: Sequence[Pair]) -> list[Pair]:
    """Pairs anew, where what the file has is a part after the other
    as the spec has them; else nothing.
    """
    parts: list[Chain] = []
    for expected, _ in run:
        if expected is not None:
            parts.extend(_split_by_region(expected))
    left = [found for _, found in run if found is not None]
    pairs = list[Pair]()
    for part in parts:
        size = len(part.ops)
        # A sum that the spec does not have, such as a shortcut's, would hide that all behind it is
        # the spec's.
        if (
            left
            and _key_of_ops(left[0])[:1] != _key_of_ops(part)[:1]
            and left[0].ops[0].kind in COMBINING
        ):
            surplus, *left[:1] = _split_by_sizes(left[0], [1, len(left[0].ops) - 1])
            pairs.append((None, surplus))
        if left and _key_of_ops(left[0])[:size] == _key_of_ops(part):
            found, *rest = _split_by_sizes(left[0], [size, len(left[0].ops) - size])
            left[:1] = rest
            pairs.append((part, found))
        else:
            pairs.append((part, None))
    # What no part took is something else than the spec's parts: then the pairs stay as they were.
    return [] if left else pairs


def _key_of_ops(chain: Chain) -> list[tuple[str, object]]:
    """Slices of a value are told apart by their bounds alone."""
    keys: list[tuple[str, object]] = []
    for kind, op in zip(chain.classes, chain.ops, strict=True):
        bounds = (op.attrs["start"], op.attrs["stop"]) if kind == "slice" else ()
        keys.append((kind, bounds))
    return keys


def _split_by_region(chain: Chain) -> list[Chain]:
    return _split_by_sizes(
        chain, [len(list(ops)) for _, ops in groupby(chain.ops, key=lambda op: op.region)]
    )


def _split_by_sizes(chain: Chain, sizes: Sequence[int]) -> list[Chain]:
    """A chain in pieces of so many operators, each of which reads the one before."""
    pieces, at = list[Chain](), 0
    for size in filter(None, sizes):
        before = pieces[-1] if pieces else None
        piece = replace(chain, ops=chain.ops[at : at + size])
        # The first piece alone reads the join, so that it alone is blamed for what that lacks.
        pieces.append(
            replace(piece, reads=(before.output,), direct_reads=(), join_region="")
            if before
            else piece
        )
        at += size
    return pieces
