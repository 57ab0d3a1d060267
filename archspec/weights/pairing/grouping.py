"""Tensors gathered to operators: of a file by their names and shapes, of a network by what it is.

What stands before the last dot of a tensor's name is its place, and tensors of one place make an
operator. One of four dimensions makes a convolution, one of two a dense layer, several vectors make
a norm; which vector is which, the last part of the name says. A single vector, slopes or factors,
has one meaning alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from archspec.errors import ModelFileError
from archspec.graph.parameters import Parameter

# What others call the roles of tensors in a file, which tells no kind of operator beside.
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
VECTOR = "vector"
"""The kind of what has a single vector, and its role, whatever it is called."""
# A file of weights tells no kinds of operators, shapes alone: these are groups of what looks alike,
# and whatever a network has is sorted into them in the same way.
KINDS: Mapping[tuple[int, bool | None], str] = {
    (4, None): "conv",
    (2, None): "dense",
    (1, True): "norm",
    (1, False): VECTOR,
}
"""By the most dimensions of an operator's tensors; for vectors, whether there are several."""
MAX_LISTED = 20

Shape = tuple[int, ...]
Operator = Mapping[str, tuple[str, Shape]]
"""An operator's tensors by role: name and shape."""
Operators = Mapping[str, list[Operator]]
"""Those of each kind, in order."""


def group_network(wanted: Mapping[str, Parameter]) -> Operators:
    """Return the operators of a network, in its order."""
    operators: dict[str, dict[str, tuple[str, Shape]]] = {}
    for name, parameter in wanted.items():
        operators.setdefault(parameter.operator, {})[parameter.role] = (name, parameter.shape)
    return group_by_kind(operators.values())


def group_by_kind(operators: Iterable[Operator]) -> Operators:
    """Return operators by their kind; every kind is there."""
    kinds: dict[str, list[Operator]] = {kind: [] for kind in KINDS.values()}
    for operator in operators:
        kind = _recognise_kind([shape for _, shape in operator.values()])
        alone = dict.fromkeys([VECTOR], next(iter(operator.values())))
        kinds[kind].append(alone if kind == VECTOR else operator)
    return kinds


def group_file(shapes: Mapping[str, Shape], where: str) -> dict[str, Operator]:
    """Return the operators of a file by their places, in the order of the names.

    Raises:
        ModelFileError: R012, tensors that are no operator's.
    """
    gathered: dict[str, dict[str, Shape]] = {}
    for name, shape in shapes.items():
        gathered.setdefault(name.rpartition(".")[0], {})[name] = shape
    operators = {place: _assign_roles(members) for place, members in gathered.items()}
    faults = [
        _describe_place(place, gathered[place])
        for place, operator in operators.items()
        if operator is None
    ]
    if faults:
        named = (
            f"{'; '.join(faults[:MAX_LISTED])}{' and others' if len(faults) > MAX_LISTED else ''}"
        )
        roles = "names such as gamma, weight, running_mean"
        hint = f"a norm's vectors are told apart by {roles}; or write a --map"
        raise ModelFileError.one(
            "R012", f"has tensors that make no conv, dense or norm: {named}", where, hint
        )
    return {place: operator for place, operator in operators.items() if operator}


def _recognise_kind(shapes: Sequence[Shape]) -> str:
    dimensions = max(map(len, shapes))
    return KINDS.get((dimensions, len(shapes) > 1 if dimensions == 1 else None), "")


def _describe_place(place: str, members: Mapping[str, Shape]) -> str:
    last_parts = ", ".join(name.rpartition(".")[2] for name in members)
    return f"{place or next(iter(members))} ({last_parts})"


def _assign_roles(members: Mapping[str, Shape]) -> Operator | None:
    """An operator's tensors by MindSpore's roles, if each has one and no two the same."""
    kind = _recognise_kind(list(members.values()))
    found: dict[str, tuple[str, Shape]] = {}
    for name, shape in members.items():
        role = _find_role(kind, name.rpartition(".")[2], shape)
        if not role or role in found:
            return None
        found[role] = (name, shape)
    return found


def _find_role(kind: str, last: str, shape: Shape) -> str:
    if kind == "norm":
        return next((role for role, names in ROLES.items() if last in names), "")
    if kind == VECTOR:
        return VECTOR
    if not kind:
        return ""
    # Of a convolution or a dense layer the shape tells it, whatever the name.
    return "weight" if len(shape) > 1 else "bias"


def pair_roles(theirs: Operator, own: Operator) -> Iterable[tuple[str, Shape, str, Shape]]:
    """Return for each tensor its name and shape in the file, and in the network."""
    return [(*theirs[role], *own[role]) for role in own]
