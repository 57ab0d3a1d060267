"""Operators of an ONNX that take a part of what they read:
some channels, or a cutout of the pixels.
"""

from __future__ import annotations

import reprlib
from dataclasses import replace
from itertools import accumulate
from typing import Any

from archspec.readers.onnx.call import Call, axis_of
from archspec.readers.trace import Feature, Unsupported


def slices(call: Call) -> Feature:
    """Return some channels, or a part of the pixels; of a vector (N, C) some channels."""
    x = call.feature(pending="permuted")
    starts, ends = call.option("starts", 1), call.option("ends", 2)
    axes, steps = (
        call.option("axes", 3, tuple(range(len(starts)))),
        call.option("steps", 4, (1,) * len(starts)),
    )
    bounds = [(0, size) for size in x.shape]
    for start, end, given, step in zip(starts, ends, axes, steps, strict=True):
        axis = axis_of(x, given)
        if axis == 0 or step != 1:
            raise Unsupported("slices the batch, or takes every n-th")
        bounds[axis] = slice(start, end).indices(x.shape[axis])[:2]
    made = replace(x, pending=())
    if len(x.shape) == 4:
        (top, bottom), (left, right) = bounds[2:]
        made = crop(call, made, (bottom - top, right - left), (top, left))
    return replace(channels(call, made, *bounds[1]), pending=x.pending)


def crop(call: Call, x: Feature, size: tuple[int, int], corner: tuple[int, int]) -> Feature:
    """Return (N, C, *size) from a corner (top, left); a crop of a crop is one."""
    before = call.trace.ops[x.op]
    if size == x.shape[2:]:
        return x
    if min(size) < 1 or any(
        at < 0 or at + pixels > whole
        for at, pixels, whole in zip(corner, size, x.shape[2:], strict=True)
    ):
        raise Unsupported(f"takes {size} pixels of {x.shape[2:]}")
    if before.kind == "crop":
        x, corner = (
            call.known(before.inputs[0]),
            tuple(a + b for a, b in zip(corner, before.attrs["corner"], strict=True)),
        )
    return call.op("crop", [x], (*x.shape[:2], *size), size=size, corner=corner)


def channels(call: Call, x: Feature, start: int, stop: int) -> Feature:
    """Return channels start to stop of a feature map or a vector."""
    if (start, stop) == (0, x.shape[1]):
        return x
    if not 0 <= start < stop <= x.shape[1]:
        raise Unsupported(f"takes channels {start} to {stop} of {x.shape[1]}")
    shape = (x.shape[0], stop - start, *x.shape[2:])
    return call.op("slice", [x], shape, start=start, stop=stop)


def split(call: Call) -> tuple[Feature, ...]:
    """Return parts of the channels."""
    x = call.feature(pending="permuted")
    if axis_of(x, call.attrs.get("axis", 0)) != 1:
        raise Unsupported("splits something else than channels")
    size = -(-x.shape[1] // max(call.outputs, 1))
    usual = [min(size, x.shape[1] - size * n) for n in range(call.outputs)]
    parts: tuple[Any, ...] = call.option("split", 1, tuple(usual))
    if sum(parts) != x.shape[1] or min(parts) < 1 or len(parts) != call.outputs:
        raise Unsupported(f"splits {x.shape[1]} channels into {reprlib.repr(parts)}")
    plain = replace(x, pending=())
    made = (
        channels(call, plain, end - part, end)
        for part, end in zip(parts, accumulate(parts), strict=True)
    )
    return tuple(replace(each, pending=x.pending) for each in made)
