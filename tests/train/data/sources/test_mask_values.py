"""Masks whose classes are other values than 0, 1, 2, ...: of the same network, the same masks."""

import numpy as np
import pytest
from PIL import Image

from archspec.errors import DataError, SpecError, TrainingError
from archspec.spec.load import load_spec
from archspec.train.data.datasets import open_data
from archspec.train.data.inputs import split_by_recipe
from archspec.train.data.sources.mask_classes import check_fit_masks, label_data
from archspec.train.data.sources.mask_values import MaskValues
from archspec.train.recipe.recipe import load_recipe

CLASSES = np.array([[0, 1, 2], [2, 1, 0]])


def write(folder, masks):
    for number, mask in enumerate(masks):
        for name, pixels in (("images", np.full(np.shape(mask), number)), ("masks", mask)):
            (folder / name).mkdir(parents=True, exist_ok=True)
            image = Image.fromarray(np.asarray(pixels, np.uint8))
            image.save(folder / name / f"{number}.png")
    return folder


def recipe_of(*settings):
    return load_recipe("segmentation", [f"data.{setting}" for setting in settings])


VALUES = {
    "white on black": [0, 255],
    "black on white": [255, 0],
    "grey levels": [0, 85, 170],
    "with white": [0, 128, 255],
    "in another order": [170, 0, 85],
    "numbers": [0, 1, 2],
    "not from 0": [3, 7, 5],
}


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("check", [True, False])
def test_a_value_is_the_class_of_its_place_in_the_list(tmp_path, values, check):
    """Looked through or not; counted so, and encoded as the masks of 0, 1, 2, ... are."""
    classes = np.minimum(CLASSES, len(values) - 1)
    write(tmp_path, [np.array(values)[classes]] * 3)
    data = open_data(tmp_path, check=check)
    source = label_data(data, recipe_of(f"mask_values={values}").data).train
    assert source.classes == tuple(map(str, values))
    assert (np.asarray(source.mask(0)) - 1).tolist() == classes.tolist()
    assert source.count_pixels() == (len(source) * np.bincount(classes.ravel())).tolist()


@pytest.mark.parametrize(("ignored", "values"), [(255, [0, 85, 170]), (9, [0, 255, 100])])
def test_the_ignored_value_stays_ignored_where_it_is_not_listed(tmp_path, ignored, values):
    """255 by itself, or any other."""
    mask = np.array(values)[CLASSES]
    mask[0, 0] = ignored
    write(tmp_path, [mask] * 3)
    recipe = recipe_of(f"mask_values={values}", f"ignore_index={ignored}")
    source = split_by_recipe(recipe, open_data(tmp_path)).train
    assert np.asarray(source.mask(0)).tolist() == [[0, 2, 3], [3, 2, 1]]


@pytest.mark.parametrize(
    ("values", "strange", "told"),
    [
        ([0, 255], 254, r"254 \(1 pixel\); classes are 0, 255 \(data.mask_values\)$"),
        ([0, 255], 1, r"1 \(1 pixel\); classes are 0, 255"),
        ([0, 85], 1, r"classes are 0, 85 \(data.mask_values\), 255 is ignored"),
        ([255, 0], 128, "classes are 255, 0"),
    ],
)
def test_any_other_value_is_refused_with_its_mask(tmp_path, values, strange, told):
    """As masks have it whose edges were smoothed; also of masks that were not looked through."""
    mask = np.array(values)[np.minimum(CLASSES, 1)]
    spoilt = mask.copy()
    spoilt[1, 1] = strange
    write(tmp_path, [mask, mask, spoilt])
    recipe = recipe_of(f"mask_values={values}")
    with pytest.raises(DataError, match=rf"masks/2.png D016 has values out of range: .*{told}"):
        split_by_recipe(recipe, open_data(tmp_path))
    unseen = label_data(open_data(tmp_path, check=False), recipe.data).train
    with pytest.raises(DataError, match=rf"masks/2.png D016 .*{told}"):
        unseen.mask(2)


def test_classes_that_never_occur_are_told_and_one_alone_is_refused(tmp_path):
    """As of numbers."""
    write(tmp_path / "two", [[[0, 170]]] * 3)
    splits = split_by_recipe(recipe_of("mask_values=[0,85,170]"), open_data(tmp_path / "two"))
    assert "1 of 3 classes have no pixel to learn from: 85" in splits.notes[0]
    write(tmp_path / "one", [[[255, 255]]] * 3)
    with pytest.raises(DataError, match="D016 has masks of one class only: 255"):
        split_by_recipe(recipe_of("mask_values=[0,255]"), open_data(tmp_path / "one"))


def test_masks_of_white_on_black_are_refused_with_the_setting_that_reads_them(tmp_path):
    """The commonest fault of all."""
    data = open_data(write(tmp_path, [[[0, 255]]] * 3))
    with pytest.raises(DataError, match=r"data\.mask_values, such as \[0, 255\]"):
        split_by_recipe(recipe_of(), data)


def test_names_are_those_of_the_listed_values(tmp_path):
    """In the order of the list; another number of them is refused."""
    data = open_data(write(tmp_path, [[[0, 255]]] * 3))
    named = recipe_of("mask_values=[255,0]", "classes=[object, background]")
    assert split_by_recipe(named, data).classes == ("object", "background")
    with pytest.raises(SpecError, match="S006 classes are 3 names, mask_values 2 values"):
        recipe_of("mask_values=[0,255]", "classes=[a, b, c]")
    known = ("a", "b", "c")
    with pytest.raises(DataError, match=r"D016 has 2 values \(data.mask_values\) for 3 classes"):
        label_data(data, recipe_of("mask_values=[0,255]").data, known)


WRONG = {
    "a value twice": (["mask_values=[0,255,0]"], "S006 mask_values has 0 more than once"),
    "one alone": (["mask_values=[0]"], r"S004 data.mask_values \(=\[0\]\) must have at least 2"),
    "beyond 8 bits": (["mask_values=[0,256]"], r"S004 data.mask_values.1. \(=256\)"),
    "no number": (["mask_values=[black,white]"], "S003"),
    "a class that is ignored": (
        ["mask_values=[0,9]", "ignore_index=9"],
        r"S006 ignore_index \(=9\) is a class in mask_values",
    ),
}


@pytest.mark.parametrize(("settings", "told"), WRONG.values(), ids=WRONG)
def test_lists_that_mean_nothing_are_refused(settings, told):
    """At the setting."""
    with pytest.raises(SpecError, match=told):
        recipe_of(*settings)


def test_values_of_masks_are_refused_for_images_without_masks():
    """They would do nothing."""
    recipe = load_recipe("digits", ["data.mask_values=[0,255]"])
    with pytest.raises(SpecError, match="S006 mask_values are of masks, and the data has none"):
        recipe.check_targets(per_pixel=False)


@pytest.mark.parametrize("values", [[0, 255], [0, 2, 1], [7]])
def test_no_two_classes_are_written_as_one_value(values):
    """Those that a network has beyond the listed ones get values of their own."""
    written = MaskValues(tuple(values)).decode(np.arange(256)).tolist()
    assert written[: len(values)] == values
    assert sorted(written) == list(range(256))


@pytest.mark.parametrize("count", [256, 257, 1000])
def test_a_network_of_more_classes_than_masks_tell_is_refused(count):
    """Its masks would call one class another."""
    told = rf"T014 num_classes \(={count:,}\) must be at most 255"
    with pytest.raises(TrainingError, match=told):
        check_fit_masks(load_spec("fcdensenet103", [f"head.num_classes={count}"]))
    check_fit_masks(load_spec("fcdensenet103", ["head.num_classes=255"]))
