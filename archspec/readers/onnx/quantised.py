"""Quantised networks in an ONNX: pairs of QuantizeLinear and DequantizeLinear.

They stand on features and on weights. What such a pair does beside rounding is clipping. Where the
smallest whole number stands for zero, it gives nothing below zero: quantisers leave out the ReLU
before, so that the pair is read as one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from archspec.operators.table import REMAINS
from archspec.readers.onnx.call import GROUPED, MAX_COMPUTED, TYPES, Array, Call, axis_of
from archspec.readers.onnx.signs import is_never_negative
from archspec.readers.pixel_orders import PIXELS
from archspec.readers.tensors import Computed, Source, Tensor, compute_later, evaluate
from archspec.readers.trace import Feature, Grid, Unsupported

QUANTISED = "quantised value"
_UNSIGNED = np.dtype(np.uint8)
"""What a QuantizeLinear gives that says nothing else."""


_MOVED = (GROUPED, PIXELS, "permuted", "padding", "group norm")
"""What may be pending of a feature that is rounded: values that have moved, zeros beside them, or
groups that are normed already."""


def quantise(call: Call) -> Feature:
    """Return the same feature, which a DequantizeLinear must read."""
    kind = next((kind for kind in _MOVED if call.is_pending(kind)), "")
    x, (scale, zero, axis) = call.feature(pending=kind), _grid(call, _output_type(call))
    _check_moved(x, scale)
    if scale.size > 1:
        axis = axis_of(x, axis)
        if x.shape[axis] != scale.size:
            raise Unsupported(f"has {scale.size} scales for {x.shape[axis]} places")
    lowest, highest = _range(zero)
    if (zero == highest).any():
        raise Unsupported(f"gives nothing above zero: its zero point is {highest}, the largest")
    is_last = x.pending[:1] == ("permuted",)
    call.trace.grids[call.output] = Grid(scale, zero, axis, x.op, x.shape, is_last)
    is_cut = zero == lowest
    if is_cut.any() and not is_never_negative(call.trace, x.op):
        x = _cut_below_zero(call, x, is_everywhere=bool(is_cut.all()))
        end = (highest - zero.astype(float)) * scale
        call.trace.implied[x.op] = float(end.max())
    return replace(
        x, pending=(QUANTISED, zero.dtype.name, scale.tolist(), zero.tolist(), axis, *x.pending)
    )


def _check_moved(x: Feature, scale: Array) -> None:
    """Zeros are whole numbers in whatever steps; other numbers beside a map may be cut off."""
    if not x.pending:
        return
    kind, *rest = x.pending
    if kind == "padding" and rest[1:] != [0.0, "reflect"] and rest[1:] != [0.0, "constant"]:
        raise Unsupported(f"rounds a padding of {rest[1]}")
    if scale.size > 1:
        raise Unsupported(f"rounds a part of a {kind} by several scales")


def _cut_below_zero(call: Call, x: Feature, *, is_everywhere: bool) -> Feature:
    """A ReLU, which may stand before values move as well as behind."""
    if not is_everywhere:
        raise Unsupported("gives nothing below zero in some channels alone")
    is_part = x.op in call.trace.faults and call.maker(x).kind not in REMAINS
    if x.pending[:1] == ("group norm",) or is_part:
        raise Unsupported("gives nothing below zero in the middle of an operator")
    made = call.op("relu", [replace(x, pending=())], x.shape)
    return replace(made, pending=x.pending)


def dequantise(call: Call) -> Feature:
    """Return the feature before the QuantizeLinear, whose scale must be the same."""
    x = call.feature(pending=QUANTISED)
    if not x.pending:
        raise Unsupported("reads what no QuantizeLinear gives")
    kind, *grid = x.pending[1:5]
    scale, zero, axis = _grid(call, np.dtype(kind))
    before = x.pending[5:]
    if scale.size > 1:
        axis = axis_of(replace(x, pending=()), axis)
    if zero.dtype.name != kind:
        raise Unsupported(f"takes {zero.dtype.name}, the QuantizeLinear before it gives {kind}")
    if grid != [scale.tolist(), zero.tolist(), axis]:
        raise Unsupported("has another scale or zero point than the QuantizeLinear before it")
    return replace(x, pending=before)


def quantise_weight(call: Call) -> Tensor:
    """Return a constant as whole numbers."""
    kind = _output_type(call)
    _, zero, _ = _grid(call, kind)
    return _compute_later(call, kind, np.array(_range(zero), float))


def dequantise_weight(call: Call) -> Tensor:
    """Return whole numbers as what they stand for."""
    made = _compute_later(call, _UNSIGNED)
    if isinstance(made.source, Computed):
        call.trace.whole_weights[call.output] = made.source
    return made


def _output_type(call: Call) -> Any:
    """The type that a QuantizeLinear without a zero point gives."""
    told = call.attrs.get("output_dtype", 0)
    if not told:
        return _UNSIGNED
    _, name = TYPES.get(told, ("", ""))
    return np.dtype(name or "f4")  # which is no whole number, and refused


def _compute_later(call: Call, kind: Any, *more: Source) -> Tensor:
    tensor, (scale, zero, axis) = call.inputs[0], _grid(call, kind)
    if not isinstance(tensor, Tensor):
        raise Unsupported("reads something else than a constant")
    dims = len(tensor.dims)
    if scale.size > 1 and not -dims <= axis < dims:
        raise Unsupported(f"names axis {axis} of {dims}")
    axes = (axis % max(dims, 1),)
    if scale.size > 1 and tensor.dims[axes[0]] != scale.size:
        raise Unsupported(f"has {scale.size} scales for {tensor.dims[axes[0]]} places")
    node = call.kind.rpartition("::")[2]
    source = compute_later(node, tensor.dims, tensor.place, scale, zero, *more, axes=axes)
    few = tensor.values is not None and tensor.values.size <= MAX_COMPUTED
    values = evaluate(source) if few and isinstance(source, Computed) else None
    return Tensor(tensor.name, tensor.dims, source, values)


def _grid(call: Call, kind: Any) -> tuple[Array, Array, int]:
    """Scales, zero points and the axis along which these are several; the latter are zeros of a
    kind where the node has none.
    """
    scale = _take_values(call, 1)
    if call.has(2) and getattr(call.inputs[2], "place", call) is None:
        raise Unsupported("has whole numbers of another type than those of 8, 16 or 32 bits")
    zero = _take_values(call, 2) if call.has(2) else np.zeros(scale.shape, kind)
    if not ((scale > 0) & np.isfinite(scale)).all() or zero.dtype.kind not in "iu":
        raise Unsupported("has a scale that is not positive, or a zero point of an unknown type")
    if scale.ndim > 1 or call.attrs.get("block_size", 0):
        raise Unsupported("has scales of blocks")
    if zero.size != scale.size:
        raise Unsupported(f"has {scale.size} scales and {zero.size} zero points")
    axis = call.attrs.get("axis", 1) if scale.size > 1 else 0
    return scale.reshape(-1), zero.reshape(-1), axis


def _take_values(call: Call, index: int) -> Array:
    value: Any = call.inputs[index]
    if (
        not isinstance(value, Tensor)
        or value.values is None
        or value.values.dtype.kind not in "fiu"
    ):
        raise Unsupported("has a scale or zero point that the file does not tell")
    return value.values


def _range(zero: Array) -> tuple[int, int]:
    limits = np.iinfo(zero.dtype)
    return int(limits.min), int(limits.max)


_MAKES = ("QuantizeLinear", "com.microsoft::QuantizeLinear")
_READS = ("DequantizeLinear", "com.microsoft::DequantizeLinear")
FEATURES: Mapping[str, Any] = {
    **dict.fromkeys(_MAKES, quantise),
    **dict.fromkeys(_READS, dequantise),
}
WEIGHTS: Mapping[str, Any] = {
    **dict.fromkeys(_MAKES, quantise_weight),
    **dict.fromkeys(_READS, dequantise_weight),
}
