"""Runs an ONNX file's nodes on shapes alone. What a node does says the table of operators."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from archspec.errors import ModelFileError
from archspec.readers.interpreter import FreeSize, Interpreter
from archspec.readers.onnx.decode import Model, Node
from archspec.readers.onnx.node import OnnxNode
from archspec.readers.onnx.operators import table_for
from archspec.readers.trace import MAX_NAME, Feature, Trace, Unknown, Unsupported

UINT8 = 2
"""As onnx counts types."""
_COLOURS = {(1,), (3,)}
"""The last of four sizes, of grey or colour images that are read as they are."""


def run_model(
    model: Model, path: Path, size: FreeSize = None
) -> tuple[Trace, tuple[Feature, ...], Mapping[str, Any]]:
    """Return the operators that a file's nodes are, its outputs, and all values by their names.

    Raises:
        ModelFileError: R007, its nodes cannot be followed; R008, neither can what an output is made
            of.
    """
    run = _Run(model, path, size)
    outputs = run.run()
    return run.trace, outputs, run.values


class _Run(Interpreter):
    def __init__(self, model: Model, path: Path, size: FreeSize) -> None:
        super().__init__(path, size)
        self.model = model
        self.values: dict[str, Any] = {"": None, **model.constants}
        read = (name for node in model.nodes for name in node.inputs)
        self.readers = Counter((*read, *model.outputs))
        self.read_by: dict[str, set[str]] = {}
        for node in model.nodes:
            for name in node.inputs:
                self.read_by.setdefault(name, set()).add(node.kind)

    def run(self) -> tuple[Feature, ...]:
        """Run all nodes, and return the network's outputs."""
        if len(self.model.inputs) != 1 or not self.model.outputs:
            counts = f"{len(self.model.inputs)} inputs and {len(self.model.outputs)} outputs"
            raise self.fault(f"has {counts}; must have one input, and at least one output")
        ((name, dims),) = self.model.inputs
        if self.model.types.get(name) == UINT8 and dims[3:] in _COLOURS:
            rule = "reads images as they are, (N, H, W, C) of uint8, and prepares them itself"
            cure = (
                "certify the network alone: `densenet export` without --with-preprocess writes it"
            )
            raise ModelFileError.one("R007", rule, str(self.path), cure)
        self.values[name] = self.image(name, dims)
        for node in self.model.nodes:
            self.values.update(zip(node.outputs, self.node(node), strict=False))
        return self.outputs(map(self.value, self.model.outputs))

    def value(self, name: str) -> Any:
        if name not in self.values:
            raise self.fault(
                f"{name[:MAX_NAME]} is read before anything makes it: it is missing, or a cycle"
            )
        return self.values[name]

    def node(self, node: Node) -> tuple[Any, ...]:
        """Return a node's outputs; those that nobody follows are None."""
        inputs = tuple(map(self.value, node.inputs))
        unknown = next((value for value in inputs if isinstance(value, Unknown)), None)
        if unknown is not None:
            return (unknown,) * len(node.outputs)
        first = next(iter(node.outputs), "")
        call = OnnxNode(
            self.trace,
            node.name,
            node.kind,
            inputs,
            node.attrs,
            opset=self.model.opset,
            outputs=sum(map(bool, node.outputs)),
            output=first,
            readers=self.readers[first],
            read_by=frozenset(self.read_by.get(first, ())),
        )
        try:
            made = self.operate(call, table_for(call))
        except Unsupported as unsupported:
            return (self.stand_in(call, unsupported),) * len(node.outputs)
        return made if isinstance(made, tuple) else (made, *[None] * (len(node.outputs) - 1))
