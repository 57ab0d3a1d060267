"""Masks: what their values are, and every fault at once, each by its file."""

import numpy as np
import pytest
from PIL import Image

from archspec.errors import DataError
from archspec.train.data.datasets import open_data
from archspec.train.data.inputs import split_by_recipe
from archspec.train.data.masks import decode_mask, encode_mask, read_mask
from archspec.train.recipe.model import load_recipe

VALUES = np.array([[0, 1, 2, 3], [255, 0, 0, 255]], np.uint8)


def save(file, image):
    file.parent.mkdir(parents=True, exist_ok=True)
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(file)
    return file


def palette(values):
    image = Image.fromarray(values, "P")
    image.putpalette([7 * level % 256 for level in range(768)])
    return image


KINDS = {
    "grey": VALUES,
    "palette": palette(VALUES),
    "16 bits": VALUES.astype(np.uint16),
}


@pytest.mark.parametrize("image", KINDS.values(), ids=KINDS)
def test_values_are_read_as_they_are_written(tmp_path, image):
    """Whatever the colours of a palette."""
    assert read_mask(save(tmp_path / "mask.png", image)).tolist() == VALUES.tolist()


def test_a_mask_of_one_bit_has_two_classes(tmp_path):
    """0 and 1, though white is shown."""
    mask = save(tmp_path / "mask.png", Image.fromarray(VALUES == 1))
    assert read_mask(mask).tolist() == [[0, 1, 0, 0], [0, 0, 0, 0]]


NO_INDICES = {
    "colours": (Image.new("RGB", (4, 4)), "png", r"holds colours \(RGB\), not class indices"),
    "alpha": (Image.new("RGBA", (4, 4)), "png", r"holds colours \(RGBA\)"),
    "grey and alpha": (Image.new("LA", (4, 4)), "png", r"holds colours \(LA\)"),
    "large values": (np.full((4, 4), 300, np.uint16), "png", "has values up to 300"),
    "negative values": (np.full((4, 4), -1, np.int32), "tif", "has values down to -1"),
    "JPEG": (VALUES, "jpg", "is a JPEG, which blurs class indices"),
}


@pytest.mark.parametrize(("image", "suffix", "rule"), NO_INDICES.values(), ids=NO_INDICES)
def test_what_holds_no_class_indices_is_refused(tmp_path, image, suffix, rule):
    """With what a mask must be."""
    with pytest.raises(DataError, match=rf"mask.{suffix} D016 {rule}.*0, 1, 2"):
        read_mask(save(tmp_path / f"mask.{suffix}", image))


def test_a_mask_on_its_way_keeps_its_classes_and_loses_what_is_ignored():
    """The ignored value may be one of any place, and lie among the classes."""
    for ignored in (255, 3, 0):
        known = np.where(VALUES == 255, ignored, VALUES).astype(np.uint8)
        expected = np.where(known == ignored, -1, known.astype(int))
        encoded = np.asarray(encode_mask(known, 4, ignored, "mask.png"))
        assert decode_mask(encoded).tolist() == expected.tolist()


def test_all_faults_are_told_at_once_each_by_its_file(tmp_path):
    """Another size, colours, values out of range, no partner, no whole image: of all parts."""
    grey = np.zeros((6, 8), np.uint8)
    for part in ("train", "val"):
        for name in ("a", "b", "c", "d"):
            save(tmp_path / part / "images" / f"{name}.png", grey + (part == "val"))
        save(tmp_path / part / "masks" / "a.png", np.full((8, 6), 1, np.uint8))
        save(tmp_path / part / "masks" / "b.png", Image.new("RGB", (8, 6)))
        strange = grey.copy()
        strange[0, :3], strange[1, 0] = 7, 9
        save(tmp_path / part / "masks" / "c.png", strange)
        (tmp_path / part / "masks" / "d.png").write_bytes(b"no image")
    save(tmp_path / "val" / "images" / "e.png", grey)
    recipe = load_recipe("segmentation", ["data.classes=[sky, road]"])
    with pytest.raises(DataError) as caught:
        split_by_recipe(recipe, open_data(tmp_path))
    told = {}
    for fault in caught.value.diagnostics:
        told[fault.where.removeprefix(f"{tmp_path}/")] = (fault.code, fault.message)
    size = ("D015", "is 6 x 8 pixels, its image 8 x 6")
    assert told["train/masks/a.png"] == told["val/masks/a.png"] == size
    assert told["train/masks/b.png"][0] == told["val/masks/b.png"][0] == "D016"
    assert told["train/masks/c.png"] == (
        "D016",
        "has values out of range: 7 (3 pixels), 9 (1 pixel); "
        "classes are 0 to 1, 255 is ignored (data.ignore_index)",
    )
    assert told["val/masks/d.png"][0] == "D005"
    assert told["val/images/e.png"][0] == "D015"
    assert len(told) == 9


def two_images(folder, *masks):
    for number, mask in enumerate(masks):
        save(folder / "images" / f"{number}.png", np.full(np.shape(mask), number, np.uint8))
        save(folder / "masks" / f"{number}.png", np.asarray(mask, np.uint8))
    return open_data(folder)


def test_classes_are_numbers_unless_the_recipe_names_them(tmp_path):
    """Up to the highest value of any mask that is not ignored."""
    data = two_images(tmp_path, [[0, 1], [255, 255]], [[4, 0], [0, 0]])
    splits = split_by_recipe(load_recipe("segmentation"), data)
    assert splits.classes == ("0", "1", "2", "3", "4")
    named = load_recipe("segmentation", ["data.classes=[a, b, c, d]", "data.ignore_index=4"])
    with pytest.raises(DataError, match=r"0.png D016 has values out of range: 255 \(2 pixels\)"):
        split_by_recipe(named, data)


WITHOUT_CLASSES = {
    "white on black": ([[0, 255], [255, 255]], "one class only: 0, and 255, which is ignored"),
    "nothing but what is ignored": ([[255, 255], [255, 255]], "one class only: none, and 255"),
    "black": ([[0, 0], [0, 0]], "one class only: 0"),
}


@pytest.mark.parametrize(("mask", "rule"), WITHOUT_CLASSES.values(), ids=WITHOUT_CLASSES)
def test_masks_of_one_class_are_refused_with_what_to_do(tmp_path, mask, rule):
    """White on black above all, as many tools write two classes."""
    data = two_images(tmp_path, mask, mask)
    with pytest.raises(DataError, match=rf"D016 has masks of {rule}.*the values 0 and 1"):
        split_by_recipe(load_recipe("segmentation"), data)


def test_pixels_of_each_class_are_counted_of_masks_that_were_not_looked_through(tmp_path):
    """As of those that were."""
    two_images(tmp_path, [[0, 1], [255, 1]], [[2, 0], [0, 0]])
    for check in (True, False):
        data = open_data(tmp_path, check=check)
        splits = split_by_recipe(load_recipe("segmentation"), data, ("a", "b", "c"))
        train = data.train if splits is None else splits.train
        assert (train.counts is None) == (not check)
        counted = np.array(splits.train.count_pixels()) + splits.val.count_pixels()
        assert counted.tolist() == [4, 2, 1]


def test_a_data_set_is_another_one_when_a_mask_has_changed(tmp_path):
    """By the digest that a run keeps."""
    recipe = load_recipe("segmentation")
    masks = [[0, 1], [255, 1]], [[2, 0], [0, 0]]
    before = split_by_recipe(recipe, two_images(tmp_path, *masks)).digest
    again = split_by_recipe(recipe, two_images(tmp_path, *masks))
    assert again.find_change(before) == ""
    (tmp_path / "masks" / "0.png").rename(tmp_path / "masks" / "0.bmp")
    renamed = split_by_recipe(recipe, open_data(tmp_path))
    assert renamed.find_change(before) == "it has other classes, labels or names of files"


UNFIT = {
    "mixup": ("data.mixup=0.2", "mixup mixes classes of whole images"),
    "opencv": ("data.image_backend=opencv", r"image_backend \(=opencv\) prepares images and not"),
    "cutmix": ("data.cutmix=0.2", "cutmix mixes classes of whole images"),
    "policy": ("data.auto_augment=randaugment", "auto_augment .* moves images and not their masks"),
}


@pytest.mark.parametrize(("setting", "rule"), UNFIT.values(), ids=UNFIT)
def test_what_would_change_images_and_not_their_masks_is_refused(setting, rule):
    """S006, at the setting."""
    from archspec.errors import SpecError

    recipe = load_recipe("segmentation", [setting])
    with pytest.raises(SpecError, match=rf"S006 {rule}"):
        recipe.check_targets(per_pixel=True)
    recipe.check_targets(per_pixel=False)


def test_names_of_masks_classes_are_refused_for_images_without_masks():
    """They would do nothing."""
    from archspec.errors import SpecError

    recipe = load_recipe("digits", ["data.classes=[a, b]"])
    with pytest.raises(SpecError, match="S006 classes names the values of masks"):
        recipe.check_targets(per_pixel=False)


@pytest.mark.parametrize("names", [(), ("a",)])
def test_folders_without_a_pair_are_told_by_what_is_missing(tmp_path, names):
    """Before a class is looked for."""
    for name in ("images", "masks"):
        (tmp_path / "train" / name).mkdir(parents=True)
    for name in names:
        save(tmp_path / "train/images" / f"{name}.png", VALUES)
    with pytest.raises(DataError) as caught:
        split_by_recipe(load_recipe("segmentation"), open_data(tmp_path))
    codes = {fault.code for fault in caught.value.diagnostics}
    assert codes == ({"D003", "D015"} if names else {"D003"})


def test_data_check_tells_masks_and_what_is_wrong_with_them(tmp_path):
    """In how many images a value occurs."""
    from archspec.train.data.check import check_data

    two_images(tmp_path, [[0, 1], [255, 1]], [[2, 0], [0, 0]])
    report = check_data(tmp_path)
    assert report.counts == {"train": {"0": 2, "1": 1, "2": 1, "255": 1}}
    assert {fault.code for fault in report.faults} == {"T007"}  # a batch of 8
    (tmp_path / "masks" / "1.png").unlink()
    (tmp_path / "images" / "0.png").unlink()
    told = [fault.code for fault in check_data(tmp_path).faults]
    assert told.count("D015") == 2
