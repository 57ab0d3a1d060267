"""Do these tensors fit that network? All that is missing, surplus or of another shape, at once."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from typing import Any, TypeVar

from archspec.errors import Diagnostic, ModelFileError

Tensor = TypeVar("Tensor", bound=Any)
"""Anything with a `shape`: an array, a MindSpore parameter."""
Shape = tuple[int, ...]

MAX_LISTED = 20


def match_shapes(
    tensors: Mapping[str, Tensor], wanted: Mapping[str, Shape], where: str
) -> dict[str, Tensor]:
    """Return the tensors that a network wants, in its order.

    Args:
        tensors: by name; only those that belong to a network.
        wanted: shapes by name.
        where: the file, for the error.

    Raises:
        ModelFileError: R003, every tensor that is missing (with the nearest name), surplus or of
            another shape.
    """
    surplus = [name for name in tensors if name not in wanted]
    faults = list(islice(_list_faults(tensors, wanted, surplus, where), MAX_LISTED))
    if faults:
        raise ModelFileError(
            [*faults, *_make_rest_fault(_count_misfits(tensors, wanted) + len(surplus), where)]
        )
    return {name: tensors[name] for name in wanted}


def _is_fitting(name: str, tensors: Mapping[str, Any], wanted: Mapping[str, Shape]) -> bool:
    return name in tensors and tuple(tensors[name].shape) == tuple(wanted[name])


def _count_misfits(tensors: Mapping[str, Any], wanted: Mapping[str, Shape]) -> int:
    return sum(not _is_fitting(name, tensors, wanted) for name in wanted)


def _list_faults(
    tensors: Mapping[str, Any], wanted: Mapping[str, Shape], surplus: Collection[str], where: str
) -> Iterator[Diagnostic]:
    for name, shape in wanted.items():
        if name not in tensors:
            hint = _hint_at_candidates(name, shape, tensors, surplus)
            yield Diagnostic("R003", f"lacks {name}", where, hint)
        elif not _is_fitting(name, tensors, wanted):
            yield _make_shape_fault(name, tuple(tensors[name].shape), wanted, where)
    for name in surplus:
        yield Diagnostic("R003", f"has {name}, which the network lacks", where)


def _hint_at_candidates(
    name: str, shape: Shape, tensors: Mapping[str, Any], surplus: Collection[str]
) -> str:
    dense = [other for other in surplus if len(shape) == len(tensors[other].shape) == 2]
    if len(dense) > 1:
        return f"it could be {' or '.join(dense[:3])}: rules for --map say which"
    near = difflib.get_close_matches(name, surplus, n=1)
    return f"it has {near[0]}" if near else ""


def _make_shape_fault(
    name: str, found: Shape, wanted: Mapping[str, Shape], where: str
) -> Diagnostic:
    # The most usual mistake: weights of another number of classes.
    of_dense = len(wanted.get(f"{name.rpartition('.')[0]}.weight", ())) == 2
    other_classes = of_dense and found[:1] != tuple(wanted[name])[:1]
    hint = "it tells another number of classes apart" if other_classes else ""
    needed = f"the network needs {tuple(wanted[name])}"
    return Diagnostic("R003", f"has {name} as {found}, {needed}", where, hint)


def _make_rest_fault(count: int, where: str) -> list[Diagnostic]:
    rest = count - MAX_LISTED
    return [Diagnostic("R003", f"and {rest} more parameters do not fit", where)] if rest > 0 else []
