"""Is the network in a file the one that a spec says? Names play no part; every difference is said.

Both graphs are contracted to chains: a chain is a run of operators that each read one value, from a join to
the next value that something joins or that is read more than once. What the spec calls a stem, a layer, a
transition or a head is one chain. Chains are paired in running order; a pair must have equal operators and
read the outputs of paired chains. When all do, the graphs are equal but for names and for the order inside
concatenations, which permutes the channels of the weights that read them and nothing else: that is a note.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice, zip_longest
from typing import Any

import networkx as nx

from archspec.errors import Diagnostic, ModelFileError
from archspec.graph.connections import BlockConnections, block_connections, layers_of
from archspec.graph.ir import Graph, Op, Region
from archspec.graph.operators import OPERATORS
from archspec.spec.model import compressed

MAX_JOINED = 8_000_000
"""Values that all concatenations join, nested ones written out: twice the most that a spec may connect."""

MAX_LINES = 1_000
"""Differences that are listed."""

MAX_CELLS = 4_000_000
"""Cells of the table that pairs chains; beyond, they are paired one by one as they come."""

COMPARED = (
    "operators and their order",
    "what each of them reads",
    "connections of every block",
    "kernel, stride, padding, dilation, groups, bias, eps",
    "channels",
    "shape of the input",
    "evaluation mode",
)
NOT_COMPARED = (
    "values of the weights (a connection whose weights are all zero counts as one)",
    "names",
    "dropout, which does nothing in evaluation mode",
    "momentum of batch norms",
    "order inside concatenations",
    "number types and casts",
)

# Attributes that follow from others: from what an operator reads, or from training alone.
_DERIVED = frozenset({"in_channels", "channels"})
_IGNORED = frozenset({"momentum", "rate"})
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "conv": {"groups": 1, "dilation": 1, "bias": False, "weights_of": None},
    "dense": {"bias": True, "weights_of": None},
    "batch_norm": {"weights_of": None},
    "gelu": {"approximate": "none"},
}
_CLASSES: Mapping[str, str] = {
    **dict.fromkeys(("relu", "relu6", "silu", "gelu", "hard_swish"), "activation"),
    **dict.fromkeys(("max_pool", "avg_pool"), "pool"),
}
_WORDS: Mapping[str, str] = {
    "out_channels": "has {found} outputs, the spec says {expected}",
    "bias": "has bias {found}, the spec says {expected}",
    "weights_of": "shares the weights of {found}, the spec says that it has its own",
    "shape": "is an image (C, H, W) of {found}, the spec says {expected}",
}


@dataclass(frozen=True, slots=True)
class BlockComparison:
    """A dense block's layers and direct connections in the file and in the spec; edges are (layer, source)."""

    block: str
    layers: int
    expected_layers: int
    edges: int
    expected_edges: int
    missing: tuple[tuple[int, int], ...]
    surplus: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What `compare` found."""

    blocks: tuple[BlockComparison, ...]
    differences: tuple[Diagnostic, ...]
    notes: tuple[str, ...]
    params: int
    expected_params: int

    @property
    def equal(self) -> bool:
        """The file's network is the spec's."""
        return not self.differences


@dataclass(frozen=True, slots=True)
class _Chain:
    """Operators that read one another, first to last; what the first reads, concatenations written out."""

    ops: tuple[Op, ...]
    reads: tuple[str, ...]
    joined: str = ""
    """The region of the concatenation that it reads."""

    @property
    def output(self) -> str:
        return self.ops[-1].name

    @property
    def region(self) -> str:
        return self.ops[0].region

    @property
    def classes(self) -> tuple[str, ...]:
        """The kinds of its operators, those that may stand for one another alike."""
        return tuple(_CLASSES.get(op.kind, op.kind) for op in self.ops)


@dataclass(frozen=True)
class _Match:
    """Pairs of chains (the spec's, the file's); one without a partner stands beside None."""

    spec: Graph
    pairs: tuple[tuple[_Chain | None, _Chain | None], ...]

    @cached_property
    def layers(self) -> Mapping[str, tuple[str, int]]:
        """Block and number of each of the spec's layers, by the layer's region."""
        blocks = self.spec.regions_of("dense_block")
        numbered = ((block, enumerate(layers_of(self.spec, block), start=1)) for block in blocks)
        return {layer.name: (block.name, number) for block, layers in numbered for number, layer in layers}

    @cached_property
    def titles(self) -> Mapping[str, str]:
        """What the user calls each region that is not a layer."""
        titles = {"": "the input", "stem": "the stem", "head": "the head"}
        for kind, word in (("dense_block", "block"), ("transition", "transition")):
            titles |= {r.name: f"{word} {n}" for n, r in enumerate(self.spec.regions_of(kind), start=1)}
        return titles

    @cached_property
    def by_output(self) -> Mapping[str, _Chain]:
        """The spec's chains by the value that they make."""
        return {expected.output: expected for expected, _ in self.pairs if expected is not None}

    @cached_property
    def entering(self) -> Mapping[str, tuple[str, ...]]:
        """What the first layer of each of the spec's blocks reads."""
        first = ((self.layers.get(chain.region), chain.reads) for chain in self.by_output.values())
        return {layer[0]: reads for layer, reads in first if layer is not None and layer[1] == 1}

    def title(self, chain: _Chain) -> str:
        """`block 3, layer 17`, `transition 2`, `the stem`."""
        if chain.region not in self.layers:
            return self.titles.get(chain.region, chain.region)
        block, number = self.layers[chain.region]
        return f"{self.titles[block]}, layer {number}"

    def reader(self, chain: _Chain) -> str:
        """A chain as the reader of a join: what follows a block reads the block's output."""
        joins_a_block = chain.joined in self.titles and chain.region not in self.layers
        return f"the output of {self.titles[chain.joined]}" if joins_a_block else self.title(chain)

    def source(self, value: str, reader: _Chain) -> str:
        """A value of the spec in the words of a block: `layer 4`, `the block's input`."""
        chain = self.by_output[value]
        block = self.layers.get(reader.region, (reader.joined, 0))[0]
        owner, number = self.layers.get(chain.region, ("", 0))
        if owner and owner == block:
            return f"layer {number}"
        return "the block's input" if value in self.entering.get(block, ()) else self.title(chain)

    @property
    def both(self) -> Iterator[tuple[_Chain, _Chain]]:
        """The chains that have a partner."""
        for expected, found in self.pairs:
            if expected is not None and found is not None:
                yield expected, found


def compare(spec_graph: Graph, found: Graph) -> Comparison:
    """Return how a graph without regions, read from a file, differs from a spec's verified graph.

    Raises:
        ModelFileError: R009, the file's concatenations join more values than any spec may.
    """
    expected_chains, found_chains = _chains(spec_graph), _chains(found)
    match = _Match(spec_graph, _aligned(expected_chains, found_chains))
    blocks = _blocks(match, found.name)
    differences = _listed(_differences(match, blocks)) or _listed(_leftovers(match))
    return Comparison(
        blocks,
        differences,
        tuple(_notes(match)),
        _params(op for chain in found_chains for op in chain.ops),
        _params(op for chain in expected_chains for op in chain.ops),
    )


def _listed(differences: Iterator[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Each difference once, and as many as anyone reads."""
    listed = tuple(dict.fromkeys(islice(differences, MAX_LINES)))
    more = next(differences, None)
    return (*listed, Diagnostic("R105", f"more than {MAX_LINES:,} differences")) if more else listed


def _leftovers(match: _Match) -> Iterator[Diagnostic]:
    """What no line above says: none is known, and equal means that there is none."""
    yield from _attributes(match, derived=True)
    if any(expected is None or found is None for expected, found in match.pairs):
        yield Diagnostic("R102", "the network has other stages than the spec says")


# Contraction


def _chains(graph: Graph) -> list[_Chain]:
    """Contract a graph to chains, each after those that it reads."""
    joins = _Joins(graph)
    readers = Counter(source for reads in joins.reads.values() for source in set(reads))
    ends = {source for reads in joins.reads.values() if len(reads) > 1 for source in reads}
    ends |= {source for source, count in readers.items() if count > 1} | set(graph.inputs)
    chains: dict[str, _Chain] = {}
    for name, reads in joins.reads.items():
        op = graph.ops[name]
        if len(reads) == 1 and reads[0] not in ends:
            before = chains.pop(reads[0])
            chains[name] = replace(before, ops=(*before.ops, op))
        else:
            chains[name] = _Chain((op,), reads, joins.regions.get(op.inputs[0], "") if op.inputs else "")
    return list(chains.values())


class _Joins:
    """What each operator reads, dropout passed by and nested concatenations written out, in running order."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.reads: dict[str, tuple[str, ...]] = {}
        self.regions: dict[str, str] = {}
        self.written: dict[str, tuple[str, ...]] = {}
        total = 0
        for name in self.order():
            op = graph.ops[name]
            sources = tuple(part for source in op.inputs for part in self.written[source])
            total += len(sources)
            if total > MAX_JOINED:
                raise ModelFileError.one("R009", f"joins more than {MAX_JOINED:,} values in all", graph.name)
            passed_by = op.kind in ("concat", "dropout")
            self.written[name] = sources if passed_by else (name,)
            if op.kind == "concat":
                self.regions[name] = op.region
            if not passed_by:
                self.reads[name] = sources

    def order(self) -> Iterator[str]:
        """A walk from the output, inputs in their order: the same for equal graphs, however they are listed."""
        backwards = nx.DiGraph()
        for name, op in self.graph.ops.items():
            backwards.add_node(name)
            backwards.add_edges_from((name, source) for source in op.inputs)
        yield from nx.dfs_postorder_nodes(backwards, self.graph.outputs[-1])


# Pairing


def _aligned(expected: Sequence[_Chain], found: Sequence[_Chain]) -> tuple[tuple[_Chain | None, _Chain | None], ...]:
    """Pair two sequences of chains at the least cost, each in its order (Needleman and Wunsch 1970).

    Equal beginnings and ends are paired first; what is left between them is short unless all differs.
    """
    head = _alike(expected, found)
    tail = _alike(expected[head:][::-1], found[head:][::-1])
    middle = _align(expected[head : len(expected) - tail], found[head : len(found) - tail])
    before = list(zip(expected[:head], found[:head], strict=True))
    after = list(zip(expected[len(expected) - tail :], found[len(found) - tail :], strict=True))
    return (*before, *middle, *after)


def _alike(expected: Sequence[_Chain], found: Sequence[_Chain]) -> int:
    pairs = enumerate(zip(expected, found, strict=False))
    return next((index for index, (a, b) in pairs if a.classes != b.classes), min(len(expected), len(found)))


def _align(expected: Sequence[_Chain], found: Sequence[_Chain]) -> list[tuple[_Chain | None, _Chain | None]]:
    if len(expected) * len(found) > MAX_CELLS:
        return list(zip_longest(expected, found))
    costs = [[float(column) for column in range(len(found) + 1)]]
    for row, a in enumerate(expected, start=1):
        costs.append([float(row)])
        for column, b in enumerate(found, start=1):
            paired = costs[row - 1][column - 1] + _cost(a, b)
            costs[row].append(min(paired, costs[row - 1][column] + 1, costs[row][column - 1] + 1))
    pairs: list[tuple[_Chain | None, _Chain | None]] = []
    row, column = len(expected), len(found)
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


def _cost(expected: _Chain, found: _Chain) -> float:
    """Of pairing two chains: less than leaving both alone (2) where they could stand for one another."""
    if expected.classes == found.classes:
        return 0
    shared = sum((Counter(expected.classes) & Counter(found.classes)).values())
    return 2.1 - 1.6 * shared / max(len(expected.ops), len(found.ops))


# Blocks


def _blocks(match: _Match, name: str) -> tuple[BlockComparison, ...]:
    """Derive the connections of the file's blocks as the spec's are derived, from the file's own operators."""
    expected = {found.block: found for found in block_connections(match.spec)}
    found = {found.block: found for found in block_connections(_with_regions(match, name))}
    return tuple(
        BlockComparison(
            block,
            len(found[block].sources),
            len(expected[block].sources),
            found[block].edges,
            expected[block].edges,
            tuple(sorted(_edges(expected[block]) - _edges(found[block]))),
            tuple(sorted(_edges(found[block]) - _edges(expected[block]))),
        )
        for block in expected
    )


def _edges(block: BlockConnections) -> set[tuple[int, int]]:
    return {(layer, j) for layer, sources in enumerate(block.sources, start=1) for j in sources}


def _with_regions(match: _Match, name: str) -> Graph:
    """The file's operators in the regions of their partners, with one concatenation for each join."""
    regions = {region.name: region for region in match.spec.regions.values() if region.kind != "dense_layer"}
    ops: list[Op] = []
    for (expected, found), block in zip(match.pairs, _surplus_layers(match), strict=True):
        if found is None:
            continue
        region = expected.region if expected else ""
        if block:
            region = f"{block}.surplus of {found.output}"
            regions[region] = Region(region, "dense_layer", block)
        elif region in match.layers:
            block = match.layers[region][0]
            regions[region] = match.spec.regions[region]
        reads = found.reads
        if len(reads) > 1:
            joined = Op(f"{found.ops[0].name} reads", "concat", reads, region=block or (expected or found).joined)
            ops.append(joined)
            reads = (joined.name,)
        for op in found.ops:
            ops.append(replace(op, inputs=reads, region=region))
            reads = (op.name,)
    return Graph.of(name, ops, regions.values())


def _surplus_layers(match: _Match) -> list[str]:
    """For each pair the block that its chain is a surplus layer of, or ''."""
    blocks, last = list[str](), ""
    classes = {
        match.layers[chain.region][0]: chain.classes
        for chain in match.by_output.values()
        if chain.region in match.layers
    }
    for expected, found in match.pairs:
        if expected is not None:
            last = match.layers.get(expected.region, ("", 0))[0]
        is_layer = expected is None and found is not None and last and found.classes == classes[last]
        blocks.append(last if is_layer else "")
    return blocks


# Differences, in the user's words


def _differences(match: _Match, blocks: Sequence[BlockComparison]) -> Iterator[Diagnostic]:
    for block in blocks:
        if block.layers != block.expected_layers:
            message = f"{match.titles[block.block]} has {block.layers} layers, the spec says {block.expected_layers}"
            yield Diagnostic("R101", message)
    yield from _alone(match)
    yield from _compositions(match)
    yield from _reads(match)
    for block in blocks:
        if block.layers == block.expected_layers:
            yield from _connections(match, block)
    yield from _attributes(match, derived=False)


def _compositions(match: _Match) -> Iterator[Diagnostic]:
    """Pairs of chains with different operators, those that differ alike in one line."""
    alike: dict[str, list[str]] = {}
    for expected, found in match.both:
        if expected.classes != found.classes:
            theirs, ours = (", ".join(op.kind for op in chain.ops) for chain in (found, expected))
            alike.setdefault(f"{theirs}; the spec says {ours}", []).append(match.title(expected))
    for words, titles in alike.items():
        who = f"{titles[0]} and {len(titles) - 1} more consist" if titles[1:] else f"{titles[0]} consists"
        yield Diagnostic("R102", f"{who} of {words}")


def _alone(match: _Match) -> Iterator[Diagnostic]:
    """Chains without a partner that are no layers of a block."""
    after = "the input"
    for (expected, found), block in zip(match.pairs, _surplus_layers(match), strict=True):
        if expected is None and found is not None and not block:
            kinds = ", ".join(op.kind for op in found.ops)
            yield Diagnostic("R102", f"{after} is followed by {kinds}, which the spec does not have")
        elif found is None and expected is not None and expected.region not in match.layers:
            yield Diagnostic("R102", f"{match.title(expected)} is missing")
        after = match.title(expected) if expected else after


def _reads(match: _Match) -> Iterator[Diagnostic]:
    partners = {found.output: expected.output for expected, found in match.both}
    paired = set(partners.values())
    for expected, found in match.both:
        wanted = Counter(value for value in expected.reads if value in paired)
        there = Counter(partners[value] for value in found.reads if value in partners)
        for value in wanted - there:
            yield _edge(match.reader(expected), match.source(value, expected), "does not read")
        for value in there - wanted:
            verb = "reads twice" if value in wanted else "must not read"
            yield _edge(match.reader(expected), match.source(value, expected), verb)


def _connections(match: _Match, block: BlockComparison) -> Iterator[Diagnostic]:
    for edges, verb in ((block.missing, "does not read"), (block.surplus, "must not read")):
        for layer, source in edges:
            of = f"layer {source}" if source else "the block's input"
            yield _edge(f"{match.titles[block.block]}, layer {layer}", of, verb)


def _edge(reader: str, source: str, verb: str) -> Diagnostic:
    return Diagnostic("R103", f"{reader} {verb} {source}")


def _attributes(match: _Match, derived: bool) -> Iterator[Diagnostic]:
    """Compare operators in pairs; what several of them have in common is said once."""
    alike: dict[str, list[str]] = {}
    for expected, found in match.both:
        if expected.classes == found.classes:
            for ours, theirs in zip(expected.ops, found.ops, strict=True):
                for words in _of_operator(match, ours, theirs, derived):
                    alike.setdefault(words, []).append(ours.name)
    for words, names in alike.items():
        if len(names) <= 3:
            yield from (Diagnostic("R104", f"{name} {words}", name) for name in names)
            continue
        verb, rest = words.split(" ", 1)
        verb = {"has": "have", "is": "are", "shares": "share"}[verb]
        yield Diagnostic("R104", f"{names[0]} and {len(names) - 1} more {verb} {rest}", names[0])


def _of_operator(match: _Match, expected: Op, found: Op, derived: bool) -> Iterator[str]:
    if expected.kind != found.kind:
        yield f"is {found.kind}, the spec says {expected.kind}"
        return
    defaults = _DEFAULTS.get(expected.kind, {})
    ours, theirs = {**defaults, **expected.attrs}, {**defaults, **found.attrs}
    for name in ours.keys() | theirs.keys():
        if name in _IGNORED or (name in _DERIVED) != derived or _same(ours.get(name), theirs.get(name)):
            continue
        if name == "out_channels" and _follows(match, expected, theirs):
            continue
        words = _WORDS.get(name, f"has {name} {{found}}, the spec says {{expected}}")
        yield words.format(found=_shown(theirs.get(name)), expected=_shown(ours.get(name)))


def _follows(match: _Match, expected: Op, theirs: Mapping[str, Any]) -> bool:
    """A transition whose width is right for what it reads: another line says why it reads something else."""
    region = match.spec.regions.get(expected.region)
    if region is None or region.kind != "transition" or theirs["in_channels"] == expected.attrs["in_channels"]:
        return False
    return bool(theirs["out_channels"] == compressed(theirs["in_channels"], region.attrs["compression"]))


def _same(expected: Any, found: Any) -> bool:
    """Equal, or stored as the same float32."""
    if isinstance(expected, float) and isinstance(found, float):
        return struct.pack("f", expected) == struct.pack("f", found)
    return bool(expected == found)


def _shown(value: Any) -> str:
    return " x ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _notes(match: _Match) -> Iterator[str]:
    partners = {found.output: expected.output for expected, found in match.both}
    moved = [
        match.reader(expected)
        for expected, found in match.both
        if expected.reads != (reads := tuple(partners.get(value, "") for value in found.reads))
        and Counter(reads) == Counter(expected.reads)
    ]
    if moved:
        more = f" and {len(moved) - 1} more join their" if moved[1:] else " joins its"
        yield f"{moved[0]}{more} sources in another order: the same network with the channels of weights permuted"


def _params(ops: Iterator[Op]) -> int:
    """Learnable values, those that several operators share counted once."""
    total = 0
    for op in ops:
        if "weights_of" not in op.attrs:
            bias = {"conv": int(op.attrs.get("bias", False)), "dense": int(op.attrs.get("bias", True)) - 1}
            total += OPERATORS[op.kind].params(op.attrs) + bias.get(op.kind, 0) * op.attrs.get("out_channels", 0)
    return total
