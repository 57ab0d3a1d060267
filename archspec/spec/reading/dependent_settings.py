"""Settings of a recipe that mean something beside some values of another setting alone.

They are refused beside any other value (archspec/train/recipe/ineffective_settings.py). But what a
child or `--set` says replaces: it leaves nothing of its parent's that has lost its meaning so, as
another kind of norm leaves no settings of the parent's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from operator import eq, is_, not_
from typing import Any

from archspec.settings import Path
from archspec.spec.reading.document import Document, drop_path


@dataclass(frozen=True, slots=True)
class DependentSetting:
    """A setting, the one that it depends on, and what must hold of that one's value."""

    path: Path
    on: Path
    fits: Callable[[Any], bool]
    rule: str
    """In words, with the other's value as `{0}`."""
    idle: Any = None
    """The value that turns the setting off: it may stand anywhere."""


def _schedule_setting(key: str, kind: str) -> DependentSetting:
    rule = f"{key} is a setting of the schedule {kind}, not of {{0}}"
    return DependentSetting(("schedule", key), ("schedule", "kind"), partial(eq, kind), rule)


def _policy_setting(key: str, *kinds: str) -> DependentSetting:
    rule = f"{key} is a setting of {' and '.join(kinds)}, not of {{0}}"
    kind = ("data", "auto_augment", "kind")
    return DependentSetting(("data", "auto_augment", key), kind, kinds.__contains__, rule)


def _crop_setting(key: str) -> DependentSetting:
    kind = "random_resized_crop"
    rule = f"{key} is a setting of the augment {kind}, not of {{0}}"
    return DependentSetting(("data", key), ("data", "augment"), partial(eq, kind), rule)


def _is_absent(value: Any) -> bool:
    return value is None


DEPENDENT_SETTINGS = (
    _schedule_setting("milestones", "step"),
    _schedule_setting("factor", "step"),
    _schedule_setting("final", "cosine"),
    DependentSetting(
        ("loss_scale",),
        ("amp",),
        partial(eq, "O2"),
        "loss_scale is a setting of amp O2, not of {0}",
        idle=1.0,
    ),
    DependentSetting(
        ("optimizer", "nesterov"),
        ("optimizer", "momentum"),
        bool,
        "nesterov needs a momentum above 0",
        idle=False,
    ),
    DependentSetting(
        ("scaling",), ("global_batch",), bool, "scaling needs a global_batch, kept or scaled by"
    ),
    # Two ways to say one thing: the later one replaces the other, and both at once are refused.
    DependentSetting(
        ("keep", "last"),
        ("keep_checkpoints",),
        partial(is_, None),
        "keep.last is what keep_checkpoints is short for: only one may be said",
        idle=0,
    ),
    DependentSetting(
        ("keep_checkpoints",),
        ("keep", "last"),
        not_,
        "keep_checkpoints is short for keep.last: only one may be said",
    ),
    _crop_setting("scale"),
    _crop_setting("ratio"),
    _policy_setting("operations", "randaugment"),
    _policy_setting("probability", "randaugment"),
    _policy_setting("magnitude", "randaugment", "augmix"),
    _policy_setting("magnitude_std", "randaugment", "autoaugment"),
    _policy_setting("policy", "autoaugment"),
    _policy_setting("width", "augmix"),
    _policy_setting("depth", "augmix"),
    _policy_setting("alpha", "augmix"),
    DependentSetting(
        ("data", "color_jitter"),
        ("data", "auto_augment"),
        _is_absent,
        "color_jitter goes without auto_augment, which changes colours itself",
        idle=0.0,
    ),
)


def value_at(values: Any, path: Path) -> tuple[bool, Any]:
    """Return whether nested mappings say something at a path, and what."""
    for key in path:
        if not isinstance(values, dict) or key not in values:
            return False, None
        values = values[key]
    return True, values


def drop_meaningless(parent: Document, said: Any) -> Document:
    """Return the parent without what loses its meaning by what a child or an override says.

    What was typed stays, to be refused beside the other: neither of two such is a parent's.
    """
    for dependent in DEPENDENT_SETTINGS:
        is_said, value = value_at(said, dependent.on)
        place = parent.places.get(dependent.path)
        is_typed = place is not None and place.origin in ("command line", "python")
        if is_said and not is_typed and not dependent.fits(value):
            parent = drop_path(parent, dependent.path)
    return parent
