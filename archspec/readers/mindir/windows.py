"""Operators of a MINDIR that slide a window over (N, C, H, W), or only pad: convolutions and pools."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from archspec.readers.mindir.decode import Constant
from archspec.readers.mindir.filters import OfWeight, standardized
from archspec.readers.trace import MAX_CHANNELS, Call, Feature, Strange

MAX_PADDING = 2**20

BINOMIAL = {3: (1, 2, 1), 5: (1, 4, 6, 4, 1)}
PADDINGS = {"constant": "padding", "reflect": "mirrored padding"}

# As an attribute it is a text, as a constant input a number.
PAD_MODES: Mapping[Any, str] = {
    **dict.fromkeys(("pad", "PAD", 0), "pad"),
    **dict.fromkeys(("same", "SAME", 1), "same"),
    **dict.fromkeys(("valid", "VALID", 2), "valid"),
}


def conv(call: Call) -> Feature:
    """Return the output of a convolution, (N, out_channels, H, W); a padding before it becomes its own."""
    if call.is_pending("mirrored padding"):
        return _blur(call)
    filters, told = call.inputs[1], dict[str, Any]()
    if isinstance(filters, OfWeight):
        told = {"standardized": True, "weight_eps": standardized(filters)}
        call = replace(call, inputs=(call.inputs[0], filters.weight, *call.inputs[2:]))
    x, weight = call.feature(dims=4, pending="padding"), call.parameter(1, 4)
    a = call.attrs
    out, per_group, groups = (
        weight.dims[0],
        weight.dims[1],
        square(a.get("group", a.get("groups", 1))),
    )
    if per_group * groups != x.shape[1] or out % groups:
        raise Strange(f"is made for {per_group * groups} channels, reads {x.shape[1]}")
    dilation = square(a.get("dilation", 1))
    attrs, size = _window(x, weight.dims, a["stride"], a["pad_mode"], a["pad"], dilation)
    attrs |= {
        "in_channels": x.shape[1],
        "out_channels": out,
        "dilation": dilation,
        "groups": groups,
        **told,
    }
    return call.op("conv", [x], (x.shape[0], out, *size), weights=(weight,), **attrs)


def _blur(call: Call) -> Feature:
    """Zhang 2019: a padding that mirrors the edges, and the binomial filter for each channel."""
    x, filters, a = call.feature(dims=4, pending="mirrored padding"), call.inputs[1], call.attrs
    shape = filters.values.shape if isinstance(filters, Constant) else ()
    row = np.array(BINOMIAL.get(shape[-1] if shape else 0, (0,)), float)
    square_filter = np.outer(row, row) / max(row.sum(), 1) ** 2
    is_blur = shape == (x.shape[1], 1, len(row), len(row)) and np.allclose(
        filters.values, square_filter, rtol=1e-3
    )
    if not is_blur or square(a.get("group", 1)) != x.shape[1] or square(a.get("dilation", 1)) != 1:
        raise Strange("reads mirrored edges and is no blur by the binomial filter")
    attrs, size = _window(x, len(row), a["stride"], a["pad_mode"], a["pad"])
    if attrs["padding"] != (attrs["stride"] + len(row) - 2) // 2 or any(a["pad"]):
        raise Strange(f"blurs with a padding of {attrs['padding']}")
    return call.op("blur_pool", [x], (*x.shape[:2], *size), **attrs)


def conv_transpose(call: Call) -> Feature:
    """Return (N, out_channels, (H - 1) * stride + kernel - 2 * padding, and so the width)."""
    x, weight, a = call.feature(dims=4), call.parameter(1, 4), call.attrs
    kernel, stride, pads, out = (
        square(weight.dims),
        square(a["stride"]),
        tuple(a["pad"]),
        weight.dims[1],
    )
    if square(a.get("group", 1)) != 1 or square(a.get("dilation", 1)) != 1:
        raise Strange("has groups or dilation")
    if weight.dims[0] != x.shape[1]:
        raise Strange(f"is made for {weight.dims[0]} channels, reads {x.shape[1]}")
    if PAD_MODES.get(a["pad_mode"]) == "same" or len({*pads}) != 1 or not _are_sizes(pads):
        raise Strange(f"pads in a way that is not known: {reprlib.repr((a['pad_mode'], pads))}")
    size = tuple((pixels - 1) * stride + kernel - 2 * pads[0] for pixels in x.shape[2:])
    if min(size) < 1 or tuple(call.option("input_sizes", 2))[2:] != size:
        raise Strange("gives another number of pixels than its stride, kernel and padding say")
    attrs = {
        "in_channels": x.shape[1],
        "out_channels": out,
        "kernel": kernel,
        "stride": stride,
        "padding": pads[0],
    }
    return call.op("conv_transpose", [x], (x.shape[0], out, *size), weights=(weight,), **attrs)


def pool(kind: str, call: Call) -> Feature:
    """Return the output of a max_pool or avg_pool, (N, C, H, W); a padding before it becomes its own."""
    x = call.feature(dims=4, pending="padding")
    if x.pending and kind == "max_pool" and call.found.ops[x.op].kind not in ("relu", "relu6"):
        raise Strange("reads zeros from a padding beside what may be negative")
    kernel, stride = call.option("kernel_size", 1), call.option("strides", 2)
    pixels = kernel[-2:] if isinstance(kernel, tuple) else (kernel, kernel)
    if kind == "max_pool" and not x.pending and pixels == x.shape[2:] != (1, 1):
        return call.op("global_max_pool", [x], (*x.shape[:2], 1, 1), keep=True)
    attrs, size = _window(x, kernel, stride, call.option("pad_mode", 3))
    return call.op(kind, [x], (*x.shape[:2], *size), **attrs)


def pool_in_3d(kind: str, call: Call) -> Feature:
    """Return (N, C, 1, H, W) of a pool over one slice, which a padded MaxPool2d or AvgPool2d becomes."""
    x, a = call.feature(dims=5), call.attrs
    kernel, stride, pad = (
        a.get("ksize", a.get("kernel_size")),
        a["strides"],
        a.get("pads", a.get("pad_list")),
    )
    sides = tuple(side for side in pad[-2:] for _ in range(2)) if len(pad) == 3 else pad[-4:]
    if kernel[-3] != 1 or x.shape[2] != 1 or a.get("divisor_override"):
        raise Strange("divides by a number of its own, or pools over slices")
    if square(a.get("dilation", 1)) != 1:
        raise Strange("is dilated")
    if kind == "avg_pool" and any(sides) and not a.get("count_include_pad", True):
        raise Strange("leaves its padding out of the average")
    flat = replace(x, shape=(*x.shape[:2], *x.shape[3:]))
    mode = "pad" if "pads" in a else a["pad_mode"]
    attrs, size = _sliding(flat, kernel, stride, mode, sides)
    up = _rounded_up(flat, attrs)
    if up == size:
        attrs["ceil"] = None
    elif a.get("ceil_mode"):
        attrs["ceil"], size = True, up
    _expect_pixels(flat, attrs, size)
    return call.op(kind, [x], (*x.shape[:2], 1, *size), **attrs)


def _rounded_up(x: Feature, attrs: Mapping[str, Any]) -> tuple[int, int]:
    """Pixels (H, W) with the windows that reach beyond the edge; none of them begins there."""
    padding, kernel, stride = attrs["padding"], attrs["kernel"], attrs["stride"]
    top, bottom, left, right = padding if isinstance(padding, tuple) else (padding,) * 4
    height, width = (
        min(-(-(before + pixels + after - kernel) // stride), (before + pixels - 1) // stride) + 1
        for before, pixels, after in ((top, x.shape[2], bottom), (left, x.shape[3], right))
    )
    return height, width


def pad(call: Call) -> Feature:
    """Return the same feature map with a padding pending, which the window behind it takes over."""
    x = call.feature(dims=4)
    pads = call.option("paddings", 1)
    if call.primitive == "Pad":
        pads = sum(pads[::-1], ()) if pads[:2] == ((0, 0), (0, 0)) else (-1,)
    mode = call.attrs.get("mode", "constant")
    if mode not in ("constant", "reflect") or (mode == "constant" and call.option("value", 2, 0.0)):
        raise Strange("pads with something else than zeros or mirrored padding")
    if len(pads) not in (4, 8) or any(pads[4:]) or not _are_sizes(pads):
        raise Strange(f"pads in a way that is not known: {reprlib.repr(pads)}")
    if not any(pads):
        return x
    return replace(x, pending=(PADDINGS[mode], (pads[2], pads[3], pads[0], pads[1])))


def padded(x: Feature) -> tuple[Any, ...]:
    """Return a feature map's shape with the padding that is pending, (N, C, H, W)."""
    top, bottom, left, right = x.pending[1] if x.pending else (0, 0, 0, 0)
    return (*x.shape[:2], x.shape[2] + top + bottom, x.shape[3] + left + right)


def square(value: Any) -> int:
    """Return a size that is the same in height and width, given as one, two, or four numbers with those of N and C."""
    pair = value[-2:] if isinstance(value, tuple) else (value, value)
    if pair[0] != pair[1] or type(pair[0]) is not int or not 1 <= pair[0] < MAX_CHANNELS:
        raise Strange(f"has the size {reprlib.repr(value)}; only square ones >= 1 are known")
    return pair[0]


def _window(
    x: Feature, kernel: Any, stride: Any, mode: Any, pad: Any = None, dilation: int = 1
) -> tuple[dict[str, Any], tuple[int, int]]:
    """A sliding window's attributes, and the pixels (H, W) of its output: at least one."""
    attrs, size = _sliding(x, kernel, stride, mode, pad, dilation)
    _expect_pixels(x, attrs, size)
    return attrs, size


def _expect_pixels(x: Feature, attrs: Mapping[str, Any], size: tuple[int, int]) -> None:
    if min(size) < 1:
        kernel, (height, width) = attrs["kernel"], padded(x)[2:]
        raise Strange(
            f"has a {kernel} x {kernel} window that leaves no pixel of {height} x {width}"
        )


def _sliding(
    x: Feature, kernel: Any, stride: Any, mode: Any, pad: Any = None, dilation: int = 1
) -> tuple[dict[str, Any], tuple[int, int]]:
    """The same, perhaps without a pixel: a window that is rounded up may still give one."""
    kernel, stride = square(kernel), square(stride)
    reach = dilation * (kernel - 1) + 1
    before = x.pending[1] if x.pending else (0, 0, 0, 0)
    height, width = padded(x)[2:]
    pads = tuple(pad) if PAD_MODES.get(mode) == "pad" else (0, 0, 0, 0)
    if PAD_MODES.get(mode) == "same":
        total = [
            max((-(-size // stride) - 1) * stride + reach - size, 0) for size in (height, width)
        ]
        pads = tuple(part for size in total for part in (size // 2, size - size // 2))
    if mode not in PAD_MODES or len(pads) != 4 or not _are_sizes(pads):
        raise Strange(f"pads in a way that is not known: {reprlib.repr((mode, pad))}")
    size_out = (
        (height + pads[0] + pads[1] - reach) // stride + 1,
        (width + pads[2] + pads[3] - reach) // stride + 1,
    )
    whole = tuple(a + b for a, b in zip(before, pads, strict=True))
    padding = whole[0] if len(set(whole)) == 1 else whole
    return {"kernel": kernel, "stride": stride, "padding": padding}, size_out


def _are_sizes(pads: Sequence[Any]) -> bool:
    return all(type(pad) is int and 0 <= pad < MAX_PADDING for pad in pads)
