"""Several networks as one: MindSpore takes about half a second to compile any, however small."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import oracle

from archspec.graph.ir import Graph
from archspec.writers.mindspore.create_model import create_network

Array = Any


def filled(ms: Any, graph: Graph, seed: int = 0) -> tuple[Any, dict[str, Array]]:
    """The emitted network with random weights and statistics, and these."""
    network, parameters = create_network(graph), oracle.random_parameters(graph.ops.values(), seed)
    given = {name: ms.Parameter(value, name=name) for name, value in parameters.items()}
    assert ms.load_param_into_net(network, given) == ([], [])
    return network, parameters


def images_for(graph: Graph, batch: int = 2) -> Array:
    """Random ones, so large that a ReLU6 has to cut."""
    shape = graph.ops[graph.inputs[0]].attrs["shape"]
    return np.random.default_rng(1).normal(0, 4, (batch, *shape)).astype(np.float32)


def outputs(given: Any) -> list[Array]:
    """What a network gives, one output or several."""
    return [each.asnumpy() for each in (given if isinstance(given, tuple) else (given,))]


def run_compiled(ms: Any, networks: Sequence[Any], images: Sequence[Array]) -> list[list[Array]]:
    """What each network gives of its images in evaluation and graph mode, all compiled at once. The
    parameters of several have other names afterwards.
    """

    class Together(ms.nn.Cell):
        def __init__(self, networks: Any) -> None:
            super().__init__()
            self.networks = ms.nn.CellList(networks)

        def construct(self, *images: Any) -> Any:
            made = ()
            for network, x in zip(self.networks, images):  # noqa: B905 - MindSpore knows no strict
                made = (*made, network(x))
            return made

    ms.set_context(mode=ms.GRAPH_MODE)
    given = Together(list(networks)).set_train(False)(*map(ms.Tensor, images))
    return list(map(outputs, given))


def assert_each_computes_what_its_graph_says(
    ms: Any, graphs: dict[str, Graph], tolerance: float, is_compiled: bool = True
) -> None:
    """Near the NumPy forward, each output, with equal bits where it is compiled; parameters by the
    graph's names.
    """
    made = [filled(ms, graph) for graph in graphs.values()]
    networks, images = [network for network, _ in made], [*map(images_for, graphs.values())]
    ms.set_context(mode=ms.PYNATIVE_MODE)
    pairs = zip(networks, images, strict=True)
    eager = [outputs(network.set_train(False)(ms.Tensor(x))) for network, x in pairs]
    compiled = run_compiled(ms, networks, images) if is_compiled else eager
    for number, (case, graph) in enumerate(graphs.items()):
        values = oracle.values(graph.ops.values(), made[number][1], images[number])
        right = dict(zip(graph.ops, values, strict=True))
        found = zip(graph.outputs, eager[number], compiled[number], strict=True)
        for name, one, other in found:
            place = f"{name} of {case}"
            assert oracle.distance(one, right[name]) <= tolerance, place
            assert oracle.distance(other, right[name]) <= tolerance, place
            assert np.array_equal(one, other), place


def in_groups(names: Sequence[str], size: int) -> list[list[str]]:
    """The names, so many together."""
    return [[*names[start : start + size]] for start in range(0, len(names), size)]
