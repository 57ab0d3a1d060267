"""Checkpoints: written whole or not at all, and refused when they do not fit.

A training checkpoint holds the parameters, the optimizer's state and the number of epochs done; a file is
written under a temporary name in its folder and renamed.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from archspec.errors import Diagnostic, ModelFileError, TrainingError

EPOCH, BEST = "archspec.epoch", "archspec.best"


def save(path: Path, parameters: Any, *, epoch: int, best: float) -> None:
    """Write parameters to `path`, atomically.

    Raises:
        TrainingError: T003, the file cannot be written; what was there before is untouched.
    """
    import mindspore as ms

    partial = path.with_name(f".{path.stem}.partial.ckpt")
    entries = [{"name": p.name, "data": p} for p in parameters]
    try:
        partial.unlink(missing_ok=True)
        ms.save_checkpoint(entries, str(partial), append_dict={EPOCH: epoch, BEST: float(best)})
        _flush(partial)
        partial.chmod(0o644)  # MindSpore writes 0400, which the next epoch could not replace
        os.replace(partial, path)
    except (OSError, RuntimeError, ValueError) as error:
        partial.unlink(missing_ok=True)
        reason = getattr(error, "strerror", None) or str(error).strip().splitlines()[0]
        raise TrainingError.one(
            "T003",
            f"the checkpoint cannot be written: {reason}",
            str(path),
            "free some disk space, then --resume",
        ) from None


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

    if not path.is_file():
        raise ModelFileError.one("R001", "there is no such checkpoint", str(path))
    try:
        return ms.load_checkpoint(str(path))  # type: ignore[no-any-return]
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelFileError.one("R002", f"is no whole MindSpore checkpoint: {reason[:120]}", str(path)) from None


def restore(path: Path, parameters: Any) -> Mapping[str, Any]:
    """Fill parameters from a checkpoint and return all that it holds.

    Raises:
        ModelFileError: R001, R002; R003, parameters that are missing in the file or have another shape there.
    """
    held = read(path)
    wanted = {p.name: p for p in parameters}
    faults = [_fault(name, p, held, path) for name, p in wanted.items()]
    found = [fault for fault in faults if fault]
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
        hint = "another number of classes: --num-classes" if name.startswith("classifier.") else ""
        return Diagnostic("R003", f"has {name} as {shapes}", str(path), hint)
    return None


def _more(found: list[Diagnostic], path: Path) -> list[Diagnostic]:
    rest = len(found) - 20
    return [Diagnostic("R003", f"and {rest} more parameters do not fit", str(path))] if rest > 0 else []
