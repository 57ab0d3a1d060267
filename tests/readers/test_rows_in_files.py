"""Each row reads each node that it names, of an ONNX and of a MINDIR, with all of its settings: an
operator's example (`tests/operators/examples.py`) comes back as what it is.

The nodes are written by hand, as the formats document them. What a format puts together of several,
`onnx_styles` writes; MindSpore's are in test_mindir_operators.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest
from operators.example_values import changes_numbers
from operators.examples import ALL, EXAMPLES, MAP, NAMES, network_of, read_by
from readers.onnx_styles import WRITERS, File, Step, Style, finished, run, written

from archspec.errors import ModelFileError
from archspec.graph.ir import Op
from archspec.operators.table import OPERATORS, ROWS
from archspec.readers.mindir.decode import Constant
from archspec.readers.mindir.node import MindirNode
from archspec.readers.mindir.operators import PRIMITIVES
from archspec.readers.onnx import operators as onnx_operators
from archspec.readers.onnx.read import read_onnx
from archspec.readers.tensors import Tensor
from archspec.readers.trace import UNKNOWN, Feature, Trace, Unsupported

Attrs = Mapping[str, Any]
ONNX = [(row.kind, word) for row in ROWS for word in row.onnx]
MINDIR = [(row.kind, word) for row in ROWS for word in row.mindir]


def assert_is(found: Op, kind: str, attrs: Attrs) -> None:
    """It is of this kind and has these attributes, but for those that no file tells: of training,
    and what learned weights start from. What numbers depend on is told here, whatever else there
    is that does not tell it.
    """
    row = OPERATORS[kind]
    assert found.kind == kind
    read = {**row.defaults, **found.attrs}
    unasked = {name for name in row.untold & {*row.said} if not changes_numbers(kind, name)}
    expected = {name: attrs[name] for name in attrs.keys() - row.in_training - unasked}
    assert {name: read[name] for name in expected} == expected
    assert {name for name in read if read[name] is None} <= row.untold | {*row.defaults}


def read(model: Any, folder: Path) -> list[Op]:
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return [op for op in read_onnx(folder / "model.onnx").ops.values() if op.kind != "input"]


STYLES = [Style(opset=20, filters="normed"), Style(written_out=True)]
WRITTEN = [each for each in zip(ALL, NAMES, strict=True) if each[0][0] in WRITERS]
"""Kinds of which `onnx_styles` knows how exporters write them; how we do, all rows are asked in
tests/operators/test_row_code.py.
"""


@pytest.mark.parametrize("style", STYLES, ids=["usual", "written out"])
@pytest.mark.parametrize(
    ("kind", "attrs"), [each for each, _ in WRITTEN], ids=[name for _, name in WRITTEN]
)
def test_an_example_comes_back_from_an_onnx(
    kind: str, attrs: Attrs, style: Style, tmp_path: Path
) -> None:
    """As exporters write it, in one node or several; ONNX Runtime gives what NumPy does. What is of
    training alone is not there.
    """
    steps = network_of(kind, attrs)
    is_there = kind != "output" and not OPERATORS[kind].is_of_training
    steps = steps if kind != "output" else steps[:-1]
    model, weights = written(steps, style)
    found = read(model, tmp_path)
    images = np.random.default_rng(0).normal(size=(2, *MAP)).astype(np.float32)
    own = {name: weights[name] for name in oracle.shapes(steps)}
    assert oracle.distance(run(model, images), oracle.forward(steps, own, images)) < 1e-5
    before = sum(op.kind != "input" for op in steps[:-1])
    assert len(found) == before + (is_there and kind != "input")
    if found:
        assert_is(found[-1], kind, attrs)


def weights(file: File, count: int, *shape: int) -> list[str]:
    values = np.arange(np.prod(shape)).reshape(shape) + 1
    return [file.constant(values + number) for number in range(count)]


def last(file: File, node: Callable[[str], str]) -> str:
    """What a node makes of the map with its channels last, which stand first again."""
    made = node(file.node("Transpose", "x", perm=[0, 2, 3, 1]))
    return file.node("Transpose", made, perm=[0, 3, 1, 2])


def mean(file: File) -> str:
    return file.node("ReduceMean", "x", axes=[2, 3], keepdims=0)


def slid(file: File, kind: str, shape: Sequence[int], pads: int = 1, **attrs: Any) -> str:
    filters = [*weights(file, 1, *shape), *weights(file, 1, 24)]
    return file.node(kind, "x", *filters, pads=[pads] * 4, **attrs)


def blurred(file: File) -> str:
    x = file.node("Pad", "x", file.sizes(*[0, 0, 3, 3] * 2), mode="reflect")
    row = np.array([1, 4, 6, 4, 1]) / 16
    filters = file.constant(np.tile(np.outer(row, row), (16, 1, 1, 1)))
    return file.node("Conv", x, filters, group=16, strides=[3, 3])


POOL = {"kernel_shape": [5, 5], "strides": [4, 4], "pads": [1] * 4, "ceil_mode": 1}
CONV = {"strides": [2, 2], "dilations": [4, 4], "group": 8}
LARGER = {"mode": "linear", "coordinate_transformation_mode": "align_corners"}
EPS = {"epsilon": 0.003}
OF_MICROSOFT = {"domain": "com.microsoft"}
BIASED = {"kernel": 3, "stride": 2, "padding": 5, "dilation": 4, "groups": 8, "bias": True}
APART: Mapping[tuple[str, str], tuple[int, Callable[[File], str], Attrs]] = {
    ("conv", "Conv"): (17, lambda f: slid(f, "Conv", (24, 2, 3, 3), 5, **CONV), BIASED),
    ("conv_transpose", "ConvTranspose"): (
        17,
        lambda f: slid(f, "ConvTranspose", (16, 24, 5, 5), strides=[3, 3]),
        EXAMPLES["conv_transpose"][0],
    ),
    ("dense", "MatMul"): (
        17,
        lambda f: f.node("MatMul", mean(f), *weights(f, 1, 16, 24)),
        EXAMPLES["dense"][0],
    ),
    ("dense", "Gemm"): (
        17,
        lambda f: f.node("Gemm", mean(f), *weights(f, 1, 24, 16), transB=1),
        EXAMPLES["dense"][0],
    ),
    ("batch_norm", "BatchNormalization"): (
        17,
        lambda f: f.node("BatchNormalization", "x", *weights(f, 4, 16), **EPS),
        EXAMPLES["batch_norm"][0],
    ),
    ("layer_norm", "LayerNormalization"): (
        17,
        lambda f: last(f, lambda x: f.node("LayerNormalization", x, *weights(f, 2, 16), **EPS)),
        EXAMPLES["layer_norm"][0],
    ),
    ("group_norm", "GroupNormalization"): (
        21,
        lambda f: f.node("GroupNormalization", "x", *weights(f, 2, 16), num_groups=4, **EPS),
        EXAMPLES["group_norm"][0],
    ),
    ("instance_norm", "InstanceNormalization"): (
        17,
        lambda f: f.node("InstanceNormalization", "x", *weights(f, 2, 16), **EPS),
        EXAMPLES["instance_norm"][0],
    ),
    ("rms_norm", "RMSNormalization"): (
        23,
        lambda f: last(f, lambda x: f.node("RMSNormalization", x, *weights(f, 1, 16), **EPS)),
        EXAMPLES["rms_norm"][0],
    ),
    ("relu", "Clip"): (17, lambda f: f.node("Clip", "x", f.constant(0.0)), {}),
    ("relu", "Max"): (17, lambda f: f.node("Max", f.constant(0.0), "x"), {}),
    ("relu6", "Clip"): (17, lambda f: f.node("Clip", "x", f.constant(0.0), f.constant(6.0)), {}),
    ("silu", "com.microsoft::QuickGelu"): (
        17,
        lambda f: f.node("QuickGelu", "x", alpha=1.0, **OF_MICROSOFT),
        {},
    ),
    ("gelu", "Gelu"): (
        20,
        lambda f: f.node("Gelu", "x", approximate="tanh"),
        {"approximate": "tanh"},
    ),
    ("gelu", "com.microsoft::Gelu"): (17, lambda f: f.node("Gelu", "x", **OF_MICROSOFT), {}),
    ("leaky_relu", "LeakyRelu"): (
        17,
        lambda f: f.node("LeakyRelu", "x", alpha=0.3),
        EXAMPLES["leaky_relu"][0],
    ),
    ("prelu", "PRelu"): (
        17,
        lambda f: f.node("PRelu", "x", *weights(f, 1, 16, 1, 1)),
        {"channels": 16},
    ),
    ("hard_sigmoid", "HardSigmoid"): (
        17,
        lambda f: f.node("HardSigmoid", "x", alpha=1 / 6, beta=0.5),
        {},
    ),
    ("elu", "Elu"): (17, lambda f: f.node("Elu", "x", alpha=0.3), EXAMPLES["elu"][0]),
    ("softplus", "Softplus"): (17, lambda f: f.node("Softplus", "x"), {"beta": 1.0}),
    ("hard_tanh", "Clip"): (
        17,
        lambda f: f.node("Clip", "x", f.constant(-0.5), f.constant(2.0)),
        EXAMPLES["hard_tanh"][0],
    ),
    ("dropout", "Dropout"): (17, lambda f: f.node("Relu", f.node("Dropout", "x")), {}),
    ("max_pool", "MaxPool"): (
        17,
        lambda f: f.node("MaxPool", "x", **POOL),
        EXAMPLES["max_pool"][0],
    ),
    ("avg_pool", "AveragePool"): (
        17,
        lambda f: f.node("AveragePool", "x", count_include_pad=1, **POOL),
        EXAMPLES["avg_pool"][0],
    ),
    ("blur_pool", "Conv"): (17, blurred, EXAMPLES["blur_pool"][0]),
    ("global_avg_pool", "ReduceMean"): (17, mean, {"keep": False}),
    ("global_avg_pool", "GlobalAveragePool"): (
        17,
        lambda f: f.node("GlobalAveragePool", "x"),
        {"keep": True},
    ),
    ("global_max_pool", "ReduceMax"): (
        17,
        lambda f: f.node("ReduceMax", "x", axes=[2, 3], keepdims=0),
        {"keep": False},
    ),
    ("global_max_pool", "GlobalMaxPool"): (
        17,
        lambda f: f.node("GlobalMaxPool", "x"),
        {"keep": True},
    ),
    ("global_max_pool", "MaxPool"): (
        17,
        lambda f: f.node("MaxPool", "x", kernel_shape=MAP[1:], strides=MAP[1:]),
        {"keep": True},
    ),
    ("upsample", "Resize"): (
        17,
        lambda f: f.node("Resize", "x", "", f.constant([1, 1, 3, 3]), **LARGER),
        EXAMPLES["upsample"][0],
    ),
    ("upsample", "Upsample"): (
        9,
        lambda f: f.node("Upsample", "x", f.constant([1, 1, 3, 3]), mode="nearest"),
        EXAMPLES["upsample"][2],
    ),
    ("pixel_shuffle", "DepthToSpace"): (
        17,
        lambda f: f.node("DepthToSpace", "x", blocksize=4, mode="CRD"),
        EXAMPLES["pixel_shuffle"][0],
    ),
    ("concat", "Concat"): (17, lambda f: f.node("Concat", "x", "x", axis=-3), {}),
}
"""By a row and what ONNX calls it: the opset, its node, and what it is; others have no settings."""


def line_of(table: str, kind: str, word: str, plain: Any) -> Any:
    """The line that a table of this file has for a row and a format's word, else the plain one
    where the operator has no settings.
    """
    row, lines = OPERATORS[kind], globals()[table]
    needs_line = {*row.required, *row.defaults}
    missing = f"{table} in {__file__} has no line for the settings of {kind}, which is a {word}"
    assert (kind, word) in lines or not needs_line, missing
    return lines.get((kind, word), plain)


@pytest.mark.parametrize(("kind", "word"), ONNX)
def test_a_row_reads_each_node_that_it_names(kind: str, word: str, tmp_path: Path) -> None:
    """A node without settings is written by its name and what it reads; any other needs a line
    above.
    """
    others = ["Tanh" for _ in read_by(kind)[1:]]
    plain = (20, lambda f: f.node(word, "x", *(f.node(each, "x") for each in others)), {})
    opset, build, attrs = line_of("APART", kind, word, plain)
    row = OPERATORS[kind]
    file = File(Style(opset=opset))
    file.add(Step("x", "input", (), {"shape": MAP}))
    (*_, found) = read(finished(file, "x", (2, *MAP), build(file)), tmp_path)
    assert any(word.endswith(node.op_type) for node in file.nodes)
    assert_is(found, "relu" if row.is_of_training else kind, attrs)


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda f: f.node("QuickGelu", "x", **OF_MICROSOFT), "has the factor 1.702"),
        (lambda f: f.node("HardSigmoid", "x"), "has the slope 0.2"),
        (lambda f: f.node("DepthToSpace", "x", blocksize=4), "as TensorFlow does (DCR)"),
        (lambda f: f.node("AveragePool", "x", **POOL), "leaves its padding out"),
        (lambda f: f.node("Concat", "x", "x", axis=2), "joins along axis 2"),
    ],
)
def test_a_node_that_says_otherwise_is_refused(
    build: Callable[[File], str], expected: str, tmp_path: Path
) -> None:
    """What it says is looked at, and so is what is meant where it says nothing."""
    file = File(Style())
    file.add(Step("x", "input", (), {"shape": MAP}))
    with pytest.raises(ModelFileError, match=re.escape(expected)):
        read(finished(file, "x", (2, *MAP), build(file)), tmp_path)


@dataclass
class Asked:
    """A primitive of a MINDIR about to be read: its kind, behind what it reads an image."""

    word: str
    trace: Trace = field(default_factory=Trace)

    def feature(self, *shape: int, kind: str = "input", pending: Any = (), **attrs: Any) -> Feature:
        """What gives a map of this shape, or part of one."""
        inputs = () if kind == "input" else ("x",)
        name = self.trace.add(Op(self.trace.free("x"), kind, inputs, attrs), (2, *shape))
        return Feature(name, (2, *shape), pending)

    def read(self, *inputs: Any, **attrs: Any) -> Op:
        """Read it, and return the operator that it is."""
        PRIMITIVES[self.word](MindirNode(self.trace, "node", self.word, inputs, attrs))
        (*_, found) = self.trace.ops.values()
        return found

    def of_map(self, *inputs: Any, **attrs: Any) -> Op:
        """The same of a map, and what the primitive reads beside."""
        return self.read(self.feature(*MAP), *inputs, **attrs)

    def of_vector(self, *inputs: Any, **attrs: Any) -> Op:
        """The same of a vector."""
        return self.read(self.feature(MAP[0]), *inputs, **attrs)

    def of_space(self, **attrs: Any) -> Op:
        """The same of a map with one slice: pools that know a padding are of three dimensions."""
        return self.read(self.feature(16, 1, 9, 6), **attrs)


def weight(*shape: int) -> Tensor:
    return Tensor("layer.w", shape)


def read_share(asked: Asked) -> Op:
    """max(x, 0.3 x)."""
    x = asked.feature(*MAP)
    return asked.read(x, asked.feature(*MAP, kind="times", value=0.3))


def read_blur(asked: Asked) -> Op:
    row = np.array([1, 4, 6, 4, 1]) / 16
    x = asked.feature(*MAP, pending=("mirrored padding", (3,) * 4))
    filters = Constant(np.tile(np.outer(row, row), (16, 1, 1, 1)))
    own = {"group": 16, "pad_mode": "valid", "pad": (0,) * 4, "dilation": (1,) * 4}
    return asked.read(x, filters, stride=(1, 1, 3, 3), **own)


V = weight(16)
SLID = {"pad_mode": "pad", "pad": (5,) * 4, "stride": (1, 1, 2, 2), "dilation": (1, 1, 4, 4)}
LARGER_BY = {"pad_mode": "PAD", "pad": (1,) * 4, "stride": (1, 1, 3, 3), "dilation": (1,) * 4}
SPACE = {"strides": (1, 4, 4), "pads": (0, 1, 1), "dilation": (1, 1, 1), "ceil_mode": True}
CUBE = {"strides": (1, 1, 1, 4, 4), "pad_list": (0, 0, 1, 1, 1, 1), "pad_mode": "PAD"}
CUBE |= {"pad": (0, 0, 1, 1, 1, 1), "kernel_size": (1, 1, 1, 5, 5)}
MEANS = {"ceil_mode": True, "count_include_pad": True, "divisor_override": 0}
BARE = {"kernel": 5, "stride": 4, "padding": 0}
PRIMITIVE: Mapping[tuple[str, str], tuple[Callable[[Asked], Op], Attrs]] = {
    ("conv", "Conv2D"): (
        lambda asked: asked.of_map(weight(24, 2, 3, 3), group=8, **SLID),
        {**BIASED, "bias": False},
    ),
    ("conv_transpose", "Conv2DTranspose"): (
        lambda asked: asked.of_map(weight(16, 24, 5, 5), (2, 24, 27, 18), group=1, **LARGER_BY),
        {**EXAMPLES["conv_transpose"][0], "bias": False},
    ),
    ("dense", "MatMul"): (
        lambda asked: asked.of_vector(weight(24, 16), False, True),
        EXAMPLES["dense"][0],
    ),
    ("dense", "MatMulExt"): (
        lambda asked: asked.of_vector(weight(16, 24)),
        EXAMPLES["dense"][0],
    ),
    ("dense", "Dense"): (
        lambda asked: asked.of_vector(weight(24, 16), weight(24)),
        EXAMPLES["dense"][1],
    ),
    ("batch_norm", "BatchNorm"): (
        lambda asked: asked.of_map(V, V, V, V, False, 0.003, 0.1, 0),
        EXAMPLES["batch_norm"][0],
    ),
    ("layer_norm", "LayerNorm"): (
        lambda asked: asked.of_vector(V, V, -1, -1, 0.003),
        EXAMPLES["layer_norm"][0],
    ),
    ("group_norm", "GroupNorm"): (
        lambda asked: asked.of_map(4, V, V, 0.003),
        EXAMPLES["group_norm"][0],
    ),
    ("relu", "ClampScalar"): (lambda asked: asked.of_map(0.0, None), {}),
    ("relu6", "ClampScalar"): (lambda asked: asked.of_map(0.0, 6.0), {}),
    ("hard_tanh", "ClampScalar"): (
        lambda asked: asked.of_map(-0.5, 2.0),
        EXAMPLES["hard_tanh"][0],
    ),
    ("gelu", "GeLU"): (lambda asked: asked.of_map(), {"approximate": "tanh"}),
    ("leaky_relu", "Maximum"): (read_share, EXAMPLES["leaky_relu"][0]),
    ("prelu", "PReLU"): (lambda asked: asked.of_map(V), {"channels": 16}),
    ("elu", "Elu"): (lambda asked: asked.of_map(0.3), EXAMPLES["elu"][0]),
    ("softplus", "Softplus"): (lambda asked: asked.of_map(), {"beta": 1.0}),
    ("dropout", "Dropout"): (lambda asked: asked.of_map(1.0), {}),
    ("max_pool", "MaxPool"): (lambda asked: asked.of_map((5, 5), (4, 4), 2, 0), BARE),
    ("max_pool", "MaxPool3D"): (
        lambda asked: asked.of_space(ceil_mode=1, **CUBE),
        EXAMPLES["max_pool"][0],
    ),
    ("max_pool", "MaxPool3DWithArgmax"): (
        lambda asked: asked.of_space(ksize=(1, 5, 5), **SPACE),
        EXAMPLES["max_pool"][0],
    ),
    ("avg_pool", "AvgPool"): (lambda asked: asked.of_map((5, 5), (4, 4), 2, 0), BARE),
    ("avg_pool", "AvgPool3D"): (
        lambda asked: asked.of_space(**CUBE, **MEANS),
        EXAMPLES["avg_pool"][0],
    ),
    ("blur_pool", "Conv2D"): (read_blur, EXAMPLES["blur_pool"][0]),
    ("global_avg_pool", "ReduceMean"): (lambda asked: asked.of_map((2, 3), True), {"keep": True}),
    ("global_avg_pool", "AdaptiveAvgPool2D"): (
        lambda asked: asked.of_map((1, 1)),
        {"keep": True},
    ),
    ("global_max_pool", "ReduceMax"): (lambda asked: asked.of_map((2, 3), True), {"keep": True}),
    ("global_max_pool", "MaxPool"): (
        lambda asked: asked.of_map(MAP[1:], MAP[1:], 2, 0),
        {"keep": True},
    ),
    ("upsample", "ResizeNearestNeighborV2"): (
        lambda asked: asked.of_map((27, 18), False, True),
        EXAMPLES["upsample"][2],
    ),
    ("upsample", "ResizeBilinearV2"): (
        lambda asked: asked.of_map((27, 18), True, False),
        EXAMPLES["upsample"][0],
    ),
    ("shuffle", "ChannelShuffle"): (
        lambda asked: asked.of_map(group=4),
        EXAMPLES["shuffle"][0],
    ),
    ("concat", "Concat"): (
        lambda asked: asked.read((asked.feature(*MAP), asked.feature(*MAP)), 1),
        {},
    ),
}
"""By a row and what MindSpore calls it: what it reads, and what it is."""


@pytest.mark.parametrize(("kind", "word"), MINDIR)
def test_a_row_reads_each_primitive_that_it_names(kind: str, word: str) -> None:
    """One without settings reads maps and nothing else; any other needs a line above."""
    plain = (lambda asked: asked.read(*(asked.feature(*MAP) for _ in read_by(kind))), {})
    read_it, attrs = line_of("PRIMITIVE", kind, word, plain)
    is_nothing = OPERATORS[kind].is_of_training
    assert_is(read_it(Asked(word)), "input" if is_nothing else kind, attrs)


def test_a_reading_that_does_not_tell_what_numbers_depend_on_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The eps of a norm may be untold, and is where a norm was folded: not where a node has it."""

    def read_none(node: Any) -> Any:
        x = node.channels_last(-1)
        return node.in_place("layer_norm", x, [node.weight(1, 1)], channels=16, eps=None)

    word = "LayerNormalization"
    monkeypatch.setitem(onnx_operators.OPERATORS, word, read_none)
    with pytest.raises(AssertionError):
        test_a_row_reads_each_node_that_it_names("layer_norm", word, tmp_path)


@pytest.mark.parametrize("power", [2, 2.0])
def test_a_power_and_a_root_are_parts_of_operators(power: float) -> None:
    """A norm over the channels, written out; a power by itself is none, nor is one of a weight."""
    trace = Trace()

    def node(word: str, *inputs: Any) -> Feature:
        return PRIMITIVES[word](MindirNode(trace, "node", word, inputs, {}))

    x = Feature(trace.add(Op("x", "input", (), {"shape": MAP}), (2, *MAP)), (2, *MAP))
    mean = node("ReduceMean", node("Pow", x, power), (1,), True)
    made = node("Div", x, node("Sqrt", node("Adds", mean, 0.003)))
    assert_is(trace.ops[made.op], "rms_norm", EXAMPLES["rms_norm"][0])
    assert trace.faults[node("Pow", x, 3.0).op] == f"Pow {UNKNOWN}"
    with pytest.raises(Unsupported, match=UNKNOWN):
        node("Pow", x, V)


@pytest.mark.parametrize(("kind", "has_shift"), [("layer_norm", True), ("rms_norm", False)])
def test_a_norm_that_is_written_out_has_the_shift_that_its_row_has(
    kind: str, has_shift: bool
) -> None:
    """Behind its scale, and one alone: what is added to an RMS norm, or once more, is no part."""
    trace, of_each = Trace(), weight(16, 1, 1)

    def node(word: str, *inputs: Any) -> Feature:
        return PRIMITIVES[word](MindirNode(trace, "node", word, inputs, {}))

    def added(to: Feature) -> str:
        with suppress(Unsupported):
            return trace.ops[node("Add", to, of_each).op].kind
        return ""

    x = Feature(trace.add(Op("x", "input", (), {"shape": MAP}), (2, *MAP)), (2, *MAP))
    centred = node("Sub", x, node("ReduceMean", x, (1,), True)) if has_shift else x
    mean = node("ReduceMean", node("Square", centred), (1,), True)
    normed = node("Mul", centred, node("Rsqrt", node("Add", mean, 0.003)))
    made = node("Mul", normed, of_each)
    assert added(normed) != kind
    if has_shift:
        made = node("Add", made, weight(16, 1, 1))
        known = trace.weights[made.op]
        assert (len(known.scales), len(known.others)) == (1, 1)
    assert_is(trace.ops[made.op], kind, EXAMPLES[kind][0])
    assert added(made) != kind


def read_sum(dims: Sequence[int], is_turned: bool) -> Op:
    """A convolution, whose map is as wide as it has channels, and a weight of these dims."""
    asked = Asked("Add")
    x = asked.feature(16, 9, 16, kind="conv", **EXAMPLES["conv"][1])
    pair = (weight(*dims), x) if is_turned else (x, weight(*dims))
    return asked.read(*pair)


@pytest.mark.parametrize("is_turned", [False, True])
def test_a_sum_with_a_weight_for_each_channel_is_a_bias(is_turned: bool) -> None:
    """In either order. A vector that is added to a map runs along its width."""
    assert_is(read_sum((16, 1, 1), is_turned), "conv", {**EXAMPLES["conv"][1], "bias": True})
    for dims in ((16,), (9, 16), (1, 1, 16), (16, 1)):
        with pytest.raises(Unsupported, match="is added to something else"):
            read_sum(dims, is_turned)
