"""The shipped relatives of DenseNet: their text, their forward pass, and that they learn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import oracle
import pytest

from archspec.graph.build import build_graph
from archspec.graph.ir import Graph
from archspec.runtime import prepare
from archspec.spec.catalogue import shipped
from archspec.spec.load import load_spec
from archspec.writers.mindspore.create_model import create_network
from archspec.writers.mindspore.module import write_module

TOLERANCE = 1e-5
RELATIVES = (
    "peleenet",
    "cspdensenet121",
    "fcdensenet103",
    "hardnet39ds",
    "hardnet68",
    "sparsenet40_k24",
    "vovnet39",
)
LONGEST = 270


def quick_one_first(names: tuple[str, ...]) -> list[Any]:
    return [names[0], *(pytest.param(name, marks=pytest.mark.slow) for name in names[1:])]


@pytest.fixture(scope="module")
def ms() -> Iterator[Any]:
    prepare()
    import mindspore

    mindspore.set_context(mode=mindspore.GRAPH_MODE)
    yield mindspore
    mindspore.set_context(mode=mindspore.PYNATIVE_MODE)


def small(name: str) -> Graph:
    """The network for images of at most 64 x 64 pixels."""
    size = min(64, load_spec(name).input.height)
    return build_graph(load_spec(name, {"input.height": size, "input.width": size}))


def images(ms: Any, graph: Graph, batch: int) -> Any:
    shape = (batch, *graph.ops["input"].attrs["shape"])
    return ms.Tensor(np.random.default_rng(0).normal(size=shape).astype(np.float32))


@pytest.mark.parametrize("name", shipped())
def test_the_module_of_every_shipped_spec_is_as_ruff_would_have_it(
    name: str, as_ruff_has_it: Any
) -> None:
    """Of a length that a person reads, no class unused,
    and nothing imported but MindSpore's and Python's own.
    """
    text = write_module(build_graph(load_spec(name)))
    as_ruff_has_it(text)
    lines = text.splitlines()
    assert len(lines) <= LONGEST
    assert max(map(len, lines)) <= 88
    imports = [line for line in lines if "import " in line]
    allowed = (
        "import math",
        "from collections import OrderedDict",
        "from mindspore import nn, ops",
        "from mindspore.common.initializer import HeUniform, Normal, initializer",
    )
    assert set(imports) <= set(allowed)
    for line in lines:
        if line.startswith("class "):
            used = line.removeprefix("class ").partition("(")[0]
            assert used == "Network" or text.count(f"{used}(") > 1


@pytest.mark.parametrize("name", quick_one_first(RELATIVES))
def test_a_relative_computes_what_its_graph_says(ms: Any, name: str) -> None:
    """The whole network on small images, in both modes, against the NumPy forward."""
    graph = small(name)
    network, parameters = create_network(graph), oracle.random_parameters(graph.ops.values(), 0)
    given = {key: ms.Parameter(value, name=key) for key, value in parameters.items()}
    assert ms.load_param_into_net(network, given) == ([], [])
    x = images(ms, graph, 2)
    expected = oracle.forward(graph.ops.values(), parameters, x.asnumpy())
    found = []
    for mode in (ms.PYNATIVE_MODE, ms.GRAPH_MODE):
        ms.set_context(mode=mode)
        found.append(network.set_train(False)(x).asnumpy())
        assert oracle.distance(found[-1], expected) <= TOLERANCE
    assert np.array_equal(*found)


@pytest.mark.slow
@pytest.mark.parametrize("name", RELATIVES)
def test_training_lowers_the_loss_of_a_relative(ms: Any, name: str) -> None:
    """Of four images that it sees again and again; every gradient is finite and none is nothing."""
    from mindspore import nn, ops

    ms.set_context(mode=ms.GRAPH_MODE)
    ms.set_seed(1)
    graph = small(name)
    network = create_network(graph).set_train(True)
    parameters = ms.ParameterTuple(network.trainable_params())
    optimizer = nn.Momentum(parameters, learning_rate=0.02, momentum=0.9)
    x = images(ms, graph, 4)
    labels = ms.Tensor(np.arange(4) % 3, ms.int32)

    def loss_of(batch: Any) -> Any:
        logits = network(batch)
        logits = logits.mean((2, 3)) if logits.ndim == 4 else logits
        return ops.cross_entropy(logits, labels)

    gradient = ms.value_and_grad(loss_of, None, parameters)
    losses = []
    for _ in range(6):
        loss, gradients = gradient(x)
        assert all(np.isfinite(each.asnumpy()).all() for each in gradients)
        losses.append(float(loss.asnumpy()))
        optimizer(gradients)
    assert losses[-1] < losses[0]
