"""Workers that opened other images than the first one, under the real msrun."""

import json
import os
from pathlib import Path

import pytest

from archspec.runtime import prepare
from archspec.train.distributed.msrun import launch_environment, msrun_command
from archspec.train.distributed.ports import find_free_port
from archspec.train.distributed.supervise import supervise

ROOT = Path(__file__).resolve().parents[3]
WORKER = """
import json, sys
from pathlib import Path
import numpy as np
from archspec.errors import DataError
from archspec.train.data.sources.source import Source
from archspec.train.distributed.same_images import check_same_images
from archspec.train.distributed.worker_group import die_with_parent, join_group, report_faults

def source(names, labels=None):
    files = tuple(map(Path, names))
    labels = np.array(labels or [0] * len(names), np.int32)
    return Source("photos", ("a", "b"), labels, files=files)

NAMES = [f"{n:02}.png" for n in range(10)]
ODD = ["g\\udcfc.png", "\\x1b[2J.png"]
# What each of two workers opens.
CASES = {
    "equal": [[source(NAMES), source(ODD)]] * 2,
    "one is missing": [[source(NAMES)], [source(NAMES[:4] + NAMES[5:])]],
    "the last is missing": [[source(NAMES)], [source(NAMES[:9])]],
    "one more": [[source(NAMES[:9])], [source(NAMES)]],
    "another name": [[source(NAMES)], [source([*NAMES[:9], ODD[0]])]],
    "another class": [[source(NAMES)], [source(NAMES, [0] * 9 + [1])]],
    "another part": [[source(NAMES), source(ODD)], [source([*NAMES, ODD[1]]), source(ODD[:1])]],
    "other records": [[Source("cifar", ("a", "b"), np.array(labels, np.int32))] for labels in
                      ([0, 1, 0], [0, 1, 1])],
}

def main():
    rank, _ = join_group("CPU")
    told = {}
    for name, opened in CASES.items():
        try:
            check_same_images(opened[rank])
            told[name] = ""
        except DataError as error:
            told[name] = error.diagnostics[0].message
    (folder / f"told_{rank}.json").write_text(json.dumps(told))

if __name__ == "__main__":
    die_with_parent()
    folder = Path(sys.argv[1])
    with report_faults(folder):
        main()
"""


@pytest.mark.slow
def test_all_workers_tell_the_first_image_that_differs_and_whose_it_is(tmp_path, monkeypatch):
    """Files and records, missing, too many, of another name, class or part: one message, the same
    on each of them, so that none waits for another.
    """
    (tmp_path / "worker_with_images.py").write_text(WORKER)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{tmp_path}")
    prepare()
    command = msrun_command(
        devices=2,
        device_target="CPU",
        log_dir=tmp_path / "logs",
        port=find_free_port(),
        module="worker_with_images",
        arguments=[str(tmp_path)],
    )
    supervise(
        command,
        environment=launch_environment(os.environ),
        log_dir=tmp_path / "logs",
        poll=lambda: None,
    )
    first, second = (json.loads((tmp_path / f"told_{n}.json").read_text()) for n in (0, 1))
    assert first == second
    nine, first_differs = "rank 1 has opened 9 images, rank 0 10", "; the first that differs is "
    assert first == {
        "equal": "",
        "one is missing": f"{nine}{first_differs}'05.png' of rank 1, '04.png' of rank 0",
        "the last is missing": f"{nine}{first_differs}none of rank 1, '09.png' of rank 0",
        "one more": f"rank 1 has opened 10 images, rank 0 9{first_differs}"
        "'09.png' of rank 1, none of rank 0",
        "another name": f"rank 1 has opened 10 images, rank 0 10{first_differs}"
        "'g\\udcfc.png' of rank 1, '09.png' of rank 0",
        "another class": "rank 1 has opened '09.png' as of another part or class than rank 0",
        "another part": "rank 1 has opened '\\x1b[2J.png' as of another part or class than rank 0",
        "other records": "rank 1 has opened 'image 2 of cifar' as of another part or class than "
        "rank 0",
    }
