"""One process of a shared evaluation:
`msrun ... python -m archspec.train.inference.evaluation_worker DIR`.

msrun starts this for the scheduler too, which stays in `join_group`;
nothing before it may have side effects.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from archspec.train.distributed import pulse
from archspec.train.distributed.worker_group import die_with_parent, join_group, report_faults


def main(folder: Path) -> None:
    """Examine this process's part of the images; rank 0 writes what all have found."""
    from archspec.files import write_atomic
    from archspec.train.distributed.same_images import check_same_images
    from archspec.train.inference.evaluate import examine
    from archspec.train.inference.on_devices import LOGS, RESULT, read_request

    with report_faults(folder / LOGS):
        request = read_request(folder)
        rank, _ = join_group(request.device_target)
        pulse.note("opening the data set")
        source = request.trained.held_out(request.data_dir)
        check_same_images([source])
        pulse.note("opening the network", is_long=True)
        found = examine(request.trained, source, batch_size=request.batch_size)
        if rank == 0:
            write_atomic(folder / RESULT, json.dumps(found.as_json()))


if __name__ == "__main__":
    die_with_parent()
    pulse.begin()
    main(Path(sys.argv[1]))
