"""Does a connection carry features?

One whose weights or scales are all zero is there in form alone.

A connection is alive where some channel of the reader's output depends on the source, when the
source alone depends on the image. That is followed channel by channel through the reader's
operators: a convolution passes what a weight of it that is not zero reads, a norm what its scale is
not zero for, and all others pass what they read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from archspec.certify.file_parts import FilePart, find_parts
from archspec.certify.reach import Reach, apply_filters
from archspec.compare.chains import Chain
from archspec.compare.compare import MAX_LINES
from archspec.compare.match import Match
from archspec.compare.row_facts import has_statistics, standardizes_filters
from archspec.errors import Diagnostic, name_first
from archspec.graph.ir import Op
from archspec.operators.table import OPERATORS, attribute
from archspec.readers.reading import Reading
from archspec.readers.tensors import OperatorWeights, Values, values_of

Array = Any


@dataclass(frozen=True, slots=True)
class DeadConnection:
    """A connection that carries nothing; without a source, what gives the same for every image."""

    reader: str
    source: str
    operator: str
    """Where it ends, as the spec calls it."""
    message: str


@dataclass(frozen=True, slots=True)
class Liveness:
    """What the weights of a file say of its connections."""

    parts: tuple[FilePart, ...]
    connections: int
    """How many there are, those of stem, transitions and head included;
    not what a slice of the spec cuts off."""
    live_channels: Mapping[str, Array]
    """Which channels of each value depend on the image."""
    carried_sources: Mapping[str, Array]
    """Which of a part's sources its output depends on, by the part's name."""
    dead_connections: tuple[DeadConnection, ...]
    nonfinite: tuple[str, ...]
    """Operators with weights that are no finite numbers."""
    bad_variances: tuple[str, ...]
    """Norms of which a variance and eps together are not above zero."""
    unreadable: tuple[str, ...]
    """Operators whose weights could not be had:
    what reads through them is taken for alive, and that is said."""

    @property
    def differences(self) -> tuple[Diagnostic, ...]:
        """What makes it another network than the spec's, in the user's words."""
        lines = list(self._list_bad_numbers())
        for dead in self.dead_connections[:MAX_LINES]:
            lines.append(Diagnostic("R109", dead.message, dead.operator))
        if len(self.dead_connections) > MAX_LINES:
            lines.append(Diagnostic("R105", f"more than {MAX_LINES:,} differences"))
        return tuple(lines)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was not looked at."""
        if not self.unreadable:
            return ()
        reason = "cannot be read: nobody looked whether they are zero"
        return (f"the weights of {name_first(self.unreadable)} {reason}",)

    def _list_bad_numbers(self) -> Iterator[Diagnostic]:
        for names, what in (
            (self.nonfinite, "weights that are not finite numbers"),
            (
                self.bad_variances,
                "a variance that with eps is not above zero: what it gives is no number",
            ),
        ):
            if names:
                verb = "have" if names[1:] else "has"
                yield Diagnostic("R110", f"{name_first(names)} {verb} {what}", names[0])


def check_liveness(match: Match, reading: Reading, path: Path) -> Liveness:
    """Return which connections of a file's network are alive; it must be equal to the spec's.

    Raises:
        ModelFileError: R005, R006, the file cannot be read any more.
    """
    # Walked twice, with the weights and as if none were zero: what the spec itself cuts off, by a
    # slice, is no connection that could be lost.
    with values_of(path) as values:
        walk = _LivenessWalk(match, reading, values, ignores_weights=False)
        form = _LivenessWalk(match, reading, values, ignores_weights=True)
        walk.run()
        form.run()
    carried, connections = dict[str, Array](), 0
    dead: list[DeadConnection] = []
    for part in walk.parts.in_order:
        there = form.find_carried(part)
        carried[part.name] = walk.find_carried(part)
        connections += int(there.sum())
        # One more than are listed, to know that there are more.
        dead.extend(islice(walk.find_dead(part, there), MAX_LINES + 1 - len(dead)))
    return Liveness(
        parts=walk.parts.in_order,
        connections=connections,
        live_channels=walk.live_channels,
        carried_sources=carried,
        dead_connections=tuple(dead),
        nonfinite=tuple(walk.nonfinite),
        bad_variances=tuple(walk.bad_variances),
        unreadable=tuple(walk.unreadable),
    )


@dataclass
class _LivenessWalk:
    match: Match
    reading: Reading
    values: Values
    ignores_weights: bool
    """Whether every weight is taken for one that is not zero:
    what is cut then, the spec itself cuts, by a slice."""
    live_channels: dict[str, Array] = field(default_factory=dict)
    reaches: dict[str, Reach] = field(default_factory=dict)
    """Which of its part's sources each channel of a value depends on."""
    tables: dict[str, Array] = field(default_factory=dict)
    last_ops: dict[str, dict[int, Op]] = field(default_factory=dict)
    """By the part's name and a source's number,
    the operator behind which nothing depends on the source."""
    zero: set[str] = field(default_factory=set)
    """Operators whose weights or scales are all zero."""
    nonfinite: dict[str, None] = field(default_factory=dict)
    bad_variances: dict[str, None] = field(default_factory=dict)
    unreadable: dict[str, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.parts = find_parts(self.match)
        self.folded, self.held = name_folded(self.match, self.reading)
        self.numbers: dict[tuple[str, str], int] = {}
        for part in self.parts.in_order:
            # From 1: row 0 of a table is that of no source.
            for number, values in enumerate(part.sources.values(), start=1):
                self.numbers |= {(part.name, value): number for value in values}

    def run(self) -> None:
        """Walk the network from its input: what a value depends on, its makers' inputs say."""
        for expected, found in self.match.complete_pairs:
            part = self.parts.by_value.get(found.output)
            if found.ops[0].kind == "input":
                self.live_channels[found.output] = np.ones(found.ops[0].attrs["shape"][0], bool)
            elif part is not None:
                reach = self._apply_chain(part, expected, found)
                self.reaches[found.output], self.live_channels[found.output] = reach, reach.live

    def _apply_chain(self, part: FilePart, expected: Chain, found: Chain) -> Reach:
        read = [self._read_value(part, value) for value in found.reads]
        for ours, theirs in zip(expected.ops, found.ops, strict=True):
            read = [self._apply_op(part, ours, theirs, read)]
        return read[0]

    def _read_value(self, part: FilePart, value: str) -> Reach:
        """A value of the part itself, or one from outside, whose channels depend on one source."""
        if value in self.parts.joins:
            first, *others = (self._read_value(part, each) for each in self.parts.joins[value])
            return first.beside(others)
        if self.parts.by_value.get(value) is part:
            return self.reaches[value]
        # Row 0 depends on no source, row i on source i alone.
        if part.name not in self.tables:
            self.tables[part.name] = np.eye(len(part.sources) + 1, len(part.sources), -1, bool)
        return Reach(
            self.tables[part.name],
            np.where(self.live_channels[value], self.numbers[part.name, value], 0),
        )

    def _apply_op(self, part: FilePart, ours: Op, op: Op, read: Sequence[Reach]) -> Reach:
        row = OPERATORS[op.kind]
        if row.arity != 1:
            made: Reach = row.reach(op.attrs, read)
            return made
        x = read[0].beside(read[1:])
        through = self._apply_filters if row.has_filters else self._apply_scale
        made = through(ours, op, x)
        if made is x:
            return made
        ends = self.last_ops.setdefault(part.name, {})
        for number in np.flatnonzero(x.sources & ~made.sources).tolist():
            # A source may end on several branches: the last one is told, so it moves to the end.
            ends.pop(number, None)
            ends[number] = ours
        return made

    def _apply_filters(self, ours: Op, op: Op, x: Reach) -> Reach:
        groups = attribute(op.kind, op.attrs, "groups") or 1  # what has none is one group
        known = self._read_weights(ours, op)
        filters = np.ones((op.attrs["out_channels"], len(x.at) // groups), bool)
        for values in known:
            if standardizes_filters(op):
                values = values - values.mean((1, 2, 3), keepdims=True)
            taps = (values != 0).reshape(*values.shape[:2], -1).any(axis=2)
            # Filters are stored as (outputs, inputs), some the other way round.
            filters = filters & (taps if OPERATORS[op.kind].axis_read else taps.T)
        self._note_zero(ours, filters)
        return apply_filters(x, filters, groups)

    def _apply_scale(self, ours: Op, op: Op, x: Reach) -> Reach:
        made: Reach = OPERATORS[op.kind].reach(op.attrs, [x])
        for values in self._read_weights(ours, op):
            passes = values.reshape(-1) != 0
            # Only a scale closes a channel: a PReLU of slope 0 passes what is positive.
            if OPERATORS[op.kind].is_cut_by_zeros and not passes.all():
                made = made.where(passes)
            self._note_zero(ours, passes)
        return made

    def _note_zero(self, ours: Op, passes: Array) -> None:
        if not passes.any():
            self.zero.add(ours.name)

    def _read_weights(self, ours: Op, op: Op) -> list[Array]:
        """The values of an operator's filters or scales that can be had;
        what is strange in them is noted.
        """
        if self.ignores_weights:
            return []
        name = self.folded.get(op.name, op.name)
        known = self.reading.weights.get(name, OperatorWeights())
        # The weights of a folded norm are its convolution's: a norm put back has none of its own.
        if name == op.name in self.held:
            known = OperatorWeights()
        scales = [self.values.of(source) for source in known.scales]
        others = [self.values.of(source) for source in known.others]
        is_missing = OPERATORS[op.kind].has_filters and not scales
        if is_missing or any(values is None for values in scales):
            self.unreadable[ours.name] = None
        readable = [values for values in (*scales, *others) if values is not None]
        if not all(np.isfinite(values).all() for values in readable):
            self.nonfinite[ours.name] = None
        if _has_bad_variance(self.values.of(known.variance), op.attrs.get("eps")):
            self.bad_variances[ours.name] = None
        return [values for values in scales if values is not None]

    def find_dead(self, part: FilePart, there: Array) -> Iterator[DeadConnection]:
        """Yield what of a part carries nothing, what has its reason elsewhere left out.

        `there` says which of its sources reach its output by form.
        """
        carried = self.find_carried(part)
        is_read = [self._is_live(values) for values in part.sources.values()]
        if any(is_read) and there.any() and not carried.any():
            yield self._explain_constant(part)
            return
        for number, (source, live) in enumerate(zip(part.sources, is_read, strict=True)):
            if live and there[number] and not carried[number]:
                end = self.last_ops[part.name][number]
                is_scale = OPERATORS[end.kind].is_cut_by_zeros
                words = "a scale that is" if is_scale else "weights that are"
                message = f"{part.title} reads {source} with {words} all zero"
                yield DeadConnection(part.title, source, end.name, message)

    def _is_live(self, values: Iterable[str]) -> bool:
        return any(self.live_channels[value].any() for value in values)

    def find_carried(self, part: FilePart) -> Array:
        """Return which of a part's sources its output depends on."""
        carried = np.zeros(len(part.sources), bool)
        for output in part.outputs:
            carried |= self.reaches[output].sources
        return carried

    def _explain_constant(self, part: FilePart) -> DeadConnection:
        """Said of the part, not of all that read it: where the last of its sources ends."""
        end = list(self.last_ops[part.name].values())[-1]
        is_scale = OPERATORS[end.kind].is_cut_by_zeros
        what = "scale of {} is" if is_scale else "weights of {} are"
        how = "all zero" if end.name in self.zero else "zero for all that depends on it"
        message = (
            f"{part.title} gives the same output for every image: the {what.format(end.name)} {how}"
        )
        return DeadConnection(part.title, "", end.name, message)


def name_folded(match: Match, reading: Reading) -> tuple[dict[str, str], set[str]]:
    """Return what the file calls each convolution that holds norms,
    and what these norms are called.

    The last norm has the name of the file's convolution that all of them are a part of.
    """
    ops, folded, convs = reading.graph.ops, dict[str, str](), dict[str, str]()
    for op in (op for _, found in match.complete_pairs for op in found.ops):
        is_of_file = op.name in ops and ops[op.name].kind == op.kind
        if has_statistics(op) and not is_of_file:
            # Norms in a row lead back to one convolution.
            convs[op.name] = convs.get(op.inputs[0], op.inputs[0])
            folded[convs[op.name]] = op.name
    return folded, {*convs}


def _has_bad_variance(variance: Array | None, eps: float | None) -> bool:
    """Say whether a norm divides by no positive number, in the precision of the file."""
    if variance is None or eps is None:
        return False
    return bool((variance + np.asarray(eps, variance.dtype) <= 0).any())
