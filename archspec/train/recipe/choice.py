"""Which recipe a run takes: the one that is named, else one by weights, device and data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archspec.errors import format_count
from archspec.spec.load import is_overridden
from archspec.train.recipe.recipe import Recipe

if TYPE_CHECKING:
    from archspec.train.data.sources.data_parts import DataSet


USUAL_RATES: Mapping[str, float] = {
    "adam": 1e-3,  # arXiv 1412.6980, section 2
    "adamw": 1e-3,
    "rmsprop": 1e-3,
    "lion": 1e-4,  # arXiv 2302.06675, section 5: a third to a tenth of AdamW's
    "lamb": 5e-3,  # arXiv 2110.00476, A2: LAMB for ResNet-50
}
HIGHEST_OF_USUAL = 10
"""Times the usual rate, beyond which one is hardly meant."""


@dataclass(frozen=True, slots=True)
class RecipesOfKind:
    """The recipes of a kind of data set, which prepare images in the same way, and its name."""

    from_scratch: str
    fine_tuning: str
    words: str


RECIPES: Mapping[str, RecipesOfKind] = {
    "digits": RecipesOfKind("digits", "digits_finetune", "the embedded digits"),
    "folder": RecipesOfKind("imagefolder", "imagefolder_finetune", "a folder of images"),
    "table": RecipesOfKind("imagefolder", "imagefolder_finetune", "a table of images"),
    "mindrecord": RecipesOfKind("imagefolder", "imagefolder_finetune", "a MindRecord of images"),
    "masks": RecipesOfKind("segmentation", "segmentation_finetune", "images with masks"),
    "cifar10": RecipesOfKind("cifar_paper", "cifar_finetune", "CIFAR-10"),
    "cifar100": RecipesOfKind("cifar_paper", "cifar_finetune", "CIFAR-100"),
    "mnist": RecipesOfKind("mnist", "mnist_finetune", "MNIST"),
}

ON_ASCEND = "imagenet_ascend"
IMAGENET_CLASSES, IMAGENET_IMAGES = 1_000, 100_000
"""A folder is like ImageNet from so many classes, or so many training images, on."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A recipe's name or file, and why it is taken."""

    name: str
    reason: str


def choose_recipe(
    data: DataSet | None, *, named: str | None, weights: str, device_target: str
) -> Choice:
    """Return the recipe of a run.

    Args:
        data: None where they cannot be read; a folder of images is assumed then.
        named: by the user, who has the first word.
        weights: what brings the weights that it begins with, such as `--pretrained`; '' for none.
        device_target: `CPU` or `Ascend`.
    """
    if named is not None:
        return Choice(named, "named by --recipe")
    of_kind = RECIPES[data.kind if data else "folder"]
    if weights:
        return Choice(of_kind.fine_tuning, f"chosen for {weights}")
    if data is not None and device_target == "Ascend" and _is_like_imagenet(data):
        classes = f"{len(data.train.classes):,} classes"
        images = format_count(len(data.train), "image")
        return Choice(ON_ASCEND, f"chosen for Ascend and {classes} of {images}")
    return Choice(of_kind.from_scratch, f"chosen for {of_kind.words}")


def _is_like_imagenet(data: DataSet) -> bool:
    many = len(data.train.classes) >= IMAGENET_CLASSES or len(data.train) >= IMAGENET_IMAGES
    return data.kind in ("folder", "table", "mindrecord") and many


def doubt_rate(recipe: Recipe) -> str:
    """Return a line where another optimizer was asked for, and the rate left that was chosen for
    the recipe's own; '' elsewhere.
    """
    rate, kind = recipe.schedule.learning_rate, recipe.optimizer.kind
    is_other = is_overridden(recipe, ("optimizer", "kind"))
    is_said = is_overridden(recipe, ("schedule", "learning_rate"))
    usual = USUAL_RATES.get(kind)
    if usual is None or is_said or not is_other or rate <= HIGHEST_OF_USUAL * usual:
        return ""
    own = f"rate {rate:g} was chosen for the optimizer of recipe {recipe.name}"
    return f"{own}; {kind} is usually given about {usual:g}: --lr {usual:g}"


def describe_choice(choice: Choice, recipe: Recipe, devices: int) -> str:
    """Return the line that names the recipe, why it is taken, and the numbers that matter."""
    epochs = format_count(recipe.epochs, "epoch")
    batch = f"batch {recipe.batch_size * recipe.accumulate * devices}"
    on = f" on {devices} devices" if devices > 1 else ""
    rate = f"rate {recipe.schedule.learning_rate:g}"
    return f"recipe {recipe.name} ({choice.reason}): {rate}, {epochs}, {batch}{on}"
