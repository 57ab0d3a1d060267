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

from archspec.operators.table import OPERATORS
from archspec.readers.onnx.call import GROUPED, MAX_COMPUTED, TYPES, Array, Call, axis_of
from archspec.readers.tensors import Computed, Source, Tensor, compute_later, evaluate
from archspec.readers.trace import Feature, Grid, Trace, Unsupported

MAX_LOOKED = 256
"""Operators that are looked through for one that gives nothing below zero."""

QUANTISED = "quantised value"
_UNSIGNED = np.dtype(np.uint8)
"""What a QuantizeLinear gives that says nothing else."""


def quantise(call: Call) -> Feature:
    """Return the same feature, which a DequantizeLinear must read."""
    grouped = GROUPED if call.is_pending(GROUPED) else ""
    x, (scale, zero, axis) = call.feature(pending=grouped), _grid(call, _output_type(call))
    if x.pending and scale.size > 1:
        raise Unsupported("rounds channels in groups by several scales")
    if x.pending:
        return _quantise_grouped(call, x, scale, zero)
    if scale.size > 1:
        axis = axis_of(x, axis)
        if x.shape[axis] != scale.size:
            raise Unsupported(f"has {scale.size} scales for {x.shape[axis]} places")
    lowest, highest = _range(zero)
    if (zero == highest).any():
        raise Unsupported(f"gives nothing above zero: its zero point is {highest}, the largest")
    is_cut = zero == lowest
    if is_cut.any() and not _is_never_negative(call.trace, x.op):
        if not is_cut.all():
            raise Unsupported("gives nothing below zero in some channels alone")
        x = call.op("relu", [x], x.shape)
        call.trace.implied.add(x.op)
    call.trace.grids[call.output] = Grid(scale, zero, axis, x.op)
    return replace(x, pending=(QUANTISED, zero.dtype.name, scale.tolist(), zero.tolist(), axis))


def _quantise_grouped(call: Call, x: Feature, scale: Array, zero: Array) -> Feature:
    """Of channels in groups, such as a shuffle has in between: by the scale that they were rounded
    by before, which is looked at there.
    """
    of_op = (grid for grid in call.trace.grids.values() if grid.op == x.op)
    if not any((grid.scale == scale).all() and (grid.zero == zero).all() for grid in of_op):
        raise Unsupported("rounds channels in groups by another scale than before")
    grid = (zero.dtype.name, scale.tolist(), zero.tolist(), 0)
    return replace(x, pending=(QUANTISED, *grid, *x.pending))


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


def _is_never_negative(trace: Trace, name: str) -> bool:
    """Say whether a value is what ReLUs give, joined or pooled."""
    seen, waiting = {name}, [name]
    while waiting and len(seen) <= MAX_LOOKED:
        op = trace.ops[waiting.pop()]
        row = OPERATORS.get(op.kind)
        if row is None or not (row.is_never_negative or row.keeps_sign):
            return False
        if not row.is_never_negative:
            before = {*op.inputs} - seen
            seen |= before
            waiting.extend(before)
    return not waiting


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
