"""Where a worker is: a few bytes that it writes at each step, and its launcher reads.

All workers come to the same meetings, operations to which each of them has to come, in the same
order. So the one that the others wait for is the one that has come to the fewest.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

PULSES = "ARCHSPEC_PULSES"
"""In the environment of workers: the folder of their pulses."""
PULSE_FILES = "pulse_rank*"
SHOW_STACKS = signal.SIGUSR1
"""Has a worker write into its log where each of its threads is."""
_WORDS = struct.Struct("<q??190s")
_BEATS = struct.Struct("<q")
_Batch = TypeVar("_Batch")


@dataclass(frozen=True)
class Pulse:
    """What a worker said last."""

    place: int
    """How many times it has come to a meeting or left one."""
    is_meeting: bool
    """Whether it has come to one and not left it."""
    is_long: bool
    """Whether what it does may take many minutes without a beat."""
    doing: str
    """In words that follow `it is`, such as `reading images of step 12 of epoch 1`."""
    beats: int


def path_of(folder: Path, rank: str | int) -> Path:
    """Return the file of a worker's pulse."""
    return folder / PULSE_FILES.replace("*", str(rank))


def read_pulse(folder: Path, rank: str | int) -> Pulse | None:
    """Return what a worker said last, None where it has said nothing yet."""
    try:
        data = path_of(folder, rank).read_bytes()
    except OSError:
        return None
    if len(data) != _WORDS.size + _BEATS.size:
        return None
    place, is_meeting, is_long, words = _WORDS.unpack_from(data)
    doing = words.rstrip(b"\0").decode("utf-8", errors="replace")
    (beats,) = _BEATS.unpack_from(data, _WORDS.size)
    return Pulse(place, is_meeting, is_long, doing, beats)


class _OwnPulse:
    """This process's; it says nothing where no launcher listens."""

    def __init__(self) -> None:
        self.descriptor: int | None = None
        self.place, self.meetings, self.beats = 0, 0, 0
        self.doing, self.is_long = "starting", True

    def write_words(self) -> None:
        words = self.doing.encode("utf-8", errors="replace")
        self._write(_WORDS.pack(self.place, self.meetings > 0, self.is_long, words), 0)

    def move(self, entered: int) -> None:
        """Note that a meeting is entered (1) or left (-1); there may be one within another."""
        self.place, self.meetings = self.place + 1, self.meetings + entered
        self.write_words()

    def write_beats(self) -> None:
        # Where nothing else is written: threads that load images beat, too, at any moment.
        self._write(_BEATS.pack(self.beats), _WORDS.size)

    def _write(self, data: bytes, offset: int) -> None:
        if self.descriptor is not None:
            with suppress(OSError):  # a full disk is told by what a run needs
                os.pwrite(self.descriptor, data, offset)


_own = _OwnPulse()


def begin() -> None:
    """Say where this worker is from now on, if its launcher listens: a worker's first act."""
    folder = os.environ.get(PULSES)
    if folder is None or os.environ.get("MS_ROLE") != "MS_WORKER":
        return
    faulthandler.register(SHOW_STACKS, all_threads=True)
    path = path_of(Path(folder), os.environ.get("RANK_ID", "0"))
    with suppress(OSError):
        _own.descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        _own.write_words()
        _own.write_beats()


def beat() -> None:
    """Say that this worker goes on with what it does; any thread may."""
    _own.beats += 1
    _own.write_beats()


def note(doing: str, *, is_long: bool = False) -> None:
    """Say what the main thread does from now on; see `Pulse`."""
    _own.doing, _own.is_long = doing, is_long
    _own.write_words()


@contextmanager
def noted(doing: str, *, is_long: bool = False) -> Iterator[None]:
    """Say what the main thread does until the block ends; see `Pulse`."""
    before = _own.doing, _own.is_long
    note(doing, is_long=is_long)
    try:
        yield
    finally:
        note(before[0], is_long=before[1])


@contextmanager
def meeting() -> Iterator[None]:
    """Say that the main thread is where all workers have to come, until the block ends well: one
    that fails there may have waited for too long.
    """
    _own.move(1)
    yield
    _own.move(-1)


def note_batches(
    batches: Iterable[_Batch], what: str, *, first: int = 1, is_long: bool = False
) -> Iterator[_Batch]:
    """Yield batches, and say of each, which is `what` and its number from `first` on, when it is
    read and when it is computed with, which may be long.
    """
    note(f"reading images of {what} {first}")
    for number, batch in enumerate(batches, start=first):
        note(f"computing {what} {number}", is_long=is_long)
        yield batch
        note(f"reading images of {what} {number + 1}")
