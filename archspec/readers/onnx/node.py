"""A node of an ONNX as the rows of operators ask it (`archspec/operators/file_node.py`)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from archspec.readers.onnx import blurs, vectors, windows
from archspec.readers.onnx.call import Call, axis_of
from archspec.readers.onnx.elementwise import is_per_channel
from archspec.readers.tensors import Tensor, transpose_later
from archspec.readers.trace import Feature


@dataclass(frozen=True, slots=True)
class OnnxNode(Call):
    """A node that becomes an operator."""

    def is_before(self, opset: int) -> bool:
        """Return whether the file's operators are of an earlier version than this."""
        return self.opset < opset

    def single_number(self, index: int) -> float | None:
        """Return an input that is one number, else None."""
        value = self.inputs[index]
        return value.number if isinstance(value, Tensor) else None

    def channel_weight(self, index: int, x: Feature) -> Tensor | None:
        """Return an input that is a weight with one value for each channel of x, else None."""
        value = self.inputs[index]
        return value if isinstance(value, Tensor) and is_per_channel(x, value) else None

    def turned(self, weight: Tensor) -> Tensor:
        """Return a matrix with rows for columns."""
        source = transpose_later(weight.source, weight.dims)
        values = None if weight.values is None else weight.values.T
        return replace(weight, dims=weight.dims[::-1], source=source, values=values)

    def is_channel_axis(self, x: Feature, axis: Any) -> bool:
        """Return whether an axis is that of the channels, wherever these stand."""
        return axis_of(x, axis) == 1

    def channels_last(self, *axes: int) -> Feature:
        """Return the first input, whose last dimension must be its channels and all these axes."""
        x = self.any_feature()
        is_last = bool(x.pending) or len(x.shape) == 2
        if not is_last or any(axis_of(x, axis) != 1 for axis in axes):
            self.refuse("does not norm the channels of each pixel")
        return x

    # What slides over a map is read in `windows`, whose functions of a node are methods here.
    mirrors_edges = windows.mirrors_edges
    sliding_filters = windows.sliding_filters
    enlarging_filters = windows.enlarging_filters
    blur = blurs.blur
    padded_map = windows.padded_map
    covers = windows.covers
    leaves_padding_out = windows.leaves_padding_out
    pool = windows.pool
    enlarging_factor = windows.enlarging_factor

    def global_pool(self, kind: str) -> Feature:
        """Add a pool over all pixels that leaves one."""
        return vectors.add_global_pool(self, kind, self.feature(dims=4))

    def reduce_pixels(self, kind: str) -> Feature | None:
        """Add a pool over all pixels, if these are the dimensions that are taken away."""
        return vectors.reduce_pixels(self, kind)
