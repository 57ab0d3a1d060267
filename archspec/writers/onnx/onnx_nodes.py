"""The operators of a graph as nodes of ONNX: each as its row says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import NodeProto, TensorProto, helper, numpy_helper

from archspec.errors import ArchspecError, Diagnostic
from archspec.graph.ir import Graph, Op
from archspec.graph.shapes import infer_shapes, running_order
from archspec.operators.attributes import Attrs
from archspec.operators.shape_rules import Shape
from archspec.operators.table import OPERATORS

Tensors = Mapping[str, npt.NDArray[np.float32]]


@dataclass
class Nodes:
    """What was written of a graph so far."""

    graph: Graph
    tensors: Tensors
    """Parameters and moving statistics by name, as `create_model` calls them."""
    is_sized: bool
    """Height and width are the spec's; else they are free."""
    nodes: list[NodeProto] = field(default_factory=list)
    initializers: dict[str, TensorProto] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    """What each operator gives, by its name."""


def write_nodes(graph: Graph, tensors: Tensors, *, is_sized: bool = True) -> Nodes:
    """Return all operators of a graph as nodes, in an order in which they can run.

    Raises:
        ArchspecError: W004, height and width are free, and operators depend on them.
    """
    made = Nodes(graph, tensors, is_sized)
    faults: list[Diagnostic] = []
    for name in running_order(graph):
        try:
            made.values[name] = _write(made, graph.ops[name])
        except ArchspecError as error:
            faults.extend(error.diagnostics)
            made.values[name] = name
    if faults:
        raise ArchspecError(faults)
    return made


def _write(made: Nodes, op: Op) -> str:
    """Add an operator's nodes; return what it gives, which is called like the operator unless it is
    another's.
    """
    if not op.inputs:  # an image, which the file is given
        return op.name
    write = OPERATORS[op.kind].write_onnx
    if write is None:
        raise NotImplementedError(f"the row of {op.kind} has no write_onnx")
    start = len(made.nodes)
    value = write(OpWriter(op.name, made.nodes, made.initializers, made, op))
    for node in made.nodes[start:]:
        if node.output[0] == value:
            node.name = node.output[0] = value = op.name
    return value


@dataclass
class NodeWriter:
    """Adds nodes, and names what they give after `name`."""

    name: str
    nodes: list[NodeProto]
    initializers: dict[str, TensorProto]
    count: int = field(default=0, init=False)

    def constant(self, values: Any, dtype: npt.DTypeLike = None) -> str:
        """Return a value that never changes: whole numbers as int64, others as float32, where
        nothing else is said.
        """
        known = np.asarray(values)
        known = known.astype(dtype or (np.int64 if known.dtype.kind == "i" else np.float32))
        return self.keep(f"{self.name}/constant{self._number()}", known)

    def keep(self, name: str, values: npt.NDArray[Any]) -> str:
        """Return a value that the file holds under this name."""
        if name not in self.initializers:
            self.initializers[name] = numpy_helper.from_array(values, name)
        return name

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node and return its output."""
        output = f"{self.name}/{self._number()}"
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def _number(self) -> int:
        self.count += 1
        return self.count


@dataclass
class OpWriter(NodeWriter):
    """What a row's `write_onnx` is given: see `operators.onnx_writing.OnnxWriter`."""

    made: Nodes
    op: Op

    @property
    def attrs(self) -> Attrs:
        """The operator's, defaults among them."""
        return {**OPERATORS[self.op.kind].defaults, **self.op.attrs}

    @property
    def inputs(self) -> Sequence[str]:
        """What it reads."""
        return [self.made.values[name] for name in self.op.inputs]

    def shape(self, index: int = 0) -> Shape:
        """Return the shape of what it reads, where that is known."""
        if not self.made.is_sized:
            rule = f"{self.op.kind} depends on height and width: they cannot be free"
            raise ArchspecError.one("W004", rule, self.op.name, "leave out --dynamic-size")
        return self._shape(index)

    def channels(self, index: int = 0) -> int:
        """Return the channels of what it reads."""
        return self._shape(index)[0]

    def is_map(self, index: int = 0) -> bool:
        """Return whether what it reads has pixels."""
        return len(self._shape(index)) == 3

    def _shape(self, index: int) -> Shape:
        shapes, _ = infer_shapes(self.made.graph)
        return shapes[self.op.inputs[index]]

    def tensor(self, role: str, *dims: int) -> str:
        """Return the value of a parameter, in other dimensions where given."""
        name = f"{self.op.name}.{role}"
        values = np.asarray(self.made.tensors[name], np.float32)
        return self.keep(name, values.reshape(dims) if dims else values)
