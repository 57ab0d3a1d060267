"""Equal operators without weights that read the same values:
merged to one, and parted again as a spec has them.

MindSpore merges them when it compiles, and so do others; a person writes `relu(x)` once for two
readers, or twice. A file is compared as the spec has it, so that each layer keeps the operators
that are its own there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from difflib import SequenceMatcher
from itertools import chain

from archspec.compare.chain_pieces import cut_pairs
from archspec.compare.chains import Chain, Pair, contract_to_chains, pair_chains
from archspec.compare.concat_sources import FlatGraph
from archspec.compare.simplify import keep_leading_to
from archspec.graph.ir import Op
from archspec.operators.table import COMMUTATIVE, OPERATORS


def merge_equal_ops(flat: FlatGraph) -> FlatGraph:
    """Return a graph with each of its equal operators once, under the name of the first."""
    first = find_firsts(flat.ops)
    ops: dict[str, Op] = {}
    for name, op in flat.ops.items():
        if first[name] == name:
            ops[name] = _rename_inputs(op, first)
    if len(ops) == len(flat.ops):
        return flat
    outputs = tuple(_rename_inputs(op, first) for op in flat.outputs)
    return replace(flat, ops=ops, outputs=outputs)


def split_merged_ops(found: FlatGraph, spec: FlatGraph) -> FlatGraph:
    """Return a file's graph, merged already, with as many equal operators
    as the spec has where it has them.
    """
    members = defaultdict[str, list[str]](list)
    for name, one in find_firsts(spec.ops).items():
        members[one].append(name)
    if len(members) == len(spec.ops):
        return found
    # Both merged, so that the two have the same chains; which copy is whose is asked afterwards.
    pairs = cut_pairs(
        pair_chains(contract_to_chains(merge_equal_ops(spec)), contract_to_chains(found))
    )
    return _OpSplitter(found, spec, members, dict(_pair_ops(pairs))).split()


def _are_its_own(op: Op) -> None:
    """Two operators with weights are two, even where these start alike: training parts them."""


def find_firsts(
    ops: Mapping[str, Op], tell_weights: Callable[[Op], object] = _are_its_own
) -> dict[str, str]:
    """Return the first of the operators that are equal to each one, which stand in running order.

    `tell_weights` gives what tells an operator's weights from those of others; None: they are
    none but its own.
    """
    first, known = dict[str, str](), dict[object, str]()
    for name, op in ops.items():
        first[name] = name
        weights = tell_weights(op) if OPERATORS[op.kind].tensors(op.attrs) else ()
        if not op.inputs or weights is None:
            continue
        # By the firsts of what is read: equal operators behind equal ones are equal too.
        reads = [first[source] for source in op.inputs]
        if op.kind in COMMUTATIVE:
            reads.sort()
        # By text: whatever a value is, its text can be a key.
        attrs = sorted((key, repr(value)) for key, value in op.attrs.items())
        first[name] = known.setdefault((op.kind, *reads, *attrs, weights), name)
    return first


def _rename_inputs(op: Op, names: Mapping[str, str]) -> Op:
    return replace(op, inputs=tuple(names[source] for source in op.inputs))


def _pair_ops(pairs: Iterable[Pair]) -> Iterator[tuple[str, str]]:
    """A file's operators and outputs, and the spec's that they stand for."""
    for expected, found in pairs:
        if expected is not None and found is not None:
            yield from _pair_ops_of_chains(expected, found)


def _pair_ops_of_chains(expected: Chain, found: Chain) -> Iterator[tuple[str, str]]:
    # The two may differ still: the longest runs of equal kinds are taken for the same operators.
    matcher = SequenceMatcher(None, expected.classes, found.classes, autojunk=False)
    for ours, theirs, size in matcher.get_matching_blocks():
        for at in range(size):
            yield found.ops[theirs + at].name, expected.ops[ours + at].name


class _OpSplitter:
    """Copies operators of a file: one for each of the spec's equal ones that they stand for."""

    def __init__(
        self,
        found: FlatGraph,
        spec: FlatGraph,
        members: Mapping[str, list[str]],
        partners: Mapping[str, str],
    ) -> None:
        self.found, self.members, self.partners = found, members, partners
        self.ours = {**spec.ops, **{op.name: op for op in spec.outputs}}
        self.first = {name: one for one, names in members.items() for name in names}

    def split(self) -> FlatGraph:
        ops: dict[str, Op] = {}
        for op in self.found.ops.values():
            ops |= {copy.name: copy for copy in self.copy_op(op)}
        outputs = tuple(chain.from_iterable(map(self.copy_op, self.found.outputs)))
        # A copy that nothing reads stood for an operator that the file does not have after all.
        ends = chain.from_iterable(output.inputs for output in outputs)
        return replace(self.found, ops=keep_leading_to(ends, ops), outputs=outputs)

    def copy_op(self, op: Op) -> Iterator[Op]:
        partner = self.partners.get(op.name, "")
        for ours in self.members.get(partner, [partner]):
            yield replace(
                op, name=self.name_copy(op.name, ours), inputs=self.choose_reads(op, ours)
            )

    def name_copy(self, value: str, ours: str) -> str:
        """What the copy of a value is called that stands for one of the spec's;
        the first keeps its name.
        """
        is_first = self.first.get(ours, ours) == ours
        return value if is_first else f"{value}, for {ours}"

    def choose_reads(self, op: Op, ours: str) -> tuple[str, ...]:
        """What a copy reads: of equal values, those that the spec's operator reads,
        in the same order.
        """
        wanted = defaultdict[str, list[str]](list)
        for source in self.ours[ours].inputs if ours else ():
            wanted[self.first[source]].append(source)
        reads = list[str]()
        for source in op.inputs:
            # Each is taken once: a sum of two equal values of the spec's reads both copies.
            left = wanted[self.partners.get(source, "")]
            reads.append(self.name_copy(source, left.pop(0)) if left else source)
        return tuple(reads)
