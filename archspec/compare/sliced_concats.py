"""Slices of what is joined, written as joins of the parts themselves,
so that each connection shows.

concat(u, a, b)[8:24]                 is concat(a, b) where u has 8 channels, and a and b 8 each
concat(x[:4], x[4:])                  is x where x has no more channels
x[2:][:2]                             is x[2:4]
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from archspec.compare.concat_sources import MAX_JOINED, flatten
from archspec.compare.row_facts import count_channels, is_idle
from archspec.compare.simplify import keep_leading_to
from archspec.errors import ModelFileError
from archspec.graph.ir import Graph, Op


@dataclass(frozen=True, slots=True)
class ChannelRange:
    """Channels of a value that is neither a slice nor a concatenation."""

    value: str
    start: int
    stop: int
    slice: str = ""
    """The operator that gives just these, if there is one."""


def resolve_slices_as_in(spec: Graph, found: Graph) -> Graph:
    """Return a file's graph with its slices as joins of parts,
    if the spec's own slices cannot be written so.

    A spec that slices what is joined, or joins slices, says more than which values are read: there
    the file is left as it is.

    Raises:
        ModelFileError: R009, its concatenations join more values than any spec may.
    """
    other = resolve_slices(spec)
    is_said = other is not spec and flatten(other).ops != flatten(spec).ops
    return found if is_said else resolve_slices(found)


def resolve_slices(graph: Graph) -> Graph:
    """Return the graph with slices of single values alone,
    none of which could be put together again.

    Raises:
        ModelFileError: R009, its concatenations join more values than any spec may.
    """
    if not any(op.kind == "slice" for op in graph.ops.values()):
        return graph
    return _SliceResolver(graph).resolve()


def without_unread(graph: Graph) -> Graph:
    """Return a spec's graph without what its slices cut off everywhere, and without the layers and
    other parts that this leaves empty.

    Raises:
        ModelFileError: R009, its concatenations join more values than any spec may.
    """
    resolved = resolve_slices(graph)
    if resolved is graph or resolved.ops == graph.ops:
        return graph
    full = {op.region for op in resolved.ops.values()}
    regions = dict(graph.regions)
    # A block has its layers' operators in regions of their own.
    for region in graph.regions.values():
        if region.kind != "dense_block" and region.name not in full:
            del regions[region.name]
    return replace(resolved, regions=regions)


class _SliceResolver:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.ops: dict[str, Op] = {}
        self.channels: dict[str, int] = {}
        self.pieces: dict[str, tuple[ChannelRange, ...]] = {}
        self.total = 0

    def resolve(self) -> Graph:
        for op in self.graph.ops.values():
            self.channels[op.name] = count_channels(op, self.channels)
            if op.kind in ("slice", "concat"):
                self.count_parts(op)
                self.add_op(op, tuple(_merge_adjacent(self.list_parts(op))))
                continue
            self.ops[op.name] = op
            self.pieces[op.name] = self.given(op)
        return replace(self.graph, ops=keep_leading_to(self.graph.outputs, self.ops))

    def given(self, op: Op) -> tuple[ChannelRange, ...]:
        """What an operator gives: a value of its own,
        or where it is idle (a dropout) what it reads.
        """
        if op.inputs and is_idle(op, self.channels[op.inputs[0]]):
            return self.pieces[op.inputs[0]]
        return (ChannelRange(op.name, 0, self.channels[op.name]),)

    def count_parts(self, op: Op) -> None:
        # As with joins of joins, a small file could name more pieces than memory holds.
        self.total += sum(len(self.pieces[source]) for source in op.inputs)
        if self.total > MAX_JOINED:
            message = f"joins more than {MAX_JOINED:,} values in all"
            raise ModelFileError.one("R009", message, self.graph.name)

    def list_parts(self, op: Op) -> Iterator[ChannelRange]:
        """What a concatenation or a slice gives, value by value."""
        if op.kind == "concat":
            for source in op.inputs:
                yield from self.pieces[source]
            return
        at, start, stop = 0, op.attrs["start"], op.attrs["stop"]
        for piece in self.pieces[op.inputs[0]]:
            size = piece.stop - piece.start
            first, last = max(start - at, 0), min(stop - at, size)
            if (first, last) == (0, size):
                yield piece
            elif first < last:
                yield ChannelRange(piece.value, piece.start + first, piece.start + last)
            at += size

    def add_op(self, op: Op, pieces: tuple[ChannelRange, ...]) -> None:
        """Add an operator that gives these pieces, under the name of the one that gave them."""
        if len(pieces) == 1 and not self.is_whole(pieces[0]):
            # It is its own piece from here on: who joins it reads it by its name.
            pieces = (replace(pieces[0], slice=op.name),)
            self.ops[op.name] = _make_slice(op, pieces[0])
        else:
            pieces = tuple(self.ensure_slice(op, piece) for piece in pieces)
            inputs = tuple(piece.slice or piece.value for piece in pieces)
            self.ops[op.name] = replace(op, kind="concat", inputs=inputs, attrs={})
        self.pieces[op.name] = pieces

    def ensure_slice(self, op: Op, piece: ChannelRange) -> ChannelRange:
        """Return a piece, the operator that gives it made where there is none."""
        if piece.slice or self.is_whole(piece):
            return piece
        name = f"channels {piece.start} to {piece.stop} of {piece.value}, for {op.name}"
        made = replace(piece, slice=name)
        self.ops[name] = replace(_make_slice(op, made), name=name)
        return made

    def is_whole(self, piece: ChannelRange) -> bool:
        return piece.stop - piece.start == self.channels[piece.value]


def _make_slice(op: Op, piece: ChannelRange) -> Op:
    bounds = {"start": piece.start, "stop": piece.stop}
    return replace(op, kind="slice", inputs=(piece.value,), attrs=bounds)


def _merge_adjacent(pieces: Iterable[ChannelRange]) -> Iterator[ChannelRange]:
    """Pieces, those that follow one another in one value as one."""
    last: ChannelRange | None = None
    for piece in pieces:
        if last is not None and last.value == piece.value and last.stop == piece.start:
            last = ChannelRange(last.value, last.start, piece.stop)
            continue
        if last is not None:
            yield last
        last = piece
    if last is not None:
        yield last
