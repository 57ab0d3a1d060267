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


def epochs_of(epochs=10, steps=7):
    """How many epochs are done at each step."""
    return np.arange(epochs * steps) / steps


def test_cosine_cycles_are_mindcvs():
    """mindcv/scheduler/dynamic_lr.py, cosine_decay_refined_lr: num_cycles, cycle_decay,
    decay_epochs; eta_min afterwards.
    """
    expected = []
    for cycle in range(3):
        top = 0.4 * 0.5**cycle
        t = np.arange(2 * 7) / 7
        expected += list(0.01 + 0.5 * (top - 0.01) * (1 + np.cos(np.pi * t / 2)))
    expected += [0.01] * (4 * 7)
    settings = {"learning_rate": 0.4, "final": 0.01, "cycles": 3, "cycle_decay": 0.5}
    np.testing.assert_allclose(rates(decay_epochs=2, **settings), expected, rtol=1e-12)
    # Where no length is said they share the run.
    np.testing.assert_allclose(rates(epochs=6, **settings), expected[: 6 * 7], rtol=1e-12)


def test_step_every_is_mindcvs_and_torchs():
    """StepLR: lr gamma ** floor(epoch / step_size), behind the warm-up."""
    expected = 0.4 * 0.5 ** np.floor(np.floor(epochs_of()) / 3)
    settings = {"kind": "step", "learning_rate": 0.4, "factor": 0.5, "every": 3}
    np.testing.assert_allclose(rates(**settings), expected, rtol=1e-12)
    found = rates(epochs=12, warmup_epochs=2, **settings)
    np.testing.assert_allclose(found[14:], expected, rtol=1e-12)


def test_multi_step_is_mindcvs_and_torchs():
    """MultiStepLR: lr gamma ** bisect_right(milestones, epoch)."""
    milestones = (3, 8)
    passed = [sum(milestone <= epoch for milestone in milestones) for epoch in epochs_of()]
    expected = 0.4 * 0.2 ** np.array(passed)
    found = rates(kind="multi_step", learning_rate=0.4, factor=0.2, milestones=milestones)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("per", ["step", "epoch"])
def test_exponential_is_mindcvs_and_torchs(per):
    """ExponentialLR: lr gamma ** epoch; MindCV's refined form between epochs. 0.9 by itself."""
    done = epochs_of() if per == "step" else np.floor(epochs_of())
    found = rates(kind="exponential", learning_rate=0.4, per=per)
    np.testing.assert_allclose(found, 0.4 * 0.9**done, rtol=1e-12)
    found = rates(kind="exponential", learning_rate=0.4, factor=0.5, per=per)
    np.testing.assert_allclose(found, 0.4 * 0.5**done, rtol=1e-12)


@pytest.mark.parametrize("per", ["step", "epoch"])
def test_polynomial_is_mindcvs_and_torchs(per):
    """PolynomialLR: lr (1 - epoch / total) ** power; to `final` as TensorFlow's PolynomialDecay."""
    done = epochs_of() if per == "step" else np.floor(epochs_of())
    found = rates(kind="polynomial", learning_rate=0.4, power=2.0, per=per)
    np.testing.assert_allclose(found, 0.4 * (1 - done / 10) ** 2, rtol=1e-12)
    found = rates(kind="polynomial", learning_rate=0.4, power=2.0, final=0.1, per=per)
    np.testing.assert_allclose(found, 0.1 + 0.3 * (1 - done / 10) ** 2, rtol=1e-12)


def test_cosine_of_epochs_is_mindcvs():
    """cosine_decay_lr: t = floor(step / steps of an epoch)."""
    expected = 0.01 + 0.39 / 2 * (1 + np.cos(np.pi * np.floor(epochs_of()) / 10))
    found = rates(learning_rate=0.4, final=0.01, per="epoch")
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize(("warmup", "up"), [(0, 0.3 * 70 - 1), (2, 2 * 7 - 1)])
def test_one_cycle_is_torchs(warmup, up):
    """OneCycleLR, annealed by a cosine, div_factor 25: from max_lr / 25 up to max_lr at step up =
    pct_start total - 1, down to the end at the last step.
    """
    expected = []
    for step in range(70):
        low, high, share = (0.4 / 25, 0.4, step / up)
        if step > up:
            low, high, share = (0.4, 0.001, (step - up) / (69 - up))
        expected.append(high + (low - high) / 2 * (1 + math.cos(math.pi * share)))
    found = rates(kind="one_cycle", learning_rate=0.4, final=0.001, warmup_epochs=warmup)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert max(found) == pytest.approx(0.4, rel=1e-3)


def test_one_cycle_can_begin_elsewhere():
    """`warmup_factor` is 1 / div_factor."""
    assert rates(kind="one_cycle", learning_rate=0.4, warmup_factor=0.1)[0] == pytest.approx(0.04)


def test_cyclic_is_mindcvs():
    """cyclic_lr, triangular: step_size_up = int(steps / num_cycles / 2)."""
    up = int(70 / 3 / 2)
    expected = []
    for step in range(70):
        cycle = math.floor(1 + step / (2 * up))
        x = 1.0 + step / (2 * up) - cycle
        scale = x / 0.5 if x <= 0.5 else (x - 1) / (0.5 - 1)
        expected.append(0.01 + (0.4 - 0.01) * scale)
    found = rates(kind="cyclic", learning_rate=0.4, final=0.01, cycles=3)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("per", ["step", "epoch"])
@pytest.mark.parametrize("factor", [0.0, 0.25])
def test_warm_up_from_a_factor_is_mindcvs(factor, per):
    """linear_refined_lr, or linear_lr in epochs: the first rate is the factor's, the last one less
    than the whole.
    """
    done = epochs_of(4) if per == "step" else np.floor(epochs_of(4))
    expected = 0.4 * (factor + (1 - factor) * done / 4)
    settings = {"learning_rate": 0.4, "warmup_epochs": 4, "warmup_factor": factor, "per": per}
    found = rates(**settings)
    np.testing.assert_allclose(found[:28], expected, rtol=1e-12)
    np.testing.assert_allclose(found[28:], rates(6, learning_rate=0.4, per=per), rtol=1e-12)


def test_warm_up_in_epochs_rises_in_equal_steps():
    """From 0, exclusive: a half of the rate in the first of two epochs."""
    found = rates(3, 2, kind="constant", learning_rate=0.4, warmup_epochs=2, per="epoch")
    np.testing.assert_allclose(found, [0.2, 0.2, 0.4, 0.4, 0.4, 0.4])


ENDING = ["cosine", "step", "multi_step", "exponential", "polynomial", "constant"]


@pytest.mark.parametrize("kind", ["one_cycle", "cyclic"])
@pytest.mark.parametrize(("epochs", "steps"), [(1, 1), (1, 2), (2, 1), (3, 4)])
def test_runs_of_a_few_steps_have_a_rate_for_each(kind, epochs, steps):
    """However short the rise and the fall become."""
    found = rates(epochs, steps, kind=kind, learning_rate=0.1)
    assert len(found) == epochs * steps
    assert all(math.isfinite(rate) and 0 <= rate <= 0.1 + 1e-12 for rate in found)


@pytest.mark.parametrize("warmup", [0, 1, 3, 9])
@pytest.mark.parametrize("kind", ENDING)
def test_every_step_has_a_finite_positive_rate(kind, warmup):
    """One for each, also where the warm-up is longer than the run."""
    found = rates(3, 4, kind=kind, learning_rate=0.1, warmup_epochs=warmup)
    assert len(found) == 12
    assert all(math.isfinite(rate) and 0 < rate <= 0.1 + 1e-12 for rate in found)
