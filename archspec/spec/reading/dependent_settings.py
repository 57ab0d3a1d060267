"""Settings of a recipe that mean something beside some values of another setting alone.

They are refused beside any other value (archspec/train/recipe/ineffective_settings.py). But what a
child or `--set` says replaces: it leaves nothing of its parent's that has lost its meaning so, as
another kind of norm leaves no settings of the parent's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from operator import eq
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


def _of(path: Path, on: Path, *values: Any, idle: Any = None) -> DependentSetting:
    """A setting that means something beside these values of the other alone."""
    *others, last = values
    kinds = f"{', '.join(others)} and {last}" if others else f"{last}"
    holder = on[0] if on[-1] == "kind" else on[-1]
    named = f"the {holder}{'s' * bool(others)}" if on[-1] == "kind" else f"{holder}"
    rule = f"{path[-1]} is a setting of {named} {kinds}, not of {{0}}"
    return DependentSetting(path, on, values.__contains__, rule, idle)


def _of_kinds(part: str, key: str, *kinds: str, idle: Any = None) -> DependentSetting:
    return _of((part, key), (part, "kind"), *kinds, idle=idle)


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
    _of_kinds("schedule", "milestones", "step", "multi_step"),
    _of_kinds("schedule", "every", "step"),
    _of_kinds("schedule", "factor", "step", "multi_step", "exponential"),
    _of_kinds("schedule", "final", "cosine", "polynomial", "one_cycle", "cyclic"),
    _of_kinds("schedule", "power", "polynomial"),
    _of_kinds("schedule", "cycles", "cosine", "cyclic", idle=1),
    _of_kinds("schedule", "cycle_decay", "cosine", idle=1.0),
    _of_kinds("schedule", "decay_epochs", "cosine"),
    DependentSetting(
        ("schedule", "warmup_epochs"),
        ("schedule", "kind"),
        lambda kind: kind != "cyclic",
        "warmup_epochs is no setting of the schedule {0}, which rises by itself",
        idle=0,
    ),
    DependentSetting(
        ("schedule", "per"),
        ("schedule", "kind"),
        lambda kind: kind not in ("one_cycle", "cyclic"),
        "per is no setting of the schedule {0}, which moves at every step",
        idle="step",
    ),
    _of_kinds("optimizer", "momentum", "sgd", "momentum", "nesterov", "rmsprop"),
    _of_kinds("optimizer", "nesterov", "sgd", "momentum", idle=False),
    _of_kinds("optimizer", "betas", "adam", "adamw", "lion", "lamb"),
    _of_kinds("optimizer", "alpha", "rmsprop"),
    _of_kinds("optimizer", "eps", "adam", "adamw", "lamb", "rmsprop"),
    DependentSetting(
        ("optimizer", "nesterov"),
        ("optimizer", "momentum"),
        bool,
        "nesterov needs a momentum above 0",
        idle=False,
    ),
    DependentSetting(
        ("optimizer", "decay_norm_and_bias"),
        ("optimizer", "weight_decay"),
        bool,
        "decay_norm_and_bias needs a weight_decay above 0",
        idle=True,
    ),
    _of_kinds("loss", "gamma", "focal"),
    _of_kinds("recompute", "memory", "auto"),
    _of(("loss_scale",), ("amp",), "O2", "O3", idle=1.0),
    _of(("dynamic_loss_scale",), ("loss_scale",), "dynamic"),
    _of(("val_amp",), ("amp",), "O2", "O3", idle="same"),
    _of(("amp_keep_float32",), ("amp",), "O2", "O3", idle=()),
    DependentSetting(
        ("sync_batch_norm",),
        ("amp",),
        lambda amp: amp != "O3",
        "sync_batch_norm goes with amp O0 and O2, whose norms are in full precision, not with {0}",
        idle=False,
    ),
    DependentSetting(
        ("scaling",), ("global_batch",), bool, "scaling needs a global_batch, kept or scaled by"
    ),
    _crop_setting("scale"),
    _crop_setting("ratio"),
    DependentSetting(
        ("data", "image_backend"),
        ("data", "augment"),
        partial(eq, "random_resized_crop"),
        "image_backend opencv crops for the augment random_resized_crop, not for {0}",
        idle="pillow",
    ),
    DependentSetting(
        ("data", "image_backend"),
        ("data", "interpolation"),
        partial(eq, "bilinear"),
        "image_backend opencv interpolates bilinear, not {0}",
        idle="pillow",
    ),
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

EXCLUSIVE: tuple[tuple[Path, Path], ...] = (
    (("label_smoothing",), ("loss", "label_smoothing")),
    (("schedule", "milestones"), ("schedule", "every")),
    (("keep_checkpoints",), ("keep", "last")),
)
"""Pairs of settings for one thing, of which one may be said: what a child says of either replaces
what its parent says of both."""


DEFAULTS_OF_KINDS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "optimizer": {
        "lion": {"betas": (0.9, 0.99)},
        "lamb": {"eps": 1e-6},
        "rmsprop": {"momentum": 0.0},
    },
    "schedule": {"exponential": {"factor": 0.9}, "one_cycle": {"warmup_factor": 1 / 25}},
}
"""What a kind has where nothing is said, and it is not the default of the other kinds."""


def fill_defaults_of_kind(part: str, written: Any) -> Any:
    """Return what is written of a part, with the values that its kind has where nothing is said."""
    if not isinstance(written, dict) or not isinstance(written.get("kind"), str):
        return written
    return {**DEFAULTS_OF_KINDS[part].get(written["kind"], {}), **written}


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
    for path in _find_meaningless(parent, said):
        place = parent.places.get(path)
        if place is None or place.origin not in ("command line", "python"):
            parent = drop_path(parent, path)
    return parent


def _find_meaningless(parent: Document, said: Any) -> Iterator[Path]:
    for dependent in DEPENDENT_SETTINGS:
        is_said, value = value_at(said, dependent.on)
        if is_said and not dependent.fits(value):
            yield dependent.path
    for pair in EXCLUSIVE:
        if any(value_at(said, path)[0] for path in pair):
            yield from pair
    for part, kinds in DEFAULTS_OF_KINDS.items():
        is_said, kind = value_at(said, (part, "kind"))
        before = value_at(parent.value, (part, "kind"))[1]
        if not is_said or kind == before:
            continue
        # What one kind has by itself was meant for that kind.
        for key in {**_values_of(kinds, kind), **_values_of(kinds, before)}:
            yield part, key


def _values_of(kinds: Mapping[str, Mapping[str, Any]], kind: Any) -> Mapping[str, Any]:
    return kinds.get(kind, {}) if isinstance(kind, str) else {}
