"""The optimisation step against the published rules, written out in NumPy."""

import numpy as np
import pytest

from archspec.runtime import prepare
from archspec.train.recipe import OptimizerRecipe, Recipe

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
    "loss scale": {"optimizer": {"momentum": 0.9, "weight_decay": 0.05}, "loss_scale": 1024.0},
    "everything": {
        "optimizer": {
            "momentum": 0.8,
            "weight_decay": 0.05,
            "nesterov": True,
            "decay_norm_and_bias": False,
        },
        "label_smoothing": 0.2,
        "loss_scale": 8.0,
    },
}


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
    """Softmax regression: v <- m v + g + decay p; p <- p - rate v, or - rate (g + decay p + m v) with Nesterov."""
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


@pytest.mark.parametrize("case", CASES)
def test_twenty_steps_move_parameters_as_the_published_rules_do(case):
    """Weights, bias, losses and right answers of softmax regression on fixed data, the rate changing each step."""
    prepare()
    import mindspore as ms
    from mindspore import Tensor, nn

    from archspec.train.step import TrainStep, sgd

    recipe = recipe_of(**CASES[case])
    rates = (0.5 * np.linspace(1, 0.05, STEPS)).tolist()
    images, labels, weight, bias = data()
    ms.set_context(mode=ms.GRAPH_MODE)
    network = nn.Dense(FEATURES, CLASSES, weight_init=Tensor(weight), bias_init=Tensor(bias))
    step = TrainStep(network, sgd(network, recipe, rates), recipe, world=1)
    network.set_train(True)
    results = [step(Tensor(x), Tensor(y)) for x, y in zip(images, labels, strict=True)]
    parameters, losses, rights = by_hand(recipe, rates)
    assert np.abs(network.weight.asnumpy() - parameters[0]).max() <= 1e-5
    assert np.abs(network.bias.asnumpy() - parameters[1]).max() <= 1e-5
    np.testing.assert_allclose([float(loss.asnumpy()) for loss, _ in results], losses, rtol=1e-5)
    assert [float(right.asnumpy()) for _, right in results] == rights


def test_initial_weights_follow_from_the_seed():
    """Equal for the same seed, others for another."""
    prepare()
    import mindspore as ms
    from mindspore import nn

    from archspec.train.step import initialise

    def weights(seed):
        ms.set_seed(seed)
        network = nn.SequentialCell(nn.Conv2d(3, 8, 3, has_bias=False), nn.Dense(8, 4))
        initialise(network, recipe_of({}))
        return [p.asnumpy().tobytes() for p in network.get_parameters()]

    assert weights(3) == weights(3)
    assert weights(3)[0] != weights(4)[0]


@pytest.mark.parametrize(
    ("mode", "fan"), [("he_normal_fan_out", 64 * 9), ("he_normal_fan_in", 16 * 9)]
)
def test_convolutions_start_he_normal_and_the_classifier_he_uniform(mode, fan):
    """Variance 2 / fan (arXiv 1502.01852); the dense layer within 1 / sqrt(inputs), bias 0; norms as they are."""
    prepare()
    import mindspore as ms
    from mindspore import nn

    from archspec.train.step import initialise

    ms.set_seed(1)
    norm = nn.BatchNorm2d(64)
    network = nn.SequentialCell(nn.Conv2d(16, 64, 3, has_bias=False), norm, nn.Dense(64, 500))
    initialise(network, recipe_of({}, initialisation=mode))
    kernel, dense, bias = (
        p.asnumpy() for p in (network[0].weight, network[2].weight, network[2].bias)
    )
    assert kernel.std() == pytest.approx((2 / fan) ** 0.5, rel=0.05)
    assert abs(kernel.mean()) < 0.05 * kernel.std()
    assert np.abs(dense).max() <= 1 / 8
    assert dense.std() == pytest.approx(1 / 8 / 3**0.5, rel=0.05)
    assert not bias.any()
    assert (norm.gamma.asnumpy() == 1).all()
    assert not norm.beta.asnumpy().any()


def initial(recipe, *cells):
    """The cells' weights after initialisation."""
    import mindspore as ms
    from mindspore import nn

    from archspec.train.step import initialise

    ms.set_seed(1)
    network = nn.SequentialCell(*cells)
    initialise(network, recipe)
    return [cell.weight.asnumpy() for cell in cells]


def test_initial_values_are_bit_for_bit_those_of_mindcvs_initialisers():
    """`HeNormal(sqrt 5, fan_out, relu)` and `HeUniform(sqrt 5, fan_in, leaky_relu)`, drawn with the same seed."""
    prepare()
    import mindspore as ms
    from mindspore import nn
    from mindspore.common import initializer as init

    found = initial(recipe_of({}), nn.Conv2d(16, 64, 3, has_bias=False), nn.Dense(64, 500))
    ms.set_seed(1)
    theirs = (
        init.HeNormal(5**0.5, "fan_out", "relu"),
        init.HeUniform(5**0.5, "fan_in", "leaky_relu"),
    )
    for weight, values in zip(found, theirs, strict=True):
        expected = init.initializer(values, weight.shape, ms.float32).init_data().asnumpy()
        np.testing.assert_array_equal(weight, expected)


@pytest.mark.parametrize(
    ("mode", "grouped", "depthwise", "transposed"),
    [("he_normal_fan_out", 32 * 9, 9, 128 * 4), ("he_normal_fan_in", 16 * 9, 9, 64 * 4)],
)
def test_fans_are_counted_within_a_group_and_the_right_way_round(
    mode, grouped, depthwise, transposed
):
    """What an output reads or an input reaches: 64 -> 128 channels in 4 groups, one by one, and transposed."""
    prepare()
    from mindspore import nn

    weights = initial(
        recipe_of({}, initialisation=mode),
        nn.Conv2d(64, 128, 3, group=4, has_bias=False),
        nn.Conv2d(512, 512, 3, group=512, has_bias=False),
        nn.Conv2dTranspose(64, 128, 2, stride=2, has_bias=False),
    )
    for weight, fan in zip(weights, (grouped, depthwise, transposed), strict=True):
        assert weight.std() == pytest.approx((2 / fan) ** 0.5, rel=0.05)


def test_biases_of_convolutions_start_at_zero():
    """As all biases; MindSpore's own start is none of the published ones."""
    prepare()
    from mindspore import nn

    conv = nn.Conv2d(4, 8, 3, has_bias=True, bias_init="ones")
    initial(recipe_of({}), conv)
    assert not conv.bias.asnumpy().any()
