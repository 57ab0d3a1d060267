"""A trained network in an engine: exported once, certified, run beside MindSpore, and kept in the
cache folder.

A kept file is found by the digest of all that it follows from, weights, spec, recipe and this
program, and is believed where its own digest is the one that its name says.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache
from hashlib import sha256
from pathlib import Path

from archspec.errors import ArchspecError, EnvironmentFault, ModelFileError
from archspec.files import sha256_of, to_yaml
from archspec.graph.build import build_graph
from archspec.graph.shapes import infer_shapes
from archspec.mindspore_versions import list_versions
from archspec.operators import table
from archspec.runtime import cache_folder, import_onnx_runtime
from archspec.train.engine.compiled_graphs import drop_oldest
from archspec.train.export.export_onnx import export_onnx, told_of
from archspec.train.export.export_precision import title_of
from archspec.train.trained.engines import (
    ENGINES,
    EngineName,
    ExportedNetwork,
    check_outputs,
    load_network,
)
from archspec.train.trained.trained import Trained
from archspec.writers.onnx import model, onnx_files

FOLDER = "exported"
"""Of the cache folder."""


def open_in_engine(trained: Trained, engine: EngineName) -> Trained:
    """Return a trained network that an engine runs in MindSpore's place.

    Raises:
        ModelFileError: R004, the engine runs no ONNX, or its weights are too many for one file.
        EnvironmentFault: E009, it is not installed, or ONNX Runtime is not, which checks the file.
        ArchspecError: see `export_onnx`.
    """
    _check_can_run(trained, engine)
    name = _name_by_contents(trained)
    kept = _find_kept(name)
    if kept is not None:
        note = f"{title_of(engine)} runs the export of it that is kept as {kept}"
        return _run_in(trained, engine, kept, note)
    with tempfile.TemporaryDirectory(prefix="export-") as folder:
        draft = Path(folder) / "network.onnx"
        with _told_of_room(draft), told_of(draft, trained.checkpoint):
            found = export_onnx(trained, draft)
        if onnx_files.data_file_of(draft).exists():
            rule = "has too many weights for one file, which alone is kept"
            cure = "export it, and name that file"
            raise ModelFileError.one("R004", rule, str(trained.checkpoint), cure)
        kept = _keep(draft, name)
        where = f"kept as {kept}" if kept else _explain_not_kept(name)
        note = (
            f"exported for {title_of(engine)}: certified, within {found.distance:.0e} of what "
            f"MindSpore gives for {found.images}; {where}"
        )
        return _run_in(trained, engine, kept or draft, note)


@contextmanager
def _told_of_room(draft: Path) -> Iterator[None]:
    """Let a draft that cannot be written be told of the folder of temporary files."""
    try:
        yield
    except ArchspecError as error:
        (first, *_) = error.diagnostics
        if first.code != "W002":
            raise
        folder, cure = str(draft.parent.parent), "make room there, or set TMPDIR to another folder"
        raise ArchspecError.one("W002", first.message, folder, cure) from None


def _explain_not_kept(name: str) -> str:
    for place in _list_kept(name):
        if place.is_dir():
            return f"not kept: the folder {place} has its place"
    return "not kept: the cache folder takes nothing"


def _check_can_run(trained: Trained, engine: EngineName) -> None:
    if engine not in ENGINES[".onnx"]:
        rule = f"{engine} runs it anyway: leave out --engine"
        raise ModelFileError.one("R004", rule, str(trained.checkpoint))
    if trained.device_target is not None:
        rule = f"{engine} runs on this machine's processors: leave out --device-target"
        raise ModelFileError.one("R004", rule, str(trained.checkpoint))
    import_onnx_runtime()  # where another engine runs the file, it has checked it first


def _run_in(trained: Trained, engine: EngineName, file: Path, note: str) -> Trained:
    network: ExportedNetwork = load_network(file, engine)
    graph = build_graph(trained.spec)
    shapes, _ = infer_shapes(graph)
    check_outputs(network, file, [shapes[name] for name in graph.outputs])
    return replace(trained, exported=network, notes=(*trained.notes, note))


def _name_by_contents(trained: Trained) -> str:
    told = [
        sha256_of(trained.checkpoint),
        f"ema: {trained.ema}",
        to_yaml(trained.spec.resolved()),
        to_yaml(trained.recipe.resolved()),
        str(sorted(list_versions().items())),
        _digest_sources(),
    ]
    return sha256("\n".join(told).encode()).hexdigest()[:32]


@cache
def _digest_sources() -> str:
    """Of what writes a file: one that was edited may write another."""
    found = sha256()
    for module in (table, model):
        for file in sorted(Path(str(module.__file__)).parent.glob("*.py")):
            found.update(file.read_bytes())
    return found.hexdigest()


def _find_kept(name: str) -> Path | None:
    """The file of a name that is whole; others are removed."""
    for file in _list_kept(name):
        with suppress(OSError):
            if file.is_file() and sha256_of(file) == file.stem.partition("-")[2]:
                os.utime(file)  # those that were not used for longest go first
                return file
            file.unlink()
    return None


def _list_kept(name: str) -> Iterator[Path]:
    with suppress(OSError, EnvironmentFault):
        yield from sorted((cache_folder() / FOLDER).glob(f"{name}-*.onnx"))


def _keep(draft: Path, name: str) -> Path | None:
    """Put a file into the cache folder, whole or not at all; None where that takes nothing."""
    try:
        folder = cache_folder() / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        kept = folder / f"{name}-{sha256_of(draft)}.onnx"
        with tempfile.TemporaryDirectory(dir=folder, prefix=".") as beside:
            copy = Path(beside) / kept.name
            shutil.copyfile(draft, copy)
            with copy.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(copy, kept)
        drop_oldest(kept)
    except (OSError, ArchspecError):
        return None
    return kept
