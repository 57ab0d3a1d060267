"""Training opens its data once: what the real command asks of the disk.

An audit hook counts it in each process.
"""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY, densenet, passed
from PIL import Image

EPOCHS = 2
HOOK = """
import os, sys

def note(event, arguments):
    if event not in ("open", "os.scandir", "os.listdir"):
        return
    if not isinstance(arguments[0], (str, bytes, os.PathLike)):  # a number of an open file
        return
    path = os.path.abspath(os.fsdecode(arguments[0]))
    if path.startswith(os.environ["COUNTED"]):
        kind = "opened" if event == "open" else "listed"
        os.write(log, f"{os.getpid()} {kind} {path}\\n".encode())

log = os.open(os.environ["COUNTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
sys.addaudithook(note)
"""
PARTS = {"train": 8, "val": 3}
FOLDERS = 1 + len(PARTS) + 2 * len(PARTS)
MOST = 2
"""Times that a folder of folders is listed, which holds few names: to see what layout it has, and
to take it."""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two classes, 16 images to train with and 6 to choose by, no two of the same size in bytes:
    such would be compared, whether parts share them.
    """
    root, random = tmp_path / "data", np.random.default_rng(0)
    for part, count in PARTS.items():
        for name in ("cat", "dog"):
            (root / part / name).mkdir(parents=True)
            for number in range(count):
                width = 10 + len(list(root.rglob("*.png")))
                pixels = random.integers(0, 256, (12, width, 3), np.uint8)
                Image.fromarray(pixels).save(root / part / name / f"{part}{number}.png")
    return root


def counted(*arguments: object, data: Path) -> tuple[Counter[str], dict[str, Counter[str]]]:
    """Run the command; return how often each image was opened, and by process what was listed."""
    folder, log = data.parent / "hook", data.parent / "counts"
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(HOOK)
    log.unlink(missing_ok=True)
    root = Path(__file__).resolve().parents[2]
    told = {"COUNTED": str(data), "COUNTS": str(log), "PYTHONPATH": f"{folder}:{root}"}
    passed(densenet("train", *arguments, cwd=data.parent, env=told))
    opened: Counter[str] = Counter()
    listed: dict[str, Counter[str]] = {}
    for process, kind, path in (line.split(" ", 2) for line in log.read_text().splitlines()):
        if kind == "opened":
            opened[path] += 1
        else:
            listed.setdefault(process, Counter())[path] += 1
    return opened, listed


def once_each(data: Path, *, of_train: int, of_val: int) -> dict[str, int]:
    """How often each image is opened, by part."""
    times = {"train": of_train, "val": of_val}
    return {str(path): times[path.parts[-3]] for path in data.rglob("*.png")}


def assert_listed_once(folders: Counter[str]) -> None:
    """Each folder of images, and those above them hardly more often."""
    assert len(folders) == FOLDERS
    of_images = {path: times for path, times in folders.items() if path.endswith(("cat", "dog"))}
    assert (set(of_images.values()), len(of_images)) == ({1}, 2 * len(PARTS))
    assert max(folders.values()) <= MOST, folders


def ends(run: Path) -> list[dict]:
    """The events at the ends of a run, without their times."""
    events = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [{**event, "time": 0} for event in events if event["event"] == "end"]


def fresh(data: Path, *more: object) -> tuple[object, ...]:
    size = ("--epochs", EPOCHS, "--batch-size", 4)
    return (*TINY, "--data-dir", data, "--out", "run", "--no-certify", *size, *more)


def test_a_run_lists_each_folder_of_images_once_and_opens_each_image_once_more_than_it_decodes_it(
    data,
):
    """Once to look whether it is whole; then once an epoch.

    That holds for a new run, and for one that goes on where its data were moved to: this one finds
    anew, from the file, what the other knew of its best weights.
    """
    opened, listed = counted(*fresh(data), data=data)
    assert opened == once_each(data, of_train=1 + EPOCHS, of_val=1 + EPOCHS)
    (folders,) = listed.values()
    assert_listed_once(folders)
    moved = data.rename(data.with_name("moved"))
    opened, listed = counted("--resume", "run", "--data-dir", moved, data=moved)
    assert opened == once_each(moved, of_train=1, of_val=1 + 1)
    (folders,) = listed.values()
    assert_listed_once(folders)
    known, found = ends(data.parent / "run")
    assert found == known


@pytest.mark.slow
def test_of_several_processes_one_looks_at_the_images_and_each_lists_its_own(data):
    """Who launches a new run has looked; of one that goes on, rank 0 does."""
    opened, listed = counted(*fresh(data, "--devices", 2), data=data)
    assert opened == once_each(data, of_train=1 + EPOCHS, of_val=1 + EPOCHS)
    assert len(listed) == 1 + 2
    opened, again = counted("--resume", "run", data=data)
    assert opened == once_each(data, of_train=1, of_val=1 + 1)
    assert len(again) == 2
    for folders in (*listed.values(), *again.values()):
        assert_listed_once(folders)
