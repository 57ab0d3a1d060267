"""Quantised networks: pairs of QuantizeLinear and DequantizeLinear, as quantisers write them."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from readers.onnx_styles import STYLES, Array, densenet, run, written

from archspec.certify.liveness import check_liveness
from archspec.compare.compare import Comparison, compare
from archspec.errors import ModelFileError
from archspec.graph.build import build_graph
from archspec.readers.onnx.read import OnnxReading, onnx_reading
from archspec.spec.load import load_spec

DIGITS = build_graph(load_spec("densenetbc_digits"))
STEPS = densenet([4, 4], 12, (1, 8, 8), 10, imagenet=False)
IMAGES = np.random.default_rng(4).normal(size=(2, 1, 8, 8)).astype(np.float32)


class Quantiser:
    """Puts pairs into a model, as ONNX Runtime's and TensorRT's quantisers do."""

    def __init__(self, style: str, weights: dict[str, Array] | None = None) -> None:
        model = written(STEPS, replace(STYLES[style], opset=17, batch="N"), weights)[0]
        self.graph, self.model = model.graph, model
        self.float_model = onnx.ModelProto.FromString(model.SerializeToString())
        self.first: list[Any] = []

    def constant(self, values: Array, name: str) -> str:
        self.graph.initializer.append(numpy_helper.from_array(values, name))
        return name

    def whole_weights(self, per_channel: bool) -> None:
        """Filters and biases as int8 and int32, and what makes floats of them."""
        for tensor in list(self.graph.initializer):
            values = numpy_helper.to_array(tensor)
            if values.dtype == np.float32 and values.ndim:
                self.graph.initializer.remove(tensor)
                self._whole(tensor.name, values, per_channel and values.ndim == 4)

    def _whole(self, name: str, values: Array, per_channel: bool) -> None:
        kind = np.int8 if values.ndim > 1 else np.int32
        top = 127 if values.ndim > 1 else 2**20
        axes = tuple(range(1, values.ndim)) if per_channel else None
        scale = np.asarray(np.abs(values).max(axis=axes) / top, np.float32)
        spread = scale.reshape(-1, *[1] * (values.ndim - 1)) if per_channel else scale
        given = [
            self.constant(np.rint(values / spread).astype(kind), f"{name}_quantized"),
            self.constant(scale, f"{name}_scale"),
            self.constant(np.zeros(scale.shape, kind), f"{name}_zero_point"),
        ]
        axis = {"axis": 0} if per_channel else {}
        self.first.append(helper.make_node("DequantizeLinear", given, [name], **axis))

    def rounded_weights(self) -> None:
        """Floats that are made whole and floats again, as after training with quantisation."""
        for tensor in self.graph.initializer:
            if len(tensor.dims) == 4:
                self._pair(tensor.name, *self._grid(tensor.name, 0.01, np.array(0, np.int8)))

    def _grid(self, name: str, scale: float, zero: Array) -> tuple[str, str]:
        return (
            self.constant(np.array(scale, np.float32), f"{name}_s"),
            self.constant(zero, f"{name}_z"),
        )

    def _pair(self, name: str, *grid: str) -> None:
        for node in self.graph.node:
            node.input[:] = [f"{name}_d" if source == name else source for source in node.input]
        self.first.append(helper.make_node("QuantizeLinear", [name, *grid], [f"{name}_q"]))
        self.first.append(helper.make_node("DequantizeLinear", [f"{name}_q", *grid], [f"{name}_d"]))

    def features(self, zero_of: Callable[[str], Array]) -> None:
        """A pair behind each node but the last; `zero_of` a kind of node is the zero point."""
        nodes = [node for node in self.graph.node if node.output[0] != self.graph.output[0].name]
        for node in nodes:
            name = node.output[0]
            self._pair(name, *self._grid(name, 0.5, zero_of(node.op_type)))

    def without_relus(self) -> None:
        """Behind each there is a pair that gives nothing below zero."""
        gone = {node.output[0]: node.input[0] for node in self.graph.node if node.op_type == "Relu"}
        nodes = [node for node in self.graph.node if node.op_type != "Relu"]
        del self.graph.node[:]
        self.graph.node.extend(nodes)
        for node in (*self.graph.node, *self.first):
            node.input[:] = [gone.get(source, source) for source in node.input]

    def made(self) -> Any:
        nodes = [*self.first, *self.graph.node]
        del self.graph.node[:]
        self.graph.node.extend(nodes)
        return self.model


def sided(kind: str) -> Array:
    """Nothing below zero behind a ReLU and what follows one."""
    return np.array(-128 if kind in ("Relu", "GlobalAveragePool", "Flatten") else 3, np.int8)


def reading_of(model: Any, folder: Path) -> OnnxReading:
    run(model, IMAGES)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return onnx_reading(folder / "model.onnx")


def lines(comparison: Comparison) -> list[str]:
    return [difference.message for difference in comparison.differences]


def whole(quantiser: Quantiser) -> None:
    quantiser.whole_weights(per_channel=False)


def by_channel(quantiser: Quantiser) -> None:
    quantiser.whole_weights(per_channel=True)


def rounded(quantiser: Quantiser) -> None:
    quantiser.rounded_weights()


def features(quantiser: Quantiser) -> None:
    quantiser.features(sided)


def relus_left_out(quantiser: Quantiser) -> None:
    quantiser.features(sided)
    quantiser.without_relus()


def unsigned(quantiser: Quantiser) -> None:
    quantiser.features(lambda kind: (sided(kind).astype(int) + 128).astype(np.uint8))
    quantiser.without_relus()


def relus_kept(quantiser: Quantiser) -> None:
    """What a ReLU reads gives nothing below zero already."""
    quantiser.features(lambda kind: sided("Relu" if kind == "BatchNormalization" else kind))


def of_another_domain(quantiser: Quantiser) -> None:
    """As ONNX Runtime writes them for whole numbers that ONNX's own do not take."""
    relus_left_out(quantiser)
    for node in quantiser.first:
        node.domain = "com.microsoft"
    quantiser.model.opset_import.append(helper.make_opsetid("com.microsoft", 1))


WAYS = {
    way.__name__: way
    for way in (
        *(whole, by_channel, rounded, features, relus_left_out, unsigned),
        *(relus_kept, of_another_domain),
    )
}


@pytest.mark.parametrize("style", ["torch", "torch folded"])
@pytest.mark.parametrize("way", WAYS)
def test_a_quantised_network_is_recognised(style: str, way: str, tmp_path: Path) -> None:
    """Rounding aside it is the same network, and alive; the note counts what was read so."""
    quantiser = Quantiser(style)
    WAYS[way](quantiser)
    reading = reading_of(quantiser.made(), tmp_path)
    comparison = compare(DIGITS, reading.graph)
    assert lines(comparison) == []
    pairs = [node.op_type for node in quantiser.model.graph.node].count("DequantizeLinear")
    (note,) = reading.notes
    assert ("uint8" in note) == (way == "unsigned")
    assert note.endswith("are quantised: rounding and clipping are not compared")
    assert sum(int(word) for word in note.split() if word.isdecimal()) == pairs
    life = check_liveness(comparison.match, reading, tmp_path / "model.onnx")
    assert (life.dead_connections, life.nonfinite, life.unreadable) == ((), (), ())


def test_weights_are_what_the_file_computes(tmp_path: Path) -> None:
    """Those that round to zero carry nothing, as ONNX Runtime has it too."""
    name = "features.denseblock1.denselayer2.conv2.weight"
    tiny = {name: np.full((12, 48, 3, 3), 1e-3, np.float32)}
    quantiser = Quantiser("torch", tiny)
    rounded(quantiser)
    reading = reading_of(quantiser.made(), tmp_path)
    comparison = compare(DIGITS, reading.graph)
    life = check_liveness(comparison.match, reading, tmp_path / "model.onnx")
    assert [dead.operator for dead in life.dead_connections] == [name.removesuffix(".weight")]


def test_a_pair_that_clips_what_may_be_negative_is_a_relu(tmp_path: Path) -> None:
    """Behind a convolution that no activation follows it is a difference."""
    quantiser = Quantiser("torch")
    quantiser.features(lambda kind: np.array(-128, np.int8) if kind == "Conv" else sided(kind))
    assert lines(compare(DIGITS, reading_of(quantiser.made(), tmp_path).graph))


def test_a_relu_that_no_pair_stands_for_is_missed(tmp_path: Path) -> None:
    quantiser = Quantiser("torch")
    quantiser.features(lambda kind: np.array(3, np.int8))
    quantiser.without_relus()
    found = lines(compare(DIGITS, reading_of(quantiser.made(), tmp_path).graph))
    assert "block 1, layer 1 and 7 more consist of batch_norm, conv, batch_norm, conv" in found[0]


def spoilt(model: Any) -> Iterator[tuple[str, str]]:
    """Change the second node of a pair, or what it reads, and give what is said of it."""
    node = next(node for node in model.graph.node if node.op_type == "DequantizeLinear")
    scale = next(tensor for tensor in model.graph.initializer if tensor.name == node.input[1])
    model.graph.initializer.append(numpy_helper.from_array(np.array(0.7, np.float32), "other"))
    node.input[1] = "other"
    yield "another scale", "has another scale or zero point than the QuantizeLinear before it"
    node.input[1] = scale.name
    del node.input[2]
    yield "no zero point", "has another scale or zero point than the QuantizeLinear before it"
    scale.CopyFrom(numpy_helper.from_array(np.array(-0.5, np.float32), scale.name))
    yield "a negative scale", "has a scale that is not positive"
    model.graph.initializer.remove(scale)
    model.graph.input.append(helper.make_tensor_value_info(scale.name, 1, []))
    yield "no scale", "has 2 inputs"


def test_a_pair_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    quantiser = Quantiser("torch")
    features(quantiser)
    model = quantiser.made()
    for what, expected in spoilt(model):
        (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
        with pytest.raises(ModelFileError) as caught:
            onnx_reading(tmp_path / "model.onnx")
        assert expected in str(caught.value), what


def another_type(model: Any) -> None:
    """Of which the same number is another value, and the checker does not know such nodes."""
    first(model, "QuantizeLinear").input[2] = add(model, np.array(0, np.uint8))
    first(model, "DequantizeLinear").input[2] = add(model, np.array(0, np.int8))


def zero_points_of_channels(model: Any) -> None:
    for kind in ("QuantizeLinear", "DequantizeLinear"):
        first(model, kind).input[2] = add(model, np.zeros(4, np.int8))


def scales_of_other_channels(model: Any) -> None:
    zeros, scales = add(model, np.zeros(5, np.int8)), add(model, np.ones(5, np.float32))
    for kind in ("QuantizeLinear", "DequantizeLinear"):
        first(model, kind).input[1:] = [scales, zeros]


def half_a_pair(model: Any) -> None:
    node = first(model, "DequantizeLinear")
    node.op_type = "Identity"
    del node.input[1:]


def no_first_half(model: Any) -> None:
    node = first(model, "QuantizeLinear")
    node.op_type = "Identity"
    del node.input[1:]


def nothing_behind(model: Any) -> None:
    model.graph.output[0].name = first(model, "QuantizeLinear").output[0]


def no_whole_number(model: Any) -> None:
    """float8, of which a file without a zero point says the type alone."""
    node = first(model, "QuantizeLinear")
    del node.input[2:]
    node.attribute.append(helper.make_attribute("output_dtype", onnx.TensorProto.FLOAT8E4M3FN))


def scales_of_blocks(model: Any) -> None:
    first(model, "QuantizeLinear").attribute.append(helper.make_attribute("block_size", 2))


def first(model: Any, kind: str) -> Any:
    return next(node for node in model.graph.node if node.op_type == kind)


def add(model: Any, values: Array) -> str:
    name = f"added {len(model.graph.initializer)}"
    model.graph.initializer.append(numpy_helper.from_array(values, name))
    return name


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (another_type, "takes int8, the QuantizeLinear before it gives uint8"),
        (zero_points_of_channels, "has 1 scales and 4 zero points"),
        (scales_of_other_channels, "has 5 scales for 24 places"),
        (half_a_pair, "BatchNormalization_1: BatchNormalization reads part of a quantised value"),
        (no_first_half, "reads what no QuantizeLinear gives"),
        (nothing_behind, "an output is part of a quantised value"),
        (no_whole_number, "zero point of an unknown type"),
        (scales_of_blocks, "has scales of blocks"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_what_is_no_pair_is_refused_with_its_place(
    change: Callable[[Any], None], words: str, tmp_path: Path
) -> None:
    """Whole numbers are nothing that a network reads."""
    quantiser = Quantiser("torch")
    features(quantiser)
    model = quantiser.made()
    change(model)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelFileError) as caught:
        onnx_reading(tmp_path / "model.onnx")
    (fault,) = caught.value.diagnostics
    assert words in fault.message
    assert fault.message.startswith(("/Conv_0_output_0", "/BatchNormalization_1", "features.conv0"))


def test_weights_need_a_scale_for_each_of_their_channels(tmp_path: Path) -> None:
    quantiser = Quantiser("torch")
    by_channel(quantiser)
    model = quantiser.made()
    node = first(model, "DequantizeLinear")
    node.input[1] = add(model, np.ones(7, np.float32))
    node.input[2] = add(model, np.zeros(7, np.int8))
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelFileError, match="has 7 scales for 24 places"):
        onnx_reading(tmp_path / "model.onnx")
    del node.attribute[:]
    node.attribute.append(helper.make_attribute("axis", 4))  # 24 places again, if counted around
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelFileError, match="names axis 4 of 4"):
        onnx_reading(tmp_path / "model.onnx")


def test_a_pair_of_a_type_that_has_negative_numbers_stands_for_no_relu(tmp_path: Path) -> None:
    """Where the type alone is told, as from opset 21 on, and a zero of it is not its least."""
    found = {}
    for told in (onnx.TensorProto.INT8, onnx.TensorProto.UINT8):
        quantiser = Quantiser("torch")
        quantiser.features(lambda kind: np.array(0, np.int8))
        quantiser.without_relus()
        for node in quantiser.first:
            del node.input[2:]
            if node.op_type == "QuantizeLinear":
                node.attribute.append(helper.make_attribute("output_dtype", told))
        (tmp_path / "model.onnx").write_bytes(quantiser.made().SerializeToString())
        graph = onnx_reading(tmp_path / "model.onnx").graph
        found[told] = [op.kind for op in graph.ops.values()].count("relu")
    assert found[onnx.TensorProto.INT8] == 0
    assert found[onnx.TensorProto.UINT8] > 0


@pytest.mark.parametrize(
    ("name", "axis", "is_right"),
    [
        ("features.denseblock1.denselayer2.conv1.weight", 0, True),
        ("features.denseblock1.denselayer2.conv1.weight", -4, True),
        ("features.denseblock1.denselayer2.conv1.weight", 1, False),
        ("features.transition1.conv.weight", 1, False),
        ("classifier", 0, True),
        ("classifier", 1, False),
    ],
)
@pytest.mark.parametrize("style", ["torch", "scale and shift"])
def test_scales_of_weights_are_those_of_the_channels_that_they_make(
    style: str, name: str, axis: int, is_right: bool, tmp_path: Path
) -> None:
    """Of a square weight too; a MatMul has its matrix the other way round than a Gemm."""
    quantiser = Quantiser(style)
    by_channel(quantiser)
    model = quantiser.made()
    if name == "classifier":
        axis = 1 - axis if style == "scale and shift" else axis
        name = next(n for n in model.graph.node if n.op_type in ("Gemm", "MatMul")).input[1]
    node = next(node for node in model.graph.node if node.output[0].startswith(name))
    sizes = {tensor.name: [*tensor.dims] for tensor in model.graph.initializer}
    places = sizes[node.input[0]][axis]
    node.input[1] = add(model, np.full(places, 0.01, np.float32))
    node.input[2] = add(model, np.zeros(places, np.int8))
    del node.attribute[:]
    node.attribute.append(helper.make_attribute("axis", axis))
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    if is_right:
        assert lines(compare(DIGITS, onnx_reading(tmp_path / "model.onnx").graph)) == []
        return
    with pytest.raises(
        ModelFileError, match=f"R008 .* reads {name}.*, which has scales along axis"
    ):
        onnx_reading(tmp_path / "model.onnx")


def test_scales_of_a_transposed_convolution_are_those_of_its_second_axis(tmp_path: Path) -> None:
    """(inputs, outputs, height, width); here as many of both."""
    values = np.random.default_rng(0).integers(-127, 128, (4, 4, 2, 2)).astype(np.int8)
    for axis, is_right in ((1, True), (0, False)):
        nodes = [
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["w"], axis=axis),
            helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2]),
        ]
        tensors = [
            numpy_helper.from_array(values, "q"),
            numpy_helper.from_array(np.full(4, 0.1, np.float32), "s"),
            numpy_helper.from_array(np.zeros(4, np.int8), "z"),
        ]
        x = helper.make_tensor_value_info("x", 1, [1, 4, 8, 8])
        y = helper.make_tensor_value_info("y", 1, [1, 4, 16, 16])
        graph = helper.make_graph(nodes, "enlarge", [x], [y], tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
        if is_right:
            kinds = [op.kind for op in onnx_reading(tmp_path / "model.onnx").graph.ops.values()]
            assert kinds == ["input", "conv_transpose"]
            continue
        with pytest.raises(ModelFileError, match=r"R008 .*axis 0; the channels .* along axis 1"):
            onnx_reading(tmp_path / "model.onnx")


def test_a_pair_that_gives_nothing_above_zero_is_refused(tmp_path: Path) -> None:
    """No operator of ours does that."""
    quantiser = Quantiser("torch")
    quantiser.features(lambda kind: np.array(127 if kind == "Concat" else 3, np.int8))
    (tmp_path / "model.onnx").write_bytes(quantiser.made().SerializeToString())
    with pytest.raises(ModelFileError, match=r"R008 .* gives nothing above zero"):
        onnx_reading(tmp_path / "model.onnx")


def test_a_pair_that_clips_some_channels_alone_is_refused(tmp_path: Path) -> None:
    """It stands for a ReLU in these, and for none in the others."""
    quantiser = Quantiser("torch")
    features(quantiser)
    model = quantiser.made()
    zeros = np.where(np.arange(24) < 12, -128, 3).astype(np.int8)
    for kind in ("QuantizeLinear", "DequantizeLinear"):
        first(model, kind).input[1:] = [
            add(model, np.ones(24, np.float32)),
            add(model, zeros),
        ]
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelFileError, match=r"R008 .* gives nothing below zero in some channels"):
        onnx_reading(tmp_path / "model.onnx")
