"""A file that `densenet export` wrote, as a trained network: what it is stands in its metadata."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from archspec.errors import ArchspecError, ModelFileError, SpecError
from archspec.files import to_yaml
from archspec.readers.mindir.decode import read_model
from archspec.spec.load import load_spec
from archspec.spec.override import Override
from archspec.spec.spec import Spec
from archspec.train.recipe.recipe import Recipe, load_recipe

SPEC, RECIPE, CLASSES = "spec", "recipe", "classes"
IN_THE_FILE = {"preprocess": "in the file"}
"""What the metadata says of one that reads images as they are."""
MAX_BYTES = 2**31
"""Of a file, weights beside it left out: what one message of ONNX may have; of images at once."""


def check_batch(spec: Spec, batch: int | None) -> None:
    """Check that a fixed number of images at once can be made, to try a network or to compile it.

    Raises:
        ArchspecError: W004, they are too large.
    """
    size = spec.input
    values = (batch or 1) * size.channels * size.height * size.width
    if 4 * values > MAX_BYTES:
        rule = f"batch_size (={batch:,}): images of {4 * values / 1e9:,.1f} GB, more than 2 at once"
        raise ArchspecError.one("W004", rule, hint="fewer, or leave it free")


def describe_network(spec: Spec, recipe: Recipe, classes: Sequence[str]) -> dict[str, str]:
    """Return what `read_network` reads of a file's metadata."""
    return {
        SPEC: to_yaml(spec.resolved()),
        RECIPE: to_yaml(recipe.resolved()),
        CLASSES: json.dumps([*classes]),
    }


class ToldNetwork(NamedTuple):
    """What an exported file says of itself."""

    spec: Spec
    own_recipe: Recipe
    recipe: Recipe
    """Which says how images are prepared: its own unless another is named."""
    classes: tuple[str, ...]
    reads_images: bool
    """Whether it prepares images itself."""


def read_network(
    file: Path, recipe: str | None = None, overrides: Sequence[Override] = ()
) -> ToldNetwork:
    """Return what an exported network is, with a recipe to judge it by.

    Raises:
        ModelFileError: R005, the file cannot be read; R006, it is no ONNX, or no MINDIR; R004, it
            does not say what it is.
        SpecError: the recipe that is named is none, or the overrides do not fit it.
    """
    told = _read_metadata(file)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for key in (SPEC, RECIPE):
            (folder / f"{key}.yaml").write_text(told[key], "utf-8")
        try:
            spec = load_spec(folder / f"{SPEC}.yaml")
            own = load_recipe(folder / f"{RECIPE}.yaml")
        except SpecError as error:  # whose place is a file that is gone by then
            message = f"does not say which network it is: {error.diagnostics[0].message}"
            raise ModelFileError.one("R004", message, str(file)) from None
        chosen = load_recipe(folder / f"{RECIPE}.yaml" if recipe is None else recipe, overrides)
    reads_images = told.items() >= IN_THE_FILE.items()
    classes = _read_classes(file, told[CLASSES])
    if classes and len(classes) != spec.head.num_classes:
        message = f"has {len(classes):,} names for {spec.head.num_classes:,} classes"
        raise ModelFileError.one("R004", message, str(file))
    return ToldNetwork(spec, own, chosen, classes, reads_images)


def _read_metadata(file: Path) -> Mapping[str, str]:
    told = read_model(file).told if is_mindir(file) else _read_metadata_of_onnx(file)
    if not {SPEC, RECIPE, CLASSES} <= told.keys():
        message = "does not say which network it is, as one that `densenet export` writes does"
        cure = "`densenet lift` writes the spec of a foreign one"
        raise ModelFileError.one("R004", message, str(file), cure)
    return told


def is_mindir(file: Path) -> bool:
    """Return whether MindSpore runs a file."""
    return file.suffix.lower() == ".mindir"


def _read_metadata_of_onnx(file: Path) -> Mapping[str, str]:
    import onnx

    from archspec.writers.onnx.onnx_files import check_beside

    try:
        size = file.stat().st_size
        if not 0 < size < MAX_BYTES:
            message = f"has {size:,} bytes, more than an ONNX can" if size else "is empty"
            raise ModelFileError.one("R006", message, str(file))
        model = onnx.load(file, load_external_data=False)
    except OSError as error:
        raise ModelFileError.one("R005", f"cannot be read: {error.strerror}", str(file)) from None
    except ModelFileError:
        raise
    except Exception:  # protobuf's own has no class that all versions have
        raise ModelFileError.one("R006", "is no ONNX, or is cut short", str(file)) from None
    check_beside(file, model)
    return {entry.key: entry.value for entry in model.metadata_props}


def _read_classes(file: Path, text: str) -> tuple[str, ...]:
    try:
        names: Any = json.loads(text)
    except ValueError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ModelFileError.one("R004", "has classes that are no list of names", str(file))
    return tuple(names)
