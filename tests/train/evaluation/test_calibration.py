"""The expected calibration error is that of Guo et al. 2017, by hand."""

import numpy as np
import pytest

from archspec.train.evaluation.calibration import BINS, Calibration, count_bins


def error_by_hand(probability, is_right):
    """Equation 5 of the paper, bin by bin: sum of |B| / n times |accuracy - confidence|."""
    error = 0.0
    for number in range(15):
        inside = (probability > number / 15) & (probability <= (number + 1) / 15)
        if inside.any():
            gap = abs(is_right[inside].mean() - probability[inside].mean())
            error += inside.sum() / len(probability) * gap
    return error


@pytest.mark.parametrize("seed", range(4))
def test_the_error_is_that_of_the_papers_equation(seed):
    """Of a network that is too sure, and of one that is not sure enough."""
    rng = np.random.default_rng(seed)
    probability = rng.beta(2 + seed, 2, size=400)
    is_right = rng.random(400) < probability ** (1 + seed)
    found = Calibration(*count_bins(probability, is_right))
    assert found.error == pytest.approx(error_by_hand(probability, is_right), abs=1e-12)
    assert found.images.sum() == 400


def test_a_probability_at_the_end_of_a_bin_belongs_to_it():
    """(m / 15, (m + 1) / 15]: 1 belongs to the last; rounding puts none outside."""
    images, _, _ = count_bins(np.array([1 / 15, 0.2, 1.0]), np.ones(3, bool))
    assert np.flatnonzero(images).tolist() == [0, 2, BINS - 1]


def test_bins_of_several_batches_add_up():
    """What is counted is sums."""
    rng = np.random.default_rng(0)
    probability, is_right = rng.random(50), rng.random(50) < 0.5
    whole = count_bins(probability, is_right)
    parts = count_bins(probability[:20], is_right[:20]) + count_bins(
        probability[20:], is_right[20:]
    )
    assert parts == pytest.approx(whole, abs=1e-12)


def test_empty_bins_tell_nothing_and_cost_nothing():
    """No division by zero, also where there is no image at all."""
    found = Calibration(*count_bins(np.array([0.99]), np.array([True])))
    assert np.isnan(found.accuracy[:-1]).all()
    assert found.error == pytest.approx(0.01)
    assert Calibration(*np.zeros((3, BINS))).error == 0
