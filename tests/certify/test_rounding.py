"""Quantised files of which rounding and clipping leave nothing: the network is there in form alone.

The files are those of ONNX Runtime's own quantiser, and then one number of them is another.
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnxruntime import quantization
from readers.onnx_styles import STYLES, written
from readers.test_onnx_quantised import STEPS, Quantiser

from archspec.certify import rounded_features
from archspec.certify.certificate import Certificate
from archspec.certify.certify_file import certify_file
from archspec.errors import ModelFileError

STYLE = replace(STYLES["torch folded"], opset=17, batch="N")
LAYER = "features.denseblock2.denselayer2"


class Images(quantization.CalibrationDataReader):  # type: ignore[misc]
    """Sixteen of them, of two contrasts."""

    def __init__(self, name: str) -> None:
        draw = np.random.default_rng(1)
        self.name = name
        self.images = [draw.normal(size=(1, 1, 8, 8)) * (1 + number % 2) for number in range(16)]

    def get_next(self) -> Any:
        return {self.name: self.images.pop().astype(np.float32)} if self.images else None


@pytest.fixture(scope="module", params=["tensors", "channels"])
def quantised(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Scales of tensors, features in int8; or of the channels of weights, features in uint8."""
    folder, has_channels = tmp_path_factory.mktemp("whole"), request.param == "channels"
    model = written(STEPS, STYLE)[0]
    (folder / "float.onnx").write_bytes(model.SerializeToString())
    kinds = quantization.QuantType
    quantization.quantize_static(
        folder / "float.onnx",
        folder / "whole.onnx",
        Images(model.graph.input[0].name),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=has_channels,
        activation_type=kinds.QUInt8 if has_channels else kinds.QInt8,
        weight_type=kinds.QInt8,
    )
    return (folder / "whole.onnx").read_bytes()


def certified(model: Any, folder: Path) -> Certificate:
    file = folder / "model.onnx"
    file.write_bytes(model.SerializeToString())
    return certify_file(file, "densenetbc_digits")


def feature_pair(model: Any, place: float) -> Any:
    """The QuantizeLinear that stands there on the way, from 0 to 1."""
    pairs = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
    return pairs[round(place * (len(pairs) - 1))]


def weight_pair(model: Any, name: str) -> Any:
    """The DequantizeLinear of a constant."""
    nodes = [node for node in model.graph.node if node.op_type == "DequantizeLinear"]
    return next(node for node in nodes if node.output[0].startswith(name))


def change(model: Any, name: str, to: Callable[[Any], Any]) -> None:
    (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == name)
    values = numpy_helper.to_array(tensor)
    tensor.CopyFrom(numpy_helper.from_array(np.asarray(to(values), values.dtype), name))


def scale(values: Any, by: float) -> Any:
    return values * by


def ends_alone(whole: Any) -> Any:
    return np.where(whole >= 0, 127, -127)


def one_number(whole: Any) -> Any:
    return np.full_like(whole, 5)


def test_what_a_quantiser_writes_is_certified(
    quantised: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However few features are held at once."""
    found = certified(onnx.ModelProto.FromString(quantised), tmp_path)
    assert [difference.message for difference in found.differences] == []
    (told,) = (note for note in found.notes if note.startswith("on random images"))
    assert "41 feature maps at least 9" in told
    monkeypatch.setattr(rounded_features, "MOST_HELD", 3_000)
    assert certified(onnx.ModelProto.FromString(quantised), tmp_path).rounding == found.rounding


@pytest.mark.parametrize(
    ("place", "by"), [(0, 1e6), (0, 1e-6), (0.3, 1e6), (0.6, 1e-6), (0.6, 1e3), (1, 1e-3), (1, 1e6)]
)
def test_a_scale_that_rounds_or_clips_all_away_is_refused(
    place: float, by: float, quantised: bytes, tmp_path: Path
) -> None:
    model = onnx.ModelProto.FromString(quantised)
    change(model, feature_pair(model, place).input[1], partial(scale, by=by))
    found = certified(model, tmp_path)
    assert {difference.code for difference in found.differences} == {"R113"}


def spoil_one(model: Any, place: int) -> None:
    """Put a pair of another scale behind the pair at a place, on the same value."""
    nodes = [*model.graph.node]
    made = nodes[place]
    reads = next(node for node in nodes if made.output[0] in node.input)
    readers = [node for node in nodes if reads.output[0] in node.input]
    old = next(each for each in model.graph.initializer if each.name == made.input[1])
    values = numpy_helper.to_array(old) * np.float32(1e6)
    model.graph.initializer.append(numpy_helper.from_array(values, "of its own"))
    grid = ("of its own", *made.input[2:])
    pair = [
        onnx.helper.make_node("QuantizeLinear", [made.input[0], *grid], ["whole again"]),
        onnx.helper.make_node("DequantizeLinear", ["whole again", *grid], ["again"]),
    ]
    names = {reads.output[0]: "again"}
    readers[-1].input[:] = [names.get(name, name) for name in readers[-1].input]
    del model.graph.node[:]
    model.graph.node.extend([*nodes[: place + 1], *pair, *nodes[place + 1 :]])


@pytest.mark.parametrize("maker", ["/Conv_0", "/GlobalAveragePool"])
def test_each_pair_of_a_feature_is_tried(maker: str, quantised: bytes, tmp_path: Path) -> None:
    """Of a value that two round; of what is pooled, before it is a vector and behind."""
    model = onnx.ModelProto.FromString(quantised)
    kinds = [(node.op_type, node.input[0].startswith(maker)) for node in model.graph.node]
    spoil_one(model, kinds.index(("QuantizeLinear", True)))
    found = certified(model, tmp_path)
    assert {difference.code for difference in found.differences} == {"R113"}


@pytest.mark.parametrize("place", [0, 0.6, 1])
def test_a_zero_point_that_leaves_one_side_alone_is_refused(
    place: float, quantised: bytes, tmp_path: Path
) -> None:
    model = onnx.ModelProto.FromString(quantised)
    name = feature_pair(model, place).input[2]
    change(model, name, lambda zero: np.full_like(zero, np.iinfo(zero.dtype).max))
    with pytest.raises(
        ModelFileError, match=r"R008 .* gives nothing above zero: its zero point is"
    ):
        certified(model, tmp_path)


@pytest.mark.parametrize("zero", [0, 126])
def test_a_zero_point_beside_the_end_is_refused_behind_a_relu(zero: int, tmp_path: Path) -> None:
    """What is positive becomes one step, or nothing."""
    quantiser = Quantiser("torch")
    quantiser.features(lambda kind: np.array(zero if kind == "Relu" else 0, np.int8))
    model = quantiser.made()
    for pair in (node for node in model.graph.node if node.op_type == "QuantizeLinear"):
        change(model, pair.input[1], lambda _: 0.05)
    found = certified(model, tmp_path)
    assert found.is_equal == (zero == 0)
    assert all("rounding and clipping leave" in each.message for each in found.differences)


@pytest.mark.parametrize(
    ("at", "to"),
    [
        (1, partial(scale, by=1e6)),
        (1, partial(scale, by=1e-6)),
        (0, ends_alone),
        (0, one_number),
    ],
    ids=["large scale", "small scale", "ends alone", "one number"],
)
@pytest.mark.parametrize("what", [f"{LAYER}.conv1.weight", f"{LAYER}.conv2.weight"])
def test_weights_that_are_nothing_any_more_are_refused(
    what: str, at: int, to: Callable[[Any], Any], quantised: bytes, tmp_path: Path
) -> None:
    model = onnx.ModelProto.FromString(quantised)
    change(model, weight_pair(model, what).input[at], to)
    found = certified(model, tmp_path)
    assert {difference.code for difference in found.differences} == {"R113"}
    if at == 0:
        assert what in found.differences[0].message


def test_a_bias_that_was_clipped_all_over_is_refused(quantised: bytes, tmp_path: Path) -> None:
    """Its scale was too small for it, and what is left of it may be small."""
    model = onnx.ModelProto.FromString(quantised)
    pair, most = weight_pair(model, f"{LAYER}.conv1.bias"), np.iinfo(np.int32).max
    change(model, pair.input[0], lambda whole: np.where(whole >= 0, most, -most))
    change(model, pair.input[1], lambda values: np.full_like(values, 1e-15))
    found = certified(model, tmp_path)
    assert [difference.code for difference in found.differences] == ["R113"]
    assert "conv1.bias" in found.differences[0].message


def test_a_bias_that_drowns_the_rest_is_refused(quantised: bytes, tmp_path: Path) -> None:
    model = onnx.ModelProto.FromString(quantised)
    change(model, weight_pair(model, f"{LAYER}.conv1.bias").input[1], partial(scale, by=1e9))
    found = certified(model, tmp_path)
    assert {difference.code for difference in found.differences} == {"R113"}


@pytest.mark.parametrize("step", [1e-9, 1e9])
def test_floats_that_the_file_itself_rounds_away_are_refused(step: float, tmp_path: Path) -> None:
    """As after training with quantisation: the weights as they were stand there."""
    quantiser = Quantiser("torch")
    quantiser.rounded_weights()
    model = quantiser.made()
    assert certified(model, tmp_path).is_equal
    name = f"{LAYER}.conv2.weight"
    zero = {1e-9: 0, 1e9: 100}[step]  # no zeros, which are told of otherwise
    change(model, f"{name}_s", lambda _: step)
    change(model, f"{name}_z", lambda _: zero)
    found = certified(model, tmp_path)
    codes = {difference.code for difference in found.differences}
    assert codes <= {"R113", "R109"}
    assert codes


def test_without_onnx_runtime_it_is_said_that_nobody_looked(
    quantised: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = onnx.ModelProto.FromString(quantised)
    change(model, feature_pair(model, 0.5).input[1], partial(scale, by=1e6))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    found = certified(model, tmp_path)
    assert found.is_equal
    (told,) = (note for note in found.notes if note.startswith("nobody looked"))
    assert "onnxruntime, which runs ONNX models, is not installed" in told
