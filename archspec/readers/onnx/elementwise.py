"""Sums, products and the like in an ONNX, of which files make activations and scales_and_shifts.

An activation may be written out (`fusion`); what is added to each channel or multiplied with it is
a bias or a part of a norm (`scales_and_shifts`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from archspec.operators.table import NORMS
from archspec.readers.fusion import order_reads, recognise
from archspec.readers.onnx.call import Call
from archspec.readers.onnx.scales_and_shifts import BY_CHANNEL, part_of_group_norm
from archspec.readers.tensors import Tensor
from archspec.readers.trace import (
    UNKNOWN,
    Feature,
    Unsupported,
)
from archspec.stored_numbers import decimal


def probabilities(call: Call) -> Feature:
    """Return what a file makes of its logits at its end, which nothing may read."""
    x, usual = call.feature(), -1 if call.opset >= 13 else 1
    axis, dims = call.attrs.get("axis", usual), len(x.shape)
    flattens = call.opset < 13 and dims > 2
    if axis not in (1, 1 - dims) or flattens:
        raise Unsupported("is not taken over the channels of each pixel")
    return replace(x, pending=(call.kind,))


def binary(call: Call) -> Feature:
    """A sum, difference, product, quotient or power of two values,
    one of which may be a constant.
    """
    constants = [value for value in call.inputs if isinstance(value, Tensor)]
    if not constants:
        return _of_features(call)
    x = call.feature(0 if call.inputs[1] is constants[0] else 1, pending="permuted")
    number = constants[0].number
    if number is not None and not _is_for_one_channel(x, constants[0]):
        return _with_number(call, x, float(number))
    is_reversed = call.kind in ("Sub", "Div") and call.inputs[0] is constants[0]
    write = BY_CHANNEL.get(call.kind)
    if write is None or is_reversed or not is_per_channel(x, constants[0]):
        raise Unsupported(UNKNOWN)
    return call.like(x, write(call, replace(x, pending=()), constants[0]))


def _of_features(call: Call) -> Feature:
    parts = [call.feature(index, pending="permuted") for index in range(len(call.inputs))]
    shapes, pending = [part.shape for part in parts], parts[0].pending
    is_known = call.kind not in ("Pow", "Greater") and len(parts) > 1
    if any(part.pending != pending for part in parts) or not is_known:
        raise Unsupported(UNKNOWN)
    if call.kind in ("Add", "Sum"):
        if len(set(shapes)) > 1:
            raise Unsupported(f"adds features of different shape: {shapes[0]} and {shapes[1]}")
        return replace(_emit(call, "add", parts, shapes[0], whole=True), pending=pending)
    if call.kind == "Mul":
        parts = sorted(parts, key=lambda part: part.shape[2:] == (1, 1))
        first, second = (part.shape for part in parts)
        if second not in (first, (*first[:2], *(1 for _ in first[2:]))):
            raise Unsupported(f"multiplies {first} by {second}")
        return replace(_emit(call, "multiply", parts, first, whole=True), pending=pending)
    return replace(
        _emit(call, {"Sub": "subtract", "Div": "divide"}[call.kind], parts, shapes[0]),
        pending=pending,
    )


# Number, and whether the feature comes first, to a kind and the number that is added, multiplied or
# the exponent.
_NUMBERS: Mapping[tuple[str, bool], Callable[[float], tuple[str, float]]] = {
    **dict.fromkeys((("Add", True), ("Add", False), ("Sum", True)), lambda c: ("plus", c)),
    ("Sub", True): lambda c: ("plus", -c),
    ("Sub", False): lambda c: ("from", c),
    **dict.fromkeys((("Mul", True), ("Mul", False)), lambda c: ("times", c)),
    ("Div", True): lambda c: ("times", 1 / c),
    ("Pow", True): lambda c: ("power", c),
    ("Greater", True): lambda c: ("greater", c),
}
_NEUTRAL = {("plus", 0.0), ("times", 1.0), ("power", 1.0)}


def _with_number(call: Call, x: Feature, number: float) -> Feature:
    if call.kind == "Div" and isinstance(call.inputs[1], Feature) and number == 1:
        return replace(_emit(call, "reciprocal", [x], x.shape), pending=x.pending)
    rule = _NUMBERS.get((call.kind, isinstance(call.inputs[0], Feature)))
    if rule is None:
        raise Unsupported(UNKNOWN)
    kind, value = rule(number)
    if (kind, value) in _NEUTRAL:
        return x
    return replace(_emit(call, kind, [x], x.shape, value=value), pending=x.pending)


def choose(call: Call) -> Feature:
    """One value where a condition holds, elsewhere another."""
    parts = [call.feature(index, pending="permuted") for index in range(3)]
    first = parts[0]
    if any((part.shape, part.pending) != (first.shape, first.pending) for part in parts):
        raise Unsupported(UNKNOWN)
    return replace(_emit(call, "select", parts, first.shape), pending=first.pending)


def part(kind: str, call: Call) -> Feature:
    """A function that dense networks have only as a part of another."""
    x = call.feature(pending="permuted")
    return replace(_emit(call, kind, [x], x.shape), pending=x.pending)


def _emit(
    call: Call,
    kind: str,
    inputs: list[Feature],
    shape: tuple[Any, ...],
    whole: bool = False,
    **attrs: Any,
) -> Feature:
    """Add an operator, or the one that it completes; `whole` where it is one by itself."""
    made = (
        call.op(kind, inputs, shape, **attrs) if whole else call.part(kind, inputs, shape, **attrs)
    )
    found = recognise(call.trace, made.op)
    if found is None:
        return made
    attrs = dict(found.attrs)
    if found.kind in NORMS:
        numbers = {name: decimal(value) for name, value in attrs.items()}
        attrs = {"channels": shape[1], **numbers}
    reads = order_reads(found, {name: call.known(name) for name in found.reads})
    whole_op = call.op(found.kind, reads, shape, **attrs)
    call.trace.written[whole_op.op] = made.op
    return replace(whole_op, doubtful=made.doubtful)


def is_per_channel(x: Feature, weight: Tensor) -> bool:
    """Return whether a weight has one value for each channel of (N, C, H, W), (N, H, W, C) or
    (N, C).
    """
    behind = 0 if x.pending else len(x.shape) - 2
    before = 1 + (len(x.shape) - 2 if x.pending else 0)
    dims = (1,) * (before + 1 + behind - len(weight.dims)) + weight.dims
    return dims == (1,) * before + (x.shape[1],) + (1,) * behind


def _is_for_one_channel(x: Feature, weight: Tensor) -> bool:
    """The one channel that there is, said as one: another constant is a number."""
    return len(weight.dims) >= len(x.shape) - 1 and is_per_channel(x, weight)


PARTS: Mapping[str, Callable[[Call], Feature]] = {
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Pow", "Sum", "Greater"), binary),
    "Where": choose,
    "Erf": partial(part, "erf"),
    "Sqrt": partial(part, "sqrt"),
    "Reciprocal": partial(part, "reciprocal"),
    **dict.fromkeys(("Softmax", "LogSoftmax"), probabilities),
    "InstanceNormalization": part_of_group_norm,
}
"""What files write operators out in, and what ends a file."""
