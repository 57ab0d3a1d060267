"""Settings that come from outside a file: typed as `--set`, by another flag, or from Python."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from archspec.errors import Place

Setting = str | tuple[str, Any]
"""`key.path=value`, whose value is YAML, or a key path and a plain value."""


@dataclass(frozen=True, slots=True)
class Override:
    """A setting that was not typed as `--set`, and the place that its faults name: `--epochs 3`."""

    setting: Setting
    place: Place


Overrides = Mapping[str, Any] | Iterable[Setting | Override]


def list_overrides(overrides: Overrides) -> list[Setting | Override]:
    """Return overrides as a list, also of a mapping of keys to values, or of one alone."""
    if isinstance(overrides, str):
        return [overrides]
    return [*(overrides.items() if isinstance(overrides, Mapping) else overrides)]


def key_of(override: Setting | Override) -> str:
    """Return the key path that is set, as it was written."""
    setting = override.setting if isinstance(override, Override) else override
    key = setting.partition("=")[0] if isinstance(setting, str) else setting[0]
    return key.strip()
