"""MINDIR, bytes to model: what the file holds, without its weights' values, and nothing interpreted yet.

A MINDIR is one protobuf message, as `mind_ir.proto` of MindSpore says:

    ModelProto
      graph        the main function
      functions    those that it calls: cells, loops, branches
      primitives   "REF::Conv2D:12" of a node means the entry "Conv2D:12": op_type Conv2D, stride and the like
    GraphProto     one function
      input        name and dims        (an image: -1, 3, 224, 224)
      parameter    name, dims, values   (the weights: nearly all of the bytes)
      node         op_type, names of inputs, name of the output; or op_type Constant and its value
      output       name

The file is untrusted. It is walked field by field, so that the weights' values stay on the disk and each piece
that MindSpore's own protobuf module parses is small; all is bounded before it is done.
"""

from __future__ import annotations

import importlib.util
import mmap
import struct
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from archspec.errors import ModelFileError
from archspec.runtime import prepare

MAX_BYTES = 2 * 2**30
MAX_NODES = 200_000
MAX_PIECE = 2 * 2**20
"""Bytes of one node, primitive or parameter without its values."""
MAX_PIECES = 64 * 2**20
MAX_FIELDS = 1_000_000


@dataclass(frozen=True, slots=True)
class Node:
    """A node as it stands in the file: `primitive` is also the name of a function or of a value to call."""

    name: str
    primitive: str
    inputs: tuple[str, ...]
    output: str
    attrs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Function:
    """A function's inputs with their dims, its nodes in running order, and the values that it returns."""

    inputs: tuple[tuple[str, tuple[int, ...]], ...]
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A weight by its name in the file."""

    name: str
    dims: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Model:
    """A file's functions, primitives by name, and constants and parameters, which all functions share."""

    main: Function
    functions: Mapping[str, Function]
    primitives: Mapping[str, tuple[str, Mapping[str, Any]]]
    shared: Mapping[str, Any]


class _Broken(Exception):
    """The bytes are no MINDIR."""


def read_model(path: Path) -> Model:
    """Return what a MINDIR file holds.

    Raises:
        EnvironmentFault: E001, MindSpore, whose protobuf module is used, is not installed.
        ModelFileError: R005, the file cannot be read; R006, it is no MINDIR or is cut short.
    """
    proto = protobuf_module()
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # it comes with MindSpore

    try:
        if path.exists() and not path.is_file():
            raise ModelFileError.one("R005", "is no file", str(path))
        with path.open("rb") as file:
            size = file.seek(0, 2)
            if not 0 < size <= MAX_BYTES:
                message = "is empty" if not size else f"has {size:,} bytes, more than {MAX_BYTES:,}"
                raise ModelFileError.one("R006", message, str(path))
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _Parser(data, proto).model()
    except OSError as error:
        raise ModelFileError.one("R005", f"cannot be read: {error.strerror}", str(path)) from None
    except (_Broken, DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ModelFileError.one("R006", f"is no MINDIR, or is cut short: {error}", str(path)) from None


def protobuf_module() -> ModuleType:
    """Return MindSpore's module for the format, by its path: importing mindspore itself takes seconds."""
    prepare()
    for name in ("mindspore.train.mind_ir_pb2", "mind_ir_pb2"):
        if name in sys.modules:
            return sys.modules[name]
    mindspore = importlib.util.find_spec("mindspore")
    assert mindspore is not None
    assert mindspore.origin is not None
    file = Path(mindspore.origin).parent / "train" / "mind_ir_pb2.py"
    spec = importlib.util.spec_from_file_location("mind_ir_pb2", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[spec.name] = module
    return module


class _Parser:
    """Walks a file's bytes and builds its model; counts what it reads against the bounds."""

    def __init__(self, data: mmap.mmap, proto: ModuleType) -> None:
        self.data = data
        self.proto = proto
        self.shared: dict[str, Any] = {}
        self.fields_read = 0
        self.piece_bytes = 0
        self.nodes_read = 0

    def model(self) -> Model:
        main, functions, primitives = None, {}, {}
        for what, _, begin, end in self.fields(self.proto.ModelProto, 0, len(self.data)):
            if what == "primitives":
                primitive = self.parsed(self.proto.PrimitiveProto, begin, end)
                primitives[_text(primitive.name)] = (_text(primitive.op_type), self.attrs(primitive.attribute))
            elif what == "functions":
                name, function = self.function(begin, end)
                functions[name] = function
            elif what == "graph":
                _, main = self.function(begin, end)
        if main is None:
            raise _Broken("it holds no graph")
        return Model(main, functions, primitives, self.shared)

    def function(self, begin: int, end: int) -> tuple[str, Function]:
        name, inputs, nodes, outputs = "", list[tuple[str, tuple[int, ...]]](), list[Node](), list[str]()
        for what, _, start, stop in self.fields(self.proto.GraphProto, begin, end):
            if what == "name":
                name = self.piece(self.data[start:stop]).decode()
            elif what == "node":
                nodes.extend(self.node(start, stop))
            elif what == "parameter":
                self.parameter(start, stop)
            elif what == "input":
                value = self.parsed(self.proto.ValueInfoProto, start, stop)
                inputs.append((_text(value.name), tuple(value.tensor[0].dims) if value.tensor else ()))
            elif what == "output":
                outputs.append(_text(self.parsed(self.proto.ValueInfoProto, start, stop).name))
        return name, Function(tuple(inputs), tuple(nodes), tuple(outputs))

    def parameter(self, begin: int, end: int) -> None:
        """A weight without its values: its message is put together again without them."""
        proto = self.proto.TensorProto
        kept = [self.data[at:stop] for what, at, _, stop in self.fields(proto, begin, end) if what != "raw_data"]
        tensor = proto.FromString(self.piece(b"".join(kept)))
        name = _text(tensor.name)
        self.shared[name] = Parameter(name, tuple(tensor.dims))

    def node(self, begin: int, end: int) -> Iterator[Node]:
        """Yield a node; a constant is no node but a value that is known."""
        node = self.parsed(self.proto.NodeProto, begin, end)
        self.nodes_read += 1
        if self.nodes_read > MAX_NODES:
            raise _Broken(f"it has more than {MAX_NODES:,} nodes")
        name, kind = _text(node.name), _text(node.op_type)
        output = _text(node.output[0]) if node.output else name
        if kind == "Constant":
            self.shared[output] = self.plain(node.attribute[0]) if node.attribute else None
            return
        attrs = {} if kind.startswith("REF::") else self.attrs(node.attribute)
        yield Node(name, _text(kind.removeprefix("REF::")), tuple(map(_text, node.input)), output, attrs)

    def attrs(self, attributes: Any) -> Mapping[str, Any]:
        return {_text(attribute.name): self.plain(attribute) for attribute in attributes}

    def plain(self, attribute: Any) -> Any:
        """A number, text, or tuple of such; None for what is neither."""
        kind = self.proto.AttributeProto.AttributeType.Name(attribute.type)
        if kind in ("TUPLE", "LIST"):
            return tuple(self.plain(value) for value in attribute.values)
        if kind == "TENSORS" and attribute.tensors and len(attribute.tensors[0].raw_data) == 4:
            return float(struct.unpack("<f", attribute.tensors[0].raw_data)[0])
        for listed in (attribute.ints, attribute.floats, attribute.doubles):
            if listed:
                return listed[0] if len(listed) == 1 else tuple(listed)
        if kind == "BOOL":
            return bool(attribute.i)
        if kind == "STRING":
            return (attribute.strings[0] if attribute.strings else attribute.s).decode()
        number = {"FLOAT": "f", "DOUBLE": "d"}.get(kind, "i" if "INT" in kind else "")
        return getattr(attribute, number) if number else None

    def parsed(self, proto: Any, begin: int, end: int) -> Any:
        return proto.FromString(self.piece(self.data[begin:end]))

    def piece(self, piece: bytes) -> bytes:
        """Count a part of the file before it is parsed: parsing small fields takes many times their size."""
        self.piece_bytes += len(piece)
        if len(piece) > MAX_PIECE or self.piece_bytes > MAX_PIECES:
            raise _Broken(f"a node of more than {MAX_PIECE:,} bytes, or {MAX_PIECES:,} in all, weights aside")
        return piece

    def fields(self, proto: Any, at: int, end: int) -> Iterator[tuple[str, int, int, int]]:
        """Yield each field of a message: its name, where it begins, where its value begins, where it ends."""
        known = proto.DESCRIPTOR.fields_by_number
        while at < end:
            self.fields_read += 1
            if self.fields_read > MAX_FIELDS:
                raise _Broken(f"it has more than {MAX_FIELDS:,} fields")
            tag, begin = self.varint(at, end)
            begin, stop = self.extent(tag & 7, at, begin, end)
            if stop > end:
                raise _Broken(f"the field at byte {at:,} goes on beyond the end")
            number = tag >> 3
            yield known[number].name if number in known else "", at, begin, stop
            at = stop

    def extent(self, kind: int, at: int, begin: int, end: int) -> tuple[int, int]:
        """Where the value of a field of a protobuf wire type begins and ends."""
        if kind == 0:
            return begin, self.varint(begin, end)[1]
        if kind == 2:
            length, begin = self.varint(begin, end)
            return begin, begin + length
        if kind in (1, 5):
            return begin, begin + (8 if kind == 1 else 4)
        raise _Broken(f"a field of unknown type at byte {at:,}")

    def varint(self, at: int, end: int) -> tuple[int, int]:
        """A number of seven bits a byte, the lowest first, and where it ends."""
        value = 0
        for shift in range(0, 70, 7):
            if at >= end:
                break
            byte = self.data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, at
        raise _Broken(f"a number that does not end at byte {at:,}")


def _text(text: str | bytes) -> str:
    """A name, stored once however often it is used; protobuf gives bytes where it is not UTF-8."""
    return sys.intern(text if isinstance(text, str) else text.decode())
