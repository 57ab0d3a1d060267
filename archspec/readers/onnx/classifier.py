"""Operators of an ONNX that take dimensions away, or join along one; and the classifier.

A feature that a file flattens becomes a vector at once: the pool before it loses its pixels, and a
convolution of one pixel is a dense layer.
"""

from __future__ import annotations

import reprlib
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from archspec.graph.ir import Op
from archspec.operators.dense import dense_attrs
from archspec.operators.shapes import same_shape
from archspec.operators.table import GLOBAL_POOLS, OPERATORS
from archspec.readers.onnx.call import GROUPED, Call, axis_of
from archspec.readers.tensors import Tensor
from archspec.readers.tensors import transpose_later as turned
from archspec.readers.trace import Feature, Unsupported, flatten_tuples
from archspec.readers.windows import global_pool_of

MAX_DEPTH = 8
"""Operators between a pool and where its pixels are taken away that are followed back: a file may
take those of one tower away many times."""

HALF = "mean of one axis"

_BY_ELEMENT = frozenset(
    kind
    for row in OPERATORS.values()
    if (row.shape is same_shape and row.kind != "output") or row.scales_channels
    for kind in (row.kind, *row.remains_of)
)


def global_pool(kind: str, call: Call) -> Feature:
    """Return (N, C, 1, 1)."""
    x = call.feature(dims=4)
    return call.op(global_pool_of(kind, x), [x], (*x.shape[:2], 1, 1), keep=True)


def maximum(call: Call) -> Feature:
    """Return the maximum of each channel, (N, C) or (N, C, 1, 1)."""
    x, axes = call.feature(dims=4, pending="permuted"), call.option("axes", 1, ())
    if sorted(axis_of(x, axis) for axis in axes) != [2, 3]:
        raise Unsupported(
            f"takes the maximum over the axes {reprlib.repr(axes)}; only (2, 3) is known"
        )
    keep, plain = bool(call.attrs.get("keepdims", 1)), replace(x, pending=())
    kind = global_pool_of("global_max_pool", x)
    kept = call.op(kind, [plain], (*x.shape[:2], 1, 1), keep=True)
    return replace(kept, pending=x.pending) if keep else vector(call, kept)


def mean(call: Call) -> Feature:
    """Return the mean of each channel, (N, C) or (N, C, 1, 1);
    or of each pixel, a part of a layer norm.
    """
    if call.is_pending(GROUPED) or call.is_pending(HALF):
        return _rest_of_mean(call)
    x = call.feature(pending="permuted")
    given, keep = call.option("axes", 1, ()), bool(call.attrs.get("keepdims", 1))
    axes = sorted(axis_of(x, axis) for axis in given)
    if axes == [1] and keep:
        return replace(call.part("mean", [x], x.shape), pending=x.pending)
    x = call.feature(dims=4, pending="permuted")
    if axes in ([2], [3]) and not x.pending:
        return replace(x, pending=(HALF, 4 if keep else 3, 5 - axes[0] if keep else 2))
    if axes != [2, 3]:
        raise Unsupported(f"averages over the axes {reprlib.repr(given)}; only (2, 3) is known")
    made = _mean_of_pixels(call, x, keep)
    return replace(made, pending=x.pending) if keep else made


def _rest_of_mean(call: Call) -> Feature:
    """The mean of the pixels of each channel in a row, or of the axis that the mean before left."""
    x = call.feature(pending=HALF if call.is_pending(HALF) else GROUPED)
    keep, axes = bool(call.attrs.get("keepdims", 1)), call.option("axes", 1, ())
    dims, last = x.pending[1:] if x.pending[0] == HALF else (len(x.pending[2]), 2)
    in_rows = x.pending[0] == HALF or (x.pending[1] == x.shape[1] and dims == 3 and not keep)
    if [axis % dims for axis in axes] != [last] or not in_rows or keep != (dims == 4):
        raise Unsupported(f"averages over the axes {reprlib.repr(axes)} of a {x.pending[0]}")
    return _mean_of_pixels(call, replace(x, pending=()), keep)


def _mean_of_pixels(call: Call, x: Feature, keep: bool) -> Feature:
    kept = call.op("global_avg_pool", [x], (*x.shape[:2], 1, 1), keep=True)
    return kept if keep else vector(call, kept)


def vector(call: Call, x: Feature, depth: int = 0) -> Feature:
    """Return (N, C) of (N, C, 1, 1), made by the operators that the IR has for it."""
    if len(x.shape) == 2:
        return x
    if x.shape[2:] != (1, 1):
        raise Unsupported(f"makes a vector of {x.shape}")
    op, shape = call.trace.ops[x.op], x.shape[:2]
    if op.kind in GLOBAL_POOLS:
        return _remake(call, op, op.inputs, shape)
    if (
        op.kind == "avg_pool"
        and not op.attrs["padding"]
        and call.trace.shapes[op.inputs[0]][2:] == (op.attrs["kernel"],) * 2
    ):
        return _remake(call, replace(op, kind="global_avg_pool"), op.inputs, shape)
    if depth == MAX_DEPTH:
        return call.op("global_avg_pool", [x], shape)
    attrs = dense_attrs(op.attrs) if op.kind == "conv" else None
    if attrs is not None:
        source = vector(call, call.known(op.inputs[0]), depth + 1)
        return _remake(call, replace(op, kind="dense", attrs=attrs), (source.op,), shape)
    if op.kind in _BY_ELEMENT:
        source = vector(call, call.known(op.inputs[0]), depth + 1)
        return _remake(call, op, (source.op,), shape)
    return call.op("global_avg_pool", [x], shape)


def _remake(call: Call, op: Op, inputs: tuple[str, ...], shape: tuple[Any, ...]) -> Feature:
    attrs = {name: value for name, value in op.attrs.items() if name != "keep"}
    if op.kind in GLOBAL_POOLS:
        attrs = {}
    name = call.trace.free(op.name)
    call.trace.add(Op(name, op.kind, inputs, MappingProxyType(attrs)), shape)
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


def concat(call: Call) -> Feature:
    """Return what is joined along the channels, (N, C + C + .., H, W) or (N, C + C + ..)."""
    parts = [call.feature(index, pending="permuted") for index in range(len(call.inputs))]
    if not parts:
        raise Unsupported("joins nothing")
    first, axis = parts[0], call.attrs.get("axis", 1)
    batch, _, *pixels = first.shape
    if axis_of(first, axis) != 1 or any(
        (part.shape[0], *part.shape[2:], part.pending) != (batch, *pixels, first.pending)
        for part in parts
    ):
        raise Unsupported(f"joins along axis {axis}, or feature maps of different size")
    if len(parts) == 1:
        return first
    shape = (batch, sum(part.shape[1] for part in parts), *pixels)
    return replace(call.op("concat", parts, shape), pending=first.pending)


def matmul(call: Call) -> Feature:
    """Return (N, out_channels) of (N, in_channels); a bias that is added to it becomes its own."""
    return _dense(call, call.weight(1, 2), transposed=False, bias=None)


def gemm(call: Call) -> Feature:
    """Return (N, out_channels) of (N, in_channels)."""
    a = call.attrs
    if a.get("alpha", 1.0) != 1 or a.get("transA") or (call.has(2) and a.get("beta", 1.0) != 1):
        raise Unsupported("scales or transposes what it multiplies")
    weight, bias = call.weight(1, 2), call.inputs[2] if call.has(2) else None
    out = weight.dims[0 if a.get("transB") else 1]
    if bias is not None and (not isinstance(bias, Tensor) or bias.dims not in ((out,), (1, out))):
        raise Unsupported(f"adds a bias that is not one value for each of {out} outputs")
    return _dense(call, weight, bool(a.get("transB")), bias)


def _dense(call: Call, weight: Tensor, transposed: bool, bias: Tensor | None) -> Feature:
    x = call.feature(dims=2)
    out, channels = weight.dims if transposed else weight.dims[::-1]
    if channels != x.shape[1]:
        raise Unsupported(f"is made for {channels} channels, reads {x.shape}")
    attrs = {
        "in_channels": channels,
        "out_channels": out,
        **({} if bias is not None else {"bias": False}),
    }
    by_rows = weight if transposed else _turn_round(weight)
    made = call.op("dense", [x], (x.shape[0], out), weights=(by_rows,), **attrs)
    call.trace.copy(made.op, made.op, *([] if bias is None else [bias]))
    return made


def _turn_round(weight: Tensor) -> Tensor:
    """The same filters with a row for each output."""
    if weight.values is not None:
        return replace(weight, dims=weight.dims[::-1], values=weight.values.T)
    return replace(weight, dims=weight.dims[::-1], source=turned(weight.source, weight.dims))
