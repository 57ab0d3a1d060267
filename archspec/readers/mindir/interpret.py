"""Runs a MINDIR's functions on shapes alone, and collects the operators that it meets.

Running them is needed: with a free batch MindSpore leaves branches on the rank of a feature map in the file. No
name decides anything, except what an operator is called. What a primitive does is said in mindir_primitives.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from archspec.errors import ArchspecError, Diagnostic, ModelFileError
from archspec.graph.ir import Op
from archspec.readers.mindir.decode import Function, Model, Node
from archspec.readers.mindir.filters import is_of_weights, of_weights
from archspec.readers.mindir.operators import PLUMBING, PRIMITIVES
from archspec.readers.trace import (
    MAX_CHANNELS,
    UNKNOWN,
    Call,
    Closure,
    Feature,
    Found,
    Strange,
    Unknown,
    short_name,
)

MAX_STEPS = 10_000_000
"""Values read while the functions run, a node counted as 16: a bound on time, and on tuples that grow."""
MAX_DEPTH = 100


def run_model(model: Model, path: Path) -> tuple[Found, tuple[Feature, ...]]:
    """Return the operators that the main function runs, and its outputs.

    Raises:
        ModelFileError: R007, a function cannot be followed; R008, neither can what the output is made of.
    """
    run = _Run(model, path)
    output = run.call(model.main, [run.image(name, dims) for name, dims in model.main.inputs], 0)
    outputs = output if isinstance(output, tuple) else (output,)
    for each in outputs:
        if isinstance(each, Unknown):
            raise ModelFileError([each.fault])
        if not isinstance(each, Feature):
            raise run.fault("one of its outputs is not a tensor that depends on its input")
    if not outputs:
        raise run.fault("it has no output")
    return run.found, outputs


class _Run:
    def __init__(self, model: Model, path: Path) -> None:
        self.model = model
        self.path = path
        self.found = Found()
        self.steps = 0

    def image(self, name: str, dims: tuple[int, ...]) -> Feature:
        if len(dims) != 4 or any(not 0 < size < MAX_CHANNELS for size in dims[1:]):
            raise self.fault(
                f"its input has the shape {dims}, must be (N, C, H, W) with C, H, W fixed"
            )
        called = self.found.free(short_name(name))
        self.found.add(Op(called, "input", (), MappingProxyType({"shape": dims[1:]})))
        return Feature(called, (dims[0] if dims[0] > 0 else "N", *dims[1:]))

    def call(self, function: Function, arguments: Sequence[Any], depth: int) -> Any:
        """Run a function's nodes, each of which finds what it reads, and return the function's value."""
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
        result = self.result(Call(self.found, node.name, primitive, inputs, attrs))
        grown = result.bound if isinstance(result, Closure) else result
        self.spend(len(grown) if isinstance(grown, tuple) else 0)
        return result

    def result(self, call: Call) -> Any:
        if call.primitive in PLUMBING:
            return PLUMBING[call.primitive](*call.inputs) if call.inputs else None
        parts = (
            part
            for value in call.inputs
            for part in (value if isinstance(value, tuple) else (value,))
        )
        unknown = next((part for part in parts if isinstance(part, Unknown)), None)
        return unknown or self.operate(call)

    def operate(self, call: Call) -> Any:
        """Run an operator; one that is not known passes its input on, so that the others are looked at too."""
        try:
            if is_of_weights(call):
                return of_weights(call)
            if call.primitive not in PRIMITIVES:
                raise Strange(UNKNOWN)
            return PRIMITIVES[call.primitive](call)
        except Strange as strange:
            fault = f"{call.primitive} {strange}"
        except (
            TypeError,
            IndexError,
            KeyError,
            ValueError,
            OverflowError,
            ZeroDivisionError,
            struct.error,
        ):
            fault = f"{call.primitive} has inputs or attributes of another form than is known here"
        features = [value for value in call.inputs if isinstance(value, Feature)]
        if not features:
            return Unknown(Diagnostic("R008", f"{short_name(call.node)}: {fault}", str(self.path)))
        name = self.found.free(short_name(call.node))
        self.found.add(Op(name, "unknown", tuple(value.op for value in features)))
        if UNKNOWN in fault or not any(value.doubtful for value in features):
            self.found.faults[name] = fault
        return Feature(name, features[0].shape, doubtful=True)

    def spend(self, steps: int) -> None:
        self.steps += steps
        if self.steps > MAX_STEPS:
            raise self.fault(f"running its functions takes more than {MAX_STEPS:,} steps")

    def fault(self, message: str) -> ArchspecError:
        return ModelFileError.one("R007", message, str(self.path))
