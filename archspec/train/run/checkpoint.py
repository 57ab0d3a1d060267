"""Checkpoints: written whole or not at all, and refused when they are damaged or do not fit.

A training checkpoint holds the parameters, the optimizer's state and the number of epochs done, and
ends with a digest of all that. It is written under a temporary name in its folder and renamed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from archspec.errors import ModelFileError, TrainingError
from archspec.runtime import prepare
from archspec.train.run.position import Position
from archspec.weights.formats import ckpt
from archspec.weights.formats.checkpoint_digest import is_damaged, is_known
from archspec.weights.formats.ckpt import TRAINING_STATE, read_checkpoint
from archspec.weights.pairing.matching import match_shapes

__all__ = [
    "TRAINING_STATE",
    "is_whole",
    "list_epochs",
    "path_of_epoch",
    "prune",
    "read_checkpoint",
    "restore",
    "restore_state",
    "save",
]


COPIES = ("ema", "kept")
"""State that is made of the network's parameters."""


def save(path: Path, parameters: Any, position: Position, *, previous: Path | None = None) -> None:
    """Write parameters and the position of the run to `path`, atomically;
    what was there before becomes `previous`.

    Raises:
        TrainingError: T003, the file cannot be written; what was there before is untouched.
    """
    import mindspore as ms

    entries = [{"name": p.name, "data": p} for p in parameters]
    for name, values in position.entries().items():
        entries.append({"name": name, "data": ms.Tensor(values)})
    try:
        ckpt.write_checkpoint(path, entries, with_digest=True, previous=previous)
    except (OSError, RuntimeError, ValueError) as error:
        raise TrainingError.one(
            "T003",
            f"the checkpoint cannot be written: {ckpt.explain_failure(error)}",
            str(path),
            "free some disk space, then --resume",
        ) from None


def is_whole(path: Path) -> bool:
    """Return whether there is a checkpoint as it was written.

    One of an earlier version, which has no digest, is whole where MindSpore reads it.

    Raises:
        ModelFileError: R001, it cannot be read, so that nobody knows.
    """
    if not path.is_file():
        return False
    try:
        if is_known(path):
            return not is_damaged(path)
    except OSError as error:
        raise ModelFileError.one("R001", f"cannot be read: {error.strerror}", str(path)) from None
    prepare()
    try:
        read_checkpoint(path)
    except ModelFileError:
        return False
    return True


def restore(path: Path, parameters: Any) -> Mapping[str, Any]:
    """Fill parameters from a checkpoint and return all that it holds.

    Raises:
        ModelFileError: R001, R002; R003, parameters that the file lacks,
            has in another shape, or has beyond those.
    """
    held = read_checkpoint(path)
    fresh = {p.name: p for p in parameters}
    wanted = {name: tuple(p.shape) for name, p in fresh.items()}
    # Of another optimizer's state nothing is asked; of parameters that are too many it is told.
    candidates = {}
    for name in held:
        if name in wanted or not TRAINING_STATE.match(name):
            candidates[name] = held[name]
    values = match_shapes(candidates, wanted, str(path))
    for name, parameter in fresh.items():
        parameter.set_data(values[name].value())
    return held


def restore_state(path: Path, parameters: Any) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """Fill parameters and state of training from a checkpoint; return all that it holds, and which
    kinds of state it lacks, since it was written under another recipe.

    Those begin anew: averages and copies of parameters as these are now, all else as it was made.

    Raises:
        ModelFileError: see `restore`.
    """
    held = read_checkpoint(path)
    lacking = [p for p in parameters if p.name not in held and TRAINING_STATE.match(p.name)]
    names = {p.name for p in lacking}
    restore(path, [p for p in parameters if p.name not in names])
    by_name = {p.name: p for p in parameters}
    for parameter in lacking:
        kind, _, name = parameter.name.partition(".")
        if kind in COPIES and name in by_name:
            parameter.set_data(by_name[name].value())
    return held, tuple(dict.fromkeys(p.name.partition(".")[0] for p in lacking))


def path_of_epoch(last: Path, epoch: int) -> Path:
    """Return where the checkpoint of one epoch lies,
    which serves as `last` does: to resume from, too.
    """
    return last.with_name(f"epoch-{epoch:04d}.ckpt")


def list_epochs(last: Path) -> dict[int, Path]:
    """Return the checkpoints of single epochs by number, the newest first."""
    found = {}
    for path in last.parent.glob("epoch-*.ckpt"):
        number = path.stem.removeprefix("epoch-")
        if number.isdecimal() and path == path_of_epoch(last, int(number)):
            found[int(number)] = path
    return dict(sorted(found.items(), reverse=True))


def prune(last: Path, *, upto: int, kept: Collection[int]) -> None:
    """Remove the checkpoints of epochs up to `upto` that are not to be kept, and no other file."""
    for epoch, path in list_epochs(last).items():
        if epoch <= upto and epoch not in kept:
            with suppress(OSError):  # a file too many is no reason to stop
                path.unlink()
