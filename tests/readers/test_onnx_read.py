"""Reading ONNX: networks as frameworks write them,
each run by ONNX Runtime and held to the NumPy oracle.
"""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import oracle
import pytest
from onnx import helper, numpy_helper
from readers.onnx_styles import STYLES, File, Step, Style, densenet, finished, run, written

from archspec.compare.compare import Comparison, compare
from archspec.errors import ModelFileError
from archspec.graph.build import build_graph
from archspec.graph.ir import Graph, Op
from archspec.graph.shapes import infer_shapes
from archspec.operators.file_node import CHANNEL_SHIFT
from archspec.operators.table import REMAINS
from archspec.readers.onnx.read import read_onnx
from archspec.spec.load import load_spec

DIGITS = build_graph(load_spec("densenetbc_digits"))
DIGITS_STEPS = densenet([4, 4], 12, (1, 8, 8), 10, imagenet=False)


def read(model: Any, folder: Path) -> Graph:
    file = folder / "model.onnx"
    file.write_bytes(model.SerializeToString())
    return read_onnx(file)


def lines(comparison: Comparison) -> list[str]:
    return [difference.message for difference in comparison.differences]


def normal(*shape: int) -> Any:
    return np.random.default_rng(3).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("name", STYLES)
def test_a_network_is_recognised_in_every_style(name: str, tmp_path: Path) -> None:
    """The file is real: ONNX Runtime gives what the oracle gives for the spec.

    Nothing is lost, nothing accused.
    """
    style = STYLES[name]
    model, weights = written(DIGITS_STEPS, style)
    onnx.checker.check_model(model)
    images = normal(style.batch if isinstance(style.batch, int) else 2, 1, 8, 8)
    assert (
        oracle.distance(run(model, images), oracle.forward(DIGITS.ops.values(), weights, images))
        < 1e-5
    )
    found = read(model, tmp_path)
    assert infer_shapes(found)[1] == ()
    comparison = compare(DIGITS, found)
    assert lines(comparison) == []
    assert [(block.edges, block.expected_edges) for block in comparison.blocks] == [
        (10, 10),
        (10, 10),
    ]
    assert comparison.params == comparison.expected_params - (384 if style.norm == "folded" else 0)


def test_norms_that_do_not_stand_in_the_file_are_said(tmp_path: Path) -> None:
    """A certificate must not claim an eps that nobody saw."""
    folded, affine, plain = (
        compare(DIGITS, read(written(DIGITS_STEPS, STYLES[name])[0], tmp_path)).notes
        for name in ("torch folded", "scale and shift", "torch")
    )
    assert folded == (
        "8 batch norms are folded into the convolution before: eps is not compared there",
    )
    assert affine == (
        "18 batch norms are written as a scale and a shift: eps is not compared there",
    )
    assert plain == ()


@pytest.mark.parametrize("name", ["torch", "torch folded", "mindcv"])
def test_densenet121_has_its_published_numbers(name: str, tmp_path: Path) -> None:
    """7,978,856 parameters and 535 direct connections;
    folded, the norms' gammas are part of the filters.
    """
    found = read(
        written(densenet([6, 12, 24, 16], 32, (3, 224, 224), 1000), STYLES[name])[0], tmp_path
    )
    comparison = compare(build_graph(load_spec("densenet121")), found)
    assert comparison.is_equal
    assert [block.edges for block in comparison.blocks] == [21, 78, 300, 136]
    assert comparison.params == (7_971_368 if name == "torch folded" else 7_978_856)


SLOW = ("hardnet68", "vovnet39", "fcdensenet103", "densenet161")
RELATIVES = ("hardnet39ds", "peleenet", "cspdensenet121", "sparsenet40_k24")


@pytest.mark.parametrize(
    "name", [*RELATIVES, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
)
@pytest.mark.parametrize("style", ["torch", "torch folded"])
def test_relatives_of_densenet_are_recognised(name: str, style: str, tmp_path: Path) -> None:
    """Harmonic, sparse, two-way and cross stage partial connections;
    transposed convolutions and crops.
    """
    spec = build_graph(load_spec(name, ["input.height=64", "input.width=64"]))
    model, weights = written(spec.ops.values(), replace(STYLES[style], opset=13))
    if style == "torch folded":
        images = normal(2, *spec.ops["input"].attrs["shape"])
        assert (
            oracle.distance(run(model, images), oracle.forward(spec.ops.values(), weights, images))
            < 1e-5
        )
    assert lines(compare(spec, read(model, tmp_path))) == []


WRONG = [
    ("compression=0.25", ["features.transition1.conv has 36 outputs, the spec says 18"]),
    ("block_config=[4,3]", ["block 2 has 4 layers, the spec says 3"]),
    (
        "stem.norm=true",
        ["the stem consists of conv; the spec says conv, batch_norm, relu"],
    ),
    (
        "activation=silu",
        ["features.denseblock1.denselayer1.silu1 and 17 more are relu, the spec says silu"],
    ),
]


@pytest.mark.parametrize(("override", "expected"), WRONG)
@pytest.mark.parametrize("style", ["torch", "torch folded", "scale and shift"])
def test_another_spec_is_different_in_the_users_words(
    override: str, expected: list[str], style: str, tmp_path: Path
) -> None:
    """The same lines however the file is written."""
    wrong = build_graph(load_spec("densenetbc_digits", [override]))
    assert (
        lines(compare(wrong, read(written(DIGITS_STEPS, STYLES[style])[0], tmp_path))) == expected
    )


def test_a_norm_that_is_neither_there_nor_folded_is_missed(tmp_path: Path) -> None:
    """A convolution without a bias cannot hold a norm."""
    steps = [step for step in DIGITS_STEPS if step.name != "features.denseblock1.denselayer2.norm2"]
    steps = [
        step._replace(inputs=("features.denseblock1.denselayer2.conv1",))
        if step.name.endswith("block1.denselayer2.relu2")
        else step
        for step in steps
    ]
    found = read(written(steps, STYLES["torch folded"])[0], tmp_path)
    assert lines(compare(DIGITS, found)) == [
        "block 1, layer 2 consists of batch_norm, relu, conv, relu, conv; "
        "the spec says batch_norm, relu, conv, batch_norm, relu, conv"
    ]


# What is special of some operators in a file, beside their examples (test_rows_in_files.py),
# C x H x W = 4 x 8 x 8: a name, the style, and the steps behind the input.
CONV = {"in_channels": 4, "out_channels": 6, "kernel": 3, "stride": 1, "padding": 1}
POOL = {"kernel": 3, "stride": 2, "padding": 1}
RMS = ("rms_norm", {"channels": 4, "eps": 1e-5})
PLAIN, OUT = Style(), Style(written_out=True)
FORMS: list[tuple[str, Style, list[tuple[str, dict[str, Any]]]]] = [
    (
        "dilated and grouped",
        PLAIN,
        [("conv", {**CONV, "padding": 2, "dilation": 2, "groups": 2, "bias": True})],
    ),
    ("depthwise", PLAIN, [("conv", {**CONV, "out_channels": 4, "groups": 4})]),
    ("max pool behind a pad", Style(pads=True), [("relu", {}), ("max_pool", POOL)]),
    ("average with its padding", PLAIN, [("avg_pool", POOL)]),
    ("average behind a pad", Style(pads=True, opset=9), [("avg_pool", POOL)]),
    ("rounded up", PLAIN, [("max_pool", {"kernel": 2, "stride": 3, "padding": 0, "ceil": True})]),
    (
        "rounded up to one window, which reaches over the edge",
        PLAIN,
        [("avg_pool", {"kernel": 9, "stride": 2, "padding": 0, "ceil": True})],
    ),
    ("convolution behind a pad", Style(pads=True), [("conv", CONV)]),
    ("scales in a row", PLAIN, [("scale", {"channels": 4}), ("scale", {"channels": 4})]),
    (
        "a scale behind a norm",
        PLAIN,
        [("batch_norm", {"channels": 4, "eps": 1e-5}), ("scale", {"channels": 4})],
    ),
    (
        "a scale before a norm that is written as one",
        Style(norm="affine"),
        [("scale", {"channels": 4}), ("batch_norm", {"channels": 4, "eps": 1e-5})],
    ),
    (
        "a scale behind a norm that is written as one",
        Style(norm="affine"),
        [("batch_norm", {"channels": 4, "eps": 1e-5}), ("scale", {"channels": 4})],
    ),
    (
        "a scale behind a norm without a shift",
        PLAIN,
        [RMS, ("scale", {"channels": 4})],
    ),
    (
        "a norm that is written as one behind a norm without a shift",
        Style(norm="affine"),
        [RMS, ("batch_norm", {"channels": 4, "eps": 1e-5})],
    ),
    ("a norm by itself", Style(norm="affine"), [("batch_norm", {"channels": 4, "eps": 1e-5})]),
    ("an average of all pixels", PLAIN, [("global_avg_pool", {"keep": True})]),
    ("relu6 of opset 9", Style(opset=9), [("relu6", {})]),
    ("mish of opset 18", Style(written_out=True, opset=18), [("mish", {})]),
    ("softplus", PLAIN, [("softplus", {"beta": 1.0})]),
    ("softplus that is linear above", OUT, [("softplus", {"beta": 1.0})]),
    ("hard tanh of opset 9", Style(opset=9), [("hard_tanh", {"low": -0.5, "high": 2.0})]),
]


def ops_of(forms: list[tuple[str, dict[str, Any]]]) -> list[Step]:
    steps = [Step("x", "input", (), {"shape": (4, 8, 8)})]
    for at, (kind, attrs) in enumerate(forms):
        steps.append(Step(f"s{at}", kind, (steps[-1].name,), attrs))
    return steps


@pytest.mark.parametrize(
    ("style", "forms"), [form[1:] for form in FORMS], ids=[form[0] for form in FORMS]
)
def test_every_form_of_an_operator(
    style: Style, forms: list[tuple[str, dict[str, Any]]], tmp_path: Path
) -> None:
    """Its kind and settings, and what ONNX Runtime computes is what the oracle says of them."""
    steps = ops_of(forms)
    model, weights = written(steps, style)
    images = normal(2, 4, 8, 8)
    assert oracle.distance(run(model, images), oracle.forward(steps, weights, images)) < 1e-5
    assert (
        lines(compare(Graph.of("spec", [Op(*step) for step in steps]), read(model, tmp_path))) == []
    )


def image(file: File, channels: int = 4) -> str:
    file.add(Step("x", "input", (), {"shape": (channels, 8, 8)}))
    return "x"


def opened(build: Any, style: Style = PLAIN, shape: Any = ("N", 4, 8, 8)) -> Any:
    """A file of the nodes that a function writes."""
    file = File(style)
    return finished(file, "x", shape, build(file))


def kinds(model: Any, folder: Path) -> list[str]:
    return [op.kind for op in read(model, folder).ops.values()]


def vector(file: File, name: str, size: int = 4) -> str:
    return file.constant(normal(size), name)


def channelwise(file: File, *shape: int) -> str:
    return file.constant(normal(*shape))


def centred(file: File) -> str:
    x = file.node("Sub", "x", channelwise(file, 1, 4, 1, 1))
    x = file.node("Div", x, channelwise(file, 4, 1, 1))
    return file.node(
        "Add", channelwise(file, 4, 1, 1), file.node("Mul", channelwise(file, 4, 1, 1), x)
    )


def unfolded_norm(file: File) -> str:
    """As an exporter writes it that computes nothing beforehand."""
    root = file.node("Sqrt", file.node("Add", vector(file, "variance"), file.constant(1e-5)))
    scale = file.node("Div", vector(file, "gamma"), root)
    shift = file.node("Sub", vector(file, "beta"), file.node("Mul", vector(file, "mean"), scale))
    scale, shift = (file.node("Unsqueeze", part, file.sizes(1, 2)) for part in (scale, shift))
    return file.node("Add", file.node("Mul", "x", scale), shift)


def last_channels_norm(file: File) -> str:
    x = file.node("Transpose", "x", perm=[0, 2, 3, 1])
    x = file.node(
        "LayerNormalization", x, vector(file, "w"), vector(file, "b"), axis=-1, epsilon=1e-6
    )
    return file.node("Transpose", x, perm=[0, 3, 1, 2])


def written_layer_norm(file: File) -> str:
    centre = file.node("Sub", "x", file.node("ReduceMean", "x", axes=[1]))
    square = file.node("ReduceMean", file.node("Pow", centre, file.constant(2.0)), axes=[1])
    root = file.node("Sqrt", file.node("Add", square, file.constant(1e-6)))
    x = file.node("Div", centre, root)
    return file.node(
        "Add", file.node("Mul", x, channelwise(file, 4, 1, 1)), channelwise(file, 4, 1, 1)
    )


def torch_group_norm(file: File) -> str:
    x = file.node("Reshape", "x", file.sizes(0, 2, -1))
    x = file.node(
        "InstanceNormalization", x, file.constant([1, 1]), file.constant([0, 0]), epsilon=1e-5
    )
    x = file.node("Reshape", x, file.node("Shape", "x"))
    return file.node(
        "Add", file.node("Mul", x, channelwise(file, 4, 1, 1)), channelwise(file, 4, 1, 1)
    )


def gate(file: File) -> str:
    pooled = file.node("ReduceMean", "x", axes=[2, 3])
    scaled = file.node("Conv", pooled, file.constant(normal(4, 4, 1, 1)), vector(file, "b"))
    return file.node("Mul", file.node("Sigmoid", scaled), "x")


def split(file: File) -> str:
    file.nodes.append(helper.make_node("Split", ["x", file.sizes(1, 3)], ["a", "b"], axis=1))
    return file.node("Concat", "b", "a", axis=-3)


def blur(file: File) -> str:
    x = file.node("Pad", "x", file.sizes(0, 0, 1, 1, 0, 0, 1, 1), mode="reflect")
    row = np.array([1, 2, 1]) / 4
    filters = np.tile(np.outer(row, row), (4, 1, 1, 1))
    return file.node("Conv", x, file.constant(filters), group=4, strides=[2, 2])


def bias_behind(file: File) -> str:
    made = file.node("Conv", "x", file.constant(normal(4, 4, 1, 1)))
    return file.node("Add", made, channelwise(file, 4, 1, 1))


def infinite_pad(file: File) -> str:
    x = file.node("Pad", "x", file.sizes(0, 0, 1, 1, 0, 0, 1, 1), file.constant(-np.inf))
    return file.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2])


def nothing(file: File) -> str:
    x = file.node("Dropout", file.node("Identity", "x"))
    x = file.node("Cast", file.node("Cast", x, to=10), to=1)
    x = file.node("Pad", x, file.sizes(*[0] * 8))
    x = file.node("Mul", x, file.constant(1.0))
    return file.node("Relu", file.node("Slice", x, file.sizes(0), file.sizes(2**60), file.sizes(1)))


def tanh_gelu(file: File) -> str:
    cubed = file.node("Mul", file.constant(0.044715), file.node("Pow", "x", file.constant(3.0)))
    inner = file.node("Mul", file.node("Add", "x", cubed), file.constant(np.sqrt(2 / np.pi)))
    opened = file.node("Add", file.constant(1.0), file.node("Tanh", inner))
    return file.node("Mul", file.node("Mul", file.constant(0.5), "x"), opened)


BUILT = [
    (centred, ["batch_norm"], {"channels": 4, "eps": None}),
    (unfolded_norm, ["batch_norm"], {"channels": 4, "eps": None}),
    (last_channels_norm, ["layer_norm"], {"channels": 4, "eps": 1e-6}),
    (written_layer_norm, ["layer_norm"], {"channels": 4, "eps": 1e-6}),
    (torch_group_norm, ["group_norm"], {"channels": 4, "groups": 2, "eps": 1e-5}),
    (gate, ["global_avg_pool", "conv", "sigmoid", "multiply"], {}),
    (split, ["slice", "slice", "concat"], {}),
    (blur, ["blur_pool"], {"kernel": 3, "stride": 2, "padding": 1}),
    (bias_behind, ["conv"], {"bias": True}),
    (infinite_pad, ["max_pool"], {"padding": 1}),
    (nothing, ["relu"], {}),
    (tanh_gelu, ["gelu"], {"approximate": "tanh"}),
    (lambda file: file.node("Add", "x", file.node("Relu", "x")), ["relu", "add"], {}),
    (
        lambda f: f.node("ReduceMean", f.node("ReduceMean", "x", axes=[2]), axes=[3]),
        ["global_avg_pool"],
        {"keep": True},
    ),
    (
        lambda f: f.node(
            "ReduceMean", f.node("ReduceMean", "x", axes=[-2], keepdims=0), axes=[-1], keepdims=0
        ),
        ["global_avg_pool"],
        {},
    ),
    (
        lambda f: f.node(
            "ReduceMean", f.node("Identity", f.node("ReduceMean", "x", axes=[3])), axes=[2]
        ),
        ["global_avg_pool"],
        {"keep": True},
    ),
]


@pytest.mark.parametrize(("build", "expected", "attrs"), BUILT)
def test_what_several_nodes_come_to(
    build: Any, expected: list[str], attrs: dict[str, Any], tmp_path: Path
) -> None:
    """Norms, gates, blurs and activations as exporters write them;
    ONNX Runtime runs each of these files.
    """
    model = opened(build)
    run(model, normal(2, 4, 8, 8))
    found = read(model, tmp_path)
    assert [op.kind for op in found.ops.values()] == ["input", *expected]
    last = found.ops[found.outputs[-1]].attrs
    assert {name: last[name] for name in attrs} == attrs
    assert infer_shapes(found)[1] == ()


@pytest.mark.parametrize(
    ("mode", "stride", "expected"),
    [("SAME_UPPER", 1, 1), ("SAME_LOWER", 1, 1), ("VALID", 1, 0), ("SAME_UPPER", 2, (0, 1, 0, 1))],
)
def test_padding_by_a_rule_is_padding_by_numbers(
    mode: str, stride: int, expected: Any, tmp_path: Path
) -> None:
    """Uneven padding stays what it is, and equals no spec's."""

    def build(file: File) -> str:
        return file.node(
            "Conv", "x", file.constant(normal(4, 4, 3, 3)), auto_pad=mode, strides=[stride] * 2
        )

    found = read(opened(build), tmp_path)
    assert found.ops[found.outputs[-1]].attrs["padding"] == expected


def test_equal_vectors_may_be_stored_once_but_filters_not(tmp_path: Path) -> None:
    """Exporters store the ones of untrained norms once;
    a filter that is used twice is another network.
    """

    def build(file: File) -> str:
        ones, filters = (
            file.constant(np.ones(4), "ones"),
            file.constant(normal(4, 4, 1, 1), "filters.weight"),
        )
        same, x = file.node("Identity", filters), "x"
        for weight in (filters, same):
            x = file.node("BatchNormalization", file.node("Conv", x, weight), *[ones] * 4)
        return x

    found = [op for op in read(opened(build), tmp_path).ops.values() if "weights_of" in op.attrs]
    assert [(op.kind, op.attrs["weights_of"]) for op in found] == [("conv", "filters")]


def test_values_outside_the_file_are_not_looked_for(tmp_path: Path) -> None:
    """Shapes are enough; a path that leaves the folder is never opened,
    as no file needs to be there.
    """
    model = written(DIGITS_STEPS, STYLES["torch"])[0]
    for tensor in model.graph.initializer:
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="../../../../etc/passwd")
    assert compare(DIGITS, read(model, tmp_path)).is_equal


def test_onnx_is_imported_only_when_a_file_is_read() -> None:
    """The command's start-up and MINDIR files need none of it."""
    code = "import sys, densenet_cli.certify; assert not {'onnx', 'onnxruntime'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def fault_of(model: Any, folder: Path) -> str:
    with pytest.raises(ModelFileError) as caught:
        read(model, folder)
    return "; ".join(f"{fault.code} {fault.message}" for fault in caught.value.diagnostics)


def above(file: File, number: float) -> str:
    return file.node("Greater", "x", file.constant(number))


def scaled(file: File, number: float) -> str:
    return file.node("Mul", "x", file.constant(number))


@pytest.mark.parametrize("factor", [(), (4, 1, 1)], ids=["constant", "learned"])
def test_a_scale_of_what_is_flattened_later_is_one_of_a_vector(
    factor: tuple[int, ...], tmp_path: Path
) -> None:
    """As a classifier of one pixel has it."""
    file = File(PLAIN)
    pooled = file.node(
        "Mul", file.node("GlobalAveragePool", image(file)), channelwise(file, *factor)
    )
    made = file.node("Flatten", file.node("Conv", pooled, file.constant(normal(3, 4, 1, 1))))
    model = finished(file, "x", ("N", 4, 8, 8), made)
    assert kinds(model, tmp_path) == ["input", "global_avg_pool", "scale", "dense"]


REFUSED = [
    (  # gives places, no map: no row can have it
        lambda f: f.node("NonZero", "x"),
        "R008 /NonZero_0: NonZero is no operator of a dense network",
    ),
    (lambda f: f.node("Attention", "x", domain="my.ops"), "my.ops::Attention is no operator"),
    (
        lambda f: f.node("Relu", f.node("NonZero", f.node("NonZero", "x"))),
        "/NonZero_0 and 1 more: NonZero is no operator",
    ),
    (
        lambda f: f.node("Dropout", "x", f.constant(0.5), f.constant(True, kind=bool)),
        "Dropout drops features at random",
    ),
    (
        lambda f: f.node(
            "BatchNormalization", "x", *[vector(f, n) for n in "abcd"], training_mode=1
        ),
        "BatchNormalization was exported in training mode",
    ),
    pytest.param(
        lambda f: f.node("Add", "x", channelwise(f, 4, 1, 1)),
        "Add shifts each channel, without a scale beside it",
        marks=pytest.mark.skipif(CHANNEL_SHIFT in REMAINS, reason="a row says it"),
    ),
    (lambda f: f.node("HardSigmoid", "x"), "HardSigmoid has the slope 0.2 and the value 0.5 at 0"),
    (lambda f: f.node("Clip", "x", f.constant(1.0), f.constant(-1.0)), "Clip clips to [1.0, -1.0]"),
    (lambda f: f.node("Clip", "x", f.constant(-1.0)), "Clip clips to [-1.0, inf]"),
    (lambda f: f.node("Greater", "x", f.constant(1.0)), "Greater is no operator"),
    (lambda f: f.node("Greater", "x", f.node("Relu", "x")), "Greater is no operator"),
    (lambda f: f.node("Where", above(f, 0.0), "x", f.node("Relu", "x")), "Where is no operator"),
    (lambda f: f.node("Where", above(f, 2.0), "x", f.node("Softplus", "x")), "Where is no op"),
    (
        lambda f: f.node("Where", above(f, 0.0), "x", f.node("GlobalAveragePool", "x")),
        "Where is no operator",
    ),
    (lambda f: f.node("Sub", f.constant(1.0), "x"), "Sub is no operator"),
    (
        lambda f: f.node("Where", above(f, 20.0), "x", f.node("Softplus", scaled(f, 2.0))),
        "Where is no operator",
    ),
    (lambda f: f.node("Transpose", "x", perm=[1, 0, 2, 3]), "Transpose moves the dimensions"),
    (
        lambda f: f.node("AveragePool", "x", kernel_shape=[3, 3], pads=[1] * 4),
        "AveragePool leaves its padding out of the average",
    ),
    (
        lambda f: f.node(
            "Conv",
            f.node("Pad", "x", f.sizes(0, 0, 1, 1, 0, 0, 1, 1), mode="edge"),
            f.constant(normal(4, 4, 3, 3)),
        ),
        "Conv reads edges that are padded with 0.0, mode 'edge'",
    ),
    (lambda f: f.node("Conv", "x", f.constant(normal(4, 4, 3, 1))), "only square ones"),
    (
        lambda f: f.node("Conv", "x", f.constant(normal(4, 3, 3, 3))),
        "Conv is made for 3 channels, reads 4",
    ),
    (lambda f: f.node("Conv", "x", "x"), "Conv does not read a parameter where it must"),
    (lambda f: f.node("Conv"), "Conv"),
    (lambda f: f.node("Flatten", "x"), "Flatten makes a vector of"),
    (lambda f: f.node("Concat", "x", "x", axis=2), "Concat joins along axis 2"),
    (lambda f: f.node("Resize", "x", "", f.constant([1, 1, 1.5, 1.5])), "Resize resizes by 1.5"),
    (lambda f: f.node("Cast", "x", to=3), "Cast makes whole numbers of features"),
    (lambda f: f.node("Relu", f.constant(1.0)), "Relu is no operator"),
    (lambda f: f.node("Relu", "nowhere"), "R007 nowhere is read before anything makes it"),
    (lambda f: f.node("Sigmoid", f.node("Erf", "x")), "Erf is no operator"),
    (
        lambda f: f.node("ReduceMean", f.node("ReduceMean", "x", axes=[3]), axes=[3]),
        "ReduceMean averages over the axes (3,) of a mean of one axis",
    ),
    (
        lambda f: f.node(
            "ReduceMean", f.node("Reshape", "x", f.sizes(0, 2, -1)), axes=[2], keepdims=0
        ),
        "ReduceMean averages over the axes (2,) of a grouped",
    ),
    (
        lambda f: f.node("ReduceMean", "x", axes=[2]),
        "ReduceMean averages over the axes (2,); only (2, 3) is known",
    ),
    (
        lambda f: f.node("Identity", f.node("ReduceMean", "x", axes=[2])),
        "an output is part of a mean of one axis",
    ),
]


@pytest.mark.parametrize(("build", "expected"), REFUSED)
def test_what_no_dense_network_has_is_refused_by_name(
    build: Any, expected: str, tmp_path: Path
) -> None:
    """The operator, how often it is there, and what about it is not known."""
    assert expected in fault_of(opened(build), tmp_path)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (
            ("N", 4, "h", "w"),
            "R007 its input has the shape ('free', 4, 'free', 'free'), must be (N, C, H, W)",
        ),
        ((4, 8), "R007 its input has the shape (4, 8)"),
        ((1, 2**40, 8, 8), "R007 its input has the shape"),
    ],
)
def test_an_input_that_is_no_image_is_refused(shape: Any, expected: str, tmp_path: Path) -> None:
    """Free pixels leave sizes open that a spec fixes."""
    assert fault_of(opened(lambda file: file.node("Relu", "x"), shape=shape), tmp_path).startswith(
        expected
    )


def test_several_inputs_are_refused(tmp_path: Path) -> None:
    """Which one would be the image?"""
    model = opened(lambda file: file.node("Relu", "x"))
    model.graph.input.add().CopyFrom(helper.make_tensor_value_info("y", 1, ["N", 4, 8, 8]))
    expected = "R007 has 2 inputs and 1 outputs; must have one input, and at least one output"
    assert fault_of(model, tmp_path) == expected


def test_weights_that_stand_among_the_inputs_are_weights(tmp_path: Path) -> None:
    """As before version 4 of the format."""
    model = written(DIGITS_STEPS, STYLES["torch 1.4"])[0]
    for tensor in model.graph.initializer:
        model.graph.input.add().CopyFrom(
            helper.make_tensor_value_info(tensor.name, 1, list(tensor.dims))
        )
    assert compare(DIGITS, read(model, tmp_path)).is_equal


def test_values_may_be_listed_instead_of_raw(tmp_path: Path) -> None:
    """float_data and int64_data, as helper.make_tensor writes them."""
    model = written(DIGITS_STEPS, replace(STYLES["mindcv"], head="window"))[0]
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        tensor.CopyFrom(
            helper.make_tensor(
                tensor.name, tensor.data_type, tensor.dims, values.reshape(-1).tolist()
            )
        )
    assert compare(DIGITS, read(model, tmp_path)).is_equal
