"""A spec and a file, each as the other may have it where an optimiser wrote the file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from archspec.compare.merged_operators import Parted, part_merged
from archspec.compare.optimized import list_forms
from archspec.errors import format_count, name_first
from archspec.graph.ir import Graph
from archspec.operators.table import OPERATORS
from archspec.readers.reading import Reading


class Side(NamedTuple):
    """What is compared."""

    graph: Graph
    """The spec's."""
    reading: Reading
    """The file's."""
    notes: tuple[str, ...] = ()
    """What is not as the spec and the file have it."""
    copies: frozenset[str] = frozenset()
    """Operators that were copied, which the file has once."""

    @property
    def copied(self) -> int:
        """How many parameters these have."""
        copies = [self.reading.graph.ops[name] for name in self.copies]
        return sum(OPERATORS[op.kind].params(op.attrs) for op in copies)

    @property
    def is_parted(self) -> bool:
        """Operators of the file were copied."""
        return bool(self.copied)


def list_sides(graph: Graph, reading: Reading) -> Iterator[Side]:
    """Yield a spec's graph and a file as they are; the same with a copy of each operator of the
    file for all that it stands for; and the spec without what its slices cut off, if they do.

    Raises:
        ModelFileError: R009, concatenations join more values than any spec may.
    """
    yield Side(graph, reading)
    for form in list_forms(graph):
        parted = part_merged(form, reading.graph)
        if form is graph and not parted.copies:
            continue  # as they are
        notes = (*_note_unread(graph, form), *_note_copies(parted))
        yield Side(form, _part(reading, parted), notes, frozenset(parted.copies))


def _part(reading: Reading, parted: Parted) -> Reading:
    """The reading of a graph with copies, whose weights are where those of their originals are."""
    if not parted.copies:
        return reading
    weights = {name: reading.weights[name] for name in parted.graph.ops if name in reading.weights}
    zeros = reading.zero_biases
    for copy, original in parted.copies.items():
        weights |= {copy: weights[original]} if original in weights else {}
        zeros = zeros and zeros | ({copy} if original in zeros else set())
    return replace(reading, graph=parted.graph, weights=weights, zero_biases=zeros)


def _note_unread(graph: Graph, form: Graph) -> Iterator[str]:
    gone = [name for name, op in graph.ops.items() if name not in form.ops and op.kind != "concat"]
    if gone:
        them = f"{format_count(len(gone), 'operator')} ({name_first(gone)})"
        yield f"compared without {them} that the spec's slices cut off everywhere"


def _note_copies(parted: Parted) -> Iterator[str]:
    originals = [*dict.fromkeys(parted.copies.values())]
    if originals:
        verb = "stand each" if originals[1:] else "stands"
        yield f"{name_first(originals)} {verb} for several of the spec's, which have equal weights"
