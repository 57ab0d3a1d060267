"""Which images are held out to choose by, where none are set apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]


def split_by_class(labels: npt.NDArray[Any], fraction: float, seed: int) -> tuple[Numbers, Numbers]:
    """Return the numbers kept and the numbers held out:
    of each class at least one, and never its last.
    """
    # Class by class, so that each is held out in its own share, however rare it is.
    rng = np.random.default_rng(seed)
    held_out = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        count = min(max(1, round(fraction * len(members))), len(members) - 1)
        held_out[members[:count]] = True
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def split_by_rarest_label(
    labels: npt.NDArray[np.float32], fraction: float, seed: int
) -> tuple[Numbers, Numbers]:
    """Return the numbers kept and the numbers held out of images with several labels each,
    (N, classes).

    An image counts for the rarest of its labels, one without labels for a class of its own; then
    as `split_by_class`. No label loses its last image to learn from.
    """
    counts = labels.sum(axis=0)
    by_rarity = np.argsort(counts, kind="stable")
    is_labelled = labels[:, by_rarity] > 0
    rarest = np.where(is_labelled.any(axis=1), by_rarity[is_labelled.argmax(axis=1)], -1)
    kept, held_out = split_by_class(rarest, fraction, seed)
    for label in by_rarity:
        # All of a label's images may have been drawn, each as one of a rarer label.
        if counts[label] and not labels[kept, label].any():
            mended = held_out[labels[held_out, label] > 0][:1]
            kept, held_out = np.union1d(kept, mended), np.setdiff1d(held_out, mended)
    return kept, held_out
