"""Starting the workers of a run again, after a fault that another start may cure."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from archspec.errors import ArchspecError, format_count
from archspec.train.faults.hangs import HANG_AFTER
from archspec.train.faults.watch import LOGS

CURABLE = {"T011", "T012", "T013", "T024"}
"""A worker, the scheduler or msrun failed, or hangs; all else somebody has to mend."""


@dataclass(frozen=True)
class FaultPolicy:
    """What is done about processes that fail."""

    restarts: int = 0
    """How often the workers of a run are started again, at most."""
    hang_after: float = HANG_AFTER
    """Seconds without a sign of life of a worker that others wait for; 0 waits for ever."""


def start_again(
    start: Callable[[], object], restarts: int, log_dir: Path, tell: Callable[[str], object]
) -> None:
    """Call `start`, and again after each fault that another start may cure, so many times at most.

    The logs of a start that failed are put aside. `tell` is called with a line for each restart,
    and where there were some, with one at the end.
    """
    done = 0
    while (fault := _fault_of(start)) is not None:
        if done == restarts or not _is_curable(fault):
            _tell_end("given up", done, tell)
            raise fault
        done += 1
        logs = _put_aside(log_dir, done)
        tell(f"restart {done} of {restarts}: {fault.diagnostics[0].message} (logs: {logs})")
    _tell_end("went to its end", done, tell)


def _fault_of(start: Callable[[], object]) -> ArchspecError | None:
    try:
        start()
    except ArchspecError as error:
        return error
    return None


def _tell_end(how: str, restarts: int, tell: Callable[[str], object]) -> None:
    if restarts:
        tell(f"{how} after {format_count(restarts, 'restart')}")


def _is_curable(error: ArchspecError) -> bool:
    return all(fault.code in CURABLE for fault in error.diagnostics)


def _put_aside(log_dir: Path, number: int) -> Path:
    """Move the logs of a start, counted from 1, out of the next one's way; return where they are.

    Of a run that goes on, those that a former command left there are gone then.
    """
    folder = log_dir / f"start_{number}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    for pattern in LOGS:
        for log in log_dir.glob(pattern):
            log.replace(folder / log.name)
    return folder
