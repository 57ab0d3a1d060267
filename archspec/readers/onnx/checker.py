"""Is an ONNX file valid? The onnx package's checker and shape inference say it.

They are C++ that parses a whole file, and were not written for hostile ones. So they never see the
file, but a small copy that is put together of pieces within bounds: weights stand among its
inputs, their values are counted here, and its nodes come in running order, which the checker asks
for and ONNX Runtime does not.
"""

from __future__ import annotations

import mmap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from archspec.errors import ModelFileError, format_count
from archspec.readers.onnx.call import TYPES
from archspec.readers.onnx.decode import OWN_DOMAIN, VALUES, Model, Node, Span
from archspec.readers.protobuf import Broken, Wire, map_file

MAX_BYTES = 4 * 2**20
"""Of messages in the copy that are not walked, of which each two bytes may become an object."""
MAX_KEPT = 2**10
"""Bytes of a constant whose values are kept, such as sizes of a reshape; beyond, it is a weight."""
MAX_SAID = 300

_COMMENTS = frozenset({"doc_string", "metadata_props"})
_GRAPHS = frozenset(
    {"g", "graphs", "tensors", "tp", "type_protos", "sparse_tensor", "sparse_tensors"}
)


def refuse_invalid(path: Path, model: Model) -> None:
    """Check a file whose model was read.

    Raises:
        ModelFileError: R005, the file cannot be read any more; R006, it is no valid ONNX, or too
            large to be checked.
    """
    import onnx

    with map_file(path, "valid ONNX") as data:
        copy = _Copy(data, onnx, model).made()
        _refuse_twins(model.nodes)
        _refuse_two_paddings(model.nodes)
        if model.opset > onnx.defs.onnx_opset_version():
            raise Broken(f"opset {model.opset} of its operators is not known yet")
    try:
        onnx.checker.check_model(copy, full_check=True)
    except Exception as error:  # the C++ raises errors of several classes, without one in common
        raise _invalid(path, str(error)) from None


def _refuse_twins(nodes: Iterable[Node]) -> None:
    """ONNX Runtime takes no two nodes of one name; constants are no nodes to it."""
    named = (node.called for node in nodes if node.called and node.kind != "Constant")
    name, count = next(iter(Counter(named).most_common(1)), ("", 0))
    if count > 1:
        raise Broken(f"{format_count(count, 'node')} are called {name[:200]}")


def _refuse_two_paddings(nodes: Iterable[Node]) -> None:
    """ONNX Runtime takes both in a pool, and loads no network with such a convolution."""
    for node in nodes:
        is_conv = node.kind in ("Conv", "ConvTranspose")
        if is_conv and "pads" in node.attrs and node.attrs.get("auto_pad", "NOTSET") != "NOTSET":
            raise Broken(f"{node.kind} {node.name[:200]} has both auto_pad and pads")


def _invalid(path: Path, said: str) -> Exception:
    lines = [line.strip() for line in said.splitlines() if line.strip()] or ["it says no more"]
    return ModelFileError.one(
        "R006", f"is no valid ONNX; onnx's checker says: {lines[0][:MAX_SAID]}", str(path)
    )


class _Copy(Wire):
    """A file's model without the values of its weights, in bytes."""

    def __init__(self, data: mmap.mmap, onnx: Any, model: Model) -> None:
        super().__init__(data)
        self.onnx = onnx
        self.model = model
        self.bytes = 0
        self.constants = list[Span]()

    def made(self) -> bytes:
        whole, graph = self.onnx.ModelProto(), self.onnx.GraphProto()
        for what, at, begin, end in self.fields(self.onnx.ModelProto, 0, len(self.data)):
            if what == "graph":
                graph.MergeFromString(self.rest(begin, end))
            elif what not in _COMMENTS:
                whole.MergeFromString(self.within_bounds(at, end))
        graph.value_info.extend(graph.output)
        graph.ClearField("output")  # the checker wants shapes of outputs
        for value in graph.value_info:
            value.type.tensor_type.ClearField("shape")  # a wrong one does no harm
        for entry in whole.opset_import:
            entry.domain = "" if entry.domain in OWN_DOMAIN else entry.domain
        weights = [*self.initializers(graph), *self.nodes(graph)]
        graph.input.extend(weights)
        whole.graph.CopyFrom(graph)
        return bytes(whole.SerializeToString())

    def within_bounds(self, begin: int, end: int) -> bytes:
        """A message that is not walked."""
        self.bytes += end - begin
        if self.bytes > MAX_BYTES:
            raise Broken(f"beside nodes and weights it has more than {MAX_BYTES:,} bytes")
        return self.data[begin:end]

    def rest(self, begin: int, end: int) -> bytes:
        """What a graph holds beside nodes and weights."""
        kept = list[bytes]()
        for what, at, start, stop in self.fields(self.onnx.GraphProto, begin, end):
            if what == "initializer":
                self.constants.append((start, stop))
            elif what != "node" and what not in _COMMENTS:
                kept.append(self.within_bounds(at, stop))
        return b"".join(kept)

    def initializers(self, graph: Any) -> Iterator[Any]:
        """Add small constants to a graph, and yield others as inputs, which some are already."""
        given = {value.name: value.type.tensor_type for value in graph.input}
        for begin, end in self.constants:
            tensor = self.tensor(begin, end)
            if tensor.name in given:
                _refuse_other_type(tensor, given[tensor.name])
            if self.is_whole(tensor, begin, end):
                graph.initializer.append(tensor)
            elif tensor.name not in given:
                yield self.as_input(tensor.name, tensor)

    def nodes(self, graph: Any) -> Iterator[Any]:
        """Add nodes to a graph, of Constants that are weights the form; and yield the weights."""
        for number, node in enumerate(self.model.nodes):
            made, weights = self.node(node), list[Any]()
            if node.kind == "Constant" and len(made.output) == 1:
                weights = [a.t for a in made.attribute if a.HasField("t") and _is_empty(a.t)]
            for weight in weights:
                yield self.as_input(made.output[0], weight)
                made.output[0], weight.dims[:] = f"{made.output[0]} of node {number}", [0]
                weight.ClearField("external_data")
                weight.ClearField("data_location")
            graph.node.append(made)

    def node(self, node: Node) -> Any:
        """A node without many values."""
        begin, end = node.span
        made, kept = self.onnx.NodeProto(), list[bytes]()
        for what, at, start, stop in self.fields(self.onnx.NodeProto, begin, end):
            if what == "attribute":
                made.attribute.append(self.attribute(start, stop))
            elif what not in _COMMENTS:
                kept.append(self.data[at:stop])
        made.MergeFromString(self.piece(b"".join(kept)))
        made.domain = "" if made.domain in OWN_DOMAIN else made.domain
        return made

    def attribute(self, begin: int, end: int) -> Any:
        made, kept = self.onnx.AttributeProto(), list[bytes]()
        for what, at, start, stop in self.fields(self.onnx.AttributeProto, begin, end):
            if what == "t":
                made.t.CopyFrom(self.tensor(start, stop))
            else:
                kept.append(self.setting(what, at, stop))
        made.MergeFromString(self.piece(b"".join(kept)))
        return made

    def setting(self, what: str, at: int, stop: int) -> bytes:
        """A field of an attribute that is no tensor; of a comment nothing."""
        if what in _COMMENTS:
            return b""
        return self.within_bounds(at, stop) if what in _GRAPHS else self.data[at:stop]

    def as_input(self, name: str, tensor: Any) -> Any:
        return self.onnx.helper.make_tensor_value_info(name, tensor.data_type, tensor.dims)

    def is_whole(self, tensor: Any, begin: int, end: int) -> bool:
        """Its values are in the copy."""
        return end - begin <= MAX_KEPT and tensor.data_location != tensor.EXTERNAL

    def tensor(self, begin: int, end: int) -> Any:
        """A tensor, without its values where these are many."""
        proto, kept, values = self.onnx.TensorProto, list[bytes](), dict[str, int]()
        for what, at, start, stop in self.fields(proto, begin, end):
            if what not in VALUES or end - begin <= MAX_KEPT:
                kept.append(self.data[at:stop])
            if what in VALUES:
                values[what] = values.get(what, 0) + self.count(what, start, stop)
        tensor = proto.FromString(self.piece(b"".join(kept)))
        if not tensor.external_data:
            _refuse_other_size(tensor, values)
        return tensor

    def count(self, what: str, begin: int, end: int) -> int:
        """How many values a field has, bytes if raw; whole numbers end at a byte below 128."""
        if what in _WIDTHS:
            return (end - begin) // _WIDTHS[what]
        pieces = (self.data[at : min(at + MAX_BYTES, end)] for at in range(begin, end, MAX_BYTES))
        return sum(int((np.frombuffer(piece, np.uint8) < 0x80).sum()) for piece in pieces)


_WIDTHS: Mapping[str, int] = {"raw_data": 1, "float_data": 4, "double_data": 8}


def _refuse_other_size(tensor: Any, values: Mapping[str, int]) -> None:
    """Values must stand in the one field that their type has, as many as the shape says."""
    if tensor.data_type not in TYPES:
        if tensor.data_type not in tensor.DataType.values():
            raise Broken(f"{tensor.name[:200]} is of no known type: {tensor.data_type}")
        return
    (listed, kind), size = TYPES[tensor.data_type], prod(tensor.dims)
    width = np.dtype(kind).itemsize if kind else 2
    forms: list[dict[str, int]] = [{"raw_data": size * width}, {listed: size}]
    if values not in (forms if size else [*forms, {}]):
        raise Broken(f"the values of {tensor.name[:200]} are not {size:,} of its type")


def _refuse_other_type(tensor: Any, said: Any) -> None:
    """Where a weight stands among the inputs too, its type and shape must be the same."""
    sizes = said.shape.dim
    shaped = not said.HasField("shape") or (
        len(sizes) == len(tensor.dims)
        and all(
            not size.HasField("dim_value") or size.dim_value == own
            for size, own in zip(sizes, tensor.dims, strict=True)
        )
    )
    if said.elem_type != tensor.data_type or not shaped:
        raise Broken(f"{tensor.name[:200]} is another input than its values")


def _is_empty(tensor: Any) -> bool:
    """It has a size and no values in the copy."""
    return prod(tensor.dims) > 0 and not any(len(getattr(tensor, name)) for name in VALUES)
