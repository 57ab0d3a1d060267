"""Lists that stand apart in a file, `blocks.0, blocks.1, trans.0`, joined as the network runs.

A part is all that shares the text up to a number of the place: `blocks.0`. In the network a part's
operators follow one another, and parts of one list keep their order. How the lists alternate, the
shapes must say: all ways of joining them are walked at once, and the pairing counts if there is
exactly one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product

from archspec.weights.pairing.grouping import Operator, Operators, group_by_kind, pair_roles

DEPTHS = (1, 2)
"""At which number of a place its list ends."""
MAX_STATES = 5000

Pairs = dict[str, str]
PartsTaken = tuple[int, ...]
"""How many parts of each list have been taken."""


def join_lists(operators: Mapping[str, Operator], network: Operators) -> list[Pairs]:
    """Return the pairings that the shapes allow: none, one, or two of several.

    Args:
        operators: a file's, by place, without what all places begin with.
        network: the operators to pair them with.
    """
    for depth in DEPTHS:
        pairings = _walk_joinings(list(_find_lists(operators, depth).values()), network)
        if pairings:
            return pairings
    return []


def _find_lists(operators: Mapping[str, Operator], depth: int) -> dict[str, list[Operators]]:
    """The parts of each list, in the order in which they first appear."""
    parts: dict[tuple[str, str], list[Operator]] = {}
    for place, operator in operators.items():
        parts.setdefault(_split_place(place, depth), []).append(operator)
    lists: dict[str, list[Operators]] = {}
    for (name, _), members in parts.items():
        lists.setdefault(name, []).append(group_by_kind(members))
    return lists


def _split_place(place: str, depth: int) -> tuple[str, str]:
    """`("blocks.", "1")` of `blocks.1.0.bn1`; at the second number `("blocks.1.", "0")`."""
    found = re.match(rf"((?:\D*\d+){{{depth - 1}}}\D*)(\d+)", place)
    return (found[1], found[2]) if found else (place, "")


def _walk_joinings(lists: Sequence[Sequence[Operators]], network: Operators) -> list[Pairs]:
    """All ways at once, a part a step; ways that have taken the same parts share what follows."""
    states: dict[PartsTaken, list[Pairs]] = {(0,) * len(lists): [{}]}
    for _ in range(sum(map(len, lists))):
        states = _take_step(states, lists, network)
        # Lists whose shapes tell little apart have more ways than could be walked.
        if len(states) > MAX_STATES:
            return []
    return states.get(tuple(map(len, lists)), [])


def _take_step(
    states: Mapping[PartsTaken, Sequence[Pairs]],
    lists: Sequence[Sequence[Operators]],
    network: Operators,
) -> dict[PartsTaken, list[Pairs]]:
    following: dict[PartsTaken, list[Pairs]] = {}
    for at, pairings in states.items():
        for to, pairs in _next_steps(at, lists, network):
            _add_pairings(following.setdefault(to, []), pairings, pairs)
    return following


def _add_pairings(known: list[Pairs], pairings: Sequence[Pairs], pairs: Pairs) -> None:
    """Two that differ are enough to know that there is a choice."""
    for pairing in pairings:
        longer = {**pairing, **pairs}
        if len(known) < 2 and longer not in known:
            known.append(longer)


def _next_steps(
    at: PartsTaken, lists: Sequence[Sequence[Operators]], network: Operators
) -> Iterator[tuple[PartsTaken, Pairs]]:
    """Every part that may come next: its operators have the shapes of the network's next ones."""
    begins = dict.fromkeys(network, 0)
    for parts, count in zip(lists, at, strict=True):
        for kind, part in product(network, parts[:count]):
            begins[kind] += len(part[kind])
    for index, parts in enumerate(lists):
        pairs = _pair_part(parts[at[index]], network, begins) if at[index] < len(parts) else None
        if pairs is not None:
            yield (*at[:index], at[index] + 1, *at[index + 1 :]), pairs


def _pair_part(part: Operators, network: Operators, begins: Mapping[str, int]) -> Pairs | None:
    pairs: Pairs = {}
    for kind, operators in part.items():
        begin = begins[kind]
        own = network[kind][begin : begin + len(operators)]
        found = _pair_operators(operators, own)
        if found is None:
            return None
        pairs |= found
    return pairs


def _pair_operators(theirs: Sequence[Operator], ours: Sequence[Operator]) -> Pairs | None:
    if len(ours) < len(theirs):
        return None
    pairs: Pairs = {}
    for their, our in zip(theirs, ours, strict=True):
        found = _pair_operator(their, our)
        if found is None:
            return None
        pairs |= found
    return pairs


def _pair_operator(theirs: Operator, ours: Operator) -> Pairs | None:
    """The tensors of two operators in pairs; None where a role or a shape is another."""
    if theirs.keys() != ours.keys():
        return None
    tensors = pair_roles(theirs, ours)
    if any(shape != wanted for _, shape, _, wanted in tensors):
        return None
    return {name: our_name for name, _, our_name, _ in tensors}
