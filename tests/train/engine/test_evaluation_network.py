"""Networks to judge by hold the very parameters that are trained elsewhere."""

import numpy as np
import pytest

from archspec.runtime import prepare
from archspec.spec.load import load_spec
from archspec.train.recipe.recipe import load_recipe

TINY = ["block_config=[1,1]", "growth_rate=4", "stem.channels=4"]


@pytest.fixture(scope="module")
def ms():
    prepare()
    import mindspore

    mindspore.set_context(mode=mindspore.GRAPH_MODE)
    return mindspore


@pytest.mark.slow
def test_a_network_trained_in_half_precision_is_judged_in_full(ms):
    """`val_amp: O0` gives what a network without amp gives with the same values, before and after
    an update; `same` what the trained network gives.
    """
    from archspec.train.engine.evaluation_network import make_evaluation_network
    from archspec.train.engine.optimizers import make_optimizer
    from archspec.train.engine.step import TrainStep
    from archspec.writers.mindspore.create_model import create_model

    spec = load_spec("densenetbc_digits", TINY)
    full = load_recipe("digits", ["amp=O2", "val_amp=O0"])
    network = ms.amp.auto_mixed_precision(create_model(spec), "O2").set_train(True)
    parameters = {p.name: p for p in network.get_parameters()}
    assert {p.dtype for p in parameters.values()} == {ms.float32}
    judge = make_evaluation_network(spec, full, parameters)
    rng = np.random.default_rng(0)
    images = ms.Tensor(rng.normal(size=(8, 1, 8, 8)).astype(np.float32))
    labels = ms.Tensor(rng.integers(10, size=8).astype(np.int32))
    first = judge(images).asnumpy()
    step = TrainStep(network, make_optimizer(network, full, [0.1] * 4), full, world=1)
    step(images, labels)
    found = judge(images).asnumpy()
    plain = create_model(spec).set_train(False)
    for parameter in plain.get_parameters():
        parameter.set_data(parameters[parameter.name].value())
    np.testing.assert_array_equal(found, plain(images).asnumpy())
    assert np.abs(found - first).max() > 1e-3
    half = network.set_train(False)(images).asnumpy()
    np.testing.assert_allclose(half, found, atol=0.05)
    assert (half != found).any()
    network.set_train(True)
    assert not judge.training


def test_averages_are_judged_as_a_network_of_their_own(ms):
    """With their values after each update, while the trained network keeps its own."""
    from archspec.train.engine.evaluation_network import make_evaluation_network
    from archspec.train.engine.optimizers import make_optimizer
    from archspec.train.engine.step import TrainStep
    from archspec.writers.mindspore.create_model import create_model

    spec = load_spec("densenetbc_digits", TINY)
    recipe = load_recipe("digits", ["ema={decay: 0.5, warmup: false}"])
    network = create_model(spec).set_train(True)
    step = TrainStep(network, make_optimizer(network, recipe, [0.1] * 4), recipe, world=1)
    judge = make_evaluation_network(spec, recipe, step.averages())
    rng = np.random.default_rng(0)
    images = ms.Tensor(rng.normal(size=(8, 1, 8, 8)).astype(np.float32))
    labels = ms.Tensor(rng.integers(10, size=8).astype(np.int32))
    judge(images)
    step(images, labels)
    plain = create_model(spec).set_train(False)
    for parameter in plain.get_parameters():
        parameter.set_data(step.averages()[parameter.name].value())
    np.testing.assert_array_equal(judge(images).asnumpy(), plain(images).asnumpy())
    own = {p.name: p.asnumpy() for p in network.get_parameters()}
    assert any((own[name] != p.asnumpy()).any() for name, p in step.averages().items())
