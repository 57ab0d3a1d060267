"""Where in a document stands what pydantic names, and which model reads it."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel

from archspec.settings import Path
from archspec.spec.reading.document import Document, format_path
from archspec.spec.reading.shorthand import ALONE, ALONE_IN_RECIPE

_IMPLIED = frozenset({*ALONE.values(), *ALONE_IN_RECIPE.values()})
"""Keys that short forms leave out."""


def format_as_written(path: Path, document: Document) -> str:
    """Return `block_config[1]` for that entry's `blocks[1].layers`,
    `stem[0]` for `stem.steps[0]`, else the path.
    """
    path = tuple(
        part
        for at, part in enumerate(path)
        if part not in _IMPLIED or path[: at + 1] in document.keys or not at
    )
    is_short = ("block_config",) in document.keys and ("blocks",) not in document.keys
    is_entry = (
        path[:1] == ("blocks",) and path[2:] in ((), ("layers",)) and path not in document.keys
    )
    return format_path(("block_config", *path[1:2]) if is_short and is_entry else path)


def find_model(model: type[BaseModel], path: Path) -> type[BaseModel]:
    """Return the model at a path of field names; indices stay in the list's item model."""
    for part in path:
        field = model.model_fields.get(str(part))
        if field is not None:
            model = _find_nested_model(field.annotation) or model
    return model


def _find_nested_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_find_nested_model, get_args(annotation))), None)


def path_in_document(location: tuple[str | int, ...], value: Any, absent: bool = False) -> Path:
    """Return pydantic's location without names of a union's members, no keys of the document.

    The last part of an `absent` key's location is the key.
    """
    path: list[str | int] = []
    for position, part in enumerate(location):
        is_last = position == len(location) - 1
        if isinstance(value, dict) and (part in value or (is_last and absent)):
            value = value.get(part)
        elif isinstance(value, (list, tuple)) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            continue
        path.append(part)
    return tuple(path)
