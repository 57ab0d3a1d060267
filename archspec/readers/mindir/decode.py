"""MINDIR, bytes to model: what the file holds, without its weights' values,
and nothing interpreted yet.

A MINDIR is one protobuf message, as `mind_ir.proto` of MindSpore says:

    ModelProto
      graph        the main function
      functions    those that it calls: cells, loops, branches
      primitives   "REF::Conv2D:12" of a node means the entry "Conv2D:12": op_type, stride, ...
      user_info    texts by name, of whoever wrote it
    GraphProto     one function
      input        name and dims        (an image: -1, 3, 224, 224)
      parameter    name, dims, values   (the weights: nearly all of the bytes)
      node         op_type, names of inputs, name of the output; or op_type Constant and its value
      output       name

The file is untrusted: it is walked (`protobuf`), and MindSpore's own messages (`messages`)
parse small pieces of it.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from archspec.readers.mindir.messages import load_messages
from archspec.readers.protobuf import Broken, Wire, map_file, text_of
from archspec.readers.tensors import Tensor, locate_values

MAX_NODES = 200_000


@dataclass(frozen=True, slots=True)
class Node:
    """A node as it stands in the file:
    `primitive` is also the name of a function or of a value to call.
    """

    name: str
    primitive: str
    inputs: tuple[str, ...]
    output: str
    attrs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Function:
    """A function's inputs with their dims, its nodes in running order,
    and the values that it returns.
    """

    inputs: tuple[tuple[str, tuple[int, ...]], ...]
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Constant:
    """A tensor that stands in the file by itself, such as fixed filters,
    and its values as a NumPy array.
    """

    values: Any


@dataclass(frozen=True, slots=True)
class Model:
    """A file's functions, primitives by name, constants and parameters, which all functions share,
    and what its writer says of it.
    """

    main: Function
    functions: Mapping[str, Function]
    primitives: Mapping[str, tuple[str, Mapping[str, Any]]]
    shared: Mapping[str, Any]
    told: Mapping[str, str]


def read_model(path: Path) -> Model:
    """Return what a MINDIR file holds.

    Raises:
        EnvironmentFault: E001, MindSpore, whose protobuf module is used, is not installed.
        ModelFileError: R005, the file cannot be read; R006, it is no MINDIR or is cut short.
    """
    proto = load_messages()
    with map_file(path, "MINDIR") as data:
        return _Parser(data, proto).model()


@dataclass(slots=True)
class _FunctionParts:
    """What was met of a function."""

    name: str = ""
    inputs: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)


class _Parser(Wire):
    """Builds a file's model of its bytes."""

    def __init__(self, data: mmap.mmap, proto: SimpleNamespace) -> None:
        super().__init__(data)
        self.proto = proto
        self.shared: dict[str, Any] = {}
        self.nodes_read = 0

    def model(self) -> Model:
        graphs, functions, primitives = list[Function](), {}, {}
        told = dict[str, str]()
        for what, _, begin, end in self.fields(self.proto.ModelProto, 0, len(self.data)):
            if what == "primitives":
                name, primitive = self.primitive(begin, end)
                primitives[name] = primitive
            if what == "functions":
                name, function = self.function(begin, end)
                functions[name] = function
            if what == "graph":
                graphs.append(self.function(begin, end)[1])
            if what == "user_info":
                entry = self.parsed(self.proto.UserInfoEntry, begin, end)
                told[text_of(entry.key)] = text_of(entry.value)
        if not graphs:
            raise Broken("it holds no graph")
        return Model(graphs[-1], functions, primitives, self.shared, told)

    def primitive(self, begin: int, end: int) -> tuple[str, tuple[str, Mapping[str, Any]]]:
        made = self.parsed(self.proto.PrimitiveProto, begin, end)
        return text_of(made.name), (text_of(made.op_type), self.attrs(made.attribute))

    def function(self, begin: int, end: int) -> tuple[str, Function]:
        made = _FunctionParts()
        add = {
            "name": self.add_name,
            "node": self.add_node,
            "parameter": self.add_parameter,
            "input": self.add_input,
            "output": self.add_output,
        }
        for what, _, start, stop in self.fields(self.proto.GraphProto, begin, end):
            if what in add:
                add[what](made, start, stop)
        return made.name, Function(tuple(made.inputs), tuple(made.nodes), tuple(made.outputs))

    def add_name(self, made: _FunctionParts, begin: int, end: int) -> None:
        made.name = self.piece(self.data[begin:end]).decode()

    def add_node(self, made: _FunctionParts, begin: int, end: int) -> None:
        made.nodes.extend(self.node(begin, end))

    def add_input(self, made: _FunctionParts, begin: int, end: int) -> None:
        value = self.parsed(self.proto.ValueInfoProto, begin, end)
        dims = tuple(value.tensor[0].dims) if value.tensor else ()
        made.inputs.append((text_of(value.name), dims))

    def add_output(self, made: _FunctionParts, begin: int, end: int) -> None:
        value = self.parsed(self.proto.ValueInfoProto, begin, end)
        made.outputs.append(text_of(value.name))

    def add_parameter(self, made: _FunctionParts, begin: int, end: int) -> None:
        """Add a weight, which all functions share, without its values: its message is put together
        again without them.
        """
        proto, kept, at_values = self.proto.TensorProto, list[bytes](), (0, -1)
        for what, at, start, stop in self.fields(proto, begin, end):
            if what == "raw_data":
                at_values = (start, stop)
            else:
                kept.append(self.data[at:stop])
        tensor = proto.FromString(self.piece(b"".join(kept)))
        name, dims = text_of(tensor.name), tuple(tensor.dims)
        source = (
            None if tensor.compression_type else locate_values(tensor.data_type, dims, *at_values)
        )
        self.shared[name] = Tensor(name, dims, source)

    def node(self, begin: int, end: int) -> Iterator[Node]:
        """Yield a node; a constant is no node but a value that is known."""
        node = self.parsed(self.proto.NodeProto, begin, end)
        self.nodes_read += 1
        if self.nodes_read > MAX_NODES:
            raise Broken(f"it has more than {MAX_NODES:,} nodes")
        name, kind = text_of(node.name), text_of(node.op_type)
        output = text_of(node.output[0]) if node.output else name
        if kind == "Constant":
            self.shared[output] = self.plain(node.attribute[0]) if node.attribute else None
            return
        attrs = {} if kind.startswith("REF::") else self.attrs(node.attribute)
        yield Node(
            name,
            text_of(kind.removeprefix("REF::")),
            tuple(map(text_of, node.input)),
            output,
            attrs,
        )

    def attrs(self, attributes: Any) -> Mapping[str, Any]:
        return {text_of(attribute.name): self.plain(attribute) for attribute in attributes}

    def plain(self, attribute: Any) -> Any:
        """A number, text, or tuple of such; None for what is neither."""
        kind = self.proto.AttributeProto.AttributeType.Name(attribute.type)
        if kind in ("TUPLE", "LIST"):
            return tuple(self.plain(value) for value in attribute.values)
        if kind == "TENSORS" and attribute.tensors:
            return _constant(attribute.tensors[0])
        for listed in (attribute.ints, attribute.floats, attribute.doubles):
            if listed:
                return listed[0] if len(listed) == 1 else tuple(listed)
        if kind == "BOOL":
            return bool(attribute.i)
        if kind == "STRING":
            return (attribute.strings[0] if attribute.strings else attribute.s).decode()
        number = {"FLOAT": "f", "DOUBLE": "d"}.get(kind, "i" if "INT" in kind else "")
        return getattr(attribute, number) if number else None


# Of TensorProto.DataType, what NumPy calls it.
_FLOATS: Mapping[int, str] = {1: "<f4", 10: "<f2", 11: "<f8"}


def _constant(tensor: Any) -> float | Constant | None:
    """A single number, or a tensor of floats; None for what is neither."""
    name, size = _FLOATS.get(tensor.data_type, ""), prod(tensor.dims)
    if not name or len(tensor.raw_data) != size * np.dtype(name).itemsize:
        return None
    values = np.frombuffer(tensor.raw_data, name).reshape(tensor.dims)
    return float(values.reshape(-1)[0]) if size == 1 else Constant(values)
