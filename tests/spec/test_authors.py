"""With an author's weights, the outputs of the author's code:
the joins stand in the order that the weights were for.

`tests/cases/authors.npz` holds what PyTorch 2.13 gave, on a CPU, for networks as their authors'
files define them: PingoLH/Pytorch-HarDNet, `hardnet.py`; Lyken17/SparseNet,
`src/pytorch/denselink.py`; Robert-JunWang/PeleeNet, `peleenet.py`; RuiyangJu/ThreshNet,
`ThreshNet79.py`; kuangliu/pytorch-cifar, `models/densenet.py`. Weights and images follow from
seeds, tensor by tensor in PyTorch's order; of the outputs the first 100 are kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest

from archspec.graph.build import build_graph
from archspec.graph.ir import Graph
from archspec.operators.table import OPERATORS
from archspec.spec.load import load_spec

CASES = Path(__file__).parents[1] / "cases"
OUTPUTS = np.load(CASES / "authors.npz")
RELATIVES = Path(__file__).parent / "relatives"
SMALL = ("input.height=64", "input.width=64")
NETWORKS = {
    "hardnet68": ("hardnet68", SMALL),
    "hardnet39ds": ("hardnet39ds", SMALL),
    "sparsenet40_k24": ("sparsenet40_k24", ("stem.channels=24",)),
    "peleenet": ("peleenet", SMALL),
    "threshnet79": (f"{RELATIVES}/threshnet79.yaml", SMALL),
    "kuangliu": (f"{CASES}/kuangliu_densenet.yaml", ()),
}
TURNED = {
    "peleenet": "connectivity.order=newest_first",
    "threshnet79": "blocks.3.connectivity.order=oldest_first",
}
TORCH_ORDER = ("weight", "gamma", "bias", "beta", "moving_mean", "moving_variance")


def tensors(graph: Graph) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes in the order of PyTorch's state_dict."""
    for op in graph.ops.values():
        shapes = OPERATORS[op.kind].tensors(op.attrs)
        for role in sorted(shapes, key=TORCH_ORDER.index):
            yield f"{op.name}.{role}", shapes[role]


def drawn(name: str, shape: tuple[int, ...], seed: int) -> Any:
    random, role = np.random.default_rng(seed), name.rpartition(".")[2]
    if len(shape) > 1:
        return random.normal(0, (2 / np.prod(shape[1:])) ** 0.5, shape)
    if role == "moving_variance":
        return random.uniform(0.5, 2, shape)
    return random.uniform(0.5, 1.5, shape) if role == "gamma" else random.normal(0, 0.3, shape)


def output(name: str, overrides: tuple[str, ...]) -> Any:
    graph = build_graph(load_spec(name, overrides))
    listed = enumerate(tensors(graph))
    weights = {name: drawn(name, shape, seed).astype(np.float32) for seed, (name, shape) in listed}
    shape = (2, *graph.ops["input"].attrs["shape"])
    images = np.random.default_rng(99).normal(size=shape).astype(np.float32)
    return oracle.forward(graph.ops.values(), weights, images)[:, :100]


@pytest.mark.parametrize("author", NETWORKS)
def test_a_spec_gives_the_outputs_of_its_authors_code(author: str) -> None:
    """To the precision of float32."""
    name, overrides = NETWORKS[author]
    assert oracle.distance(output(name, overrides), OUTPUTS[author]) < 1e-5


@pytest.mark.parametrize("author", NETWORKS)
def test_another_order_gives_other_outputs(author: str) -> None:
    """So that the test above tells orders apart."""
    name, overrides = NETWORKS[author]
    turned = (*overrides, TURNED.get(author, "connectivity.order=oldest_first"))
    assert oracle.distance(output(name, turned), OUTPUTS[author]) > 0.1
