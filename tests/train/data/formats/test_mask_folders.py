"""Folders of images and masks: which layouts are known, which mask is whose."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from segmentation_of_digits import NETWORK

from archspec.errors import ArchspecError, DataError
from archspec.train.data.datasets import open_data
from archspec.train.data.formats.mask_folders import find_mask_folders, pair_by_name
from archspec.train.planning import plan_run

LAYOUTS = {
    "a folder a part": ("{part}/images", "{part}/masks", ("train", "val", "test")),
    "other names": ("{part}/img", "{part}/labels", ("train", "valid")),
    "parts within": ("images/{part}", "annotations/{part}", ("training", "validation")),
    "CamVid's": ("{part}", "{part}annot", ("train", "val", "test")),
    "no parts": ("images", "masks", ("",)),
    "capital letters": ("{part}/Images", "{part}/Masks", ("Train", "VAL", "Test")),
    "towns within parts": ("images/{part}/bern", "masks/{part}/bern", ("train", "val")),
    "within annotations": ("images", "annotations/trimaps", ("",)),
    "masks beside": ("{part}", "{part}_masks", ("train", "val")),
    "labels beside images": ("{part}_images", "{part}_labels", ("train", "val", "test")),
    "MMSegmentation's": ("img_dir/{part}", "ann_dir/{part}", ("train", "val")),
    "labelme's": ("JPEGImages", "SegmentationClassPNG", ("",)),
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
        assert source.notes == ()
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


def fill_voc(root: Path, **lists: str) -> None:
    """As Pascal VOC has it: of some images there are masks, and lists say which are for what."""
    for name in "abcde":
        save(root / "JPEGImages" / f"{name}.jpg", value=30 * ord(name) % 256)
    for name in "abcd":
        save(root / "SegmentationClass" / f"{name}.png", value=name == "a")
        save(root / "SegmentationObject" / f"{name}.png", value=9)
    (root / "Annotations").mkdir()
    (root / "Annotations" / "a.xml").write_text("<a/>")
    (root / "ImageSets" / "Segmentation").mkdir(parents=True)
    for part, names in lists.items():
        (root / "ImageSets" / "Segmentation" / f"{part}.txt").write_text(names)


def test_lists_of_pascal_voc_say_which_images_are_whose(tmp_path):
    """Images without masks are of no list."""
    fill_voc(tmp_path, train="b\na\n", val="c \n\n", trainval="a\nb\nc\n")
    data = open_data(tmp_path)
    assert [file.name for file in data.train.masks] == ["b.png", "a.png"]
    assert data.train.counts[:, :2].tolist() == [[12, 0], [0, 12]]
    assert [file.name for file in data.val.files] == ["c.jpg"]
    assert data.test is None


LISTS = {
    "no such image": ("a\nx\n", [("D015", "no image"), ("D015", "no mask")]),
    "an image without a mask": ("a\ne\n", [("D015", "names 'e', which has no mask")]),
    "no name": ("\n", [("D003", "names no image")]),
    "no text": ("\udcff", [("D001", "cannot be read")]),
}


@pytest.mark.parametrize(("names", "wanted"), LISTS.values(), ids=LISTS)
def test_a_list_that_does_not_fit_its_images_is_refused(tmp_path, names, wanted):
    """By its own name."""
    fill_voc(tmp_path, train="", val="c")
    file = tmp_path / "ImageSets/Segmentation/train.txt"
    file.write_bytes(names.encode("utf-8", "surrogateescape"))
    faults = []
    pair_by_name(find_mask_folders(tmp_path)["train"], faults)
    assert [fault.code for fault in faults] == [code for code, _ in wanted]
    for fault, (_, words) in zip(faults, wanted, strict=True):
        assert words in fault.message
        assert fault.where == str(file)


@pytest.mark.parametrize("kinds", [("labelIds",), ("labelIds", "labelTrainIds")])
def test_cityscapes_gives_the_masks_that_are_learnt_from(tmp_path, kinds):
    """Of several of one image those with the classes of its benchmark; towns are no classes."""
    for part, town, number in (("train", "bonn", 0), ("train", "ulm", 0), ("val", "ulm", 1)):
        name = f"{town}_00000{number}_000019"
        value = 20 * number + len(town)
        save(tmp_path / f"leftImg8bit/{part}/{town}/{name}_leftImg8bit.png", value=value)
        masks = tmp_path / f"gtFine/{part}/{town}"
        for place, kind in enumerate(kinds):
            save(masks / f"{name}_gtFine_{kind}.png", value=place)
        save(masks / f"{name}_gtFine_color.png", value=90)
    data = open_data(tmp_path)
    assert [file.parent.name for file in data.train.files] == ["bonn", "ulm"]
    assert [file.parent.name for file in data.train.masks] == ["bonn", "ulm"]
    assert {file.stem.rpartition("_")[2] for file in data.val.masks} == {kinds[-1]}
    assert data.train.counts[:, len(kinds) - 1].tolist() == [12, 12]


@pytest.mark.parametrize("place", ["val", "valid/images", "images/val", "val_masks"])
def test_images_to_choose_by_without_masks_are_refused(tmp_path, place):
    """A share of those to learn from would take their place in silence."""
    for folder in ("train/images", "train/masks", place):
        save(tmp_path / folder / "a.png")
    with pytest.raises(DataError, match=r"D015 holds no images with masks beside them"):
        open_data(tmp_path)


def test_images_to_judge_with_without_masks_are_left_aside_and_it_is_said(tmp_path):
    """As competitions give them out."""
    for number, folder in enumerate(("train/images", "train/masks", "test/images")):
        save(tmp_path / folder / "a.png", value=number)
        save(tmp_path / folder / "b.png", value=number)
    data = open_data(tmp_path)
    assert data.test is None
    assert [note.removeprefix(f"{tmp_path}/") for note in data.train.notes] == [
        "test: left aside, since there are no images with masks beside them"
    ]


@pytest.mark.parametrize("place", ["pictures", "empty", "missing"])
def test_a_network_of_pixels_is_told_the_layouts_where_none_is_found(tmp_path, place):
    """Whatever else the folder looks like: classes of images, or nothing."""
    for name in ("anno", "pics"):
        save(tmp_path / "pictures" / name / "a.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "network.yaml").write_text(NETWORK)
    with pytest.raises(ArchspecError) as caught:
        plan_run(tmp_path / "network.yaml", data_dir=tmp_path / place)
    said = str(caught.value)
    if place == "missing":
        assert "D001 does not exist" in said
        return
    assert "D002 holds no images with masks, from which small_fcdensenet learns" in said
    for layout in ("train/images", "trainannot", "JPEGImages", "leftImg8bit"):
        assert layout in said
    assert len(caught.value.diagnostics) == 1


def test_tables_beside_folders_of_classes_are_no_masks(tmp_path):
    """Nor is an empty folder a part that lacks them."""
    for part, name in product(("train", "val"), ("cat", "dog")):
        for number in range(2):
            value = 60 * number + len(part) * 20 + len(name) * (name == "cat")
            save(tmp_path / part / name / f"{number}.png", value=value)
        (tmp_path / f"{part}_labels").mkdir(exist_ok=True)
        (tmp_path / f"{part}_labels" / "labels.csv").write_text("file,label")
    assert open_data(tmp_path).kind == "folder"
    for folder in ("other/train/images", "other/train/masks"):
        save(tmp_path / folder / "a.png")
        save(tmp_path / folder / "b.png")
    (tmp_path / "other/val").mkdir()
    assert open_data(tmp_path / "other").val is None
