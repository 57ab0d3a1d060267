"""The optimisation step against the published rules, written out in NumPy.

Where a recipe says O2, its loss scale alone is meant: the network here stays in single precision.
"""

import numpy as np
import pytest

from archspec.runtime import prepare
from archspec.train.recipe.optimizer import OptimizerRecipe
from archspec.train.recipe.recipe import Recipe

STEPS, IMAGES, FEATURES, CLASSES = 20, 12, 6, 4
CASES = {
    "plain": {"optimizer": {"momentum": 0.0, "weight_decay": 0.0}},
    "momentum": {"optimizer": {"momentum": 0.9, "weight_decay": 0.0}},
    "nesterov": {"optimizer": {"momentum": 0.9, "weight_decay": 0.0, "nesterov": True}},
    "decay of all": {"optimizer": {"momentum": 0.9, "weight_decay": 0.05}},
    "decay of weights alone": {
        "optimizer": {"momentum": 0.9, "weight_decay": 0.05, "decay_norm_and_bias": False}
    },
    "smoothing": {"optimizer": {"momentum": 0.9, "weight_decay": 0.0}, "label_smoothing": 0.1},
    "loss scale": {
        "optimizer": {"momentum": 0.9, "weight_decay": 0.05},
        "amp": "O2",
        "loss_scale": 1024.0,
    },
    "everything": {
        "optimizer": {
            "momentum": 0.8,
            "weight_decay": 0.05,
            "nesterov": True,
            "decay_norm_and_bias": False,
        },
        "label_smoothing": 0.2,
        "amp": "O2",
        "loss_scale": 8.0,
    },
}


OTHERS_SHOW_IT = ("plain", "momentum", "decay of all")
FAST = [case for case in CASES if case not in OTHERS_SHOW_IT]
SLOW = [pytest.param(case, marks=pytest.mark.slow) for case in OTHERS_SHOW_IT]


def recipe_of(optimizer, **settings) -> Recipe:
    return Recipe(epochs=1, batch_size=IMAGES, optimizer=OptimizerRecipe(**optimizer), **settings)


def data():
    rng = np.random.default_rng(0)
    images = rng.normal(size=(STEPS, IMAGES, FEATURES)).astype(np.float32)
    labels = rng.integers(CLASSES, size=(STEPS, IMAGES)).astype(np.int32)
    weight = rng.normal(size=(CLASSES, FEATURES), scale=0.5).astype(np.float32)
    bias = rng.normal(size=CLASSES, scale=0.5).astype(np.float32)
    return images, labels, weight, bias


def by_hand(recipe: Recipe, rates):
    """Softmax regression: v <- m v + g + decay p;
    p <- p - rate v, or - rate (g + decay p + m v) with Nesterov.
    """
    images, labels, *parameters = (part.astype(np.float64) for part in data())
    settings = recipe.optimizer
    velocities = [np.zeros_like(p) for p in parameters]
    decays = [settings.weight_decay, settings.weight_decay * settings.decay_norm_and_bias]
    losses, rights = [], []
    for x, y, rate in zip(images, labels.astype(int), rates, strict=True):
        logits = x @ parameters[0].T + parameters[1]
        logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        smoothing = recipe.label_smoothing
        target = (
            np.eye(CLASSES)[y] * (1 - smoothing) + smoothing / CLASSES
        )  # arXiv 1512.00567, section 7
        losses.append(-(target * logs).sum(axis=1).mean())
        rights.append((logits.argmax(axis=1) == y).sum())
        slope = (np.exp(logs) - target) / IMAGES
        for i, gradient in enumerate((slope.T @ x, slope.sum(axis=0))):
            gradient = gradient + decays[i] * parameters[i]
            velocities[i] = settings.momentum * velocities[i] + gradient
            move = (
                gradient + settings.momentum * velocities[i] if settings.nesterov else velocities[i]
            )
            parameters[i] = parameters[i] - rate * move
    return parameters, losses, rights


@pytest.mark.parametrize("case", [*FAST, *SLOW])
def test_twenty_steps_move_parameters_as_the_published_rules_do(case):
    """Weights, bias, losses and right answers of softmax regression on fixed data,
    the rate changing each step.
    """
    prepare()
    import mindspore as ms
    from mindspore import Tensor, nn

    from archspec.train.engine.optimizers import make_sgd
    from archspec.train.engine.step import TrainStep

    recipe = recipe_of(**CASES[case])
    rates = (0.5 * np.linspace(1, 0.05, STEPS)).tolist()
    images, labels, weight, bias = data()
    ms.set_context(mode=ms.GRAPH_MODE)
    network = nn.Dense(FEATURES, CLASSES, weight_init=Tensor(weight), bias_init=Tensor(bias))
    step = TrainStep(network, make_sgd(network, recipe, rates), recipe, world=1)
    network.set_train(True)
    results = [step(Tensor(x), Tensor(y)) for x, y in zip(images, labels, strict=True)]
    parameters, losses, rights = by_hand(recipe, rates)
    assert np.abs(network.weight.asnumpy() - parameters[0]).max() <= 1e-5
    assert np.abs(network.bias.asnumpy() - parameters[1]).max() <= 1e-5
    np.testing.assert_allclose([float(loss.asnumpy()) for loss, _ in results], losses, rtol=1e-5)
    assert [float(right.asnumpy()) for _, right in results] == rights
