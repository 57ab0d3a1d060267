"""Which of a run's checkpoints is whole, and which is taken where one is not?"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from archspec.errors import ModelFileError, TrainingError
from archspec.shell_words import quote_word
from archspec.train.run.checkpoint import is_whole, list_epochs
from archspec.train.run.run_directory import Run
from archspec.weights.formats.checkpoint_digest import DAMAGED


def recover_checkpoints(run: Run) -> tuple[str, ...]:
    """See to it that `last.ckpt` and `best.ckpt` are whole or not there;
    return what was wrong, each a line.

    A damaged file is kept as `NAME.damaged`, and the newest whole checkpoint takes the place of
    `last.ckpt`. For the one process that holds the run's lock, before any worker reads them.

    Raises:
        TrainingError: T018, there are checkpoints, and none is whole; T002, a file cannot be moved.
        ModelFileError: R001, a file cannot be read: it is left where it is.
    """
    try:
        return (*_recover_last(run), *_recover_best(run))
    except OSError as error:
        message = f"cannot be written: {error.strerror}"
        raise TrainingError.one("T002", message, str(error.filename or run.path)) from None


def choose_judged(run: Run) -> Path | None:
    """Return the checkpoint that a run is judged by:
    the best, else the last; None where neither is whole.
    """
    return next(filter(is_whole, (run.best, run.last)), None)


def find_newest(run: Run) -> Path | None:
    """Return the checkpoint that a run goes on from: the last, else the newest that is whole;
    None where the run begins anew.

    Raises:
        TrainingError: T018, there are checkpoints, and none is whole.
        ModelFileError: R001, a file cannot be read.
    """
    found = [run.last, run.previous, *list_epochs(run.last).values()]
    there = [path for path in found if path.is_file()]
    newest = next(filter(is_whole, there), None)
    if newest is None and there:
        hint = f"a new run; or take {run.last.parent}/*.ckpt away, and this one begins anew"
        message = "holds no checkpoint that is whole"
        raise TrainingError.one("T018", message, str(run.last.parent), hint)
    return newest


def find_best(run: Run) -> Path:
    """Return the checkpoint to validate, to ask and to export.

    Raises:
        ModelFileError: R001, there is none that can be read; R002, it is damaged.
    """
    if is_whole(run.best):
        return run.best
    hint = "no epoch of this run is validated"
    if is_whole(run.last):
        hint = f"the last one is whole: --ckpt {quote_word(str(run.last))}"
    elif run.last.is_file():
        hint = f"densenet train --resume {quote_word(str(run.path))} looks for one that is whole"
    if not run.best.is_file():
        raise ModelFileError.one("R001", "there is no such checkpoint", str(run.best), hint)
    raise ModelFileError.one("R002", DAMAGED, str(run.best), hint)


def _recover_last(run: Run) -> Iterator[str]:
    found = find_newest(run)
    if found == run.last:
        return
    if found is None:
        if _tells_of(run, '"event": "epoch"'):
            yield f"{run.last}: is gone, and no other checkpoint is left; training begins anew"
        return
    yield f"{run.last}: {_set_aside(run.last)}; going on from {found.name}, the one before"
    _copy_as(found, run.last)


def _recover_best(run: Run) -> Iterator[str]:
    if is_whole(run.best) or not (run.best.is_file() or _tells_of(run, '"val_loss"')):
        return
    yield f"{run.best}: {_set_aside(run.best)}; the best is chosen from what comes now"


def _set_aside(path: Path) -> str:
    """Move a damaged file out of the way, and return what is the matter with it."""
    if not path.is_file():
        return "is gone"
    aside = path.with_name(f"{path.name}.damaged")
    os.replace(path, aside)
    return f"is damaged (kept as {aside.name})"


def _copy_as(found: Path, path: Path) -> None:
    partial = path.with_name(f".{path.stem}.partial.ckpt")
    shutil.copyfile(found, partial)
    os.replace(partial, path)


def _tells_of(run: Run, words: str) -> bool:
    """Whether an event of the run says so: an epoch that is done, one that was validated."""
    try:
        return words in run.metrics.read_text("utf-8", errors="replace")
    except OSError:
        return False
