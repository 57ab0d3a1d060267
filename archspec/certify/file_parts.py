"""A file's network in parts, and what each reads of others:
layer 17 reads layer 4, the head reads layer 16.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from archspec.compare.chains import Chain
from archspec.compare.match import Match

KINDS = frozenset({"stem", "dense_layer", "aggregation", "transition", "head"})


@dataclass(frozen=True, slots=True)
class FilePart:
    """A layer, transition, head and so on; values are called as the file's graph calls them."""

    name: str
    title: str
    sources: Mapping[str, tuple[str, ...]]
    """Values that it reads, by what the user calls their makers."""
    outputs: tuple[str, ...]
    """Values that others read, or that the network gives."""


@dataclass(frozen=True, slots=True)
class FileParts:
    """The parts of a network."""

    in_order: tuple[FilePart, ...]
    """In running order."""
    by_value: Mapping[str, FilePart]
    """By the values that they make; the input is in none."""
    joins: Mapping[str, tuple[str, ...]]
    """Concatenations that stand by themselves, and what they join: they are their readers'."""


Values = dict[str, None]
"""In order, each once."""


def find_parts(match: Match) -> FileParts:
    """Return the parts of two equal graphs."""
    partners = {found.output: expected.output for expected, found in match.complete_pairs}
    # A join has no weights: whoever reads it reads what it joins.
    chains = [found for _, found in match.complete_pairs]
    joins = {found.output: found.reads for found in chains if found.ops[0].kind == "concat"}
    owners, titles = _find_owners(match)
    outputs, sources = defaultdict[str, Values](dict), defaultdict[str, dict[str, Values]](dict)
    for expected, found, value in _walk_readings(match, joins):
        maker, reader = owners.get(value), owners.get(found.output)
        if maker == reader:
            continue  # within a part
        if maker is not None:
            outputs[maker][value] = None
        if reader is not None:
            title = match.source_title(partners[value], expected)
            sources[reader].setdefault(title, {})[value] = None
    parts: dict[str, FilePart] = {}
    for name, title in titles.items():
        read = {who: tuple(values) for who, values in sources[name].items()}
        parts[name] = FilePart(name, title, read, tuple(outputs[name]))
    by_value = {value: parts[name] for value, name in owners.items()}
    return FileParts(tuple(parts.values()), by_value, joins)


def _find_owners(match: Match) -> tuple[dict[str, str], dict[str, str]]:
    """The part that makes each value, and what the user calls each part."""
    owners, titles = dict[str, str](), dict[str, str]()
    for expected, found in match.complete_pairs:
        if found.ops[0].kind not in ("input", "output", "concat"):
            owners[found.output] = _name_part(match, expected)
            titles.setdefault(owners[found.output], match.title_of(expected))
    return owners, titles


def _walk_readings(
    match: Match, joins: Mapping[str, tuple[str, ...]]
) -> Iterator[tuple[Chain, Chain, str]]:
    """Yield each pair of chains that is no join with each value that it reads."""
    for expected, found in match.complete_pairs:
        if found.output in joins:
            continue
        for value in _walk_leaves(found.reads, joins):
            yield expected, found, value


def _walk_leaves(values: tuple[str, ...], joins: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """What values are joined of."""
    for value in values:
        yield from joins.get(value, (value,))


def _name_part(match: Match, chain: Chain) -> str:
    """Its region; what stands between the parts of a block is a part by itself."""
    region = match.spec.regions.get(chain.region)
    return region.name if region is not None and region.kind in KINDS else chain.output
