"""Whether a recipe and a data set go together."""

from __future__ import annotations

from dataclasses import fields

from archspec.errors import DataError, SpecError, TrainingError, format_count
from archspec.machine.processes import suggest_fewer
from archspec.train.data.sources.data_parts import Splits
from archspec.train.evaluation.measures import CLASS_OF_EACH_PIXEL, FIGURES
from archspec.train.recipe.recipe import Recipe


def check_recipe(recipe: Recipe, splits: Splits, *, classes: int, devices: int = 1) -> None:
    """Raise what training would not start for, with a network of so many classes.

    Raises:
        SpecError: S006, figures and settings that such data do not have.
        DataError: D013, several labels an image and a loss that knows of one.
        TrainingError: T007, a batch larger than a device's share of the images; T010, more devices
            than images.
    """
    recipe.check_targets(per_pixel=splits.has_masks)
    recipe.check_classes(classes)
    _check_loss(recipe, splits)
    _check_figure(recipe, splits)
    _check_batch(recipe, splits, devices)


def _check_loss(recipe: Recipe, splits: Splits) -> None:
    """Raise DataError (D013) where images have several labels and the loss knows of one."""
    kind = recipe.loss.kind
    if splits.train.is_multi_label and kind != "bce":
        message = f"loss.kind (={kind}) must be bce: images of {splits.train.name}"
        message += " have several labels, or none"
        place = recipe.place(("loss", "kind"))
        raise DataError.one("D013", message, place, "--set recipe.loss.kind=bce")


def _check_figure(recipe: Recipe, splits: Splits) -> None:
    """`top1`, which a recipe has that says nothing, is the main figure of whatever is measured."""
    name = recipe.keep.by.removeprefix("ema_")
    rank = CLASS_OF_EACH_PIXEL if splits.has_masks else splits.train.labels.ndim
    kind = FIGURES.get(rank)
    known = [] if kind is None else [field.name for field in fields(kind)]
    if name in (*known, "top1") or not known:
        return
    names = ", ".join(known[:-1])
    message = f"by (={recipe.keep.by}) is no figure of these images, which have {names}"
    raise SpecError.one("S006", message, recipe.place(("keep", "by")))


def _check_batch(recipe: Recipe, splits: Splits, devices: int) -> None:
    """Raise TrainingError for a batch larger than a device's share of the images (T007), or no
    share at all (T010).
    """
    images = len(splits.train)
    share = images // devices
    if not share and images:
        rule = f"{devices:,} devices cannot share the {format_count(images, 'training image')}"
        raise TrainingError.one("T010", f"{rule} of {splits.train.name}", "", suggest_fewer())
    if recipe.batch_size * recipe.accumulate > share and recipe.accumulate > 1:
        batches = f"{recipe.accumulate} batches of {recipe.batch_size} images"
        raise TrainingError.one(
            "T007",
            f"accumulate (={recipe.accumulate}) must leave an update: {batches} are more than "
            f"the {share} of a device in {splits.train.name}",
            recipe.place(("accumulate",)),
        )
    if recipe.batch_size > share:
        raise TrainingError.one(
            "T007",
            f"batch_size (={recipe.batch_size}) must be at most "
            f"the {share} training image{'s' * (share != 1)} of a device in {splits.train.name}",
            recipe.place(("batch_size",)),
            f"--batch-size {max(1, share)} or less",
        )
