"""A network of several outputs: a tuple in the order of the graph's outputs,
in both modes and in an export.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest

from archspec.graph.build import build_graph
from archspec.runtime import prepare
from archspec.spec.load import load_spec
from archspec.spec.spec import Spec
from archspec.writers.build_folder import build_folder
from archspec.writers.mindspore.create_model import create_model, import_text
from archspec.writers.mindspore.export_mindir import export_mindir

SHAPE = (2, 13, 11)
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def ms() -> Iterator[Any]:
    prepare()
    import mindspore

    yield mindspore
    mindspore.set_context(mode=mindspore.PYNATIVE_MODE)


def spec_of(features: tuple[int, ...], head: str, blocks: int = 3) -> Spec:
    return Spec.model_validate(
        {
            "name": "backbone",
            "input": {"channels": SHAPE[0], "height": SHAPE[1], "width": SHAPE[2]},
            "stem": {"kernel": 3, "stride": 1, "pool": "max"},
            "growth_rate": 3,
            "blocks": [{"layers": 2}] * blocks,
            "transition": {"pool": "none"} if blocks > 3 else {},
            "head": {"steps": head, "num_classes": 5},
            "features": features,
        }
    )


def images(batch: int) -> Any:
    return np.random.default_rng(batch).normal(size=(batch, *SHAPE)).astype(np.float32)


def tensors(given: Any) -> list[Any]:
    return [each.asnumpy() for each in (given if isinstance(given, tuple) else (given,))]


@pytest.mark.parametrize(
    ("features", "head"),
    [
        ((1, 2, 3), "classifier"),
        pytest.param((3, 1), "classifier", marks=pytest.mark.slow),
        pytest.param((1, 2, 3), "none", marks=pytest.mark.slow),
        pytest.param((3, 1), "none", marks=pytest.mark.slow),
    ],
)
def test_features_come_beside_the_heads_output(
    ms: Any, tmp_path: Path, features: tuple[int, ...], head: str
) -> None:
    """Each as the NumPy forward says it, in graph mode,
    in PyNative and from a MINDIR with a free batch.
    """
    spec = spec_of(features, head)
    graph, network = build_graph(spec), create_model(spec)
    parameters = oracle.random_parameters(graph.ops.values(), 3)
    assert ms.load_param_into_net(
        network, {k: ms.Parameter(v, name=k) for k, v in parameters.items()}
    ) == ([], [])
    x = images(2)
    made = dict(zip(graph.ops, oracle.values(graph.ops.values(), parameters, x), strict=True))
    assert len(graph.outputs) == len(features) + (head != "none")
    for mode in (ms.PYNATIVE_MODE, ms.GRAPH_MODE):
        ms.set_context(mode=mode)
        found = network.set_train(False)(ms.Tensor(x))
        assert isinstance(found, tuple)
        for name, output in zip(graph.outputs, tensors(found), strict=True):
            assert oracle.distance(output, made[name]) <= TOLERANCE
    export_mindir(network, SHAPE, tmp_path / "backbone.mindir")
    again = ms.nn.GraphCell(ms.load(str(tmp_path / "backbone.mindir")))
    for batch in (1, 3):
        x = ms.Tensor(images(batch))
        pairs = zip(tensors(again(x)), tensors(network.set_train(False)(x)), strict=True)
        assert all(np.array_equal(one, other) for one, other in pairs)


def test_more_outputs_than_have_names_of_their_own(ms: Any) -> None:
    """Six feature maps and logits: the network gives seven tensors of the right sizes."""
    spec = spec_of((1, 2, 3, 4, 5, 6), "classifier", blocks=6)
    found = create_model(spec).set_train(False)(ms.Tensor(images(2)))
    assert [output.shape[0] for output in found] == [2] * 7
    assert found[-1].shape == (2, 5)


def test_build_saves_a_backbone(ms: Any, tmp_path: Path) -> None:
    """The saved module gives the tuple, and the saved spec is read again."""
    build_folder(spec_of((2, 3), "none"), tmp_path / "made")
    module = import_text((tmp_path / "made/network.py").read_text(), "backbone")
    assert [
        output.shape[:2] for output in module.Network().set_train(False)(ms.Tensor(images(1)))
    ] == [
        (1, 12),
        (1, 12),
    ]
    report = json.loads((tmp_path / "made/report.json").read_text())
    assert [feature["block"] for feature in report["features"]] == [2, 3]
    assert load_spec(tmp_path / "made/spec.yaml").features == (2, 3)
