"""Operators of the NumPy forward that put pixels and channels elsewhere,
or new pixels between them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

Array = Any


def _bilinear(x: Array, factor: int, align_corners: bool) -> Array:
    """Between the centres of pixels, each at (i + 1/2) / factor - 1/2, the border repeated.

    With aligned corners the first and the last pixel stay where they are, and the rest are evenly
    spaced.
    """
    for axis in (2, 3):
        size = x.shape[axis]
        at = np.clip((np.arange(size * factor) + 0.5) / factor - 0.5, 0, size - 1)
        if align_corners:
            at = np.linspace(0, size - 1, size * factor)
        low = np.floor(at).astype(int)
        high, share = np.minimum(low + 1, x.shape[axis] - 1), at - low
        share = share.reshape([-1 if n == axis else 1 for n in range(4)])
        x = np.take(x, low, axis) * (1 - share) + np.take(x, high, axis) * share
    return x


def upsample(inputs: list[Array], mine: Mapping[str, Array], attrs: Mapping[str, Any]) -> Array:
    factor = attrs["factor"]
    if attrs["mode"] == "nearest":
        return inputs[0].repeat(factor, 2).repeat(factor, 3)
    return _bilinear(inputs[0], factor, attrs.get("align_corners", False))


def crop(inputs: list[Array], mine: Mapping[str, Array], attrs: Mapping[str, Any]) -> Array:
    (height, width), x = attrs["size"], inputs[0]
    top, left = (x.shape[2] - height) // 2, (x.shape[3] - width) // 2
    return x[:, :, top : top + height, left : left + width]


def shuffle(inputs: list[Array], mine: Mapping[str, Array], attrs: Mapping[str, Any]) -> Array:
    """Zhang et al. 2018: the first channel of each group, then the second of each, and so on."""
    n, channels, *size = inputs[0].shape
    return (
        inputs[0].reshape(n, attrs["groups"], -1, *size).swapaxes(1, 2).reshape(n, channels, *size)
    )


def pixel_shuffle(
    inputs: list[Array], mine: Mapping[str, Array], attrs: Mapping[str, Any]
) -> Array:
    """Shi et al. 2016: each factor x factor channels in a row become the pixels of a square."""
    x, r = inputs[0], attrs["factor"]
    out = np.zeros((len(x), x.shape[1] // r**2, x.shape[2] * r, x.shape[3] * r))
    for row in range(r):
        for column in range(r):
            out[:, :, row::r, column::r] = x[:, row * r + column :: r**2]
    return out


def pixel_unshuffle(
    inputs: list[Array], mine: Mapping[str, Array], attrs: Mapping[str, Any]
) -> Array:
    """What undoes the shuffle."""
    x, r = inputs[0], attrs["factor"]
    out = np.zeros((len(x), x.shape[1] * r**2, x.shape[2] // r, x.shape[3] // r))
    for row in range(r):
        for column in range(r):
            out[:, row * r + column :: r**2] = x[:, :, row::r, column::r]
    return out
