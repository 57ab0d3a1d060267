"""How a MINDIR says windows that slide over (N, C, H, W), paddings, and larger maps."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from archspec.operators.file_node import SlidingFilters
from archspec.readers.computed_filters import with_its_weight
from archspec.readers.mindir.decode import Constant
from archspec.readers.trace import Call, Feature, Unsupported
from archspec.readers.window_arithmetic import (
    NO_BLUR,
    NO_PADDING,
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


def mirrors_edges(call: Call) -> bool:
    """Return whether a padding that mirrors the edges stands before."""
    return call.is_pending("mirrored padding")


def sliding_filters(call: Call) -> SlidingFilters:
    """Return what a convolution is; a padding before it becomes its own."""
    call, told = with_its_weight(call)
    x, weight = call.feature(dims=4, pending="padding"), call.weight(1, 4)
    a = call.attrs
    groups = square(a.get("group", a.get("groups", 1)))
    expect_groups(x, weight.dims, groups)
    dilation = square(a.get("dilation", 1))
    attrs, pixels = _window(x, weight.dims, a["stride"], a["pad_mode"], a["pad"], dilation)
    attrs |= {"dilation": dilation, "groups": groups, **told}
    return SlidingFilters(x, [weight], attrs, pixels)


def blur(call: Call, kind: str) -> Feature:
    """Add a blur (Zhang 2019), whose filters are the binomial one for each channel."""
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
    return call.op(kind, [x], (*x.shape[:2], *size), **attrs)


def enlarging_filters(call: Call) -> SlidingFilters:
    """Return what a transposed convolution is."""
    x, weight, a = call.feature(dims=4), call.weight(1, 4), call.attrs
    kernel, stride, pads = square(weight.dims), square(a["stride"]), tuple(a["pad"])
    if square(a.get("group", 1)) != 1 or square(a.get("dilation", 1)) != 1:
        raise Unsupported("has groups or dilation")
    if weight.dims[0] != x.shape[1]:
        raise Unsupported(f"is made for {weight.dims[0]} channels, reads {x.shape[1]}")
    if PAD_MODES.get(a["pad_mode"]) == "same" or len({*pads}) != 1 or not are_sizes(pads):
        raise unknown_padding((a["pad_mode"], pads))
    pixels = count_enlarged(x, kernel, stride, pads[0])
    if min(pixels) < 1 or tuple(call.option("input_sizes", 2))[2:] != pixels:
        raise Unsupported("gives another number of pixels than its stride, kernel and padding say")
    attrs = {"kernel": kernel, "stride": stride, "padding": pads[0]}
    return SlidingFilters(x, [weight], attrs, pixels)


def is_in_3d(call: Call) -> bool:
    """Return whether a pool is over one slice, which a padded MaxPool2d or AvgPool2d becomes."""
    return "3D" in call.kind


def padded_map(call: Call, is_maximum: bool = False) -> Feature:
    """Return a map with the padding before it, whose zeros must be harmless to a maximum."""
    if is_in_3d(call):
        return call.feature(dims=5)
    x = call.feature(dims=4, pending="padding")
    if x.pending and is_maximum:
        expect_harmless_zeros(call, x)
    return x


def covers(call: Call, x: Feature) -> bool:
    """Return whether a window is the whole map."""
    if is_in_3d(call):
        return False
    kernel = call.option("kernel_size", 1)
    pixels = kernel[-2:] if isinstance(kernel, tuple) else (kernel, kernel)
    return is_whole_map(x, pixels)


def leaves_padding_out(call: Call) -> bool:
    """Return whether a pool counts the pixels of the map alone."""
    if not is_in_3d(call):
        return False
    return any(_sides_in_3d(call)) and not call.attrs.get("count_include_pad", True)


def _sides_in_3d(call: Call) -> tuple[int, ...]:
    """The padding (top, bottom, left, right)."""
    a = call.attrs
    pad = a.get("pads", a.get("pad_list"))
    if len(pad) == 3:
        return tuple(side for side in pad[-2:] for _ in range(2))
    return tuple(pad[-4:])


def pool(call: Call, kind: str, x: Feature, /, **own: Any) -> Feature:
    """Add a pool over windows, with attributes of its own beside the window's."""
    if is_in_3d(call):
        return _pool_in_3d(call, kind, x, own)
    kernel, stride = call.option("kernel_size", 1), call.option("strides", 2)
    attrs, size = _window(x, kernel, stride, call.option("pad_mode", 3))
    return call.op(kind, [x], (*x.shape[:2], *size), **attrs, **own)


def _pool_in_3d(call: Call, kind: str, x: Feature, own: Mapping[str, Any]) -> Feature:
    """Return (N, C, 1, H, W)."""
    a = call.attrs
    kernel, stride = a.get("ksize", a.get("kernel_size")), a["strides"]
    if kernel[-3] != 1 or x.shape[2] != 1 or a.get("divisor_override"):
        raise Unsupported("divides by a number of its own, or pools over slices")
    if square(a.get("dilation", 1)) != 1:
        raise Unsupported("is dilated")
    flat = replace(x, shape=(*x.shape[:2], *x.shape[3:]))
    mode = "pad" if "pads" in a else a["pad_mode"]
    attrs, size = _sliding(flat, kernel, stride, mode, _sides_in_3d(call))
    attrs, size = with_ceil(flat, attrs, size, bool(a.get("ceil_mode")))
    return call.op(kind, [x], (*x.shape[:2], 1, *size), **attrs, **own)


def enlarging_factor(call: Call, x: Feature) -> int:
    """Return how many times higher and wider a primitive makes a map."""
    size, (height, width) = tuple(call.option("size", 1)), x.shape[2:]
    factor = int(size[0] // height)
    if size != (factor * height, factor * width) or factor < 1:
        raise Unsupported(
            f"makes {reprlib.repr(size)} pixels of {height} x {width}, which is no whole factor"
        )
    return factor


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
