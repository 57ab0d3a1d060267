"""Mixup (arXiv 1710.09412) and cutmix (arXiv 1905.04899): images and targets of a batch mixed.

One draw serves a batch, as in MindCV and timm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Images = npt.NDArray[np.float32]  # (N, C, H, W)
Targets = npt.NDArray[np.float32]  # (N, classes); of one label an image, rows of sum 1


@dataclass(frozen=True)
class Mixing:
    """The alphas of mixup and cutmix, 0 for none, the probability that a batch is mixed, and
    the number of classes.
    """

    mixup: float
    cutmix: float
    probability: float
    classes: int


def mix_batch(
    images: Images, labels: npt.NDArray[Any], mixing: Mixing, rng: np.random.Generator
) -> tuple[Images, Targets]:
    """Return the batch mixed, and the targets of labels (N,), or of several labels an image
    (N, classes), whose targets are blended.

    Where both kinds are asked for, each batch draws one of them. A batch that is drawn to stay as
    it is has targets of its classes alone: every batch of a run has one shape. Label smoothing is
    the loss's, which is the same arithmetic.
    """
    targets = labels if labels.ndim == 2 else np.eye(mixing.classes, dtype=np.float32)[labels]
    if rng.random() >= mixing.probability:
        return images, targets
    if rng.random() < _share_of_cutmix(mixing):
        images, share = _cut_and_paste(images, rng.beta(mixing.cutmix, mixing.cutmix), rng)
    else:
        share = rng.beta(mixing.mixup, mixing.mixup)
        images = _blend(images, share)
    return images, _blend(targets, share)


def _share_of_cutmix(mixing: Mixing) -> float:
    if mixing.mixup and mixing.cutmix:
        return 0.5
    return 1.0 if mixing.cutmix else 0.0


def _find_partners(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The rows of half a batch away: never the same, and far from an image's own copies."""
    return np.roll(rows, len(rows) // 2, axis=0)


def _blend(rows: npt.NDArray[np.float32], share: float) -> npt.NDArray[np.float32]:
    return rows * np.float32(share) + _find_partners(rows) * np.float32(1 - share)


def _cut_and_paste(images: Images, share: float, rng: np.random.Generator) -> tuple[Images, float]:
    """Return the images with a box of their partners', and the share of themselves that is left."""
    height, width = images.shape[2:]
    side = math.sqrt(1 - share)
    rows = _draw_span(height, int(height * side), rng)
    columns = _draw_span(width, int(width * side), rng)
    mixed = images.copy()
    mixed[:, :, rows, columns] = _find_partners(images)[:, :, rows, columns]
    pasted = (rows.stop - rows.start) * (columns.stop - columns.start)
    # The box is cut at the edge: the targets follow what is really there.
    return mixed, 1 - pasted / (height * width)


def _draw_span(length: int, span: int, rng: np.random.Generator) -> slice:
    """Return pixels about a centre that is drawn evenly over the side."""
    start = int(rng.integers(length)) - span // 2
    return slice(max(start, 0), min(start + span, length))
