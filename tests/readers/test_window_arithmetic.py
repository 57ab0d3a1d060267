"""The arithmetic of windows: as ONNX Runtime pools and convolves, for sizes that are drawn."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from archspec.operators.shape_rules import window_pixels
from archspec.readers import window_arithmetic as windows
from archspec.readers.trace import Feature, Unsupported

SEEDS = range(25)


def run(kind: str, pixels: tuple[int, int], **attrs: Any) -> Any:
    """What a node gives for one random image of one channel, (1, 1, H, W), by ONNX Runtime."""
    inputs = ["x", "w"] if kind in ("Conv", "ConvTranspose") else ["x"]
    kernel = attrs["kernel_shape"]
    filters = helper.make_tensor("w", TensorProto.FLOAT, [1, 1, *kernel], np.ones(kernel).ravel())
    graph = helper.make_graph(
        [helper.make_node(kind, inputs, ["y"], **attrs)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, *pixels])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [filters] if inputs[1:] else [],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    x = np.random.default_rng(0).normal(size=(1, 1, *pixels))
    return session.run(None, {"x": x.astype(np.float32)})[0]


def drawn(seed: int) -> tuple[Feature, int, int, int, tuple[int, int, int, int]]:
    """A feature map, and a window's kernel, stride, dilation and padding."""
    rng = random.Random(seed)
    shape = (1, 1, rng.randint(5, 14), rng.randint(5, 14))
    kernel, stride, dilation = rng.randint(1, 3), rng.randint(1, 4), rng.randint(1, 2)
    top, bottom, left, right = (rng.randint(0, kernel - 1) for _ in range(4))
    return Feature("x", shape), kernel, stride, dilation, (top, bottom, left, right)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_convolution_gives_as_many_pixels(seed: int) -> None:
    """Dilated, and padded by another number on each side."""
    x, kernel, stride, dilation, (top, bottom, left, right) = drawn(seed)
    said, pixels = windows.sliding(x, kernel, stride, (top, bottom, left, right), dilation)
    attrs = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "dilations": [dilation] * 2}
    made = run("Conv", x.shape[2:], pads=[top, left, bottom, right], **attrs)
    assert made.shape[2:] == pixels
    # A graph's shapes are derived anew, with the same attributes.
    assert window_pixels({**said, "dilation": dilation}, x.shape[1:]) == pixels


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_padding_that_keeps_the_size_does(seed: int, auto_pad: str) -> None:
    """Of an odd number more pixels stand behind, or before."""
    x, kernel, stride, _, _ = drawn(seed)
    stride = min(stride, kernel)  # beyond, ONNX Runtime refuses
    top, bottom, left, right = windows.same_padding(
        x.shape[2:], stride, kernel, more_first=auto_pad == "SAME_LOWER"
    )
    _, pixels = windows.sliding(x, kernel, stride, (top, bottom, left, right))
    attrs = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2}
    same = run("MaxPool", x.shape[2:], auto_pad=auto_pad, **attrs)
    assert same.shape[2:] == pixels == tuple(-(-size // stride) for size in x.shape[2:])
    assert (same == run("MaxPool", x.shape[2:], pads=[top, left, bottom, right], **attrs)).all()


@pytest.mark.parametrize("is_up", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_pool_is_rounded_as_it_is_said(seed: int, is_up: bool) -> None:
    """Where both give the same, nobody can tell."""
    x, kernel, stride, _, (top, _, left, _) = drawn(seed)
    pads = (top, top, left, left)
    attrs, down = windows.sliding(x, kernel, stride, pads)
    made, pixels = windows.with_ceil(x, attrs, down, is_up)
    said = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [top, left] * 2}
    both = [run("MaxPool", x.shape[2:], ceil_mode=up, **said).shape[2:] for up in (0, 1)]
    assert pixels == both[is_up]
    assert window_pixels(made, x.shape[1:]) == pixels
    assert made.get("ceil", False) == (None if both[0] == both[1] else is_up)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_transposed_convolution_gives_as_many_pixels(seed: int) -> None:
    """The padding takes pixels away."""
    x, kernel, stride, _, (padding, *_) = drawn(seed)
    attrs = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [padding] * 4}
    pixels = windows.count_enlarged(x, kernel, stride, padding)
    assert run("ConvTranspose", x.shape[2:], **attrs).shape[2:] == pixels


def test_a_padding_before_becomes_the_windows_own() -> None:
    """One number where all sides are alike."""
    x = Feature("x", (1, 1, 8, 8), pending=("padding", (1, 2, 1, 2)))
    attrs, pixels = windows.sliding(x, 3, 1, (1, 0, 1, 0))
    assert attrs["padding"] == 2
    assert pixels == (10, 10)
    assert windows.count_padded(x) == (11, 11)


@pytest.mark.parametrize("size", [0, -1, 2.0, True, "3", (2, 3), (1, 1, 2, 3), 2**40, None])
def test_what_is_no_square_size_is_refused(size: Any) -> None:
    """Whatever a file holds there."""
    with pytest.raises(Unsupported, match="has the size"):
        windows.square(size)


@pytest.mark.parametrize("size", [3, 5])
def test_a_blur_is_a_row_of_pascals_triangle_each_way(size: int) -> None:
    """NumPy's polynomials say the same."""
    row = np.polynomial.polynomial.polypow([1, 1], size - 1)
    made = windows.blur_filter((8, 1, size, size), 8)
    assert made == pytest.approx(np.outer(row, row) / 4.0 ** (size - 1))


@pytest.mark.parametrize("dims", [(8, 1, 4, 4), (8, 2, 3, 3), (7, 1, 3, 3), (8, 1, 5, 3), (3,), ()])
def test_other_filters_are_no_blurs(dims: tuple[int, ...]) -> None:
    """Of another size, for other channels, or not one for each."""
    with pytest.raises(Unsupported, match="no blur"):
        windows.blur_filter(dims, 8)
