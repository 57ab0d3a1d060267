"""What `densenet doctor` says of a data set, without looking into each image."""

import json

import numpy as np
import pytest
from conftest import densenet
from PIL import Image

from archspec.train.data import readiness
from archspec.train.data.readiness import examine_data


@pytest.fixture
def photos(tmp_path):
    """Two classes, three images of each to learn from, one to choose by."""
    for part, count in (("train", 3), ("val", 1)):
        for name in ("cat", "dog"):
            folder = tmp_path / "photos" / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = np.full((8, 8, 3), number, np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path / "photos"


def test_layout_storage_and_speed_are_told(photos):
    """Each a line; all of it is this machine's."""
    data, storage, reading = examine_data(photos)
    assert data.found == "folder, 2 classes; images: 6 to learn from, 2 to choose by"
    assert {data.level, storage.level, reading.level} == {"ok"}
    assert storage.found.endswith("of this machine")
    assert reading.found.startswith("8 images of 0.1 kB, one after the other: ")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda root: (root / "train").rename(root / "other"), "D002"),
        (lambda root: (root / "val/dog").rename(root / "val/wolf"), "D004"),
        (lambda root: root.rename(root.parent / "gone"), "D001 does not exist"),
    ],
)
def test_what_training_would_not_begin_with_is_a_fault(photos, spoil, words):
    """With its code."""
    spoil(photos)
    findings = tuple(examine_data(photos))
    assert {finding.level for finding in findings} == {"fault"}
    assert words in findings[0].found


def test_slow_storage_is_warned_of(photos, monkeypatch):
    """A limit that no storage reaches; only a machine with such a storage has another."""
    monkeypatch.setattr(readiness, "LEAST_A_SECOND", float("inf"))
    reading = tuple(examine_data(photos))[-1]
    assert (reading.level, reading.cure) == ("warning", "more --workers, or densenet data pack")


@pytest.mark.slow
def test_the_doctor_ends_with_1_where_the_data_let_nothing_begin(photos, tmp_path, no_mindspore):
    """What it finds of the machine stands beside."""
    done = densenet("doctor", "--data-dir", tmp_path / "none", "--json", env=no_mindspore)
    found = json.loads(done.stdout)
    assert (done.returncode, found["is_ready"]) == (1, False)
    assert [part for part in found["findings"] if part["subject"] == "HCCL network"]
    assert found["findings"][-1]["found"].endswith("D001 does not exist")
