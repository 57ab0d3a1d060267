"""Starting the workers of a run again, after a fault that another start may cure."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from archspec.errors import ArchspecError, format_count
from archspec.train.distributed.hangs import HANG_AFTER
from archspec.train.distributed.supervise import LOGS

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
    while True:
        try:
            start()
            break
        except ArchspecError as error:
            if done == restarts or not _is_curable(error):
                if done:
                    tell(f"given up after {format_count(done, 'restart')}")
                raise
            done += 1
            folder = _put_aside(log_dir, done)
            reason = error.diagnostics[0].message
        tell(f"restart {done} of {restarts}: {reason} (logs: {folder})")
    if done:
        tell(f"went to its end after {format_count(done, 'restart')}")


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
