"""How many blocks does a file have?

Counted in its structure, for nothing else in it says what a block is.

A block ends where all that was made before is joined and nothing of it is read later: only so many
values stand between blocks. Where skips or features go round such a place, blocks cannot be counted
so, and are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from archspec.compare.chains import Chain
from archspec.compare.match import Match


def count_blocks(match: Match) -> int | None:
    """Return how many blocks the file has;
    None where its blocks, or the spec's, cannot be counted in this way.
    """
    ours = [expected for expected, _ in match.pairs if expected is not None]
    theirs = [found for _, found in match.pairs if found is not None]
    blocks = len(match.spec.regions_of("dense_block"))
    ends = list(_find_narrow_places(ours))
    # A stem may join branches too, as PeleeNet's does, and is no block.
    of_blocks = sum(chain.region != "stem" and chain.join_region != "stem" for chain in ends)
    found = list(_find_narrow_places(theirs))
    known_classes = {chain.classes for chain in ends}
    of_their_kind = all(chain.classes in known_classes for chain in found)
    # Without a head nothing reads the last block's join, so its end is no narrow place. Where the
    # method does not find the spec's own blocks, it says nothing of the file's.
    if of_blocks != blocks - (not match.spec.regions_of("head")) or not of_their_kind:
        return None
    return blocks + len(found) - len(ends)


def _find_narrow_places(chains: Sequence[Chain]) -> Iterator[Chain]:
    """The chains that read a join behind which nothing reads what was made before."""
    # An output reads a block's feature at the very end, though nothing goes on from there.
    inner = [chain for chain in chains if not chain.is_output]
    last_read: dict[str, int] = {}
    for position, chain in enumerate(inner):
        last_read |= dict.fromkeys(chain.reads, position)
    latest = 0
    for position, chain in enumerate(inner):
        if len({*chain.reads}) > 1 and latest <= position:
            yield chain
        # Only behind the test: what this chain itself gives is what goes on from the place.
        latest = max(latest, last_read.get(chain.output, 0))
