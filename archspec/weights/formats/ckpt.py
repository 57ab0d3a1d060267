"""MindSpore's own checkpoint files: read whole, written whole or not at all."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from archspec.errors import ModelFileError
from archspec.weights.formats.checkpoint_digest import (
    DAMAGED,
    DIGEST,
    PROMISE,
    append_digest,
    is_damaged,
)

# What training checkpoints, ours and MindCV's, hold beside the network's parameters.
TRAINING_STATE = re.compile(
    r"(archspec|moments|moment[12]|mean_square|accum|grad_accumulation|stat|ema|kept)\."
    r"|(momentum|global_step|learning_rate|step|beta[12]_power|scale_sense|updates)$"
    r"|(good_updates|skipped_updates)$"
)


def read_checkpoint(path: Path) -> Mapping[str, Any]:
    """Return a checkpoint's tensors by name, as MindSpore's parameters.

    Raises:
        ModelFileError: R001, absent or unreadable; R002, not a checkpoint, cut short or damaged.
    """
    import mindspore as ms

    _check_readable(path)
    try:
        held = ms.load_checkpoint(str(path))
    except (
        OSError,
        ValueError,
        RuntimeError,
        TypeError,
    ):  # whose words are about MindSpore's own parameters
        hint = "it was cut short or is another kind of file"
        raise ModelFileError.one(
            "R002", "is no whole MindSpore checkpoint", str(path), hint
        ) from None
    return {name: held[name] for name in held if name not in (PROMISE, DIGEST)}


def _check_readable(path: Path) -> None:
    if not path.is_file():
        raise ModelFileError.one("R001", "there is no such checkpoint", str(path))
    if path.suffix != ".ckpt":
        raise ModelFileError.one("R002", "must be a .ckpt file", str(path))
    try:
        with path.open("rb") as file:
            is_empty = not file.read(1)
        is_faulty = is_damaged(path)
    except OSError as error:
        raise ModelFileError.one("R001", f"cannot be read: {error.strerror}", str(path)) from None
    if is_empty:
        raise ModelFileError.one("R002", "is empty", str(path))
    if is_faulty:
        raise ModelFileError.one("R002", DAMAGED, str(path))


def write_checkpoint(
    path: Path,
    entries: Sequence[Mapping[str, Any]],
    *,
    with_digest: bool = False,
    previous: Path | None = None,
) -> None:
    """Write entries of `name` and `data` (a MindSpore tensor), atomically.

    A checkpoint of training ends with a digest of its bytes; a file of weights alone holds nothing
    but the network's parameters. What was there before becomes `previous`.

    Raises:
        OSError, RuntimeError, ValueError: as MindSpore does; what was there before is untouched.
    """
    import mindspore as ms

    partial = path.with_name(f".{path.stem}.partial.ckpt")
    try:
        _remove_partial(partial)
        first = [{"name": PROMISE, "data": ms.Tensor(True)}] if with_digest else []
        ms.save_checkpoint([*first, *entries], str(partial))
        partial.chmod(0o644)  # MindSpore writes 0400, which the next epoch could not replace
        if with_digest:
            append_digest(partial)
        _flush(partial)
        if previous is not None and path.is_file():
            _keep_previous(path, previous)
        os.replace(partial, path)
    finally:
        _remove_partial(partial)


def _keep_previous(path: Path, previous: Path) -> None:
    """Give the file a second name, which it keeps when the first goes to another."""
    previous.unlink(missing_ok=True)
    try:
        os.link(path, previous)
    except OSError:  # a file system without hard links
        os.replace(path, previous)


def explain_failure(error: Exception) -> str:
    """Return in one line why a file could not be written."""
    return (
        getattr(error, "strerror", None)
        or (str(error).strip().splitlines() or [type(error).__name__])[0]
    )


def _remove_partial(partial: Path) -> None:
    """Remove what an interrupted write left;
    MindSpore writes a `.tmp` beside the name that it is given.
    """
    for left in (partial, partial.with_suffix(".tmp")):
        left.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """A rename may reach the disk before the data does, unless these are flushed first."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
