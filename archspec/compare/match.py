"""Pairs of chains as the stages of a spec:
what the user calls each, and the connections of the file's blocks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from functools import cached_property

from archspec.compare.chains import Chain, Pair
from archspec.graph.connections import BlockConnections, derive_connections, layers_of
from archspec.graph.ir import Graph, Op, Region
from archspec.operators.table import COMBINING, COMMUTATIVE

_IN_BLOCK: Mapping[str, str] = {"slice": "share of its input", "add": "residual sum"}


@dataclass(frozen=True, slots=True)
class BlockComparison:
    """A dense block's layers and direct connections in the file and in the spec;
    edges are (layer, source).
    """

    block: str
    layers: int
    expected_layers: int
    edges: int
    expected_edges: int
    missing: tuple[tuple[int, int], ...]
    surplus: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Match:
    """Pairs of chains (the spec's, the file's); one without a partner stands beside None."""

    spec: Graph
    plain: Graph
    """The spec's graph as it was compared: what does nothing for its pixels is left out."""
    pairs: tuple[Pair, ...]

    @cached_property
    def layers(self) -> Mapping[str, tuple[str, int]]:
        """Block and number of each of the spec's layers, by the layer's region."""
        layers: dict[str, tuple[str, int]] = {}
        for block in self.spec.regions_of("dense_block"):
            for number, layer in enumerate(layers_of(self.spec, block), start=1):
                layers[layer.name] = block.name, number
        return layers

    @cached_property
    def titles(self) -> Mapping[str, str]:
        """What the user calls each region that is not a layer."""
        titles = {"": "the input", "stem": "the stem", "head": "the head"}
        for kind, word in (("dense_block", "block"), ("transition", "transition")):
            for usual, region in enumerate(self.spec.regions_of(kind), start=1):
                titles[region.name] = f"{word} {_number_in_spec(region, usual)}"
        # Last, as it is called after its block.
        for region in self.spec.regions_of("aggregation"):
            titles[region.name] = f"{titles[region.parent]}'s aggregation"
        return titles

    @cached_property
    def by_output(self) -> Mapping[str, Chain]:
        """The spec's chains by the value that they make."""
        return {expected.output: expected for expected, _ in self.pairs if expected is not None}

    @cached_property
    def values_entering(self) -> Mapping[str, tuple[str, ...]]:
        """What the first layer of each of the spec's blocks reads."""
        found: dict[str, tuple[str, ...]] = {}
        for chain in self.by_output.values():
            block, number = self.layers.get(chain.region, ("", 0))
            if number != 1:
                continue
            # A layer may be several chains, which read one another.
            makers = {value: self.by_output[value].region for value in chain.reads}
            outside = (value for value in chain.reads if makers[value] != chain.region)
            found[block] = (*found.get(block, ()), *outside)
        return found

    @cached_property
    def reader_counts(self) -> Counter[str]:
        """How many of the spec's chains read each value."""
        counts = Counter[str]()
        # A chain that reads a value twice is one reader.
        for chain in self.by_output.values():
            counts.update({*chain.reads})
        return counts

    def title_of(self, chain: Chain) -> str:
        """Return `block 3, layer 17`, `transition 2`, `the stem`."""
        if chain.is_output:
            number = sum(before.is_output for before in self.by_output.values())
            return "the output" if number == 1 else chain.output
        if chain.region in self.layers:
            block, number = self.layers[chain.region]
            return f"{self.titles[block]}, layer {number}"
        title = self.titles.get(chain.region, chain.region)
        region = self.spec.regions.get(chain.region)
        if region is None or region.kind != "dense_block":
            return title
        around = chain.ops[0].kind == "slice" and chain.ops[0].attrs["start"] == 0
        what = "bypass" if around else _IN_BLOCK.get(chain.ops[0].kind, "")
        return f"{title}'s {what}" if what else f"the output of {title}"

    def reader_title(self, chain: Chain) -> str:
        """Return what a chain is called as the reader of a join:
        what follows a block reads the block's output.
        """
        region = self.spec.regions.get(chain.join_region)
        is_in_layer = chain.region in self.layers or self.is_aggregation(chain)
        is_own = chain.region == chain.join_region or is_in_layer
        if region is not None and region.kind == "dense_block" and not is_own:
            return f"the output of {self.titles[chain.join_region]}"
        return self.title_of(chain)

    def is_aggregation(self, chain: Chain) -> bool:
        """Whether it begins in what aggregates a block's layers."""
        region = self.spec.regions.get(chain.region)
        return region is not None and region.kind == "aggregation"

    def skip_title(self, transition: str) -> str:
        """Return `block 5 (its skip)`, `the stem (its skip)`."""
        skip = self.spec.regions[transition].attrs["skip"]
        return f"{self.titles[skip] if skip == 'stem' else f'block {skip}'} (its skip)"

    def source_title(self, value: str, reader: Chain) -> str:
        """Return what a value of the spec is called in the words of a block:
        `layer 4`, `the block's input`.
        """
        chain = self.by_output[value]
        # Within one part its title would say nothing: there the operator's own name does.
        if chain.region == reader.region and chain.region:
            return value
        block = self.layers.get(reader.region, (reader.join_region, 0))[0]
        if self.is_aggregation(reader):
            block = self.spec.regions[reader.region].parent
        owner, number = self.layers.get(chain.region, ("", 0))
        if owner and owner == block:
            return f"layer {number}"
        if value in self.values_entering.get(block, ()):
            return "the block's input"
        return self.title_of(chain)

    @cached_property
    def last_layer_classes(self) -> Mapping[str, tuple[tuple[str, ...], ...]]:
        """The operators of the chains of the last layer of each of the spec's blocks."""
        layers: dict[str, str] = {}
        classes: dict[str, tuple[tuple[str, ...], ...]] = {}
        # In running order, so that what stays for a block is its last layer's.
        for chain in self.by_output.values():
            block = self.layers.get(chain.region, ("", 0))[0]
            if not block:
                continue
            is_same_layer = layers.get(block) == chain.region
            before = classes[block] if is_same_layer else ()
            layers[block], classes[block] = chain.region, (*before, chain.classes)
        return classes

    @cached_property
    def operand_ranks(self) -> Mapping[tuple[str, str], int]:
        """By a sum or product of the file and what it reads: where its partner reads the same."""
        partners = {found.output: expected.output for expected, found in self.complete_pairs}
        ranks: dict[tuple[str, str], int] = {}
        for expected, found in self.complete_pairs:
            if found.ops[0].kind not in COMMUTATIVE:
                continue
            for value in [each for each in found.reads if partners.get(each) in expected.reads]:
                ranks[found.output, value] = expected.reads.index(partners[value])
        return ranks

    @property
    def complete_pairs(self) -> Iterator[tuple[Chain, Chain]]:
        """The pairs of which neither is missing."""
        for expected, found in self.pairs:
            if expected is not None and found is not None:
                yield expected, found


def _number_in_spec(region: Region, usual: int) -> int:
    """The number that the spec gives a block or transition;
    one of no operators before it has no region.
    """
    return int(region.origin[1]) + 1 if len(region.origin) > 1 else usual


def compare_blocks(match: Match, name: str) -> tuple[BlockComparison, ...]:
    """Return the connections of every block, the file's derived from its own operators
    as the spec's are.
    """
    # By one function for both, so that a fault of its own cannot pass for the file's.
    expected = {found.block: found for found in derive_connections(match.spec)}
    found = {found.block: found for found in derive_connections(_put_in_regions(match, name))}
    return tuple(
        BlockComparison(
            block,
            len(found[block].sources),
            len(expected[block].sources),
            found[block].edges,
            expected[block].edges,
            tuple(sorted(_collect_edges(expected[block]) - _collect_edges(found[block]))),
            tuple(sorted(_collect_edges(found[block]) - _collect_edges(expected[block]))),
        )
        for block in expected
    )


def _collect_edges(block: BlockConnections) -> set[tuple[int, int]]:
    return {(layer, j) for layer, sources in enumerate(block.sources, start=1) for j in sources}


def _put_in_regions(match: Match, name: str) -> Graph:
    """The file's operators in the regions of their partners,
    with one concatenation for each join.
    """
    # A layer that the file lacks must not be counted, so layers come in as they are met.
    regions = {r.name: r for r in match.spec.regions.values() if r.kind != "dense_layer"}
    numbers, last = dict[str, int](), 0
    ops: list[Op] = []
    for (expected, found), surplus in zip(match.pairs, find_surplus_layers(match), strict=True):
        if found is None or found.is_output:
            continue
        places = [surplus.name if surplus else ""] * len(found.ops)
        if expected is not None:
            places = _find_regions(expected, found)
        # Layers are counted as the file has them: one too many has the number of the one before.
        for place in [each for each in places if surplus or each in match.layers]:
            regions[place] = surplus or match.spec.regions[place]
            last = numbers[place] = match.layers.get(place, ("", last))[1]
        within = places[0] if places[0] in numbers else (expected or found).join_region
        ops.extend(_place_ops(match, found, places, within))
    # Layers are numbered in the order of their regions.
    ordered = sorted(regions.values(), key=lambda region: numbers.get(region.name, 0))
    return Graph.of(name, ops, ordered)


def _place_ops(match: Match, found: Chain, places: Sequence[str], within: str) -> Iterator[Op]:
    """A chain's operators in their regions, and the concatenation that it reads,
    if any, in the region `within`.
    """
    reads, first = found.reads, found.ops[0]
    # The operands of a sum have no order of their own: they are put in the spec's.
    if first.kind in COMMUTATIVE:
        last, ranks = len(reads), match.operand_ranks
        in_order = sorted(reads, key=lambda value: ranks.get((found.output, value), last))
        reads = tuple(in_order)
    elif len(reads) > 1 and first.kind not in (*COMBINING, "concat"):
        joined = Op(f"{first.name} reads", "concat", reads, region=within)
        yield joined
        reads = (joined.name,)
    for op, place in zip(found.ops, places, strict=True):
        yield replace(op, inputs=reads, region=place)
        reads = (op.name,)


def _find_regions(expected: Chain, found: Chain) -> list[str]:
    """The regions of the operators of a file's chain:
    those of the spec's that they stand for, or of the one before.
    """
    regions = dict.fromkeys(range(len(found.ops)), "")
    # What is junk to `difflib` by default, a kind that stands often, is a layer's here.
    same = SequenceMatcher(None, expected.classes, found.classes, autojunk=False)
    for ours, theirs, size in same.get_matching_blocks():
        regions |= {theirs + n: expected.ops[ours + n].region for n in range(size)}
    last, filled = expected.region, list[str]()
    for region in regions.values():
        last = region or last
        filled.append(last)
    return filled


def find_surplus_layers(match: Match) -> list[Region | None]:
    """Return for each pair the layer that its chain is a part of
    where the file has more layers than the spec.
    """
    layers: list[Region | None] = []
    block, run = "", list[Chain]()
    for expected, found in match.pairs:
        if expected is not None:
            block, run = match.layers.get(expected.region, ("", 0))[0], []
        shape = match.last_layer_classes.get(block, ())
        if expected is not None or found is None or not shape:
            layers.append(None)
            continue
        # Behind a block's last layer, what is built like that layer is one more of its kind; a
        # layer of several chains repeats them in turn.
        if found.classes != shape[len(run) % len(shape)]:
            layers.append(None)
            continue
        run.append(found)
        # All chains of one layer are called after its first, so that they share a region.
        first = run[(len(run) - 1) // len(shape) * len(shape)]
        layers.append(Region(f"{block}.surplus of {first.output}", "dense_layer", block))
    return layers
