"""The network for evaluation gives what the emitted one gives."""

import numpy as np
import pytest

from archspec.runtime import prepare
from archspec.spec.load import load_spec

SPECS = {
    "a stem with a norm and a pool": ("densenet121", ["block_config=[1,1,1,1]"], (3, 32, 32)),
    "norms behind convolutions": ("vovnet39", [], (3, 64, 64)),
    "blocks of two branches": ("peleenet", [], (3, 64, 64)),
    "upsampling": (
        "fcdensenet103",
        ["growth_rate=4", "input.height=32", "input.width=32"],
        (3, 32, 32),
    ),
    "norms behind transposed convolutions": (
        "densenetbc_digits",
        [
            "block_config=[2,2]",
            "layer=[{conv_transpose: {width: k, kernel: 3, stride: 1, padding: 1}}, norm]",
        ],
        (1, 8, 8),
    ),
}


@pytest.fixture(scope="module")
def ms():
    prepare()
    import mindspore

    mindspore.set_context(mode=mindspore.GRAPH_MODE)
    return mindspore


def fill(ms, network, seed=0, lowest=0.2):
    """Give a network values as a trained one has them, its scales from `lowest` to 2; return
    them.
    """
    rng = np.random.default_rng(seed)
    for parameter in network.get_parameters():
        role = parameter.name.rpartition(".")[2]
        values = parameter.asnumpy()
        if role in ("beta", "moving_mean"):
            values = rng.normal(size=values.shape) / 10
        if role in ("gamma", "moving_variance"):
            values = rng.uniform(lowest if role == "gamma" else 0.5, 2.0, values.shape)
        parameter.set_data(ms.Tensor(values.astype(np.float32)))
    return {parameter.name: parameter.asnumpy() for parameter in network.get_parameters()}


def check_equal(ms, plain, folded, shape):
    images = ms.Tensor(np.random.default_rng(1).normal(size=(3, *shape)).astype(np.float32))
    expected, found = plain(images).asnumpy(), folded(images).asnumpy()
    # Rounding alone, of which each of a hundred layers adds some.
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5 * np.abs(expected).max())
    np.testing.assert_array_equal(found.argmax(axis=1), expected.argmax(axis=1))


def list_shifts(network):
    """What is left of the norms that are folded."""
    return [p.name for p in network.get_parameters() if p.name.endswith(".shift")]


def test_weights_that_change_give_what_the_emitted_network_gives_with_them(ms):
    """Of one compiled network, until a scale is below zero: then another one keeps that norm.
    Parameters have names of their own, by which a compiled graph finds them.
    """
    from archspec.train.engine.folded_network import FoldedNetwork
    from archspec.writers.mindspore.create_model import create_model

    spec = load_spec("densenetbc_digits", ["block_config=[1,1]", "growth_rate=4"])
    plain, judge = create_model(spec).set_train(False), FoldedNetwork(spec)
    first = judge.load(fill(ms, plain))
    check_equal(ms, plain, first, (1, 8, 8))
    names = [parameter.name for parameter in first.get_parameters()]
    assert len(set(names)) == len(names)
    assert "features.denseblock1.denselayer1.norm1.shift" in list_shifts(first)
    assert judge.load(fill(ms, plain, seed=1)) is first
    check_equal(ms, plain, first, (1, 8, 8))
    other = judge.load(fill(ms, plain, seed=2, lowest=-1.0))
    check_equal(ms, plain, other, (1, 8, 8))
    assert 0 < len(list_shifts(other)) < len(list_shifts(first))
    # What came back above zero may fall again: it is not compiled for that.
    assert judge.load(fill(ms, plain, seed=3)) is other
    check_equal(ms, plain, other, (1, 8, 8))


@pytest.mark.slow
@pytest.mark.parametrize("kind", SPECS)
def test_each_image_gets_the_same_logits(ms, kind):
    from archspec.train.engine.folded_network import make_folded_network
    from archspec.writers.mindspore.create_model import create_model

    name, overrides, shape = SPECS[kind]
    spec = load_spec(name, overrides)
    plain = create_model(spec).set_train(False)
    folded = make_folded_network(spec, fill(ms, plain))
    assert list_shifts(folded)
    check_equal(ms, plain, folded, shape)
