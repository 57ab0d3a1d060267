"""YAML with a comment for each key, of which what is only a default is commented out."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from archspec.spec.field_docs import describe_fields
from archspec.spec.reading.misplaced_keys import parts_of

COLUMNS = 120
_OFF = "Off as it stands; once it is said, it has by default:"


def write_paragraph(owner: type[BaseModel], key: str, said: Any, value: Any) -> Iterator[str]:
    """Yield the lines of a model's key below a comment, commented out where nothing is `said`.

    `value` is what holds then; of a part, each setting has a comment of its own. A part that is off
    (None) shows what it would have.
    """
    part = next(parts_of(owner.model_fields[key].annotation), None)
    if isinstance(value, BaseModel):
        part = type(value)
    settings = value.model_dump(mode="json") if isinstance(value, BaseModel) else None
    of_key = describe_field(owner, key)
    words = of_key or _flatten(type(value).__doc__)
    if value is None and part is not None:
        settings = _list_defaults(part)
        words = f"{of_key or _flatten(part.__doc__)} {_OFF}"
    yield from wrap_comment(words)
    if part is not None and isinstance(settings, dict) and not (said and type(said) is not dict):
        yield from _write_settings(part, key, said, settings)
        return
    default = settings if settings is not None else value
    if said is None:
        yield from (f"#{line}" for line in yaml_lines(key, default))
    else:
        yield from yaml_lines(key, said)


def _list_defaults(part: type[BaseModel]) -> dict[str, Any]:
    """What the settings of a part that is off would be."""
    defaults = dict.fromkeys(part.model_fields)
    for name, field in part.model_fields.items():
        if not field.is_required():
            defaults[name] = field.get_default()
    return defaults


def _write_settings(
    part: type[BaseModel],
    key: str,
    said: Mapping[str, Any] | None,
    holding: Mapping[str, Any],
) -> Iterator[str]:
    """A part's settings, a comment behind each, or above where there is no room."""
    whole = "#" if said is None else ""
    yield f"{whole}{key}:"
    for name in holding:
        field = part.model_fields[name]
        if holding[name] is None and next(parts_of(field.annotation), None):
            yield from (f"{whole}  {line}" for line in write_paragraph(part, name, None, None))
            continue
        is_said = said is not None and name in said
        one = "" if is_said or whole else "#"
        lines = yaml_lines(name, said[name] if said is not None and is_said else holding[name])
        words = wrap_comment(describe_field(part, name))
        if len(lines) == len(words) == 1 and len(lines[0] + words[0]) + 6 <= COLUMNS:
            lines, words = [f"{lines[0]}  {words[0]}"], []
        yield from (f"{whole}  {line}" for line in words)
        yield from (f"{whole}  {one}{line}" for line in lines)


def describe_field(owner: type[BaseModel], key: str) -> str:
    """Return the words of a field on one line."""
    return _flatten(describe_fields(owner).get(key))


def _flatten(words: str | None) -> str:
    return " ".join((words or "").split())


def yaml_lines(key: str, value: Any) -> list[str]:
    """Return a key and its value as lines of YAML."""
    from archspec.files import to_yaml

    if value is None:
        return [f"{key}:"]
    text = to_yaml({key: [*value] if isinstance(value, tuple) else value}).rstrip()
    return (text[1:-1] if text.startswith("{") else text).splitlines()


def wrap_comment(words: str) -> list[str]:
    """Return words as lines of a comment."""
    return [f"# {line}" for line in textwrap.wrap(words, COLUMNS - 8)]
