"""Runs a MINDIR's functions on shapes alone, and collects the operators that it meets.

Running them is needed: with a free batch MindSpore leaves branches on the rank of a feature map in
the file. No name decides anything, except what an operator is called. What a primitive does says
the table of operators.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from archspec.readers.interpreter import FreeSize, Interpreter
from archspec.readers.mindir.call import Call, Closure, short_name
from archspec.readers.mindir.decode import Function, Model, Node
from archspec.readers.mindir.filter_nodes import is_of_weights, of_weights
from archspec.readers.mindir.node import MindirNode
from archspec.readers.mindir.operators import PLUMBING, PRIMITIVES
from archspec.readers.trace import Feature, Trace, Unknown, Unsupported, flatten_tuples

MAX_STEPS = 10_000_000
"""Values read while the functions run, a node counted as 16:
a bound on time, and on tuples that grow."""
MAX_DEPTH = 100


def run_model(model: Model, path: Path, size: FreeSize = None) -> tuple[Trace, tuple[Feature, ...]]:
    """Return the operators that the main function runs, and its outputs.

    Raises:
        ModelFileError: R007, a function cannot be followed; R008, neither can what the output is
            made of.
    """
    run = _Run(model, path, size)
    inputs = [run.image(short_name(name), dims) for name, dims in model.main.inputs]
    output = run.call(model.main, inputs, 0)
    outputs = run.outputs(output if isinstance(output, tuple) else (output,))
    if not outputs:
        raise run.fault("it has no output")
    return run.trace, outputs


class _Run(Interpreter):
    def __init__(self, model: Model, path: Path, size: FreeSize) -> None:
        super().__init__(path, size)
        self.model = model
        self.steps = 0

    def call(self, function: Function, arguments: Sequence[Any], depth: int) -> Any:
        """Run a function's nodes, each of which finds what it reads,
        and return the function's value.
        """
        if (
            depth > MAX_DEPTH
            or len(arguments) != len(function.inputs)
            or len(function.outputs) != 1
        ):
            raise self.fault(
                "a function is called with too few values, has several, or calls itself"
            )
        values = {name: value for (name, _), value in zip(function.inputs, arguments, strict=True)}
        for node in function.nodes:
            values[node.output] = self.node(node, values, depth)
        return self.value(function.outputs[0], values)

    def value(self, name: str, values: Mapping[str, Any]) -> Any:
        for known in (values, self.model.shared):
            if name in known:
                return known[name]
        if name in self.model.functions:
            return Closure(name)
        raise self.fault(
            f"{short_name(name)} is read before anything makes it: it is missing, or a cycle"
        )

    def node(self, node: Node, values: Mapping[str, Any], depth: int) -> Any:
        inputs = tuple(self.value(name, values) for name in node.inputs)
        self.spend(16 + len(inputs))
        if node.primitive in values or node.primitive in self.model.functions:
            called = self.value(node.primitive, values)
            if isinstance(called, Closure):
                return self.call(
                    self.model.functions[called.function], (*called.bound, *inputs), depth + 1
                )
            return called if isinstance(called, Unknown) else None
        primitive, attrs = self.model.primitives.get(node.primitive, (node.primitive, node.attrs))
        result = self.result(MindirNode(self.trace, node.name, primitive, inputs, attrs))
        grown = result.bound if isinstance(result, Closure) else result
        self.spend(len(grown) if isinstance(grown, tuple) else 0)
        return result

    def result(self, call: Call) -> Any:
        if call.kind in PLUMBING:
            return PLUMBING[call.kind](*call.inputs) if call.inputs else None
        parts = flatten_tuples(call.inputs)
        unknown = next((part for part in parts if isinstance(part, Unknown)), None)
        if unknown is not None:
            return unknown
        try:
            table = {call.kind: of_weights} if is_of_weights(call) else PRIMITIVES
            return self.operate(call, table)
        except Unsupported as unsupported:
            return self.stand_in(call, unsupported)

    def spend(self, steps: int) -> None:
        self.steps += steps
        if self.steps > MAX_STEPS:
            raise self.fault(f"running its functions takes more than {MAX_STEPS:,} steps")
