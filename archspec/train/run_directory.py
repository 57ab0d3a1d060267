"""The run directory: everything that a run is, so that it can be resumed,
validated and understood later.

spec.yaml recipe.yaml   as resolved, nothing left to look up
run.json                data, classes, devices, digests, versions
network.py              the emitted module
certificate.json        that MindSpore compiles it to the spec's network
metrics.jsonl           one event a line
log.txt, workers/       what MindSpore and the workers print
checkpoints/            last.ckpt to resume from, best.ckpt by validation accuracy
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

from archspec.errors import TrainingError
from archspec.files import to_yaml, write_atomic
from archspec.spec.load import load_spec
from archspec.spec.model import Spec
from archspec.train.recipe.model import Recipe, load_recipe

WRITTEN_FILES = ("spec.yaml", "recipe.yaml", "run.json")


@dataclass(frozen=True)
class Settings:
    """What a run needs beside spec and recipe."""

    data_dir: str | None
    """Absolute; None is the embedded digits."""
    data_kind: str
    classes: tuple[str, ...]
    device_target: str
    devices: int
    structure_digest: str
    versions: Mapping[str, str]


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
    def workers(self) -> Path:
        """Logs of the processes of a distributed run."""
        return self.path / "workers"

    @property
    def last(self) -> Path:
        """The checkpoint to resume from."""
        return self.path / "checkpoints" / "last.ckpt"

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
        return load_spec(self.path / "spec.yaml")

    @cached_property
    def recipe(self) -> Recipe:
        """The resolved recipe."""
        return load_recipe(self.path / "recipe.yaml")

    @cached_property
    def settings(self) -> Settings:
        """Data, classes, devices, digests, versions."""
        file = self.path / "run.json"
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


def create_run(path: Path, spec: Spec, recipe: Recipe, settings: Settings, network: str) -> Run:
    """Make a run directory.

    Raises:
        TrainingError: T001, it exists and is not empty; T002, it cannot be written.
    """
    check_is_free(path)
    run = Run(path.resolve())
    try:
        (run.path / "checkpoints").mkdir(parents=True, exist_ok=True)
        write_atomic(run.path / "spec.yaml", to_yaml(spec.resolved()))
        write_atomic(run.path / "recipe.yaml", to_yaml(recipe.resolved()))
        write_atomic(run.path / "network.py", network)
        # Last: a directory without it is no run, whatever interrupted the others.
        write_atomic(run.path / "run.json", json.dumps(asdict(settings), indent=2) + "\n")
    except OSError as error:
        raise TrainingError.one("T002", f"cannot be written: {error.strerror}", str(path)) from None
    return run


def change_recipe(run: Run, recipe: Recipe) -> Run:
    """Write another recipe into a run directory and return the run that has it.

    Raises:
        TrainingError: T002, it cannot be written; the old one is untouched.
    """
    file = run.path / "recipe.yaml"
    try:
        write_atomic(file, to_yaml(recipe.resolved()))
    except OSError as error:
        raise TrainingError.one("T002", f"cannot be written: {error.strerror}", str(file)) from None
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
