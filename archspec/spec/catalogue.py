"""The specs and recipes that ship with the package, found by name."""

from __future__ import annotations

import difflib
import os
from functools import cache
from pathlib import Path

from archspec.errors import SpecError

HINTS_AT_KIND = {
    "spec": "a network is the first argument: densenet train SPEC --recipe RECIPE",
    "recipe": "a recipe goes with --recipe: densenet train SPEC --recipe RECIPE",
}
"""Where a kind of file belongs that stands in the other's place."""

DEFAULT_SPEC = "densenetbc_digits"


@cache
def specs_folder() -> Path:
    """Return the folder of the shipped specs: inside the wheel,
    or beside the package in a checkout.
    """
    package = Path(__file__).resolve().parent.parent
    inside = package / "specs"
    return inside if inside.is_dir() else package.parent / "specs"


def shipped(kind: str = "spec") -> dict[str, Path]:
    """Return the shipped specs (or `kind="recipe"`) by name, sorted."""
    folder = specs_folder() if kind == "spec" else specs_folder() / "recipes"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def locate(name: str, *, kind: str = "spec", beside: Path | None = None, place: str = "") -> Path:
    """Return the file that `name` means:
    a path (relative to `beside`), or the name of a shipped one.

    A path is returned whether or not it can be read;
    where `place` says who wants it, it must be a file.

    Raises:
        SpecError: S010, neither a file nor a shipped name; proposes the nearest.
    """
    known = shipped(kind)
    if name in known:  # first: a file of that name in the working directory changes nothing
        return known[name]
    path = (beside or Path()) / os.path.expanduser(name)  # pathlib's own raises for an unknown user
    inside = path / f"{kind}.yaml"
    if os.path.isdir(path) and os.path.isfile(inside):
        message = f"{name[:60]} is a folder, not a {kind}"
        raise SpecError.one("S010", message, place, f"name the file in it: {inside}")
    looks_like_path = not place and ("/" in name or name.endswith((".yaml", ".yml")))
    if looks_like_path or os.path.isfile(path):
        return path
    (other,) = set(HINTS_AT_KIND) - {kind}
    if name in shipped(other):
        message = f"{name} is a {other}, not a {kind}"
        raise SpecError.one("S010", message, place, HINTS_AT_KIND[other])
    hint = hint_at_nearest(name, kind) or f"shipped: {', '.join(known)}"
    raise SpecError.one(
        "S010", f"there is no {kind} {name[:60]!r}, neither shipped nor a file", place, hint
    )


def hint_at_nearest(name: str, kind: str = "spec") -> str:
    """Return a hint at the shipped name that `name` is or nearly is, else ''."""
    near = difflib.get_close_matches(name.lower()[:60], shipped(kind), n=1, cutoff=0.75)
    return f"did you mean the shipped {kind} {near[0]!r}?" if near else ""
