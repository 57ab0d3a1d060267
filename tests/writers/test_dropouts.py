"""What drops at random: masks of whole images,
channels or values in training, nothing in evaluation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from archspec.graph.ir import Graph, Op
from archspec.runtime import prepare
from archspec.writers.mindspore.create_model import create_network

RATE = 0.25
SHAPE = (400, 8, 2, 2)
SHARED: dict[str, tuple[int, ...]] = {"dropout": (), "dropout2d": (2, 3), "drop_path": (1, 2, 3)}
"""The dimensions that a mask has in common."""


@pytest.fixture(scope="module")
def ms() -> Iterator[Any]:
    prepare()
    import mindspore

    yield mindspore
    mindspore.set_context(mode=mindspore.PYNATIVE_MODE)


def network(kind: str, shape: tuple[int, ...]) -> Any:
    image = Op("image", "input", (), {"shape": shape})
    return create_network(Graph.of("drops", [image, Op("op", kind, ("image",), {"rate": RATE})]))


@pytest.mark.parametrize("kind", SHARED)
@pytest.mark.parametrize("mode", ["PYNATIVE_MODE", "GRAPH_MODE"])
def test_a_mask_drops_as_a_whole_and_its_gradient_is_the_mask(
    ms: Any, kind: str, mode: str
) -> None:
    """What is kept is scaled up by 1 / (1 - rate), about that share of it;
    evaluation changes nothing.
    """
    ms.set_seed(1)
    ms.set_context(mode=getattr(ms, mode))
    net = network(kind, SHAPE[1:])
    x = ms.Tensor(np.random.default_rng(0).uniform(1, 2, SHAPE).astype(np.float32))
    net.set_train(True)

    def total(images: Any) -> Any:
        return net(images).sum()

    made = net(x).asnumpy() / x.asnumpy()
    mask = made if not SHARED[kind] else made.max(SHARED[kind], keepdims=True)
    assert np.allclose(made, np.broadcast_to(mask, SHAPE), atol=1e-6)
    kept = mask > 0
    assert np.allclose(mask[kept], 1 / (1 - RATE))
    assert abs(kept.mean() - (1 - RATE)) < 4 * np.sqrt(RATE * (1 - RATE) / kept.size)
    value, gradient = ms.value_and_grad(total)(x)
    gradient = gradient.asnumpy()
    assert np.allclose((gradient * x.asnumpy()).sum(), value.asnumpy(), rtol=1e-4)
    assert {*np.unique(gradient.round(5))} == {0.0, np.float32(1 / (1 - RATE)).round(5)}
    assert np.array_equal(net.set_train(False)(x).asnumpy(), x.asnumpy())


@pytest.mark.parametrize("mode", ["PYNATIVE_MODE", "GRAPH_MODE"])
def test_a_vector_may_be_dropped_as_a_whole(ms: Any, mode: str) -> None:
    """Behind a `global_pool` an image is a vector."""
    ms.set_context(mode=getattr(ms, mode))
    net = network("drop_path", (6,)).set_train(True)
    made = net(ms.Tensor(np.ones((100, 6), np.float32))).asnumpy()
    assert {*made.min(1).round(5)} == {*made.max(1).round(5)} == {0.0, np.float32(4 / 3).round(5)}
