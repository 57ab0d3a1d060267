"""Quantised files beside the float weights that they were made of, by ONNX Runtime's quantiser."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import oracle
import pytest
from onnx import numpy_helper
from onnxruntime import quantization

from archspec import build_graph, load_spec
from archspec.certify.certificate import Certificate
from archspec.certify.certify_file import certify_file
from archspec.errors import ModelFileError
from archspec.graph.shapes import infer_shapes
from archspec.rewrites.optimize import optimize
from archspec.spec.spec import Spec
from archspec.writers.onnx.model import make_onnx
from archspec.writers.onnx.quantise import quantise

SPEC = """
growth_rate: 4
input: {height: 8, width: 8}
block_config: [2, 1]
stem: {channels: 8, kernel: 3, stride: 1, pool: none}
layer: [conv: {width: 2k, kernel: 1}, norm, activation,
        conv: {width: 2k, kernel: 3, groups: depthwise}, norm, activation,
        conv: {width: k, kernel: 1, bias: true}]
head: {num_classes: 5}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Spec, Mapping[str, Any], bytes]:
    """A spec, its weights, and a file of int8."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "spec.yaml").write_text(SPEC)
    spec = load_spec(folder / "spec.yaml")
    graph = build_graph(spec)
    tensors = oracle.random_parameters(graph.ops.values(), 0)
    onnx.save(make_onnx(graph, tensors), folder / "float.onnx")
    images = np.random.default_rng(0).normal(size=(4, 2, 3, 8, 8)).astype(np.float32)
    return spec, tensors, quantise(folder / "float.onnx", iter(images)).SerializeToString()


def certified(made: Any, folder: Path, change: Callable[[Any], Any] | None = None) -> Certificate:
    """Of the file, of which all whole numbers of some kind are others."""
    spec, tensors, held = made
    model = onnx.ModelProto.FromString(held)
    for tensor in model.graph.initializer if change else ():
        values = numpy_helper.to_array(tensor)
        tensor.CopyFrom(numpy_helper.from_array(change(values), tensor.name))
    onnx.save(model, folder / "a.onnx")
    return certify_file(folder / "a.onnx", spec, tensors=tensors)


def test_a_quantisers_file_has_the_weights_that_it_was_made_of(made: Any, tmp_path: Path) -> None:
    """Norms are folded into filters and biases there."""
    found = certified(made, tmp_path)
    assert [difference.message for difference in found.differences] == []
    assert found.given is not None
    assert not found.given.left_out
    filters = [values for values in held(made) if values.dtype == np.int8 and values.ndim > 1]
    biases = [values for values in held(made) if values.dtype == np.int32 and values.any()]
    assert found.given.compared == len(filters) + len(biases)
    assert any("biases of convolutions" in words for words in found.values()["compared"])


def held(made: Any) -> list[Any]:
    return [*map(numpy_helper.to_array, onnx.ModelProto.FromString(made[2]).graph.initializer)]


def half_zero(whole: Any) -> Any:
    """Every other filter."""
    if whole.dtype != np.int8 or whole.ndim < 2:
        return whole
    keeps = np.arange(len(whole)).reshape(-1, *[1] * (whole.ndim - 1)) % 2
    return np.where(keeps, whole, 0).astype(np.int8)


def one_off(whole: Any) -> Any:
    """A single weight of each, by two steps."""
    if whole.dtype != np.int8 or whole.ndim < 2:
        return whole
    moved = whole.copy()
    moved.flat[1] += 2 if moved.flat[1] < 0 else -2
    return moved


def no_bias(whole: Any) -> Any:
    return np.zeros_like(whole) if whole.dtype == np.int32 else whole


@pytest.mark.parametrize("change", [half_zero, one_off, no_bias])
def test_whole_numbers_of_other_weights_are_refused(
    change: Callable[[Any], Any], made: Any, tmp_path: Path
) -> None:
    """Which without these weights nobody can tell."""
    found = certified(made, tmp_path, change)
    assert {difference.code for difference in found.differences} == {"R113"}
    plain = certify_file(tmp_path / "a.onnx", made[0])
    assert plain.is_equal
    assert any("--ckpt compares" in note for note in plain.notes)


def one_number_a_filter(whole: Any) -> Any:
    if whole.dtype != np.int8 or whole.ndim < 2:
        return whole
    numbers = np.arange(1, len(whole) + 1).reshape(-1, *[1] * (whole.ndim - 1))
    return (np.ones_like(whole) * numbers).astype(np.int8)


def beside_the_end(whole: Any) -> Any:
    if whole.dtype != np.int8 or whole.ndim < 2:
        return whole
    return np.where(whole > 0, 127, 126).astype(np.int8)


@pytest.mark.parametrize("change", [one_number_a_filter, beside_the_end])
def test_filters_that_tell_nothing_apart_are_refused_without_any_weights(
    change: Callable[[Any], Any], made: Any, tmp_path: Path
) -> None:
    """Depthwise ones, too."""
    certified(made, tmp_path, change)
    found = certify_file(tmp_path / "a.onnx", made[0])
    assert {difference.code for difference in found.differences} == {"R113"}
    assert any("denselayer1.conv2" in difference.message for difference in found.differences)


SHUFFLED = """
growth_rate: 4
input: {height: 8, width: 8}
block_config: [2, 1]
stem: {channels: 8, kernel: 3, stride: 1, pool: none}
layer: [norm, conv: {width: 2k, kernel: 1}, shuffle: {groups: 2}, activation,
        conv: {width: k, kernel: 3}]
head: {num_classes: 5}
"""


class Images(quantization.CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, name: str) -> None:
        draw = np.random.default_rng(1)
        self.given = [{name: draw.normal(size=(2, 3, 8, 8)).astype(np.float32)} for _ in range(4)]

    def get_next(self) -> Any:
        return self.given.pop() if self.given else None


def test_a_shuffle_that_onnx_runtime_rounds_inside_is_read(tmp_path: Path) -> None:
    """And it is looked what is left of it there."""
    (tmp_path / "spec.yaml").write_text(SHUFFLED)
    graph = build_graph(load_spec(tmp_path / "spec.yaml"))
    onnx.save(
        make_onnx(graph, oracle.random_parameters(graph.ops.values(), 0)), tmp_path / "float.onnx"
    )
    whole = tmp_path / "whole.onnx"
    quantization.quantize_static(tmp_path / "float.onnx", whole, Images(graph.inputs[0]))
    assert certify_file(whole, tmp_path / "spec.yaml").is_equal
    model = onnx.load(whole)
    moved = [node.output[0] for node in model.graph.node if node.op_type == "Transpose"]
    pair = next(node for node in model.graph.node if node.input[0] == moved[0])
    reads = next(node for node in model.graph.node if node.input[0] == pair.output[0])
    model.graph.initializer.append(numpy_helper.from_array(np.float32(1e6), "of its own"))
    pair.input[1] = reads.input[1] = "of its own"
    onnx.save(model, whole)
    found = certify_file(whole, tmp_path / "spec.yaml").differences
    assert {fault.code for fault in found} == {"R113"}
    assert any("leave 0%" in fault.message for fault in found)


ALIKE = """
input: {height: 16, width: 16}
growth_rate: 4
stem: {channels: 8}
blocks:
  - {layers: 4, connectivity: {edges: [[0],[0],[1],[2]], output: [4,3,2,1,0]}}
head: {num_classes: 4}
"""


@pytest.mark.parametrize("level", ["none", "all"])
def test_equal_weights_are_not_merged_by_the_quantiser(level: Any, tmp_path: Path) -> None:
    """As untrained networks have, whose norms are all the same."""
    (tmp_path / "spec.yaml").write_text(ALIKE)
    graph = build_graph(load_spec(tmp_path / "spec.yaml"))
    first: dict[Any, Any] = {}
    tensors = {}
    for name, values in oracle.random_parameters(graph.ops.values(), 0).items():
        tensors[name] = first.setdefault((name.rpartition(".")[2], values.shape), values)
    network = optimize(graph, tensors, level).network
    onnx.save(make_onnx(network.graph, network.tensors), tmp_path / "float.onnx")
    images = (
        np.random.default_rng(0)
        .normal(size=(4, 2, *infer_shapes(graph)[0][graph.inputs[0]]))
        .astype(np.float32)
    )
    onnx.save(quantise(tmp_path / "float.onnx", iter(images)), tmp_path / "a.onnx")
    found = certify_file(
        tmp_path / "a.onnx", tmp_path / "spec.yaml", optimized=level == "all", tensors=tensors
    )
    assert [difference.message for difference in found.differences] == []


@pytest.mark.parametrize("sizes", [[0, -1], [1, -1]])
def test_a_reshape_with_allowzero_is_read_where_it_has_no_zero(
    sizes: list[int], tmp_path: Path
) -> None:
    """A zero then stands for no values at all, not for the size that is there."""
    (tmp_path / "spec.yaml").write_text(SPEC)
    graph = build_graph(load_spec(tmp_path / "spec.yaml"))
    model = make_onnx(graph, oracle.random_parameters(graph.ops.values(), 0), batch=1)
    node = next(node for node in model.graph.node if node.op_type == "Flatten")
    model.graph.initializer.append(numpy_helper.from_array(np.array(sizes), "sizes"))
    flat = onnx.helper.make_node(
        "Reshape", [node.input[0], "sizes"], node.output, node.name, allowzero=1
    )
    node.CopyFrom(flat)
    onnx.save(model, tmp_path / "a.onnx")
    if 0 not in sizes:
        assert certify_file(tmp_path / "a.onnx", tmp_path / "spec.yaml").is_equal
        return
    with pytest.raises(ModelFileError, match="makes no values at all"):
        certify_file(tmp_path / "a.onnx", tmp_path / "spec.yaml")


GATED = """
growth_rate: 4
input: {height: 8, width: 8}
block_config: [2]
stem: {channels: 8, kernel: 3, stride: 1, pool: none}
layer: [norm, activation, conv: {width: k, kernel: 3}, squeeze_excite: {reduction: 2}]
head: {num_classes: 5}
"""


def test_a_gate_that_no_image_opens_is_so_by_the_given_weights(tmp_path: Path) -> None:
    """Else it is what a scale that does not fit leaves of one."""
    (tmp_path / "spec.yaml").write_text(GATED)
    spec = load_spec(tmp_path / "spec.yaml")
    graph = build_graph(spec)
    tensors = oracle.random_parameters(graph.ops.values(), 0)
    dead, *_ = (name for name in tensors if name.endswith("se_reduce1.bias"))
    tensors[dead] = np.full_like(tensors[dead], -1000)
    onnx.save(make_onnx(graph, tensors), tmp_path / "float.onnx")
    images = np.random.default_rng(0).normal(size=(4, 2, 3, 8, 8)).astype(np.float32)
    onnx.save(quantise(tmp_path / "float.onnx", iter(images)), tmp_path / "a.onnx")
    (fault,) = certify_file(tmp_path / "a.onnx", spec).differences
    assert fault.code == "R113"
    assert "gives the same for every image" in fault.message
    found = certify_file(tmp_path / "a.onnx", spec, tensors=tensors)
    assert found.is_equal
    assert any(note.startswith("gives the same for every random image: ") for note in found.notes)
    (told,) = (note for note in found.notes if "norms that stand by themselves" in note)
    assert told.endswith(": 3 norms")


@pytest.mark.parametrize("shift", [-0.5, -1000.0])
def test_a_gate_that_calibration_never_opened_keeps_fine_steps(
    shift: float, tmp_path: Path
) -> None:
    """Where other images open it, or none: its values and the biases behind it are told apart.

    The quantiser's own steps would be 1.
    """
    (tmp_path / "spec.yaml").write_text(GATED)
    spec = load_spec(tmp_path / "spec.yaml")
    graph = build_graph(spec)
    tensors = oracle.random_parameters(graph.ops.values(), 0)
    gate, *_ = (op.name for op in graph.ops.values() if op.name.endswith("se_reduce1"))
    tensors[f"{gate}.bias"] = np.full_like(tensors[f"{gate}.bias"], shift)
    onnx.save(make_onnx(graph, tensors), tmp_path / "float.onnx")
    black = np.zeros((2, 3, 8, 8), np.float32)
    onnx.save(quantise(tmp_path / "float.onnx", iter([black])), tmp_path / "a.onnx")
    model = onnx.load(tmp_path / "a.onnx")
    held = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    opened = gate.replace("reduce", "relu")
    (pair,) = (
        node
        for node in model.graph.node
        if node.op_type == "QuantizeLinear" and node.input[0] == opened
    )
    assert 0 < held[pair.input[1]] < 0.02
    behind = gate.replace("reduce", "expand")
    steps = held[f"{behind}.bias_quantized_scale"]
    found = held[f"{behind}.bias_quantized"] * steps
    np.testing.assert_allclose(found, tensors[f"{behind}.bias"], atol=1e-3)
    scales = held[f"{behind}.weight_scale"] * held[pair.input[1]]
    np.testing.assert_allclose(steps, scales, rtol=1e-6)  # as engines compute it
