"""Operators between two nodes as steps, each with what it reads and gives; widths are numbers still."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from archspec.lift.network import Network, Node, Unliftable, narrows
from archspec.operators.table import ACTIVATIONS, OPERATORS

MAX_NESTED = 8
"""Branches inside branches."""

_WINDOW = (
    "kernel",
    "stride",
    "padding",
    "dilation",
    "bias",
    "keep",
    "factor",
    "mode",
    "value",
    "align_corners",
    "standardized",
)
_GATE = ("global_avg_pool", "conv", "", "conv", "")
_POINT = {"kernel": 1, "stride": 1, "padding": 0, "groups": 1, "bias": True}


@dataclass(frozen=True, slots=True)
class Step:
    """One operator, or branches that are joined, or the operators of a squeeze-and-excitation."""

    op: str
    """Its name in the file; of branches the join's."""
    kind: str
    attrs: Mapping[str, Any]
    ins: int
    outs: int
    branches: tuple[tuple[Step, ...], ...] = ()
    """Of a squeeze-and-excitation: nothing, and the gate."""

    @property
    def is_depthwise(self) -> bool:
        """It has a filter for each channel."""
        return self.kind == "conv" and bool(
            self.ins == self.outs == self.attrs.get("groups", 1) > 1
        )


def flat(steps: Sequence[Step]) -> Iterator[Step]:
    """Yield the operators of steps in running order, those of branches before their join."""
    for step in steps:
        for branch in step.branches:
            yield from flat(branch)
        yield step


def kinds_of(steps: Sequence[Step]) -> tuple[Any, ...]:
    """Return what steps must have in common to be one list: their kinds and windows, those of branches nested."""
    windows = (
        (step.kind, step.is_depthwise, *(step.attrs.get(key) for key in _WINDOW)) for step in steps
    )
    return tuple(
        (*window, *map(kinds_of, step.branches))
        for window, step in zip(windows, steps, strict=True)
    )


def steps_between(
    network: Network, entry: str, ends: Sequence[str], ins: int = 0
) -> tuple[Step, ...]:
    """Return the operators that lead from a node to others; several ends are joined by one more step.

    `ins` are the channels that the entry stands for, where these are not its own.

    Raises:
        Unliftable: they read something else too, or no steps join so.
    """
    return _Walk(network).run(entry, ends, ins or network.channels(entry), 0)


@dataclass
class _Walk:
    network: Network
    taken: set[str] = field(default_factory=set)
    """Nodes that are a step's already: one that stands in two branches is no step."""

    def run(self, entry: str, ends: Sequence[str], ins: int, depth: int) -> tuple[Step, ...]:
        if depth > MAX_NESTED:
            raise Unliftable(
                ends[0], f"stands in more than {MAX_NESTED} branches inside one another"
            )
        nodes = self.cuts(entry, ends)
        steps: list[Step] = []
        for before, node in zip([entry, *(n.name for n in nodes)], nodes, strict=False):
            steps.append(self.step(before, node, steps[-1].outs if steps else ins, depth))
        if len(ends) > 1:
            before = nodes[-1].name if nodes else entry
            steps.append(
                self.joined(
                    before, ends, "concat", ends[-1], steps[-1].outs if steps else ins, depth
                )
            )
        return tuple(steps)

    def cuts(self, entry: str, ends: Sequence[str]) -> list[Node]:
        """The nodes behind the entry that all paths to the ends lead through, first to last."""
        found: list[Node] = []
        for node, _ in narrows(self.network, ends):
            if node.name == entry:
                return found[::-1]
            if self.network.position[node.name] < self.network.position[entry]:
                break
            found.append(node)
        raise Unliftable(ends[-1], "reads more than the steps before it give")

    def step(self, before: str, node: Node, ins: int, depth: int) -> Step:
        if node.reads == (before,):
            self.take(node)
            return Step(node.name, node.kind, node.op.attrs, ins, node.shape[0])
        self.take(node)
        step = self.joined(before, node.reads, node.kind, node.name, ins, depth)
        return _gated(step) or step

    def joined(
        self, before: str, reads: Sequence[str], kind: str, name: str, ins: int, depth: int
    ) -> Step:
        """Branches and their join; of a product, what is passed on as it is comes first."""
        if kind == "multiply" and reads[1:] == (before,):
            reads = reads[::-1]
        branches = tuple(
            () if end == before else self.run(before, (end,), ins, depth + 1) for end in reads
        )
        widths = [branch[-1].outs if branch else ins for branch in branches]
        outs = sum(widths) if kind == "concat" else widths[0]
        return Step(name, kind, MappingProxyType({}), ins, outs, branches)

    def take(self, node: Node) -> None:
        if node.name in self.taken:
            raise Unliftable(node.name, "is read by several branches that are joined")
        self.taken.add(node.name)


def _gated(step: Step) -> Step | None:
    """Branches of a product as a squeeze-and-excitation, where they are one."""
    if step.kind != "multiply" or len(step.branches) != 2 or step.branches[0]:
        return None
    gate = step.branches[1]
    kinds = tuple(part.kind for part in gate)
    if len(kinds) != len(_GATE) or any(
        known not in ("", kind) for kind, known in zip(kinds, _GATE, strict=True)
    ):
        return None
    mean, reduce, active, expand, last = gate
    points = all(
        part.attrs.get(key, False) == value
        for part in (reduce, expand)
        for key, value in _POINT.items()
    )
    is_gate = last.kind in OPERATORS and OPERATORS[last.kind].is_gate
    if not (points and mean.attrs.get("keep") and _is_usual(active) and is_gate):
        return None
    attrs = {"inner": reduce.outs}
    return Step(
        step.op, "squeeze_excite", MappingProxyType(attrs), step.ins, step.outs, step.branches
    )


def _is_usual(step: Step) -> bool:
    """An activation whose settings are its kind's own."""
    if step.kind not in ACTIVATIONS:
        return False
    usual = OPERATORS[step.kind].settings
    return all(step.attrs.get(key) in (None, value) for key, value in usual.items())
