"""Packing image files: what is read back is the same data set, byte for byte."""

import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest
from batches_of_images import epoch, raw
from mindrecord_sets import photos, picture

from archspec.errors import ArchspecError
from archspec.train.data.datasets import open_data, open_held_out
from archspec.train.data.packing import pack_data
from archspec.train.data.sources.source import Source


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return photos(tmp_path_factory.mktemp("packing") / "photos")


@pytest.fixture(scope="module")
def packed(folder) -> Path:
    pack_data(folder, folder.parent / "packed")
    return folder.parent / "packed"


def contents(source: Source) -> list[bytes]:
    return [file.open("rb").read() for file in source.files]


def refusal(*words: object, **options: object) -> list[str]:
    with pytest.raises(ArchspecError) as caught:
        pack_data(*words, **options)
    return [str(fault) for fault in caught.value.diagnostics]


@pytest.mark.parametrize("shards", [1, 3, 11])
def test_what_is_packed_is_the_same_data_set_in_the_same_order(folder, tmp_path, shards):
    """Names, labels, classes and bytes; a run may go on with it, since its digest is the same."""
    packed = pack_data(folder, tmp_path / "packed", shards=shards)
    assert packed.images == {"train": 27, "val": 27}
    meant, found = (open_data(root).split() for root in (folder, tmp_path / "packed"))
    assert found.kind == "mindrecord"
    assert found.digest == meant.digest
    assert found.classes == meant.classes == ("cat's", "dog", "Äpfel")
    for part, other in zip(meant.parts, found.parts, strict=True):
        assert contents(other) == contents(part)
        assert other.labels.tolist() == part.labels.tolist()
        assert other.labels.dtype == part.labels.dtype
    files = {file.name for file in (tmp_path / "packed").iterdir() if file.suffix != ".db"}
    assert len(files) == 2 * shards


@pytest.mark.parametrize("shards", [1, 4])
def test_mindspore_reads_what_was_packed(folder, tmp_path, shards):
    """The oracle is MindSpore's own reader."""
    from mindspore.dataset import MindDataset

    pack_data(folder, tmp_path / "packed", shards=shards)
    first = tmp_path / "packed" / ("train.mindrecord" + ("0" if shards > 1 else ""))
    rows = list(MindDataset(str(first), shuffle=False).create_dict_iterator(output_numpy=True))
    rows.sort(key=lambda row: int(row["number"]))
    train = open_data(folder).train
    assert [row["image"].tobytes() for row in rows] == contents(train)
    assert [int(row["label"]) for row in rows] == train.labels.tolist()
    names = [str(file.relative_to(folder)) for file in train.files]
    assert [str(row["file_name"]) for row in rows] == names


def test_batches_are_those_of_the_folder_bit_for_bit(folder, packed):
    """Order and augmentations follow from the seed and the image's number."""
    how = raw((16, 16), augment="random_resized_crop")
    meant, found = (open_data(root).train for root in (folder, packed))
    for seed, workers in ((0, 1), (1, 2)):
        pairs = zip(
            epoch(meant, how, seed=seed, workers=workers),
            epoch(found, how, seed=seed, workers=workers),
            strict=True,
        )
        for (images, labels), (others, theirs) in pairs:
            assert images.tobytes() == others.tobytes()
            assert labels.tolist() == theirs.tolist()


def test_where_no_part_is_set_apart_the_same_images_are_held_out(tmp_path):
    """And all may be judged with, as those of the folder."""
    folder = photos(tmp_path / "photos", (".",))
    assert pack_data(folder, tmp_path / "packed", shards=2).images == {"all": 27}
    for seed in (0, 7):
        options = {"val_fraction": 0.3, "seed": seed}
        meant, found = (open_data(root).split(**options) for root in (folder, tmp_path / "packed"))
        assert found.digest == meant.digest
    assert contents(open_held_out(tmp_path / "packed")) == contents(open_held_out(folder))


@pytest.mark.parametrize("is_folder", [False, True])
def test_a_table_is_packed_with_several_labels_an_image_or_none(tmp_path, is_folder):
    """Images may lie outside the table's folder."""
    root = tmp_path / "tables"
    root.mkdir()
    labels = [["b", "a"], [], ["a"], ["c"], ["c", "b"], ["a", "b", "c"], ["b"], ["a"]]
    rows = []
    for number, listed in enumerate(labels):
        (tmp_path / f"{number}.png").write_bytes(picture(number))
        rows.append(json.dumps({"file": f"../{number}.png", "labels": listed}))
    names = {"train.jsonl": rows[:6], "val.jsonl": rows[6:]} if is_folder else {"all.jsonl": rows}
    for name, lines in names.items():
        (root / name).write_text("\n".join(lines))
    data_dir = root if is_folder else root / "all.jsonl"
    pack_data(data_dir, tmp_path / "packed")
    meant, found = (open_data(path).split() for path in (data_dir, tmp_path / "packed"))
    assert found.train.is_multi_label
    assert found.train.labels.tolist() == meant.train.labels.tolist()
    assert found.digest == meant.digest


def test_packed_files_are_packed_anew_into_other_numbers_of_files(packed, tmp_path):
    """Nothing is lost on the way."""
    pack_data(packed, tmp_path / "anew", shards=5)
    assert open_data(tmp_path / "anew").split().digest == open_data(packed).split().digest
    assert len(list((tmp_path / "anew").glob("val.mindrecord?"))) == 5


def test_images_that_are_not_whole_are_all_named_and_nothing_is_left(tmp_path):
    """However many were whole."""
    folder = photos(tmp_path / "photos")
    broken = sorted(folder.rglob("3*"))
    for file in broken:
        file.write_bytes(file.read_bytes()[:-30])
    faults = refusal(folder, tmp_path / "packed")
    assert sorted(fault.split(" D005")[0] for fault in faults) == [str(file) for file in broken]
    assert os.listdir(tmp_path) == ["photos"]


def test_images_that_are_not_whole_are_left_out_as_training_leaves_them_out(tmp_path):
    """And are named; a class that loses all its images is a fault all the same."""
    folder = photos(tmp_path / "photos", each=3)
    for file in folder.rglob("1*"):
        file.write_bytes(b"no image" + bytes(file))
    packed = pack_data(folder, tmp_path / "packed", on_error="skip")
    assert packed.images == {"train": 6, "val": 6}
    assert len(packed.left_out) == 6
    meant = open_data(folder, on_error="skip").split()
    found = open_data(tmp_path / "packed").split()
    for part, other in zip(meant.parts, found.parts, strict=True):
        assert contents(other) == contents(part)
        assert other.labels.tolist() == part.labels.tolist()
    for file in (folder / "val" / "dog").iterdir():
        file.write_bytes(b"")
    (fault,) = refusal(folder, tmp_path / "other", on_error="skip")
    assert "D003 class 'dog' has no image that is whole" in fault
    assert not (tmp_path / "other").exists()


def test_who_may_read_other_new_files_may_read_these(folder, tmp_path):
    """MindSpore itself lets the owner alone."""
    former = os.umask(0o022)
    try:
        pack_data(folder, tmp_path / "packed")
    finally:
        os.umask(former)
    modes = {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "packed").iterdir()}
    assert modes == {0o644}
    assert stat.S_IMODE((tmp_path / "packed").stat().st_mode) == 0o755


def test_a_folder_that_is_not_there_is_made_and_an_empty_one_taken(folder, tmp_path):
    """Its parents too."""
    pack_data(folder, tmp_path / "a" / "b")
    (tmp_path / "empty").mkdir()
    pack_data(folder, tmp_path / "empty")
    assert sorted(os.listdir(tmp_path / "empty")) == sorted(os.listdir(tmp_path / "a" / "b"))
    (fault,) = refusal(folder, tmp_path / "empty")
    assert "W002 exists, and is not overwritten" in fault


def test_what_cannot_be_written_says_why_before_anything_is(folder, tmp_path):
    """In the data set's folder it would be a class."""
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path)
    for out in ("file", "link"):
        (fault,) = refusal(folder, tmp_path / out)
        assert fault.startswith(f"{tmp_path / out} W002 exists")
    (fault,) = refusal(folder, folder / "packed")
    assert "W002 lies in the data set's folder" in fault
    (fault,) = refusal(folder, Path(os.fsdecode(bytes(tmp_path / "a") + b"\xff")))
    assert "W002 is no UTF-8" in fault
    (fault,) = refusal(folder, tmp_path / "file" / "packed")
    assert "W002 cannot be written: File exists" in fault
    assert sorted(os.listdir(tmp_path)) == ["file", "link"]
    assert sorted(os.listdir(folder)) == ["train", "val"]


def test_a_disk_without_room_is_told_before_anything_is_written(folder, small_disk):
    """MindSpore would begin."""
    (fault,) = refusal(folder, small_disk / "packed")
    assert "W002 cannot be written: it needs " in fault
    assert os.listdir(small_disk) == []


def test_what_is_no_set_of_image_files_is_refused_by_its_kind(tmp_path):
    """Records have no files, and masks would be lost."""
    for name in ("images", "masks"):
        (tmp_path / "pairs" / "train" / name).mkdir(parents=True)
        for number in range(2):
            (tmp_path / "pairs" / "train" / name / f"{number}.png").write_bytes(picture(number))
    (fault,) = refusal(tmp_path / "pairs", tmp_path / "packed")
    assert "D002 is a data set of kind masks" in fault


def test_an_image_too_large_for_a_row_is_refused_by_name(tmp_path):
    """MindRecord has pages of 256 MB at most."""
    folder = photos(tmp_path / "photos", each=2)
    huge = next(folder.rglob("1*"))
    os.truncate(huge, 1 << 28)
    (fault,) = refusal(folder, tmp_path / "packed", on_error="skip")
    assert fault.startswith(f"{huge} D014 has 268,435,456 bytes")


def test_names_that_are_no_utf_8_are_written_in_words(folder, tmp_path):
    """MindSpore's strings are UTF-8."""
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(3):
            file = os.fsencode(tmp_path / "photos" / name / f"{number}") + b"\xff.png"
            Path(os.fsdecode(file)).write_bytes(picture(number))
    pack_data(tmp_path / "photos", tmp_path / "packed")
    source = open_data(tmp_path / "packed").train
    assert source.files[0].name == r"0\xff.png"
    assert np.bincount(source.labels).tolist() == [3, 3]


def test_several_pages_hold_what_one_does_not(tmp_path):
    """Of images that are larger than the smallest page."""
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(3):
            end = bytes(1_200_000 + number) + b"IEND\xaeB`\x82"  # what follows an image is kept
            (tmp_path / "photos" / name / f"{number}.png").write_bytes(picture(number) + end)
    pack_data(tmp_path / "photos", tmp_path / "packed", shards=2)
    meant, found = (open_data(tmp_path / name).train for name in ("photos", "packed"))
    assert contents(found) == contents(meant)
