"""What a recipe says of images, on their way into the network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from archspec.errors import format_count
from archspec.settings import Flag, Path, SpecModel, raise_broken_rules
from archspec.train.recipe.augmentation import Erasing, Policy
from archspec.train.recipe.numbers import (
    Alpha,
    AreaRange,
    Few,
    PixelValue,
    Probability,
    RatioRange,
    Share,
    find_falling,
)

Augment = Literal["none", "affine", "pad_crop_flip", "random_crop", "random_resized_crop"]
Interpolation = Literal["bilinear", "bicubic", "nearest"]
Resize = Literal["pillow", "mindspore"]
ImageBackend = Literal["pillow", "opencv"]
ClassNames = Annotated[
    tuple[Annotated[str, Field(strict=True, min_length=1, max_length=200)], ...],
    Field(min_length=2, max_length=255),
]
MaskValues = Annotated[
    tuple[Annotated[int, Field(strict=True, ge=0, le=255)], ...],
    Field(min_length=2, max_length=255),
]
NO_CLASS = 255
# Of a random crop, as in torchvision and MindCV.
SCALE = (0.08, 1.0)
RATIO = (3 / 4, 4 / 3)


class DataRecipe(SpecModel):
    """What happens to an image before the network reads it; mean and std in 0-255 units.

    In this order: `augment`, flips, `auto_augment` or `color_jitter`, mean and std,
    `random_erasing`; then whole batches are mixed by `mixup` or `cutmix`.
    """

    augment: Augment = "none"
    """What changes training images at random; random_crop cuts the network's size out of an image
    that is not resized."""
    scale: AreaRange = SCALE
    """random_resized_crop: the crop's share of the area, drawn evenly."""
    ratio: RatioRange = RATIO
    """random_resized_crop: its width to its height, drawn evenly in the logarithm."""
    hflip: Probability | None = None
    """That an image is mirrored left to right; where absent,
    0.5 with pad_crop_flip and random_resized_crop, else 0."""
    vflip: Probability = 0.0
    """That an image is turned upside down as in a mirror."""
    interpolation: Interpolation = "bilinear"
    """Between pixels, wherever an image is resized or moved; in evaluation too."""
    resize: Resize = "pillow"
    """Whose way to resize: `pillow` filters when it shrinks, as torchvision does with images;
    `mindspore` does not, as MindCV's `Resize`."""
    image_backend: ImageBackend = "pillow"
    """random_resized_crop: whose functions prepare training images; those of `opencv` take less
    time, for pixels that are nearly Pillow's, and need `densenet-archspec[opencv]`. What is judged
    or predicted is always prepared by Pillow."""
    auto_augment: Policy | None = None
    """A policy that draws operations for each image; it has colours of its own."""
    color_jitter: Share = 0.0
    """Brightness, contrast and saturation, after `augment`:
    a factor within 1 - x and 1 + x of each, in any order."""
    random_erasing: Erasing | None = None
    """A rectangle of the normalised image is erased."""
    mixup: Alpha = 0.0
    """Images and targets of a batch are blended by a share from Beta(x, x) (arXiv 1710.09412)."""
    cutmix: Alpha = 0.0
    """A box of a batch's images, of a share from Beta(x, x),
    comes from other ones (arXiv 1905.04899). With `mixup` too, each batch draws one of both."""
    mix_probability: Probability = 1.0
    """That a batch is mixed at all."""
    repeats: Few = 1
    """Times that an image is augmented anew within an epoch, which keeps its length
    (arXiv 1902.05509); the copies go to different devices, where there are several."""
    samples: Annotated[int, Field(strict=True, ge=1, le=2**31)] | None = None
    """So many of the training images alone, drawn once by the seed; all where absent."""
    shuffle: Flag = True
    """Whether each epoch has an order of its own."""
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
    classes: ClassNames | None = None
    """Of masks: the name of each value 0, 1, ..., or of `mask_values`; numbers where absent."""
    mask_values: MaskValues | None = None
    """Of masks: the value of each class in turn, such as [0, 255] of black and white; where absent,
    classes are the values 0, 1, ..."""
    ignore_index: Annotated[int, Field(strict=True, ge=0, le=255)] = NO_CLASS
    """Of masks: the value of pixels that are of no class: neither learnt from nor judged by. 255
    may be a class of `mask_values` instead."""
    val_fraction: Annotated[float, Field(strict=True, gt=0, lt=1)] = 0.1
    """Share of the training images that is held out to choose the checkpoint,
    where there is no val set."""
    on_error: Literal["stop", "skip"] = "stop"
    """What becomes of an image that is not whole: nothing is trained, or it is left out. One that
    is found while training is replaced by another that the seed draws, and is not judged by."""
    white_level: Annotated[int, Field(strict=True, ge=1, le=65_535)] = 65_535
    """The value of grey images of 16 bits that becomes 255, as 0 stays 0: 4095 where 12 bits are
    used. `densenet data check` says the largest."""
    class_names: Annotated[str, Field(strict=True, min_length=1, max_length=4_096)] | None = None
    """A .csv, .json or .txt of what classes are called whose folders or labels have only signs of
    them; it counts from the recipe's folder."""
    workers: Annotated[int, Field(strict=True, ge=1, le=64)] = 2
    """Threads that read and change images; who waits for a batch helps."""

    @model_validator(mode="after")
    def _check_ranges(self) -> Self:
        faults = [*find_falling(self, "scale", "ratio")]
        for name in dict.fromkeys(self.classes or ()):
            if (self.classes or ()).count(name) > 1:
                faults.append((("classes",), f"classes has {name!r} more than once"))
        faults += _find_wrong_values(self)
        raise_broken_rules(faults)
        return self

    @property
    def is_mixed(self) -> bool:
        """Whether batches of training are mixed, and targets are shares of classes."""
        return self.mixup > 0 or self.cutmix > 0


def _find_wrong_values(data: DataRecipe) -> Iterator[tuple[Path, str]]:
    """Yield what is wrong with `mask_values`, each at the place that it is said at."""
    values, ignored = data.mask_values, data.ignore_index
    if values is None:
        return
    for value in dict.fromkeys(values):
        if values.count(value) > 1:
            yield ("mask_values",), f"mask_values has {value} more than once"
    if ignored in values and ignored != NO_CLASS:
        yield ("ignore_index",), f"ignore_index (={ignored}) is a class in mask_values"
    if data.classes is not None and len(data.classes) != len(values):
        named, listed = format_count(len(data.classes), "name"), format_count(len(values), "value")
        yield ("classes",), f"classes are {named}, mask_values {listed}"
