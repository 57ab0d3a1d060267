"""Which recipe is taken where none is named, and the line that says so."""

from pathlib import Path

import numpy as np
import pytest

from archspec.spec.catalogue import shipped
from archspec.train.data.sources.data_parts import DataSet
from archspec.train.data.sources.source import Source
from archspec.train.recipe.choice import (
    IMAGENET_CLASSES,
    IMAGENET_IMAGES,
    RECIPES,
    Choice,
    choose_recipe,
    describe_choice,
    doubt_rate,
)
from archspec.train.recipe.recipe import load_recipe


def data(kind="folder", classes=2, images=4):
    names = tuple(map(str, range(classes)))
    return DataSet(Source("data", names, np.zeros(images, np.int32)), None, None, kind)


def choose(found, named=None, weights="", device="CPU"):
    return choose_recipe(found, named=named, weights=weights, device_target=device)


@pytest.mark.parametrize("kind", RECIPES)
def test_weights_to_begin_with_choose_fine_tuning(kind):
    """Of every kind of data; and the flag that brought them is said."""
    tuned, scratch = choose(data(kind), weights="--pretrained"), choose(data(kind))
    assert tuned == Choice(RECIPES[kind].fine_tuning, "chosen for --pretrained")
    assert scratch.name == RECIPES[kind].from_scratch != tuned.name
    assert {tuned.name, scratch.name} <= {*shipped("recipe")}


@pytest.mark.parametrize("kind", RECIPES)
def test_fine_tuning_prepares_images_as_training_does_with_a_lower_rate_and_fewer_epochs(kind):
    """So `validate` judges a checkpoint of either in the same way."""
    tuned = load_recipe(RECIPES[kind].fine_tuning)
    scratch = load_recipe(RECIPES[kind].from_scratch)
    assert tuned.data == scratch.data
    assert tuned.schedule.learning_rate < scratch.schedule.learning_rate
    assert tuned.epochs < scratch.epochs


@pytest.mark.parametrize(
    ("found", "weights", "device", "expected"),
    [
        (data(classes=IMAGENET_CLASSES), "", "Ascend", "imagenet_ascend"),
        (data(images=IMAGENET_IMAGES), "", "Ascend", "imagenet_ascend"),
        (data(classes=IMAGENET_CLASSES - 1), "", "Ascend", "imagefolder"),
        (data(classes=IMAGENET_CLASSES), "", "CPU", "imagefolder"),
        (data(classes=IMAGENET_CLASSES), "--init-from", "Ascend", "imagefolder_finetune"),
        (data("cifar100", 100, IMAGENET_IMAGES), "", "Ascend", "cifar_paper"),
        (None, "", "Ascend", "imagefolder"),
    ],
)
def test_ascend_and_a_folder_like_imagenet_choose_mindcvs_recipe(found, weights, device, expected):
    """By classes or by images; weights to begin with come first."""
    assert choose(found, weights=weights, device=device).name == expected


def test_the_user_has_the_first_word():
    """Whatever the data, the device or the weights."""
    named = choose(data(classes=2000), "mine.yaml", "--pretrained", "Ascend")
    assert named == Choice("mine.yaml", "named by --recipe")


def test_the_line_says_why_and_the_three_numbers():
    """The batch is that of all devices."""
    choice = choose(data(classes=1000, images=2000), device="Ascend")
    line = describe_choice(choice, load_recipe("imagenet_ascend"), 8)
    assert line == (
        "recipe imagenet_ascend (chosen for Ascend and 1,000 classes of 2,000 images): "
        "rate 0.1, 120 epochs, batch 256 on 8 devices"
    )
    one = describe_choice(Choice("x", "named by --recipe"), load_recipe("mnist", ["epochs=1"]), 1)
    assert one == "recipe mnist (named by --recipe): rate 0.1, 1 epoch, batch 64"


@pytest.mark.parametrize(("kind", "usual"), [("adamw", 0.001), ("lion", 1e-4)])
def test_another_optimizer_at_the_rate_of_the_recipes_own_is_doubted(kind, usual):
    """Not where the rate is said too, nor where it is near the usual one."""
    asked = [f"optimizer.kind={kind}"]
    line = doubt_rate(load_recipe("imagefolder", asked))
    assert line == (
        "rate 0.05 was chosen for the optimizer of recipe imagefolder; "
        f"{kind} is usually given about {usual:g}: --lr {usual:g}"
    )
    assert doubt_rate(load_recipe("imagefolder", [*asked, "schedule.learning_rate=0.05"])) == ""
    assert doubt_rate(load_recipe("imagefolder", ["optimizer.kind=nesterov"])) == ""


def test_no_recipe_of_the_table_is_missing():
    """A file for each name."""
    names = {name for row in RECIPES.values() for name in (row.from_scratch, row.fine_tuning)}
    folder = Path(__file__).parents[3] / "specs" / "recipes"
    assert [name for name in names if not (folder / f"{name}.yaml").is_file()] == []
