"""Events of a run: written as JSON lines, and read back by a launcher."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from archspec.errors import TrainingError

LONGEST_LINE = 1 << 20
"""Bytes in which the end of the last whole line is looked for; an event has a few hundred."""
Event = Mapping[str, Any]
Report = Callable[[Event], None]
"""What is called with each event of a run."""


def append_event(path: Path, event: Event) -> None:
    """Add an event to a file of JSON lines; half a line at its end, of a power cut, goes.

    Raises:
        TrainingError: T002, the file cannot be written.
    """
    line = (json.dumps({"time": round(time.time(), 3), **event}) + "\n").encode()
    try:
        with path.open("a+b", buffering=0) as file:
            _cut_half_line(file)
            start = file.seek(0, os.SEEK_END)
            if file.write(line) < len(line):
                file.truncate(start)  # the half of a line would spoil the next one
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        raise TrainingError.one("T002", f"cannot be written: {error.strerror}", str(path)) from None


def _cut_half_line(file: BinaryIO) -> None:
    """Cut a file off behind its last whole line."""
    size = file.seek(0, os.SEEK_END)
    if size == 0:
        return
    file.seek(size - 1)
    if file.read(1) == b"\n":
        return
    tail = max(0, size - LONGEST_LINE)
    file.seek(tail)
    file.truncate(tail + file.read(LONGEST_LINE).rfind(b"\n") + 1)


def read_whole_lines(path: Path) -> list[str]:
    """Return the lines of a file of events, but for half a line at its end."""
    return [
        line
        for line in path.read_text("utf-8", errors="replace").splitlines(True)
        if line.endswith("\n")
    ]


class EventTail:
    """Reads the events that have been added to a file since the last look."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offset = path.stat().st_size if path.exists() else 0

    def new(self) -> Iterator[Event]:
        """Yield whole new lines; one that is still being written waits for the next look."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self.offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self.offset += len(line)
                yield json.loads(line)
