"""Nodes of an ONNX that take dimensions away.

A feature that a file flattens becomes a vector at once: the pool before it loses its pixels, and a
convolution of one pixel is a dense layer.
"""

from __future__ import annotations

import reprlib
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from archspec.graph.ir import Op
from archspec.operators.shape_rules import is_whole_map, without_pixels
from archspec.operators.table import GLOBAL_POOLS, OPERATORS, ROWS
from archspec.readers.onnx.call import GROUPED, Call, axis_of
from archspec.readers.trace import Feature, Unsupported, flatten_tuples
from archspec.readers.window_arithmetic import kind_over

MAX_DEPTH = 8
"""Operators between a pool and where its pixels are taken away that are followed back: a file may
take those of one tower away many times."""

HALF = "mean of one axis"

_BY_VALUE = frozenset(
    kind for row in ROWS if row.is_by_value for kind in (row.kind, *row.remains_of)
)


def reduce_pixels(call: Call, kind: str) -> Feature | None:
    """Return (N, C) or (N, C, 1, 1) of a pool over the pixels; None where a node takes other
    dimensions away.
    """
    x = call.inputs[0]
    if not isinstance(x, Feature) or len(x.shape) != 4 or x.pending not in ((), ("permuted",)):
        return None
    if sorted(axis_of(x, axis) for axis in call.option("axes", 1, ())) != [2, 3]:
        return None
    is_kept = bool(call.attrs.get("keepdims", 1))
    made = add_global_pool(call, kind, replace(x, pending=()))
    return call.like(x, made) if is_kept else vector(call, made)


def add_global_pool(call: Call, kind: str, x: Feature) -> Feature:
    """Return (N, C, 1, 1)."""
    return call.op(kind_over(kind, x), [x], (*x.shape[:2], 1, 1), keep=True)


def other_maximum(call: Call) -> Feature:
    """Refuse a maximum over other dimensions than the pixels."""
    call.feature(dims=4, pending="permuted")
    axes = reprlib.repr(call.option("axes", 1, ()))
    raise Unsupported(f"takes the maximum over the axes {axes}; only (2, 3) is known")


def mean_in_steps(call: Call) -> Feature | None:
    """Return the mean of the pixels in two steps, or of those of a group; None where it is none.

    Of the first step alone what reads it tells: the second, perhaps behind what changes nothing.
    """
    if call.is_pending(GROUPED) or call.is_pending(HALF):
        return _rest_of_mean(call)
    x, keep = call.any_feature(), bool(call.attrs.get("keepdims", 1))
    axes = [axis_of(x, axis) for axis in call.option("axes", 1, ())]
    is_begun = bool(call.read_by) and call.read_by <= {call.kind, "Identity", "Cast"}
    if axes not in ([2], [3]) or x.pending or len(x.shape) != 4 or not is_begun:
        return None
    return replace(x, pending=(HALF, 4 if keep else 3, 5 - axes[0] if keep else 2))


def other_mean(call: Call) -> Feature:
    """Return the mean of each pixel, a part of a layer norm."""
    x, given = call.any_feature(), call.option("axes", 1, ())
    if [axis_of(x, axis) for axis in given] == [1] and call.attrs.get("keepdims", 1):
        return call.like(x, call.part("mean", [x], x.shape))
    call.feature(dims=4, pending="permuted")
    raise Unsupported(f"averages over the axes {reprlib.repr(given)}; only (2, 3) is known")


def _rest_of_mean(call: Call) -> Feature:
    """The mean of the pixels of each channel in a row, or of the axis that the mean before left."""
    x = call.feature(pending=HALF if call.is_pending(HALF) else GROUPED)
    keep, axes = bool(call.attrs.get("keepdims", 1)), call.option("axes", 1, ())
    dims, last = x.pending[1:] if x.pending[0] == HALF else (len(x.pending[2]), 2)
    in_rows = x.pending[0] == HALF or (x.pending[1] == x.shape[1] and dims == 3 and not keep)
    if [axis % dims for axis in axes] != [last] or not in_rows or keep != (dims == 4):
        raise Unsupported(f"averages over the axes {reprlib.repr(axes)} of a {x.pending[0]}")
    made = add_global_pool(call, "global_avg_pool", replace(x, pending=()))
    return made if keep else vector(call, made)


def vector(call: Call, x: Feature, depth: int = 0) -> Feature:
    """Return (N, C) of (N, C, 1, 1), made by the operators that the IR has for it."""
    if len(x.shape) == 2:
        return x
    if x.shape[2:] != (1, 1):
        raise Unsupported(f"makes a vector of {x.shape}")
    op, shape = call.trace.ops[x.op], x.shape[:2]
    if op.kind in GLOBAL_POOLS:
        return _remake(call, op, op.inputs, shape)
    row = OPERATORS.get(op.kind)  # None of a part of an operator
    if row and row.over_whole_map and is_whole_map(op.attrs, call.known(op.inputs[0]).shape[2:]):
        whole = replace(op, kind=row.over_whole_map, attrs={})
        return _remake(call, whole, op.inputs, shape)
    if depth == MAX_DEPTH:
        return call.op("global_avg_pool", [x], shape)
    other = row.over_vector(op.attrs) if row else None
    if other is not None:
        kind, attrs = other
        source = vector(call, call.known(op.inputs[0]), depth + 1)
        return _remake(call, replace(op, kind=kind, attrs=attrs), (source.op,), shape)
    if op.kind in _BY_VALUE:
        source = vector(call, call.known(op.inputs[0]), depth + 1)
        return _remake(call, op, (source.op,), shape)
    return call.op("global_avg_pool", [x], shape)


def _remake(call: Call, op: Op, inputs: tuple[str, ...], shape: tuple[Any, ...]) -> Feature:
    attrs = MappingProxyType(without_pixels(op.attrs))
    name = call.trace.free(op.name)
    call.trace.add(Op(name, op.kind, inputs, attrs), shape)
    call.trace.copy(op.name, name)
    if op.name in call.trace.faults:
        call.trace.faults[name] = call.trace.faults[op.name]
    return Feature(name, shape)


def flatten(call: Call) -> Feature:
    """Return (N, C)."""
    x = call.feature()
    if call.attrs.get("axis", 1) % len(x.shape) != 1:
        raise Unsupported("joins the batch with the channels")
    return vector(call, x)


def squeeze(call: Call) -> Feature:
    """Return a feature map without pixels, where it has one."""
    is_last = call.is_pending("permuted")
    x, gone = call.feature(pending="permuted" if is_last else "squeezed"), call.option("axes", 1)
    shape = x.pending[1] if x.pending and not is_last else x.shape
    given = [*flatten_tuples([gone])]
    axes = {axis % len(shape) for axis in given}
    if is_last:
        axes = {axis_of(x, axis) for axis in given}
    if any(shape[axis] != 1 for axis in axes) or 0 in axes or 1 in axes:
        raise Unsupported(f"takes away dimensions {sorted(axes)} of {shape}, which are not 1")
    left = tuple(size for axis, size in enumerate(shape) if axis not in axes)
    plain = replace(x, pending=())
    return vector(call, plain) if len(left) == 2 else replace(plain, pending=("squeezed", left))
