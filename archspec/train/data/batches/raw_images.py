"""Images as they are, for a network that prepares them itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from archspec.errors import DataError
from archspec.train.data.batches.samples import NO_LABEL, Skipped, widen_labels
from archspec.train.data.images.preprocess import Preprocess
from archspec.train.data.sources.source import Source


def load_raw_images(
    source: Source,
    indices: npt.NDArray[np.int64],
    preprocess: Preprocess,
    skipped: Skipped | None = None,
) -> Iterator[tuple[Any, Any]]:
    """Yield images (1, H, W, C) uint8, each of its own size, and their labels (1, ...), in order of
    `indices`.

    One that cannot be read is a fault, or with `skipped` is put there, and a black one stands for
    it that has no label. Raises DataError (D001, D005) while iterating.
    """
    channels, labels = preprocess.channels, widen_labels(source.labels, preprocess.classes)
    for number in indices.tolist():
        target = labels[number : number + 1]
        pixels = np.zeros((1, 1, 1, channels), np.uint8)
        try:
            image = source.image(number, channels, preprocess.white_level)
            pixels = np.asarray(image).reshape(1, image.height, image.width, channels)
        except DataError as error:
            if skipped is None:
                raise
            skipped[number] = error.diagnostics[0]
            target = np.full_like(target, NO_LABEL)
        yield pixels, target
