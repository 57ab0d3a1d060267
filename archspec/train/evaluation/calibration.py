"""Whether a network is right as often as it is sure (Guo et al. 2017, arXiv 1706.04599)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BINS = 15
"""As in the paper."""
Values = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Calibration:
    """First guesses by their probability, in equal bins (m / BINS, (m + 1) / BINS]; each an array
    (BINS,).
    """

    images: Values
    probability: Values
    """Summed over the bin's images."""
    right: Values
    """How many of them are right."""

    @property
    def error(self) -> float:
        """The expected calibration error: how far probability and the share of right guesses lie
        apart, in the mean of all images.
        """
        return float(np.abs(self.right - self.probability).sum() / max(self.images.sum(), 1))

    @property
    def mean_probability(self) -> Values:
        """Of each bin; NaN where it is empty."""
        return divide(self.probability, self.images)

    @property
    def accuracy(self) -> Values:
        """The share of right guesses of each bin; NaN where it is empty."""
        return divide(self.right, self.images)


def count_bins(probability: Values, is_right: npt.NDArray[np.bool_]) -> Values:
    """Return images, summed probability and right guesses of each bin, (3, BINS)."""
    bins = np.clip(np.ceil(probability * BINS).astype(int) - 1, 0, BINS - 1)
    counted = (None, probability, is_right)
    return np.stack([np.bincount(bins, weights, minlength=BINS) for weights in counted])


def divide(counts: Values, of: Values) -> Values:
    """Return shares, NaN where there is nothing to have a share of."""
    return np.divide(counts, of, out=np.full(np.shape(counts), np.nan), where=of > 0)
