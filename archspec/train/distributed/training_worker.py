"""One process of a distributed run:
`msrun ... python -m archspec.train.distributed.training_worker RUN [FAULTS]`.

msrun starts this for the scheduler too, which stays in `join_group`;
nothing before it may have side effects.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from archspec.train.distributed import pulse
from archspec.train.distributed.worker_group import (
    IMAGES_CHECKED,
    die_with_parent,
    get_rank,
    is_supervised,
    report_faults,
)

if TYPE_CHECKING:
    from archspec.train.run.run_directory import Run


def main(path: Path, faults: Path | None = None) -> None:
    """Train in the run directory; rank 0 writes its events, which the launcher shows.

    `faults` is where this machine's launcher looks for what went wrong.
    """
    from archspec.train.loop import train_in_process
    from archspec.train.monitoring.progress import Event, append_event
    from archspec.train.run.run_directory import open_run

    run = open_run(path)

    def report(event: Event) -> None:
        with pulse.noted("writing metrics.jsonl", is_long=True):
            append_event(run.metrics, event)

    with report_faults(faults or run.workers), _hold(run):
        is_checked = bool(os.environ.get(IMAGES_CHECKED))
        train_in_process(run, report, is_checked=is_checked)


@contextmanager
def _hold(run: Run) -> Iterator[None]:
    """The launcher holds the run; of workers that msrun was told to start by hand, the first."""
    if is_supervised() or os.environ.get("MS_ROLE") != "MS_WORKER" or get_rank() != 0:
        yield
        return
    from archspec.train.run.changes import refuse_changes
    from archspec.train.run.run_lock import lock_run

    with lock_run(run):
        refuse_changes(run)
        yield


if __name__ == "__main__":
    die_with_parent()
    pulse.begin()
    main(*map(Path, sys.argv[1:3]))
