"""Which worker hangs: the one that has not come to where the others wait for it.

MindSpore sees none that lives, or blames one that has waited for too long.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from archspec.errors import Diagnostic, TrainingError
from archspec.train.distributed.pulse import Pulse, read_pulse
from archspec.train.faults.job_processes import SCHEDULER, state_of
from archspec.train.faults.stacks import find_frame

HANG_AFTER = 45.0
"""Seconds without a sign of life of a worker that others wait for."""
LONG = 20
"""Times as many for what may take long, such as compiling or writing a checkpoint."""
SECONDS_BETWEEN_LOOKS = 0.5
MOST_SECONDS_A_LOOK = 5.0
"""A launcher that was stopped itself has not watched meanwhile."""
STATES = {
    "T": "it is stopped, as SIGSTOP does",
    "t": "a debugger holds it",
    "D": "it waits for a disk or a device",
}
"""What the kernel says of a process that does not move (proc(5))."""
HOLDING = {"T", "t"}
_STARTING = Pulse(0, is_meeting=False, is_long=True, doing="starting", beats=0)
_SCHEDULING = Pulse(0, is_meeting=False, is_long=True, doing="waiting for workers", beats=0)
_LIMIT = "--hang-after 600 waits for 600 seconds, 0 for ever"


@dataclass(frozen=True)
class Seen:
    """A process of the job as it was at the last look."""

    rank: str
    pid: int
    pulse: Pulse
    state: str
    seconds: float
    """Since its pulse changed, or since something holds it."""

    @property
    def is_held(self) -> bool:
        """Whether it cannot go on by itself, wherever it is."""
        return self.state in HOLDING

    def is_still(self, seconds: float) -> bool:
        """Whether it has not moved for so long, or for what its doing may take."""
        return self.seconds >= seconds * (LONG if self.pulse.is_long else 1)


class HangWatch:
    """Looks at the pulses of workers, and finds the one that the others wait for."""

    def __init__(self, folder: Path, hang_after: float) -> None:
        self.folder, self.hang_after = folder, hang_after
        self.seen: list[Seen] = []
        self._changes: dict[str, tuple[tuple[Pulse, bool], float]] = {}
        # Of a clock that stands still while nobody watches.
        self._seconds, self._looked = 0.0, time.monotonic()

    def look(self, members: Mapping[int, str]) -> TrainingError | None:
        """Look at workers, ranks by process id; return what is known by now to hang."""
        now = time.monotonic()
        if now - self._looked < SECONDS_BETWEEN_LOOKS:
            return None
        self._seconds += min(now - self._looked, MOST_SECONDS_A_LOOK)
        self._looked = now
        self.seen = [self._see(pid, rank) for pid, rank in sorted(members.items())]
        if not self.hang_after:
            return None
        return self.make_fault(self.find(self.hang_after))

    def find(self, seconds: float) -> list[Seen]:
        """Return those that the others have waited for so long."""
        held = [one for one in self.seen if one.is_held and one.seconds >= seconds]
        if held:
            return held
        workers = self._list_workers()
        lowest = min((one.pulse.place for one in workers), default=0)
        if any(one.pulse.place > lowest for one in self._list_waiting(seconds)):
            behind = [one for one in workers if one.pulse.place == lowest]
            # Places within meetings differ by what an accelerator was given ahead.
            return [one for one in behind if one.is_still(seconds) and not one.pulse.is_meeting]
        goes_on = any(one.pulse.is_long or not one.is_still(LONG * seconds) for one in workers)
        return [] if goes_on else workers

    def make_fault(self, found: Sequence[Seen]) -> TrainingError | None:
        """Return the error of those that hang, None where there are none."""
        waiting = [one for one in self._list_waiting(0.0) if one not in found]
        others = ""
        if waiting:
            others = f", while rank {waiting[0].rank} waits, {waiting[0].pulse.doing}"
        faults = [self._describe(one, others) for one in found]
        return TrainingError(faults) if faults else None

    def _describe(self, one: Seen, others: str) -> Diagnostic:
        log, who = self.folder / f"worker_{one.rank}.log", f"rank {one.rank}"
        if one.rank == SCHEDULER:
            log, who = self.folder / "scheduler.log", "msrun's scheduler"
        is_heard = not one.is_held and one.pulse is not _STARTING
        frame = find_frame(one.pid, log) if is_heard else ""
        held = f"; {STATES[one.state]}" if one.state in STATES else ""
        message = f"{who} hangs: {one.pulse.doing} for {one.seconds:.0f} s{frame}{held}{others}"
        cure = f"the log tells where; {_LIMIT}" if frame else _LIMIT
        return Diagnostic("T024", message, str(log), cure)

    def _see(self, pid: int, rank: str) -> Seen:
        usual = _SCHEDULING if rank == SCHEDULER else _STARTING
        pulse, state = read_pulse(self.folder, rank) or usual, state_of(pid)
        before, since = self._changes.get(rank, (None, 0.0))
        now = pulse, state in HOLDING
        if now != before:
            since = self._seconds
            self._changes[rank] = now, since
        return Seen(rank, pid, pulse, state, self._seconds - since)

    def _list_workers(self) -> list[Seen]:
        return [one for one in self.seen if one.rank != SCHEDULER]

    def _list_waiting(self, seconds: float) -> list[Seen]:
        """Workers that have been for so long where all have to come."""
        return [one for one in self.seen if one.pulse.is_meeting and one.seconds >= seconds]
