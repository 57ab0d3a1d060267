"""One process trains in a run directory at a time."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from archspec.errors import TrainingError
from archspec.train.run.run_directory import Run


@contextmanager
def lock_run(run: Run) -> Iterator[str]:
    """Keep other processes from training in a run's folder until the block ends.

    The kernel holds the lock and gives it up with the process, however that ends. Yields what the
    user should know, a line where the file system has no locks, else "".

    Raises:
        TrainingError: T017, another process trains there; T002, the folder cannot be written.
    """
    try:
        # Not inherited: workers, which may outlive a launcher by a moment, must not hold it.
        descriptor = os.open(run.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        message = f"cannot be written: {error.strerror}"
        raise TrainingError.one("T002", message, str(run.lock)) from None
    try:
        yield _take_lock(descriptor, run)
    finally:
        os.close(descriptor)


def _take_lock(descriptor: int, run: Run) -> str:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        hint = "wait for it, or stop it there; a run that was killed holds no lock"
        message = f"is being trained by {_describe_holder(run.lock)}"
        raise TrainingError.one("T017", message, str(run.path), hint) from None
    except OSError as error:
        reason = f"{run.path}: its file system has no locks ({error.strerror})"
        return f"{reason}; see to it that no other process trains in it"
    _write_holder(descriptor)
    return ""


def _write_holder(descriptor: int) -> None:
    holder = {
        "process": os.getpid(),
        "host": socket.gethostname(),
        "since": f"{datetime.now():%Y-%m-%d %H:%M:%S}",
    }
    with suppress(OSError):  # a full disk: the lock holds without a name
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, (json.dumps(holder) + "\n").encode(), 0)


def _describe_holder(lock: Path) -> str:
    try:
        holder = json.loads(lock.read_text("utf-8"))
        return f"process {holder['process']} on {holder['host']} since {holder['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
