"""The table of primitives:
what each operator of MindSpore is in the IR, or does to values that are known.

The rows say which primitive is which operator. What stands here is the format's own: `PLUMBING`
carries values about, the others are parts of operators, order dimensions, or compute sizes. What
is in none of them is refused.
"""

from __future__ import annotations

import operator
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np

from archspec.graph.ir import Op
from archspec.operators.shape_rules import without_pixels
from archspec.operators.table import GLOBAL_POOLS, OPERATORS
from archspec.readers.mindir import elementwise as elements
from archspec.readers.mindir import slices, windows
from archspec.readers.mindir.call import Closure
from archspec.readers.mindir.decode import Constant
from archspec.readers.pixel_orders import PIXELS, join_squares, split_squares
from archspec.readers.readings import collect_readings
from archspec.readers.tensors import Tensor
from archspec.readers.trace import UNKNOWN, Call, Feature, Unsupported, flatten_tuples
from archspec.readers.window_arithmetic import count_padded


def _other_mean(call: Call) -> Feature:
    """Return the mean of the channels of each pixel, a part of a norm."""
    x, axes = call.feature(), call.option("axis", 1)
    if axes == (1,) and call.option("keep_dims", 2, False):
        # Its shape stands for that of its readers.
        return call.part("mean", [x], x.shape)
    call.feature(dims=4)
    raise Unsupported(f"averages over the axes {reprlib.repr(axes)}; only (2, 3) is known")


def _other_maximum(call: Call) -> Feature:
    call.feature(dims=4)
    axes = reprlib.repr(call.option("axis", 1))
    raise Unsupported(f"takes the maximum over the axes {axes}; only (2, 3) is known")


def _without_pixel(call: Call, x: Feature) -> Feature:
    """A vector of the one pixel that there is, (N, C), by the pool before it or one more."""
    op = call.trace.ops[x.op]
    if op.kind not in GLOBAL_POOLS:
        return call.op("global_avg_pool", [x], x.shape[:2])
    name = call.trace.free(op.name)
    attrs = MappingProxyType(without_pixels(op.attrs))
    call.trace.add(Op(name, op.kind, op.inputs, attrs), x.shape[:2])
    return replace(x, op=name, shape=x.shape[:2])


def _expand(call: Call) -> Feature:
    x = call.feature(dims=4)
    if call.option("axis", 1) not in (2, -3):
        raise Unsupported("adds another dimension than the third")
    return replace(x, shape=(*x.shape[:2], 1, *x.shape[2:]))


def _squeeze(call: Call) -> Feature:
    x, given = call.feature(), call.option("axis", 1)
    axes = {axis % len(x.shape) for axis in flatten_tuples([given])}
    if any(x.shape[axis] != 1 for axis in axes):
        raise Unsupported(f"takes away dimensions {sorted(axes)} of {x.shape}, which are not 1")
    shape = tuple(size for axis, size in enumerate(x.shape) if axis not in axes)
    return _without_pixel(call, x) if len(shape) == 2 else replace(x, shape=shape)


def _for_each_channel(call: Call) -> Tensor:
    """A vector as (C, 1, 1) or (1, C, 1, 1), which meets feature maps."""
    weight, target = call.weight(0, 1), call.inputs[1]
    (size,) = weight.dims
    if target not in [(*before, count, 1, 1) for before in ((), (1,)) for count in (-1, size)]:
        raise Unsupported(f"makes {reprlib.repr(target)} of {weight.dims}")
    return replace(weight, dims=(size, 1, 1))


def _reshape(call: Call) -> Feature | Tensor:
    """A reshape is followed where it changes nothing,
    or takes away a slice or pixels where there is one.
    """
    if isinstance(call.inputs[0], Tensor):
        return _for_each_channel(call)
    x = _of_squares(call) if call.is_pending(PIXELS) else call.feature()
    target = call.inputs[1] if call.kind == "Reshape" else (x.shape[0], -1)
    flat = x.shape[:2] if all(size == 1 for size in x.shape[2:]) else x.shape
    one_slice = (*x.shape[:2], *x.shape[3:]) if len(x.shape) == 5 and x.shape[2] == 1 else x.shape
    for shape in (x.shape, one_slice, flat):
        fits = (size in (-1, own) for size, own in zip(target, shape, strict=False))
        if len(target) == len(shape) and target.count(-1) <= 1 and all(fits):
            return (
                _without_pixel(call, x)
                if len(shape) < len(x.shape) == 4
                else replace(x, shape=shape)
            )
    squares = split_squares(x.shape, target)
    if squares:
        return replace(x, pending=squares)
    raise Unsupported(f"makes {reprlib.repr(target)} of {x.shape}")


def _of_squares(call: Call) -> Feature:
    """A map again, by a pixel shuffle or what undoes one."""
    x = call.feature(pending=PIXELS)
    kind, factor, shape = join_squares(x.pending, x.shape)
    plain = replace(x, pending=())
    return call.op(kind, [plain], shape, factor=factor) if kind else plain


def _item(call: Call) -> Any:
    values, index = call.inputs
    return values[index]


def _shape(call: Call) -> tuple[Any, ...]:
    value = call.inputs[0]
    if isinstance(value, Tensor):
        return value.dims
    for padding in windows.PADDINGS.values():
        if call.is_pending(padding):
            x = call.feature(pending=padding)
            return (*x.shape[:2], *count_padded(x))
    return call.feature().shape


def _numbers(call: Call) -> tuple[float, ...]:
    value = call.inputs[0]
    if isinstance(value, tuple):
        return value
    if isinstance(value, Constant) and value.values.ndim == 1:
        return tuple(value.values.tolist())
    raise Unsupported("makes sizes of a tensor that is not known")


def _arithmetic(call: Call) -> Any:
    """Of features, or of the sizes that a resize computes."""
    if any(isinstance(value, Feature) for value in call.inputs) or call.kind not in _OF_SIZES:
        return elements.arithmetic(call)
    values = [*map(_read_sizes, call.inputs)]
    return Constant(_OF_SIZES[call.kind](*values))


def _read_sizes(value: Any) -> Any:
    """Sizes as an array."""
    sizes = value.values if isinstance(value, Constant) else np.array(value)
    if sizes.ndim > 1 or sizes.size > MAX_SIZES or sizes.dtype.kind not in "fi":
        raise Unsupported(UNKNOWN)
    return sizes


MAX_SIZES = 8
_OF_SIZES: Mapping[str, Callable[[Any, Any], Any]] = {
    "Mul": np.multiply,
    "TruncateDiv": lambda a, b: np.trunc(a / b),
}


def _switch(call: Call) -> Any:
    if type(call.inputs[0]) not in (bool, int):
        raise Unsupported("chooses by a value that the shapes alone do not tell")
    return call.inputs[1 if call.inputs[0] else 2]


def _closure(function: Any, *bound: Any) -> Any:
    return (
        Closure(function.function, (*function.bound, *bound))
        if isinstance(function, Closure)
        else None
    )


def _scalar(compute: Callable[..., Any], call: Call) -> Any:
    """Arithmetic on ranks and sizes; MindSpore's scalars have the same meaning as Python's."""
    flat = flatten_tuples(call.inputs)
    if any(part is not None and not isinstance(part, (bool, int, float, str)) for part in flat):
        raise Unsupported(UNKNOWN)
    return compute(*call.inputs)


# What carries values about and computes nothing. Effects (UpdateState and monads) are None.
PLUMBING: Mapping[str, Callable[..., Any]] = {
    **dict.fromkeys(
        ("Load", "Depend", "Cast", "Identity", "identity", "StopGradient", "TupleToTensor"),
        lambda x, *_: x,
    ),
    "UpdateState": lambda *_: None,
    **dict.fromkeys(("MakeTuple", "MakeList", "make_list"), lambda *values: values),
    "Partial": _closure,
}

_OWN: Mapping[str, Callable[[Call], Any]] = {
    **dict.fromkeys(("Softmax", "LogSoftmax"), elements.probabilities),
    "Maximum": elements.larger,
    "Minimum": elements.smaller,
    "Greater": elements.above,
    "Select": elements.choose,
    "Pad": windows.pad,
    "PadV3": windows.pad,
    "StridedSlice": slices.read_strided_slice,
    "Slice": slices.read_slice,
    "Split": slices.split,
    "ReduceMean": _other_mean,
    "ReduceMax": _other_maximum,
    "Square": elements.square,
    "Pow": elements.power,
    "Sqrt": partial(elements.part, "sqrt"),
    "Rsqrt": elements.inverse_root,
    "ExpandDims": _expand,
    "Squeeze": _squeeze,
    **dict.fromkeys(("Reshape", "Flatten"), _reshape),
    "BiasAdd": elements.bias,
    **dict.fromkeys((*elements.SIGNS, "TruncateDiv"), _arithmetic),
    "Erf": partial(elements.part, "erf"),
    "Transpose": elements.transpose,
    **dict.fromkeys(("TupleGetItem", "ListGetItem", "tuple_getitem"), _item),
    "Shape": _shape,
    "Rank": lambda call: len(call.feature().shape),
    "Switch": _switch,
    "TensorToTuple": _numbers,
    "sequence_len": partial(_scalar, len),
    "ScalarEq": partial(_scalar, operator.eq),
    "ScalarLt": partial(_scalar, operator.lt),
    "ScalarLe": partial(_scalar, operator.le),
    "ScalarGt": partial(_scalar, operator.gt),
    "ScalarGe": partial(_scalar, operator.ge),
    "ScalarMod": partial(_scalar, operator.mod),
    "is_": partial(_scalar, operator.is_),
    "ScalarUsub": partial(_scalar, operator.neg),
    "BoolNot": partial(_scalar, operator.not_),
    "InSequence": partial(_scalar, lambda value, values: value in values),
    "SequenceAdd": partial(_scalar, lambda values, more: (*values, *more)),
    "SequenceSlice": partial(_scalar, lambda values, start, stop, step: values[start:stop:step]),
}
PRIMITIVES = collect_readings((row.mindir for row in OPERATORS.values()), _OWN)
