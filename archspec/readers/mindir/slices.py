"""Operators of a MINDIR that take a part of what they read:
some channels, or a cutout of the pixels.
"""

from __future__ import annotations

import reprlib

from archspec.readers.trace import Call, Feature, Unsupported


def read_strided_slice(call: Call) -> Feature:
    """Return some channels, or a cutout of the pixels, or both;
    of a vector (N, C) some channels.
    """
    x = call.feature()
    starts, stops, steps = (tuple(call.inputs[index]) for index in (1, 2, 3))
    masks = ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")
    begins, ends, *others = (
        call.option(name, index, 0) for index, name in enumerate(masks, start=4)
    )
    if len(x.shape) not in (2, 4):
        raise Unsupported(f"slices a tensor of shape {x.shape}")
    if (
        any(others)
        or any(step != 1 for step in steps)
        or not len(starts) == len(stops) == len(steps) <= len(x.shape)
    ):
        raise Unsupported("slices with steps, or takes dimensions away")
    bounds: list[tuple[int, int] | None] = [None] * 4
    for axis, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        first, last = (0 if begins >> axis & 1 else start), (None if ends >> axis & 1 else stop)
        if axis == 0 and (first, last) not in ((0, None), (0, x.shape[0])):
            raise Unsupported("slices the batch")
        if axis > 0 and (first, last) != (0, None):
            bounds[axis] = slice(first, last).indices(x.shape[axis])[:2]
    return _channels(call, _cutout(call, x, bounds[2], bounds[3]), bounds[1])


def read_slice(call: Call) -> Feature:
    """Return as many channels and pixels as are said, from where it is said."""
    x, starts, sizes = call.feature(), call.inputs[1], call.inputs[2]
    if len(x.shape) not in (2, 4) or not len(starts) == len(sizes) == len(x.shape):
        raise Unsupported(f"slices a tensor of shape {x.shape}")
    if (starts[0], sizes[0]) not in ((0, x.shape[0]), (0, -1)):
        raise Unsupported("slices the batch")
    bounds: list[tuple[int, int] | None] = [None] * 4
    for axis, (start, size) in enumerate(zip(starts[1:], sizes[1:], strict=True), start=1):
        stop = x.shape[axis] if size == -1 else start + size
        if not 0 <= start < stop <= x.shape[axis]:
            raise Unsupported(f"takes {start} to {stop} of {x.shape[axis]}")
        bounds[axis] = (start, stop)
    return _channels(call, _cutout(call, x, bounds[2], bounds[3]), bounds[1])


def split(call: Call) -> tuple[Feature, ...]:
    """Return the channels in parts of one size."""
    x, parts = call.feature(), call.option("output_num", 2)
    axis, channels = call.option("axis", 1), x.shape[1]
    if axis not in (1, 1 - len(x.shape)) or type(parts) is not int or parts < 1:
        raise Unsupported(f"splits along axis {reprlib.repr(axis)}")
    if channels % parts:
        raise Unsupported(f"splits {channels} channels into {parts}")
    size = channels // parts
    starts = range(0, channels, size)
    return tuple(_channels(call, x, (start, start + size)) for start in starts)


Bounds = tuple[int, int] | None


def _cutout(call: Call, x: Feature, rows: Bounds, columns: Bounds) -> Feature:
    if rows is None and columns is None:
        return x
    (top, bottom), (left, right) = rows or (0, x.shape[2]), columns or (0, x.shape[3])
    size = (bottom - top, right - left)
    if size == x.shape[2:]:
        return x
    if min(size) < 1:
        raise Unsupported("leaves no pixel")
    return call.op("crop", [x], (*x.shape[:2], *size), size=size, corner=(top, left))


def _channels(call: Call, x: Feature, bounds: Bounds) -> Feature:
    if bounds is None or bounds == (0, x.shape[1]):
        return x
    start, stop = bounds
    if stop <= start:
        raise Unsupported("leaves no channel")
    return call.op("slice", [x], (x.shape[0], stop - start, *x.shape[2:]), start=start, stop=stop)
