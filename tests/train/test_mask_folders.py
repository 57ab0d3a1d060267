"""Folders of images and masks: which layouts are known, which mask is whose."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from archspec.errors import DataError
from archspec.train.data.datasets import open_data
from archspec.train.data.mask_folders import find_mask_folders, pair_by_name

LAYOUTS = {
    "a folder a part": ("{part}/images", "{part}/masks", ("train", "val", "test")),
    "other names": ("{part}/img", "{part}/labels", ("train", "valid")),
    "parts within": ("images/{part}", "annotations/{part}", ("training", "validation")),
    "CamVid's": ("{part}", "{part}annot", ("train", "val", "test")),
    "no parts": ("images", "masks", ("",)),
}


def save(file: Path, value: int = 0, size: tuple[int, int] = (4, 3)) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(size, value, np.uint8)).save(file)


@pytest.mark.parametrize(("images", "masks", "parts"), LAYOUTS.values(), ids=LAYOUTS)
def test_a_known_layout_is_found_with_all_its_parts(tmp_path, images, masks, parts):
    """And taken for masks, not for classes of images that are called so."""
    for number, part in enumerate(parts):
        for name in ("b", "a"):
            save(tmp_path / images.format(part=part) / f"{name}.png", value=10 * number)
            save(tmp_path / masks.format(part=part) / f"{name}.png", value=name == "a")
    data = open_data(tmp_path)
    assert data.kind == "masks"
    found = [part for part in (data.train, data.val, data.test) if part is not None]
    assert len(found) == len(parts)
    for source in found:
        assert [file.name for file in source.files] == ["a.png", "b.png"]
        assert [file.name for file in source.masks] == ["a.png", "b.png"]
        assert source.counts[:, :2].tolist() == [[0, 12], [12, 0]]


@pytest.mark.parametrize("folders", [("images",), ("masks",), ("train/images",), ("train/masks",)])
def test_one_of_both_folders_alone_is_no_set_of_masks(tmp_path, folders):
    """It is a class of images."""
    for folder in folders:
        save(tmp_path / folder / "a.png")
    assert find_mask_folders(tmp_path) == {}


ENDINGS = {
    "the same": (("a", "b"), ("a", "b")),
    "one ending": (("a", "b"), ("a_L", "b_L")),
    "names that begin alike": (("a", "a1"), ("a_mask", "a1_mask")),
}


@pytest.mark.parametrize(("images", "masks"), ENDINGS.values(), ids=ENDINGS)
def test_masks_are_paired_by_name_whatever_their_suffix(tmp_path, images, masks):
    """All may have one ending more."""
    for image, mask in zip(images, masks, strict=True):
        save(tmp_path / "images" / f"{image}.jpg")
        save(tmp_path / "masks" / f"{mask}.png")
    faults = []
    pairs = pair_by_name(find_mask_folders(tmp_path)["all"], faults)
    assert faults == []
    assert [(image.stem, mask.stem) for image, mask in pairs] == list(
        zip(images, masks, strict=True)
    )


def test_each_file_without_a_partner_is_named(tmp_path):
    """Images and masks, and two files of one name."""
    for name in ("a.png", "b.png", "b.jpg", "c.png"):
        save(tmp_path / "images" / name)
    for name in ("a.png", "b.png", "d.png"):
        save(tmp_path / "masks" / name)
    faults = []
    pairs = pair_by_name(find_mask_folders(tmp_path)["all"], faults)
    assert [image.stem for image, _ in pairs] == ["a", "b"]
    assert {fault.code for fault in faults} == {"D015"}
    told = {(Path(fault.where).name, fault.message.partition(" in ")[0]) for fault in faults}
    assert told == {
        ("b.png", "has the name of b.jpg: nothing tells whose mask is whose"),
        ("c.png", "has no mask"),
        ("d.png", "has no image"),
    }


def test_empty_folders_are_named(tmp_path):
    """Text files, as other tools write them beside images, are no masks."""
    save(tmp_path / "images" / "a.png")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text("0 0.5 0.5 1 1")
    faults = []
    pair_by_name(find_mask_folders(tmp_path)["all"], faults)
    assert [(fault.code, Path(fault.where).name) for fault in faults] == [
        ("D003", "labels"),
        ("D015", "a.png"),
    ]


def test_images_of_masks_that_are_judged_by_are_no_training_images(tmp_path):
    """Whatever their masks: they have no class by which they could be told."""
    for part, name in product(("train", "val"), "abc"):
        save(tmp_path / part / "images" / f"{name}.png", value=ord(name))
        save(tmp_path / part / "masks" / f"{name}.png")
    with pytest.raises(DataError, match="D011 the part has the same images"):
        open_data(tmp_path)


def test_an_image_of_a_mask_that_is_not_whole_is_left_out_where_that_is_asked_for(tmp_path):
    """Its mask with it: nothing is known of classes then."""
    for name in "abc":
        save(tmp_path / "images" / f"{name}.png", value=ord(name))
        save(tmp_path / "masks" / f"{name}.png")
    (tmp_path / "images/b.png").write_bytes((tmp_path / "images/b.png").read_bytes()[:40])
    splits = open_data(tmp_path, on_error="skip").split()
    left = [part for part in splits.parts if len(part)]
    assert sorted(file.stem for part in left for file in part.files) == ["a", "c"]
    assert sorted(file.stem for part in left for file in part.masks) == ["a", "c"]
