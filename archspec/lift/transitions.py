"""Transitions and aggregations: templates where they come to the same, else lists of steps;
and how wide they are.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Sequence
from itertools import product
from typing import Any, TypeVar, get_args

from archspec.lift.matching_steps import PartInstance, Style, matches_steps
from archspec.lift.network import Unliftable
from archspec.lift.step_lists import write_steps
from archspec.settings import Pooling
from archspec.spec.compression import compress
from archspec.spec.templates import load_templates
from archspec.spec.transition import TransitionSpec

Form = dict[str, Any]
Key = TypeVar("Key", bound=Hashable)

POOLS = get_args(Pooling)[::-1]
"""None is tried first, as it says the least."""
QUARTERS = (0.5, 1.0, 0.25, 0.75)
"""Shares that a single part tells from a number of channels."""
TWENTIETHS = tuple(parts / 20 for parts in range(1, 20))

_OUT = re.compile(r"'[0-9.]*out\b")
"""A width that is the part's own, or a multiple or share of it."""


def describe_parts(
    parts: Sequence[PartInstance], style: Style, pools: Sequence[str] = POOLS
) -> tuple[list[Form], float | None]:
    """Return each part's steps and pooling, and the share of the channels that all of them keep,
    or their channels.

    Raises:
        Unliftable: steps that the language does not have.
    """
    forms = [_find_template(part, style, pools) for part in parts]
    left = [number for number, form in enumerate(forms) if not form]
    for numbers in group_alike([parts[number].kinds for number in left], left):
        lists = _write_lists([parts[number] for number in numbers], style)
        for number, steps in zip(numbers, lists, strict=True):
            forms[number] = {"steps": steps, "pool": "none"}
    pairs = zip(forms, parts, strict=True)
    # Of a part without a width of its own, a share of its channels would say nothing.
    wide = [(form, part) for form, part in pairs if _OUT.search(str(_steps_of(form)))]
    theta = _find_share([part for _, part in wide])
    for form, part in wide:
        form |= {} if theta is not None else {"channels": part.known["out"]}
    return forms, theta if wide else None


def _find_share(parts: Sequence[PartInstance]) -> float | None:
    """The share of their channels that all parts keep, if there is one."""
    # One part alone has some twentieth by chance too often: there a number says more.
    shares = (*QUARTERS, *TWENTIETHS) if len(parts) > 1 else QUARTERS
    for share in shares:
        if all(_keeps_share(part, share) for part in parts):
            return share
    return None


def group_alike(keys: Iterable[Key], numbers: Sequence[int]) -> list[list[int]]:
    """Return the numbers in groups of equal keys."""
    groups: dict[Key, list[int]] = {}
    for key, number in zip(keys, numbers, strict=True):
        groups.setdefault(key, []).append(number)
    return [*groups.values()]


def _find_template(part: PartInstance, style: Style, pools: Sequence[str]) -> Form:
    for name, pool in product(load_templates("transitions"), pools):
        form = {"steps": name, "pool": pool}
        if matches_steps(TransitionSpec.model_validate(form).steps_resolved(), [part], style):
            return form
    return {}


def _write_lists(parts: Sequence[PartInstance], style: Style) -> list[Any]:
    """One list for all of them, else a list for each."""
    try:
        # One object, which YAML writes once and names.
        return [write_steps(parts, style)] * len(parts)
    except Unliftable:
        return [write_steps([part], style, numbers=True) for part in parts]


def _steps_of(form: Form) -> Any:
    steps = form["steps"]
    return load_templates("transitions")[steps] if isinstance(steps, str) else steps


def _keeps_share(part: PartInstance, theta: float) -> bool:
    return compress(part.in_channels, theta) == part.known["out"]
