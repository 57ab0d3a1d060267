"""Operators between two nodes as steps, each with what it reads and gives;
widths are numbers still.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from archspec.graph.squeeze_excite import JOIN, Gate, list_gate_operators
from archspec.lift.network import Network, Node, Unliftable, walk_narrow_nodes
from archspec.operators.operator import Operator
from archspec.operators.table import ACTIVATIONS, GATES, OPERATORS
from archspec.spec.steps import ActivationSpec
from archspec.stored_numbers import is_same_number

MAX_NESTED = 8
"""Branches inside branches."""


@dataclass(frozen=True, slots=True)
class Step:
    """One operator, or branches that are joined, or the operators of a squeeze-and-excitation."""

    op: str
    """Its name in the file; of branches the join's."""
    kind: str
    attrs: Mapping[str, Any]
    in_channels: int
    out_channels: int
    branches: tuple[tuple[Step, ...], ...] = ()
    """Of a squeeze-and-excitation: nothing, and the gate."""

    @property
    def operator(self) -> str:
        """The kind of operator that gives it."""
        return JOIN if self.kind == "squeeze_excite" else self.kind

    @property
    def row(self) -> Operator | None:
        """What is known of that kind; None of a skip, which is a join with what is elsewhere."""
        return OPERATORS.get(self.operator)

    @property
    def makes_maps(self) -> bool:
        """Is it an operator that makes new feature maps, by weights of its own?"""
        return self.row is not None and self.row.has_filters

    @property
    def enlarges(self) -> bool:
        """Is it an operator that gives more pixels than it reads?"""
        return self.row is not None and self.row.enlarges


def walk_steps(steps: Sequence[Step]) -> Iterator[Step]:
    """Yield the operators of steps in running order, those of branches before their join."""
    for step in steps:
        for branch in step.branches:
            yield from walk_steps(branch)
        yield step


def kinds_of(steps: Sequence[Step]) -> tuple[Any, ...]:
    """Return what steps must have in common to be one list:
    their kinds and windows, those of branches nested.
    """
    return tuple(
        (step.kind, *_list_shared_settings(step), *map(kinds_of, step.branches)) for step in steps
    )


def _list_shared_settings(step: Step) -> list[Any]:
    """What the step says, but for what may follow a rule from layer to layer, or is in no file."""
    row = OPERATORS.get(step.kind)
    if row is None or row.step is None:
        return []
    left_out = {*row.step.follow_widths, *row.in_training, *row.untold}
    shared = [step.attrs.get(name) for name in row.step.said.values() if name not in left_out]
    return [*shared, *(is_meant(step.attrs) for _, is_meant in row.step.words.values())]


def find_steps(
    network: Network, entry: str, ends: Sequence[str], in_channels: int = 0
) -> tuple[Step, ...]:
    """Return the operators that lead from a node to others;
    several ends are joined by one more step.

    `in_channels` are the channels that the entry stands for, where these are not its own.

    Raises:
        Unliftable: they read something else too, or no steps join so.
    """
    return _StepFinder(network).find_steps(entry, ends, in_channels or network.channels(entry), 0)


@dataclass
class _StepFinder:
    network: Network
    taken: set[str] = field(default_factory=set)
    """Nodes that are a step's already: one that stands in two branches is no step."""

    def find_steps(
        self, entry: str, ends: Sequence[str], in_channels: int, depth: int
    ) -> tuple[Step, ...]:
        if depth > MAX_NESTED:
            message = f"stands in more than {MAX_NESTED} branches inside one another"
            raise Unliftable(ends[0], message)
        steps: list[Step] = []
        before, channels = entry, in_channels
        for node in self.find_cuts(entry, ends):
            steps.append(self.make_step(before, node, channels, depth))
            before, channels = node.name, steps[-1].out_channels
        if len(ends) > 1:
            # Several ends are a layer's that others read in a join, as if it had joined them.
            steps.append(self.make_join(before, ends, "concat", ends[-1], channels, depth))
        return tuple(steps)

    def find_cuts(self, entry: str, ends: Sequence[str]) -> list[Node]:
        """The nodes behind the entry that all paths to the ends lead through, first to last."""
        found: list[Node] = []
        for node, _ in walk_narrow_nodes(self.network, ends):
            if node.name == entry:
                return found[::-1]
            if self.network.position[node.name] < self.network.position[entry]:
                break
            found.append(node)
        raise Unliftable(ends[-1], "reads more than the steps before it give")

    def make_step(self, before: str, node: Node, in_channels: int, depth: int) -> Step:
        self.take_node(node)
        if node.reads == (before,):
            return Step(node.name, node.kind, node.op.attrs, in_channels, node.shape[0])
        step = self.make_join(before, node.reads, node.kind, node.name, in_channels, depth)
        return _as_squeeze_excite(step) or step

    def make_join(
        self, before: str, reads: Sequence[str], kind: str, name: str, in_channels: int, depth: int
    ) -> Step:
        """Branches and their join; of a product, what is passed on as it is comes first."""
        if kind == JOIN and reads[1:] == (before,):
            reads = reads[::-1]
        branches, widths = list[tuple[Step, ...]](), list[int]()
        for end in reads:
            # A branch without steps passes on what is read.
            is_empty = end == before
            branch = () if is_empty else self.find_steps(before, (end,), in_channels, depth + 1)
            branches.append(branch)
            widths.append(branch[-1].out_channels if branch else in_channels)
        attrs: Mapping[str, Any] = MappingProxyType({})
        out_channels = OPERATORS[kind].channels(attrs, widths)
        return Step(name, kind, attrs, in_channels, out_channels, tuple(branches))

    def take_node(self, node: Node) -> None:
        if node.name in self.taken:
            raise Unliftable(node.name, "is read by several branches that are joined")
        self.taken.add(node.name)


def _as_squeeze_excite(step: Step) -> Step | None:
    """Branches of a product as a squeeze-and-excitation, where they are one."""
    if step.kind != JOIN or len(step.branches) != 2 or step.branches[0]:
        return None
    if len(step.branches[1]) != len(Gate._fields):
        return None
    found = Gate(*step.branches[1])
    if found.activation.kind not in ACTIVATIONS or found.gate.kind not in GATES:
        return None
    # The step squeeze_excite has no settings for the rest, so each must be what the step makes.
    inner, activation = found.reduce.out_channels, ActivationSpec(kind=found.activation.kind)
    made = list_gate_operators(step.in_channels, inner, activation, found.gate.kind)
    pairs = zip(found, made, strict=True)
    if not all(is_operator(each, kind, attrs) for each, (kind, attrs) in pairs):
        return None
    attrs = MappingProxyType({"inner": inner})
    return Step(
        step.op, "squeeze_excite", attrs, step.in_channels, step.out_channels, step.branches
    )


def is_operator(step: Step, kind: str, attrs: Mapping[str, Any]) -> bool:
    """Return whether a step of a file is an operator that a spec comes to, but for what no file
    tells.
    """
    if kind != step.operator:
        return False
    row = OPERATORS[kind]
    ours, theirs = {**row.defaults, **attrs}, {**row.defaults, **step.attrs}
    # `inner` is a note of the step alone; the gate's own convolutions are compared.
    left_out = {*row.in_training, "inner"}
    for key in (ours.keys() | theirs.keys()) - left_out:
        is_untold = key in row.untold and theirs.get(key) is None
        if not is_untold and not is_same_number(ours.get(key), theirs.get(key)):
            return False
    return True
