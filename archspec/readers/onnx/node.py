"""A node of an ONNX as the rows of operators ask it (`archspec/operators/file_node.py`)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from archspec.operators.file_node import SlidingFilters
from archspec.readers.onnx import vectors, windows
from archspec.readers.onnx.blurs import blur
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

    def mirrors_edges(self) -> bool:
        """Return whether it reads a padding that mirrors the edges."""
        return windows.mirrors_edges(self)

    def sliding_filters(self) -> SlidingFilters:
        """Return what a convolution is."""
        return windows.sliding_filters(self)

    def enlarging_filters(self) -> SlidingFilters:
        """Return what a transposed convolution is."""
        return windows.enlarging_filters(self)

    def blur(self, kind: str) -> Feature:
        """Add a blur."""
        return blur(self, kind)

    def padded_map(self, is_maximum: bool = False) -> Feature:
        """Return the first input with the padding before it."""
        return windows.padded_map(self, is_maximum)

    def covers(self, x: Feature) -> bool:
        """Return whether a pool's window is the whole map."""
        return windows.covers(self, x)

    def leaves_padding_out(self) -> bool:
        """Return whether a pool counts the pixels of the map alone."""
        return windows.leaves_padding_out(self)

    def pool(self, kind: str, x: Feature, /, **attrs: Any) -> Feature:
        """Add a pool over windows, with attributes beside those of its window."""
        return windows.pool(self, kind, x, attrs)

    def global_pool(self, kind: str) -> Feature:
        """Add a pool over all pixels that leaves one."""
        return vectors.add_global_pool(self, kind, self.feature(dims=4))

    def reduce_pixels(self, kind: str) -> Feature | None:
        """Add a pool over all pixels, if these are the dimensions that are taken away."""
        return vectors.reduce_pixels(self, kind)

    def enlarging_factor(self, x: Feature) -> int:
        """Return how many times higher and wider a map becomes."""
        return windows.enlarging_factor(self, x)
