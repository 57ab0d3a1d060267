"""Values of weights: read when they are asked for, as they stand in real files;
and files that lie about them.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from readers.onnx_styles import STYLES, File, densenet, finished, written

from archspec.graph.ir import Graph
from archspec.readers.mindir.read import mindir_reading, read_mindir
from archspec.readers.onnx.call import decode_values
from archspec.readers.onnx.read import onnx_reading, read_onnx
from archspec.readers.tensors import (
    MAX_STEPS,
    Computed,
    Stored,
    Values,
    compute_later,
    find_decimal,
    locate_values,
    transpose_later,
    values_of,
)
from archspec.runtime import prepare

Array = Any
STEPS = densenet([4, 4], 12, (1, 8, 8), 10, imagenet=False)
RANDOM = np.random.default_rng(2)
WEIGHT = RANDOM.normal(size=(160, 3, 11, 11)).astype(np.float32)
"""More bytes than the reader keeps."""


def of_first_conv(model: Any, folder: Path) -> Array | None:
    file = folder / "model.onnx"
    file.write_bytes(model.SerializeToString())
    reading = onnx_reading(file)
    conv = next(op.name for op in reading.graph.ops.values() if op.kind == "conv")
    with values_of(file) as values:
        return values.of(reading.weights[conv].scales[0])


def one_conv(tensor: Any) -> Any:
    """A file of a single convolution."""
    file = File(STYLES["torch"])
    file.constants.append(tensor)
    made = file.node("Conv", "image", tensor.name, kernel_shape=[11, 11])
    return finished(file, "image", ("N", 3, 16, 16), made)


def raw(kind: int, content: bytes) -> Any:
    return TensorProto(name="conv.weight", dims=WEIGHT.shape, data_type=kind, raw_data=content)


BFLOAT16 = (WEIGHT.view(np.uint32) >> 16).astype(np.uint16)
FORMS = {
    "float32": (raw(1, WEIGHT.tobytes()), WEIGHT),
    "float16": (raw(10, WEIGHT.astype(np.float16).tobytes()), WEIGHT.astype(np.float16)),
    "float64": (raw(11, WEIGHT.astype(np.float64).tobytes()), WEIGHT.astype(np.float64)),
    "bfloat16": (raw(16, BFLOAT16.tobytes()), (BFLOAT16.astype(np.uint32) << 16).view(np.float32)),
    "list of float32": (helper.make_tensor("conv.weight", 1, WEIGHT.shape, WEIGHT.ravel()), WEIGHT),
    "list of float64": (
        helper.make_tensor("conv.weight", 11, WEIGHT.shape, WEIGHT.ravel()),
        WEIGHT.astype(float),
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_values_are_those_that_were_written(form: str, tmp_path: Path) -> None:
    tensor, expected = FORMS[form]
    found = of_first_conv(one_conv(tensor), tmp_path)
    assert found is not None
    assert found.shape == WEIGHT.shape
    assert (found == expected).all()


@pytest.mark.parametrize("style", ["torch", "all convolutions", "view"])
def test_every_weight_of_a_network_is_found(style: str, tmp_path: Path) -> None:
    """Filters as the file has them; classifiers with a row for each class,
    however they are stored.
    """
    model, weights = written(STEPS, STYLES[style])
    file = tmp_path / "model.onnx"
    file.write_bytes(model.SerializeToString())
    reading = onnx_reading(file)
    with values_of(file) as values:
        found = {
            name: [values.of(source) for source in known.scales]
            for name, known in reading.weights.items()
        }
    assert (found["features.denseblock1.denselayer1.conv2"][0].shape) == (12, 48, 3, 3)
    classifier = next(
        values for name, values in found.items() if reading.graph.ops[name].kind == "dense"
    )[0]
    assert np.allclose(classifier.reshape(10, -1), weights["classifier.weight"])
    used = [name for name, op in reading.graph.ops.items() if op.kind in ("conv", "dense")]
    assert all(len(found[name]) == 1 and found[name][0] is not None for name in used)


def test_a_scale_that_the_file_computes_is_computed(tmp_path: Path) -> None:
    """x * (gamma / sqrt(variance + eps)) + beta in the file's own nodes,
    and a filter that is turned and reshaped.
    """
    file = File(STYLES["torch"])
    gamma, variance, beta = (
        RANDOM.uniform(0.5, 2, (160, 1, 1)).astype(np.float32) for _ in range(3)
    )
    turned = file.node(
        "Transpose", file.constant(WEIGHT.transpose(1, 2, 3, 0), "filters"), perm=[3, 0, 1, 2]
    )
    flat = file.node("Reshape", turned, file.sizes(160, 363))
    x = file.node(
        "Conv",
        "image",
        file.node("Reshape", flat, file.sizes(160, 3, 11, 11)),
        kernel_shape=[11, 11],
    )
    deviation = file.node("Sqrt", file.node("Add", file.constant(variance), file.constant(1e-5)))
    scaled = file.node("Mul", x, file.node("Div", file.constant(gamma), deviation))
    model = finished(file, "image", ("N", 3, 16, 16), file.node("Add", scaled, file.constant(beta)))
    assert (of_first_conv(model, tmp_path) == WEIGHT).all()
    reading = onnx_reading(tmp_path / "model.onnx")
    norm = next(op.name for op in reading.graph.ops.values() if op.kind == "batch_norm")
    with values_of(tmp_path / "model.onnx") as values:
        found = values.of(reading.weights[norm].scales[0])
    assert found is not None
    assert np.allclose(found, gamma / np.sqrt(variance + 1e-5), rtol=1e-6)


def test_a_quotient_scales_by_its_reciprocal(tmp_path: Path) -> None:
    """Infinity below the line is zero above it."""
    file = File(STYLES["torch"])
    by = RANDOM.uniform(0.5, 2, (160, 1, 1)).astype(np.float32)
    by[7] = np.inf
    x = file.node("Conv", "image", file.constant(WEIGHT, "conv.weight"), kernel_shape=[11, 11])
    divided = file.node("Div", x, file.constant(by))
    model = finished(file, "image", ("N", 3, 16, 16), file.node("Add", divided, file.constant(by)))
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    reading = onnx_reading(tmp_path / "model.onnx")
    norm = next(op.name for op in reading.graph.ops.values() if op.kind == "batch_norm")
    with values_of(tmp_path / "model.onnx") as values:
        found = values.of(reading.weights[norm].scales[0])
    assert found is not None
    assert np.flatnonzero(found == 0).tolist() == [7]


def outside(location: str, **more: str) -> Any:
    tensor = raw(1, b"")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **more}.items():
        tensor.external_data.add(key=key, value=value)
    return one_conv(tensor)


def test_values_may_stand_in_another_file_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "model.data").write_bytes(bytes(64) + WEIGHT.tobytes())
    found = of_first_conv(
        outside("part/model.data", offset="64", length=str(WEIGHT.nbytes)), tmp_path
    )
    assert found is not None
    assert (found == WEIGHT).all()


LIES = (
    "../model.data",
    "{tmp}/model.data",
    "link.data",
    "pipe",
    "part",
    "short.data",
    "gone.data",
    "a\0b",
    "/dev/zero",
)


@pytest.mark.parametrize("location", LIES)
def test_nothing_beyond_the_folder_is_opened(location: str, tmp_path: Path) -> None:
    """Nor anything that is no whole file: it would have to be waited for, or has no end."""
    import os

    folder = tmp_path / "folder"
    (folder / "part").mkdir(parents=True)
    (tmp_path / "model.data").write_bytes(WEIGHT.tobytes())
    (folder / "link.data").symlink_to(tmp_path / "model.data")
    (folder / "short.data").write_bytes(WEIGHT.tobytes()[:-1])
    os.mkfifo(folder / "pipe")
    assert of_first_conv(outside(location.replace("{tmp}", str(tmp_path))), folder) is None


@pytest.mark.parametrize("offset", ["-1", "x", "9" * 30, "1", ""])
def test_an_offset_that_leads_nowhere_gives_no_values(offset: str, tmp_path: Path) -> None:
    (tmp_path / "model.data").write_bytes(WEIGHT.tobytes())
    assert of_first_conv(outside("model.data", offset=offset), tmp_path) is None


@pytest.mark.parametrize(
    "tensor",
    [
        raw(1, WEIGHT.tobytes()[:-4]),
        raw(1, b""),
        raw(7, WEIGHT.astype(np.int64).tobytes()),
        raw(99, WEIGHT.tobytes()),
    ],
    ids=["too few", "none", "whole numbers", "no known type"],
)
def test_values_that_are_not_there_are_not_made_up(tensor: Any, tmp_path: Path) -> None:
    assert of_first_conv(one_conv(tensor), tmp_path) is None


def test_values_in_pieces_are_not_put_together(tmp_path: Path) -> None:
    """A protobuf field that stands twice."""
    content = one_conv(raw(1, WEIGHT.tobytes())).SerializeToString()
    twice = TensorProto(raw_data=WEIGHT.tobytes()).SerializeToString()
    whole = raw(1, WEIGHT.tobytes()).SerializeToString() + twice
    assert onnx.TensorProto.FromString(whole).raw_data == WEIGHT.tobytes()
    model = one_conv(raw(1, WEIGHT.tobytes()))
    model.graph.initializer.clear()
    file = tmp_path / "model.onnx"
    field = b"\x2a" + varint(len(whole)) + whole
    graph = model.graph.SerializeToString() + field
    model.ClearField("graph")
    file.write_bytes(model.SerializeToString() + b"\x3a" + varint(len(graph)) + graph)
    assert len(content) < file.stat().st_size
    reading = onnx_reading(file)
    assert reading.weights["conv"].scales == (None,)


def varint(number: int) -> bytes:
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*made, number])


def test_what_is_computed_has_bounds() -> None:
    """A sum of a sum with itself, and so on, would take for ever;
    a product of two long ones all memory.
    """
    value: Any = np.ones(4, np.float32)
    for _ in range(20):
        value = compute_later("Add", (4,), value, value)
    assert value is None
    value = np.ones(4, np.float32)
    for _ in range(MAX_STEPS):
        value = compute_later("Neg", (4,), value)
    assert value is not None
    assert (Values(b"", Path()).of(value) == 1).all()
    assert compute_later("Neg", (4,), value) is None
    assert compute_later("Mul", (2**20, 2**20), np.ones((2**20, 1)), np.ones((1, 2**20))) is None
    assert compute_later("Softmax", (4,), np.ones(4)) is None
    assert transpose_later(None, (2, 3)) is None
    assert locate_values(1, (2, -3), 0, -24) is None


def test_a_file_that_changes_while_it_is_read_gives_no_values() -> None:
    """Cut short after its shapes were read, or of other shapes."""
    assert Values(b"\0" * 15, Path()).of(Stored("<f4", (4,), 0)) is None
    assert Values(b"", Path()).of(Computed("Reshape", (3,), (np.ones(4),))) is None
    assert Values(b"", Path()).of(np.array(["N", 1], object)) is None


def test_values_of_a_mindir(tmp_path: Path) -> None:
    """As MindSpore holds them, a classifier that is written the other way round too."""
    prepare()
    import mindspore as ms
    from mindspore import nn, ops

    from archspec.writers.mindspore.export_mindir import export_mindir

    class Net(nn.Cell):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 3, pad_mode="pad", padding=1, has_bias=True)
            self.norm = nn.BatchNorm2d(8)
            self.turned = ms.Parameter(
                ms.Tensor(RANDOM.normal(size=(8, 5)).astype(np.float32)), name="turned"
            )
            self.dense = nn.Dense(5, 4)

        def construct(self, x: Any) -> Any:
            return self.dense(ops.matmul(self.norm(self.conv(x)).mean((2, 3)), self.turned))

    network, file = Net(), tmp_path / "net.mindir"
    export_mindir(network, (3, 8, 8), file)
    reading = mindir_reading(file)
    with values_of(file) as values:
        found = {name: values.of(known.scales[0]) for name, known in reading.weights.items()}
        others = {name: len(known.others) for name, known in reading.weights.items()}
    expected = {parameter.name: parameter.asnumpy() for parameter in network.get_parameters()}
    by_kind = {
        reading.graph.ops[name].kind: name for name in reading.weights if name in reading.graph.ops
    }
    assert (found[by_kind["conv"]] == expected["conv.weight"]).all()
    assert (found[by_kind["batch_norm"]] == expected["norm.gamma"]).all()
    first, second = (
        found[name] for name in reading.graph.ops if reading.graph.ops[name].kind == "dense"
    )
    assert (first == expected["turned"].T).all()
    assert (second == expected["dense.weight"]).all()
    assert (others[by_kind["conv"]], others[by_kind["batch_norm"]], others[by_kind["dense"]]) == (
        1,
        3,
        1,
    )


def test_graphs_are_what_they_were(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(written(STEPS, STYLES["torch"])[0].SerializeToString())
    assert isinstance(read_onnx(file), Graph)
    assert read_onnx(file).ops == onnx_reading(file).graph.ops
    assert read_mindir.__annotations__["return"] == "Graph"
    assert numpy_helper.to_array(onnx.load(file).graph.initializer[0]).shape == (24, 1, 3, 3)


@pytest.mark.parametrize("value", [0.2, 0.01, 1e-5, -0.3, 1.5, 65_504.0, 1 / 3, 6e-8, 0.0])
def test_a_number_of_16_bits_is_the_shortest_decimal_that_it_holds(value: float) -> None:
    """As NumPy writes a float16; of bfloat16, as onnx rounds it."""
    half = np.array([value], np.float16)
    assert find_decimal(half, "<f2") == np.float32(str(half[0]))
    for kind in (10, 16):
        stored = helper.make_tensor("x", kind, [1], [value])
        rounded = numpy_helper.to_array(stored).astype(np.float32)
        found = decode_values(stored)
        again = helper.make_tensor("x", kind, [1], found)
        assert numpy_helper.to_array(again).astype(np.float32) == rounded
        if value in (0.2, 0.01, -0.3, 1.5, 0.0):
            assert found == np.float32(value)


def test_several_numbers_of_16_bits_are_what_they_are() -> None:
    """Filters, in raw bytes and in a list."""
    values = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    for kind in (10, 16):
        dtype = helper.tensor_dtype_to_np_dtype(kind)
        wanted = values.astype(dtype)
        listed = helper.make_tensor("x", kind, wanted.shape, values.ravel())
        raw = helper.make_tensor("x", kind, wanted.shape, wanted.tobytes(), raw=True)
        for tensor in (listed, raw):
            assert (decode_values(tensor) == wanted.astype(np.float32)).all()


def test_numbers_that_are_none_stay_so() -> None:
    for value in (np.nan, np.inf, -np.inf):
        tensor = helper.make_tensor("x", 16, [], [value])
        assert str(decode_values(tensor)) == str(np.float32(value))
