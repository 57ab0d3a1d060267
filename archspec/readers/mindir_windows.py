"""Operators of a MINDIR that slide a window over (N, C, H, W), or only pad: convolutions and pools."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from archspec.readers.mindir_values import MAX_CHANNELS, Call, Feature, Strange

# As an attribute it is a text, as a constant input a number.
PAD_MODES: Mapping[Any, str] = {
    **dict.fromkeys(("pad", "PAD", 0), "pad"),
    **dict.fromkeys(("same", "SAME", 1), "same"),
    **dict.fromkeys(("valid", "VALID", 2), "valid"),
}


def conv(call: Call) -> Feature:
    x, weight = call.feature(dims=4, pending="padding"), call.parameter(1, 4)
    a = call.attrs
    out, per_group, groups = weight.dims[0], weight.dims[1], square(a.get("group", a.get("groups", 1)))
    if per_group * groups != x.shape[1] or out % groups:
        raise Strange(f"is made for {per_group * groups} channels, reads {x.shape[1]}")
    attrs, size = _window(call, x, weight.dims, a["stride"], a["pad_mode"], a["pad"], a.get("dilation", 1))
    attrs |= {"in_channels": x.shape[1], "out_channels": out, "groups": groups}
    return call.op("conv", [x], (x.shape[0], out, *size), weights=(weight,), **attrs)


def pool(kind: str, call: Call) -> Feature:
    x = call.feature(dims=4, pending="padding")
    if x.pending and kind == "max_pool" and call.found.ops[x.op].kind not in ("relu", "relu6"):
        raise Strange("reads zeros from a padding beside what may be negative")
    kernel, stride = call.option("kernel_size", 1), call.option("strides", 2)
    attrs, size = _window(call, x, kernel, stride, call.option("pad_mode", 3), None)
    return _pooled(call, kind, x, attrs, (*x.shape[:2], *size))


def pool_in_3d(kind: str, call: Call) -> Feature:
    """What a padded MaxPool2d or AvgPool2d becomes: a pool of a feature map with one slice, (N, C, 1, H, W)."""
    x, a = call.feature(dims=5), call.attrs
    kernel, stride, pad = a.get("ksize", a.get("kernel_size")), a["strides"], a.get("pads", a.get("pad_list"))
    sides = tuple(side for side in pad[-2:] for _ in range(2)) if len(pad) == 3 else pad[-4:]
    if kernel[-3] != 1 or x.shape[2] != 1 or a.get("ceil_mode") or a.get("divisor_override"):
        raise Strange("rounds up, divides by a number of its own, or pools over slices")
    if kind == "avg_pool" and any(sides) and not a.get("count_include_pad", True):
        raise Strange("leaves its padding out of the average")
    flat = replace(x, shape=(*x.shape[:2], *x.shape[3:]))
    mode = "pad" if "pads" in a else a["pad_mode"]
    attrs, size = _window(call, flat, kernel, stride, mode, sides, a.get("dilation", 1))
    return _pooled(call, kind, x, attrs, (*x.shape[:2], 1, *size))


def _pooled(call: Call, kind: str, x: Feature, attrs: dict[str, Any], shape: tuple[Any, ...]) -> Feature:
    if attrs.pop("dilation") != 1:
        raise Strange("is dilated")
    return call.op(kind, [x], shape, **attrs)


def pad(call: Call) -> Feature:
    x = call.feature(dims=4)
    pads = call.option("paddings", 1)
    if call.primitive == "Pad":
        pads = sum(pads[::-1], ()) if pads[:2] == ((0, 0), (0, 0)) else (-1,)
    elif call.attrs.get("mode", "constant") != "constant" or call.option("value", 2, 0.0):
        raise Strange("pads with something else than zeros")
    if len(pads) not in (4, 8) or any(pads[4:]) or any(type(p) is not int or not 0 <= p < 2**20 for p in pads):
        raise Strange(f"pads in a way that is not known: {reprlib.repr(pads)}")
    return replace(x, pending=("padding", (pads[2], pads[3], pads[0], pads[1])))


def square(value: Any, least: int = 1) -> int:
    """A size that is the same in height and width, given as one, two, or four numbers with those of N and C."""
    pair = value[-2:] if isinstance(value, tuple) else (value, value)
    if pair[0] != pair[1] or type(pair[0]) is not int or not least <= pair[0] < MAX_CHANNELS:
        raise Strange(f"has the size {reprlib.repr(value)}; only square ones >= {least} are known")
    return pair[0]


def _window(
    call: Call, x: Feature, kernel: Any, stride: Any, mode: Any, pad: Any, dilation: Any = 1
) -> tuple[dict[str, Any], tuple[int, int]]:
    """A sliding window's attributes, and the pixels (H, W) of its output."""
    kernel, stride, dilation = square(kernel), square(stride), square(dilation)
    reach = dilation * (kernel - 1) + 1
    before = x.pending[1] if x.pending else (0, 0, 0, 0)
    height, width = x.shape[2] + before[0] + before[1], x.shape[3] + before[2] + before[3]
    pads = tuple(pad) if PAD_MODES.get(mode) == "pad" else (0, 0, 0, 0)
    if PAD_MODES.get(mode) == "same":
        total = [max((-(-size // stride) - 1) * stride + reach - size, 0) for size in (height, width)]
        pads = tuple(part for size in total for part in (size // 2, size - size // 2))
    if mode not in PAD_MODES or len(pads) != 4 or any(type(p) is not int or not 0 <= p < 2**20 for p in pads):
        raise Strange(f"pads in a way that is not known: {reprlib.repr((mode, pad))}")
    size_out = (height + pads[0] + pads[1] - reach) // stride + 1, (width + pads[2] + pads[3] - reach) // stride + 1
    if min(size_out) < 1:
        raise Strange(f"has a {kernel} x {kernel} window that leaves no pixel of {height} x {width}")
    whole = tuple(a + b for a, b in zip(before, pads, strict=True))
    padding = whole[0] if len(set(whole)) == 1 else whole
    return {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation}, size_out
