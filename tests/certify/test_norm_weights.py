"""Norms that stand in a file by themselves, beside the weights that they were made of."""

from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import oracle
import pytest
from onnx import helper, numpy_helper
from writers.operator_networks import CASES, settings_of
from writers.test_onnx import images_of, run

from archspec.certify.certificate import Certificate
from archspec.certify.certify_file import certify_file
from archspec.graph.build import build_graph
from archspec.graph.ir import Graph
from archspec.rewrites.optimize import optimize
from archspec.spec.spec import Spec
from archspec.writers.onnx.halves import halve_numbers
from archspec.writers.onnx.model import make_onnx
from archspec.writers.onnx.quantise import quantise

NORMS = ("layer norm", "group norm", "instance norm", "rms norm", "norms of three kinds")
OTHERS = ("prelu", "scales")
WAYS = ("float32", "float16", "bfloat16", "int8", "all")

Tensors = Mapping[str, Any]


def spec_of(case: str) -> Spec:
    return Spec.model_validate(settings_of(**CASES.get(case, {})))


def weights_of(graph: Graph) -> dict[str, Any]:
    return dict(oracle.random_parameters(graph.ops.values(), 0))


def write(graph: Graph, tensors: Tensors, way: str, file: Path) -> None:
    network = optimize(graph, tensors, "all" if way == "all" else "none").network
    model = make_onnx(network.graph, network.tensors, opset=22 if way == "bfloat16" else 18)
    if way in ("float16", "bfloat16"):
        halve_numbers(model, way)
    onnx.save(model, file)
    if way == "int8":
        onnx.save(quantise(file, iter([images_of(graph)])), file)


def of_channels(graph: Graph) -> list[str]:
    """The last weight of each role that is one number for each channel, biases not."""
    roles = ("gamma", "beta", "moving_mean", "moving_variance", "w")
    last = {}
    for name in oracle.shapes(graph.ops.values()):
        last[name.rpartition(".")[2]] = name
    return [name for role, name in last.items() if role in roles]


def cases() -> list[Any]:
    """Each way with one norm, each norm in one way; all of both where there is time."""
    made = []
    for way, case in product(WAYS, ("batch norm", *NORMS, *OTHERS)):
        is_quick = case == "batch norm" or (way == "float32" and case not in OTHERS)
        made.append(pytest.param(way, case, marks=[] if is_quick else [pytest.mark.slow]))
    return made


@pytest.mark.parametrize(("way", "case"), cases())
def test_each_norm_is_compared_in_every_kind_of_file(way: str, case: str, tmp_path: Path) -> None:
    """Another number in any of its weights is refused, and told of the norm that has it."""
    spec, file = spec_of(case), tmp_path / "a.onnx"
    graph = build_graph(spec)
    tensors = weights_of(graph)
    write(graph, tensors, way, file)
    found = certify_file(file, spec, tensors=tensors)
    assert [each.message for each in found.differences] == []
    assert found.given is not None
    assert found.given.left_out == ()
    for name in of_channels(graph):
        (fault, *_) = changed(file, spec, tensors, name).differences
        assert fault.code == "R113"
        # Of a norm that is folded it is the convolution's fault.
        is_told = fault.message.startswith(f"{name.rpartition('.')[0]}: of its ")
        assert is_told or way in ("int8", "all"), name


def changed(file: Path, spec: Spec, tensors: Tensors, name: str) -> Certificate:
    values = tensors[name].copy()
    values[0] = 2 * values[0] + 1
    return certify_file(file, spec, tensors={**tensors, name: values})


def mean_first(node: Any, add: Callable[[Any], str], held: Tensors) -> list[Any]:
    """As PyTorch's exporter decomposes a norm, in four nodes or five."""
    x, gamma, beta, mean, variance = node.input
    spread = {name: held[name].reshape(1, -1, 1, 1) for name in (gamma, beta, mean)}
    std = np.sqrt(held[variance].reshape(1, -1, 1, 1) + helper.get_node_attr_value(node, "epsilon"))
    return [
        helper.make_node("Sub", [x, add(spread[mean])], [f"{x} less"]),
        helper.make_node("Div", [f"{x} less", add(std.astype(np.float32))], [f"{x} by"]),
        helper.make_node("Mul", [f"{x} by", add(spread[gamma])], [f"{x} times"]),
        helper.make_node("Add", [f"{x} times", add(spread[beta])], node.output),
    ]


def less_the_shift(node: Any, add: Callable[[Any], str], held: Tensors) -> list[Any]:
    x, gamma, beta, mean, variance = node.input
    std = np.sqrt(held[variance] + helper.get_node_attr_value(node, "epsilon"))
    scale = (held[gamma] / std).reshape(-1, 1, 1).astype(np.float32)
    shift = held[mean].reshape(-1, 1, 1) * scale - held[beta].reshape(-1, 1, 1)
    return [
        helper.make_node("Mul", [x, add(scale)], [f"{x} times"]),
        helper.make_node("Sub", [f"{x} times", add(shift.astype(np.float32))], node.output),
    ]


def as_caffe(node: Any, add: Callable[[Any], str], held: Tensors) -> list[Any]:
    """A norm of ones and zeros, a scale and a shift behind it."""
    x, gamma, beta, mean, variance = node.input
    ones, zeros = np.ones_like(held[gamma]), np.zeros_like(held[gamma])
    normed = [x, add(ones), add(zeros), mean, variance]
    eps = helper.get_node_attr_value(node, "epsilon")
    return [
        helper.make_node("BatchNormalization", normed, [f"{x} normed"], epsilon=eps),
        helper.make_node(
            "Mul", [f"{x} normed", add(held[gamma].reshape(-1, 1, 1))], [f"{x} times"]
        ),
        helper.make_node("Add", [f"{x} times", add(held[beta].reshape(-1, 1, 1))], node.output),
    ]


@pytest.mark.parametrize("form", [mean_first, less_the_shift, as_caffe])
def test_a_norm_that_others_have_written_out_is_compared(
    form: Callable[[Any, Callable[[Any], str], Tensors], list[Any]], tmp_path: Path
) -> None:
    """It gives what the norm gives; and it is another one where any of its weights is."""
    spec, file = spec_of("batch norm"), tmp_path / "a.onnx"
    graph = build_graph(spec)
    tensors = weights_of(graph)
    model = make_onnx(graph, tensors)
    held = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    wanted = run(model.SerializeToString(), images_of(graph))

    def add(values: Any) -> str:
        name = f"part {len(model.graph.initializer)}"
        model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    nodes = []
    for node in model.graph.node:
        is_norm = node.op_type == "BatchNormalization"
        nodes.extend(form(node, add, held) if is_norm else [node])
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    for made, given in zip(run(model.SerializeToString(), images_of(graph)), wanted, strict=True):
        np.testing.assert_allclose(made, given, rtol=1e-4, atol=1e-5)
    onnx.save(model, file)
    found = certify_file(file, spec, tensors=tensors)
    assert [each.message for each in found.differences] == []
    assert found.given is not None
    assert found.given.left_out == ()
    for name in of_channels(graph):
        assert changed(file, spec, tensors, name).differences, name


def test_a_bias_that_is_taken_off_is_compared_with_its_sign(tmp_path: Path) -> None:
    spec = Spec.model_validate(
        settings_of(layer=["norm", {"conv": {"width": "k", "kernel": 3, "bias": True}}])
    )
    graph = build_graph(spec)
    tensors = weights_of(graph)
    model = make_onnx(graph, tensors)
    held = {each.name: each for each in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        nodes.append(node)
        if node.op_type == "Conv" and len(node.input) == 3:
            bias, made = held[node.input.pop()], node.output[0]
            values = -numpy_helper.to_array(bias).reshape(-1, 1, 1)
            bias.CopyFrom(numpy_helper.from_array(values, bias.name))
            node.output[0] = f"{made} bare"
            nodes.append(helper.make_node("Sub", [f"{made} bare", bias.name], [made]))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, tmp_path / "a.onnx")
    found = certify_file(tmp_path / "a.onnx", spec, tensors=tensors)
    assert [each.message for each in found.differences] == []
    assert any(node.op_type == "Sub" for node in nodes)
    (name, *_) = (name for name in tensors if name.endswith("conv1.bias"))
    turned = {**tensors, name: -tensors[name]}
    assert certify_file(tmp_path / "a.onnx", spec, tensors=turned).differences


@pytest.mark.parametrize(("norms", "left_out"), [(1, 0), (2, 1)])
def test_a_norm_in_the_filters_of_a_blur_is_compared(
    norms: int, left_out: int, tmp_path: Path
) -> None:
    """Of two in a row nobody can tell which is there, and a note names the last."""
    steps = ["blur_pool", *["norm"] * norms, "activation"]
    spec = Spec.model_validate(settings_of(transition={"steps": steps}))
    graph = build_graph(spec)
    tensors = weights_of(graph)
    onnx.save(make_onnx(graph, tensors), tmp_path / "plain.onnx")
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "a.onnx")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    onnxruntime.InferenceSession(str(tmp_path / "plain.onnx"), options)
    found = certify_file(tmp_path / "a.onnx", spec, tensors=tensors)
    assert [each.message for each in found.differences] == []
    assert found.given is not None
    assert len(found.given.left_out) == left_out
    (name, *_) = (each for each in tensors if "transition1.norm" in each and "gamma" in each)
    is_told = bool(changed(tmp_path / "a.onnx", spec, tensors, name).differences)
    assert is_told == (norms == 1)
