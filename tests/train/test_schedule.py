"""The learning rate of every step, against the published formulas written out by hand."""

import math

import numpy as np
import pytest

from archspec.train.recipe.schedule import ScheduleRecipe, learning_rates


def rates(epochs=10, steps=7, **settings):
    return learning_rates(ScheduleRecipe(**settings), epochs=epochs, steps_per_epoch=steps)


def test_cosine_follows_loshchilov_and_hutter():
    """Final + (start - final) (1 + cos(pi t / T)) / 2 at step t of T:
    equation 5 of arXiv 1608.03983.
    """
    expected = 0.01 + (0.4 - 0.01) * (1 + np.cos(np.pi * np.arange(70) / 70)) / 2
    np.testing.assert_allclose(
        rates(kind="cosine", learning_rate=0.4, final=0.01), expected, rtol=1e-12
    )


def test_step_divides_by_ten_at_half_and_three_quarters():
    """As in section 4.2 of arXiv 1608.06993: 300 epochs,
    0.1 divided by 10 at epochs 150 and 225.
    """
    found = rates(300, 5, kind="step", learning_rate=0.1)
    expected = [0.1] * 750 + [0.01] * 375 + [0.001] * 375
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_step_takes_epochs_as_well_as_shares():
    """The paper on ImageNet: 90 epochs, divided at epochs 30 and 60,
    counted with those of a warm-up.
    """
    for warmup in (0, 2):
        found = rates(
            90, 7, kind="step", learning_rate=0.1, milestones=(30, 60), warmup_epochs=warmup
        )
        expected = [0.1] * (210 - 7 * warmup) + [0.01] * 210 + [0.001] * 210
        np.testing.assert_allclose(found[7 * warmup :], expected, rtol=1e-12)


def test_constant_stays():
    """One rate for all steps."""
    assert rates(2, 3, kind="constant", learning_rate=0.25) == [0.25] * 6


@pytest.mark.parametrize("kind", ["cosine", "step", "constant"])
def test_warm_up_rises_in_equal_steps_and_ends_where_the_schedule_starts(kind):
    """Two epochs of five steps: a tenth of the rate at the first step, the whole at the tenth."""
    found = rates(6, 5, kind=kind, learning_rate=0.5, warmup_epochs=2)
    np.testing.assert_allclose(found[:10], 0.5 * np.arange(1, 11) / 10, rtol=1e-12)
    assert found[10] == 0.5
    np.testing.assert_allclose(found[10:], rates(4, 5, kind=kind, learning_rate=0.5), rtol=1e-12)


@pytest.mark.parametrize("warmup", [0, 1, 3, 9])
@pytest.mark.parametrize("kind", ["cosine", "step", "constant"])
def test_every_step_has_a_finite_positive_rate(kind, warmup):
    """One for each, also where the warm-up is longer than the run."""
    found = rates(3, 4, kind=kind, learning_rate=0.1, warmup_epochs=warmup)
    assert len(found) == 12
    assert all(math.isfinite(rate) and 0 < rate <= 0.1 + 1e-12 for rate in found)
