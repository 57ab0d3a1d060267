"""A written model in smaller numbers: it is valid, read back as its graph, and gives what that does
as far as the numbers go. Outputs are those of the NumPy oracle.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import oracle
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from readers.test_onnx_filter_nodes import compared as compare_file
from writers.operator_networks import CASES, graph_of
from writers.test_onnx import assert_valid, farthest, images_of, run, wanted_of

from archspec.compare.compare import Comparison
from archspec.errors import ArchspecError
from archspec.graph.ir import Graph
from archspec.writers.onnx.halves import HALVES, halve_numbers
from archspec.writers.onnx.model import make_onnx
from archspec.writers.onnx.onnx_files import save_onnx
from archspec.writers.onnx.quantise import quantise

OPSETS = {"float16": 18, "bfloat16": 22}
MOST = {"float16": 5e-3, "bfloat16": 4e-2, "int8": 0.1}
"""Of outputs, relative to the largest, of these small networks."""
STORED_AS_THEY_ARE_USED = "standardized filters"
"""Of which int8 does not tell where they are from."""
FEW = ("named steps", "scales", "rms norm", "blur pools", "bilinear", "standardized filters")


def model_of(graph: Graph, precision: str, folder: Path, opset: int | None = None) -> Any:
    weights = oracle.random_parameters(graph.ops.values(), 0)
    made = make_onnx(graph, weights, opset=opset or OPSETS.get(precision, 18))
    if precision in HALVES:
        halve_numbers(made, precision)
        return made
    save_onnx(made, folder / "single.onnx")
    return quantise(folder / "single.onnx", iter([images_of(graph)]))


def compared(graph: Graph, model: Any, folder: Path) -> Comparison:
    """As `certify` does."""
    file = folder / "small.onnx"
    save_onnx(model, file)
    return compare_file(graph, file)


def wanted_by_numpy(graph: Graph) -> list[Any]:
    return wanted_of(graph, oracle.random_parameters(graph.ops.values(), 0), images_of(graph))


def cases(precision: str) -> list[Any]:
    """Every network of every operator, most of them where there is time."""
    made = []
    for case in CASES:
        if (precision, case) != ("int8", STORED_AS_THEY_ARE_USED):
            marks = [] if case in FEW else [pytest.mark.slow]
            made.append(pytest.param(precision, case, marks=marks))
    return made


@pytest.mark.parametrize(
    ("precision", "case"), [*cases("float16"), *cases("bfloat16"), *cases("int8")]
)
def test_a_network_in_smaller_numbers_is_read_back_as_it_is(
    precision: str, case: str, tmp_path: Path
) -> None:
    """Constants too, which are rounded: 0.2 is not 0.19995."""
    graph = graph_of(**CASES[case])
    model = model_of(graph, precision, tmp_path)
    assert_valid(model)
    assert [str(each) for each in compared(graph, model, tmp_path).differences] == []
    if precision == "bfloat16":
        return  # of which ONNX Runtime has no kernels on CPUs
    made = run(model.SerializeToString(), images_of(graph))
    assert farthest(made, wanted_by_numpy(graph)) <= MOST[precision]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_openvino_runs_bfloat16(case: str, tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    graph = graph_of(**CASES[case])
    save_onnx(model_of(graph, "bfloat16", tmp_path), tmp_path / "net.onnx")
    compiled = openvino.Core().compile_model(str(tmp_path / "net.onnx"), "CPU")
    made = [*compiled([images_of(graph)]).values()]
    assert farthest(made, wanted_by_numpy(graph)) <= MOST["bfloat16"]


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_it_gives_what_the_definition_of_its_operators_gives(
    precision: str, tmp_path: Path
) -> None:
    """By onnx's own reference, which is no engine, and knows such pairs from opset 19 on."""
    graph = graph_of(blocks=[{"layers": 2}])
    model = model_of(graph, precision, tmp_path, opset=21)
    images = images_of(graph)
    by_definition = ReferenceEvaluator(model).run(None, {graph.inputs[0]: images})
    assert farthest(list(by_definition), wanted_by_numpy(graph)) <= MOST[precision]
    made = run(model.SerializeToString(), images)
    assert farthest(made, list(by_definition)) <= MOST[precision]


@pytest.mark.parametrize("precision", HALVES)
def test_numbers_of_16_bits_lie_in_raw_bytes_and_float32_goes_in_and_out(
    precision: str, tmp_path: Path
) -> None:
    """Rounded to the nearest, of two the even one, as in NumPy and ml_dtypes."""
    graph = graph_of()
    model = model_of(graph, precision, tmp_path)
    ends = [*model.graph.input, *model.graph.output]
    assert {end.type.tensor_type.elem_type for end in ends} == {TensorProto.FLOAT}
    kinds = Counter(tensor.data_type for tensor in model.graph.initializer)
    assert kinds[TensorProto.FLOAT] == 0
    halves = [each for each in model.graph.initializer if each.data_type == HALVES[precision].kind]
    assert halves
    assert not any(tensor.int32_data for tensor in halves)
    weights = oracle.random_parameters(graph.ops.values(), 0)
    for tensor in halves:
        if tensor.name in weights:
            dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
            wanted = weights[tensor.name].astype(dtype)
            found = numpy_helper.to_array(tensor)
            assert (found.astype(np.float32) == wanted.astype(np.float32)).all()


@pytest.mark.parametrize(
    ("precision", "value", "is_too_large"),
    [
        ("float16", 65_519.0, False),
        ("float16", 65_520.0, True),
        ("float16", -1e6, True),
        ("bfloat16", 1e6, False),
        ("bfloat16", 3.4e38, True),
        ("float16", float("inf"), False),  # as it was: the liveness of weights tells of it
    ],
)
def test_weights_that_are_too_large_are_told_all_at_once(
    precision: str, value: float, is_too_large: bool
) -> None:
    graph = graph_of()
    weights = oracle.random_parameters(graph.ops.values(), 0)
    names = sorted(name for name in weights if name.endswith("weight"))[:2]
    for name in names:
        weights[name].flat[3] = value
    model = make_onnx(graph, weights, opset=22)
    if not is_too_large:
        halve_numbers(model, precision)
        return
    with pytest.raises(ArchspecError) as refused:
        halve_numbers(model, precision)
    told = [(fault.code, fault.where) for fault in refused.value.diagnostics]
    assert sorted(told) == [("W004", name) for name in names]


def test_operators_that_lack_a_type_in_an_opset_are_told_each_once() -> None:
    graph = graph_of()
    model = make_onnx(graph, oracle.random_parameters(graph.ops.values(), 0), opset=18)
    with pytest.raises(ArchspecError) as refused:
        halve_numbers(model, "bfloat16")
    kinds = [fault.message.split()[0] for fault in refused.value.diagnostics]
    assert "Conv" in kinds
    assert len(kinds) == len({*kinds})
    assert "reads no bfloat16 in opset 18" in refused.value.diagnostics[0].message


def test_quantised_are_convolutions_and_dense_layers_by_channel(tmp_path: Path) -> None:
    """Weights around zero; and no set of operators is named that is not used."""
    graph = graph_of()
    model = model_of(graph, "int8", tmp_path)
    constants = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    makers = {node.output[0]: node for node in model.graph.node}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert convolutions
    for node in convolutions:
        features, weight = (makers[name] for name in node.input[:2])
        assert (features.op_type, weight.op_type) == ("DequantizeLinear", "DequantizeLinear")
        filters, scale, zero = (constants[name] for name in weight.input)
        assert (filters.dtype, filters.shape[0]) == (np.int8, scale.size)
        assert not zero.any()
        assert constants[features.input[2]].dtype == np.uint8
    assert [each.domain for each in model.opset_import] == [""]


def test_what_calibration_saw_nothing_negative_of_is_not_cut_off_at_zero(tmp_path: Path) -> None:
    """Where no ReLU is: that would be another network."""
    graph = graph_of(blocks=[{"layers": 2}])
    weights = oracle.random_parameters(graph.ops.values(), 0)
    names = [name for name, op in graph.ops.items() if op.kind == "dense"]
    weights[f"{names[-1]}.bias"][:] = 1e3
    save_onnx(make_onnx(graph, weights), tmp_path / "single.onnx")
    model = quantise(tmp_path / "single.onnx", iter([images_of(graph)]))
    assert compared(graph, model, tmp_path).differences == ()


@pytest.mark.parametrize("level", ["BASIC", "EXTENDED"])
def test_what_onnx_runtime_makes_of_a_file_is_still_its_graph(level: str, tmp_path: Path) -> None:
    """Norms folded, what does nothing gone, activations in convolutions."""
    import onnxruntime

    graph = graph_of()
    weights = oracle.random_parameters(graph.ops.values(), 0)
    save_onnx(make_onnx(graph, weights), tmp_path / "net.onnx")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(
        onnxruntime.GraphOptimizationLevel, f"ORT_ENABLE_{level}"
    )
    options.optimized_model_filepath = str(tmp_path / "made.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(
        str(tmp_path / "net.onnx"), options, providers=["CPUExecutionProvider"]
    )
    made = onnx.load(tmp_path / "made.onnx")
    kinds = Counter(node.op_type for node in made.graph.node)
    norms = [op for op in graph.ops.values() if op.kind == "batch_norm"]
    assert kinds["BatchNormalization"] < len(norms)
    found = compared(graph, made, tmp_path)
    assert found.differences == ()
    assert any("folded into the convolution" in note for note in found.notes)
