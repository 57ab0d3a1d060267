"""Settings of a recipe that fit images with masks alone, or those without alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from archspec.settings import Path

if TYPE_CHECKING:
    from archspec.train.recipe.recipe import Recipe

MIXES = ("mixup", "cutmix")


def find_unfit(recipe: Recipe, *, per_pixel: bool) -> Iterator[tuple[Path, str]]:
    """Yield the path of each setting that does not fit the data, and the rule that it breaks."""
    data = recipe.data
    if not per_pixel:
        if data.classes is not None:
            yield ("data", "classes"), "classes names the values of masks, and the data has none"
        if data.mask_values is not None:
            yield ("data", "mask_values"), "mask_values are of masks, and the data has none"
        return
    for key in MIXES:
        if getattr(data, key) > 0:
            rule = f"{key} mixes classes of whole images, and each pixel has its own here"
            yield ("data", key), rule
    if data.image_backend != "pillow":
        rule = f"image_backend (={data.image_backend}) prepares images and not their masks"
        yield ("data", "image_backend"), rule
    if data.auto_augment is not None:
        rule = f"auto_augment (={data.auto_augment.kind}) moves images and not their masks"
        yield ("data", "auto_augment"), rule
