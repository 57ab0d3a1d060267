"""Operators by themselves, as the module writes them, give the values and gradients that PyTorch was seen to give.

In graph mode and in PyNative; what is recorded is told in tests/test_oracle.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import oracle
import pytest
from test_oracle import CASES, recorded

from archspec.graph.ir import Graph, Op
from archspec.operators.table import OPERATORS
from archspec.runtime import prepare
from archspec.writers.mindspore.load import network_of

KNOWN = [case for case, said in CASES.items() if said["kind"] in OPERATORS]
"""All that the table has; the record is of some that are to come."""
VALUES, GRADIENTS = 5e-6, 2e-5


@pytest.fixture(scope="module")
def ms() -> Iterator[Any]:
    prepare()
    import mindspore

    yield mindspore
    mindspore.set_context(mode=mindspore.PYNATIVE_MODE)


def network(case: str, shape: tuple[int, ...]) -> Any:
    said = CASES[case]
    image = Op("image", "input", (), {"shape": shape})
    op = Op("op", said["kind"], ("image",), said["attrs"])
    return network_of(Graph.of("recorded", [image, op]))


@pytest.mark.parametrize("case", KNOWN)
def test_values_and_gradients_are_those_of_pytorch(ms: Any, case: str) -> None:
    """Of the input and of each weight."""
    both = recorded(case)
    net = network(case, both["x"].shape[2:]).set_train(False)
    x, sent_back = (ms.Tensor(values.astype(np.float32)) for values in (both["x"][0], both["y"][1]))
    given = {role: both[role][0].astype(np.float32) for role in CASES[case]["roles"]}
    weights = {f"op.{role}": ms.Parameter(given[role], name=f"op.{role}") for role in given}
    assert ms.load_param_into_net(net, weights) == ([], [])
    trained = [parameter for parameter in net.get_parameters() if parameter.name in weights]
    assert {parameter.name for parameter in trained} == {*weights}

    def total(images: Any) -> Any:
        return (net(images) * sent_back).sum()

    for mode in (ms.PYNATIVE_MODE, ms.GRAPH_MODE):
        ms.set_context(mode=mode)
        assert oracle.distance(net(x).asnumpy(), both["y"][0]) < VALUES
        gradients = ms.grad(total, 0, trained or None)(x)
        of_x, *others = [gradients] if not trained else [gradients[0], *gradients[1]]
        assert oracle.distance(of_x.asnumpy(), both["x"][1]) < GRADIENTS
        for parameter, gradient in zip(trained, others, strict=True):
            expected = both[parameter.name.removeprefix("op.")][1]
            assert np.abs(gradient.asnumpy() - expected).max() <= GRADIENTS * max(
                np.abs(expected).max(), 1
            )
