"""What the nodes of an ONNX file compute with here:
features of the image, and constants; and a node about to run.

A constant is a weight, of which the shape is enough, or sizes, bounds and the like, whose values
are known. Sizes that a file computes from the shape of a feature map are such constants too; among
them "N" is a free batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from archspec.operators.table import OPERATORS
from archspec.readers import trace
from archspec.readers.tensors import (
    BFLOAT16,
    Tensor,
    find_decimal,
    scaled_axis,
    widen_bfloat16,
)
from archspec.readers.trace import Feature, Unsupported

MAX_COMPUTED = 4_096
"""Values of a constant that is computed from others."""

Array = Any

# Numbers of onnx's types, the field of a tensor that holds them where raw_data does not, NumPy's
# name of them.
FLOATS = {
    1: ("float_data", "<f4"),
    11: ("double_data", "<f8"),
    10: ("int32_data", "<f2"),
    16: ("int32_data", ""),
}
TYPES: Mapping[int, tuple[str, str]] = {
    **FLOATS,
    2: ("int32_data", "|u1"),
    3: ("int32_data", "|i1"),
    4: ("int32_data", "<u2"),
    5: ("int32_data", "<i2"),
    6: ("int32_data", "<i4"),
    7: ("int64_data", "<i8"),
    9: ("int32_data", "|b1"),
}


_HALVES: Mapping[int, str] = {10: "<f2", 16: BFLOAT16}
"""Types of 16 bits, as `tensors` has them."""


def decode_values(tensor: Any) -> Array:
    """Return the values of an `onnx.TensorProto`, None where they are missing,
    left out, or of another type.
    """
    listed, name = TYPES.get(tensor.data_type, ("", ""))
    size = prod(tensor.dims)
    if not listed or size < 0:
        return None
    half = _HALVES.get(tensor.data_type, "")
    values = _list_values(tensor, listed, np.dtype("<u2" if half else name), size)
    if values is None or not half:
        return values
    values = widen_bfloat16(values) if half == BFLOAT16 else values.view(half)
    return find_decimal(values, half) if size == 1 else values


def _list_values(tensor: Any, listed: str, kind: Any, size: int) -> Array:
    """Numbers of a kind; None where they are not so many."""
    if len(tensor.raw_data) == size * kind.itemsize:
        return np.frombuffer(tensor.raw_data, kind).reshape(tensor.dims)
    given = getattr(tensor, listed)
    if len(given) != size:
        return None
    return np.asarray(given, np.int64 if kind == "<u2" else kind).astype(kind).reshape(tensor.dims)


def constant(values: Any, name: str = "") -> Tensor:
    """Return values that were computed as a constant."""
    array = values if isinstance(values, np.ndarray) else np.asarray(values, object)
    if array.size > MAX_COMPUTED:
        raise Unsupported(f"computes more than {MAX_COMPUTED:,} sizes")
    return Tensor(name, array.shape, values=array)


GROUPED = "grouped"
"""What is pending of channels in groups:
("grouped", how many, where each dimension stands as in `layouts`)."""
TO_LAST = (0, 2, 3, 1)
"""What each dimension of a permuted feature map is: channels stand last."""


def take_over_sizes(call: Call, target: Sequence[int], dims: Sequence[Any]) -> list[Any]:
    """Return the sizes that a reshape names; 0 stands for the size that is there."""
    sizes: list[Any] = [*target]
    if call.attrs.get("allowzero", 0) and 0 in sizes:
        raise Unsupported(f"makes no values at all: allowzero with sizes {tuple(sizes)}")
    for at, size in enumerate(dims[: len(sizes)]):
        if sizes[at] == 0:
            sizes[at] = size
    return sizes


def axis_of(x: Feature, axis: int) -> int:
    """Return which of (N, C, H, W) or (N, C) an axis is; the file may have the channels last."""
    dims = len(x.shape)
    if not -dims <= axis < dims:
        raise Unsupported(f"names axis {axis} of {dims}")
    return TO_LAST[axis] if x.pending else axis % dims


@dataclass(frozen=True, slots=True)
class Call(trace.Call):
    """A node about to run; an input that is left out is None."""

    opset: int
    outputs: int
    """How many of its outputs have a name."""
    output: str
    """The name of the first."""
    readers: int = 1
    """How many times the first output is read."""
    read_by: frozenset[str] = frozenset()
    """Kinds of the nodes that read it."""

    def option(self, name: str, index: int, default: Any = None) -> Any:
        """Return a setting, a number or a tuple:
        an attribute in older files, a constant input in newer ones.
        """
        if self.attrs.get(name) is not None:
            return self.attrs[name]
        if not self.has(index):
            return default
        value = self.inputs[index]
        if (
            not isinstance(value, Tensor)
            or value.values is None
            or value.values.size > MAX_COMPUTED
        ):
            self.refuse(f"has no {name} that the file tells")
        return tuple(value.values.tolist()) if value.values.ndim else value.values.item()

    def op(
        self,
        kind: str,
        inputs: Sequence[Feature],
        shape: tuple[Any, ...],
        /,
        weights: Sequence[Tensor] = (),
        **attrs: Any,
    ) -> Feature:
        """Add an operator as for any file; filters have scales for the channels that they make."""
        row = OPERATORS.get(kind)
        if weights and row is not None and row.has_filters:
            self._expect_scales_of_outputs(weights[0], row.axis_made)
        return trace.Call.op(self, kind, inputs, shape, weights, **attrs)

    def _expect_scales_of_outputs(self, weight: Tensor, made: int) -> None:
        axis = scaled_axis(weight.source)
        if axis is not None and axis != made:
            raise Unsupported(
                f"reads {weight.name[: trace.MAX_NAME]}, which has scales along axis {axis}; "
                f"the channels that it makes lie along axis {made}"
            )

    def elementwise(self, kind: str, index: int = 0, /, **attrs: Any) -> Feature:
        """Add an operator that changes each value of an input by itself."""
        x = self.any_feature(index)
        if x.op in self.trace.implied and OPERATORS[kind].is_clamp:
            x = replace(x, op=self.trace.ops[x.op].inputs[0])  # what clips below zero once more
        return self.in_place(kind, x, **attrs)

    def any_feature(self, index: int = 0) -> Feature:
        """Return an input that depends on the image, wherever its channels stand."""
        return self.feature(index, pending="permuted")

    def tell_apart(self, weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Exporters store equal vectors once, such as the gammas of untrained norms:
        only filters tell sharing.
        """
        return [weight for weight in weights if len(weight.dims) > 1 and weight.name]
