"""Sums, products and the like in a MINDIR, of which MindSpore makes activations and norms.

MindSpore writes some of them in several primitives; `fusion` knows which operator they come to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from archspec.graph.ir import Op
from archspec.operators.file_node import CHANNEL_SCALE, CHANNEL_SHIFT
from archspec.operators.table import NORMS, OPERATORS, REMAINS, attribute
from archspec.readers.fusion import Whole, order_reads, recognise, recognise_multiple
from archspec.readers.pixel_orders import PIXELS, permute
from archspec.readers.tensors import OperatorWeights, Tensor, transpose_later
from archspec.readers.trace import UNKNOWN, Call, Feature, Unsupported
from archspec.stored_numbers import decimal

TO_LAST, TO_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)
_NO_BIAS = "is added to something else than a convolution or a dense layer without bias"

# With a number on the right, MindSpore may write `Muls` for `Mul`.
SIGNS: Mapping[str, str] = {
    f"{sign}{end}": sign for sign in ("Add", "Sub", "Mul", "Div") for end in ("", "s")
}


def larger(call: Call) -> Feature:
    """Return the larger one of x and a number."""
    if not _numbers(call):
        raise Unsupported(UNKNOWN)
    return _add_bound("at_least", call)


def smaller(call: Call) -> Feature:
    """The smaller one of x and a number."""
    if not _numbers(call):
        raise Unsupported(UNKNOWN)
    return _add_bound("at_most", call)


def _add_bound(kind: str, call: Call) -> Feature:
    x = call.feature(0 if isinstance(call.inputs[0], Feature) else 1)
    made = call.part(kind, [x], x.shape, value=decimal(float(_numbers(call)[0])))
    return _complete(call, made)


def _numbers(call: Call) -> list[int | float]:
    return [value for value in call.inputs if type(value) in (int, float)]


def above(call: Call) -> Feature:
    """Where x is above a number."""
    x, numbers = call.feature(), _numbers(call)
    if not numbers:
        raise Unsupported(UNKNOWN)
    return call.part("greater", [x], x.shape, value=decimal(float(numbers[0])))


def choose(call: Call) -> Feature:
    """One value where a condition holds, elsewhere another."""
    parts = [call.feature(index) for index in range(3)]
    if any(part.shape != parts[0].shape for part in parts):
        raise Unsupported(UNKNOWN)
    return _complete(call, call.part("select", parts, parts[0].shape))


def probabilities(call: Call) -> Feature:
    """Return what a file makes of its logits at its end, which nothing may read."""
    x, axis = call.feature(), call.option("axis", 1, -1)
    axes = axis if isinstance(axis, tuple) else (axis,)
    if axes not in ((1,), (1 - len(x.shape),)):
        raise Unsupported("is not taken over the channels of each pixel")
    return replace(x, pending=(call.kind,))


def part(kind: str, call: Call) -> Feature:
    """A function that dense networks have only as a part of another."""
    x = call.feature()
    return _complete(call, call.part(kind, [x], x.shape))


def power(call: Call) -> Feature:
    """A power of x, whose exponent is a number."""
    x, exponent = call.feature(), call.inputs[1]
    if type(exponent) not in (int, float):
        raise Unsupported(UNKNOWN)
    return _complete(call, call.part("power", [x], x.shape, value=decimal(float(exponent))))


def arithmetic(call: Call) -> Feature:
    """A sum, difference, product or quotient of two features, or of one and a number; or a bias."""
    sign = SIGNS.get(call.kind, "")
    has_weight = any(isinstance(value, Tensor) for value in call.inputs)
    if sign == "Add" and has_weight:
        return shift(call)
    if sign == "Mul" and has_weight:
        return scale(call)
    numbers = _numbers(call)
    if len(numbers) == 1:
        return _with_number(call, float(numbers[0]))
    first, second = call.feature(0), call.feature(1)
    if sign == "Mul":
        return _complete(call, _product(call, first, second))
    if sign in _OF_TWO and first.shape == second.shape:
        return _complete(call, call.part(_OF_TWO[sign], [first, second], first.shape))
    if sign != "Add":
        raise Unsupported(UNKNOWN)
    if first.shape != second.shape:
        raise Unsupported(f"adds features of different shape: {first.shape} and {second.shape}")
    return _complete(call, call.op("add", [first, second], first.shape))


_OF_TWO: Mapping[str, str] = {"Sub": "subtract", "Div": "divide"}
"""Signs that are parts of operators alone."""


def _product(call: Call, first: Feature, second: Feature) -> Feature:
    """The second scales the first: it has the same shape, or one pixel."""
    if first.shape[2:] == (1, 1):
        first, second = second, first
    if second.shape not in (first.shape, (*first.shape[:2], *(1 for _ in first.shape[2:]))):
        raise Unsupported(f"multiplies {first.shape} by {second.shape}")
    return call.op("multiply", [first, second], first.shape)


def _with_number(call: Call, number: float) -> Feature:
    first = isinstance(call.inputs[0], Feature)
    x = call.feature(0 if first else 1)
    sign = SIGNS.get(call.kind, "")
    if sign == "Sub" and not first:
        return call.part("from", [x], x.shape, value=decimal(number))
    if not sign or (sign == "Div" and (number == 0 or not first)):
        raise Unsupported(UNKNOWN)
    kind, idle = ("plus", 0) if sign in ("Add", "Sub") else ("times", 1)
    if sign == "Sub":
        number = -number
    if sign == "Div":
        number = 1 / number
    if number == idle:
        return x
    return _complete(call, call.part(kind, [x], x.shape, value=decimal(number)))


def square(call: Call) -> Feature:
    """A value times itself."""
    x = call.feature()
    return call.op("multiply", [x, x], x.shape)


def inverse_root(call: Call) -> Feature:
    """One divided by the root, a part of a norm."""
    x = call.feature()
    return call.part("reciprocal", [call.part("sqrt", [x], x.shape)], x.shape)


def _complete(call: Call, made: Feature) -> Feature:
    """Return what a value is the last part of, or its multiple; else the value itself."""
    known = recognise(call.trace, made.op)
    if known is not None:
        return _put_together(call, made, known)
    multiple = recognise_multiple(call.trace, made.op)
    if multiple is None:
        return made
    known, factor = multiple
    whole = _put_together(call, made, known)
    return call.part("times", [whole], made.shape, value=decimal(factor))


def _put_together(call: Call, made: Feature, found: Whole) -> Feature:
    """The operator that several nodes come to: one for its value and all its multiples."""
    key = (found.kind, found.reads, *sorted(found.attrs.items()))
    known = call.trace.wholes.get(key)
    if known is not None:
        return replace(made, op=known)
    reads = order_reads(found, {name: call.known(name) for name in found.reads})
    attrs = {"channels": made.shape[1]} if found.kind in NORMS else {}
    whole = call.op(found.kind, reads, made.shape, **attrs, **found.attrs)
    call.trace.wholes[key] = whole.op
    call.trace.written[whole.op] = made.op
    return replace(whole, doubtful=made.doubtful)


def scale(call: Call) -> Feature:
    """Each channel times a weight of its own:
    the scale of a norm that has none yet, else one by itself.
    """
    x, weight = _feature_and_weight(call)
    if not _is_of_each_channel(weight, x):
        raise Unsupported(f"multiplies {x.shape} by weights of shape {weight.dims}")
    before = call.trace.ops[x.op]
    if before.kind in NORMS and before.name not in call.trace.weights:
        source = replace(x, op=before.inputs[0])
        return call.op(before.kind, [source], x.shape, weights=[weight], **before.attrs)
    return call.part(CHANNEL_SCALE, [x], x.shape, weights=[weight], channels=x.shape[1])


def shift(call: Call) -> Feature:
    """Each channel and a weight of its own: a bias, the shift of a norm that has none yet, else a
    shift by itself, if there is a row of one.
    """
    x, weight = _feature_and_weight(call)
    is_part = _lacks_bias(call, x) or _lacks_shift(call, x)
    is_known = CHANNEL_SHIFT in REMAINS or is_part
    if not is_known or not _is_of_each_channel(weight, x):
        raise Unsupported(_NO_BIAS)
    if is_part:
        return _with_bias(call, x, weight)
    return call.part(CHANNEL_SHIFT, [x], x.shape, weights=[weight], channels=x.shape[1])


def bias(call: Call) -> Feature:
    """A bias is part of the convolution or dense layer that it is added to."""
    x, added = call.feature(), call.weight(1, 1)
    if not _lacks_bias(call, x) or added.dims[0] != x.shape[1]:
        raise Unsupported(_NO_BIAS)
    return _with_bias(call, x, added)


def _feature_and_weight(call: Call) -> tuple[Feature, Tensor]:
    """What a node reads, in either order."""
    is_last = isinstance(call.inputs[1], Tensor)
    x, dims = call.feature(0 if is_last else 1), len(call.inputs[int(is_last)].dims)
    return x, call.weight(int(is_last), dims)


def _is_of_each_channel(weight: Tensor, x: Feature) -> bool:
    """A vector by itself would run along the width of a map."""
    return weight.dims == (x.shape[1], *(1 for _ in x.shape[2:]))


def _lacks_bias(call: Call, x: Feature) -> bool:
    op = call.trace.ops[x.op]
    row = OPERATORS.get(op.kind)  # None of a part of an operator
    return row is not None and row.has_filters and not attribute(op.kind, op.attrs, "bias")


def _lacks_shift(call: Call, x: Feature) -> bool:
    """A norm that is written out, of which the scale alone is known: its row says what follows."""
    op = call.trace.ops[x.op]
    known = call.trace.weights.get(op.name, OperatorWeights())
    if op.kind not in NORMS or not known.scales or known.others:
        return False
    return "beta" in OPERATORS[op.kind].tensors(op.attrs)


def _with_bias(call: Call, x: Feature, added: Tensor) -> Feature:
    """The operator that gives x once more, with what is added as its bias, or a norm's shift."""
    op = call.trace.ops[x.op]
    name = call.trace.free(f"{op.name}+bias")
    attrs = {key: value for key, value in op.attrs.items() if key != "bias"}
    attrs |= call.trace.shares(name, [added])
    if OPERATORS[op.kind].defaults.get("bias") is False:
        attrs["bias"] = True
    call.trace.add(Op(name, op.kind, op.inputs, MappingProxyType(attrs)), x.shape)
    call.trace.copy(op.name, name, added)
    return Feature(name, x.shape, doubtful=x.doubtful)


def transpose(call: Call) -> Any:
    """A weight the other way round; or channels last for a layer norm, and first again."""
    axes = tuple(call.inputs[1])
    if isinstance(call.inputs[0], Tensor):
        weight = call.weight(0, 2)
        if axes != (1, 0):
            raise Unsupported("moves the dimensions of its input")
        return replace(
            weight, dims=weight.dims[::-1], source=transpose_later(weight.source, weight.dims)
        )
    if call.is_pending(PIXELS):
        x = call.feature(pending=PIXELS)
        return replace(x, pending=permute(x.pending, axes))
    last = call.is_pending("channels last")
    x = call.feature(dims=4, pending="channels last" if last else "")
    if axes != (TO_FIRST if last else TO_LAST):
        raise Unsupported("moves the dimensions of its input")
    return replace(x, pending=() if last else ("channels last",))
