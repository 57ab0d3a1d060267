"""One process of a distributed run: `msrun ... python -m archspec.train.distributed.worker RUN`.

msrun starts this for the scheduler too, which stays in `join_group`;
nothing before it may have side effects.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from archspec.train.distributed.worker_group import IMAGES_CHECKED, die_with_parent, report_faults


def main(path: Path) -> None:
    """Train in the run directory; rank 0 writes its events, which the launcher shows."""
    from archspec.train.loop import fit
    from archspec.train.progress import append_event
    from archspec.train.run_directory import open_run

    run = open_run(path)
    with report_faults(run.workers):
        is_checked = bool(os.environ.get(IMAGES_CHECKED))
        fit(run, lambda event: append_event(run.metrics, event), is_checked=is_checked)


if __name__ == "__main__":
    die_with_parent()
    main(Path(sys.argv[1]))
