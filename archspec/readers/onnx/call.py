"""What the nodes of an ONNX file compute with here: features of the image, and constants; and a node about to run.

A constant is a weight, of which the shape is enough, or sizes, bounds and the like, whose values are known. Sizes
that a file computes from the shape of a feature map are such constants too; among them "N" is a free batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from types import MappingProxyType
from typing import Any, NoReturn

import numpy as np

from archspec.graph.ir import Op
from archspec.readers.mindir.decode import Parameter
from archspec.readers.tensors import Source
from archspec.readers.trace import MAX_CHANNELS, UNKNOWN, Feature, Found, Strange, decimal

MAX_COMPUTED = 4_096
"""Values of a constant that is computed from others."""

Array = Any

# Numbers of onnx's types, the field of a tensor that holds them where raw_data does not, NumPy's name of them.
FLOATS = {
    1: ("float_data", "<f4"),
    11: ("double_data", "<f8"),
    10: ("int32_data", "<f2"),
    16: ("int32_data", ""),
}
TYPES: Mapping[int, tuple[str, str]] = {
    **FLOATS,
    2: ("int32_data", "|u1"),
    3: ("int32_data", "|i1"),
    4: ("int32_data", "<u2"),
    5: ("int32_data", "<i2"),
    6: ("int32_data", "<i4"),
    7: ("int64_data", "<i8"),
    9: ("int32_data", "|b1"),
}


@dataclass(frozen=True, slots=True)
class Tensor(Parameter):
    """A constant, called as the initializer that it was made of; None: its values are not known."""

    values: Array = None

    @property
    def place(self) -> Source:
        """Where its values are had."""
        return self.source if self.values is None else self.values

    @property
    def number(self) -> float | None:
        """Its one value."""
        if self.values is None or self.values.size != 1:
            return None
        (number,) = self.values.reshape(-1).tolist()
        return number if isinstance(number, int | float) else None


def decoded(tensor: Any) -> Array:
    """Return the values of an `onnx.TensorProto`, None where they are missing, left out, or of another type."""
    listed, name = TYPES.get(tensor.data_type, ("", ""))
    size = prod(tensor.dims)
    if not name or size < 0:
        return None
    kind = np.dtype(name)
    if len(tensor.raw_data) == size * kind.itemsize:
        return np.frombuffer(tensor.raw_data, kind).reshape(tensor.dims)
    given = getattr(tensor, listed)
    if len(given) != size:
        return None
    halves = (
        np.asarray(given, np.int64).astype(np.uint16).view(kind)
        if name == "<f2"
        else np.asarray(given, kind)
    )
    return halves.reshape(tensor.dims)


def constant(values: Any, name: str = "") -> Tensor:
    """Return values that were computed as a constant."""
    array = values if isinstance(values, np.ndarray) else np.asarray(values, object)
    if array.size > MAX_COMPUTED:
        raise Strange(f"computes more than {MAX_COMPUTED:,} sizes")
    return Tensor(name, array.shape, values=array)


GROUPED = "grouped"
"""What is pending of channels in groups: ("grouped", how many, where each dimension stands as in `onnx_layouts`)."""
TO_LAST = (0, 2, 3, 1)
"""What each dimension of a permuted feature map is: channels stand last."""


def axis_of(x: Feature, axis: int) -> int:
    """Return which of (N, C, H, W) or (N, C) an axis is; the file may have the channels last."""
    dims = len(x.shape)
    if not -dims <= axis < dims:
        raise Strange(f"names axis {axis} of {dims}")
    return TO_LAST[axis] if x.pending else axis % dims


@dataclass(frozen=True, slots=True)
class Call:
    """A node about to run."""

    found: Found
    node: str
    kind: str
    opset: int
    inputs: tuple[Any, ...]
    """An input that is left out is None."""
    attrs: Mapping[str, Any]
    outputs: int
    output: str
    """The name of the first."""
    shapes: dict[str, tuple[Any, ...]]
    """Of the operators that were met, by name."""
    readers: int = 1
    """How many times the first output is read."""

    def has(self, index: int) -> bool:
        """An input is given."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def is_pending(self, what: str) -> bool:
        """Return whether the first input is a feature of which this is to come."""
        x = self.inputs[0]
        return isinstance(x, Feature) and x.pending[:1] == (what,)

    def feature(self, index: int = 0, dims: int = 0, pending: str = "") -> Feature:
        """Return an input that depends on the image, of so many dims, pending as the caller allows."""
        value = self.inputs[index] if self.has(index) else None
        if not isinstance(value, Feature):
            raise Strange("does not read the image's features where it must")
        if value.pending and value.pending[0] != pending:
            raise Strange(f"reads part of a {value.pending[0]}")
        if dims and len(value.shape) != dims:
            raise Strange(f"reads a tensor of shape {value.shape}, must have {dims} dimensions")
        return value

    def weight(self, index: int, dims: int) -> Tensor:
        """Return an input that is a weight of so many dims."""
        value = self.inputs[index] if self.has(index) else None
        if (
            not isinstance(value, Tensor)
            or len(value.dims) != dims
            or any(size < 1 for size in value.dims)
        ):
            raise Strange("does not read a parameter where it must")
        return value

    def option(self, name: str, index: int, default: Any = None) -> Any:
        """Return a setting, a number or a tuple: an attribute in older files, a constant input in newer ones."""
        if self.attrs.get(name) is not None:
            return self.attrs[name]
        if not self.has(index):
            return default
        value = self.inputs[index]
        if (
            not isinstance(value, Tensor)
            or value.values is None
            or value.values.size > MAX_COMPUTED
        ):
            raise Strange(f"has no {name} that the file tells")
        return tuple(value.values.tolist()) if value.values.ndim else value.values.item()

    def known(self, name: str) -> Feature:
        """Return the output of an operator that was met before."""
        return Feature(name, self.shapes[name])

    def op(
        self,
        kind: str,
        inputs: Sequence[Feature],
        shape: tuple[Any, ...],
        /,
        weights: Sequence[Tensor] = (),
        **attrs: Any,
    ) -> Feature:
        """Add an operator and return its output; it is called after its weights where it has any."""
        if shape[1] > MAX_CHANNELS:
            raise Strange(f"gives more than {MAX_CHANNELS:,} channels")
        called = weights[0].name.rpartition(".")[0] if weights else ""
        name = self.found.free((called or self.node)[:200])
        # Exporters store equal vectors once, such as the gammas of untrained norms: only filters tell sharing.
        attrs |= self.found.shares(
            name, [weight for weight in weights if len(weight.dims) > 1 and weight.name]
        )
        self.found.add(Op(name, kind, tuple(x.op for x in inputs), MappingProxyType(attrs)))
        self.found.note(name, weights)
        self.shapes[name] = shape
        return Feature(name, shape, doubtful=any(x.doubtful for x in inputs))

    def number(self, name: str, usual: float) -> float:
        """Return an attribute, the shortest decimal that is stored so."""
        return decimal(self.attrs.get(name, usual))

    def text(self, name: str, usual: str) -> str:
        """Return an attribute that is a word."""
        return str(self.attrs.get(name, usual))

    def refuse(self, why: str) -> NoReturn:
        """Say that a node does what the IR cannot say; `why` is the predicate."""
        raise Strange(why)

    def elementwise(self, kind: str, **attrs: Any) -> Feature:
        """Add an operator that changes each value by itself, wherever channels stand."""
        x = self.feature(pending="permuted")
        if x.op in self.found.implied and kind in ("relu", "relu6"):
            x = replace(x, op=self.found.ops[x.op].inputs[0])  # what clips below zero once more
        return replace(self.op(kind, [x], x.shape, **attrs), pending=x.pending)

    def part(
        self, kind: str, inputs: Sequence[Feature], shape: tuple[Any, ...], /, **attrs: Any
    ) -> Feature:
        """Add what is no operator of the IR but may be a part of one; by itself it is a fault."""
        made = self.op(kind, inputs, shape, **attrs)
        self.found.faults[made.op] = f"{self.kind} {UNKNOWN}"
        return made
