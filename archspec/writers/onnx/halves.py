"""An ONNX model in numbers of 16 bits: its weights, and what its nodes compute with.

What it reads and gives stays float32: a Cast stands behind each input and before each output.
Constants stay float32 where an operator reads nothing else, as the scales of a Resize.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, defs, helper, numpy_helper

from archspec.errors import ArchspecError, Diagnostic

Values = npt.NDArray[Any]


@dataclass(frozen=True)
class _Half:
    """A type of 16 bits."""

    kind: int
    """As onnx counts types."""
    cut: Callable[[Values], Values]
    """Rounds float32 to the nearest; gives numbers whose bytes are the file's."""
    exponents: int
    """Bits whose being all set says that a number is not finite."""


def _cut_to_float16(values: Values) -> Values:
    with np.errstate(over="ignore"):  # told by `_is_finite`
        return values.astype("<f2").view("<u2")


def _cut_to_bfloat16(values: Values) -> Values:
    """The upper half of the bits, rounded to even."""
    bits = np.atleast_1d(values).astype("<f4").view("<u4").astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")


HALVES: Mapping[str, _Half] = {
    "float16": _Half(TensorProto.FLOAT16, _cut_to_float16, 0x7C00),
    "bfloat16": _Half(TensorProto.BFLOAT16, _cut_to_bfloat16, 0x7F80),
}
_FLOAT = "tensor(float)"


def halve_numbers(model: ModelProto, name: str) -> None:
    """Change a model of float32 to one of a type of `HALVES`.

    Raises:
        ArchspecError: W004, each operator that does not compute with the type in the model's
            opset, each weight with values beyond it.
    """
    graph, half = model.graph, HALVES[name]
    constants = {tensor.name for tensor in graph.initializer}
    inputs = list(_list_inputs(model, name))
    wide = {each.value for each in inputs if each.is_wide}
    faults = dict[str, Diagnostic]()
    for each in inputs:
        if each.is_wide and each.value not in constants:
            rule = f"{each.node.op_type} reads no {name} in opset {model.opset_import[0].version}"
            cure = "leave out --opset, or name a newer one"
            faults.setdefault(each.node.op_type, Diagnostic("W004", rule, each.node.name, cure))
    for tensor in graph.initializer:
        is_kept = tensor.data_type != TensorProto.FLOAT or tensor.name in wide
        if not is_kept and not _halve_tensor(tensor, half):
            rule = f"has values that are too large for {name}"
            faults[tensor.name] = Diagnostic("W004", rule, tensor.name)
    if faults:
        raise ArchspecError(faults.values())
    _put_casts(model, name, half)


@dataclass(frozen=True)
class _Input:
    """What a node reads at one place."""

    node: NodeProto
    value: str
    is_wide: bool
    """It may be float32, and not of the other type."""


def _list_inputs(model: ModelProto, name: str) -> Iterator[_Input]:
    (opset,) = (each.version for each in model.opset_import if not each.domain)
    for node in model.graph.node:
        formal = defs.get_schema(node.op_type, opset).inputs
        for place, value in enumerate(node.input):
            # The last may stand for any number, as in a Concat.
            types = formal[min(place, len(formal) - 1)].types
            is_wide = _FLOAT in types and f"tensor({name})" not in types
            # What is left out has no name.
            yield _Input(node, value, is_wide and bool(value))


def _halve_tensor(tensor: TensorProto, half: _Half) -> bool:
    """Round a tensor's values; return whether all that were finite still are."""
    values = numpy_helper.to_array(tensor)
    bits = half.cut(values)
    is_finite = (bits & half.exponents) != half.exponents
    name, dims = tensor.name, values.shape
    tensor.Clear()
    # Not int32_data, which some engines take for other numbers.
    tensor.CopyFrom(helper.make_tensor(name, half.kind, dims, bits.tobytes(), raw=True))
    return bool((is_finite | ~np.isfinite(values)).all())


def _put_casts(model: ModelProto, name: str, half: _Half) -> None:
    graph = model.graph
    inner = {each.name: f"{each.name}/{name}" for each in (*graph.input, *graph.output)}
    for node in graph.node:
        node.input[:] = [inner.get(value, value) for value in node.input]
        node.output[:] = [inner.get(value, value) for value in node.output]
    first = [_cast(each.name, inner[each.name], half.kind) for each in graph.input]
    last = [_cast(inner[each.name], each.name, TensorProto.FLOAT) for each in graph.output]
    nodes = [*first, *graph.node, *last]
    del graph.node[:]
    graph.node.extend(nodes)


def _cast(source: str, made: str, kind: int) -> NodeProto:
    return helper.make_node("Cast", [source], [made], name=f"{made}/cast", to=kind)
