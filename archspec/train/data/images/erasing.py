"""Random erasing (arXiv 1708.04896): a rectangle of a normalised image is filled."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from archspec.train.recipe.augmentation import ErasingRecipe


def erase_at_random(
    image: npt.NDArray[np.float32], recipe: ErasingRecipe, rng: np.random.Generator
) -> None:
    """Fill a rectangle of the image (C, H, W), in place, with the recipe's probability."""
    if rng.random() >= recipe.probability:
        return
    for _ in range(recipe.attempts):
        height, width = _draw_sides(image.shape[1:], recipe, rng)
        if 0 < height < image.shape[1] and 0 < width < image.shape[2]:
            top = rng.integers(image.shape[1] - height + 1)
            left = rng.integers(image.shape[2] - width + 1)
            area = image[:, top : top + height, left : left + width]
            is_noise = recipe.value == "random"
            area[...] = rng.standard_normal(area.shape) if is_noise else recipe.value
            return


def _draw_sides(
    size: tuple[int, ...], recipe: ErasingRecipe, rng: np.random.Generator
) -> tuple[int, int]:
    (least, most), (lowest, highest) = recipe.scale, recipe.ratio
    area = math.prod(size) * rng.uniform(least, most)
    ratio = math.exp(rng.uniform(math.log(lowest), math.log(highest)))
    return round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
