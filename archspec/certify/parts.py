"""A file's network in parts, and what each reads of others: layer 17 reads layer 4, the head reads layer 16."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from archspec.passes.chains import Chain
from archspec.passes.stages import Match

KINDS = frozenset({"stem", "dense_layer", "aggregation", "transition", "head"})


@dataclass(slots=True)
class Part:
    """A layer, transition, head and so on; values are called as the file's graph calls them."""

    name: str
    title: str
    sources: dict[str, dict[str, None]] = field(default_factory=dict)
    """Values that it reads, by what the user calls their makers."""
    outputs: dict[str, None] = field(default_factory=dict)
    """Values that others read, or that the network gives."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a network."""

    of: Mapping[str, Part]
    """By the values that they make; the input is in none."""
    joins: Mapping[str, tuple[str, ...]]
    """Concatenations that stand by themselves, and what they join: they are their readers'."""

    @property
    def all(self) -> tuple[Part, ...]:
        """Each part once, in running order."""
        return tuple({part.name: part for part in self.of.values()}.values())


def parts_of(match: Match) -> Parts:
    """Return the parts of two equal graphs."""
    partners = {found.output: expected.output for expected, found in match.both}
    joins = {found.output: found.reads for _, found in match.both if found.ops[0].kind == "concat"}
    by_name, of = dict[str, Part](), dict[str, Part]()
    for expected, found in match.both:
        if found.ops[0].kind not in ("input", "output", "concat"):
            name = _name(match, expected)
            of[found.output] = by_name.setdefault(name, Part(name, match.title(expected)))
    for expected, found in match.both:
        own = of.get(found.output)
        for value in _leaves(found.reads, joins) if found.output not in joins else ():
            maker = of.get(value)
            if maker is not None and maker is not own:
                maker.outputs[value] = None
            if own is not None and maker is not own:
                own.sources.setdefault(match.source(partners[value], expected), {})[value] = None
    return Parts(of, joins)


def _leaves(values: tuple[str, ...], joins: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """What values are joined of."""
    for value in values:
        yield from joins.get(value, (value,))


def _name(match: Match, chain: Chain) -> str:
    """Its region; what stands between the parts of a block is a part by itself."""
    region = match.spec.regions.get(chain.region)
    return region.name if region is not None and region.kind in KINDS else chain.output
