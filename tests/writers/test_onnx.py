"""What is written as ONNX is what the graph says: ONNX Runtime beside a NumPy forward, and the file
read back; for every operator, for random networks, and for what is shipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import oracle
import pytest
from hypothesis import HealthCheck, given, reject, settings
from pydantic import ValidationError
from spec.language import specs
from writers.operator_networks import CASES, graph_of

from archspec.compare.compare import compare
from archspec.errors import ArchspecError, GraphError
from archspec.graph.build import build_graph
from archspec.graph.ir import Graph
from archspec.operators.table import OPERATORS
from archspec.readers.frontends import read_model_file
from archspec.spec.catalogue import shipped
from archspec.spec.load import load_spec
from archspec.spec.spec import Spec
from archspec.verifiers.verify import verify_or_raise
from archspec.writers.onnx import onnx_files
from archspec.writers.onnx.model import make_onnx
from archspec.writers.onnx.onnx_files import data_file_of, move_onnx, save_onnx

TOLERANCE = 1e-3
"""Of random networks: norms over few values with a tiny eps."""
OF_CASES = 1e-5
RANDOM = settings(
    deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


def images_of(graph: Graph, count: int = 2) -> Any:
    shape = graph.ops[graph.inputs[0]].attrs["shape"]
    return np.random.default_rng(1).normal(size=(count, *shape)).astype(np.float32)


def wanted_of(graph: Graph, parameters: Mapping[str, Any], images: Any) -> list[Any]:
    made = oracle.values(graph.ops.values(), parameters, images)
    return [value for name, value in zip(graph.ops, made, strict=True) if name in graph.outputs]


def run(model: bytes | Path, images: Any) -> list[Any]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    source = model if isinstance(model, bytes) else str(model)
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    return list(session.run(None, {session.get_inputs()[0].name: images}))


def farthest(found: list[Any], wanted: list[Any]) -> float:
    """How far outputs are apart, relative to the largest."""
    assert [value.shape for value in found] == [value.shape for value in wanted]
    pairs = zip(found, wanted, strict=True)
    return max(float(np.abs(a - b).max() / (np.abs(b).max() or 1)) for a, b in pairs)


def assert_valid(model: onnx.ModelProto) -> None:
    onnx.checker.check_model(model, full_check=True)
    onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)


def assert_is_the_graphs(
    graph: Graph, file: Path, tolerance: float, parameters: Mapping[str, Any], **form: Any
) -> None:
    """Valid, of equal outputs, and read back as the same network."""
    model, images = make_onnx(graph, parameters, **form), images_of(graph)
    assert_valid(model)
    made = run(model.SerializeToString(), images)
    assert farthest(made, wanted_of(graph, parameters, images)) <= tolerance
    save_onnx(model, file)
    found = compare(graph, read_model_file(file).graph, ordered=True)
    assert [str(difference) for difference in found.differences] == []


@pytest.mark.parametrize("case", CASES)
def test_a_file_computes_what_its_graph_says_and_is_read_back_as_it(
    case: str, tmp_path: Path
) -> None:
    graph = graph_of(**CASES[case])
    parameters = oracle.random_parameters(graph.ops.values(), 0)
    assert_is_the_graphs(graph, tmp_path / "net.onnx", OF_CASES, parameters)


FIRST_OPSETS = {"HardSwish": 14, "LayerNormalization": 17, "Mish": 18}
"""As onnx's own list of changes has it (docs/Changelog.md)."""


def test_every_operator_is_written() -> None:
    """By a row of its own; an image alone is given to the file."""
    assert [kind for kind, row in OPERATORS.items() if row.write_onnx is None] == ["input"]


def spec_of(values: dict[str, Any]) -> Spec:
    """The spec of values that are one; hypothesis draws anew where they are none."""
    try:
        spec = Spec.model_validate(values)
        build_graph(spec)
    except (GraphError, ValidationError):
        reject()
    return spec


def assert_random_network(values: dict[str, Any], file: Path, **form: Any) -> None:
    graph = verify_or_raise(build_graph(spec_of(values)))
    parameters, images = oracle.random_parameters(graph.ops.values(), 0), images_of(graph)
    wanted = wanted_of(graph, parameters, images)
    moved = images.astype(np.float64) * (1 + 1e-7 * np.sign(images))
    if farthest(wanted_of(graph, parameters, moved), wanted) > TOLERANCE:
        reject()  # a rounding of float32 moves it further than what is looked for
    assert_is_the_graphs(graph, file, TOLERANCE, parameters, **form)


@settings(RANDOM, max_examples=6)
@given(values=specs())
def test_any_network_is_written_as_its_graph_says(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any]
) -> None:
    assert_random_network(values, tmp_path_factory.getbasetemp() / "any.onnx")


@pytest.mark.slow
@settings(RANDOM, max_examples=300)
@given(values=specs())
def test_many_networks_are_written_as_their_graphs_say(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any]
) -> None:
    """In a newer version of the operators too."""
    for opset in (18, 22):
        assert_random_network(values, tmp_path_factory.getbasetemp() / "many.onnx", opset=opset)


@pytest.mark.slow
@pytest.mark.parametrize("name", shipped())
def test_a_shipped_network_is_written_as_it_is(name: str, tmp_path: Path) -> None:
    graph = verify_or_raise(build_graph(load_spec(name)))
    parameters = oracle.random_parameters(graph.ops.values(), 0)
    for opset in (18, 13):
        model = make_onnx(graph, parameters, opset=opset)
        assert_valid(model)
        save_onnx(model, tmp_path / "net.onnx")
        assert compare(graph, read_model_file(tmp_path / "net.onnx").graph, ordered=True).is_equal


def test_height_and_width_may_be_free() -> None:
    """Then the file computes on other sizes what the network of that size does."""
    small, large = (
        graph_of(norm={"kind": "group", "groups": 3}, input={"height": side, "width": 9})
        for side in (8, 16)
    )
    parameters = oracle.random_parameters(small.ops.values(), 0)
    model = make_onnx(small, parameters, is_sized=False)
    assert_valid(model)
    images = images_of(large)
    wanted = wanted_of(large, parameters, images)
    assert farthest(run(model.SerializeToString(), images), wanted) <= OF_CASES


def test_operators_that_depend_on_height_and_width_refuse_free_ones_all_at_once() -> None:
    layer = [{"conv": {"width": "k", "kernel": 3}}, {"shuffle": {"groups": 3}}]
    graph = graph_of(layer=layer, blocks=[{"layers": 2}])
    with pytest.raises(ArchspecError) as refused:
        make_onnx(graph, oracle.random_parameters(graph.ops.values(), 0), is_sized=False)
    assert [fault.code for fault in refused.value.diagnostics] == ["W004", "W004"]


@pytest.mark.parametrize("case", CASES)
def test_an_older_opset_is_the_same_network_or_refused_by_name(case: str, tmp_path: Path) -> None:
    """Valid in each; run and read back in the first, and where nodes are others than before."""
    graph, before = graph_of(**CASES[case]), None
    parameters = oracle.random_parameters(graph.ops.values(), 0)
    kinds = {node.op_type for node in make_onnx(graph, parameters).graph.node}
    for opset in range(13, 18):
        later = sorted(kind for kind in kinds if FIRST_OPSETS.get(kind, 0) > opset)
        if later:
            assert later_ones(graph, parameters, opset) == later
            continue
        model = make_onnx(graph, parameters, opset=opset)
        if model.graph == before:
            assert_valid(model)
        else:
            before = model.graph
            assert_is_the_graphs(graph, tmp_path / "net.onnx", OF_CASES, parameters, opset=opset)


def later_ones(graph: Graph, parameters: Mapping[str, Any], opset: int) -> list[str]:
    """The kinds of nodes of which a refusal says that an opset has none."""
    with pytest.raises(ArchspecError) as refused:
        make_onnx(graph, parameters, opset=opset)
    told = [fault.message for fault in refused.value.diagnostics]
    kinds = sorted(line.split()[0] for line in told)
    wanted = [f"{kind} is not in opset {opset}, but from {FIRST_OPSETS[kind]} on" for kind in kinds]
    assert sorted(told) == wanted
    return kinds


@pytest.mark.parametrize("opset", [13, 17, 18])
def test_any_node_may_read_its_axes(
    opset: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Before opset 18 most reductions have them as an attribute, whichever row writes one."""

    def write(node: Any) -> Any:
        keepdims = int(node.attrs["keep"])
        return node.add("ReduceMax", *node.inputs, node.constant([2, 3]), keepdims=keepdims)

    kind, graph = "global_max_pool", graph_of(**CASES["maxima of all pixels"])
    monkeypatch.setitem(OPERATORS, kind, replace(OPERATORS[kind], write_onnx=write))
    parameters = oracle.random_parameters(graph.ops.values(), 0)
    assert_is_the_graphs(graph, tmp_path / "net.onnx", OF_CASES, parameters, opset=opset)


@pytest.mark.parametrize("opset", [12, 99])
def test_another_opset_than_is_written_or_known_is_refused(opset: int) -> None:
    graph = graph_of()
    with pytest.raises(ArchspecError, match=f"W004 opset .={opset}. must be from 13 to"):
        make_onnx(graph, oracle.random_parameters(graph.ops.values(), 0), opset=opset)


def test_weights_that_are_too_many_for_a_message_lie_beside_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And go with it when it takes another one's place."""
    monkeypatch.setattr(onnx_files, "LARGEST_MESSAGE", 1_000)
    graph = graph_of()
    parameters = oracle.random_parameters(graph.ops.values(), 0)
    model, images = make_onnx(graph, parameters, batch=2), images_of(graph)
    draft, target = tmp_path / "draft" / "net.onnx", tmp_path / "net.onnx"
    draft.parent.mkdir()
    save_onnx(model, draft)
    assert data_file_of(draft).stat().st_size > 1_000
    assert data_file_of(draft).stat().st_mode == draft.stat().st_mode
    move_onnx(draft, target)
    assert farthest(run(target, images), wanted_of(graph, parameters, images)) <= OF_CASES
    assert compare(graph, read_model_file(target).graph, ordered=True).is_equal
    assert [*draft.parent.iterdir()] == []
