"""Operators of an ONNX that slide a window over (N, C, H, W), or change its pixels:
convolutions, pools, resizes.
"""

from __future__ import annotations

import reprlib
from dataclasses import replace
from typing import Any

import numpy as np

from archspec.readers.filters import with_its_weight
from archspec.readers.onnx.call import Call
from archspec.readers.onnx.channels import crop
from archspec.readers.tensors import Tensor
from archspec.readers.trace import Feature, Unsupported
from archspec.readers.windows import (
    MAX_PADDING,
    NO_BLUR,
    NO_PADDING,
    Pixels,
    add_conv,
    add_conv_transpose,
    are_sizes,
    blur_filter,
    count_enlarged,
    count_padded,
    expect_blurs_padding,
    expect_groups,
    expect_harmless_zeros,
    expect_pixels,
    is_whole_map,
    same_padding,
    sliding,
    square,
    unknown_padding,
    with_ceil,
)

LOWEST = -1e30
"""A padding of at most this is never the maximum."""


def conv(call: Call) -> Feature:
    """Return the output of a convolution, (N, out_channels, H, W);
    a padding before it becomes its own.
    """
    x = call.feature(dims=4, pending="padding")
    is_mirrored = x.pending and x.pending[2:] == (0.0, "reflect")
    call, told = (call, {}) if is_mirrored else with_its_weight(call)
    weight = call.weight(1, 4)
    groups = call.attrs.get("group", 1)
    expect_groups(x, weight.dims, groups)
    _refuse_other_kernel(call, weight)
    biases = _biases(call, weight.dims[0])
    if is_mirrored:
        return _blur(call, x, weight, biases)
    _zeros(x)
    dilation = square(call.attrs.get("dilations", 1))
    window = _window(call, x, weight.dims, dilation)
    told = {"dilation": dilation, "groups": groups, **told}
    return add_conv(call, x, [weight, *biases], window, told)


def _refuse_other_kernel(call: Call, weight: Tensor) -> None:
    """What a node says of its kernel, its weights must have:
    ONNX Runtime stops where it runs it.
    """
    said = tuple(call.attrs.get("kernel_shape", weight.dims[2:]))
    if said != tuple(weight.dims[2:]):
        raise Unsupported(f"says a kernel of {said}, its weights have {tuple(weight.dims[2:])}")


def _biases(call: Call, out: int) -> list[Tensor]:
    """The bias, if there is one."""
    biases = [call.weight(2, 1)] if call.has(2) else []
    if any(bias.dims != (out,) for bias in biases):
        raise Unsupported(f"has a bias of {biases[0].dims} for {out} outputs")
    return biases


def _blur(call: Call, x: Feature, weight: Tensor, biases: list[Tensor]) -> Feature:
    """Zhang 2019: a padding that mirrors the edges, and the binomial filter for each channel.

    Filters that are multiples of it hold the batch norm that was behind.
    """
    channels, filters = x.shape[1], weight.values
    binomial = blur_filter(weight.dims, channels)
    if filters is None:
        raise Unsupported(NO_BLUR)
    scales = np.asarray(filters, float).sum((1, 2, 3))
    if not np.allclose(filters, scales[:, None, None, None] * binomial, rtol=1e-3):
        raise Unsupported(NO_BLUR)
    attrs, size = _window(call, x, weight.dims)
    expect_blurs_padding(attrs)
    made = call.op("blur_pool", [x], (*x.shape[:2], *size), **attrs)
    if np.allclose(scales, 1, rtol=1e-3) and not biases:
        return made
    scale = replace(weight, dims=(channels,), values=scales)
    return call.op(
        "batch_norm", [made], made.shape, weights=(scale, *biases), channels=channels, eps=None
    )


def conv_transpose(call: Call) -> Feature:
    """Return (N, out_channels, (H - 1) * stride + kernel - 2 * padding, and so the width)."""
    x, weight = call.feature(dims=4), call.weight(1, 4)
    a, kernel = call.attrs, square(weight.dims)
    stride, pads = square(a.get("strides", 1)), a.get("pads", NO_PADDING)
    usual = (
        a.get("auto_pad", "NOTSET") == "NOTSET"
        and a.get("group", 1) == square(a.get("dilations", 1)) == 1
    )
    if not usual or any(a.get("output_padding", ())) or a.get("output_shape") or len({*pads}) != 1:
        raise Unsupported("has groups, dilation, uneven or output padding")
    if weight.dims[0] != x.shape[1] or not are_sizes(pads):
        raise Unsupported(f"is made for {weight.dims[0]} channels, reads {x.shape[1]}")
    _refuse_other_kernel(call, weight)
    if min(count_enlarged(x, kernel, stride, pads[0])) < 1:
        raise Unsupported(f"has a padding of {pads[0]} that leaves no pixel")
    weights = [weight, *_biases(call, weight.dims[1])]
    return add_conv_transpose(call, x, weights, stride, pads[0])


def max_pool(call: Call) -> Feature:
    """Return (N, C, H, W); zeros of a padding before it are harmless behind an activation
    that gives none below.
    """
    x = call.feature(dims=4, pending="padding")
    if x.pending and (x.pending[3] != "constant" or x.pending[2] > LOWEST):
        _zeros(x)
        expect_harmless_zeros(call, x)
    if _is_of_all(call, x):
        return call.op("global_max_pool", [x], (*x.shape[:2], 1, 1), keep=True)
    return _pool("max_pool", call, x)


def _is_of_all(call: Call, x: Feature) -> bool:
    """A window that is the whole map, square or not, without a padding; one pixel is no maximum."""
    pixels = tuple(call.attrs["kernel_shape"])
    is_bare = not any(call.attrs.get("pads", ())) and {*call.attrs.get("dilations", ())} <= {1}
    return is_bare and is_whole_map(x, pixels)


def avg_pool(call: Call) -> Feature:
    """Return (N, C, H, W); the zeros of a padding count."""
    x = call.feature(dims=4, pending="padding")
    _zeros(x)
    if any(call.attrs.get("pads", ())) and not call.attrs.get("count_include_pad", 0):
        raise Unsupported("leaves its padding out of the average")
    if call.attrs.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise Unsupported("leaves its padding out of the average")
    return _pool("avg_pool", call, x)


def _pool(kind: str, call: Call, x: Feature) -> Feature:
    if square(call.attrs.get("dilations", 1)) != 1:
        raise Unsupported("is dilated")
    attrs, size = _sliding(call, x, call.attrs["kernel_shape"])
    attrs, size = with_ceil(x, attrs, size, bool(call.attrs.get("ceil_mode")))
    return call.op(kind, [x], (*x.shape[:2], *size), **attrs)


def _zeros(x: Feature) -> None:
    if x.pending and x.pending[2:] != (0.0, "constant"):
        raise Unsupported(
            f"reads edges that are padded with {x.pending[2]}, mode {reprlib.repr(x.pending[3])}"
        )


_PADDINGS = ("constant", "reflect", "edge", "wrap")
"""Modes of a Pad that ONNX has."""


def pad(call: Call) -> Feature:
    """Return the same feature map with a padding pending,
    which the window behind it takes over; or a crop.
    """
    x, dims = call.feature(dims=4), 4
    given, axes = call.option("pads", 1, ()), call.option("axes", 3, tuple(range(dims)))
    if (
        len(given) != 2 * len(axes)
        or len(axes) > dims
        or any(not -dims <= axis < dims for axis in axes)
    ):
        raise unknown_padding(given)
    both = {
        axis % dims: pair
        for axis, pair in zip(axes, zip(given, given[len(axes) :], strict=False), strict=False)
    }
    pads = [both.get(axis, (0, 0)) for axis in range(dims)]
    sides = (*pads[2], *pads[3])
    if (
        pads[0] != (0, 0)
        or pads[1] != (0, 0)
        or not (are_sizes(sides) or are_sizes([-side for side in sides]))
    ):
        raise unknown_padding(given)
    mode = call.attrs.get("mode", "constant")
    if mode not in _PADDINGS:
        raise unknown_padding(mode)
    if not any(sides):
        return x
    if min(sides) < 0:
        size = (x.shape[2] + sides[0] + sides[1], x.shape[3] + sides[2] + sides[3])
        return crop(call, x, size, (-sides[0], -sides[2]))
    return replace(x, pending=("padding", sides, _single(call.option("value", 2, 0.0)), mode))


def _single(value: Any) -> float:
    return float(value[0] if isinstance(value, tuple) else value)


# Which pixel a pixel of a larger map is taken from, coordinates and rounding: those that give what
# the IR means.
_NEAREST = frozenset(
    {
        ("asymmetric", "floor"),
        ("half_pixel", "round_prefer_floor"),
        ("half_pixel", "round_prefer_ceil"),
    }
)
_BILINEAR = frozenset({"half_pixel", "pytorch_half_pixel"})
_CORNERS = "align_corners"


def resize(call: Call) -> Feature:
    """Return (N, C, H * factor, W * factor), nearest or bilinear."""
    x, old = call.feature(dims=4), call.kind == "Upsample" or call.opset < 11
    scales, sizes = call.option("scales", 1 if old else 2, ()), call.option("sizes", 3, ())
    sizes = sizes or tuple(
        pixels * _factor(scale) for pixels, scale in zip(x.shape[2:], scales[2:], strict=True)
    )
    factors = {size / pixels for size, pixels in zip(sizes[-2:], x.shape[2:], strict=True)}
    factor = factors.pop()
    kept = sizes[:-2] in ((), x.shape[:2]) and tuple(scales[:2]) in ((), (1, 1))
    if factors or not kept or factor != int(factor) or call.attrs.get("antialias"):
        raise Unsupported(
            f"resizes by {reprlib.repr(scales or sizes)}; only whole factors >= 1 are known"
        )
    mode, a = call.attrs.get("mode", "nearest"), call.attrs
    place = "asymmetric" if old else a.get("coordinate_transformation_mode", "half_pixel")
    rounding = "floor" if old else a.get("nearest_mode", "round_prefer_floor")
    if not (
        (place, rounding) in _NEAREST
        if mode == "nearest"
        else mode == "linear" and place in (*_BILINEAR, _CORNERS)
    ):
        raise Unsupported(f"resizes with mode {mode}, coordinates {place}, rounding {rounding}")
    shape = (*x.shape[:2], x.shape[2] * int(factor), x.shape[3] * int(factor))
    kind = "nearest" if mode == "nearest" else "bilinear"
    attrs: dict[str, Any] = {"factor": int(factor), "mode": kind}
    attrs |= {"align_corners": True} if place == _CORNERS else {}
    return x if factor == 1 else call.op("upsample", [x], shape, **attrs)


def _factor(scale: float) -> int:
    if scale != int(scale) or not 1 <= scale < MAX_PADDING:
        raise Unsupported(f"resizes by {scale}; only whole factors >= 1 are known")
    return int(scale)


def _window(
    call: Call, x: Feature, kernel: Any, dilation: int = 1
) -> tuple[dict[str, Any], Pixels]:
    """A sliding window's attributes, and the pixels of its output: at least one."""
    attrs, size = _sliding(call, x, kernel, dilation)
    expect_pixels(x, attrs, size)
    return attrs, size


def _sliding(
    call: Call, x: Feature, kernel: Any, dilation: int = 1
) -> tuple[dict[str, Any], Pixels]:
    """The same, perhaps without a pixel."""
    kernel, stride = square(kernel), square(call.attrs.get("strides", 1))
    pads = _pads(call, count_padded(x), stride, dilation * (kernel - 1) + 1)
    return sliding(x, kernel, stride, pads, dilation)


def _pads(call: Call, pixels: Pixels, stride: int, reach: int) -> tuple[int, ...]:
    """Zeros (top, bottom, left, right)."""
    mode, given = call.attrs.get("auto_pad", "NOTSET"), call.attrs.get("pads", NO_PADDING)
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        pads = same_padding(pixels, stride, reach, more_first=mode == "SAME_LOWER")
        given = (pads[0], pads[2], pads[1], pads[3])
    if (
        mode not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")
        or len(given) != 4
        or not are_sizes(given)
    ):
        raise unknown_padding((mode, given))
    return NO_PADDING if mode == "VALID" else (given[0], given[2], given[1], given[3])
