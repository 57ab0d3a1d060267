"""What lies between gradients and optimizer: clip, accumulation, loss scale, moving average."""

import numpy as np
import pytest

from archspec.runtime import prepare
from archspec.train.recipe.recipe import Recipe
from archspec.train.recipe.update_settings import DynamicLossScale

FEATURES, CLASSES, IMAGES = 5, 3, 8
RATE = 0.5
PLAIN = {"optimizer": {"momentum": 0.9, "weight_decay": 0.01}}


def draw(batches, images=IMAGES):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(batches, images, FEATURES)).astype(np.float32)
    y = rng.integers(CLASSES, size=(batches, images)).astype(np.int32)
    weight = rng.normal(size=(CLASSES, FEATURES)).astype(np.float32)
    return x, y, weight, rng.normal(size=CLASSES).astype(np.float32)


def make_step(settings, has_norm=False):
    """A compiled step of softmax regression, behind a norm if asked for."""
    prepare()
    import mindspore as ms

    from archspec.train.engine.optimizers import make_optimizer
    from archspec.train.engine.step import TrainStep

    ms.set_context(mode=ms.GRAPH_MODE)
    _, _, weight, bias = draw(1)
    network = ms.nn.Dense(
        FEATURES, CLASSES, weight_init=ms.Tensor(weight), bias_init=ms.Tensor(bias)
    )
    if has_norm:
        norm = ms.nn.BatchNorm1d(FEATURES, momentum=0.9)
        network = ms.nn.SequentialCell(norm, network)
    network.set_train(True)
    recipe = Recipe(epochs=1, batch_size=IMAGES, **{**PLAIN, **settings})
    optimizer = make_optimizer(network, recipe, [RATE] * 100)
    return network, TrainStep(network, optimizer, recipe, world=1)


def run(step, x, y):
    import mindspore as ms

    return [
        float(step(ms.Tensor(images), ms.Tensor(labels))[0].asnumpy())
        for images, labels in zip(x, y, strict=True)
    ]


def values_of(parameters):
    return {p.name: p.asnumpy().copy() for p in parameters}


class ByHand:
    """Softmax regression with momentum 0.9 and decay 0.01, in 64 bits."""

    def __init__(self):
        _, _, weight, bias = draw(1)
        self.values = [weight.astype(np.float64), bias.astype(np.float64)]
        self.velocities = [np.zeros_like(value) for value in self.values]

    def gradients(self, x, y):
        logits = x @ self.values[0].T + self.values[1]
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        slope = (shares - np.eye(CLASSES)[y]) / len(x)
        return [slope.T @ x, slope.sum(axis=0)]

    def move(self, gradients):
        for i, gradient in enumerate(gradients):
            gradient = gradient + 0.01 * self.values[i]
            self.velocities[i] = 0.9 * self.velocities[i] + gradient
            self.values[i] = self.values[i] - RATE * self.velocities[i]


def assert_holds(network, expected, tolerance=2e-5):
    found = [network.weight.asnumpy(), network.bias.asnumpy()]
    for own, value in zip(found, expected, strict=True):
        np.testing.assert_allclose(own, value, rtol=tolerance, atol=tolerance)


def norm_of(gradients):
    return np.sqrt(sum((gradient**2).sum() for gradient in gradients))


CLIPS = {
    "norm that none reaches": ({"clip": {"norm": 100.0}}, lambda g: g),
    "value": ({"clip": {"value": 0.02}}, lambda g: [v.clip(-0.02, 0.02) for v in g]),
    "norm behind a loss scale": (
        {"clip": {"norm": 0.1}, "amp": "O2", "loss_scale": 1024.0},
        lambda g: [v * min(1, 0.1 / norm_of(g)) for v in g],
    ),
}


@pytest.mark.parametrize(("settings", "clip"), CLIPS.values(), ids=CLIPS)
def test_gradients_are_clipped_before_decay_and_momentum(settings, clip):
    """Four steps, the gradients themselves: without the loss scale."""
    network, step = make_step(settings)
    x, y, *_ = draw(4)
    losses = run(step, x, y)
    hand = ByHand()
    for images, labels in zip(x, y, strict=True):
        gradients = hand.gradients(images.astype(np.float64), labels)
        hand.move(clip(gradients))
    assert_holds(network, hand.values)
    assert np.isfinite(losses).all()


def test_four_batches_to_one_update_are_one_batch_of_four_times_the_size():
    """Twelve batches are three updates; the bound is of their mean, the rate the update's."""
    settings = {"clip": {"norm": 0.1}}
    x, y, *_ = draw(12)
    network, step = make_step({**settings, "accumulate": 4})
    before = values_of([network.weight])
    run(step, x[:3], y[:3])
    assert (network.weight.asnumpy() == before[network.weight.name]).all()
    run(step, x[3:], y[3:])
    large, whole = make_step(settings)
    run(whole, x.reshape(3, -1, FEATURES), y.reshape(3, -1))
    assert_holds(network, [large.weight.asnumpy(), large.bias.asnumpy()], 1e-6)
    assert int(step.optimizer.global_step.asnumpy()[0]) == 3


def test_a_run_goes_on_between_two_updates():
    """What `state_parameters` and the optimizer hold is all: the same bits as never stopped.
    Nothing is accumulated there, and so nothing of it is held.
    """
    import mindspore as ms

    settings = {"accumulate": 3, "ema": {"decay": 0.9}}
    x, y, *_ = draw(7)
    network, step = make_step(settings)
    run(step, x[:3], y[:3])
    state = (network.get_parameters, step.optimizer.get_parameters, step.state_parameters)
    held = {p.name: p.asnumpy().copy() for part in state for p in part()}
    run(step, x[3:], y[3:])
    expected = values_of(network.get_parameters()) | values_of(step.state_parameters())
    network, step = make_step(settings)
    for part in (network.get_parameters, step.optimizer.get_parameters, step.state_parameters):
        for parameter in part():
            parameter.set_data(ms.Tensor(held[parameter.name]))
    run(step, x[3:], y[3:])
    found = values_of(network.get_parameters()) | values_of(step.state_parameters())
    assert {"ema.weight", "updates"} <= found.keys()
    assert "accumulated.weight" not in found
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)


def test_averages_follow_weights_and_moving_statistics():
    """a <- d a + (1 - d) w after each update, d = decay (1 - exp(-t / 2000)): MindCV's."""
    network, step = make_step({"ema": {"decay": 0.9}}, has_norm=True)
    x, y, *_ = draw(4)
    expected = {
        name: v.astype(np.float64) for name, v in values_of(network.get_parameters()).items()
    }
    for number in range(4):
        run(step, x[number : number + 1], y[number : number + 1])
        kept = 0.9 * (1 - np.exp(-(number + 1) / 2000))
        for name, value in values_of(network.get_parameters()).items():
            expected[name] = kept * expected[name] + (1 - kept) * value
    averages = step.averages()
    assert averages.keys() == expected.keys()
    assert any(name.endswith("moving_mean") for name in averages)
    for name, value in expected.items():
        assert averages[name].name == f"ema.{name}"
        np.testing.assert_allclose(averages[name].asnumpy(), value, rtol=2e-5, atol=1e-6)


def test_averages_follow_updates_and_not_batches():
    """With accumulation they stay until the weights move; without warm-up the decay is all."""
    network, step = make_step({"ema": {"decay": 0.25, "warmup": False}, "accumulate": 2})
    x, y, *_ = draw(2)
    before = values_of(step.averages().values())
    run(step, x[:1], y[:1])
    between = values_of(step.averages().values())
    run(step, x[1:], y[1:])
    after = values_of(step.averages().values())
    for name, value in before.items():
        assert (between[name] == value).all()
        moved = network.parameters_dict()[name.removeprefix("ema.")].asnumpy()
        np.testing.assert_allclose(after[name], 0.25 * value + 0.75 * moved, rtol=1e-5)


SCALED = {
    "amp": "O2",
    "loss_scale": "dynamic",
    "dynamic_loss_scale": {"initial": 1024.0, "factor": 4.0, "window": 2},
}


def test_an_overflow_is_left_out_and_lowers_the_loss_scale():
    """Two good updates raise it; a bad one moves no weight, no velocity and no average, but the
    rate goes on; the loss is told without the scale.
    """
    network, step = make_step({**SCALED, "ema": {"decay": 0.9}})
    x, y, *_ = draw(5)
    x[2] = np.inf
    scales, moved = [], []
    losses = []
    parts = [*network.get_parameters(), *step.optimizer.accum, *step.averages().values()]
    for number in range(5):
        before = values_of(parts)
        losses += run(step, x[number : number + 1], y[number : number + 1])
        scales.append(float(step.loss.scale.asnumpy()))
        moved.append([(p.asnumpy() != before[p.name]).any() for p in parts])
    assert scales == [1024.0, 4096.0, 1024.0, 1024.0, 4096.0]
    assert [all(row) for row in moved] == [True, True, False, True, True]
    assert not any(moved[2])
    assert int(step.optimizer.global_step.asnumpy()[0]) == 5
    hand, expected = ByHand(), []
    for number in (0, 1, 3, 4):
        hand.move(hand.gradients(x[number].astype(np.float64), y[number]))
    assert_holds(network, hand.values)
    assert not np.isfinite(losses[2])
    assert all(0 < losses[number] < 5 for number in (0, 1, 3, 4)), expected


def test_a_scale_never_falls_below_one():
    """However many updates overflow."""
    prepare()
    import mindspore as ms

    from archspec.train.engine.guards import ScaleAdjustment, make_dynamic_scale

    settings = DynamicLossScale(initial=2.0, factor=4.0)
    scale = make_dynamic_scale(settings)
    adjust = ScaleAdjustment(scale, settings)
    for _ in range(2):
        adjust(ms.Tensor(False))
    assert float(scale.asnumpy()) == 1.0


def test_a_batch_of_no_numbers_can_be_skipped():
    """`on_nan: skip`: neither weights nor moving statistics keep anything of it."""
    network, step = make_step({"on_nan": "skip"}, has_norm=True)
    x, y, *_ = draw(3)
    run(step, x[:1], y[:1])
    before = values_of(network.get_parameters())
    bad = x[1].copy()
    bad[0, 0] = np.nan
    run(step, [bad], y[1:2])
    for name, value in values_of(network.get_parameters()).items():
        np.testing.assert_array_equal(value, before[name])
    run(step, x[2:], y[2:])
    for name, value in values_of(network.get_parameters()).items():
        assert np.isfinite(value).all()
        assert (value != before[name]).any(), name


def test_a_plain_recipe_has_no_state_beside_the_optimizers():
    """Nor anything else to compile."""
    _, step = make_step({})
    assert step.state_parameters() == []
    assert step.averages() == {}
