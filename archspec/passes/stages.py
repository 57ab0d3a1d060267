"""Pairs of chains as the stages of a spec: what the user calls each, and the connections of the file's blocks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from archspec.graph.connections import BlockConnections, block_connections, layers_of
from archspec.graph.ir import Graph, Op, Region
from archspec.passes.chains import Chain, Pair


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


@dataclass(frozen=True)
class Match:
    """Pairs of chains (the spec's, the file's); one without a partner stands beside None."""

    spec: Graph
    pairs: tuple[Pair, ...]

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
    def by_output(self) -> Mapping[str, Chain]:
        """The spec's chains by the value that they make."""
        return {expected.output: expected for expected, _ in self.pairs if expected is not None}

    @cached_property
    def entering(self) -> Mapping[str, tuple[str, ...]]:
        """What the first layer of each of the spec's blocks reads."""
        first = ((self.layers.get(chain.region), chain.reads) for chain in self.by_output.values())
        return {layer[0]: reads for layer, reads in first if layer is not None and layer[1] == 1}

    def title(self, chain: Chain) -> str:
        """Return `block 3, layer 17`, `transition 2`, `the stem`."""
        if chain.region not in self.layers:
            return self.titles.get(chain.region, chain.region)
        block, number = self.layers[chain.region]
        return f"{self.titles[block]}, layer {number}"

    def reader(self, chain: Chain) -> str:
        """Return what a chain is called as the reader of a join: what follows a block reads the block's output."""
        joins_a_block = chain.joined in self.titles and chain.region not in self.layers
        return f"the output of {self.titles[chain.joined]}" if joins_a_block else self.title(chain)

    def source(self, value: str, reader: Chain) -> str:
        """Return what a value of the spec is called in the words of a block: `layer 4`, `the block's input`."""
        chain = self.by_output[value]
        block = self.layers.get(reader.region, (reader.joined, 0))[0]
        owner, number = self.layers.get(chain.region, ("", 0))
        if owner and owner == block:
            return f"layer {number}"
        return "the block's input" if value in self.entering.get(block, ()) else self.title(chain)

    @property
    def both(self) -> Iterator[tuple[Chain, Chain]]:
        """The pairs of which neither is missing."""
        for expected, found in self.pairs:
            if expected is not None and found is not None:
                yield expected, found


def compared_blocks(match: Match, name: str) -> tuple[BlockComparison, ...]:
    """Return the connections of every block, the file's derived from its own operators as the spec's are."""
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


def _with_regions(match: Match, name: str) -> Graph:
    """The file's operators in the regions of their partners, with one concatenation for each join."""
    regions = {region.name: region for region in match.spec.regions.values() if region.kind != "dense_layer"}
    ops: list[Op] = []
    for (expected, found), block in zip(match.pairs, surplus_layers(match), strict=True):
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


def surplus_layers(match: Match) -> list[str]:
    """Return for each pair the block that its chain is a surplus layer of, or ''."""
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
