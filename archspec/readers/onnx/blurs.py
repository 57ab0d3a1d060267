"""Blurs (Zhang 2019) of an ONNX: convolutions of mirrored edges by the binomial filter."""

from __future__ import annotations

from typing import Any

import numpy as np

from archspec.readers.onnx.call import Call
from archspec.readers.onnx.scales_and_shifts import add_affine
from archspec.readers.onnx.windows import read_filters, window
from archspec.readers.tensors import HALF_STEP, Tensor, evaluate, find_whole
from archspec.readers.trace import Feature, Unsupported
from archspec.readers.window_arithmetic import NO_BLUR, blur_filter, expect_blurs_padding

NEAR = 1e-3
"""How far a filter may be from a multiple of the binomial one, as a share of it."""

Array = Any


def blur(call: Call, kind: str) -> Feature:
    """Add a blur, whose filters are the binomial one for each channel.

    Filters that are multiples of it hold the batch norm that was behind.
    """
    x, (weight, *biases), _ = read_filters(call)
    channels, binomial = x.shape[1], blur_filter(weight.dims, x.shape[1])
    filters = evaluate(weight.source) if weight.values is None else weight.values
    if filters is None:
        raise Unsupported(NO_BLUR)
    steps = _find_steps(weight)
    # The least squares: rounding moves the sum by more.
    scales = (filters * binomial).sum((1, 2, 3)) / np.square(binomial).sum()
    if not _is_near(filters, scales[:, None, None, None] * binomial, 2 * steps):
        raise Unsupported(NO_BLUR)
    attrs, size = window(call, x, weight.dims)
    expect_blurs_padding(attrs)
    made = call.op(kind, [x], (*x.shape[:2], *size), **attrs)
    if _is_near(filters, binomial, steps) and not biases:
        return made
    scale = Tensor(weight.name, (channels,), values=scales)
    return add_affine(call, made, scale, *biases)


def _find_steps(weight: Tensor) -> Array:
    """Of each filter, zero where it is of no whole numbers."""
    whole = find_whole(weight.source)
    steps = evaluate(whole.inputs[1]) if whole is not None else None
    return 0.0 if steps is None else np.reshape(steps, (-1, 1, 1, 1))


def _is_near(filters: Array, wanted: Array, steps: Array) -> bool:
    bound = NEAR * np.abs(wanted) + HALF_STEP * steps
    return bool((np.abs(filters - wanted) <= bound).all())
