"""How an ONNX says windows that slide over (N, C, H, W), paddings, and larger maps."""

from __future__ import annotations

import reprlib
from dataclasses import replace
from typing import Any

from archspec.operators.file_node import SlidingFilters
from archspec.readers.computed_filters import with_its_weight
from archspec.readers.onnx.call import Call
from archspec.readers.onnx.slices import crop
from archspec.readers.tensors import Tensor
from archspec.readers.trace import Feature, Unsupported
from archspec.readers.window_arithmetic import (
    MAX_PADDING,
    NO_PADDING,
    Pixels,
    are_sizes,
    count_enlarged,
    count_padded,
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


def mirrors_edges(call: Call) -> bool:
    """Return whether a padding that mirrors the edges stands before."""
    return call.feature(dims=4, pending="padding").pending[2:] == (0.0, "reflect")


def sliding_filters(call: Call) -> SlidingFilters:
    """Return what a convolution is; a padding before it becomes its own."""
    call, told = with_its_weight(call)
    x, (weight, *biases), groups = read_filters(call)
    _expect_zeros(x)
    dilation = square(call.attrs.get("dilations", 1))
    attrs, pixels = window(call, x, weight.dims, dilation)
    attrs |= {"dilation": dilation, "groups": groups, **told}
    return SlidingFilters(x, [weight, *biases], attrs, pixels)


def read_filters(call: Call) -> tuple[Feature, list[Tensor], int]:
    """What a convolution reads, its filters with a bias if there is one, and their groups."""
    x, weight = call.feature(dims=4, pending="padding"), call.weight(1, 4)
    groups = call.attrs.get("group", 1)
    expect_groups(x, weight.dims, groups)
    _refuse_other_kernel(call, weight)
    return x, [weight, *_biases(call, weight.dims[0])], groups


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


def enlarging_filters(call: Call) -> SlidingFilters:
    """Return what a transposed convolution is."""
    x, weight = call.feature(dims=4), call.weight(1, 4)
    a, kernel = call.attrs, square(weight.dims)
    stride, pads = square(a.get("strides", 1)), a.get("pads", NO_PADDING)
    is_plain = a.get("auto_pad", "NOTSET") == "NOTSET" and a.get("group", 1) == 1
    has_output = any(a.get("output_padding", ())) or a.get("output_shape")
    if not is_plain or square(a.get("dilations", 1)) != 1 or has_output or len({*pads}) != 1:
        raise Unsupported("has groups, dilation, uneven or output padding")
    if weight.dims[0] != x.shape[1] or not are_sizes(pads):
        raise Unsupported(f"is made for {weight.dims[0]} channels, reads {x.shape[1]}")
    _refuse_other_kernel(call, weight)
    pixels = count_enlarged(x, kernel, stride, pads[0])
    if min(pixels) < 1:
        raise Unsupported(f"has a padding of {pads[0]} that leaves no pixel")
    attrs = {"kernel": kernel, "stride": stride, "padding": pads[0]}
    return SlidingFilters(x, [weight, *_biases(call, weight.dims[1])], attrs, pixels)


def padded_map(call: Call, is_maximum: bool = False) -> Feature:
    """Return a map with the padding before it: zeros, or for a maximum what is never one."""
    x = call.feature(dims=4, pending="padding")
    is_low = x.pending and x.pending[2] <= LOWEST and x.pending[3] == "constant"
    if is_maximum and is_low:
        return x
    _expect_zeros(x)
    if is_maximum and x.pending:
        expect_harmless_zeros(call, x)
    return x


def covers(call: Call, x: Feature) -> bool:
    """Return whether a window is the whole map, square or not, without a padding."""
    pixels = tuple(call.attrs["kernel_shape"])
    is_bare = not any(call.attrs.get("pads", ())) and {*call.attrs.get("dilations", ())} <= {1}
    return is_bare and is_whole_map(x, pixels)


def leaves_padding_out(call: Call) -> bool:
    """Return whether a pool counts the pixels of the map alone, as is usual in an ONNX."""
    pads = any(call.attrs.get("pads", ())) and not call.attrs.get("count_include_pad", 0)
    return pads or call.attrs.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID")


def pool(call: Call, kind: str, x: Feature, /, **own: Any) -> Feature:
    """Add a pool over windows, with attributes of its own beside the window's."""
    if square(call.attrs.get("dilations", 1)) != 1:
        raise Unsupported("is dilated")
    attrs, size = _sliding(call, x, call.attrs["kernel_shape"])
    attrs, size = with_ceil(x, attrs, size, bool(call.attrs.get("ceil_mode")))
    return call.op(kind, [x], (*x.shape[:2], *size), **attrs, **own)


def _expect_zeros(x: Feature) -> None:
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


def enlarging_factor(call: Call, x: Feature) -> int:
    """Return how many times higher and wider a node makes a map."""
    at = 1 if call.kind == "Upsample" or call.opset < 11 else 2
    scales, sizes = call.option("scales", at, ()), call.option("sizes", 3, ())
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
    return int(factor)


def _factor(scale: float) -> int:
    if scale != int(scale) or not 1 <= scale < MAX_PADDING:
        raise Unsupported(f"resizes by {scale}; only whole factors >= 1 are known")
    return int(scale)


def window(call: Call, x: Feature, kernel: Any, dilation: int = 1) -> tuple[dict[str, Any], Pixels]:
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
