"""Channels that become pixels, and pixels that become channels, as files write it:
reshape, transpose, reshape.

A letter stands for a dimension: N, C, H and W; a and b are the rows and columns of a square of
pixels.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

from archspec.operators.table import OPERATORS
from archspec.readers.trace import Unsupported

PIXELS = "pixel shuffle"
"""What is pending of squares of pixels:
(PIXELS, how large they are, how the dimensions stood first and stand)."""

_CHANNELS, _SQUARES = "NCabHW", "NCHaWb"
"""Pixels of a square among the channels, and where they belong on the map."""
_ENLARGES = "pixel_shuffle"
_KINDS: Mapping[tuple[str, str], str] = {
    (_CHANNELS, _SQUARES): _ENLARGES,
    (_SQUARES, _CHANNELS): OPERATORS[_ENLARGES].undone_by,
}

Shape = tuple[Any, ...]


def split_squares(shape: Shape, target: Sequence[Any]) -> tuple[Any, ...]:
    """Return what is pending of a map where a reshape parts its squares, () where it does not."""
    if len(shape) != 4 or len(target) != 6:
        return ()
    for order in (_CHANNELS, _SQUARES):
        factor = target[order.index("a")]
        if type(factor) is int and factor > 1 and fits(target, _split_shape(shape, factor, order)):
            return (PIXELS, factor, order, order)
    return ()


def permute(pending: tuple[Any, ...], axes: Any) -> tuple[Any, ...]:
    """Return what is pending once the dimensions stand in another order."""
    _, factor, first, order = pending
    if not isinstance(axes, tuple) or sorted(axes) != list(range(len(order))):
        raise Unsupported(f"moves the pixels of squares to {reprlib.repr(axes)}")
    return (PIXELS, factor, first, "".join(order[axis] for axis in axes))


def join_squares(pending: tuple[Any, ...], shape: Shape) -> tuple[str, int, Shape]:
    """Return the kind, the factor and the output's shape of squares that are a map again;
    '' where nothing moved.
    """
    _, factor, first, order = pending
    if first == order:
        return "", factor, shape
    kind = _KINDS.get((first, order), "")
    if not kind:
        raise Unsupported("joins pixels of squares that stand in another order")
    return kind, factor, _join_shape(shape, factor, kind)


def fits(target: Sequence[Any], shape: Shape) -> bool:
    """Return whether sizes, one of which may be -1, are these."""
    alike = (size in (-1, own) for size, own in zip(target, shape, strict=False))
    return len(target) == len(shape) and [*target].count(-1) <= 1 and all(alike)


def _split_shape(shape: Shape, factor: int, order: str) -> Shape:
    batch, channels, height, width = shape
    if order == _CHANNELS:
        return (batch, channels / factor**2, factor, factor, height, width)
    return (batch, channels, height / factor, factor, width / factor, factor)


def _join_shape(shape: Shape, factor: int, kind: str) -> Shape:
    batch, channels, height, width = shape
    if kind == _ENLARGES:
        return (batch, channels // factor**2, height * factor, width * factor)
    return (batch, channels * factor**2, height // factor, width // factor)
