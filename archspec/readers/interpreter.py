"""Runs what a file holds on shapes alone, and collects the operators that it meets.

In which order nodes run, and what they read, the formats know; what all do with one node stands
here.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from archspec.errors import ArchspecError, Diagnostic, ModelFileError
from archspec.graph.ir import Op
from archspec.readers.trace import (
    MAX_CHANNELS,
    MAX_NAME,
    UNKNOWN,
    Call,
    Feature,
    Trace,
    Unknown,
    Unsupported,
)

MAX_FAULT = 1_000
"""Characters of a fault, which may quote what stands in the file."""

FreeSize = tuple[int, int] | None
"""Height and width of images where a file leaves both free."""
_NOT_AS_KNOWN = (
    TypeError,
    IndexError,
    KeyError,
    ValueError,
    OverflowError,
    ZeroDivisionError,
    struct.error,
)


class Interpreter:
    """Runs the nodes of one file."""

    def __init__(self, path: Path, size: FreeSize = None) -> None:
        self.path = path
        self.size = size
        self.trace = Trace()

    def image(self, name: str, dims: tuple[int, ...]) -> Feature:
        """Return the network's input, (N, C, H, W); a size below 1 is free, as N may be, and H and
        W where another size stands in for theirs.

        Raises:
            ModelFileError: R007, it is no batch of images of one size.
        """
        if len(dims) == 4 and self.size is not None and max(dims[2:]) < 1:
            dims = (*dims[:2], *self.size)
        if len(dims) != 4 or any(not 0 < size < MAX_CHANNELS for size in dims[1:]):
            shown = tuple(map(_show_size, dims))
            raise self.fault(
                f"its input has the shape {shown}, must be (N, C, H, W) with C, H, W fixed"
            )
        shape = (dims[0] if dims[0] > 0 else "N", *dims[1:])
        op = Op(self.trace.free(name), "input", (), MappingProxyType({"shape": dims[1:]}))
        return Feature(self.trace.add(op, shape), shape)

    def operate(self, call: Call, table: Mapping[str, Callable[[Any], Any]]) -> Any:
        """Return what an operator gives.

        Raises:
            Unsupported: it does what the IR cannot say, or has another form than is known.
        """
        if call.kind not in table:
            raise Unsupported(UNKNOWN)
        try:
            return table[call.kind](call)
        except _NOT_AS_KNOWN:
            known = "has inputs or attributes of another form than is known here"
            raise Unsupported(known) from None

    def stand_in(self, call: Call, unsupported: Unsupported) -> Feature | Unknown:
        """Return what is read in place of an operator's output:
        its input, so that the others are looked at too.
        """
        fault = f"{call.kind} {unsupported}"[:MAX_FAULT]
        called = call.short(call.node)[:MAX_NAME]
        features = [value for value in call.inputs if isinstance(value, Feature)]
        if not features:
            return Unknown(Diagnostic("R008", f"{called}: {fault}", str(self.path)))
        name, shape = self.trace.free(called), features[0].shape
        self.trace.add(Op(name, "unknown", tuple(value.op for value in features)), shape)
        if UNKNOWN in fault or not any(value.doubtful for value in features):
            self.trace.faults[name] = fault
        return Feature(name, shape, doubtful=True)

    def outputs(self, values: Iterable[Any]) -> tuple[Feature, ...]:
        """Return what the network gives.

        Raises:
            ModelFileError: R007, some of it is no feature; R008, it depends on what is not known.
        """
        return tuple(map(self._output, values))

    def _output(self, value: Any) -> Feature:
        if isinstance(value, Unknown):
            raise ModelFileError([value.fault])
        if not isinstance(value, Feature):
            raise self.fault("one of its outputs is not a tensor that depends on its input")
        return value

    def fault(self, message: str) -> ArchspecError:
        """Return the error of nodes that cannot be followed."""
        return ModelFileError.one("R007", message, str(self.path))


def _show_size(size: int) -> int | str:
    return size if size > 0 else "free"
