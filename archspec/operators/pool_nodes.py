"""How ONNX has pools."""

from __future__ import annotations

from typing import Any

from archspec.operators.onnx_writing import OnnxWriter, WriteOnnx, window_of

BINOMIAL = {3: (1, 2, 1), 5: (1, 4, 6, 4, 1)}
"""Of a blur: a row of its filter, by its size, which its sum divides."""


def _window(node: OnnxWriter) -> dict[str, Any]:
    window = window_of(node)
    return {**window, "ceil_mode": 1} if node.attrs["ceil"] else window


def write_max_pool(node: OnnxWriter) -> str:
    """Write one node."""
    return node.add("MaxPool", *node.inputs, **_window(node))


def write_avg_pool(node: OnnxWriter) -> str:
    """Write one node; the zeros of the padding count."""
    return node.add("AveragePool", *node.inputs, **_window(node), count_include_pad=1)


def write_blur(node: OnnxWriter) -> str:
    """Write mirrored edges, and a convolution of each channel with the fixed filter."""
    attrs, channels = node.attrs, node.channels()
    row, around = BINOMIAL[attrs["kernel"]], [attrs["padding"]] * 2
    square = []
    for weight in row:
        square.append([weight * other / sum(row) ** 2 for other in row])
    pads = node.constant([0, 0, *around, 0, 0, *around])
    mirrored = node.add("Pad", node.inputs[0], pads, mode="reflect")
    filters = node.constant([[square]] * channels)
    strides = [attrs["stride"]] * 2
    return node.add("Conv", mirrored, filters, group=channels, strides=strides)


def over_all_pixels(kind: str) -> WriteOnnx:
    """Return what writes a pool over the whole map, as a map of one pixel or as a vector."""

    def write(node: OnnxWriter) -> str:
        pooled = node.add(kind, node.inputs[0])
        return pooled if node.attrs["keep"] else node.add("Flatten", pooled, axis=1)

    return write
