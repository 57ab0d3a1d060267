"""How images enter the network: what recipe and spec must agree on."""

import numpy as np
import pytest

from archspec.errors import DataError, TrainingError
from archspec.spec.load import load_spec
from archspec.train.data.datasets import open_data
from archspec.train.data.inputs import (
    check_stand_in,
    load_epoch,
    make_preprocess,
    split_by_recipe,
)
from archspec.train.planning import plan_run
from archspec.train.recipe.recipe import load_recipe
from archspec.train.trained.trained import Trained

SMALL = (["input.height=32", "input.width=32"], ["input.height=1", "input.width=32"])
LARGE = ([], ["input.height=32"], ["input.width=32"], ["input.height=33", "input.width=8"])


@pytest.mark.parametrize("settings", SMALL)
def test_digits_stand_in_for_small_images(settings):
    """Colours too, where they are learnt from; they judge no network of colours."""
    spec = load_spec("densenet121", settings)
    check_stand_in(spec)
    with pytest.raises(DataError, match=r"D001 .*are grey, densenet121 reads 3 channels"):
        check_stand_in(spec, grey=True)


@pytest.mark.parametrize("settings", LARGE)
def test_nobody_who_trains_a_large_network_means_the_digits(settings):
    """Neither side of the image may be large; the spec's other faults are told with it."""
    spec = load_spec("densenet121", settings)
    size = f"{spec.input.height} x {spec.input.width}"
    rule = (
        rf"--data-dir is missing: the embedded digits have 8 x 8 pixels, densenet121 reads {size}"
    )
    with pytest.raises(TrainingError, match=rf"D001 {rule} \(--data-dir DIR"):
        plan_run("densenet121", spec_overrides=settings)
    with pytest.raises(TrainingError) as caught:
        plan_run("densenet121", spec_overrides=settings, recipe_overrides=["epochs=0"])
    assert [fault.code for fault in caught.value.diagnostics] == ["D001", "S004"]


def test_nor_who_validates_one(tmp_path):
    """Both reasons, in one line."""
    spec = load_spec("densenet121")
    trained = Trained(spec, load_recipe("imagefolder"), tmp_path / "x.ckpt")
    with pytest.raises(
        DataError, match=r"are grey, .* 3 channels and have 8 x 8 pixels, .*224 x 224"
    ):
        trained.held_out(None)
    grey = load_spec("densenet121", ["input.channels=1"])
    with pytest.raises(DataError, match=r"the embedded digits have 8 x 8 pixels"):
        Trained(grey, load_recipe("digits"), tmp_path / "x.ckpt").held_out(None)


def test_a_network_for_neither_grey_nor_colour_images_is_refused_with_its_place():
    """T008: two channels, say."""
    spec = load_spec("densenetbc_digits", ["input.channels=2"])
    with pytest.raises(TrainingError, match=r"T008 input.channels \(=2\) must be 1 or 3"):
        make_preprocess(spec, load_recipe("digits"))


def test_a_recipe_for_colour_serves_grey_images_with_the_mean_of_its_channels():
    """And one for grey serves colour."""
    grey = make_preprocess(load_spec("densenetbc_digits"), load_recipe("imagefolder"))
    assert grey.mean == pytest.approx((np.mean([123.675, 116.28, 103.53]),))
    colour = make_preprocess(load_spec("densenet121"), load_recipe("digits"))
    assert (colour.mean, colour.std) == ((78.0,) * 3, (96.0,) * 3)


def test_means_of_neither_one_value_nor_three_are_refused_before_a_run_is_made():
    """Both fields at once, each with its value, the rule and what to write."""
    values = ["data.mean=[1, 2]", "data.std=[3, 4, 5, 6]"]
    with pytest.raises(DataError) as caught:
        plan_run(
            "densenetbc_digits",
            data_dir=None,
            recipe_overrides=values,
        )
    mean, std = map(str, caught.value.diagnostics)
    rule = "must have one value, or three for red, green and blue"
    assert f"D010 data.mean (=[1.0, 2.0]) {rule} (data.mean: [1], or with three values)" in mean
    assert f"D010 data.std (=[3.0, 4.0, 5.0, 6.0]) {rule}" in std


# ---- an epoch of a recipe


def load_labels(settings, **options):
    """Return the labels of an epoch of the digits, or the targets, batch by batch."""
    recipe = load_recipe("digits", settings)
    source = split_by_recipe(recipe, open_data(None)).train
    epochs = load_epoch(load_spec("densenetbc_digits"), recipe, source, **{"epoch": 0} | options)
    return source, [labels for _, labels in epochs]


def test_without_shuffling_an_epoch_has_the_images_as_they_lie():
    """Every epoch alike; with it, each has an order of its own."""
    for epoch in range(2):
        source, labels = load_labels(["data.shuffle=false"], epoch=epoch)
        assert np.concatenate(labels).tolist() == source.labels[: 20 * 64].tolist()
    orders = [np.concatenate(load_labels([], epoch=epoch)[1]).tolist() for epoch in range(2)]
    assert orders[0] != orders[1]


def test_repeats_of_a_recipe_stand_one_after_the_other_and_keep_the_epochs_length():
    """Labels come in threes, of a third of the images."""
    _, plain = load_labels([])
    _, labels = load_labels(["data.repeats=3"])
    assert len(labels) == len(plain) == 20
    every = np.concatenate(labels)[: 1280 // 3 * 3].reshape(-1, 3)
    assert (every == every[:, :1]).all()


def test_a_recipe_that_mixes_gives_targets_of_all_classes():
    """Ten, of the network; from a batch on they are those of the whole epoch."""
    _, whole = load_labels(["data.mixup=0.2", "data.cutmix=1.0"])
    _, rest = load_labels(["data.mixup=0.2", "data.cutmix=1.0"], first_batch=17)
    assert {(targets.shape, targets.dtype.name) for targets in whole} == {((64, 10), "float32")}
    assert all(map(np.array_equal, whole[17:], rest))
    assert len(rest) == 3


def test_devices_share_an_epoch():
    """Half of the batches each, of other images."""
    shares = [load_labels([], rank=rank, world=2)[1] for rank in range(2)]
    assert [len(share) for share in shares] == [10, 10]
    assert not all(map(np.array_equal, *shares))


def step_images(world, epoch, first=0):
    """Of each step the images and labels of all devices together, in no order."""
    spec = load_spec("densenetbc_digits")
    settings = ["data.samples=40", "data.random_erasing=0.5", "data.repeats=2"]
    recipe = load_recipe("digits", [*settings, f"batch_size={12 // world}"])
    source = split_by_recipe(recipe, open_data(None)).train
    shares = [
        load_epoch(spec, recipe, source, epoch=epoch, rank=rank, world=world, first_batch=first)
        for rank in range(world)
    ]
    steps = []
    for batches in zip(*shares, strict=True):
        pairs = [pair for images, labels in batches for pair in zip(images, labels, strict=True)]
        steps.append(sorted((image.tobytes(), int(label)) for image, label in pairs))
    return steps


@pytest.mark.parametrize("world", [2, 3, 4])
def test_a_step_has_the_same_pixels_whatever_the_number_of_devices(world):
    """Images are changed by seed, epoch, their number and copy, not by who changes them; an epoch
    may be taken up at any step, and another one has others.
    """
    expected = step_images(1, epoch=1)
    assert len(expected) == 3
    assert step_images(world, epoch=1) == expected
    assert step_images(world, epoch=1, first=2) == expected[2:]
    assert step_images(world, epoch=2) != expected
