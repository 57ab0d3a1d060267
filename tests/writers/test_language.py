"""Random networks over the whole language: what MindSpore runs of a spec is what its graph says.

Shapes and values are compared with a NumPy forward, in both modes: two places that each know a
default, of a padding or of an order, are found out here whichever setting it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import oracle
import pytest
from hypothesis import HealthCheck, given, reject, settings
from pydantic import ValidationError
from spec.language import specs

from archspec.errors import GraphError
from archspec.graph.build import build_graph
from archspec.graph.ir import Graph
from archspec.graph.shapes import infer_shapes
from archspec.runtime import prepare
from archspec.spec.spec import Spec
from archspec.writers.mindspore.create_model import create_model

TOLERANCE = 1e-4
"""Of norms over few values with a tiny eps; an error of a setting is larger by far."""
RANDOM = settings(
    deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


@pytest.fixture(scope="module")
def ms() -> Iterator[Any]:
    prepare()
    import mindspore

    yield mindspore
    mindspore.set_context(mode=mindspore.PYNATIVE_MODE)


def spec_of(values: dict[str, Any]) -> Spec:
    """The spec of values that are one; hypothesis draws anew where they are none."""
    try:
        spec = Spec.model_validate(values)
        build_graph(spec)
    except (GraphError, ValidationError):
        reject()
    return spec


def outputs(ms: Any, network: Any, images: Any, mode: int) -> list[Any]:
    ms.set_context(mode=mode)
    found = network.set_train(False)(ms.Tensor(images))
    return [each.asnumpy() for each in (found if isinstance(found, tuple) else (found,))]


def expected(graph: Graph, parameters: dict[str, Any], images: Any) -> list[Any]:
    made = oracle.values(graph.ops.values(), parameters, images)
    return [value for name, value in zip(graph.ops, made, strict=True) if name in graph.outputs]


def computes_what_its_graph_says(ms: Any, spec: Spec, modes: tuple[int, ...]) -> None:
    graph, network = build_graph(spec), create_model(spec)
    parameters = oracle.random_parameters(graph.ops.values(), 0)
    given_ones = {name: ms.Parameter(value, name=name) for name, value in parameters.items()}
    assert ms.load_param_into_net(network, given_ones) == ([], [])
    shape = graph.ops[graph.inputs[0]].attrs["shape"]
    images = np.random.default_rng(1).normal(size=(2, *shape)).astype(np.float32)
    wanted, (shapes, _) = expected(graph, parameters, images), infer_shapes(graph)
    assert [value.shape[1:] for value in wanted] == [shapes[name] for name in graph.outputs]
    for mode in modes:
        found = outputs(ms, network, images, mode)
        assert [value.shape for value in found] == [value.shape for value in wanted]
        for ours, theirs in zip(found, wanted, strict=True):
            scale = np.abs(theirs).max() or 1.0
            assert np.abs(ours - theirs).max() <= TOLERANCE * scale


@settings(RANDOM, max_examples=4)
@given(values=specs())
def test_any_network_computes_what_its_graph_says(ms: Any, values: dict[str, Any]) -> None:
    """Shapes and values, run line by line and compiled."""
    computes_what_its_graph_says(ms, spec_of(values), (ms.PYNATIVE_MODE, ms.GRAPH_MODE))


@pytest.mark.slow
@settings(RANDOM, max_examples=400)
@given(values=specs())
def test_many_networks_compute_what_their_graphs_say(ms: Any, values: dict[str, Any]) -> None:
    """Line by line alone, which takes a tenth of the time."""
    computes_what_its_graph_says(ms, spec_of(values), (ms.PYNATIVE_MODE,))
