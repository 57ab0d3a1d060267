"""Does a connection carry features? One whose weights or scales are all zero is there in form alone.

A connection is alive where some channel of the reader's output depends on the source, when the source alone depends
on the image. That is followed channel by channel through the reader's operators: a convolution passes what a weight
of it that is not zero reads, a norm what its scale is not zero for, and all others pass what they read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from archspec.certify.file_parts import Part, parts_of
from archspec.certify.reach import Reach, filtered
from archspec.compare.compare import MAX_LINES
from archspec.compare.match import Match
from archspec.errors import Diagnostic, first_of
from archspec.graph.ir import Op
from archspec.operators.table import OPERATORS
from archspec.readers.tensors import Reading, Values, Weights, values_of

Array = Any


@dataclass(frozen=True, slots=True)
class Dead:
    """A connection that carries nothing; without a source, what gives the same for every image."""

    reader: str
    source: str
    operator: str
    """Where it ends, as the spec calls it."""
    message: str


@dataclass(frozen=True, slots=True)
class Life:
    """What the weights of a file say of its connections."""

    parts: tuple[Part, ...]
    connections: int
    """How many there are, those of stem, transitions and head included; not what a slice of the spec cuts off."""
    live: Mapping[str, Array]
    """Which channels of each value depend on the image."""
    carried: Mapping[str, Array]
    """Which of a part's sources its output depends on, by the part's name."""
    dead: tuple[Dead, ...]
    broken: tuple[str, ...]
    """Operators with weights that are no finite numbers."""
    rootless: tuple[str, ...]
    """Norms of which a variance and eps together are not above zero."""
    unread: tuple[str, ...]
    """Operators whose weights could not be had: what reads through them is taken for alive, and that is said."""

    @property
    def differences(self) -> tuple[Diagnostic, ...]:
        """What makes it another network than the spec's, in the user's words."""
        lines = [
            *self._broken(),
            *(Diagnostic("R109", dead.message, dead.operator) for dead in self.dead[:MAX_LINES]),
        ]
        more = len(self.dead) > MAX_LINES
        return (
            (*lines, Diagnostic("R105", f"more than {MAX_LINES:,} differences"))
            if more
            else tuple(lines)
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What was not looked at."""
        if not self.unread:
            return ()
        return (
            f"the weights of {first_of(self.unread)} cannot be read: nobody looked whether they are zero",
        )

    def _broken(self) -> Iterator[Diagnostic]:
        for names, what in (
            (self.broken, "weights that are not finite numbers"),
            (
                self.rootless,
                "a variance that with eps is not above zero: what it gives is no number",
            ),
        ):
            if names:
                verb = "have" if names[1:] else "has"
                yield Diagnostic("R110", f"{first_of(names)} {verb} {what}", names[0])


def life_of(match: Match, reading: Reading, path: Path) -> Life:
    """Return which connections of a file's network are alive; it must be equal to the spec's.

    Raises:
        ModelFileError: R005, R006, the file cannot be read any more.
    """
    with values_of(path) as values:
        walk, form = (_Walk(match, reading, values, by_form) for by_form in (False, True))
        walk.run()
        form.run()
    parts = walk.parts.all
    there = {part.name: form.carried(part) for part in parts}
    lines = (line for part in parts for line in walk.dead(part, there[part.name]))
    dead = tuple(islice(lines, MAX_LINES + 1))
    carried = {part.name: walk.carried(part) for part in parts}
    connections = sum(int(each.sum()) for each in there.values())
    broken, rootless, unread = map(tuple, (walk.broken, walk.rootless, walk.unread))
    return Life(parts, connections, walk.live, carried, dead, broken, rootless, unread)


@dataclass
class _Walk:
    match: Match
    reading: Reading
    values: Values
    by_form: bool
    """Whether every weight is taken for one that is not zero: what is cut then, the spec itself cuts, by a slice."""
    live: dict[str, Array] = field(default_factory=dict)
    reaches: dict[str, Reach] = field(default_factory=dict)
    """Which of its part's sources each channel of a value depends on."""
    tables: dict[str, Array] = field(default_factory=dict)
    ends: dict[str, dict[int, Op]] = field(default_factory=dict)
    """By the part's name and a source's number, the operator behind which nothing depends on the source."""
    zero: set[str] = field(default_factory=set)
    """Operators whose weights or scales are all zero."""
    broken: dict[str, None] = field(default_factory=dict)
    rootless: dict[str, None] = field(default_factory=dict)
    unread: dict[str, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.parts = parts_of(self.match)
        self.folded, self.held = _folded(self.match, self.reading)
        self.numbers = {
            (part.name, value): number
            for part in self.parts.all
            for number, values in enumerate(part.sources.values(), start=1)
            for value in values
        }

    def run(self) -> None:
        for expected, found in self.match.both:
            if found.ops[0].kind == "input":
                self.live[found.output] = np.ones(found.ops[0].attrs["shape"][0], bool)
            elif found.output in self.parts.of:
                part = self.parts.of[found.output]
                read = [self._read(part, value) for value in found.reads]
                for ours, theirs in zip(expected.ops, found.ops, strict=True):
                    read = [self._operate(part, ours, theirs, read)]
                self.reaches[found.output], self.live[found.output] = read[0], read[0].live

    def _read(self, part: Part, value: str) -> Reach:
        """A value of the part itself, or one from outside, whose channels depend on one source."""
        if value in self.parts.joins:
            first, *others = (self._read(part, each) for each in self.parts.joins[value])
            return first.beside(others)
        if self.parts.of.get(value) is part:
            return self.reaches[value]
        if part.name not in self.tables:
            self.tables[part.name] = np.eye(len(part.sources) + 1, len(part.sources), -1, bool)
        return Reach(
            self.tables[part.name], np.where(self.live[value], self.numbers[part.name, value], 0)
        )

    def _operate(self, part: Part, ours: Op, op: Op, read: Sequence[Reach]) -> Reach:
        row = OPERATORS[op.kind]
        if row.arity != 1:
            made: Reach = row.reach(op.attrs, read)
            return made
        x = read[0].beside(read[1:])
        through = self._through_filters if row.has_filters else self._scaled
        made = through(ours, op, x)
        if made is not x:
            ends = self.ends.setdefault(part.name, {})
            for number in np.flatnonzero(x.sources & ~made.sources).tolist():
                ends.pop(number, None)
                ends[number] = ours
        return made

    def _through_filters(self, ours: Op, op: Op, x: Reach) -> Reach:
        groups, known = op.attrs.get("groups", 1), self._weights(ours, op)
        filters = np.ones((op.attrs["out_channels"], len(x.at) // groups), bool)
        for values in known:
            if op.attrs.get("standardized"):
                values = values - values.mean((1, 2, 3), keepdims=True)
            taps = (values != 0).reshape(*values.shape[:2], -1).any(axis=2)
            filters = filters & (taps.T if op.kind == "conv_transpose" else taps)
        self._note_zero(ours, filters)
        return filtered(x, filters, groups)

    def _scaled(self, ours: Op, op: Op, x: Reach) -> Reach:
        made: Reach = OPERATORS[op.kind].reach(op.attrs, [x])
        for values in self._weights(ours, op):
            passes = values.reshape(-1) != 0
            if OPERATORS[op.kind].is_cut_by_zeros and not passes.all():
                made = made.where(passes)
            self._note_zero(ours, passes)
        return made

    def _note_zero(self, ours: Op, passes: Array) -> None:
        if not passes.any():
            self.zero.add(ours.name)

    def _weights(self, ours: Op, op: Op) -> list[Array]:
        """The values of an operator's filters or scales that can be had; what is strange in them is noted."""
        if self.by_form:
            return []
        name = self.folded.get(op.name, op.name)
        known = (
            Weights() if name == op.name in self.held else self.reading.weights.get(name, Weights())
        )
        scales, others = (
            [self.values.of(source) for source in each] for each in (known.scales, known.others)
        )
        if any(values is None for values in scales) or (
            OPERATORS[op.kind].has_filters and not scales
        ):
            self.unread[ours.name] = None
        if not all(
            np.isfinite(values).all() for values in (*scales, *others) if values is not None
        ):
            self.broken[ours.name] = None
        if _is_rootless(self.values.of(known.variance), op.attrs.get("eps")):
            self.rootless[ours.name] = None
        return [values for values in scales if values is not None]

    def dead(self, part: Part, there: Array) -> Iterator[Dead]:
        """Yield what of a part carries nothing, what has its reason elsewhere left out.

        `there` says which of its sources reach its output by form.
        """
        carried = self.carried(part)
        reads = [
            any(self.live[value].any() for value in values) for values in part.sources.values()
        ]
        if any(reads) and there.any() and not carried.any():
            yield self._constant(part)
            return
        for number, (source, live) in enumerate(zip(part.sources, reads, strict=True)):
            if live and there[number] and not carried[number]:
                end = self.ends[part.name][number]
                words = (
                    "a scale that is" if OPERATORS[end.kind].is_cut_by_zeros else "weights that are"
                )
                yield Dead(
                    part.title,
                    source,
                    end.name,
                    f"{part.title} reads {source} with {words} all zero",
                )

    def carried(self, part: Part) -> Array:
        """Return which of a part's sources its output depends on."""
        carried = np.zeros(len(part.sources), bool)
        for output in part.outputs:
            carried |= self.reaches[output].sources
        return carried

    def _constant(self, part: Part) -> Dead:
        """Said of the part, not of all that read it: where the last of its sources ends."""
        end = list(self.ends[part.name].values())[-1]
        is_scale = OPERATORS[end.kind].is_cut_by_zeros
        what = "scale of {} is" if is_scale else "weights of {} are"
        how = "all zero" if end.name in self.zero else "zero for all that depends on it"
        message = (
            f"{part.title} gives the same output for every image: the {what.format(end.name)} {how}"
        )
        return Dead(part.title, "", end.name, message)


def _folded(match: Match, reading: Reading) -> tuple[dict[str, str], set[str]]:
    """Return what the file calls each convolution that holds norms, and what these norms are called.

    The last norm has the name of the file's convolution that all of them are a part of.
    """
    ops, folded, convs = reading.graph.ops, dict[str, str](), dict[str, str]()
    for _, found in match.both:
        for op in found.ops:
            stands = op.name in ops and ops[op.name].kind == op.kind
            if op.kind == "batch_norm" and not stands:
                convs[op.name] = convs.get(op.inputs[0], op.inputs[0])
                folded[convs[op.name]] = op.name
    return folded, {*convs}


def _is_rootless(variance: Array | None, eps: float | None) -> bool:
    """Say whether a norm divides by no positive number, in the precision of the file."""
    if variance is None or eps is None:
        return False
    return bool((variance + np.asarray(eps, variance.dtype) <= 0).any())
