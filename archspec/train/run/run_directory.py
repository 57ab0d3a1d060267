"""The run directory: everything that a run is, so that it can be resumed,
validated and understood later.

spec.yaml recipe.yaml   as resolved, nothing left to look up
run.json                data, classes, devices, versions, digests, and what the two above said
network.py              the emitted module
certificate.json        that MindSpore compiles it to the spec's network
metrics.jsonl           one event a line
log.txt, workers/       what MindSpore and the workers print
checkpoints/            last.ckpt to resume from, previous.ckpt, what that was before,
                        best.ckpt by validation accuracy
.lock                   held by the process that trains
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from archspec.errors import TrainingError
from archspec.files import to_yaml, write_atomic
from archspec.spec.load import load_spec
from archspec.spec.reading.yaml_reader import read_file
from archspec.spec.spec import Spec
from archspec.train.recipe.recipe import Recipe, load_recipe
from archspec.weights.formats.number_types import Floats
from archspec.weights.formats.weight_files import write_tensors

SPEC, RECIPE, SETTINGS = "spec.yaml", "recipe.yaml", "run.json"
DeviceTarget = Literal["CPU", "Ascend"]
WRITTEN_FILES = (SPEC, RECIPE, SETTINGS)


@dataclass(frozen=True)
class Settings:
    """What a run needs beside spec and recipe."""

    data_dir: str | None
    """Absolute; None is the embedded digits."""
    data_kind: str
    classes: tuple[str, ...]
    device_target: str
    devices: int
    """Processes on each machine."""
    structure_digest: str
    versions: Mapping[str, str]
    initial_digest: str | None = None
    """Of the file of the weights to begin with, sha256; None where there is none."""
    written: Mapping[str, Any] | None = None
    """What spec.yaml and recipe.yaml said when the run began, by the file's name; None where it
    began under a version that did not keep it."""
    nodes: int = 1
    """Machines that train together."""

    @property
    def world(self) -> int:
        """Processes on all machines."""
        return self.nodes * self.devices


@dataclass(frozen=True)
class Run:
    """A run directory."""

    path: Path

    @property
    def log(self) -> Path:
        """What the libraries print."""
        return self.path / "log.txt"

    @property
    def metrics(self) -> Path:
        """Events, a JSON object a line."""
        return self.path / "metrics.jsonl"

    @property
    def lock(self) -> Path:
        """Locked by the process that trains."""
        return self.path / ".lock"

    @property
    def workers(self) -> Path:
        """Logs of the processes of a distributed run."""
        return self.path / "workers"

    @property
    def last(self) -> Path:
        """The checkpoint to resume from."""
        return self.path / "checkpoints" / "last.ckpt"

    @property
    def previous(self) -> Path:
        """What `last` was before, taken where that is damaged."""
        return self.path / "checkpoints" / "previous.ckpt"

    @property
    def network(self) -> Path:
        """The emitted module, for people: the network is made from the spec."""
        return self.path / "network.py"

    @property
    def certificate(self) -> Path:
        """That the network which MindSpore compiled is the spec's."""
        return self.path / "certificate.json"

    @property
    def initial(self) -> Path:
        """The weights to begin with, where they are another file's."""
        return self.path / "checkpoints" / "initial.safetensors"

    @property
    def best(self) -> Path:
        """The checkpoint with the best accuracy on the validation images."""
        return self.path / "checkpoints" / "best.ckpt"

    @cached_property
    def spec(self) -> Spec:
        """The resolved spec."""
        return load_spec(self.path / SPEC)

    @cached_property
    def recipe(self) -> Recipe:
        """The resolved recipe."""
        return load_recipe(self.path / RECIPE)

    @cached_property
    def settings(self) -> Settings:
        """Data, classes, devices, digests, versions."""
        file = self.path / SETTINGS
        try:
            values = json.loads(file.read_text(encoding="utf-8"))
            return Settings(**{**values, "classes": tuple(values["classes"])})
        except OSError as error:
            raise TrainingError.one(
                "T004", f"cannot be read: {error.strerror}", str(file)
            ) from None
        except (ValueError, TypeError, KeyError):
            raise TrainingError.one("T004", "is not what a run writes", str(file)) from None


def check_is_free(path: Path) -> None:
    """Raise TrainingError (T001) where there is something in the way of a new run directory."""
    try:
        if not path.exists() or (path.is_dir() and not any(path.iterdir())):
            return
    except OSError as error:
        raise TrainingError.one("T002", f"cannot be read: {error.strerror}", str(path)) from None
    raise TrainingError.one(
        "T001", "exists and is not empty", str(path), "choose another --out, or go on with --resume"
    )


def discard_run(run: Run) -> None:
    """Take away the directory of a run that has not begun."""
    shutil.rmtree(run.path, ignore_errors=True)


def create_run(
    path: Path,
    spec: Spec,
    recipe: Recipe,
    settings: Settings,
    network: str,
    *,
    certificate: Mapping[str, Any] | None = None,
    initial: Mapping[str, Floats] | None = None,
) -> Run:
    """Make a run directory, or leave nothing behind.

    `network` is the emitted module, `certificate` its certificate, `initial` the weights to begin
    with, by name.

    Raises:
        TrainingError: T001, it exists and is not empty; T002, it cannot be written.
    """
    check_is_free(path)
    run = Run(path.resolve())
    missing = [folder for folder in (run.path, *run.path.parents) if not folder.exists()]
    try:
        (run.path / "checkpoints").mkdir(parents=True, exist_ok=True)
        _write_parts(run, spec, recipe, network, certificate, initial)
        # Last: a directory without it is no run, whatever interrupted the others.
        write_settings(run, _add_digests(run, settings))
    except BaseException as error:
        _remove_made(run, missing)
        if not isinstance(error, OSError):
            raise
        raise TrainingError.one("T002", f"cannot be written: {error.strerror}", str(path)) from None
    return run


def _write_parts(
    run: Run,
    spec: Spec,
    recipe: Recipe,
    network: str,
    certificate: Mapping[str, Any] | None,
    initial: Mapping[str, Floats] | None,
) -> None:
    write_atomic(run.path / SPEC, to_yaml(spec.resolved()))
    write_atomic(run.path / RECIPE, to_yaml(recipe.resolved()))
    write_atomic(run.network, network)
    if certificate is not None:
        write_atomic(run.certificate, json.dumps(certificate, indent=2) + "\n")
    if initial is not None:
        write_tensors(run.initial, initial)


def _add_digests(run: Run, settings: Settings) -> Settings:
    digest = sha256(run.initial.read_bytes()).hexdigest() if run.initial.is_file() else None
    return replace(settings, initial_digest=digest, written=read_written(run))


def _remove_made(run: Run, missing: Sequence[Path]) -> None:
    """Take away what `create_run` made: the folder, or what is in it, and the folders around it."""
    for entry in list(run.path.iterdir()) if run.path.is_dir() else []:
        shutil.rmtree(entry, ignore_errors=True)
        with suppress(OSError):
            entry.unlink(missing_ok=True)
    for folder in missing:
        with suppress(OSError):  # another run may be in it by now
            folder.rmdir()


def read_written(run: Run) -> dict[str, Any]:
    """Return the plain values that spec.yaml and recipe.yaml say, by the file's name.

    Raises:
        SpecError: Y001..Y009, one of them is no YAML.
    """
    return {name: read_file(run.path / name).value for name in (SPEC, RECIPE)}


def write_settings(run: Run, settings: Settings) -> None:
    """Write run.json. Raises OSError."""
    write_atomic(run.path / SETTINGS, json.dumps(asdict(settings), indent=2) + "\n")


def change_recipe(run: Run, recipe: Recipe, **settings: Any) -> Run:
    """Write another recipe into a run directory, and other values of its settings; return the run
    that has them.

    Raises:
        TrainingError: T002, it cannot be written.
    """
    try:
        write_atomic(run.path / RECIPE, to_yaml(recipe.resolved()))
        changed = replace(run.settings, **settings)
        if changed.written is not None:
            written = {**changed.written, RECIPE: read_file(run.path / RECIPE).value}
            changed = replace(changed, written=written)
        if changed != run.settings:
            write_settings(run, changed)
    except OSError as error:
        file = str(run.path / RECIPE)
        raise TrainingError.one("T002", f"cannot be written: {error.strerror}", file) from None
    return Run(run.path)


def open_run(path: Path) -> Run:
    """Return an existing run.

    Raises:
        TrainingError: T004, the folder is no run directory or lacks a part of it.
    """
    try:
        missing = [name for name in WRITTEN_FILES if not (path / name).is_file()]
    except OSError as error:
        raise TrainingError.one("T004", f"cannot be read: {error.strerror}", str(path)) from None
    if missing:
        raise TrainingError.one(
            "T004", f"is no whole run directory: it has no {', '.join(missing)}", str(path)
        )
    return Run(path.resolve())


def name_default_path(spec: Spec) -> Path:
    """Return `runs/NAME-DATE-TIME`."""
    return Path("runs") / f"{spec.name}-{datetime.now():%Y%m%d-%H%M%S}"
