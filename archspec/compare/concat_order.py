"""Another order inside a concatenation:
the channels of the weights behind it are permuted, or is it another network?

Permuted channels pass through what works on each channel by itself, and end at a convolution or a
dense layer, whose weights may be permuted alike. What tells channels apart by their place must not
read them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from archspec.compare.chains import Chain
from archspec.compare.match import Match
from archspec.operators.table import COMBINING, COMMUTATIVE, OPERATORS


@dataclass(frozen=True)
class JoinOrders:
    """Joins of a file whose sources stand in another order than the spec's."""

    reordered: tuple[str, ...]
    """What the user calls their readers."""
    faults: tuple[str, ...]
    """Of those that make another network: what depends on the order."""


def compare_join_orders(match: Match) -> JoinOrders:
    """Return the joins in another order, and whether that matters."""
    walk = _OrderWalk(match)
    faults = tuple(dict.fromkeys(walk.find_faults()))
    return JoinOrders(tuple(walk.reordered), faults)


Permutation = tuple[Any, ...]
"""What tells one permutation of channels from another."""


@dataclass
class _OrderWalk:
    match: Match
    reordered: list[str] = field(default_factory=list)
    moved: dict[str, tuple[str, Permutation]] = field(default_factory=dict)
    """Values whose channels stand in another order:
    the reader of the join that makes it so, and how they stand."""

    def find_faults(self) -> Iterator[str]:
        partners = {found.output: expected.output for expected, found in self.match.complete_pairs}
        for expected, found in self.match.complete_pairs:
            reads = tuple(partners.get(value, "") for value in found.reads)
            if expected.ops[0].kind in COMBINING:
                yield from self._combine(expected, reads)
            else:
                yield from self._join(expected, reads)

    def _join(self, chain: Chain, reads: tuple[str, ...]) -> Iterator[str]:
        """A chain whose partner reads `reads`, in the spec's words: in another order, or values
        whose channels stand in one.
        """
        moved = tuple(self.moved[value] for value in chain.reads if value in self.moved)
        # A join of permuted values permutes in a way of its own, as does one in another order.
        joined = (chain.reads, reads, moved)
        if _is_in_another_order(reads, chain.reads):
            self.reordered.append(self.match.reader_title(chain))
            yield from self._follow(chain, self.reordered[-1], joined)
        elif moved:
            origin, how = moved[0]
            yield from self._follow(chain, origin, how if len(reads) == 1 else joined)

    def _follow(self, chain: Chain, origin: str, how: Permutation) -> Iterator[str]:
        """Follow permuted channels through a chain."""
        for op in chain.ops:
            if OPERATORS[op.kind].tells_places(op.attrs):
                what = self.match.title_of(chain) if op.kind == "output" else op.name
                yield f"{origin} joins its sources in another order, on which {what} depends"
                return
            if OPERATORS[op.kind].mixes(op.attrs):
                return
        self.moved[chain.output] = origin, how

    def _combine(self, chain: Chain, reads: tuple[str, ...]) -> Iterator[str]:
        """A sum or product of channels that are permuted alike,
        or made by weights that may be permuted alike. What does not commute has its order.
        """
        if chain.ops[0].kind not in COMMUTATIVE and _is_in_another_order(reads, chain.reads):
            name = self.match.reader_title(chain)
            yield f"{name} joins its sources in another order, on which it depends"
            return
        moved = {value: self.moved[value] for value in chain.reads if value in self.moved}
        if not moved:
            return
        origin, how = next(iter(moved.values()))
        if self._may_combine(chain, moved, how):
            yield from self._follow(chain, origin, how)
            return
        what = chain.ops[0].name
        yield f"{origin} joins its sources in another order, on which {what} depends"

    def _may_combine(
        self, chain: Chain, moved: Mapping[str, tuple[str, Permutation]], how: Permutation
    ) -> bool:
        # Channels that stand in two ways would be added to others than in the spec.
        if any(other != how for _, other in moved.values()):
            return False
        return all(value in moved or self._is_free(value) for value in chain.reads)

    def _is_free(self, value: str) -> bool:
        """Whether the weights that make a value may be permuted without anyone noticing."""
        made = self.match.by_output[value]
        # Another reader would meet its channels in another order too.
        if self.match.reader_counts[value] != 1:
            return False
        # From the end: the nearest weights that mix channels are those that could be permuted.
        for op in reversed(made.ops):
            if OPERATORS[op.kind].mixes(op.attrs):
                return True
            if OPERATORS[op.kind].tells_places(op.attrs):
                return False
        return False


def _is_in_another_order(reads: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    return reads != wanted and Counter(reads) == Counter(wanted)
