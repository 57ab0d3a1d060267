"""Transitions and aggregations: templates where they come to the same, else lists of steps; and how wide they are."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Sequence
from itertools import product
from typing import Any, TypeVar

from archspec.lift.matching_steps import Instance, Style, comes_to
from archspec.lift.network import Unliftable
from archspec.lift.step_lists import listed
from archspec.spec.compression import compress
from archspec.spec.templates import load_templates
from archspec.spec.transition import TransitionSpec

Form = dict[str, Any]
Key = TypeVar("Key", bound=Hashable)

POOLS = ("none", "avg", "max")
QUARTERS = (0.5, 1.0, 0.25, 0.75)
"""Shares that a single part tells from a number of channels."""
TWENTIETHS = tuple(parts / 20 for parts in range(1, 20))

_OUT = re.compile(r"'[0-9.]*out\b")
"""A width that is the part's own, or a multiple or share of it."""


def forms_of(
    parts: Sequence[Instance], style: Style, pools: Sequence[str] = POOLS
) -> tuple[list[Form], float | None]:
    """Return each part's steps and pooling, and the share of the channels that all of them keep, or their channels.

    Raises:
        Unliftable: steps that the language does not have.
    """
    forms = [_named(part, style, pools) for part in parts]
    left = [number for number, form in enumerate(forms) if not form]
    for numbers in alike([parts[number].kinds for number in left], left):
        for number, steps in zip(
            numbers, _lists([parts[number] for number in numbers], style), strict=True
        ):
            forms[number] = {"steps": steps, "pool": "none"}
    wide = [
        (form, part)
        for form, part in zip(forms, parts, strict=True)
        if _OUT.search(str(_steps(form)))
    ]
    thetas = (*QUARTERS, *(TWENTIETHS if len(wide) > 1 else ()))
    theta = next((theta for theta in thetas if all(_keeps(part, theta) for _, part in wide)), None)
    for form, part in wide:
        form |= {} if theta is not None else {"channels": part.known["out"]}
    return forms, theta if wide else None


def alike(keys: Iterable[Key], numbers: Sequence[int]) -> list[list[int]]:
    """Return the numbers in groups of equal keys."""
    groups: dict[Key, list[int]] = {}
    for key, number in zip(keys, numbers, strict=True):
        groups.setdefault(key, []).append(number)
    return [*groups.values()]


def _named(part: Instance, style: Style, pools: Sequence[str]) -> Form:
    for name, pool in product(load_templates("transitions"), pools):
        form = {"steps": name, "pool": pool}
        if comes_to(TransitionSpec.model_validate(form).listed(), [part], style):
            return form
    return {}


def _lists(parts: Sequence[Instance], style: Style) -> list[Any]:
    """One list for all of them, else a list for each."""
    try:
        return [listed(parts, style)] * len(parts)
    except Unliftable:
        return [listed([part], style, numbers=True) for part in parts]


def _steps(form: Form) -> Any:
    return (
        load_templates("transitions")[form["steps"]]
        if isinstance(form["steps"], str)
        else form["steps"]
    )


def _keeps(part: Instance, theta: float) -> bool:
    return compress(part.ins, theta) == part.known["out"]
