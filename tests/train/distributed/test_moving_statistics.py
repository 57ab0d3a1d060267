"""What devices share of their moving statistics, as a compiled step takes it."""

import numpy as np
import pytest

from archspec.runtime import prepare
from archspec.train.distributed import moving_statistics
from archspec.train.recipe.recipe import Recipe


@pytest.fixture(scope="module")
def step():
    """A step that updates averages, and copies for steps that are skipped, under conditions."""
    prepare()
    import mindspore as ms
    from mindspore import nn, ops

    from archspec.train.engine.optimizers import make_optimizer
    from archspec.train.engine.step import TrainStep

    class Network(nn.Cell):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm2d(3, momentum=0.9)
            self.dense = nn.Dense(3, 2)

        def construct(self, images):
            return self.dense(ops.mean(self.norm(images), (2, 3)))

    ms.set_context(mode=ms.GRAPH_MODE)
    settings = {"accumulate": 2, "ema": {"decay": 0.5, "warmup": False}, "on_nan": "skip"}
    recipe = Recipe(epochs=1, batch_size=4, optimizer={"weight_decay": 0.0}, **settings)
    network = Network().set_train(True)
    return TrainStep(network, make_optimizer(network, recipe, [0.01] * 9), recipe, world=1)


def state_of(step):
    return [*step.loss.network.get_parameters(), *step.state_parameters()]


def train(step, batches):
    import mindspore as ms

    rng = np.random.default_rng(0)
    for _ in range(batches):
        images = ms.Tensor(rng.normal(size=(4, 3, 5, 5)).astype(np.float32))
        step(images, ms.Tensor(np.zeros(4, np.int32)))


def test_a_compiled_step_goes_on_with_what_was_written(step):
    """Two batches of momentum 0.9 leave 0.81 of it, an average of decay 0.5 the mean of the two."""
    train(step, 2)
    parameters = state_of(step)
    moving_statistics.write(parameters, np.full(len(moving_statistics.read(parameters)), 100.0))
    train(step, 2)
    values = {p.name: p.asnumpy() for p in parameters if moving_statistics.is_moving(p.name)}
    assert set(values) == {
        f"{kind}norm.moving_{of}" for kind in ("", "ema.", "kept.") for of in ("mean", "variance")
    }
    for name, found in values.items():
        expected = 90.5 if name.startswith("ema.") else 81.0
        np.testing.assert_allclose(found, expected, atol=0.5, err_msg=name)
