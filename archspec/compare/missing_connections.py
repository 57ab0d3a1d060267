"""Connections that are missing in a file or too many, each said once, where it is lost.

What a block's output, or a transition's with its skip, lacks, all who read it lack: it is the
join's fault.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from archspec.compare.chains import Chain
from archspec.compare.concat_sources import ResolvedReads
from archspec.compare.match import BlockComparison, Match

LackingValues = Mapping[str, frozenset[str]]
"""Values by the chain that reads them, or reads them not."""


def describe_connection_faults(match: Match) -> Iterator[str]:
    """Yield what does not read what it should,
    and what reads what it must not, in the user's words.
    """
    reads = _ConnectionFaults(match)
    for verb, lacks in (("does not read", reads.missing), ("must not read", reads.surplus)):
        for (reader, owner), values in reads.group_by_owner(lacks).items():
            who = reads.name_reader(reader, owner)
            yield from (
                f"{who} {verb} {what}" for what in reads.name_sources(reader, owner, values)
            )
    for output, doubled in reads.doubled.items():
        chain = match.by_output[output]
        yield from (
            f"{match.reader_title(chain)} reads {match.source_title(value, chain)} twice"
            for value in sorted(doubled)
        )


def describe_edge_faults(match: Match, block: BlockComparison) -> Iterator[str]:
    """Yield what the layers of a block do not read of each other, or must not."""
    for edges, verb in ((block.missing, "does not read"), (block.surplus, "must not read")):
        for layer, source in edges:
            of = f"layer {source}" if source else "the block's input"
            yield f"{match.titles[block.block]}, layer {layer} {verb} {of}"


def name_lost_connection(match: Match, expected: Chain, in_part: bool) -> str:
    """Return what is lost with a join or a sum that the file has not: the connection, which is what
    the user looks for; "" of another chain. `in_part`: the file has others of its part.
    """
    region, kind = match.spec.regions.get(expected.region), expected.ops[0].kind
    if region is None:
        return ""
    if in_part and region.attrs.get("skip") and kind == region.attrs["join"]:
        return f"{match.title_of(expected)} does not read {match.skip_title(region.name)}"
    if region.kind == "dense_block" and kind == "add":
        return f"{match.titles[region.name]} does not add its input to its output"
    return ""


@dataclass
class _ConnectionFaults:
    match: Match
    missing: dict[str, frozenset[str]] = field(default_factory=dict)
    surplus: dict[str, frozenset[str]] = field(default_factory=dict)
    doubled: dict[str, frozenset[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        partners = {found.output: expected.output for expected, found in self.match.complete_pairs}
        known = set(partners.values())
        ours, theirs = dict[str, Chain](), dict[str, Chain]()
        for expected, found in self.match.pairs:
            if expected is not None and found is None:
                ours[expected.output] = expected
            if found is not None and expected is None:
                theirs[found.output] = found
        for expected, found in self.match.complete_pairs:
            wanted = Counter(value for value in expected.reads if value in known)
            there = Counter(partners[value] for value in found.reads if value in partners)
            # Behind a chain too many stands what is read through it: not lost, only further away.
            behind = _find_values_behind(found.reads, theirs)
            excused = {partners[value] for value in behind if value in partners}
            self.missing[expected.output] = frozenset((wanted - there).keys() - excused)
            # As multisets: a value that is joined twice is there once too often.
            extra = frozenset(there - wanted)
            behind = _find_values_behind(expected.reads, ours)
            self.surplus[expected.output] = extra - wanted.keys() - behind
            self.doubled[expected.output] = extra & wanted.keys()

    def group_by_owner(self, lacks: LackingValues) -> Mapping[tuple[str, str], list[str]]:
        """The values by whose fault they are lacking:
        a reader's, and a join's where all its readers lack them.
        """
        found = defaultdict[tuple[str, str], dict[str, None]](dict)
        for chain, values in lacks.items():
            for value in self.sort(values):
                owner = self.find_owner(chain, value, lacks)
                shared = owner and len(self.readers[owner]) > 1
                # The first reader stands for all of a join's, so that they share one line.
                reader = next(iter(self.readers[owner])) if shared else chain
                found[reader, owner][value] = None
        return {who: list(values) for who, values in found.items()}

    def sort(self, values: Iterable[str]) -> list[str]:
        """Return values in the spec's order, in which a user finds them."""
        return sorted(values, key=self.position.__getitem__)

    def find_owner(self, chain: str, value: str, lacks: LackingValues) -> str:
        """The join that most chains read through, and all of these lack the value."""
        owner, most = "", (0, 0)
        for join in self.joins_read[chain]:
            readers = self.readers[join]
            # Of joins with as many readers, the innermost is nearest to the fault.
            rank = (len(readers), -len(self.leaves[join]))
            is_to_blame = all(value in lacks.get(reader, ()) for reader in readers)
            if is_to_blame and (not owner or rank > most):
                owner, most = join, rank
        return owner

    @cached_property
    def position(self) -> Mapping[str, int]:
        return {value: index for index, value in enumerate(self.match.by_output)}

    @cached_property
    def leaves(self) -> Mapping[str, tuple[str, ...]]:
        """What each concatenation of the spec joins, nested ones and idle operators written out."""
        written = ResolvedReads(self.match.plain).leaves
        return {name: parts for name, parts in written.items() if parts != (name,)}

    @cached_property
    def joins_read(self) -> Mapping[str, frozenset[str]]:
        """The concatenations that each chain reads through."""
        behind: dict[str, frozenset[str]] = {}
        nothing = frozenset[str]()
        for op in self.match.spec.ops.values():
            if op.name in self.leaves:
                below = nothing.union(*(behind.get(source, nothing) for source in op.inputs))
                behind[op.name] = below | {op.name} if op.kind == "concat" else below
        found: dict[str, frozenset[str]] = {}
        for chain in self.match.by_output.values():
            through = (behind.get(source, nothing) for source in chain.direct_reads)
            found[chain.output] = nothing.union(*through)
        return found

    @cached_property
    def readers(self) -> Mapping[str, dict[str, None]]:
        """The chains with a partner that read through each concatenation."""
        found = defaultdict[str, dict[str, None]](dict)
        for expected, _ in self.match.complete_pairs:
            for join in self.joins_read[expected.output]:
                found[join][expected.output] = None
        return found

    def name_reader(self, reader: str, owner: str) -> str:
        """What the user calls a reader, or the join that is at fault."""
        region = self.match.spec.regions.get(self.match.spec.ops[owner].region) if owner else None
        if region is not None and region.kind == "transition":
            return self.match.titles[region.name]
        if region is not None and region.kind == "dense_block" and len(self.readers[owner]) > 1:
            return f"the output of {self.match.titles[region.name]}"
        return self.match.reader_title(self.match.by_output[reader])

    def name_sources(self, reader: str, owner: str, values: Sequence[str]) -> Iterator[str]:
        """What the user calls the values:
        a skip or a block as a whole where all of it is lacking.
        """
        rest = list(values)
        for title, whole in self.list_wholes(owner):
            if len(whole) > 0 and whole <= {*rest}:
                rest = [value for value in rest if value not in whole]
                yield title
        chain = self.match.by_output[reader]
        parts = defaultdict[str, list[str]](list)
        for value in rest:
            parts[self.match.source_title(value, chain)].append(value)
        of_layers = Counter(
            self.match.by_output[value].region for value in self.leaves.get(owner, ())
        )
        for title, lacking in parts.items():
            region = self.match.by_output[lacking[0]].region
            part = region in self.match.layers and 0 < len(lacking) < of_layers[region]
            yield f"a part of {title}" if part else title

    def list_wholes(self, owner: str) -> Iterator[tuple[str, set[str]]]:
        # A whole is said to be lacking by what the file has of it: the rest is missing elsewhere.
        known = {expected.output for expected, _ in self.match.complete_pairs}
        join = self.match.spec.ops.get(owner)
        region = self.match.spec.regions.get(join.region) if join else None
        if join and region and region.attrs.get("skip"):
            skip = join.inputs[0 if region.attrs["skip_first"] else 1]
            yield self.match.skip_title(region.name), {*self.leaves.get(skip, (skip,))} & known
        for block in self.match.spec.regions_of("dense_block"):
            members = self.match.spec.members[block.name]
            joins = [member.name for member in members if member.kind == "concat"]
            # A block's last join is its output; of that itself the layers are said one by one.
            if joins and joins[-1] != owner:
                yield self.match.titles[block.name], {*self.leaves[joins[-1]]} & known


def _find_values_behind(values: Iterable[str], unpaired: Mapping[str, Chain]) -> set[str]:
    """What stands behind values that have no partner:
    their absence, or presence, is said by itself.
    """
    seen, waiting = set[str](), [value for value in values if value in unpaired]
    while waiting:
        value = waiting.pop()
        fresh = [source for source in unpaired[value].reads if source not in seen]
        seen.update(fresh)
        waiting.extend(source for source in fresh if source in unpaired)
    return seen
