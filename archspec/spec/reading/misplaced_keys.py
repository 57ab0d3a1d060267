"""A key that stands where it means nothing: where does it belong, in this file or in the other?"""

from __future__ import annotations

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from archspec.errors import Place
from archspec.settings import Path, SpecModel
from archspec.spec.reading.document import format_path, shorten_value
from archspec.spec.written_model import WrittenModel


def hint_at_own_place(key: str, value: Any, place: Place, model: type[BaseModel]) -> str:
    """Return where in the same file the key belongs, '' where it stands nowhere or at several."""
    path = find_key(key, value, model)
    return _say(path, value, place, model) if path else ""


def hint_at_other_file(key: str, value: Any, place: Place, other: type[WrittenModel]) -> str:
    """Return where in the spec or recipe that is read beside this file the key belongs, or ''."""
    path = find_key(key, value, other)
    if not path:
        return ""
    hint = _say(path, value, place, other)
    return hint if hint.startswith("--set") else f"{hint} in the {other.KIND}"


def hint_at_part(path: Path, value: Any, place: Place, model: type[BaseModel]) -> str:
    """Return how to write a part for which a word or a number alone was given, or ''."""
    if not _is_scalar(value):
        return ""
    parts = _follow(path, model)
    if any("kind" in part.model_fields for part in parts):
        return _say((*path, "kind"), value, place, model)
    main_keys = [part.MAIN_KEY for part in parts if issubclass(part, SpecModel) and part.MAIN_KEY]
    if main_keys and type(value) in (int, float):
        return _say((*path, main_keys[0]), value, place, model)
    return ""


def find_key(key: str, value: Any, model: type[BaseModel]) -> Path:
    """Return the path at which others' name for a key, or the key itself, stands in a model.

    A word that is given for a part is its kind. Returns () where there is no such place, or more
    than one.
    """
    foreign = getattr(model, "FOREIGN_KEYS", {}).get(key.lower())
    found = [tuple(foreign.split("."))] if foreign else []
    found = found or [path for path in walk_keys(model) if path[-1] == key.lower()]
    if len({*found}) != 1:
        return ()
    path: Path = found[0]
    has_kind = any("kind" in part.model_fields for part in _follow(path, model))
    return (*path, "kind") if has_kind and _is_scalar(value) else path


def walk_keys(
    model: type[BaseModel], above: tuple[type[BaseModel], ...] = ()
) -> Iterator[tuple[str, ...]]:
    """Yield the paths of all keys of a model and its parts, but for what lies in lists."""
    for name, field in model.model_fields.items():
        yield (name,)
        for part in [each for each in parts_of(field.annotation) if each not in above]:
            yield from ((name, *path) for path in walk_keys(part, (*above, model)))


def parts_of(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models that a field may hold, none of those in lists."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Union, UnionType, Annotated):
        for member in get_args(annotation):
            yield from parts_of(member)


def _follow(path: Path, model: type[BaseModel]) -> list[type[BaseModel]]:
    """The models that may stand at a path."""
    models = [model]
    for key in path:
        fields = [part.model_fields.get(str(key)) for part in models]
        models = [part for field in fields if field for part in parts_of(field.annotation)]
    return models


def _say(path: Path, value: Any, place: Place, model: type[BaseModel]) -> str:
    """In the words of the command line, where it was typed there as `--set`."""
    prefix = "--set recipe." if getattr(model, "KIND", "") == "recipe" else "--set "
    typed = place.source.removeprefix("--set ").removeprefix("recipe.")
    is_typed = place.origin == "command line" and place.source.startswith("--set ")
    if is_typed and _is_scalar(value):
        return f"{prefix}{format_path(path)}={shorten_value(value)}"
    if is_typed and typed.startswith(f"{path[0]}.") and not typed.endswith("..."):
        return f"{prefix}{typed}"  # a key below it: where it belongs is asked once it is read there
    return f"write {format_path(path)}"


def _is_scalar(value: Any) -> bool:
    return not isinstance(value, (dict, list, tuple))
