"""Twenty steps of ours, and of a plain loop that follows MindCV's and
the paper's rules to the letter.

The loop shares nothing with the package: another network with the same weights
(tests/handwritten.py), the loss from its definition, rates from their formula,
and the parameters updated in NumPy.
"""

import math

import numpy as np
import pytest

from archspec.runtime import prepare
from archspec.spec.load import load_spec
from archspec.train.recipe.recipe import load_recipe
from archspec.train.recipe.schedule import learning_rates

STEPS, STEPS_PER_EPOCH, EPOCHS = 20, 4, 5
IMAGES, CLASSES, PIXELS = 8, 5, 32
WIDTHS = ["growth_rate=4", "block_config=[2, 2]", "stem.channels=8"]
SIZES = [f"head.num_classes={CLASSES}", f"input.height={PIXELS}", f"input.width={PIXELS}"]
# In float32 two orders of the same sum differ by 1e-7 of it; twenty steps carry such a difference
# on and enlarge it.
# Measured: losses 1.5e-7, parameters 5e-7 (of 1, or of the tensor's largest value), gradients 3e-6.
LOSS_TOLERANCE, PARAMETER_TOLERANCE, GRADIENT_TOLERANCE = 2e-6, 3e-6, 1e-5


def cosine(step):
    """MindCV, scheduler/dynamic_lr.py, cosine_decay_refined_lr:
    from 0.1 to 0, stepped every iteration.
    """
    return 0.0 + 0.5 * (0.1 - 0.0) * (1 + math.cos(math.pi * (step / STEPS_PER_EPOCH) / EPOCHS))


def divided(step):
    """The paper, section 4.2: 0.1, divided by 10 at 50 % and again at 75 % of the epochs."""
    done = step / STEPS
    return 0.1 if done < 0.5 else 0.01 if done < 0.75 else 0.001


def momentum_update(values, gradient, velocity, rate):
    """MindSpore's nn.Momentum, as MindCV calls it:
    v <- 0.9 v + g, p <- p - rate v, with g = gradient + 1e-4 p.
    """
    velocity = 0.9 * velocity + gradient + 1e-4 * values
    return values - rate * velocity, velocity


def nesterov_update(values, gradient, velocity, rate):
    """Sutskever et al. 2013 in Torch's form: v <- 0.9 v + g,
    p <- p - rate (g + 0.9 v), without dampening.
    """
    gradient = gradient + 1e-4 * values
    velocity = 0.9 * velocity + gradient
    return values - rate * (gradient + 0.9 * velocity), velocity


RULES = {
    "imagenet_ascend": ("HandwrittenDenseNet", "densenet121", 0.1, cosine, momentum_update),
    "cifar_paper": ("HandwrittenCifarDenseNet", "densenetbc100_k12", 0.0, divided, nesterov_update),
}
"""Of each recipe: the hand-written network, the spec, label smoothing,
rate and update, all as published."""


@pytest.fixture(scope="module")
def ms():
    prepare()
    import mindspore

    yield mindspore
    mindspore.set_context(mode=mindspore.PYNATIVE_MODE)


def data():
    rng = np.random.default_rng(5)
    images = rng.normal(size=(STEPS, IMAGES, 3, PIXELS, PIXELS)).astype(np.float32)
    return images, rng.integers(CLASSES, size=(STEPS, IMAGES)).astype(np.int32)


def with_weights_of(ours, theirs):
    """The hand-written network with a copy of ours' parameters."""
    import mindspore
    from handwritten import our_name

    values = {parameter.name: parameter.asnumpy() for parameter in ours.get_parameters()}
    named = {
        p.name: mindspore.Parameter(values[our_name(p.name)].copy())
        for p in theirs.get_parameters()
    }
    assert len(named) == len(values)
    assert mindspore.load_param_into_net(theirs, named) == ([], [])
    return theirs


def smoothed_loss(network, smoothing, classes):
    """Mean over the batch of -sum t log softmax,
    t = 1 - e for the class and e / C more for each (1512.00567).
    """
    from mindspore import ops

    def loss(images, labels):
        logits = network(images)
        shifted = logits - logits.max(axis=1, keepdims=True)
        logs = shifted - ops.log(ops.exp(shifted).sum(axis=1, keepdims=True))
        return -(labels * logs).sum(axis=1).mean()

    def targets(labels):
        return (np.eye(classes)[labels] * (1 - smoothing) + smoothing / classes).astype(np.float32)

    return loss, targets


def plain_loop(ms, network, smoothing, rate, update):
    """Train on the data and return the losses; the parameters are left in the network.

    In graph mode `value_and_grad` of a function that is no cell would keep
    the weights of its first call.
    """
    ms.set_context(mode=ms.PYNATIVE_MODE)
    loss, targets = smoothed_loss(network, smoothing, CLASSES)
    weights = network.trainable_params()
    network.set_train(True)
    gradient = ms.value_and_grad(loss, None, weights)
    values = [weight.asnumpy().astype(np.float64) for weight in weights]
    velocities = [np.zeros_like(value) for value in values]
    losses = []
    for step, (images, labels) in enumerate(zip(*data(), strict=True)):
        found, gradients = gradient(ms.Tensor(images), ms.Tensor(targets(labels)))
        losses.append(float(found.asnumpy()))
        for i, weight in enumerate(weights):
            values[i], velocities[i] = update(
                values[i], gradients[i].asnumpy(), velocities[i], rate(step)
            )
            weight.set_data(ms.Tensor(values[i].astype(np.float32)))
    return losses


def ours_under(ms, recipe, spec):
    """Our network with the recipe's initial values, and its step."""
    from archspec.train.engine.optimizers import make_sgd
    from archspec.train.engine.step import TrainStep
    from archspec.writers.mindspore.create_model import create_model

    ms.set_context(mode=ms.GRAPH_MODE)
    ms.set_seed(11)
    network = create_model(spec, initialisation=recipe.initialisation)
    network.set_train(True)
    rates = learning_rates(recipe.schedule, epochs=EPOCHS, steps_per_epoch=STEPS_PER_EPOCH)
    return network, TrainStep(network, make_sgd(network, recipe, rates), recipe, world=1)


@pytest.mark.parametrize("name", RULES)
def test_rates_are_those_of_the_published_rule(name):
    """Of all twenty steps."""
    schedule = load_recipe(name).schedule
    expected = [RULES[name][3](step) for step in range(STEPS)]
    found = learning_rates(schedule, epochs=EPOCHS, steps_per_epoch=STEPS_PER_EPOCH)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=0)


def parameters(network, names=lambda name: name):
    """A copy of each parameter and moving statistic."""
    return {
        names(parameter.name): parameter.asnumpy().copy() for parameter in network.get_parameters()
    }


@pytest.mark.parametrize(
    "name", ["imagenet_ascend", pytest.param("cifar_paper", marks=pytest.mark.slow)]
)
def test_twenty_steps_of_a_recipe_are_those_of_a_plain_loop(ms, name):
    """The loss of every step; after the last, all weights, gammas, betas,
    biases and moving statistics.
    """
    import handwritten

    peer, spec_name, smoothing, rate, update = RULES[name]
    recipe = load_recipe(name, ["amp=O0", f"epochs={EPOCHS}", f"batch_size={IMAGES}"])
    ours, step = ours_under(ms, recipe, load_spec(spec_name, [*WIDTHS, *SIZES]))
    theirs = with_weights_of(ours, getattr(handwritten, peer)(4, (2, 2), 8, CLASSES))
    before = parameters(ours)
    losses = [
        float(step(ms.Tensor(x), ms.Tensor(y))[0].asnumpy()) for x, y in zip(*data(), strict=True)
    ]
    expected_losses = plain_loop(ms, theirs, smoothing, rate, update)
    np.testing.assert_allclose(losses, expected_losses, rtol=LOSS_TOLERANCE)
    found, expected = parameters(ours), parameters(theirs, handwritten.our_name)
    assert found.keys() == expected.keys()
    for own, value in expected.items():
        error = np.abs(found[own] - value).max()
        assert error <= PARAMETER_TOLERANCE * max(1, np.abs(value).max()), own
        assert np.abs(value - before[own]).max() > 50 * PARAMETER_TOLERANCE, own


@pytest.mark.slow
def test_gradients_of_densenet121_are_those_of_the_handwritten_network(ms):
    """Each tensor's to 1e-5 of its largest value, under label smoothing and a loss scale of 1024.

    The first norm's scale and shift are undone by the norms that read them: what is left of their
    gradients is the difference of large terms,
    so they are held to the largest gradient of all instead.
    """
    import handwritten

    recipe = load_recipe("imagenet_ascend", ["amp=O0"])
    sizes = ["input.height=64", "input.width=64"]
    ours, step = ours_under(ms, recipe, load_spec("densenet121", sizes))
    theirs = with_weights_of(
        ours, handwritten.HandwrittenDenseNet(*handwritten.VARIANTS["densenet121"])
    )
    rng = np.random.default_rng(5)
    images = ms.Tensor(rng.normal(size=(2, 3, 64, 64)).astype(np.float32))
    labels = rng.integers(1000, size=2).astype(np.int32)
    _, found = step.gradient(images, ms.Tensor(labels))
    found = {
        p.name: g.asnumpy() / 1024 for p, g in zip(step.optimizer.parameters, found, strict=True)
    }
    ms.set_context(mode=ms.PYNATIVE_MODE)
    loss, targets = smoothed_loss(theirs.set_train(True), recipe.label_smoothing, 1000)
    weights = theirs.trainable_params()
    _, gradients = ms.value_and_grad(loss, None, weights)(images, ms.Tensor(targets(labels)))
    expected = {
        handwritten.our_name(w.name): g.asnumpy() for w, g in zip(weights, gradients, strict=True)
    }
    assert found.keys() == expected.keys()
    largest = {name: float(np.abs(value).max()) for name, value in expected.items()}
    largest |= dict.fromkeys(
        ("features.norm0.gamma", "features.norm0.beta"), max(largest.values()) / 10
    )
    wrong = {
        name: np.abs(found[name] - value).max() / largest[name] for name, value in expected.items()
    }
    assert max(wrong.values()) <= GRADIENT_TOLERANCE, wrong


@pytest.mark.slow
def test_a_step_in_half_precision_stays_close_to_one_in_full(ms):
    """`amp: O2` with the recipe's loss scale runs on a CPU:
    losses within 1 %, weights kept in float32.
    """
    from archspec.train.engine.optimizers import make_sgd
    from archspec.train.engine.step import TrainStep
    from archspec.writers.mindspore.create_model import create_model

    losses = {}
    for amp in ("O0", "O2"):
        recipe = load_recipe("imagenet_ascend", [f"amp={amp}"])
        ms.set_context(mode=ms.GRAPH_MODE)
        ms.set_seed(11)
        network = create_model(load_spec("densenet121", [*WIDTHS, *SIZES]))
        network = ms.amp.auto_mixed_precision(network.set_train(True), amp)
        step = TrainStep(network, make_sgd(network, recipe, [0.1] * STEPS), recipe, world=1)
        losses[amp] = [
            float(step(ms.Tensor(x), ms.Tensor(y))[0].asnumpy())
            for x, y in zip(*data(), strict=True)
        ][:5]
        assert {parameter.dtype for parameter in network.get_parameters()} == {ms.float32}
    np.testing.assert_allclose(losses["O2"], losses["O0"], rtol=0.01)
    assert losses["O2"] != losses["O0"]
