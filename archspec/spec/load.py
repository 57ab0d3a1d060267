"""From a name, a path or text to a validated Spec: read, extend, override, validate.

The same four steps serve recipes (archspec/train/recipe.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path as FilePath
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from archspec.errors import ArchspecError, Diagnostic, SpecError
from archspec.spec.catalogue import locate
from archspec.spec.document import Document, Path, merge, set_path
from archspec.spec.faults import diagnose
from archspec.spec.model import Spec
from archspec.spec.reader import read_file, read_value

Model = TypeVar("Model", bound=BaseModel)

_INDEX = re.compile(r"\[(\d{1,6})\]")


def load_spec(name: str | FilePath, overrides: Iterable[str] | Mapping[str, Any] = ()) -> Spec:
    """Return the spec of a shipped name or of a YAML file.

    Args:
        name: `densenet121`, or a path.
        overrides: `key.path=value` as for `--set`, or a mapping of key paths to values.

    Raises:
        SpecError: every fault found, each with its place.
    """
    document = override(_named(load_document(str(name), kind="spec")), overrides, expand=_expanded)
    spec = validate(Spec, document)
    spec._document = document
    return spec


def load_document(
    name: str, *, kind: str, beside: FilePath | None = None, place: str = "", above: tuple[FilePath, ...] = ()
) -> Document:
    """Read a YAML file and what it extends, merged.

    Raises:
        SpecError: Y..., S010 for a missing parent or a cycle of `extends`.
    """
    path = locate(name, kind=kind, beside=beside, place=place)
    real = path.resolve()
    if real in above:
        chain = " -> ".join(step.name for step in (*above[above.index(real) :], real))
        raise SpecError.one("S010", f"extends itself: {chain}", place)
    document = read_file(path)
    if not isinstance(document.value, dict):
        raise SpecError.one("S003", f"a {kind} must be a mapping of keys to values", document.place(()))
    if kind == "spec":
        document = _expanded(document)
    if "extends" not in document.value:
        return document
    parent_name, parent_place = document.value["extends"], document.place(("extends",))
    if not isinstance(parent_name, str):
        raise SpecError.one("S003", f"extends (={parent_name}) must be a name or a path", parent_place)
    parent = load_document(
        parent_name, kind=kind, beside=path.parent, place=parent_place, above=(*above, real)
    )
    return merge(parent, _without(document, "extends"))


def override(
    document: Document,
    overrides: Iterable[str] | Mapping[str, Any],
    *,
    expand: Callable[[Document], Document] = lambda document: document,
) -> Document:
    """Apply `key.path=value` texts (or a mapping of key paths to values) in order.

    Raises:
        SpecError: S011, every override that is no `key=value` or that leads nowhere.
    """
    faults: list[Diagnostic] = []
    pairs = overrides.items() if isinstance(overrides, Mapping) else map(_split, overrides)
    for key, value in pairs:
        place = f"--set {key}={value}" if isinstance(value, str) or value is None else f"override {key}"
        try:
            document = _overridden(document, key, value, place, expand)
        except ArchspecError as error:
            faults.extend(error.diagnostics)
    if faults:
        raise SpecError(faults)
    return document


def validate(model: type[Model], document: Document) -> Model:
    """Return the model of a document.

    Raises:
        SpecError: S001..S006, every fault with its place.
    """
    try:
        return model.model_validate(document.value)
    except ValidationError as error:
        raise SpecError(diagnose(error, model, document)) from None


def _named(document: Document) -> Document:
    """A spec without a name is called after its file."""
    if document.value.get("name") is not None:
        return document
    stem = FilePath(document.place(()).rsplit(":", 2)[0]).stem
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", stem)[:64]
    name = name if re.match(r"[A-Za-z]", name) else f"network_{name}"[:64]
    return Document({**document.value, "name": name}, document.places, document.keys)


def _split(text: str) -> tuple[str, str | None]:
    key, equals, value = text.partition("=")
    return key.strip(), value if equals else None


def _overridden(
    document: Document, key: str, value: Any, place: str, expand: Callable[[Document], Document]
) -> Document:
    if value is None:
        raise SpecError.one("S011", "an override is key.path=value", f"--set {key}")
    path: Path = tuple(
        int(part) if part.isdigit() else part for part in _INDEX.sub(r".\1", key).split(".") if part
    )
    if not path:
        raise SpecError.one("S011", "an override is key.path=value", place)
    if path[0] == "transitions" and len(path) > 1 and document.value.get("transitions") is None:
        document = _listed_transitions(document)
    if path == ("block_config",):
        document = _without(document, "blocks")
    new = read_value(value, place) if isinstance(value, str) else Document(value, {(): place})
    return expand(set_path(document, path, new))


def _listed_transitions(document: Document) -> Document:
    blocks = document.value.get("blocks")
    count = len(blocks) - 1 if isinstance(blocks, list) else 0
    return Document(
        {**document.value, "transitions": [{} for _ in range(count)]}, document.places, document.keys
    )


def _expanded(document: Document) -> Document:
    """`block_config: [6, 12]` -> `blocks: [{layers: 6}, {layers: 12}]`, each at its own place."""
    config = document.value.get("block_config")
    if "block_config" not in document.value:
        return document
    where = document.place(("block_config",))
    if not isinstance(config, list):
        raise SpecError.one("S003", f"block_config (={config}) must be a list of layers per block", where)
    if "blocks" in document.value:
        raise SpecError.one("S006", "block_config and blocks say the same thing; keep one", where)
    places = {
        path: place
        for path, place in document.places.items()
        if path[:1] not in (("block_config",), ("blocks",))
    }
    places[("blocks",)] = where
    for index in range(len(config)):
        places |= dict.fromkeys(
            [("blocks", index), ("blocks", index, "layers")], document.place(("block_config", index))
        )
    value = {k: v for k, v in document.value.items() if k != "block_config"}
    return Document({**value, "blocks": [{"layers": n} for n in config]}, places, document.keys)


def _without(document: Document, key: str) -> Document:
    return Document({k: v for k, v in document.value.items() if k != key}, document.places, document.keys)
