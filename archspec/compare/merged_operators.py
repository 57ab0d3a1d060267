"""Operators of a file that stand once where a spec has several, with equal weights, parted again.

Weights of a file are the network's, so one convolution may be two of the spec's that read the same:
its network is then the spec's, with weights that are equal. Which of them a reader reads, the spec
tells: both graphs are walked from their outputs, side by side. A copy computes what its original
does; so whatever the walk finds, the file's graph computes the same before and after.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from archspec.compare.concat_sources import FlatGraph, flatten
from archspec.compare.row_facts import has_statistics
from archspec.compare.whole_map_pools import as_it_is_read
from archspec.graph.ir import Graph, Op
from archspec.operators.table import COMBINING, OPERATORS


@dataclass(frozen=True, slots=True)
class Parted:
    """A file's graph with as many operators as the spec has."""

    graph: Graph
    copies: Mapping[str, str]
    """What was copied, by the name of each copy."""


def part_merged(spec: Graph, found: Graph) -> Parted:
    """Return a file's graph with a copy of each operator for each of the spec's that it stands for.

    As it is where none of them has weights: operators without any may always be merged.

    Raises:
        ModelFileError: R009, its concatenations join more values than any spec may.
    """
    walk = _SideBySide(flatten(as_it_is_read(spec)), flatten(found))
    walk.run()
    several = {theirs for theirs, ours in walk.holders.items() if len(ours) > 1}
    merged = [walk.theirs.ops[name] for name in several]
    if not any(OPERATORS[op.kind].tensors(op.attrs) for op in merged):
        return Parted(found, {})
    ops = {op.name: op for op in _write_copies(walk)}
    ops |= {op.name: op for op in _write_outputs(walk, found)}
    for name in found.outputs:  # in their order, whatever stood behind what
        ops[name] = ops.pop(name)
    return Parted(Graph.of(found.name, ops.values()), walk.copies)


@dataclass
class _SideBySide:
    """Which of a file's operators is which of the spec's, followed from the outputs back."""

    ours: FlatGraph
    theirs: FlatGraph
    partners: dict[str, str] = field(default_factory=dict)
    """The file's operator by the spec's; that of a folded norm is the convolution that holds it."""
    folded: dict[str, str] = field(default_factory=dict)
    """What a folded norm of the spec's reads."""
    holders: dict[str, list[str]] = field(default_factory=dict)
    """The spec's operators that one of the file's stands for, in the spec's order."""
    copies: dict[str, str] = field(default_factory=dict)

    def run(self) -> None:
        waiting = list[tuple[str, str]]()
        for given, found in zip(self.ours.outputs, self.theirs.outputs, strict=False):
            waiting.extend(zip(given.inputs, found.inputs, strict=False))
        # By hand, as a network of a thousand layers is deeper than Python's stack.
        while waiting:
            ours, theirs = waiting.pop()
            if ours not in self.partners:
                self.partners[ours] = theirs
                waiting.extend(self._pair_inputs(self.ours.ops[ours], self.theirs.ops[theirs]))
        holders = defaultdict[str, list[str]](list)
        for name in self.ours.ops:
            if name in self.partners and name not in self.folded:
                holders[self.partners[name]].append(name)
        self.holders = dict(holders)

    def _pair_inputs(self, ours: Op, theirs: Op) -> Iterator[tuple[str, str]]:
        is_norm = has_statistics(ours) and len(ours.inputs) == 1
        if is_norm and OPERATORS[theirs.kind].folds_norm:
            self.folded[ours.name] = ours.inputs[0]
            yield ours.inputs[0], theirs.name
        elif ours.kind == theirs.kind and len(ours.inputs) == len(theirs.inputs):
            yield from zip(ours.inputs, theirs.inputs, strict=True)

    def name_copy(self, ours: str, theirs: str) -> str:
        """What a copy is called that stands for one of the spec's; the first keeps its name."""
        while ours in self.folded:
            ours = self.folded[ours]
        if self.partners.get(ours) != theirs or self.holders[theirs][0] == ours:
            return theirs
        name = f"{theirs}, for {ours}"
        while name in self.theirs.ops:  # a file may call its operators whatever it likes
            name = f"{name}'"
        self.copies[name] = theirs
        return name


def _write_copies(walk: _SideBySide) -> Iterator[Op]:
    """The file's operators, each as often as the spec has it, and the joins that they read."""
    for op in walk.theirs.ops.values():
        for ours in walk.holders.get(op.name, [""]):
            copy = replace(op, name=walk.name_copy(ours, op.name))
            wanted = walk.ours.ops[ours].inputs if ours else ()
            yield from _write(copy, _choose_reads(walk, wanted, op))


def _choose_reads(walk: _SideBySide, wanted: tuple[str, ...], op: Op) -> tuple[str, ...]:
    """What a copy reads that stands for one of the spec's, or an output: of each copy the one that
    this reads (`wanted`).
    """
    if len(wanted) != len(op.inputs):
        return op.inputs
    both = zip(wanted, op.inputs, strict=True)
    return tuple(walk.name_copy(mine, theirs) for mine, theirs in both)


def _write(op: Op, reads: tuple[str, ...]) -> Iterator[Op]:
    """An operator that reads values joined, which a flat graph says without the join."""
    if len(reads) > 1 and op.kind not in (*COMBINING, "concat"):
        joined = Op(f"{op.name} reads", "concat", reads)
        yield joined
        reads = (joined.name,)
    yield replace(op, inputs=reads)


def _write_outputs(walk: _SideBySide, found: Graph) -> Iterator[Op]:
    """What the file's network gives, under its names, where no operator of the flat graph does."""
    wanted = dict(enumerate(output.inputs for output in walk.ours.outputs))
    for number, name in enumerate(found.outputs):
        # The spec may give fewer.
        reads = _choose_reads(walk, wanted.get(number, ()), walk.theirs.outputs[number])
        if found.ops[name].kind == "output":
            yield from _write(Op(name, "output", ()), reads)
        elif name not in walk.theirs.ops:
            yield Op(name, "concat", reads)
