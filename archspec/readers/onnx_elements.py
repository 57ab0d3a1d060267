"""Operators of an ONNX that work element by element: activations, sums, products, norms and what stands for them.

A norm may be written as a scale and a shift of each channel, in any number of steps; a bias may be added behind
the convolution; an activation may be written out (`onnx_patterns`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from math import inf
from types import MappingProxyType
from typing import Any

from archspec.graph.ir import Op
from archspec.readers.mindir_values import UNKNOWN, Feature, Strange
from archspec.readers.onnx_patterns import recognised
from archspec.readers.onnx_shapes import GROUPED
from archspec.readers.onnx_values import Call, Tensor, decimal
from archspec.readers.weights import computed

NORMS = frozenset({"batch_norm", "layer_norm", "group_norm"})
UNBOUNDED = 1e30
BARE = "bare"
"""Suffix of the bias that is added to a convolution in a node of its own."""


def activation(kind: str, call: Call, **attrs: Any) -> Feature:
    """Return the same shape, each value by itself."""
    x = call.feature(pending="permuted")
    if x.op in call.found.implied and kind in ("relu", "relu6"):
        x = replace(x, op=call.found.ops[x.op].inputs[0])  # what clips below zero once more
    return replace(call.op(kind, [x], x.shape, **attrs), pending=x.pending)


def leaky_relu(call: Call) -> Feature:
    """Return the same shape."""
    return activation("leaky_relu", call, slope=decimal(call.attrs.get("alpha", 0.01)))


def prelu(call: Call) -> Feature:
    """Return the same shape; the slope that it starts from is not in a file."""
    x, slope = call.feature(), call.inputs[1]
    if not isinstance(slope, Tensor) or not _is_per_channel(x, slope):
        raise Strange("has not one slope for each channel")
    return call.op("prelu", [x], x.shape, weights=[slope], channels=x.shape[1], slope=None)


def hard_sigmoid(call: Call) -> Feature:
    """Return relu6(x + 3) / 6, the one that is known."""
    alpha, beta = call.attrs.get("alpha", 0.2), call.attrs.get("beta", 0.5)
    if abs(alpha - 1 / 6) > 1e-4 or beta != 0.5:
        raise Strange(
            f"has the slope {decimal(alpha)} and the value {decimal(beta)} at 0; only 1/6 and 1/2 are known"
        )
    return activation("hard_sigmoid", call)


def gelu(call: Call) -> Feature:
    """Return the same shape."""
    how = call.attrs.get("approximate", "none")
    return activation("gelu", call, **({} if how == "none" else {"approximate": how}))


def probabilities(call: Call) -> Feature:
    """Return what a file makes of its logits at its end, which nothing may read."""
    x, usual = call.feature(), -1 if call.opset >= 13 else 1
    axis, dims = call.attrs.get("axis", usual), len(x.shape)
    flattens = call.opset < 13 and dims > 2
    if axis not in (1, 1 - dims) or flattens:
        raise Strange("is not taken over the channels of each pixel")
    return replace(x, pending=(call.kind,))


def clip(call: Call) -> Feature:
    """Return ReLU6 or ReLU: no other bounds are known."""
    low, high = call.option("min", 1, -inf), call.option("max", 2, inf)
    low, high = (value[0] if isinstance(value, tuple) else value for value in (low, high))
    if low == 0 and (high == 6 or high > UNBOUNDED):
        return activation("relu6" if high == 6 else "relu", call)
    raise Strange(f"clips to [{decimal(low)}, {decimal(high)}]; only [0, 6] and [0, inf) are known")


def batch_norm(call: Call) -> Feature:
    """Return the same shape; training mode is a fault."""
    x = call.feature()
    weights = [call.weight(index, 1) for index in (1, 2, 3, 4)]
    if any(weight.dims != (x.shape[1],) for weight in weights):
        raise Strange(f"is made for {weights[0].dims[0]} channels, reads {x.shape[1]}")
    eps = decimal(call.attrs.get("epsilon", 1e-5))
    made = call.op("batch_norm", [x], x.shape, weights=weights, channels=x.shape[1], eps=eps)
    call.found.varies(made.op, weights[3])
    if call.attrs.get("training_mode") or call.outputs > 1:
        call.found.faults[made.op] = f"{call.kind} was exported in training mode"
    return made


def layer_norm(call: Call) -> Feature:
    """Return the same shape, channels last: each pixel by itself."""
    x = call.feature(pending="permuted")
    if (
        not x.pending
        or call.attrs.get("axis", -1) not in (-1, 3)
        or call.weight(1, 1).dims != (x.shape[1],)
    ):
        raise Strange("does not norm the channels of each pixel")
    eps = decimal(call.attrs.get("epsilon", 1e-5))
    made = call.op(
        "layer_norm", [x], x.shape, weights=_scale_and_shift(call), channels=x.shape[1], eps=eps
    )
    return replace(made, pending=x.pending)


def group_norm(call: Call) -> Feature:
    """Return the same shape."""
    x, groups = call.feature(), call.attrs["num_groups"]
    if call.weight(1, 1).dims != (x.shape[1],) or x.shape[1] % groups:
        raise Strange(
            f"has {groups} groups and {call.weight(1, 1).dims[0]} scales for {x.shape[1]} channels"
        )
    attrs = {
        "channels": x.shape[1],
        "groups": groups,
        "eps": decimal(call.attrs.get("epsilon", 1e-5)),
    }
    return call.op("group_norm", [x], x.shape, weights=_scale_and_shift(call), **attrs)


def _scale_and_shift(call: Call) -> list[Tensor]:
    """A norm's weights, of which the second may be left out."""
    return [call.weight(index, 1) for index in (1, 2) if index == 1 or call.has(index)]


def instance_norm(call: Call) -> Feature:
    """The part of a group norm that norms each group as if it were a channel."""
    x = call.feature(pending=GROUPED)
    if not x.pending or call.weight(1, 1).dims != (x.pending[1],) or not _are_trivial(call):
        raise Strange(UNKNOWN)
    return replace(
        x, pending=("group norm", x.pending[1], decimal(call.attrs.get("epsilon", 1e-5)))
    )


def _are_trivial(call: Call) -> bool:
    scale, shift = call.weight(1, 1).values, call.weight(2, 1).values
    return (
        scale is not None and shift is not None and bool((scale == 1).all() and (shift == 0).all())
    )


def binary(call: Call) -> Feature:
    """A sum, difference, product, quotient or power of two values, one of which may be a constant."""
    constants = [value for value in call.inputs if isinstance(value, Tensor)]
    if not constants:
        return _of_features(call)
    x = call.feature(0 if call.inputs[1] is constants[0] else 1, pending="permuted")
    if (number := constants[0].number) is not None:
        return _with_number(call, x, float(number))
    if not _is_per_channel(x, constants[0]) or (
        call.kind in ("Sub", "Div") and call.inputs[0] is constants[0]
    ):
        raise Strange(UNKNOWN)
    return replace(
        _BY_CHANNEL[call.kind](call, replace(x, pending=()), constants[0]), pending=x.pending
    )


def _of_features(call: Call) -> Feature:
    parts = [call.feature(index, pending="permuted") for index in range(len(call.inputs))]
    shapes, pending = [part.shape for part in parts], parts[0].pending
    if any(part.pending != pending for part in parts) or (call.kind == "Pow" or len(parts) < 2):
        raise Strange(UNKNOWN)
    if call.kind in ("Add", "Sum"):
        if len(set(shapes)) > 1:
            raise Strange(f"adds features of different shape: {shapes[0]} and {shapes[1]}")
        return replace(_emit(call, "add", parts, shapes[0], whole=True), pending=pending)
    if call.kind == "Mul":
        parts = sorted(parts, key=lambda part: part.shape[2:] == (1, 1))
        first, second = (part.shape for part in parts)
        if second not in (first, (*first[:2], *(1 for _ in first[2:]))):
            raise Strange(f"multiplies {first} by {second}")
        return replace(_emit(call, "multiply", parts, first, whole=True), pending=pending)
    return replace(
        _emit(call, {"Sub": "subtract", "Div": "divide"}[call.kind], parts, shapes[0]),
        pending=pending,
    )


# Number, and whether the feature comes first, to a kind and the number that is added, multiplied or the exponent.
_NUMBERS: Mapping[tuple[str, bool], Callable[[float], tuple[str, float]]] = {
    **dict.fromkeys((("Add", True), ("Add", False), ("Sum", True)), lambda c: ("plus", c)),
    ("Sub", True): lambda c: ("plus", -c),
    **dict.fromkeys((("Mul", True), ("Mul", False)), lambda c: ("times", c)),
    ("Div", True): lambda c: ("times", 1 / c),
    ("Pow", True): lambda c: ("power", c),
}
_NEUTRAL = {("plus", 0.0), ("times", 1.0), ("power", 1.0)}


def _with_number(call: Call, x: Feature, number: float) -> Feature:
    rule = _NUMBERS.get((call.kind, isinstance(call.inputs[0], Feature)))
    if rule is None:
        raise Strange(UNKNOWN)
    kind, value = rule(number)
    if (kind, value) in _NEUTRAL:
        return x
    return replace(_emit(call, kind, [x], x.shape, value=value), pending=x.pending)


def extreme(call: Call) -> Feature:
    """max(x, 0), which is a ReLU."""
    bounds = [value.number for value in call.inputs if isinstance(value, Tensor)]
    if len(call.inputs) != 2 or bounds != [0]:
        raise Strange(UNKNOWN)
    position = 0 if isinstance(call.inputs[0], Feature) else 1
    return activation("relu", replace(call, inputs=(call.inputs[position],)))


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
    known = recognised(call.found.ops, made.op)
    if known is None:
        return made
    what, bound = known
    x = replace(call.known(bound.pop("x")), doubtful=made.doubtful)
    if what == "layer_norm":
        bound = {"channels": shape[1], "eps": decimal(bound["eps"])}
    return call.op(what, [x], shape, **bound)


def _is_per_channel(x: Feature, weight: Tensor) -> bool:
    """One value for each channel of (N, C, H, W), (N, H, W, C) or (N, C)."""
    behind = 0 if x.pending else len(x.shape) - 2
    before = 1 + (len(x.shape) - 2 if x.pending else 0)
    dims = (1,) * (before + 1 + behind - len(weight.dims)) + weight.dims
    return dims == (1,) * before + (x.shape[1],) + (1,) * behind


def shift(call: Call, x: Feature, weight: Tensor) -> Feature:
    """Add a value to each channel: a bias, or a part of a norm."""
    op = call.found.ops[x.op]
    if op.kind in NORMS:
        call.found.copy(op.name, op.name, weight)
        return x
    if op.kind == "scale":
        made = _affine(call, call.known(op.inputs[0]), weight)
        call.found.copy(op.name, made.op, weight)
        return made
    if op.kind in ("conv", "conv_transpose", "dense") and not op.attrs.get(
        "bias", op.kind == "dense"
    ):
        name = call.found.free(f"{op.name}+{BARE}")
        attrs = {**op.attrs, "bias": True}
        call.found.add(Op(name, op.kind, op.inputs, MappingProxyType(attrs)))
        call.found.copy(op.name, name, weight)
        call.shapes[name] = x.shape
        return Feature(name, x.shape, doubtful=x.doubtful)
    return _part_of_norm(call, "shift", x, weight)


def scale(call: Call, x: Feature, weight: Tensor) -> Feature:
    """Multiply each channel by a value: a part of a norm."""
    op = call.found.ops[x.op]
    if call.kind == "Div":
        weight = replace(
            weight, values=None, source=computed("Reciprocal", weight.dims, weight.place)
        )
    if op.kind in NORMS or op.kind == "scale":
        call.found.rescale(op.name, weight)
        return x
    if op.kind == "shift":
        return _affine(call, call.known(op.inputs[0]), weight)
    bare = op.name.rpartition(f"+{BARE}")[0]
    if bare in call.found.ops:
        return _affine(call, call.known(bare), weight)
    return _part_of_norm(call, "scale", x, weight)


def _part_of_norm(call: Call, kind: str, x: Feature, weight: Tensor) -> Feature:
    made = call.part(kind, [x], x.shape, weights=[weight])
    other = "shift" if kind == "scale" else "scale"
    call.found.faults[made.op] = (
        f"{call.kind} is the {kind} of each channel without a {other} beside it"
    )
    return made


def _affine(call: Call, x: Feature, weight: Tensor) -> Feature:
    """A batch norm written out: its eps is part of the scale."""
    return call.op("batch_norm", [x], x.shape, weights=[weight], channels=x.shape[1], eps=None)


_BY_CHANNEL: Mapping[str, Callable[[Call, Feature, Tensor], Feature]] = {
    **dict.fromkeys(("Add", "Sub", "Sum"), shift),
    **dict.fromkeys(("Mul", "Div"), scale),
}

ELEMENTS: Mapping[str, Callable[[Call], Feature]] = {
    "Relu": partial(activation, "relu"),
    "Sigmoid": partial(activation, "sigmoid"),
    "HardSwish": partial(activation, "hard_swish"),
    "HardSigmoid": hard_sigmoid,
    "LeakyRelu": leaky_relu,
    "PRelu": prelu,
    **dict.fromkeys(("Gelu", "com.microsoft::Gelu"), gelu),
    "Clip": clip,
    "Max": extreme,
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Pow", "Sum"), binary),
    "Erf": partial(part, "erf"),
    "Tanh": partial(part, "tanh"),
    "Sqrt": partial(part, "sqrt"),
    **dict.fromkeys(("Softmax", "LogSoftmax"), probabilities),
    "BatchNormalization": batch_norm,
    "LayerNormalization": layer_norm,
    "GroupNormalization": group_norm,
    "InstanceNormalization": instance_norm,
}
