"""How a row writes its operator as nodes of ONNX: what it is given, and the plain case."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from archspec.operators.shape_rules import Shape


class OnnxWriter(Protocol):
    """An operator that is being written. Values are their names, as ONNX has them."""

    @property
    def attrs(self) -> Any:
        """The operator's, defaults among them."""

    @property
    def inputs(self) -> Sequence[str]:
        """What it reads."""

    def shape(self, index: int = 0) -> Shape:
        """Return the shape of what it reads, (C, H, W) or (C,), for an operator that depends on the
        pixels. Raises ArchspecError (W004) where height and width are free.
        """

    def channels(self, index: int = 0) -> int:
        """Return the channels of what it reads."""

    def is_map(self, index: int = 0) -> bool:
        """Return whether what it reads has pixels, rather than being a vector."""

    def tensor(self, role: str, *dims: int) -> str:
        """Return the value of a parameter of the operator's, in other dimensions where given."""

    def constant(self, values: Any) -> str:
        """Return a value that never changes: whole numbers as int64, others as float32."""

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node and return its first output; '' is an input that is left out."""


WriteOnnx = Callable[[OnnxWriter], str]
"""Adds the nodes of an operator and returns the value that it gives."""


def node_of(kind: str, **attributes: Any) -> WriteOnnx:
    """Return what writes one node that reads what the operator reads."""
    return lambda node: node.add(kind, *node.inputs, **attributes)


def as_it_is(node: OnnxWriter) -> str:
    """Write nothing: it gives what it reads."""
    return node.inputs[0]


def of_each_channel(node: OnnxWriter, role: str) -> str:
    """Return a parameter with one value for each channel, as it meets a map or a vector."""
    return node.tensor(role, -1, 1, 1) if node.is_map() else node.tensor(role)


def window_of(node: OnnxWriter) -> dict[str, Any]:
    """Return how a square window slides, as attributes of ONNX."""
    attrs = node.attrs
    return {
        "kernel_shape": [attrs["kernel"]] * 2,
        "strides": [attrs["stride"]] * 2,
        "pads": [attrs["padding"]] * 4,
    }
