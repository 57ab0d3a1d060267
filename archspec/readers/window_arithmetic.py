"""Windows that slide over (N, C, H, W), whichever format says them:
sizes of outputs, paddings, what a blur is.

A padding is (top, bottom, left, right) in pixels; one number where all sides have the same.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from archspec.operators.pool_nodes import BINOMIAL
from archspec.operators.pools import blur_padding
from archspec.operators.shape_rules import sides
from archspec.operators.table import OPERATORS
from archspec.readers.trace import MAX_CHANNELS, Call, Feature, Unsupported

MAX_PADDING = 2**20
NO_PADDING = (0, 0, 0, 0)
NO_BLUR = "reads mirrored edges and is no blur by the binomial filter"

Array = Any
Attrs = dict[str, Any]
Pixels = tuple[int, int]
"""Height and width."""


def kind_over(kind: str, x: Feature) -> str:
    """Return the kind of a pool over all pixels of x: of one, maximum and mean are the same."""
    return (x.shape[2:] == (1, 1) and OPERATORS[kind].over_one_pixel) or kind


def is_whole_map(x: Feature, pixels: tuple[Any, ...]) -> bool:
    """Return whether a window of so many pixels, without a padding, is all of a map that has
    several: of one pixel, its maximum is not told from its mean.
    """
    return not x.pending and pixels == x.shape[2:] != (1, 1)


def square(value: Any) -> int:
    """Return a size that is the same in height and width, given as one,
    two, or four numbers with those of N and C.
    """
    pair = value[-2:] if isinstance(value, tuple) else (value, value)
    if pair[0] != pair[1] or type(pair[0]) is not int or not 1 <= pair[0] < MAX_CHANNELS:
        raise Unsupported(f"has the size {reprlib.repr(value)}; only square ones >= 1 are known")
    return pair[0]


def are_sizes(pads: Sequence[Any]) -> bool:
    """Return whether these are numbers of pixels by which a file may pad."""
    return all(type(pad) is int and 0 <= pad < MAX_PADDING for pad in pads)


def unknown_padding(said: Any) -> Unsupported:
    """Return the refusal of a padding, with what the file says of it."""
    return Unsupported(f"pads in a way that is not known: {reprlib.repr(said)}")


def count_padded(x: Feature) -> Pixels:
    """Return a feature map's pixels with the padding that is pending."""
    top, bottom, left, right = x.pending[1] if x.pending else NO_PADDING
    return x.shape[2] + top + bottom, x.shape[3] + left + right


def same_padding(
    pixels: Pixels, stride: int, reach: int, more_first: bool = False
) -> tuple[int, int, int, int]:
    """Return the padding with which a window gives pixels / stride, rounded up: TensorFlow's SAME.

    Args:
        pixels: that are read.
        stride: from window to window.
        reach: pixels from a window's first tap to its last.
        more_first: of an odd number, the larger part stands before and not behind.
    """
    total = [max((-(-size // stride) - 1) * stride + reach - size, 0) for size in pixels]
    less = [size // 2 for size in total]
    more = [size - size // 2 for size in total]
    (top, left), (bottom, right) = (more, less) if more_first else (less, more)
    return top, bottom, left, right


def sliding(
    x: Feature, kernel: int, stride: int, pads: Sequence[int], dilation: int = 1
) -> tuple[Attrs, Pixels]:
    """Return a window's attributes, and the pixels of its output, perhaps none.

    Args:
        x: what it reads; the padding that is pending is taken over.
        kernel: its taps in height and width.
        stride: from window to window.
        pads: its own padding.
        dilation: pixels from tap to tap.
    """
    (height, width), reach = count_padded(x), dilation * (kernel - 1) + 1
    pixels = (
        (height + pads[0] + pads[1] - reach) // stride + 1,
        (width + pads[2] + pads[3] - reach) // stride + 1,
    )
    before = x.pending[1] if x.pending else NO_PADDING
    whole = tuple(a + b for a, b in zip(before, pads, strict=True))
    padding = whole[0] if len(set(whole)) == 1 else whole
    return {"kernel": kernel, "stride": stride, "padding": padding}, pixels


def expect_pixels(x: Feature, attrs: Mapping[str, Any], pixels: Pixels) -> None:
    """Refuse a window that leaves no pixel."""
    if min(pixels) < 1:
        kernel, (height, width) = attrs["kernel"], count_padded(x)
        words = f"has a {kernel} x {kernel} window that leaves no pixel of {height} x {width}"
        raise Unsupported(words)


def with_ceil(x: Feature, attrs: Attrs, pixels: Pixels, is_up: bool) -> tuple[Attrs, Pixels]:
    """Return a pool's attributes and pixels where these may be rounded up, at least one;
    None: both give the same.
    """
    up = _round_up(x, attrs)
    if up == pixels:
        attrs = {**attrs, "ceil": None}
    elif is_up:
        attrs, pixels = {**attrs, "ceil": True}, up
    # A window that is larger than the map still gives a pixel where it may reach over the edge.
    expect_pixels(x, attrs, pixels)
    return attrs, pixels


def _round_up(x: Feature, attrs: Attrs) -> Pixels:
    """Pixels with the windows that reach beyond the edge; none of them begins there."""
    kernel, stride = attrs["kernel"], attrs["stride"]
    top, bottom, left, right = sides(attrs["padding"])
    height, width = (
        min(-(-(before + pixels + after - kernel) // stride), (before + pixels - 1) // stride) + 1
        for before, pixels, after in ((top, x.shape[2], bottom), (left, x.shape[3], right))
    )
    return height, width


def count_enlarged(x: Feature, kernel: int, stride: int, padding: int) -> Pixels:
    """Return the pixels that a transposed convolution gives, perhaps none."""
    height, width = ((size - 1) * stride + kernel - 2 * padding for size in x.shape[2:])
    return height, width


def expect_groups(x: Feature, dims: Sequence[int], groups: int) -> None:
    """Refuse filters (out_channels, in_channels / groups, ...) that are made for other channels."""
    if dims[1] * groups != x.shape[1] or dims[0] % groups:
        raise Unsupported(f"is made for {dims[1] * groups} channels, reads {x.shape[1]}")


def expect_harmless_zeros(call: Call, x: Feature) -> None:
    """Refuse a maximum over the zeros of a padding where these may be larger than what is there."""
    row = OPERATORS.get(call.trace.ops[x.op].kind)
    if row is None or not row.is_clamp:
        raise Unsupported("reads zeros from a padding beside what may be negative")


def blur_filter(dims: tuple[int, ...], channels: int) -> Array:
    """Return the filter, (size, size) that sum to 1 (Zhang 2019), that a blur of so many channels
    has whose weights have these dims.

    Raises:
        Unsupported: no blur has such weights.
    """
    size = dims[-1] if dims else 0
    if size not in BINOMIAL or dims != (channels, 1, size, size):
        raise Unsupported(NO_BLUR)
    row = np.array(BINOMIAL[size], float)
    return np.outer(row, row) / row.sum() ** 2


def expect_blurs_padding(attrs: Mapping[str, Any]) -> None:
    """Refuse a blur that does not keep the middle of the map in the middle."""
    if attrs["padding"] != blur_padding(attrs["kernel"], attrs["stride"]):
        raise Unsupported(f"blurs with a padding of {attrs['padding']}")
