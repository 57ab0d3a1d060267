"""Every operator, rule and template in small networks:
graph mode and PyNative agree with a NumPy forward.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import oracle
import pytest
from writers.operator_networks import CASES, IN_TEST_MODULE, OF_TRAINING, graph_of

from archspec.operators.table import OPERATORS
from archspec.runtime import prepare
from archspec.writers.mindspore.create_model import create_network
from archspec.writers.mindspore.module import write_module

TOLERANCE = 1e-5
BESIDE_TORCH = (
    "elu",
    "elu of another alpha",
    "mish",
    "tanh",
    "softplus",
    "sharper softplus",
    "hard tanh",
    "instance norm",
    "rms norm",
    "scales of vectors",
    "maxima of all pixels",
    "bilinear with aligned corners",
)
"""test_operators_of_torch.py has these operators in both modes: networks of them are slow."""
OTHERS = [case for case in CASES if case not in BESIDE_TORCH]
SLOW = [pytest.param(case, marks=pytest.mark.slow) for case in BESIDE_TORCH]


@pytest.fixture(scope="module")
def ms() -> Iterator[Any]:
    prepare()
    import mindspore

    yield mindspore
    mindspore.set_context(mode=mindspore.PYNATIVE_MODE)


def outputs(ms: Any, network: Any, images: Any, mode: int) -> list[Any]:
    ms.set_context(mode=mode)
    made = network.set_train(False)(ms.Tensor(images))
    return [each.asnumpy() for each in (made if isinstance(made, tuple) else (made,))]


@pytest.mark.parametrize("case", [*OTHERS, *SLOW])
def test_a_network_of_it_computes_what_its_graph_says(
    ms: Any, case: str, as_ruff_has_it: Any
) -> None:
    """Equal bits in both modes, near the NumPy forward;
    parameters by the graph's names; a text as ruff has it.
    """
    graph = graph_of(**CASES[case])
    network, parameters = create_network(graph), oracle.random_parameters(graph.ops.values(), 0)
    given = {name: ms.Parameter(value, name=name) for name, value in parameters.items()}
    assert ms.load_param_into_net(network, given) == ([], [])
    images = (
        np.random.default_rng(1)
        .normal(0, 4, (2, *graph.ops["input"].attrs["shape"]))
        .astype(np.float32)
    )
    made = dict(zip(graph.ops, oracle.values(graph.ops.values(), parameters, images), strict=True))
    eager, compiled = (
        outputs(ms, network, images, mode) for mode in (ms.PYNATIVE_MODE, ms.GRAPH_MODE)
    )
    for name, one, other in zip(graph.outputs, eager, compiled, strict=True):
        assert oracle.distance(one, made[name]) <= TOLERANCE
        assert oracle.distance(other, made[name]) <= TOLERANCE
        assert np.array_equal(one, other)
    text = write_module(graph)
    as_ruff_has_it(text)


def test_every_kind_of_operator_stands_in_one_of_these_networks() -> None:
    """So that an operator that is new cannot be forgotten;
    test_module.py has the activations that are missing.
    """
    kinds = {op.kind for case in CASES.values() for op in graph_of(**case).ops.values()}
    elsewhere = {*IN_TEST_MODULE, *OF_TRAINING, "output"}
    assert kinds | elsewhere == set(OPERATORS)


def test_blocks_that_differ_in_widths_alone_share_a_class() -> None:
    """Also in those of their layers, of a share of the input, and of what is cut out."""
    for case, classes in (("layers of two widths", 1), ("uneven growth", 3), ("skips", 2)):
        text = write_module(graph_of(**CASES[case]))
        assert text.count("\nclass DenseBlock") == classes, text
        assert text.count("\nclass DenseLayer") == 1
