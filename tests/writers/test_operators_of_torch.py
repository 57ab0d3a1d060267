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


def with_weights(ms: Any, case: str) -> Any:
    """A network of the operator, with the weights that were recorded."""
    both, network = recorded(case), create_network(graph_of(case))
    for role in CASES[case]["roles"]:
        network.parameters_dict()[f"op.{role}"].set_data(ms.Tensor(both[role][0].astype("f4")))
    return network


@pytest.mark.parametrize("case", KNOWN)
def test_its_text_gives_the_values_and_gradients_of_pytorch(ms: Any, case: str) -> None:
    """Of the input and of each weight."""
    ms.set_context(mode=ms.PYNATIVE_MODE)
    assert_gives_what_pytorch_does(ms, [case])


def test_compiled_texts_give_the_values_and_gradients_of_pytorch(ms: Any) -> None:
    """All of them at once: what is sent back through one does not reach the others."""
    ms.set_context(mode=ms.GRAPH_MODE)
    assert_gives_what_pytorch_does(ms, KNOWN)


def assert_gives_what_pytorch_does(ms: Any, cases: list[str]) -> None:
    both = [recorded(case) for case in cases]
    networks = ms.nn.CellList([with_weights(ms, case) for case in cases])
    images = [ms.Tensor(each["x"][0].astype("f4")) for each in both]
    sent_back = [ms.Tensor(each["y"][1].astype("f4")) for each in both]
    weights = list(networks.trainable_params())

    def sent(*images: Any) -> Any:
        total, made = 0.0, []
        for network, x, back in zip(networks, images, sent_back):  # noqa: B905
            made.append(network(x))
            total += (made[-1] * back).sum()
        return total, made

    places = tuple(range(len(images)))
    run = ms.value_and_grad(sent, places, weights or None, has_aux=True)
    (_, made), sums = run(*images)
    of_images, of_weights = sums if weights else (sums, ())
    of_images = of_images if isinstance(of_images, tuple) else (of_images,)  # one is by itself
    gradients = {weight.name: each for weight, each in zip(weights, of_weights, strict=True)}
    for number, case in enumerate(cases):
        assert oracle.distance(made[number].asnumpy(), both[number]["y"][0]) < TOLERANCE, case
        assert oracle.distance(of_images[number].asnumpy(), both[number]["x"][1]) < TOLERANCE, case
        mine = {weight.name for weight in networks[number].trainable_params()}
        for name in mine:
            right = both[number][name.rpartition(".")[2]][1]
            assert oracle.distance(gradients[name].asnumpy(), right) < TOLERANCE, name


def all_of_maps() -> Graph:
    """A network of an image and all operators that read a map, each of a part of its size."""
    cases = [case for case in KNOWN if recorded(case)["x"].ndim == 5]
    shapes = [recorded(case)["x"].shape[2:] for case in cases]
    ops = [Op("input", "input", (), {"shape": tuple(map(max, zip(*shapes, strict=True)))})]
    for number, (case, (channels, *size)) in enumerate(zip(cases, shapes, strict=True)):
        some, part, own = (f"{word}{number}" for word in ("channels", "part", "op"))
        ops.append(Op(some, "slice", ("input",), {"start": 0, "stop": channels}))
        ops.append(Op(part, "crop", (some,), {"size": tuple(size), "corner": (0, 0)}))
        ops.append(Op(own, CASES[case]["kind"], (part,), graph_of(case).ops["op"].attrs))
    return Graph.of("all", ops)


@pytest.mark.parametrize("batch", [pytest.param(2, marks=pytest.mark.slow), None])
def test_its_exported_file_is_read_as_it(ms: Any, batch: int | None, tmp_path: Path) -> None:
    """With a fixed and a free batch."""
    graph, file = all_of_maps(), tmp_path / "all.mindir"
    shape = graph.ops["input"].attrs["shape"]
    export_mindir(create_network(graph), shape, file, batch=batch)
    compared = compare(graph, read_mindir(file))
    assert [str(line) for line in compared.differences] == []
