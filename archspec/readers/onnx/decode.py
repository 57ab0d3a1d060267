"""ONNX, bytes to model: what the file holds, without its weights' values,
and nothing interpreted yet.

An ONNX file is one protobuf message, as `onnx.proto` says:

    ModelProto
      opset_import  the version of each set of operators
      graph         the network
    GraphProto
      input         name and dims          (an image: "N", 3, 224, 224)
      initializer   name, dims, values     (the weights: nearly all of the bytes)
      node          op_type, names of inputs and outputs, attributes
      output        name

The file is untrusted: it is walked (`protobuf`), and onnx's protobuf classes parse small pieces of
it. The package's loader is not used: it parses a whole file, two bytes of which may become an
object of a hundred. Of a weight, shape and type are enough; its values are read when someone asks
for them (`tensors`). Whether the file is valid says `checker`.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import filterfalse
from pathlib import Path
from typing import Any

from archspec.readers.onnx.call import decode_values
from archspec.readers.protobuf import Broken, Wire, map_file, text_of
from archspec.readers.tensors import Stored, Tensor, locate_values

MAX_NODES = 100_000
MAX_DIMS = 32
MAX_DIGITS = 18
MAX_VALUES = 64 * 2**10
"""Bytes of a tensor whose values are read: sizes, bounds, filters of blurs;
beyond, it is a weight."""

OWN_DOMAIN = ("", "ai.onnx")
"""ONNX's own operators, by either name."""

Span = tuple[int, int]
"""Where bytes begin and end."""

VALUES = frozenset(
    (
        "raw_data",
        "float_data",
        "int32_data",
        "int64_data",
        "double_data",
        "uint64_data",
        "string_data",
    )
)


@dataclass(frozen=True, slots=True)
class Node:
    """A node as it stands in the file; an input that is left out is ''."""

    name: str
    kind: str
    """Its op_type, with the domain before it where that is not ONNX's own:
    `com.microsoft::Gelu`."""
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attrs: Mapping[str, Any]
    span: Span = (0, 0)
    """Where it stands in the file."""
    called: str = ""
    """Its name there, which may be none: then it is named after its output."""


def _size_of(dim: Any) -> int:
    """A dimension's size, -1 where it is free."""
    return dim.dim_value if dim.HasField("dim_value") else -1


def in_running_order(nodes: Sequence[Node]) -> list[Node]:
    """Return nodes each after those that it reads, else as listed; those of a cycle last."""
    makers = {name: at for at, node in enumerate(nodes) for name in node.outputs if name}
    reads: list[set[int]] = []
    for node in nodes:
        reads.append({makers[name] for name in node.inputs if name in makers})
    readers: dict[int, list[int]] = {}
    for at, sources in enumerate(reads):
        for source in sources:
            readers.setdefault(source, []).append(at)
    missing = [*map(len, reads)]
    ready, order = [at for at, count in enumerate(missing) if not count], list[int]()
    while ready:
        order.append(heappop(ready))
        freed = readers.get(order[-1], ())
        for reader in freed:
            missing[reader] -= 1
        for reader in filterfalse(missing.__getitem__, freed):
            heappush(ready, reader)
    held_up = (at for at, count in enumerate(missing) if count)
    return [nodes[at] for at in (*order, *held_up)]


@dataclass(slots=True)
class Model:
    """A file's inputs with their dims (-1: free), constants by name,
    nodes in running order, and outputs.
    """

    opset: int = 1
    inputs: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)
    constants: dict[str, Tensor] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    types: dict[str, int] = field(default_factory=dict)
    """What kind of numbers inputs are, as onnx counts them."""
    spans: dict[str, Span] = field(default_factory=dict)
    """Where initializers stand in the file."""


def read_model(path: Path) -> Model:
    """Return what an ONNX file holds.

    Raises:
        ModelFileError: R005, the file cannot be read; R006, it is no ONNX or is cut short.
    """
    import onnx

    with map_file(path, "ONNX") as data:
        return _Parser(data, onnx).model()


class _Parser(Wire):
    """Builds a file's model of its bytes."""

    def __init__(self, data: mmap.mmap, proto: Any) -> None:
        super().__init__(data)
        self.proto = proto
        self.made = Model()

    def model(self) -> Model:
        graphs = 0
        for what, _, begin, end in self.fields(self.proto.ModelProto, 0, len(self.data)):
            if what == "opset_import":
                self.note_opset(begin, end)
            elif what == "graph":
                graphs += 1
                self.graph(begin, end)
        if graphs != 1:
            raise Broken("it holds no graph" if not graphs else f"it holds {graphs} graphs")
        self.made.nodes = in_running_order(self.made.nodes)
        weights = self.made.constants
        self.made.inputs = [given for given in self.made.inputs if given[0] not in weights]
        return self.made

    def note_opset(self, begin: int, end: int) -> None:
        opset = self.parsed(self.proto.OperatorSetIdProto, begin, end)
        if text_of(opset.domain) in OWN_DOMAIN:
            self.made.opset = opset.version

    def graph(self, begin: int, end: int) -> None:
        add = {
            "node": self.add_node,
            "initializer": self.add_constant,
            "input": self.add_input,
            "output": self.add_output,
        }
        for what, _, start, stop in self.fields(self.proto.GraphProto, begin, end):
            if what in add:
                add[what](start, stop)

    def add_node(self, begin: int, end: int) -> None:
        self.made.nodes.append(self.node(begin, end))
        if len(self.made.nodes) > MAX_NODES:
            raise Broken(f"it has more than {MAX_NODES:,} nodes")

    def add_constant(self, begin: int, end: int) -> None:
        tensor = self.tensor(begin, end)
        self.made.constants[tensor.name] = tensor
        self.made.spans[tensor.name] = (begin, end)

    def add_input(self, begin: int, end: int) -> None:
        value = self.parsed(self.proto.ValueInfoProto, begin, end)
        name, form = text_of(value.name), value.type.tensor_type
        self.made.inputs.append((name, tuple(map(_size_of, form.shape.dim))))
        self.made.types[name] = form.elem_type

    def add_output(self, begin: int, end: int) -> None:
        value = self.parsed(self.proto.ValueInfoProto, begin, end)
        self.made.outputs.append(text_of(value.name))

    def node(self, begin: int, end: int) -> Node:
        proto, attrs, kept = self.proto.NodeProto, dict[str, Any](), list[bytes]()
        for what, at, start, stop in self.fields(proto, begin, end):
            if what == "attribute":
                name, value = self.attribute(start, stop)
                attrs[name] = value
            elif what != "doc_string":
                kept.append(self.data[at:stop])
        node = proto.FromString(self.piece(b"".join(kept)))
        kind, domain = text_of(node.op_type), text_of(node.domain)
        kind = kind if domain in OWN_DOMAIN else f"{domain}::{kind}"
        inputs, outputs = tuple(map(text_of, node.input)), tuple(map(text_of, node.output))
        return Node(
            text_of(node.name) or next(iter(outputs), kind),
            kind,
            inputs,
            outputs,
            attrs,
            (begin, end),
            text_of(node.name),
        )

    def attribute(self, begin: int, end: int) -> tuple[str, Any]:
        """A number, text, tuple of such, or tensor;
        None for what is none of them, such as a graph inside.
        """
        proto, kept, tensor = self.proto.AttributeProto, list[bytes](), None
        for what, at, start, stop in self.fields(proto, begin, end):
            if what == "t":
                tensor = self.tensor(start, stop)
            elif what not in ("g", "graphs", "tensors", "doc_string"):
                kept.append(self.data[at:stop])
        attribute = proto.FromString(self.piece(b"".join(kept)))
        return text_of(attribute.name), self.plain(attribute) if tensor is None else tensor

    def plain(self, attribute: Any) -> Any:
        kind = self.proto.AttributeProto.AttributeType.Name(attribute.type)
        if kind in ("FLOATS", "INTS"):
            return tuple(getattr(attribute, kind.lower()))
        if kind == "STRING":
            return attribute.s.decode()
        return {"FLOAT": attribute.f, "INT": attribute.i}.get(kind)

    def tensor(self, begin: int, end: int) -> Tensor:
        """A tensor's shape and type, and its values where they are few and in the file,
        or else where they are.
        """
        proto, spans = self.proto.TensorProto, dict[str, Span]()
        kept = b"".join(self.keep_fields(proto, begin, end, spans))
        tensor = proto.FromString(self.piece(kept))
        if len(tensor.dims) > MAX_DIMS:
            raise Broken(f"a tensor of more than {MAX_DIMS} dimensions")
        outside = tensor.data_location == proto.EXTERNAL or len(tensor.external_data) > 0
        values = None if outside else decode_values(tensor)
        where = _outside(tensor) if outside else _inside(tensor, spans)
        if values is not None:
            where = None
        return Tensor(text_of(tensor.name), tuple(tensor.dims), where, values)

    def keep_fields(
        self, proto: Any, begin: int, end: int, spans: dict[str, Span]
    ) -> Iterator[bytes]:
        """Yield the fields of a tensor but for many values,
        and note where values stand, (0, 0) if in pieces.
        """
        for what, at, start, stop in self.fields(proto, begin, end):
            if what in VALUES:
                spans[what] = (0, 0) if what in spans else (start, stop)
            if what not in VALUES or stop - at <= MAX_VALUES:
                yield self.data[at:stop]


def _inside(tensor: Any, spans: Mapping[str, Span]) -> Stored | None:
    """Where values stand in the file; a list of float32 or float64 is as good as the raw bytes."""
    as_bytes = ("raw_data", {1: "float_data", 11: "double_data"}.get(tensor.data_type))
    begin, end = (
        next(iter(spans.values())) if len(spans) == 1 and next(iter(spans)) in as_bytes else (0, 0)
    )
    return locate_values(tensor.data_type, tuple(tensor.dims), begin, end)


def _outside(tensor: Any) -> Stored | None:
    """Where values stand in another file, which is looked for when they are asked for."""
    said = {entry.key: text_of(entry.value) for entry in tensor.external_data}
    begin, dims = said.get("offset", "0"), tuple(tensor.dims)
    if not said.get("location") or len(begin) > MAX_DIGITS or not begin.isdecimal():
        return None
    return locate_values(tensor.data_type, dims, int(begin), None, said["location"])
