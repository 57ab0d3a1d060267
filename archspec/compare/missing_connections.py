"""Connections that are missing in a file or too many, each said once, where it is lost.

What a block's output, or a transition's with its skip, lacks, all who read it lack: it is the join's fault.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from archspec.compare.chains import Chain
from archspec.compare.concat_sources import Joins
from archspec.compare.match import Match
from archspec.compare.simplify import as_it_is_read

Lacks = Mapping[str, frozenset[str]]
"""Values by the chain that reads them, or reads them not."""


def connection_lines(match: Match) -> Iterator[str]:
    """Yield what does not read what it should, and what reads what it must not, in the user's words."""
    reads = _Reads(match)
    for verb, lacks in (("does not read", reads.missing), ("must not read", reads.surplus)):
        for (reader, owner), values in reads.by_owner(lacks).items():
            who = reads.name(reader, owner)
            yield from (f"{who} {verb} {what}" for what in reads.sources(reader, owner, values))
    for output, doubled in reads.twice.items():
        chain = match.by_output[output]
        yield from (
            f"{match.reader(chain)} reads {match.source(value, chain)} twice"
            for value in sorted(doubled)
        )


@dataclass
class _Reads:
    match: Match
    missing: dict[str, frozenset[str]] = field(default_factory=dict)
    surplus: dict[str, frozenset[str]] = field(default_factory=dict)
    twice: dict[str, frozenset[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        partners = {found.output: expected.output for expected, found in self.match.both}
        known = set(partners.values())
        ours = {
            chain.output: chain
            for chain, other in self.match.pairs
            if chain is not None and other is None
        }
        theirs = {
            chain.output: chain
            for other, chain in self.match.pairs
            if chain is not None and other is None
        }
        for expected, found in self.match.both:
            wanted = Counter(value for value in expected.reads if value in known)
            there = Counter(partners[value] for value in found.reads if value in partners)
            excused = {
                partners[value] for value in _behind(found.reads, theirs) if value in partners
            }
            self.missing[expected.output] = frozenset((wanted - there).keys() - excused)
            extra = frozenset(there - wanted)
            self.surplus[expected.output] = extra - wanted.keys() - _behind(expected.reads, ours)
            self.twice[expected.output] = extra & wanted.keys()

    def by_owner(self, lacks: Lacks) -> Mapping[tuple[str, str], list[str]]:
        """The values by whose fault they are lacking: a reader's, and a join's where all its readers lack them."""
        found = defaultdict[tuple[str, str], list[str]](list)
        for chain, values in lacks.items():
            for value in sorted(values, key=self.position.__getitem__):
                owner = self.owner(chain, value, lacks)
                shared = owner and len(self.readers[owner]) > 1
                reader = next(iter(self.readers[owner])) if shared else chain
                if value not in found[reader, owner]:
                    found[reader, owner].append(value)
        return found

    def owner(self, chain: str, value: str, lacks: Lacks) -> str:
        """The join that most chains read through, and all of these lack the value."""
        joins = [
            join
            for join in self.trees[chain]
            if all(value in lacks.get(reader, ()) for reader in self.readers[join])
        ]
        return max(
            joins, key=lambda join: (len(self.readers[join]), -len(self.leaves[join])), default=""
        )

    @cached_property
    def position(self) -> Mapping[str, int]:
        return {value: index for index, value in enumerate(self.match.by_output)}

    @cached_property
    def leaves(self) -> Mapping[str, tuple[str, ...]]:
        """What each concatenation of the spec joins, nested ones and idle operators written out."""
        written = Joins(as_it_is_read(self.match.spec)).written
        return {name: parts for name, parts in written.items() if parts != (name,)}

    @cached_property
    def trees(self) -> Mapping[str, frozenset[str]]:
        """The concatenations that each chain reads through."""
        ops, behind = self.match.spec.ops, dict[str, frozenset[str]]()
        for op in ops.values():
            if op.name in self.leaves:
                below = frozenset().union(
                    *(behind.get(source, frozenset()) for source in op.inputs)
                )
                behind[op.name] = below | {op.name} if op.kind == "concat" else below
        return {
            chain.output: frozenset().union(
                *(behind.get(source, frozenset()) for source in chain.through)
            )
            for chain in self.match.by_output.values()
        }

    @cached_property
    def readers(self) -> Mapping[str, dict[str, None]]:
        """The chains with a partner that read through each concatenation."""
        found = defaultdict[str, dict[str, None]](dict)
        for expected, _ in self.match.both:
            for join in self.trees[expected.output]:
                found[join][expected.output] = None
        return found

    def name(self, reader: str, owner: str) -> str:
        """What the user calls a reader, or the join that is at fault."""
        region = self.match.spec.regions.get(self.match.spec.ops[owner].region) if owner else None
        if region is not None and region.kind == "transition":
            return self.match.titles[region.name]
        if region is not None and region.kind == "dense_block" and len(self.readers[owner]) > 1:
            return f"the output of {self.match.titles[region.name]}"
        return self.match.reader(self.match.by_output[reader])

    def sources(self, reader: str, owner: str, values: Sequence[str]) -> Iterator[str]:
        """What the user calls the values: a skip or a block as a whole where all of it is lacking."""
        rest = list(values)
        for title, whole in self.wholes(owner):
            if len(whole) > 0 and whole <= {*rest}:
                rest = [value for value in rest if value not in whole]
                yield title
        chain = self.match.by_output[reader]
        parts = defaultdict[str, list[str]](list)
        for value in rest:
            parts[self.match.source(value, chain)].append(value)
        of_layers = Counter(
            self.match.by_output[value].region for value in self.leaves.get(owner, ())
        )
        for title, lacking in parts.items():
            region = self.match.by_output[lacking[0]].region
            part = region in self.match.layers and 0 < len(lacking) < of_layers[region]
            yield f"a part of {title}" if part else title

    def wholes(self, owner: str) -> Iterator[tuple[str, set[str]]]:
        known = {expected.output for expected, _ in self.match.both}
        join = self.match.spec.ops.get(owner)
        region = self.match.spec.regions.get(join.region) if join else None
        if join and region and region.attrs.get("skip"):
            skip = join.inputs[0 if region.attrs["skip_first"] else 1]
            yield self.match.skip_title(region.name), {*self.leaves.get(skip, (skip,))} & known
        for block in self.match.spec.regions_of("dense_block"):
            joins = [
                member.name
                for member in self.match.spec.members[block.name]
                if member.kind == "concat"
            ]
            if joins and joins[-1] != owner:
                yield self.match.titles[block.name], {*self.leaves[joins[-1]]} & known


def _behind(values: Iterable[str], unpaired: Mapping[str, Chain]) -> set[str]:
    """What stands behind values that have no partner: their absence, or presence, is said by itself."""
    seen, waiting = set[str](), [value for value in values if value in unpaired]
    while waiting:
        value = waiting.pop()
        for source in unpaired[value].reads if value in unpaired else ():
            if source not in seen:
                seen.add(source)
                waiting.append(source)
    return seen
