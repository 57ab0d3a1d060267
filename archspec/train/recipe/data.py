"""What a recipe says of images, on their way into the network."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from archspec.settings import SpecModel
from archspec.train.recipe.numbers import PixelValue, Share


class DataRecipe(SpecModel):
    """What happens to an image before the network reads it; mean and std in 0-255 units."""

    augment: Literal["none", "affine", "pad_crop_flip", "random_resized_crop"] = "none"
    """What changes training images at random."""
    color_jitter: Share = 0.0
    """Brightness, contrast and saturation, after `augment`:
    a factor within 1 - x and 1 + x of each, in any order."""
    mean: Annotated[tuple[PixelValue, ...], Field(min_length=1, max_length=3)] = (127.5,)
    """Subtracted from each channel."""
    std: Annotated[
        tuple[Annotated[float, Field(strict=True, gt=0, le=255)], ...], Field(min_length=1)
    ] = (127.5,)
    """Each channel is divided by it."""
    crop_pct: Annotated[float, Field(strict=True, gt=0, le=1)] | None = None
    """Evaluation: the shorter side is resized to size / crop_pct, then the centre is cropped; where
    absent, the image is resized to the size.
    MindCV's, torchvision's and the paper's: 0.875, 256 for 224 pixels."""
    val_fraction: Annotated[float, Field(strict=True, gt=0, lt=1)] = 0.1
    """Share of the training images that is held out to choose the checkpoint,
    where there is no val set."""
    workers: Annotated[int, Field(strict=True, ge=1, le=64)] = 2
    """Processes that read and change images."""
