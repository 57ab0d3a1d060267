"""Operators of an ONNX on constants:
sizes that are computed from shapes, and weights that are moved about.

Of weights only the shape is followed; sizes are computed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from archspec.readers.computed_filters import OfWeight
from archspec.readers.onnx.call import FLOATS, MAX_COMPUTED, Array, Call, constant, take_over_sizes
from archspec.readers.tensors import MAX_COMPUTED as MAX_FILLED
from archspec.readers.tensors import Tensor, compute_later
from archspec.readers.trace import UNKNOWN, Feature, Unsupported


def shape(call: Call) -> Tensor:
    """Return the sizes of a value; a free batch is "N"."""
    value = call.inputs[0]
    sizes = list(value.dims if isinstance(value, (Tensor, OfWeight)) else call.feature().shape)
    return constant(np.array(sizes[call.attrs.get("start", 0) : call.attrs.get("end")], object))


def literal(call: Call) -> Tensor:
    """Return the value of a Constant node."""
    for name, value in call.attrs.items():
        if isinstance(value, Tensor):
            return replace(value, name=call.output)  # exporters call all such tensors alike
        if name.startswith("value_"):
            return constant(np.asarray(value, object))
    raise Unsupported("has a value that is neither a tensor nor numbers")


def fill(call: Call) -> Tensor:
    """Return the one value as often as the sizes say; many of them are not written out."""
    sizes, value = tuple(_take_values(call, 0).reshape(-1).tolist()), call.attrs.get("value")
    if any(type(size) is not int or not 0 <= size <= MAX_FILLED for size in sizes):
        raise Unsupported("makes a constant of a size that is not known")
    number = value.number if isinstance(value, Tensor) and value.number is not None else 0.0
    if prod(sizes) <= MAX_COMPUTED:
        return constant(np.full(sizes, number, object), call.output)
    return Tensor(call.output, sizes, compute_later("Expand", sizes, np.array(number, float)))


def fold(call: Call) -> Tensor:
    """Return what an operator makes of constants alone."""
    if any(
        value is not None and not isinstance(value, Tensor) for value in call.inputs
    ) or not call.has(0):
        raise Unsupported(UNKNOWN)
    made: Tensor = _FOLDED[call.kind](call)
    return (
        made if made.name or call.kind in _SIZES_ONLY else replace(made, name=call.inputs[0].name)
    )


def _take_values(call: Call, index: int) -> Array:
    value = call.inputs[index]
    if not isinstance(value, Tensor) or value.values is None or value.values.size > MAX_COMPUTED:
        raise Unsupported("needs the values of a constant that the file does not tell")
    return value.values


def _move_dims(call: Call, move: Callable[[Array], Array]) -> Tensor:
    """Move a constant's dimensions about, its values with them where they are known."""
    tensor: Tensor = call.inputs[0]
    if tensor.values is not None:
        return _with_values(tensor, move(tensor.values))
    likeness = np.broadcast_to(np.zeros(()), tensor.dims)
    return _reorder(tensor, move(likeness).shape)


def _with_values(tensor: Tensor, values: Array) -> Tensor:
    return replace(_reorder(tensor, values.shape), values=values)


def _reorder(tensor: Tensor, dims: tuple[int, ...]) -> Tensor:
    """A constant of another shape whose values, which are not known yet,
    stand in the same order.
    """
    return replace(tensor, dims=dims, source=compute_later("Reshape", dims, tensor.source))


def _axes(call: Call) -> tuple[int, ...]:
    axes = call.option("axes", 1, ())
    return axes if isinstance(axes, tuple) else (axes,)


def _transpose(call: Call) -> Tensor:
    axes, tensor = call.attrs.get("perm"), call.inputs[0]
    made = _move_dims(call, lambda values: np.transpose(values, axes))
    return replace(made, source=compute_later("Transpose", made.dims, tensor.source, axes=axes))


def _reshape(call: Call) -> Tensor:
    tensor: Tensor = call.inputs[0]
    wanted = [int(size) for size in call.option("shape", 1)]
    sizes = take_over_sizes(call, wanted, tensor.dims)
    if tensor.values is None:
        return _reorder(tensor, _resolve_sizes(tensor.dims, sizes))
    return _with_values(tensor, tensor.values.reshape(sizes))


def _resolve_sizes(dims: tuple[int, ...], sizes: list[int]) -> tuple[int, ...]:
    """A reshape's sizes with the one that is -1;
    np.reshape would copy a likeness of a large tensor.
    """
    whole = [*sizes]
    if -1 in sizes:
        rest = prod(size for size in sizes if size != -1)
        whole[sizes.index(-1)] = prod(dims) // rest
    if prod(whole) != prod(dims):
        raise Unsupported(f"makes {tuple(sizes)} of {dims}")
    return tuple(whole)


def _gather(call: Call) -> Tensor:
    values, places = _take_values(call, 0), np.asarray(_take_values(call, 1), np.int64)
    if values.ndim != 1:
        raise Unsupported("takes from a constant that is no list of sizes")
    return constant(_as_array(np.take(values, places)))


def _join(call: Call) -> Tensor:
    parts = [_take_values(call, at) for at in range(len(call.inputs))]
    if sum(part.size for part in parts) > MAX_COMPUTED:
        raise Unsupported(f"computes more than {MAX_COMPUTED:,} sizes")
    return constant(np.concatenate(parts, call.attrs.get("axis", 0)))


def _multiply(call: Call) -> Tensor:
    values = _take_values(call, 0)
    if values.ndim != 1 or any(type(value) is not int for value in values.tolist()):
        raise Unsupported("multiplies a constant that is no list of sizes")
    return constant(np.array(prod(values.tolist()), object))


def _slice(call: Call) -> Tensor:
    values = _take_values(call, 0)
    starts, ends = call.option("starts", 1), call.option("ends", 2)
    axes, steps = call.option("axes", 3, (0,)), call.option("steps", 4, (1,))
    if values.ndim != 1 or len(starts) != 1 or tuple(axes) not in ((0,), (-1,)):
        raise Unsupported("slices a constant that is no list of sizes")
    return constant(values[starts[0] : ends[0] : steps[0]])


def _squeeze(call: Call) -> Tensor:
    return _move_dims(call, lambda values: np.squeeze(values, _axes(call) or None))


def _unsqueeze(call: Call) -> Tensor:
    return _move_dims(call, lambda values: np.expand_dims(values, _axes(call)))


def _as_array(values: Any) -> Array:
    return values if isinstance(values, np.ndarray) else np.asarray(values, object)


def _compute(call: Call) -> Tensor:
    """Arithmetic: on numbers if they are few and known, on shapes otherwise."""
    tensors = [value for value in call.inputs if value is not None]
    dims = np.broadcast_shapes(*(tensor.dims for tensor in tensors))
    arrays = [tensor.values for tensor in tensors]
    if any(array is None for array in arrays) or len(arrays) > 2 or prod(dims) > MAX_COMPUTED:
        name = max(tensors, key=lambda tensor: len(tensor.dims)).name
        return Tensor(
            name, dims, compute_later(call.kind, dims, *(tensor.place for tensor in tensors))
        )
    if any(isinstance(value, str) for array in arrays for value in array.reshape(-1).tolist()):
        raise Unsupported("computes with the size of a batch that is free")
    rule = _ARITHMETIC.get(call.kind)
    if rule is None or rule[0] != len(arrays):
        return Tensor(
            tensors[0].name,
            dims,
            compute_later(call.kind, dims, *(tensor.place for tensor in tensors)),
        )
    values = rule[1](*(np.asarray(array.tolist(), _kind_of(array)) for array in arrays))
    return replace(constant(np.asarray(values)), name=tensors[0].name)


def _kind_of(array: Array) -> type:
    whole = all(isinstance(value, int) for value in array.reshape(-1).tolist())
    return np.int64 if whole else np.float64


def _divide(a: Array, b: Array) -> Array:
    return a // b if a.dtype == b.dtype == np.int64 else a / b


_ARITHMETIC: Mapping[str, tuple[int, Callable[..., Array]]] = {
    "Add": (2, np.add),
    "Sub": (2, np.subtract),
    "Mul": (2, np.multiply),
    "Div": (2, _divide),
    "Neg": (1, np.negative),
    "Floor": (1, np.floor),
    "Ceil": (1, np.ceil),
}

_SIZES_ONLY = frozenset({"Gather", "Concat", "Slice", "ReduceProd"})
_FOLDED: Mapping[str, Callable[[Call], Tensor]] = {
    "Transpose": _transpose,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Gather": _gather,
    "Concat": _join,
    "Slice": _slice,
    "ReduceProd": _multiply,
    **dict.fromkeys(("Sqrt", "Reciprocal", "Pow", *_ARITHMETIC), _compute),
}

CONSTANTS: Mapping[str, Callable[[Call], Tensor]] = {
    "Constant": literal,
    "ConstantOfShape": fill,
    "Shape": shape,
    **dict.fromkeys(_FOLDED, fold),
}


def pass_on(call: Call) -> Feature | Tensor | OfWeight:
    """Return the input of a node that changes no value, such as a cast between kinds of numbers."""
    value = call.inputs[0]
    if not isinstance(value, (Feature, Tensor, OfWeight)):
        raise Unsupported(UNKNOWN)
    is_cast = call.kind == "Cast" and isinstance(value, Feature)
    if is_cast and call.attrs.get("to") not in FLOATS:
        raise Unsupported("makes whole numbers of features")
    return value
