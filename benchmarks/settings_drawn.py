"""Which settings of the language random specs say, and which none of them does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from archspec.settings import SpecModel
from archspec.spec.spec import Spec

Values = dict[str, Any]


def drawn_settings(values: Values) -> dict[str, int]:
    """Return how often a spec says each setting."""
    return dict(Counter(settings_said(Spec.model_validate(values))))


def settings_said(part: Any) -> Iterator[str]:
    """Yield each setting that a spec says, by its model and name, and of choices the value too."""
    if isinstance(part, (tuple, list)):
        for each in part:
            yield from settings_said(each)
    if isinstance(part, Mapping):
        yield from settings_said(list(part.values()))
    if not isinstance(part, SpecModel):
        return
    for name in part.model_fields_set:
        value = getattr(part, name)
        setting = f"{type(part).__name__}.{name}"
        yield setting
        if f"{setting}={value}" in CHOICES:
            yield f"{setting}={value}"
        yield from settings_said(value)


def _settings(model: type[SpecModel], seen: set[type]) -> Iterator[str]:
    """Yield each setting that a model and those in it have, choices one by one."""
    if model in seen:
        return
    seen.add(model)
    for name, field in model.model_fields.items():
        yield f"{model.__name__}.{name}"
        for inner in _annotated(field.annotation):
            if isinstance(inner, type):
                yield from _settings(inner, seen)
            else:
                yield f"{model.__name__}.{name}={inner}"


def _annotated(annotation: Any) -> Iterator[Any]:
    """Models and literal values in an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, SpecModel):
        yield annotation
    for inner in get_args(annotation):
        if isinstance(inner, (str, int)) and not isinstance(inner, bool):
            yield inner
        else:
            yield from _annotated(inner)


OF_PEOPLE = ("name", "description", "source", "published", "extends")
"""Settings of a spec that say nothing of its network."""
CHOICES: frozenset[str] = frozenset()
CHOICES = frozenset(_settings(Spec, set()))


def never_drawn(lines: Sequence[Values]) -> list[str]:
    """Return the settings that no spec had, but for those that say nothing of a network."""
    seen = {name for line in lines for name in line["drawn"]}
    of_people = {f"Spec.{name}" for name in OF_PEOPLE}
    published = "PublishedSpec."
    wanted = (name for name in CHOICES if not name.startswith(published))
    return sorted({*wanted} - seen - of_people)
