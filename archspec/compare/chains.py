"""A graph as chains, and the chains of two graphs in pairs; names play no part.

A chain is a run of operators that each read one value, from a join to the next value that something
joins or that is read more than once. What a spec calls a stem, a layer, a transition or a head is
one chain.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

from archspec.compare.concat_sources import FlatGraph
from archspec.graph.ir import Op
from archspec.operators.attributes import DERIVED
from archspec.operators.table import OPERATORS

MAX_CELLS = 4_000_000
"""Cells of the table that pairs chains; beyond, they are paired one by one as they come."""


@dataclass(frozen=True, slots=True)
class Chain:
    """Operators that read one another, first to last;
    what the first reads, concatenations written out.
    """

    ops: tuple[Op, ...]
    reads: tuple[str, ...]
    direct_reads: tuple[str, ...] = ()
    """What the first reads in the graph itself, concatenations by their names."""
    join_region: str = ""
    """The region of the concatenation that it reads."""

    @property
    def output(self) -> str:
        """The value that the chain makes."""
        return self.ops[-1].name

    @property
    def is_output(self) -> bool:
        """It is what the network gives, no operator."""
        return self.ops[0].kind == "output"

    @property
    def region(self) -> str:
        """The region that it begins in."""
        return self.ops[0].region

    @property
    def classes(self) -> tuple[str, ...]:
        """The kinds of its operators, those that may stand for one another alike."""
        return tuple(OPERATORS[op.kind].family or op.kind for op in self.ops)


Pair = tuple[Chain | None, Chain | None]
"""The spec's chain and the file's; one without a partner stands beside None."""


def contract_to_chains(flat: FlatGraph) -> list[Chain]:
    """Return a graph as chains, each after those that it reads,
    and at the end one for each output.
    """
    ends = _find_ends(flat)
    chains: dict[str, Chain] = {}
    for name, op in flat.ops.items():
        # What is popped is not yet complete; so a chain stands where its last operator does, behind
        # all that it reads.
        if len(op.inputs) == 1 and op.inputs[0] not in ends:
            before = chains.pop(op.inputs[0])
            chains[name] = replace(before, ops=(*before.ops, op))
        else:
            chains[name] = _begin_chain(flat, op)
    last = [_begin_chain(flat, op) for op in flat.outputs]
    return [*_sort_chains(chains, last), *last]


def _find_ends(flat: FlatGraph) -> set[str]:
    """The values with which chains end: what is joined, read more than once, or given."""
    ends, once = set[str](), set[str]()
    for op in (*flat.ops.values(), *flat.outputs):
        sources = {*op.inputs}
        # An output ends what it reads, though nothing else reads that.
        if len(op.inputs) > 1 or op.kind == "output":
            ends |= sources
        ends |= sources & once
        once |= sources
    # The image is a chain by itself: a stem without operators is none.
    ends |= {op.name for op in flat.ops.values() if op.kind == "input"}
    return ends


def _begin_chain(flat: FlatGraph, op: Op) -> Chain:
    through = flat.direct_reads.get(op.name, ())
    return Chain((op,), op.inputs, through, flat.regions.get(next(iter(through), ""), ""))


def _sort_chains(chains: Mapping[str, Chain], outputs: Sequence[Chain]) -> Iterator[Chain]:
    """A walk from the outputs, what is read first by its depth:
    the same for equal graphs, however they are listed.
    """
    keys = _make_sort_keys(chains, outputs)
    seen = set[str]()
    waiting: list[tuple[str, bool]] = []
    for output in reversed(outputs):
        first = sorted(output.reads, key=keys.__getitem__, reverse=True)
        waiting.extend((value, False) for value in first)
    # By hand, as a network of a thousand layers is deeper than Python's stack. A value comes twice:
    # before what it reads, and when all of that has been yielded.
    while waiting:
        value, is_done = waiting.pop()
        if is_done:
            yield chains[value]
        elif value not in seen:
            seen.add(value)
            waiting.append((value, True))
            before = {*chains[value].reads} - seen
            order = sorted(before, key=keys.__getitem__, reverse=True)
            waiting.extend((source, False) for source in order)


def _make_sort_keys(chains: Mapping[str, Chain], outputs: Sequence[Chain]) -> Mapping[str, Any]:
    """What tells chains that are joined from one another;
    what nothing tells apart stays as it is listed.
    """
    depth: dict[str, int] = {}
    reads: dict[str, tuple[int, int]] = {}
    read_by: dict[str, tuple[int, int]] = dict.fromkeys(chains, (0, 0))
    for name, chain in chains.items():
        sources = {*chain.reads}
        depths = [depth[source] for source in sources]
        depth[name] = len(chain.ops) + max(depths, default=0)
        reads[name] = len(sources), sum(depths)
        for source in sources:
            count, total = read_by[source]
            read_by[source] = count + 1, total + depth[name]
    # Nothing but an output may join the last values, so outputs count among the readers.
    places = _find_places_in_joins(depth, [*chains.values(), *outputs])
    keys: dict[str, Any] = {}
    # The cheapest marks first; a chain's place in the listing, which means nothing, decides last.
    for position, (name, chain) in enumerate(chains.items()):
        own = (depth[name], chain.classes, _format_sizes(chain))
        keys[name] = (*own, reads[name], read_by[name], places[name], position)
    return keys


_Place = tuple[int, tuple[str, ...], int]
"""How deep the reader stands, its operators, and the place in its join."""


def _find_places_in_joins(
    depths: Mapping[str, int], readers: Iterable[Chain]
) -> Mapping[str, tuple[_Place, ...]]:
    """Where values stand among those that they are joined with:
    layers that are alike are told apart by it.
    """
    # Whose join it is counts: one layer may be first in one and second in another, and the layer
    # beside it the other way round.
    places: dict[str, list[_Place]] = {name: [] for name in depths}
    for chain in readers:
        depth = depths.get(chain.output, -1)
        for place, source in enumerate(chain.reads):
            places[source].append((depth, chain.classes, place))
    return {name: tuple(sorted(each)) for name, each in places.items()}


def _format_sizes(chain: Chain) -> str:
    """Sizes as text: those that are absent, or not all of one type, sort all the same."""
    return str([_list_sizes(op) for op in chain.ops])


def _list_sizes(op: Op) -> list[Any]:
    needed = [name for name in OPERATORS[op.kind].required if name not in DERIVED]
    # Widths that are read follow from what stands before; fractions a file may round.
    return [op.attrs[name] for name in needed if isinstance(op.attrs.get(name), int | tuple)]


def pair_chains(expected: Sequence[Chain], found: Sequence[Chain]) -> tuple[Pair, ...]:
    """Return two sequences of chains paired at the least cost,
    each in its order (Needleman and Wunsch 1970).

    Equal beginnings and ends are paired first; what is left between them is short unless all
    differs. Outputs are paired where there are as many.
    """
    ours: list[Chain | None] = [chain for chain in expected if chain.is_output]
    theirs: list[Chain | None] = [chain for chain in found if chain.is_output]
    expected = [chain for chain in expected if not chain.is_output]
    found = [chain for chain in found if not chain.is_output]
    # The table grows with the product of both lengths; an equal network never needs it.
    head = _count_alike(expected, found)
    tail = _count_alike(expected[head:][::-1], found[head:][::-1])
    middle = _align_chains(expected[head : len(expected) - tail], found[head : len(found) - tail])
    before = list(zip(expected[:head], found[:head], strict=True))
    after = list(zip(expected[len(expected) - tail :], found[len(found) - tail :], strict=True))
    if len(ours) != len(theirs):
        # Nothing says which of them is too many: pairs by place would blame all behind it.
        ours, theirs = [*ours, *[None] * len(theirs)], [*[None] * len(ours), *theirs]
    return (*before, *middle, *after, *zip(ours, theirs, strict=True))


def _count_alike(expected: Sequence[Chain], found: Sequence[Chain]) -> int:
    pairs = enumerate(zip(expected, found, strict=False))
    return next(
        (index for index, (a, b) in pairs if a.classes != b.classes), min(len(expected), len(found))
    )


def _align_chains(expected: Sequence[Chain], found: Sequence[Chain]) -> list[Pair]:
    if len(expected) * len(found) > MAX_CELLS:
        return list(zip_longest(expected, found))
    costs = _fill_costs(expected, found)
    pairs: list[Pair] = []
    row, column = len(expected), len(found)
    # Back from the last cell. Of ways that cost the same one must always be taken: a chain of the
    # spec that is left alone, then one of the file, then a pair.
    while row or column:
        here = costs[row][column]
        if row and here == costs[row - 1][column] + 1:
            row -= 1
            pairs.append((expected[row], None))
        elif column and here == costs[row][column - 1] + 1:
            column -= 1
            pairs.append((None, found[column]))
        else:
            row, column = row - 1, column - 1
            pairs.append((expected[row], found[column]))
    return pairs[::-1]


def _fill_costs(expected: Sequence[Chain], found: Sequence[Chain]) -> list[list[float]]:
    """The least cost of pairing the first chains of both, so many of each."""
    costs = [[float(column) for column in range(len(found) + 1)]]
    for row, a in enumerate(expected, start=1):
        costs.append([float(row)])
        for column, b in enumerate(found, start=1):
            together = costs[row - 1][column - 1] + _pairing_cost(a, b)
            costs[row].append(min(together, costs[row - 1][column] + 1, costs[row][column - 1] + 1))
    return costs


def _pairing_cost(expected: Chain, found: Chain) -> float:
    """Of pairing two chains: less than leaving both alone (2)
    where they could stand for one another.
    """
    if expected.classes == found.classes:
        return 0
    shared = sum((Counter(expected.classes) & Counter(found.classes)).values())
    # From 2.1, nothing in common, down to 0.5: a sixteenth of the operators shared is the border
    # below which two chains are better left alone.
    return 2.1 - 1.6 * shared / max(len(expected.ops), len(found.ops))
