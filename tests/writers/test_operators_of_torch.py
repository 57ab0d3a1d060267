"""An operator's emitted text computes what PyTorch does, forward and backward, in both modes.

tests/test_oracle.py says what was recorded.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import oracle
import pytest
from test_oracle import CASES, recorded

from archspec.compare.compare import compare
from archspec.graph.ir import Graph, Op
from archspec.readers.mindir.read import read_mindir
from archspec.runtime import prepare
from archspec.writers.mindspore.create_model import create_network
from archspec.writers.mindspore.export_mindir import export_mindir

TOLERANCE = 1e-6
"""Relative to the largest value, of float32."""


def is_emitted(case: str) -> bool:
    """Whether the language has it: a softplus has no threshold of its own there."""
    return CASES[case]["attrs"].get("threshold", 20) == 20


KNOWN = [case for case in CASES if is_emitted(case)]


@pytest.fixture(scope="module")
def ms() -> Iterator[Any]:
    prepare()
    import mindspore

    yield mindspore
    mindspore.set_context(mode=mindspore.PYNATIVE_MODE)


def graph_of(case: str) -> Graph:
    """The operator alone."""
    attrs = {key: value for key, value in CASES[case]["attrs"].items() if key != "threshold"}
    image = Op("input", "input", (), {"shape": recorded(case)["x"].shape[2:]})
    return Graph.of("one", [image, Op("op", CASES[case]["kind"], ("input",), attrs)])


@pytest.mark.parametrize("mode", ["PYNATIVE_MODE", "GRAPH_MODE"])
@pytest.mark.parametrize("case", KNOWN)
def test_its_text_gives_the_values_and_gradients_of_pytorch(ms: Any, case: str, mode: str) -> None:
    """Of the input and of each weight."""
    ms.set_context(mode=getattr(ms, mode))
    both, network = recorded(case), create_network(graph_of(case))
    for role in CASES[case]["roles"]:
        network.parameters_dict()[f"op.{role}"].set_data(ms.Tensor(both[role][0].astype("f4")))
    x, sent_back = (ms.Tensor(both[role][at].astype("f4")) for role, at in (("x", 0), ("y", 1)))
    assert oracle.distance(network(x).asnumpy(), both["y"][0]) < TOLERANCE
    weights = list(network.trainable_params())

    def sent(x: Any) -> Any:
        return (network(x) * sent_back).sum()

    sums = ms.grad(sent, 0, weights or None)(x)
    of_x, of_weights = sums if weights else (sums, ())
    assert oracle.distance(of_x.asnumpy(), both["x"][1]) < TOLERANCE
    for weight, gradient in zip(weights, of_weights, strict=True):
        right = both[weight.name.rpartition(".")[2]][1]
        assert oracle.distance(gradient.asnumpy(), right) < TOLERANCE


@pytest.mark.parametrize("batch", [pytest.param(2, marks=pytest.mark.slow), None])
@pytest.mark.parametrize("case", [case for case in KNOWN if recorded(case)["x"].ndim == 5])
def test_its_exported_file_is_read_as_it(
    ms: Any, case: str, batch: int | None, tmp_path: Path
) -> None:
    """With a fixed and a free batch."""
    graph, file = graph_of(case), tmp_path / "one.mindir"
    shape = graph.ops["input"].attrs["shape"]
    export_mindir(create_network(graph), shape, file, batch=batch)
    compared = compare(graph, read_mindir(file))
    assert [str(line) for line in compared.differences] == []
