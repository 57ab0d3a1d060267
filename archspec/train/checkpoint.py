"""Checkpoints: written whole or not at all, and refused when they do not fit.

A training checkpoint holds the parameters, the optimizer's state and the number of epochs done; a file is
written under a temporary name in its folder and renamed.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from archspec.errors import Diagnostic, ModelFileError, TrainingError

EPOCH, BEST = "archspec.epoch", "archspec.best"
# What training checkpoints, ours and MindCV's, hold beside the network's parameters.
TRAINING_STATE = re.compile(r"(archspec|moments|accum|stat|ema)\.|(momentum|global_step|learning_rate|step)$")


def save(path: Path, parameters: Any, *, epoch: int, best: float) -> None:
    """Write parameters to `path`, atomically.

    Raises:
        TrainingError: T003, the file cannot be written; what was there before is untouched.
    """
    import mindspore as ms

    partial = path.with_name(f".{path.stem}.partial.ckpt")
    entries = [{"name": p.name, "data": p} for p in parameters]
    try:
        _sweep(partial)
        ms.save_checkpoint(entries, str(partial), append_dict={EPOCH: epoch, BEST: float(best)})
        _flush(partial)
        partial.chmod(0o644)  # MindSpore writes 0400, which the next epoch could not replace
        os.replace(partial, path)
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error).strip().splitlines()[0]
        raise TrainingError.one(
            "T003",
            f"the checkpoint cannot be written: {reason}",
            str(path),
            "free some disk space, then --resume",
        ) from None
    finally:
        _sweep(partial)


def _sweep(partial: Path) -> None:
    """Remove what an interrupted write left; MindSpore writes a `.tmp` beside the name that it is given."""
    for left in (partial, partial.with_suffix(".tmp")):
        left.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """A rename may reach the disk before the data does, unless these are flushed first."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def read(path: Path) -> Mapping[str, Any]:
    """Return a checkpoint's tensors by name.

    Raises:
        ModelFileError: R001, absent or unreadable; R002, not a checkpoint or cut short.
    """
    import mindspore as ms

    _check_readable(path)
    try:
        return ms.load_checkpoint(str(path))  # type: ignore[no-any-return]
    except (OSError, ValueError, RuntimeError, TypeError):  # whose words are about MindSpore's own parameters
        hint = "it was cut short or is another kind of file"
        raise ModelFileError.one("R002", "is no whole MindSpore checkpoint", str(path), hint) from None


def _check_readable(path: Path) -> None:
    if not path.is_file():
        raise ModelFileError.one("R001", "there is no such checkpoint", str(path))
    if path.suffix != ".ckpt":
        raise ModelFileError.one("R002", "must be a .ckpt file", str(path))
    try:
        with path.open("rb") as file:
            is_empty = not file.read(1)
    except OSError as error:
        raise ModelFileError.one("R001", f"cannot be read: {error.strerror}", str(path)) from None
    if is_empty:
        raise ModelFileError.one("R002", "is empty", str(path))


def restore(path: Path, parameters: Any) -> Mapping[str, Any]:
    """Fill parameters from a checkpoint and return all that it holds.

    Raises:
        ModelFileError: R001, R002; R003, parameters that the file lacks, has in another shape, or has beyond those.
    """
    held = read(path)
    wanted = {p.name: p for p in parameters}
    faults = [_fault(name, p, held, path) for name, p in wanted.items()]
    found = [fault for fault in faults if fault] + _surplus(held, wanted, path)
    if found:
        raise ModelFileError([*found[:20], *_more(found, path)])
    for name, parameter in wanted.items():
        parameter.set_data(held[name].value())
    return held


def _fault(name: str, parameter: Any, held: Mapping[str, Any], path: Path) -> Diagnostic | None:
    if name not in held:
        near = difflib.get_close_matches(name, held, n=1)
        return Diagnostic("R003", f"lacks {name}", str(path), f"it has {near[0]}" if near else "")
    if tuple(held[name].shape) != tuple(parameter.shape):
        shapes = f"{tuple(held[name].shape)}, the network needs {tuple(parameter.shape)}"
        other_classes = name.startswith("classifier.") and held[name].shape[0] != parameter.shape[0]
        hint = "it tells another number of classes apart" if other_classes else ""
        return Diagnostic("R003", f"has {name} as {shapes}", str(path), hint)
    return None


def _surplus(held: Mapping[str, Any], wanted: Mapping[str, Any], path: Path) -> list[Diagnostic]:
    beyond = [name for name in held if name not in wanted and not TRAINING_STATE.match(name)]
    return [Diagnostic("R003", f"has {name}, which the network lacks", str(path)) for name in beyond]


def _more(found: list[Diagnostic], path: Path) -> list[Diagnostic]:
    rest = len(found) - 20
    return [Diagnostic("R003", f"and {rest} more parameters do not fit", str(path))] if rest > 0 else []
