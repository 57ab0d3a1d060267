"""Five networks written node by node, each in other forms, as people and tools write them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest
from onnx import helper
from readers.onnx_styles import (
    Array,
    File,
    Step,
    Style,
    densenet,
    finished,
    optimised,
    run,
    written,
)

from archspec.certify.liveness import check_liveness
from archspec.compare.compare import compare
from archspec.graph.build import build_graph
from archspec.graph.ir import Graph, Op
from archspec.readers.onnx.checker import refuse_invalid
from archspec.readers.onnx.read import onnx_reading
from archspec.spec.load import load_spec

SMALL = [
    *("block_config=[2,2]", "growth_rate=4", "input.height=32", "input.width=32"),
    "head.num_classes=5",
]
SPEC = build_graph(load_spec("densenet121", SMALL))
STEPS = densenet([2, 2], 4, (3, 32, 32), 5)
IMAGES = np.random.default_rng(2).normal(size=(2, 3, 32, 32)).astype(np.float32)

Form = Callable[..., str]


# ---- weights


def of_a_matrix(file: File, weight: Array) -> str:
    """Reshaped to filters in the file."""
    flat = file.constant(weight.reshape(len(weight), -1))
    return file.node("Reshape", flat, file.sizes(*weight.shape))


def of_halves(file: File, weight: Array) -> str:
    """Stored as float64 and cast."""
    return file.node("Cast", file.constant(weight, kind=np.float64), to=1)


def scaled(file: File, weight: Array) -> str:
    """Half the filters, times two each."""
    return file.node(
        "Mul", file.constant(weight / 2), file.constant(np.full((len(weight), 1, 1, 1), 2))
    )


def renamed(file: File, weight: Array) -> str:
    return file.node("Identity", file.node("Identity", file.constant(weight)))


# ---- norms: of gamma, beta, mean and variance


def as_a_node(file: File, x: str, *weights: Array) -> str:
    return file.node("BatchNormalization", x, *map(file.constant, weights), epsilon=1e-5)


def by_parts(file: File, x: str, *weights: Array) -> str:
    """(x - mean) / root * gamma + beta, each of the shape (1, C, 1, 1)."""
    gamma, beta, mean, variance = (each.reshape(1, -1, 1, 1) for each in weights)
    x = file.node("Sub", x, file.constant(mean))
    x = file.node("Div", x, file.constant(np.sqrt(variance + 1e-5)))
    return file.node("Add", file.node("Mul", x, file.constant(gamma)), file.constant(beta))


def computed(file: File, x: str, *weights: Array) -> str:
    """A scale and a shift that the file computes of vectors, as TensorFlow's converter does."""
    gamma, beta, mean, variance = map(file.constant, weights)
    root = file.node("Sqrt", file.node("Add", variance, file.constant(1e-5)))
    scale = file.node("Mul", file.node("Reciprocal", root), gamma)
    shift = file.node("Sub", beta, file.node("Mul", mean, scale))
    scale, shift = (file.node("Reshape", each, file.sizes(1, -1, 1, 1)) for each in (scale, shift))
    return file.node("Add", shift, file.node("Mul", scale, x))


# ---- activations


def clipped(file: File, x: str) -> str:
    return file.node("Clip", x, file.constant(0.0))


def plain(file: File, x: str) -> str:
    return file.node("Relu", x)


def maximum(file: File, x: str) -> str:
    """Of x and a constant that is a number, no tensor."""
    return file.node("Max", file.node("Constant", value_float=0.0), x)


# ---- joins


def one_by_one(file: File, *parts: str) -> str:
    joined = parts[0]
    for part in parts[1:]:
        joined = file.node("Concat", joined, part, axis=1)
    return joined


def from_the_end(file: File, *parts: str) -> str:
    """Of one part too."""
    return file.node("Concat", *parts, axis=-3)


# ---- means


def of_rows_and_columns(file: File, x: str, channels: int) -> str:
    """x.mean(3).mean(2)"""
    return file.node(
        "ReduceMean", file.node("ReduceMean", x, axes=[3], keepdims=0), axes=[2], keepdims=0
    )


def of_all_in_a_row(file: File, x: str, channels: int) -> str:
    """x.view(n, c, -1).mean(2)"""
    flat = file.node("Reshape", x, file.sizes(0, channels, -1))
    return file.node("ReduceMean", flat, axes=[-1], keepdims=0)


def by_its_shape(file: File, x: str, channels: int) -> str:
    pooled = file.node("GlobalAveragePool", x)
    sizes = file.node(
        "Slice", file.node("Shape", pooled), file.sizes(0), file.sizes(2), file.sizes(0)
    )
    return file.node("Reshape", pooled, sizes)


def from_the_front(file: File, x: str, channels: int) -> str:
    return file.node("Flatten", file.node("GlobalAveragePool", x), axis=-3)


def squeezed(file: File, x: str, channels: int) -> str:
    return file.node("Squeeze", file.node("GlobalAveragePool", x), file.sizes(-1, -2))


# ---- dropout


def with_a_ratio(file: File, x: str) -> str:
    """And a mask that nothing reads."""
    ratio, training = file.constant(0.2), file.constant(False, kind=bool)
    file.nodes.append(helper.make_node("Dropout", [x, ratio, training], [f"{x} kept", f"{x} mask"]))
    return f"{x} kept"


def nothing(file: File, x: str) -> str:
    return file.node("Dropout", file.node("Identity", x))


# ---- classifiers: of a matrix (out, in) and a bias


def general(file: File, x: str, weight: Array, bias: Array) -> str:
    """The matrix as it is multiplied, the bias as a row."""
    return file.node("Gemm", x, file.constant(weight.T), file.constant(bias[None]))


def turned(file: File, x: str, weight: Array, bias: Array) -> str:
    product = file.node("MatMul", x, file.node("Transpose", file.constant(weight), perm=[1, 0]))
    return file.node("Add", file.constant(bias[None]), product)


def apart(file: File, x: str, weight: Array, bias: Array) -> str:
    return file.node(
        "Add", file.node("Gemm", x, file.constant(weight), transB=1), file.constant(bias)
    )


def without_zeros(file: File, x: str, weight: Array, bias: Array) -> str:
    """A product alone, where the bias is zero."""
    assert not bias.any()
    return file.node("MatMul", x, file.constant(weight.T))


@dataclass(frozen=True)
class Hand:
    """How someone writes a network."""

    weight: Form = File.constant
    norm: Form = as_a_node
    active: Form = clipped
    join: Form = from_the_end
    mean: Form = squeezed
    drop: Form = nothing
    classify: Form = general
    style: Style = field(default_factory=lambda: Style(opset=17))
    zeros: tuple[str, ...] = ()
    """Weights that are zero."""


HANDS: Mapping[str, Hand] = {
    "one": Hand(
        of_a_matrix, by_parts, maximum, one_by_one, of_rows_and_columns, with_a_ratio, turned
    ),
    "two": Hand(of_halves, computed, clipped, from_the_end, of_all_in_a_row, nothing, general),
    "three": Hand(scaled, as_a_node, maximum, one_by_one, by_its_shape, with_a_ratio, apart),
    "four": Hand(renamed, by_parts, clipped, from_the_end, from_the_front, nothing, turned),
    "five": Hand(classify=without_zeros, zeros=("classifier.bias",), style=Style(nodes=True)),
}


def by_hand(hand: Hand) -> tuple[Any, dict[str, Array]]:
    """The network's nodes in the forms of a hand, and its weights by the spec's names."""
    file, outs = File(hand.style), {"input": 3}
    values = {"input": file.node("Identity", "input")}
    file.weights |= {name: np.zeros(5, np.float32) for name in hand.zeros}
    for step in STEPS[1:]:
        given = [values[name] for name in step.inputs]
        width = sum(outs[name] for name in step.inputs)
        outs[step.name] = step.attrs.get("out_channels", width)
        values[step.name] = _node(file, hand, step, given, width)
    return finished(file, "input", ("N", 3, 32, 32), values[STEPS[-1].name]), file.weights


def _node(file: File, hand: Hand, step: Any, given: list[str], width: int) -> str:
    a = step.attrs
    if step.kind == "conv":
        shape = (a["out_channels"], width, a["kernel"], a["kernel"])
        filters = hand.weight(file, file.draw(f"{step.name}.weight", shape))
        return file.node(
            "Conv", given[0], filters, strides=[a["stride"]] * 2, pads=[a["padding"]] * 4
        )
    if step.kind == "batch_norm":
        roles = ("gamma", "beta", "moving_mean", "moving_variance")
        return hand.norm(file, given[0], *(file.draw(f"{step.name}.{r}", (width,)) for r in roles))
    if step.kind == "dense":
        weight = file.draw("classifier.weight", (5, width))
        return hand.classify(
            file, hand.drop(file, given[0]), weight, file.draw("classifier.bias", (5,))
        )
    if step.kind in ("max_pool", "avg_pool"):
        kind = {"max_pool": "MaxPool", "avg_pool": "AveragePool"}[step.kind]
        sizes = {"kernel_shape": [a["kernel"]] * 2, "strides": [a["stride"]] * 2}
        return file.node(kind, given[0], **sizes, pads=[a["padding"]] * 4)
    if step.kind == "concat":
        return hand.join(file, *given)
    return hand.active(file, *given) if step.kind == "relu" else hand.mean(file, *given, width)


@pytest.mark.parametrize("name", HANDS)
def test_a_network_written_by_hand_is_certified(name: str, tmp_path: Path) -> None:
    """Equal, alive, valid, and ONNX Runtime gives what the oracle gives for the spec."""
    model, weights = by_hand(HANDS[name])
    right = oracle.forward(SPEC.ops.values(), weights, IMAGES)
    assert oracle.distance(run(model, IMAGES), right) < 1e-5
    file = tmp_path / "model.onnx"
    file.write_bytes(model.SerializeToString())
    reading = onnx_reading(file)
    refuse_invalid(file, reading.model)
    comparison = compare(
        SPEC, reading.graph, zero_biases=reading.zero_biases, norms_shift=reading.norms_shift
    )
    assert [difference.message for difference in comparison.differences] == []
    life = check_liveness(comparison.match, reading, file)
    assert (life.differences, life.unreadable) == ((), ())


def test_what_onnx_runtime_optimised_is_certified(tmp_path: Path) -> None:
    kinds = set[str]()
    whole = by_hand(Hand(active=plain))[0]
    for model in (optimised(whole), optimised(whole, "EXTENDED")):
        kinds |= {node.op_type for node in model.graph.node}
        file = tmp_path / "optimised.onnx"
        file.write_bytes(model.SerializeToString())
        reading = onnx_reading(file)
        refuse_invalid(file, reading.model)
        comparison = compare(
            SPEC, reading.graph, zero_biases=reading.zero_biases, norms_shift=reading.norms_shift
        )
        assert [difference.message for difference in comparison.differences] == []
    assert "FusedConv" in kinds


def test_an_activation_in_a_convolution_is_compared(tmp_path: Path) -> None:
    """Another function, and one that is not known."""
    model = optimised(by_hand(Hand(active=plain))[0], "EXTENDED")
    node = next(node for node in model.graph.node if node.op_type == "FusedConv")
    attribute = next(each for each in node.attribute if each.name == "activation")
    attribute.s = b"Sigmoid"
    file = tmp_path / "model.onnx"
    file.write_bytes(model.SerializeToString())
    (line,) = compare(SPEC, onnx_reading(file).graph).differences
    assert line.message == "features.relu0 is sigmoid, the spec says relu"


@pytest.mark.parametrize(
    ("kind", "attrs"),
    [
        ("leaky_relu", {"slope": 0.1}),
        ("relu6", {}),
        ("sigmoid", {}),
        ("silu", {}),
        ("tanh", {}),
        ("hard_tanh", {"low": -1.0, "high": 2.0}),
    ],
)
def test_activations_that_onnx_runtime_fuses_are_read(
    kind: str, attrs: Any, tmp_path: Path
) -> None:
    """Into a convolution, or two nodes into one."""
    conv = {"in_channels": 3, "out_channels": 4, "kernel": 1, "stride": 1, "padding": 0}
    steps = [
        Step("x", "input", (), {"shape": (3, 32, 32)}),
        Step("conv", "conv", ("x",), conv),
        Step("end", kind, ("conv",), attrs),
    ]
    model = optimised(written(steps, Style(opset=17))[0], "EXTENDED")
    assert {node.op_type for node in model.graph.node} & {"FusedConv", "QuickGelu"}
    file = tmp_path / "model.onnx"
    file.write_bytes(model.SerializeToString())
    spec = Graph.of("spec", [Op(*step) for step in steps])
    assert compare(spec, onnx_reading(file).graph).differences == ()


@pytest.mark.parametrize(("kind", "attrs"), [("leaky_relu", {"slope": 0.1}), ("relu", {})])
def test_activations_in_a_classifier_are_read(kind: str, attrs: Any, tmp_path: Path) -> None:
    steps = [
        Step("x", "input", (), {"shape": (3, 32, 32)}),
        Step("pool", "global_avg_pool", ("x",), {}),
        Step("dense", "dense", ("pool",), {"in_channels": 3, "out_channels": 4}),
        Step("end", kind, ("dense",), attrs),
    ]
    model = optimised(written(steps, Style(opset=17))[0], "EXTENDED")
    assert model.graph.node[-1].op_type == "FusedGemm"
    file = tmp_path / "model.onnx"
    file.write_bytes(model.SerializeToString())
    spec = Graph.of("spec", [Op(*step) for step in steps])
    assert compare(spec, onnx_reading(file).graph).differences == ()


def test_constants_that_are_numbers_are_followed(tmp_path: Path) -> None:
    """A float, an int, and lists of them, in place of a tensor."""
    file = File(Style(opset=17))
    sizes = file.node("Constant", value_ints=[0, 0, 1, 1, 0, 0, 1, 1])
    zero = file.node("Constant", value_float=0.0)
    x = file.node("Pad", "x", sizes, zero)
    x = file.node("Conv", x, file.constant(np.ones((4, 4, 3, 3))))
    x = file.node("Mul", file.node("Max", x, zero), file.node("Constant", value_floats=[1.0]))
    model = finished(file, "x", ("N", 4, 8, 8), x)
    run(model, np.ones((1, 4, 8, 8), np.float32))
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    found = onnx_reading(tmp_path / "model.onnx").graph
    assert [op.kind for op in found.ops.values()] == ["input", "conv", "relu"]
