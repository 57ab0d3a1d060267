"""The table of primitives: what each operator of MindSpore is in the IR, or does to values that are known.

`PRIMITIVES` says it for operators, `PLUMBING` for what only carries values about. What is in neither is refused.
"""

from __future__ import annotations

import operator
import reprlib
import struct
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from math import isclose, sqrt
from types import MappingProxyType
from typing import Any

from archspec.graph.ir import Op
from archspec.readers import mindir_windows as windows
from archspec.readers.mindir_file import Parameter
from archspec.readers.mindir_values import UNKNOWN, Call, Closure, Feature, Strange


def _batch_norm(call: Call) -> tuple[Any, ...]:
    x, gamma = call.feature(), call.parameter(1, 1)
    weights = [gamma, *(call.parameter(index, 1) for index in (2, 3, 4))]
    if any(weight.dims != (x.shape[1],) for weight in weights):
        raise Strange(f"is made for {gamma.dims[0]} channels, reads {x.shape[1]}")
    eps = _decimal(call.option("epsilon", 6, 1e-5))
    made = call.op("batch_norm", [x], x.shape, weights=weights, channels=x.shape[1], eps=eps)
    if call.option("is_training", 5, False):
        call.found.faults[made.op] = "BatchNorm was exported in training mode"
    return (made, None, None, None, None)


def _decimal(stored: float) -> float:
    """1e-05 of 9.999999747378752e-06: the shortest decimal that a float32 stores as it is stored."""
    decimals = (float(f"{stored:.{digits}g}") for digits in range(1, 10))
    return next((d for d in decimals if struct.pack("f", d) == struct.pack("f", stored)), stored)


def _activation(kind: str, call: Call, **attrs: Any) -> Feature:
    x = call.feature()
    return call.op(kind, [x], x.shape, **attrs)


def _concat(call: Call) -> Feature:
    parts, axis = (call.inputs[0], call.option("axis", 1)) if isinstance(call.inputs[0], tuple) else (call.inputs, 1)
    if not parts or any(not isinstance(part, Feature) or part.pending for part in parts):
        raise Strange("joins something else than features")
    first = parts[0].shape
    alike = all((part.shape[0], *part.shape[2:]) == (first[0], *first[2:]) for part in parts)
    if len(first) != 4 or axis not in (1, -3) or not alike:
        raise Strange(f"joins along axis {reprlib.repr(axis)}, or feature maps of different size")
    if len(parts) == 1:
        return parts[0]  # type: ignore[no-any-return]
    return call.op("concat", parts, (first[0], sum(part.shape[1] for part in parts), *first[2:]))


def _mean(call: Call) -> Feature:
    x, axes = call.feature(dims=4), call.option("axis", 1)
    if sorted(axis % 4 for axis in axes) != [2, 3]:
        raise Strange(f"averages over the axes {reprlib.repr(axes)}; only (2, 3) is known")
    return _global_pool(call, x, bool(call.option("keep_dims", 2, False)))


def _adaptive_pool(call: Call) -> Feature:
    if windows.square(call.option("output_size", 1)) != 1:
        raise Strange("pools to more than one pixel")
    return _global_pool(call, call.feature(dims=4), True)


def _global_pool(call: Call, x: Feature, keep_dims: bool) -> Feature:
    return call.op("global_avg_pool", [x], (*x.shape[:2], *((1, 1) if keep_dims else ())))


def _expand(call: Call) -> Feature:
    x = call.feature(dims=4)
    if call.option("axis", 1) not in (2, -3):
        raise Strange("adds another dimension than the third")
    return replace(x, shape=(*x.shape[:2], 1, *x.shape[2:]))


def _squeeze(call: Call) -> Feature:
    x, axes = call.feature(), call.option("axis", 1)
    axes = {axis % len(x.shape) for axis in (axes if isinstance(axes, tuple) else (axes,))}
    if any(x.shape[axis] != 1 for axis in axes):
        raise Strange(f"takes away dimensions {sorted(axes)} of {x.shape}, which are not 1")
    return replace(x, shape=tuple(size for axis, size in enumerate(x.shape) if axis not in axes))


def _reshape(call: Call) -> Feature:
    """A reshape is followed where it changes nothing, or takes away a slice or pixels where there is one."""
    x = call.feature()
    target = call.inputs[1] if call.primitive == "Reshape" else (x.shape[0], -1)
    flat = x.shape[:2] if all(size == 1 for size in x.shape[2:]) else x.shape
    one_slice = (*x.shape[:2], *x.shape[3:]) if len(x.shape) == 5 and x.shape[2] == 1 else x.shape
    for shape in (x.shape, one_slice, flat):
        fits = (size in (-1, own) for size, own in zip(target, shape, strict=False))
        if len(target) == len(shape) and target.count(-1) <= 1 and all(fits):
            return replace(x, shape=shape)
    raise Strange(f"makes {reprlib.repr(target)} of {x.shape}")


def _matmul(call: Call) -> Feature:
    x, weight = call.feature(dims=2), call.parameter(1, 2)
    dense = call.primitive == "Dense"
    transposed = dense or call.option("transpose_b", 3, False)
    out, channels = weight.dims if transposed else weight.dims[::-1]
    if (not dense and call.option("transpose_a", 2, False)) or channels != x.shape[1]:
        raise Strange(f"is made for {channels} channels, reads {x.shape}")
    attrs = {"in_channels": channels, "out_channels": out, "bias": False}
    if dense and len(call.inputs) > 2 and isinstance(call.inputs[2], Parameter):
        attrs.pop("bias")
    return call.op("dense", [x], (x.shape[0], out), weights=(weight,), **attrs)


def _add(call: Call) -> Feature:
    """A bias is part of the convolution or dense layer that it is added to."""
    if call.primitive == "Add" and not isinstance(call.inputs[1], Parameter):
        return _gelu(call)
    x, bias = call.feature(), call.parameter(1, 1)
    op = call.found.ops[x.op]
    has_bias = op.attrs.get("bias", op.kind == "dense")
    if op.kind not in ("conv", "dense") or bias.dims[0] != x.shape[1] or has_bias:
        raise Strange("is added to something else than a convolution or a dense layer without bias")
    name = call.found.free(f"{op.name}+bias")
    attrs = {key: value for key, value in op.attrs.items() if key != "bias"} | call.found.shares(name, [bias])
    if op.kind == "conv":
        attrs["bias"] = True
    call.found.add(Op(name, op.kind, op.inputs, MappingProxyType(attrs)))
    return Feature(name, x.shape, doubtful=x.doubtful)


# x (1 + erf(x / sqrt 2)) / 2 in the five operators that MindSpore makes of it, and what each one takes besides.
GELU: tuple[Mapping[str, float | str | None], ...] = (
    {"Div": sqrt(2), "Mul": sqrt(1 / 2)},
    {"Erf": None},
    {"Add": 1.0},
    {"Mul": "x"},
    {"Mul": 0.5},
)


def _gelu(call: Call) -> Feature:
    """One step of a GELU, pending until the last: each knows how many steps there were before it."""
    parts = sorted((value for value in call.inputs if isinstance(value, Feature)), key=_steps)
    numbers = [value for value in call.inputs if isinstance(value, (int, float))]
    x, steps = parts[-1], _steps(parts[-1])
    is_x = len(parts) == 2 and parts[0] == replace(x, pending=())
    besides: Any = numbers[0] if numbers else "x" if is_x else None
    expected = GELU[steps].get(call.primitive, "none")
    fits = isclose(besides, expected, rel_tol=1e-6) if numbers and isinstance(expected, float) else besides == expected
    if not fits or (call.primitive == "Div" and call.inputs[0] is not x):
        raise Strange(UNKNOWN)
    plain = replace(x, pending=())
    done = steps + 1 == len(GELU)
    return call.op("gelu", [plain], x.shape) if done else replace(plain, pending=("gelu", steps + 1))


def _steps(x: Feature) -> int:
    """How many steps of a GELU made it."""
    if x.pending and x.pending[0] != "gelu":
        raise Strange(UNKNOWN)
    return x.pending[1] if x.pending else 0


def _dropout(call: Call) -> Any:
    if call.option("keep_prob", 1, 0.5) != 1:
        raise Strange("drops features at random: exported in training mode")
    return (call.feature(), None)


def _item(call: Call) -> Any:
    values, index = call.inputs
    return values[index]


def _transpose(call: Call) -> Parameter:
    weight = call.parameter(0, 2)
    if tuple(call.inputs[1]) != (1, 0):
        raise Strange("moves the dimensions of its input")
    return replace(weight, dims=weight.dims[::-1])


def _shape(call: Call) -> tuple[Any, ...]:
    value = call.inputs[0]
    return value.dims if isinstance(value, Parameter) else call.feature().shape


def _switch(call: Call) -> Any:
    if type(call.inputs[0]) not in (bool, int):
        raise Strange("chooses by a value that the shapes alone do not tell")
    return call.inputs[1 if call.inputs[0] else 2]


def _closure(function: Any, *bound: Any) -> Any:
    return Closure(function.function, (*function.bound, *bound)) if isinstance(function, Closure) else None


def _scalar(compute: Callable[..., Any], call: Call) -> Any:
    """Arithmetic on ranks and sizes; MindSpore's scalars have the same meaning as Python's."""
    flat = [part for value in call.inputs for part in (value if isinstance(value, tuple) else (value,))]
    if any(part is not None and not isinstance(part, (bool, int, float, str)) for part in flat):
        raise Strange(UNKNOWN)
    return compute(*call.inputs)


# What carries values about and computes nothing. Effects (UpdateState and monads) are None.
PLUMBING: Mapping[str, Callable[..., Any]] = {
    **dict.fromkeys(("Load", "Depend", "Cast", "Identity", "identity", "StopGradient"), lambda x, *_: x),
    "UpdateState": lambda *_: None,
    **dict.fromkeys(("MakeTuple", "MakeList", "make_list"), lambda *values: values),
    "Partial": _closure,
}

PRIMITIVES: Mapping[str, Callable[[Call], Any]] = {
    "Conv2D": windows.conv,
    "BatchNorm": _batch_norm,
    "ReLU": partial(_activation, "relu"),
    "ReLU6": partial(_activation, "relu6"),
    "SiLU": partial(_activation, "silu"),
    "GeLU": partial(_activation, "gelu", approximate="tanh"),
    "HSwish": partial(_activation, "hard_swish"),
    "Concat": _concat,
    "MaxPool": partial(windows.pool, "max_pool"),
    "AvgPool": partial(windows.pool, "avg_pool"),
    "MaxPool3DWithArgmax": lambda call: (windows.pool_in_3d("max_pool", call), None),
    "MaxPool3D": partial(windows.pool_in_3d, "max_pool"),
    "AvgPool3D": partial(windows.pool_in_3d, "avg_pool"),
    "Pad": windows.pad,
    "PadV3": windows.pad,
    "ReduceMean": _mean,
    "AdaptiveAvgPool2D": _adaptive_pool,
    "ExpandDims": _expand,
    "Squeeze": _squeeze,
    **dict.fromkeys(("Reshape", "Flatten"), _reshape),
    **dict.fromkeys(("MatMul", "MatMulExt", "Dense"), _matmul),
    **dict.fromkeys(("BiasAdd", "Add"), _add),
    **dict.fromkeys(("Div", "Erf", "Mul"), _gelu),
    "Dropout": _dropout,
    "Transpose": _transpose,
    **dict.fromkeys(("TupleGetItem", "ListGetItem", "tuple_getitem"), _item),
    "Shape": _shape,
    "Rank": lambda call: len(call.feature().shape),
    "Switch": _switch,
    "sequence_len": partial(_scalar, len),
    "ScalarEq": partial(_scalar, operator.eq),
    "ScalarLt": partial(_scalar, operator.lt),
    "ScalarLe": partial(_scalar, operator.le),
    "ScalarGt": partial(_scalar, operator.gt),
    "ScalarGe": partial(_scalar, operator.ge),
    "ScalarUsub": partial(_scalar, operator.neg),
    "BoolNot": partial(_scalar, operator.not_),
    "InSequence": partial(_scalar, lambda value, values: value in values),
    "SequenceAdd": partial(_scalar, lambda values, more: (*values, *more)),
    "SequenceSlice": partial(_scalar, lambda values, start, stop, step: values[start:stop:step]),
}
