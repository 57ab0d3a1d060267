"""Pairing by order, for names that follow no rule: the k-th convolution is the k-th convolution.

The operators of each kind are paired one by one, and every shape must agree. A file has two orders:
that in which its tensors stand, which is that in which its author defined the network, and that of
the numbers in its names (layer2 before layer10). The first that fits counts, unless the second fits
too and contradicts it: bn2 before bn1. Names that stand sorted, as in a .safetensors file, have the
second alone. Where neither fits, lists that stand apart are joined if their shapes leave one way.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from archspec.errors import Diagnostic, ModelFileError
from archspec.graph.parameters import Parameter
from archspec.weights.pairing.grouping import (
    MAX_LISTED,
    Operator,
    Operators,
    group_by_kind,
    group_file,
    group_network,
    pair_roles,
)
from archspec.weights.pairing.naming import list_prefixes
from archspec.weights.pairing.separate_lists import Pairs, join_lists


@dataclass(frozen=True)
class OrderPairing:
    """A pairing."""

    pairs: Mapping[str, str]
    """The file's name of each tensor -> ours."""
    remark: str = ""
    """How it was found, where that is not as the tensors stand."""


def pair_by_order(
    tensors: Mapping[str, Any], wanted: Mapping[str, Parameter], where: str
) -> OrderPairing:
    """Return for each name of a file our name, by order within each kind.

    Args:
        tensors: anything with a `shape`, by the file's names and in the file's order.
        wanted: the parameters of the network.
        where: the file, for the error.

    Raises:
        ModelFileError: R012, tensors that are no operator's, kinds that differ in number or
            shapes, or two ways.
    """
    network = group_network(wanted)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    orders, faults, pairings = [], [], []
    for names in _list_orders(list(tensors)):
        order = group_file({name: shapes[name] for name in names}, where)
        found = group_by_kind(order.values())
        orders.append(order)
        faults.append(_find_differences(found, network, where))
        if not faults[-1]:
            pairings.append(_pair_tensors(found, network))
    if pairings:
        return _choose_pairing(pairings, list(tensors), where)
    joined = _pair_lists(orders, network, where)
    if joined is None:
        # Of both orders, the one that fits best is the one whose faults help.
        raise ModelFileError(_add_hint(min(faults, key=len)))
    return joined


def _list_orders(names: list[str]) -> list[list[str]]:
    """The file's own order first, unless it is that of the alphabet, which says nothing."""
    by_numbers = sorted(names, key=_natural_key)
    return [by_numbers, names] if names == sorted(names) else [names, by_numbers]


def _natural_key(name: str) -> list[tuple[int, int, str]]:
    """A key that sorts numbers as numbers: layer2 before layer10."""
    key = []
    for part in filter(None, re.split(r"([0-9]+)", name)):
        # Numbers come before words, with which they cannot be compared.
        key.append((0, int(part), "") if part.isdigit() else (1, 0, part))
    return key


def _choose_pairing(pairings: Sequence[Pairs], names: Sequence[str], where: str) -> OrderPairing:
    """The first pairing; refused where numbers in the names run against the file's order."""
    taken, other = pairings[0], pairings[-1]
    # Sorted names say nothing of the order in which the network was defined.
    if taken != other and names != sorted(names) and _runs_back(names):
        name = next(name for name in taken if taken[name] != other[name])
        both = f"{name} is {taken[name]} by its place, {other[name]} by the numbers in the names"
        raise ModelFileError.one("R012", f"two orders fit: {both}", where, "write a --map")
    return OrderPairing(taken)


def _runs_back(names: Sequence[str]) -> bool:
    """Do names that differ in numbers alone stand in another order than these: bn2 before bn1?"""
    last: dict[str, list[int]] = {}
    for name in names:
        numbers = [int(number) for number in re.findall(r"[0-9]+", name)]
        text = re.sub(r"[0-9]+", "#", name)
        if last.get(text, numbers) > numbers:
            return True
        last[text] = numbers
    return False


def _pair_lists(
    orders: Sequence[Mapping[str, Operator]], network: Operators, where: str
) -> OrderPairing | None:
    # What all places begin with, `module.`, says nothing of lists.
    shared = len(list_prefixes(list(orders[0]))[-1])
    for order in orders:
        places = {place[shared:]: operator for place, operator in order.items()}
        pairings = join_lists(places, network)
        if pairings[1:]:
            first, second = pairings
            name = next(name for name in first if first[name] != second[name])
            both = f"{name} is {first[name]} or {second[name]}"
            message = f"has lists that fit in several ways: {both}"
            raise ModelFileError.one("R012", message, where, "write a --map")
        if pairings:
            how = "the file's lists stand apart; they were joined in the one way that shapes allow"
            return OrderPairing(pairings[0], how)
    return None


def _add_hint(faults: Sequence[Diagnostic]) -> list[Diagnostic]:
    first, *rest = faults
    hint = "in no order do the tensors fit: is it the spec's network? If so, write a --map"
    return [replace(first, hint=hint), *rest]


def _find_differences(found: Operators, network: Operators, where: str) -> list[Diagnostic]:
    # Numbers first: where these differ, all pairs behind the first fault are wrong.
    counts = []
    for kind in network:
        if len(found[kind]) != len(network[kind]):
            counts.append(f"{len(found[kind])} of {len(network[kind])} {kind}")
    if counts:
        return [Diagnostic("R012", f"has {', '.join(counts)} operators", where)]
    pairs = list(_walk_pairs(found, network))
    others = []
    for theirs, own in pairs:
        if theirs.keys() != own.keys():
            others.append(f"{_format_names(theirs)} where the network has {_format_names(own)}")
    if others:
        return [Diagnostic("R012", f"has {other}", where) for other in others[:MAX_LISTED]]
    shapes = list(chain.from_iterable(_compare_shapes(theirs, own) for theirs, own in pairs))
    faults = [Diagnostic("R012", f"has {shape}", where) for shape in shapes[:MAX_LISTED]]
    rest = len(shapes) - MAX_LISTED
    return [*faults, Diagnostic("R012", f"and {rest} more", where)] if rest > 0 else faults


def _compare_shapes(theirs: Operator, own: Operator) -> Iterator[str]:
    for name, shape, ours, wanted in pair_roles(theirs, own):
        if shape != wanted:
            yield f"{name} as {shape} where the network has {ours} as {wanted}"


def _walk_pairs(found: Operators, network: Operators) -> Iterator[tuple[Operator, Operator]]:
    for kind in network:
        yield from zip(found[kind], network[kind], strict=True)


def _format_names(operator: Operator) -> str:
    return ", ".join(name for name, _ in operator.values())


def _pair_tensors(found: Operators, network: Operators) -> Pairs:
    pairs: Pairs = {}
    for theirs, own in _walk_pairs(found, network):
        pairs |= {name: ours for name, _, ours, _ in pair_roles(theirs, own)}
    return pairs
