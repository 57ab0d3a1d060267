"""What becomes of an image, and of a batch, between a file and the network."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from archspec.errors import DataError
from archspec.train.data.images.bit_depth import WHITE
from archspec.train.data.images.mixing import Mixing
from archspec.train.recipe.augmentation import ErasingRecipe, PolicyRecipe
from archspec.train.recipe.data import RATIO, SCALE, Augment, ImageBackend, Interpolation, Resize

MIRRORED = ("pad_crop_flip", "random_resized_crop")
"""What mirrors half of the images where nothing else is said."""


@dataclass(frozen=True)
class Preprocess:
    """What becomes of an image: size (height, width), channels, mean and std
    (in 0..255), augmentation.

    Evaluation resizes the shorter side to size / `crop_pct` and cuts the centre; None resizes to
    the size. Training does the same and then `augment`, but `random_resized_crop` (arXiv:1409.4842)
    does it all; the other fields are those of `DataRecipe`. Raises DataError (D010) where the
    numbers of channels differ or a value is out of range.
    """

    image_size: tuple[int, int]
    channels: int  # 1 or 3
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop_pct: float | None = None
    augment: Augment = "none"
    color_jitter: float = 0.0
    interpolation: Interpolation = "bilinear"
    resize: Resize = "pillow"
    image_backend: ImageBackend = "pillow"
    scale: tuple[float, ...] = SCALE
    ratio: tuple[float, ...] = RATIO
    hflip: float | None = None
    vflip: float = 0.0
    auto_augment: PolicyRecipe | None = None
    random_erasing: ErasingRecipe | None = None
    mixing: Mixing | None = None
    white_level: int = WHITE
    classes: int = 0
    """How wide the targets of several labels are; 0: as wide as they are."""

    def __post_init__(self) -> None:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != self.channels:
                raise DataError.one(
                    "D010", f"{name} has {len(values)} values for {self.channels} channels"
                )
        if min(self.std) <= 0:
            raise DataError.one("D010", f"std (={self.std}) must be above 0")
        if self.crop_pct is not None and not 0 < self.crop_pct <= 1:
            raise DataError.one("D010", f"crop_pct (={self.crop_pct}) must be in (0, 1]")

    @property
    def mirrored_share(self) -> float:
        """The share of training images that are mirrored left to right."""
        if self.hflip is not None:
            return self.hflip
        return 0.5 if self.augment in MIRRORED else 0.0

    @cached_property
    def of_masks(self) -> Preprocess:
        """What becomes of an image's mask: it is moved as the image is, and keeps its values."""
        return replace(
            self,
            channels=1,
            mean=(0.0,),
            std=(1.0,),
            interpolation="nearest",
            color_jitter=0.0,
            auto_augment=None,
        )

    @property
    def mean_colour(self) -> tuple[int, ...]:
        """The mean in whole grey levels: what lies outside an image that was moved."""
        return tuple(round(value) for value in self.mean)
