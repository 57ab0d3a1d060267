"""Operators of an ONNX that order dimensions anew and change no value: reshapes and transposes.

Channels may stand last, and in groups. A letter stands for a dimension: N, C, H and W; G groups of
K channels each; P all pixels, R the channels and pixels of a group. A shuffle goes from NCHW over
NGKHW to NKGHW and back to NCHW.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import replace
from math import prod
from typing import Any

from archspec.readers.onnx.call import GROUPED, TO_LAST, Call, take_over_sizes
from archspec.readers.onnx.vectors import vector
from archspec.readers.pixel_orders import PIXELS, join_squares, permute, split_squares
from archspec.readers.trace import Feature, Unsupported

PLAIN, LAST = (), ("permuted",)
TO_FIRST = (0, 3, 1, 2)

_PARTED: Mapping[tuple[str, ...], tuple[str, ...]] = {
    PLAIN: ("NGR", "NGKP", "NGKHW", "NKHWG"),
    LAST: ("NHWGK",),
}
"""How channels may be parted into groups where they stand;
the last of the plain ones is of one group."""
_JOINED: Mapping[str, tuple[bool, tuple[str, ...]]] = {
    **dict.fromkeys(("NGR", "NGKP", "NGKHW"), (False, PLAIN)),
    "NHWGK": (False, LAST),
    **dict.fromkeys(("NKGP", "NKGHW"), (True, PLAIN)),
    "NHWKG": (True, LAST),
    # Of one group, one channel in each, or both, the dimension is left out.
    **dict.fromkeys(("NKHW", "NGHW", "NHW"), (False, PLAIN)),
    **dict.fromkeys(("NHWK", "NHWG"), (False, LAST)),
}
"""Whether channels are shuffled that are together again, and where they stand."""


def reshape(call: Call) -> Feature:
    """A reshape is followed where it changes nothing,
    takes away one pixel, or groups channels and back.
    """
    kinds = ("permuted", GROUPED, "group norm", PIXELS)
    x = call.feature(pending=next((kind for kind in kinds if call.is_pending(kind)), ""))
    target = _read_target(call, x)
    x = _together(call, x)
    views = _views(x)
    for view in views:
        if _fits(target, _dims(view)):
            return view
    if x.shape[2:] == (1, 1) and _fits(target, x.shape[:2]):
        return vector(call, replace(views[0], pending=PLAIN))
    squares = split_squares(x.shape, target) if x.pending == PLAIN else ()
    if squares:
        return replace(x, pending=squares)
    parted = ((view, order) for view in views for order in _PARTED[view.pending])
    for view, order in parted:
        groups = _groups(view, order, target)
        if groups:
            return replace(view, pending=(GROUPED, groups, order))
    raise Unsupported(f"makes {reprlib.repr(target)} of {_dims(views[0])}")


def _views(x: Feature) -> tuple[Feature, ...]:
    """The same values in a row: of one channel, or of one pixel, channels stand first and last."""
    if len(x.shape) != 4 or not (x.shape[1] == 1 or x.shape[2:] == (1, 1)):
        return (x,)
    return x, replace(x, pending=LAST if x.pending == PLAIN else PLAIN)


def _groups(x: Feature, order: str, target: tuple[Any, ...]) -> int:
    """The number of groups where a reshape gives the dimensions in this order, else 0."""
    groups = target[order.index("G")] if len(target) == len(order) and len(x.shape) == 4 else 0
    if type(groups) is not int or groups < 1 or x.shape[1] % groups:
        return 0
    if order == "NKHWG" and groups > 1:
        return 0
    return groups if _fits(target, _group_dims(x, groups, order)) else 0


def _group_dims(x: Feature, groups: int, order: str) -> tuple[Any, ...]:
    batch, channels, *pixels = x.shape
    sizes = {"N": batch, "G": groups, "K": channels // groups, "H": pixels[0], "W": pixels[1]}
    sizes |= {"P": prod(pixels), "R": channels // groups * prod(pixels)}
    return tuple(sizes[letter] for letter in order)


def _dims(x: Feature) -> tuple[Any, ...]:
    """The sizes that the file has there, as far as they are known."""
    if x.pending == LAST:
        return tuple(x.shape[axis] for axis in TO_LAST)
    if x.pending[:1] == (GROUPED,):
        return _group_dims(x, *x.pending[1:])
    return x.shape[:2] if x.pending else x.shape


def _read_target(call: Call, x: Feature) -> tuple[Any, ...]:
    """The sizes that a reshape names."""
    target, dims = call.option("shape", 1), _dims(x)
    if not isinstance(target, tuple):
        raise Unsupported("makes a shape that is no list of sizes")
    return tuple(take_over_sizes(call, target, dims))


def _fits(target: tuple[Any, ...], shape: tuple[Any, ...]) -> bool:
    fits = (size in (-1, own) for size, own in zip(target, shape, strict=False))
    return len(target) == len(shape) and target.count(-1) <= 1 and all(fits)


def _together(call: Call, x: Feature) -> Feature:
    """The same values without groups: as they were where none has moved, or an operator's."""
    if x.pending in _PARTED:
        return x
    plain = replace(x, pending=PLAIN)
    if x.pending[0] == PIXELS:
        what, factor, shape = join_squares(x.pending, x.shape)
        return call.op(what, [plain], shape, factor=factor) if what else plain
    kind, groups, rest = x.pending
    if kind == "group norm":
        attrs = {"channels": x.shape[1], "groups": groups, "eps": rest}
        return call.op("group_norm", [plain], x.shape, **attrs)
    return _beside(call, plain, groups, rest)


def _beside(call: Call, plain: Feature, groups: int, order: str) -> Feature:
    """Channels of groups, one beside the other in the order in which they stand."""
    if order not in _JOINED:
        ones = {"G": groups == 1, "K": plain.shape[1] == groups}
        order = "".join(letter for letter in order if not ones.get(letter))
    if order not in _JOINED:
        raise Unsupported("joins dimensions of groups that stand in another order")
    is_shuffled, layout = _JOINED[order]
    made = call.op("shuffle", [plain], plain.shape, groups=groups) if is_shuffled else plain
    return replace(made, pending=layout)


def transpose(call: Call) -> Feature:
    """Channels last for a layer norm, and first again;
    or channels of different groups beside each other.
    """
    axes = call.attrs.get("perm")
    if call.is_pending(PIXELS):
        x = call.feature(pending=PIXELS)
        return replace(x, pending=permute(x.pending, axes))
    if call.is_pending(GROUPED):
        x = call.feature(pending=GROUPED)
        _, groups, order = x.pending
        if not isinstance(axes, tuple) or sorted(axes) != list(range(len(order))):
            raise Unsupported(f"moves the dimensions of groups of channels to {reprlib.repr(axes)}")
        return replace(x, pending=(GROUPED, groups, "".join(order[axis] for axis in axes)))
    x = call.feature(dims=4, pending="permuted")
    if axes != (TO_FIRST if x.pending else TO_LAST):
        raise Unsupported(f"moves the dimensions of its input to {reprlib.repr(axes)}")
    return replace(x, pending=PLAIN if x.pending else LAST)
