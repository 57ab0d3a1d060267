"""Slices of what is joined, written as joins of the parts themselves, so that each connection shows.

concat(u, a, b)[8:24]                 is concat(a, b) where u has 8 channels, and a and b 8 each
concat(x[:4], x[4:])                  is x where x has no more channels
x[2:][:2]                             is x[2:4]
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from archspec.compare.concat_sources import MAX_JOINED, flat
from archspec.compare.simplify import channels_of, is_idle, leading_to
from archspec.errors import ModelFileError
from archspec.graph.ir import Graph, Op


@dataclass(frozen=True, slots=True)
class Piece:
    """Channels of a value that is neither a slice nor a concatenation."""

    value: str
    start: int
    stop: int
    slice: str = ""
    """The operator that gives just these, if there is one."""


def sliced_alike(spec: Graph, found: Graph) -> Graph:
    """Return a file's graph with its slices as joins of parts, if the spec's own slices cannot be written so.

    A spec that slices what is joined, or joins slices, says more than which values are read: there the file is
    left as it is.

    Raises:
        ModelFileError: R009, its concatenations join more values than any spec may.
    """
    other = unsliced(spec)
    is_said = other is not spec and flat(other).ops != flat(spec).ops
    return found if is_said else unsliced(found)


def unsliced(graph: Graph) -> Graph:
    """Return the graph with slices of single values alone, none of which could be put together again.

    Raises:
        ModelFileError: R009, its concatenations join more values than any spec may.
    """
    if not any(op.kind == "slice" for op in graph.ops.values()):
        return graph
    return _Unslicing(graph).run()


class _Unslicing:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.ops: dict[str, Op] = {}
        self.channels: dict[str, int] = {}
        self.pieces: dict[str, tuple[Piece, ...]] = {}
        self.total = 0

    def run(self) -> Graph:
        for op in self.graph.ops.values():
            self.channels[op.name] = channels_of(op, self.channels)
            if op.kind in ("slice", "concat"):
                self.count(op)
                self.put(op, tuple(_together(self.parts(op))))
                continue
            self.ops[op.name] = op
            self.pieces[op.name] = self.given(op)
        return replace(self.graph, ops=leading_to(self.graph.outputs, self.ops))

    def given(self, op: Op) -> tuple[Piece, ...]:
        """What an operator gives: a value of its own, or where it is idle (a dropout) what it reads."""
        if op.inputs and is_idle(op, self.channels[op.inputs[0]]):
            return self.pieces[op.inputs[0]]
        return (Piece(op.name, 0, self.channels[op.name]),)

    def count(self, op: Op) -> None:
        self.total += sum(len(self.pieces[source]) for source in op.inputs)
        if self.total > MAX_JOINED:
            message = f"joins more than {MAX_JOINED:,} values in all"
            raise ModelFileError.one("R009", message, self.graph.name)

    def parts(self, op: Op) -> Iterator[Piece]:
        """What a concatenation or a slice gives, value by value."""
        if op.kind == "concat":
            yield from (piece for source in op.inputs for piece in self.pieces[source])
            return
        at, start, stop = 0, op.attrs["start"], op.attrs["stop"]
        for piece in self.pieces[op.inputs[0]]:
            size = piece.stop - piece.start
            first, last = max(start - at, 0), min(stop - at, size)
            if (first, last) == (0, size):
                yield piece
            elif first < last:
                yield Piece(piece.value, piece.start + first, piece.start + last)
            at += size

    def put(self, op: Op, pieces: tuple[Piece, ...]) -> None:
        """Add an operator that gives these pieces, under the name of the one that gave them."""
        if len(pieces) == 1 and not self.is_whole(pieces[0]):
            pieces = (replace(pieces[0], slice=op.name),)
            self.ops[op.name] = _slice(op, pieces[0])
        else:
            pieces = tuple(self.sliced(op, piece) for piece in pieces)
            inputs = tuple(piece.slice or piece.value for piece in pieces)
            self.ops[op.name] = replace(op, kind="concat", inputs=inputs, attrs={})
        self.pieces[op.name] = pieces

    def sliced(self, op: Op, piece: Piece) -> Piece:
        """Return a piece, the operator that gives it made where there is none."""
        if piece.slice or self.is_whole(piece):
            return piece
        name = f"channels {piece.start} to {piece.stop} of {piece.value}, for {op.name}"
        made = replace(piece, slice=name)
        self.ops[name] = replace(_slice(op, made), name=name)
        return made

    def is_whole(self, piece: Piece) -> bool:
        return piece.stop - piece.start == self.channels[piece.value]


def _slice(op: Op, piece: Piece) -> Op:
    bounds = {"start": piece.start, "stop": piece.stop}
    return replace(op, kind="slice", inputs=(piece.value,), attrs=bounds)


def _together(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Pieces, those that follow one another in one value as one."""
    last: Piece | None = None
    for piece in pieces:
        if last is not None and last.value == piece.value and last.stop == piece.start:
            last = Piece(last.value, last.start, piece.stop)
            continue
        if last is not None:
            yield last
        last = piece
    if last is not None:
        yield last
