"""One sample: an image, read and changed as it enters the network, and its target.

Each image draws from (seed, its number) alone, so it is the same whoever reads it, and when.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import PIL.Image

from archspec.errors import DataError, Diagnostic
from archspec.train.data.batches.sampling import (
    AUGMENTING,
    ERASING,
    SUBSTITUTING,
    draw_for_image,
    find_image,
)
from archspec.train.data.images.augmentations import augment_image
from archspec.train.data.images.erasing import erase_at_random
from archspec.train.data.images.geometry import fit_image
from archspec.train.data.images.opencv_images import Draw, augment_pixels, load_opencv, read_pixels
from archspec.train.data.images.preprocess import Preprocess
from archspec.train.data.sources.masks import decode_mask, find_other_size
from archspec.train.data.sources.source import Source, raise_faults

Image = PIL.Image.Image
Pixels = npt.NDArray[np.uint8]  # (H, W, C)
Batch = tuple[npt.NDArray[np.float32], npt.NDArray[Any]]
"""Images (N, C, H, W) and their targets."""
Skipped = dict[int, Diagnostic]
"""What was wrong with the images that were left out, by their numbers."""
NO_LABEL = -1
"""Of images that count for nothing: that fill a batch, or could not be read."""
MAX_SUBSTITUTES = 10
"""Images that are tried in the place of one that cannot be read."""


class Samples:
    """What a source's samples are for the network; several threads may ask at once.

    `faults` are those of images that could not be read; with `skipped` they are put there.
    """

    def __init__(
        self,
        source: Source,
        preprocess: Preprocess,
        *,
        training: bool,
        seed: int,
        skipped: Skipped | None,
    ) -> None:
        if not training or source.masks:
            preprocess = replace(preprocess, image_backend="pillow")
        self._split = _view_channels
        if preprocess.image_backend == "opencv":
            self._split = load_opencv().split  # that it is missing is the fault of no image
        self.source = source
        self.preprocess = preprocess
        self.training = training
        self.seed = seed
        self.skipped = skipped
        self.faults: list[Diagnostic] = []
        self.labels = widen_labels(source.labels, preprocess.classes)
        self._mean = np.array(preprocess.mean, np.float32)[:, None, None]
        self._std = np.array(preprocess.std, np.float32)[:, None, None]

    def make_batch(self, size: int, filled: int) -> Batch:
        """Return room for a batch: `filled` samples, then zero images that count for nothing."""
        height_and_width = self.preprocess.image_size
        images = np.empty((size, self.preprocess.channels, *height_and_width), np.float32)
        images[filled:] = 0
        shape = height_and_width if self.source.masks else self.labels.shape[1:]
        dtype = np.int32 if self.source.masks else self.labels.dtype
        return images, np.full((size, *shape), NO_LABEL, dtype)

    def fill(self, sample: int, place: int, batch: Batch) -> None:
        """Put a sample's image and target in their place in a batch."""
        images, targets = batch
        number, copy = find_image(sample, len(self.source))
        read = self._read_with_mask if self.source.masks else self._read_with_label
        pixels, targets[place] = read(number, copy)
        self._normalise(pixels, images[place])
        erasing = self.preprocess.random_erasing
        if self.training and erasing is not None:
            erase_at_random(images[place], erasing, self._draw(number, copy, ERASING))

    def _normalise(self, pixels: Pixels, image: npt.NDArray[np.float32]) -> None:
        """MindSpore's Normalize and HWC2CHW, to the bit; by channels, which fit into a cache."""
        for channel, plane in enumerate(self._split(pixels)):
            values = image[channel]
            np.subtract(plane, self._mean[channel], out=values)
            np.divide(values, self._std[channel], out=values)

    def _read_with_label(self, number: int, copy: int) -> tuple[Pixels, Any]:
        image, label = self._read(number, number, copy), self.labels[number]
        if image is None:
            image, label = self._read_substitute(number, copy)
        if image is None:
            return self._black(), NO_LABEL
        return self._fit(image, self.preprocess, number, copy), label

    def _read_with_mask(self, number: int, copy: int) -> tuple[Pixels, Any]:
        """An image and its label map (H, W), moved as it was."""
        image = self._read(number, number, copy)
        if image is None:
            return self._black(), NO_LABEL
        try:
            mask = self.source.mask(number)
            size = cast("Image", image).size  # masks have Pillow's way alone
            raise_faults(find_other_size(self.source.masks[number], mask.size, size))
        except DataError as error:
            self.faults.extend(error.diagnostics)
            return self._black(), NO_LABEL
        moved = self._fit(mask, self.preprocess.of_masks, number, copy)
        return self._fit(image, self.preprocess, number, copy), decode_mask(moved[:, :, 0])

    def _black(self) -> Pixels:
        return np.zeros((*self.preprocess.image_size, self.preprocess.channels), np.uint8)

    def _fit(self, image: Image | Pixels, preprocess: Preprocess, number: int, copy: int) -> Pixels:
        """An image and its mask draw from generators of one seed, so they are moved alike."""
        if isinstance(image, np.ndarray):
            pixels = augment_pixels(image, preprocess, self._draw(number, copy, AUGMENTING))
        elif self.training:
            rng = self._draw(number, copy, AUGMENTING)
            pixels = np.asarray(augment_image(image, preprocess, rng))
        else:
            pixels = np.asarray(fit_image(image, preprocess))
        return pixels[:, :, None] if pixels.ndim == 2 else pixels

    def _read(self, number: int, drawn: int, copy: int) -> Image | Pixels | None:
        """One image, which will be changed as is drawn for an image's copy, or None of one that
        cannot be read.
        """
        try:
            return self._decode(number, partial(self._draw, drawn, copy, AUGMENTING))
        except DataError as error:
            if self.skipped is None:
                self.faults.extend(error.diagnostics)
            else:
                self.skipped[number] = error.diagnostics[0]
            return None

    def _decode(self, number: int, draw: Draw) -> Image | Pixels:
        preprocess, white_level = self.preprocess, self.preprocess.white_level
        if preprocess.image_backend == "pillow":
            return self.source.image(number, preprocess.channels, white_level)
        if self.source.files:
            return read_pixels(self.source.files[number], preprocess, draw, white_level)
        return np.asarray(self.source.image(number, preprocess.channels, white_level))

    def _draw(self, number: int, copy: int, use: int) -> np.random.Generator:
        return draw_for_image(self.seed, number, copy, use)

    def _read_substitute(self, number: int, copy: int) -> tuple[Image | Pixels | None, Any]:
        """Another image and its label for one that was skipped, where there is to be one."""
        if self.skipped is None or not self.training:
            return None, NO_LABEL
        rng = self._draw(number, copy, SUBSTITUTING)
        for other in rng.integers(len(self.source), size=MAX_SUBSTITUTES).tolist():
            image = self._read(other, number, copy)
            if image is not None:
                return image, self.labels[other]
        self.faults.append(self.skipped[number])  # hardly any image can be read
        return None, NO_LABEL


def _view_channels(pixels: Pixels) -> Sequence[Pixels]:
    """Its planes (H, W); OpenCV's are copies, which takes less time than reading every third."""
    return [pixels[:, :, channel] for channel in range(pixels.shape[2])]


def widen_labels(labels: npt.NDArray[Any], classes: int) -> npt.NDArray[Any]:
    """Several labels an image (N, classes) as wide as the logits: networks may have more."""
    if labels.ndim == 1:
        return labels
    missing = max(0, classes - labels.shape[1])
    return np.pad(labels, [(0, 0), (0, missing)])
