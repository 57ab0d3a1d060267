"""Operators of a MINDIR that slide a window over (N, C, H, W), or only pad:
convolutions and pools.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from archspec.readers.filters import with_its_weight
from archspec.readers.mindir.decode import Constant
from archspec.readers.trace import Call, Feature, Unsupported
from archspec.readers.windows import (
    NO_BLUR,
    NO_PADDING,
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

PADDINGS = {"constant": "padding", "reflect": "mirrored padding"}

# As an attribute it is a text, as a constant input a number.
PAD_MODES: Mapping[Any, str] = {
    **dict.fromkeys(("pad", "PAD", 0), "pad"),
    **dict.fromkeys(("same", "SAME", 1), "same"),
    **dict.fromkeys(("valid", "VALID", 2), "valid"),
}


def conv(call: Call) -> Feature:
    """Return the output of a convolution, (N, out_channels, H, W);
    a padding before it becomes its own.
    """
    if call.is_pending("mirrored padding"):
        return _blur(call)
    call, told = with_its_weight(call)
    x, weight = call.feature(dims=4, pending="padding"), call.weight(1, 4)
    a = call.attrs
    groups = square(a.get("group", a.get("groups", 1)))
    expect_groups(x, weight.dims, groups)
    dilation = square(a.get("dilation", 1))
    window = _window(x, weight.dims, a["stride"], a["pad_mode"], a["pad"], dilation)
    return add_conv(call, x, [weight], window, {"dilation": dilation, "groups": groups, **told})


def _blur(call: Call) -> Feature:
    """Zhang 2019: a padding that mirrors the edges, and the binomial filter for each channel."""
    x, filters, a = call.feature(dims=4, pending="mirrored padding"), call.inputs[1], call.attrs
    if not isinstance(filters, Constant):
        raise Unsupported(NO_BLUR)
    binomial = blur_filter(filters.values.shape, x.shape[1])
    if square(a.get("group", 1)) != x.shape[1] or square(a.get("dilation", 1)) != 1:
        raise Unsupported(NO_BLUR)
    if not np.allclose(filters.values, binomial, rtol=1e-3):
        raise Unsupported(NO_BLUR)
    attrs, size = _window(x, len(binomial), a["stride"], a["pad_mode"], a["pad"])
    expect_blurs_padding(attrs)
    if any(a["pad"]):
        raise Unsupported(f"blurs with a padding of {attrs['padding']}")
    return call.op("blur_pool", [x], (*x.shape[:2], *size), **attrs)


def conv_transpose(call: Call) -> Feature:
    """Return (N, out_channels, (H - 1) * stride + kernel - 2 * padding, and so the width)."""
    x, weight, a = call.feature(dims=4), call.weight(1, 4), call.attrs
    kernel, stride, pads = square(weight.dims), square(a["stride"]), tuple(a["pad"])
    if square(a.get("group", 1)) != 1 or square(a.get("dilation", 1)) != 1:
        raise Unsupported("has groups or dilation")
    if weight.dims[0] != x.shape[1]:
        raise Unsupported(f"is made for {weight.dims[0]} channels, reads {x.shape[1]}")
    if PAD_MODES.get(a["pad_mode"]) == "same" or len({*pads}) != 1 or not are_sizes(pads):
        raise unknown_padding((a["pad_mode"], pads))
    size = count_enlarged(x, kernel, stride, pads[0])
    if min(size) < 1 or tuple(call.option("input_sizes", 2))[2:] != size:
        raise Unsupported("gives another number of pixels than its stride, kernel and padding say")
    return add_conv_transpose(call, x, [weight], stride, pads[0])


def pool(kind: str, call: Call) -> Feature:
    """Return the output of a max_pool or avg_pool, (N, C, H, W);
    a padding before it becomes its own.
    """
    x = call.feature(dims=4, pending="padding")
    if x.pending and kind == "max_pool":
        expect_harmless_zeros(call, x)
    kernel, stride = call.option("kernel_size", 1), call.option("strides", 2)
    pixels = kernel[-2:] if isinstance(kernel, tuple) else (kernel, kernel)
    if kind == "max_pool" and is_whole_map(x, pixels):
        return call.op("global_max_pool", [x], (*x.shape[:2], 1, 1), keep=True)
    attrs, size = _window(x, kernel, stride, call.option("pad_mode", 3))
    return call.op(kind, [x], (*x.shape[:2], *size), **attrs)


def pool_in_3d(kind: str, call: Call) -> Feature:
    """Return (N, C, 1, H, W) of a pool over one slice,
    which a padded MaxPool2d or AvgPool2d becomes.
    """
    x, a = call.feature(dims=5), call.attrs
    kernel, stride, pad = (
        a.get("ksize", a.get("kernel_size")),
        a["strides"],
        a.get("pads", a.get("pad_list")),
    )
    sides = tuple(side for side in pad[-2:] for _ in range(2)) if len(pad) == 3 else pad[-4:]
    if kernel[-3] != 1 or x.shape[2] != 1 or a.get("divisor_override"):
        raise Unsupported("divides by a number of its own, or pools over slices")
    if square(a.get("dilation", 1)) != 1:
        raise Unsupported("is dilated")
    if kind == "avg_pool" and any(sides) and not a.get("count_include_pad", True):
        raise Unsupported("leaves its padding out of the average")
    flat = replace(x, shape=(*x.shape[:2], *x.shape[3:]))
    mode = "pad" if "pads" in a else a["pad_mode"]
    attrs, size = _sliding(flat, kernel, stride, mode, sides)
    attrs, size = with_ceil(flat, attrs, size, bool(a.get("ceil_mode")))
    return call.op(kind, [x], (*x.shape[:2], 1, *size), **attrs)


def pad(call: Call) -> Feature:
    """Return the same feature map with a padding pending, which the window behind it takes over."""
    x = call.feature(dims=4)
    pads = call.option("paddings", 1)
    if call.kind == "Pad":
        pads = sum(pads[::-1], ()) if pads[:2] == ((0, 0), (0, 0)) else (-1,)
    mode = call.attrs.get("mode", "constant")
    if mode not in ("constant", "reflect") or (mode == "constant" and call.option("value", 2, 0.0)):
        raise Unsupported("pads with something else than zeros or mirrored padding")
    if len(pads) not in (4, 8) or any(pads[4:]) or not are_sizes(pads):
        raise unknown_padding(pads)
    if not any(pads):
        return x
    return replace(x, pending=(PADDINGS[mode], (pads[2], pads[3], pads[0], pads[1])))


def _window(
    x: Feature, kernel: Any, stride: Any, mode: Any, pad: Any = None, dilation: int = 1
) -> tuple[dict[str, Any], tuple[int, int]]:
    """A sliding window's attributes, and the pixels (H, W) of its output: at least one."""
    attrs, size = _sliding(x, kernel, stride, mode, pad, dilation)
    expect_pixels(x, attrs, size)
    return attrs, size


def _sliding(
    x: Feature, kernel: Any, stride: Any, mode: Any, pad: Any = None, dilation: int = 1
) -> tuple[dict[str, Any], tuple[int, int]]:
    """The same, perhaps without a pixel: a window that is rounded up may still give one."""
    kernel, stride = square(kernel), square(stride)
    pads = tuple(pad) if PAD_MODES.get(mode) == "pad" else NO_PADDING
    if PAD_MODES.get(mode) == "same":
        pads = same_padding(count_padded(x), stride, dilation * (kernel - 1) + 1)
    if mode not in PAD_MODES or len(pads) != 4 or not are_sizes(pads):
        raise unknown_padding((mode, pad))
    return sliding(x, kernel, stride, pads, dilation)
