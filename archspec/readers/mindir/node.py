"""A node of a MINDIR as the rows of operators ask it (`archspec/operators/file_node.py`)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from archspec.readers.mindir import windows
from archspec.readers.mindir.call import Call
from archspec.readers.tensors import Tensor, transpose_later
from archspec.readers.trace import Feature
from archspec.readers.window_arithmetic import kind_over, square


@dataclass(frozen=True, slots=True)
class MindirNode(Call):
    """A node that becomes an operator."""

    def single_number(self, index: int) -> float | None:
        """Return an input that is one number, else None."""
        value = self.inputs[index]
        return value if type(value) in (int, float) else None

    def size(self, name: str, index: int) -> int:
        """Return a setting that must be the same in height and width."""
        return square(self.option(name, index))

    def channel_weight(self, index: int, x: Feature) -> Tensor | None:
        """Return an input that is a weight with one value for each channel of x, else None."""
        value, channels = self.inputs[index], x.shape[1]
        if not isinstance(value, Tensor):
            return None
        return value if value.dims in ((channels,), (channels, 1, 1)) else None

    def turned(self, weight: Tensor) -> Tensor:
        """Return a matrix with rows for columns."""
        source = transpose_later(weight.source, weight.dims)
        return replace(weight, dims=weight.dims[::-1], source=source)

    def is_channel_axis(self, x: Feature, axis: Any) -> bool:
        """Return whether an axis is that of the channels."""
        return len(x.shape) in (2, 4) and axis in (1, 1 - len(x.shape))

    def channels_last(self, *axes: int) -> Feature:
        """Return the first input, whose last dimension must be its channels and all these axes."""
        x = self.feature(pending="channels last")
        is_last = bool(x.pending) or len(x.shape) == 2
        if not is_last or any(axis % len(x.shape) != len(x.shape) - 1 for axis in axes):
            self.refuse("does not norm the channels of each pixel")
        return x

    # What slides over a map is read in `windows`, whose functions of a node are methods here.
    mirrors_edges = windows.mirrors_edges
    sliding_filters = windows.sliding_filters
    enlarging_filters = windows.enlarging_filters
    blur = windows.blur
    padded_map = windows.padded_map
    covers = windows.covers
    leaves_padding_out = windows.leaves_padding_out
    pool = windows.pool
    enlarging_factor = windows.enlarging_factor

    def global_pool(self, kind: str) -> Feature:
        """Add a pool over all pixels that leaves one."""
        return self._add_global_pool(kind, self.feature(dims=4), is_kept=True)

    def reduce_pixels(self, kind: str) -> Feature | None:
        """Add a pool over all pixels, if these are the dimensions that are taken away."""
        x, axes = self.feature(), self.option("axis", 1)
        if len(x.shape) != 4 or sorted(axis % 4 for axis in axes) != [2, 3]:
            return None
        return self._add_global_pool(kind, x, bool(self.option("keep_dims", 2, False)))

    def _add_global_pool(self, kind: str, x: Feature, is_kept: bool) -> Feature:
        kind = kind_over(kind, x)
        if is_kept:
            return self.op(kind, [x], (*x.shape[:2], 1, 1), keep=True)
        return self.op(kind, [x], x.shape[:2])
