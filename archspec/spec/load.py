"""From a name, a path or text to a validated Spec: read, extend, override, validate.

The same four steps serve recipes (archspec/train/recipe/recipe.py).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from archspec.errors import Diagnostic, Place, SpecError
from archspec.settings import Path
from archspec.spec.apply_overrides import apply_overrides, read_overrides
from archspec.spec.catalogue import HINTS_AT_KIND, hint_at_nearest, locate, specs_folder
from archspec.spec.identity import drop_stale_words, walk_leaves
from archspec.spec.idle_settings import find_idle_settings
from archspec.spec.override import Overrides
from archspec.spec.reading.dependent_settings import drop_meaningless
from archspec.spec.reading.document import Document, drop_key, merge, shorten_value
from archspec.spec.reading.shorthand import (
    drop_uninherited,
    expand_recipe,
    expand_short_forms,
)
from archspec.spec.reading.validation_errors import diagnose, sort_by_place
from archspec.spec.reading.yaml_reader import MAX_DEPTH, read_file
from archspec.spec.spec import Spec
from archspec.spec.written_model import WrittenModel

Model = TypeVar("Model", bound=BaseModel)
Written = TypeVar("Written", bound=WrittenModel)

MAX_NAME = 64
"""Characters in a spec's name."""

MARKS: Mapping[str, frozenset[str]] = {
    "spec": frozenset(("growth_rate", "blocks", "block_config")),
    "recipe": frozenset(("epochs", "optimizer", "schedule")),
}
"""Keys of which each kind of file has one at least, be it by what it extends."""


def load_spec(
    name: str | FilePath, overrides: Overrides = (), beside: type[WrittenModel] | None = None
) -> Spec:
    """Return the spec of a shipped name or of a YAML file.

    Args:
        name: `densenet121`, or a path.
        overrides: `key.path=value` as for `--set`, or a mapping of key paths to values.
        beside: the model of a recipe that is read too: a key that belongs there is told so.

    Raises:
        SpecError: every fault found, each with its place.
    """
    spec = load_model(Spec, str(name), overrides, kind="spec", beside=beside)
    faults = sort_by_place(find_idle_settings(spec), spec.written().values())
    if faults:
        raise SpecError(faults)
    return spec


def spec_of(spec: str | FilePath | Spec, overrides: Overrides = ()) -> Spec:
    """Return a Spec as it is, and that of a name or a path as `load_spec` does."""
    return spec if isinstance(spec, Spec) else load_spec(spec, overrides)


def name_of_file(path: FilePath) -> str:
    """Return what a spec without a name is called: as its file, and with a letter first."""
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", path.stem)
    return (name if re.match(r"[A-Za-z]", name) else f"network_{name}")[:MAX_NAME]


def load_model(
    model: type[Written],
    name: str,
    overrides: Overrides,
    *,
    kind: str,
    beside: type[WrittenModel] | None = None,
) -> Written:
    """Return the model of a shipped name or of a YAML file;
    the overrides that can be read are validated with it.

    Raises:
        SpecError: every fault of the file and of the overrides, those of the file first.
    """
    settings, faults = read_overrides(overrides)
    try:
        document = load_document(name, kind=kind)
    except SpecError as error:
        raise SpecError([*error.diagnostics, *faults]) from None
    _check_kind(document, kind)
    # Named before it is overridden: a description says what of which network was changed.
    written = _name_after_file(document) if kind == "spec" else document
    document, misled = apply_overrides(written, settings, kind)
    if kind == "spec" and settings:
        document = drop_stale_words(
            written, document, {path: value.value for path, value in settings}
        )
    known = [*faults, *misled, *_find_outdated(document, kind)]
    found = validate(model, document, known, beside)
    found._document = document
    return found


def is_users_choice(spec: Spec, path: Path) -> bool:
    """Is the value set by the user, on the command line or in a file of theirs,
    and not by a shipped spec?
    """
    place = spec.written().get(path)
    if place is None:
        return False
    shipped = place.origin == "file" and specs_folder() in FilePath(place.source).resolve().parents
    return not shipped


def take_classes_of_file(spec: Spec, classes: int) -> tuple[Spec, str]:
    """Return a spec with the number of classes that a model file has, and a line that says so;
    the spec as it is, and "", where it has as many.
    """
    if classes == spec.head.num_classes:
        return spec, ""
    said = f"{spec.name} has {spec.head.num_classes} where nothing else is said"
    head = spec.head.model_copy(update={"num_classes": classes})
    remark = f"{classes} classes as in the file; {said}"
    return spec.model_copy(update={"head": head}), remark


def is_overridden(model: WrittenModel, path: Path) -> bool:
    """Is the value set on the command line or from Python, and not by a file?"""
    place = model.written().get(path)
    return place is not None and place.origin in ("command line", "python")


def load_document(
    name: str,
    *,
    kind: str,
    beside: FilePath | None = None,
    place: Place | None = None,
    above: tuple[FilePath, ...] = (),
) -> Document:
    """Read a YAML file and what it extends, merged.

    Raises:
        SpecError: Y..., S010 for a missing parent or a cycle of `extends`.
    """
    wanted_at = "" if place is None else str(place)
    path = locate(name, kind=kind, beside=beside, place=wanted_at)
    real = FilePath(os.path.realpath(path))  # pathlib's own raises for a loop of links
    if len(above) == MAX_DEPTH:
        raise SpecError.one("S010", f"extends a chain of more than {MAX_DEPTH} files", wanted_at)
    if real in above:
        chain = " -> ".join(step.name for step in (*above[above.index(real) :], real))
        raise SpecError.one("S010", f"extends itself: {chain}", wanted_at)
    document = read_file(path, absent=hint_at_nearest(path.stem, kind))
    if not isinstance(document.value, dict):
        raise SpecError.one(
            "S003", f"a {kind} must be a mapping of keys to values", document.place(())
        )
    # Before merging: a short form of the child meets the long form of its parent.
    expand = expand_recipe if kind == "recipe" else expand_short_forms
    document = expand(document)
    if "extends" not in document.value:
        return document
    parent_name, parent_place = document.value["extends"], document.place(("extends",))
    if not isinstance(parent_name, str):
        raise SpecError.one(
            "S003",
            f"extends (={shorten_value(parent_name)}) must be a name or a path",
            parent_place,
        )
    parent = load_document(
        parent_name, kind=kind, beside=path.parent, place=parent_place, above=(*above, real)
    )
    said = drop_key(document, "extends")
    if kind == "recipe":
        return merge(drop_meaningless(parent, said.value), said)
    return drop_stale_words(
        _name_after_file(parent),
        merge(drop_uninherited(parent, document), said),
        dict(walk_leaves(said.value)),
    )


def validate(
    model: type[Model],
    document: Document,
    faults: Sequence[Diagnostic] = (),
    beside: type[WrittenModel] | None = None,
) -> Model:
    """Return the model of a document in which nothing else is wrong.

    Raises:
        SpecError: S001..S006, every fault with its place, and the `faults` that are known already.
    """
    try:
        valid = model.model_validate(document.value)
    except ValidationError as error:
        found = [*faults, *diagnose(error, model, document, beside)]
        raise SpecError(sort_by_place(found, document.written())) from None
    if faults:
        raise SpecError(faults)
    return valid


def _check_kind(document: Document, kind: str) -> None:
    """Raise SpecError (S010) for a whole spec in a recipe's place, or the other way round."""
    (other,) = set(MARKS) - {kind}
    has_own, has_others = (not MARKS[name].isdisjoint(document.value) for name in (kind, other))
    if has_others and not has_own:
        place = Place(document.place(()).source)
        raise SpecError.one("S010", f"is a {other}, not a {kind}", place, HINTS_AT_KIND[other])


def _find_outdated(document: Document, kind: str) -> list[Diagnostic]:
    """Transitions that were listed for another number of blocks:
    one would silently move behind the last block.
    """
    place = document.places.get(("transitions",))
    count, blocks = len(_items_at(document, "transitions")), len(_items_at(document, "blocks"))
    if place is None or place.origin != "file" or count - blocks not in (-1, 0):
        return []
    meant = len(_items_at(load_document(os.path.abspath(place.source), kind=kind), "blocks"))
    # Where they did not fit their own file either, the rule of Spec says it.
    if meant == blocks or count - meant not in (-1, 0):
        return []
    entries = "1 entry" if count == 1 else f"{count} entries"
    listed = f"transitions (={entries}) were listed for {meant} blocks"
    message = f"{listed}, blocks (={blocks}) are another number"
    return [Diagnostic("S006", message, str(place), "list them anew")]


def _items_at(document: Document, key: str) -> Sequence[Any]:
    found = document.value.get(key)
    return found if isinstance(found, (list, tuple)) else ()


def _name_after_file(document: Document) -> Document:
    """A spec without a name is called after its file."""
    if document.value.get("name") is not None:
        return document
    name = name_of_file(FilePath(document.place(()).source))
    return Document({**document.value, "name": name}, document.places, document.keys)
