"""Pairing by order, for names that follow no rule: the k-th convolution is the k-th convolution.

Tensors are gathered to operators by what stands before the last dot of their names. A tensor of four dimensions
makes a convolution, one of two a dense layer, several vectors make a norm; which vector is which, the last part of
the name says (a single vector is the slope of a PReLU). The operators of each kind are paired one by one, and every
shape must agree.

A file has two orders: that in which its tensors stand, and that of the numbers in its names (layer2 before
layer10; a .safetensors file has the second alone). The pairing counts if exactly one
of them fits the network, or if both fit and say the same. Two that fit and differ are ambiguous, and refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from archspec.errors import Diagnostic, ModelFileError
from archspec.graph.parameters import Parameter

ROLES: Mapping[str, tuple[str, ...]] = {
    "gamma": ("gamma", "weight", "scale"),
    "beta": ("beta", "bias", "offset", "shift"),
    "moving_mean": ("moving_mean", "running_mean", "mean"),
    "moving_variance": (
        "moving_variance",
        "running_var",
        "running_variance",
        "moving_var",
        "variance",
        "var",
    ),
}
KINDS: Mapping[tuple[int, bool | None], str] = {
    (4, None): "conv",
    (2, None): "dense",
    (1, True): "norm",
    (1, False): "slope",  # of a PReLU
}
"""By the most dimensions that a tensor of the operator has, and for vectors whether there are several."""
LISTED = 20

Shape = tuple[int, ...]
Operator = Mapping[str, tuple[str, Shape]]
"""An operator's tensors by role: name and shape."""
Operators = Mapping[str, list[Operator]]
"""Those of each kind, in order."""


def paired_by_order(
    tensors: Mapping[str, Any], wanted: Mapping[str, Parameter], where: str
) -> dict[str, str]:
    """Return for each name of a file our name, by order within each kind.

    Args:
        tensors: anything with a `shape`, by the file's names and in the file's order.
        wanted: the parameters of the network.
        where: the file, for the error.

    Raises:
        ModelFileError: R012, tensors that are no operator's, kinds that differ in number or shapes, or two orders.
    """
    network = _of_network(wanted)
    faults: list[list[Diagnostic]] = []
    pairings: list[dict[str, str]] = []
    for names in (list(tensors), sorted(tensors, key=_natural)):
        found = _of_file({name: tuple(tensors[name].shape) for name in names}, where)
        wrong = _differences(found, network, where)
        faults.append(wrong)
        if not wrong:
            pairings.append(_pairs(found, network))
    if not pairings:
        raise ModelFileError(faults[0] if len(faults[0]) <= len(faults[1]) else faults[1])
    if pairings[0] != pairings[-1]:
        name = next(name for name in pairings[0] if pairings[0][name] != pairings[-1][name])
        both = f"{name} is {pairings[0][name]} by its place, {pairings[-1][name]} by the numbers in the names"
        raise ModelFileError.one("R012", f"two orders fit: {both}", where, "write a --map")
    return pairings[0]


def _natural(name: str) -> list[tuple[int, int, str]]:
    """A key that sorts numbers as numbers: layer2 before layer10."""
    return [
        (0, int(part), "") if part.isdigit() else (1, 0, part)
        for part in re.split(r"([0-9]+)", name)
        if part
    ]


def _of_network(wanted: Mapping[str, Parameter]) -> Operators:
    operators: dict[str, dict[str, tuple[str, Shape]]] = {}
    for name, parameter in wanted.items():
        operators.setdefault(parameter.operator, {})[parameter.role] = (name, parameter.shape)
    return _by_kind(operators.values())


def _by_kind(operators: Iterable[Operator]) -> Operators:
    kinds: dict[str, list[Operator]] = {kind: [] for kind in KINDS.values()}
    for operator in operators:
        kinds[_kind([shape for _, shape in operator.values()])].append(operator)
    return kinds


def _kind(shapes: Sequence[Shape]) -> str:
    dimensions = max(map(len, shapes))
    return KINDS.get((dimensions, len(shapes) > 1 if dimensions == 1 else None), "")


def _of_file(shapes: Mapping[str, Shape], where: str) -> Operators:
    gathered: dict[str, dict[str, Shape]] = {}
    for name, shape in shapes.items():
        gathered.setdefault(name.rpartition(".")[0], {})[name] = shape
    operators = {place: _by_role(members) for place, members in gathered.items()}
    faults = [
        _told(place, gathered[place]) for place, operator in operators.items() if operator is None
    ]
    if faults:
        named = f"{'; '.join(faults[:LISTED])}{' and others' if len(faults) > LISTED else ''}"
        hint = "a norm's vectors are told apart by names such as gamma, weight, running_mean; or write a --map"
        raise ModelFileError.one(
            "R012", f"has tensors that make no conv, dense or norm: {named}", where, hint
        )
    return _by_kind(operator for operator in operators.values() if operator)


def _told(place: str, members: Mapping[str, Shape]) -> str:
    return (
        f"{place or next(iter(members))} ({', '.join(name.rpartition('.')[2] for name in members)})"
    )


def _by_role(members: Mapping[str, Shape]) -> Operator | None:
    """An operator's tensors by MindSpore's roles, if each has one and no two the same."""
    kind = _kind(list(members.values()))
    found = {
        _role(kind, name.rpartition(".")[2], shape): (name, shape)
        for name, shape in members.items()
    }
    return None if "" in found or len(found) < len(members) else found


def _role(kind: str, last: str, shape: Shape) -> str:
    if kind == "norm":
        return next((role for role, names in ROLES.items() if last in names), "")
    if kind == "slope":
        return "w"
    return {"": ""}.get(kind, "weight" if len(shape) > 1 else "bias")


def _differences(found: Operators, network: Operators, where: str) -> list[Diagnostic]:
    counts = [
        f"{len(found[kind])} of {len(network[kind])} {kind}"
        for kind in network
        if len(found[kind]) != len(network[kind])
    ]
    if counts:
        return [Diagnostic("R012", f"has {', '.join(counts)} operators", where)]
    others = [
        f"{_listed(theirs)} where the network has {_listed(own)}"
        for kind in network
        for theirs, own in zip(found[kind], network[kind], strict=True)
        if theirs.keys() != own.keys()
    ]
    if others:
        return [Diagnostic("R012", f"has {other}", where) for other in others[:LISTED]]
    faults = [
        Diagnostic("R012", f"has {name} as {shape} where the network has {ours} as {wanted}", where)
        for kind in network
        for theirs, own in zip(found[kind], network[kind], strict=True)
        for name, shape, ours, wanted in _side_by_side(theirs, own)
        if shape != wanted
    ]
    rest = len(faults) - LISTED
    return [
        *faults[:LISTED],
        *([Diagnostic("R012", f"and {rest} more", where)] if rest > 0 else []),
    ]


def _listed(operator: Operator) -> str:
    return ", ".join(name for name, _ in operator.values())


def _side_by_side(theirs: Operator, own: Operator) -> Iterable[tuple[str, Shape, str, Shape]]:
    return [(*theirs[role], *own[role]) for role in own]


def _pairs(found: Operators, network: Operators) -> dict[str, str]:
    return {
        name: ours
        for kind in network
        for theirs, own in zip(found[kind], network[kind], strict=True)
        for name, _, ours, _ in _side_by_side(theirs, own)
    }
