"""Initial values: those of the published networks, wherever the network is made."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from archspec.errors import SpecError
from archspec.graph.build import build_graph
from archspec.runtime import prepare
from archspec.spec.load import load_spec
from archspec.writers.mindspore.create_model import create_model, import_text
from archspec.writers.mindspore.module import write_module

SPEC = "densenetbc_digits"
KINDS = ("he_normal_fan_out", "he_normal_fan_in")


@pytest.fixture(scope="module")
def ms() -> Any:
    prepare()
    import mindspore

    return mindspore


def module() -> Any:
    """An emitted module, whose function serves any network."""
    graph = build_graph(load_spec(SPEC))
    return import_text(write_module(graph), graph.name)


def weights(network: Any) -> dict[str, Any]:
    return {parameter.name: parameter.asnumpy() for parameter in network.get_parameters()}


def initial(ms: Any, *cells: Any, kind: str = KINDS[0]) -> list[Any]:
    """The cells' weights after initialisation."""
    ms.set_seed(1)
    module().initialise(ms.nn.SequentialCell(*cells), kind)
    return [cell.weight.asnumpy() for cell in cells]


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_starts_alike_wherever_it_is_made(ms: Any, kind: str) -> None:
    """From Python, and as the saved module without this package;
    another seed gives other values.
    """
    ms.set_seed(3)
    ours = weights(create_model(SPEC, initialisation=kind))
    ms.set_seed(3)
    network = module().Network()
    if kind != KINDS[0]:
        module().initialise(network, kind)
    for name, value in weights(network).items():
        np.testing.assert_array_equal(value, ours[name])
    ms.set_seed(4)
    other = weights(create_model(SPEC, initialisation=kind))
    name = "features.conv0.weight"
    assert (other[name] != ours[name]).any()


@pytest.mark.parametrize("kind", KINDS)
def test_convolutions_start_he_normal_and_the_classifier_he_uniform(ms: Any, kind: str) -> None:
    """Variance 2 / fan (arXiv 1502.01852); the dense layer within 1 / sqrt(inputs),
    bias 0; norms as they are.
    """
    ms.set_seed(1)
    found = weights(create_model("densenet121", overrides=["input.height=32"], initialisation=kind))
    fan = {"he_normal_fan_out": 32 * 9, "he_normal_fan_in": 128 * 9}[kind]
    kernel = found["features.denseblock1.denselayer1.conv2.weight"]
    assert kernel.std() == pytest.approx((2 / fan) ** 0.5, rel=0.05)
    assert abs(kernel.mean()) < 0.05 * kernel.std()
    dense = found["classifier.weight"]
    assert np.abs(dense).max() <= 1 / 32
    assert dense.std() == pytest.approx(1 / 32 / 3**0.5, rel=0.05)
    assert not found["classifier.bias"].any()
    assert (found["features.norm5.gamma"] == 1).all()
    assert not found["features.norm5.beta"].any()


def test_initial_values_are_bit_for_bit_those_of_mindcvs_initialisers(ms: Any) -> None:
    """`HeNormal(sqrt 5, fan_out, relu)` and `HeUniform(sqrt 5, fan_in, leaky_relu)`,
    drawn with the same seed.
    """
    from mindspore.common import initializer as init

    nn = ms.nn
    found = initial(ms, nn.Conv2d(16, 64, 3, has_bias=False), nn.Dense(64, 500))
    ms.set_seed(1)
    theirs = (
        init.HeNormal(5**0.5, "fan_out", "relu"),
        init.HeUniform(5**0.5, "fan_in", "leaky_relu"),
    )
    for weight, values in zip(found, theirs, strict=True):
        expected = init.initializer(values, weight.shape, ms.float32).init_data().asnumpy()
        np.testing.assert_array_equal(weight, expected)


@pytest.mark.parametrize(
    ("kind", "grouped", "depthwise", "transposed"),
    [("he_normal_fan_out", 32 * 9, 9, 128 * 4), ("he_normal_fan_in", 16 * 9, 9, 64 * 4)],
)
def test_fans_are_counted_within_a_group_and_the_right_way_round(
    ms: Any, kind: str, grouped: int, depthwise: int, transposed: int
) -> None:
    """What an output reads or an input reaches:
    64 -> 128 channels in 4 groups, one by one, and transposed.
    """
    nn = ms.nn
    found = initial(
        ms,
        nn.Conv2d(64, 128, 3, group=4, has_bias=False),
        nn.Conv2d(512, 512, 3, group=512, has_bias=False),
        nn.Conv2dTranspose(64, 128, 2, stride=2, has_bias=False),
        kind=kind,
    )
    for weight, fan in zip(found, (grouped, depthwise, transposed), strict=True):
        assert weight.std() == pytest.approx((2 / fan) ** 0.5, rel=0.05)


def test_biases_of_convolutions_start_at_zero(ms: Any) -> None:
    """As all biases; MindSpore's own start is none of the published ones."""
    conv = ms.nn.Conv2d(4, 8, 3, has_bias=True, bias_init="ones")
    initial(ms, conv)
    assert not conv.bias.asnumpy().any()


def test_no_other_initialisation_is_taken_for_one_of_these(ms: Any) -> None:
    """A word that is none is told with those that are."""
    with pytest.raises(SpecError) as caught:
        create_model(SPEC, initialisation="xavier")  # type: ignore[arg-type]
    assert "S005 initialisation (=xavier) must be one of 'he_normal_fan_out' or" in str(
        caught.value
    )
