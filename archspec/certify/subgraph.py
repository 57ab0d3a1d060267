"""A part of an ONNX file as a model by itself: from what a layer reads to what it gives.

The file is untrusted: of it only the nodes between are taken, which the reader knows all, and the
weights that these read. Weights that are kept outside the file are put in, so that nobody else
opens what a file names. ONNX Runtime computes nothing with bfloat16 on CPUs: such numbers become
float32, which has all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from archspec.readers.onnx.decode import Node
from archspec.readers.onnx.operators import KNOWN
from archspec.readers.onnx.read import OnnxReading
from archspec.readers.tensors import Tensor, Values
from archspec.readers.trace import Feature

IR_VERSION = 8
"""An old one, which every ONNX Runtime reads."""
FLOAT, BFLOAT16 = 1, 16
"""As onnx counts types."""


@dataclass(frozen=True, slots=True)
class Subgraph:
    """A model in bytes, and its inputs: what they are in the file's graph, by name."""

    model: bytes
    inputs: Mapping[str, Feature]
    types: Mapping[str, int]
    """What kind of numbers the inputs are, as onnx counts them."""


class NotExtractable(Exception):
    """A part that does not stand by itself in the file; the message is the reason."""


class SubgraphExtractor:
    """Takes parts out of an open file."""

    def __init__(self, reading: OnnxReading, values: Values) -> None:
        self.reading = reading
        self.values = values
        self.makers = {
            output: node for node in reading.model.nodes for output in node.outputs if output
        }
        self.order = {node.span: position for position, node in enumerate(reading.model.nodes)}
        self.tensors = {feature.op: name for name, feature in reading.features.items()}
        self.types = dict(reading.model.types)
        for node in reading.model.nodes:
            known = (self.types[name] for name in node.inputs if name in self.types)
            # Of the operators that are known here, Cast alone gives another type than it reads.
            kind = node.attrs.get("to") if node.kind == "Cast" else next(known, None)
            self.types |= dict.fromkeys(node.outputs, kind) if isinstance(kind, int) else {}
        self.is_widened = BFLOAT16 in self.types.values()
        """Whether numbers of bfloat16 become float32."""
        for name, kind in self.types.items():
            self.types[name] = FLOAT if kind == BFLOAT16 else kind

    def extract(self, sources: Iterable[str], outputs: Sequence[str]) -> Subgraph:
        """Return what makes the outputs of the sources, both as the file's graph calls them.

        Raises:
            NotExtractable: it does not stand by itself in the file.
        """
        return self.extract_values({*sources}, [self.tensors.get(output, "") for output in outputs])

    def extract_values(self, sources: set[str], ends: Sequence[str]) -> Subgraph:
        """Return what makes values, by their names in the file, of sources as its graph calls them.

        Raises:
            NotExtractable: it does not stand by itself in the file.
        """
        nodes, constants, inputs = self._find_nodes_between(sources, ends)
        missing = sources - {feature.op for feature in inputs.values()}
        strange = [node.kind for node in nodes if node.kind not in KNOWN]
        if missing or not all(ends) or strange:
            raise NotExtractable("what it reads or gives is no tensor of the file")
        return Subgraph(self._make_model(nodes, constants, inputs, ends), inputs, self.types)

    def _find_nodes_between(
        self, sources: set[str], ends: Sequence[str]
    ) -> tuple[list[Node], dict[str, None], dict[str, Feature]]:
        """The nodes on the way back from the ends, in running order;
        constants and inputs that they read.
        """
        nodes, constants, inputs = dict[int, Node](), dict[str, None](), dict[str, Feature]()
        seen, waiting = set[str](), list(ends)
        while waiting:
            name = waiting.pop()
            feature, node = self.reading.features.get(name), self.makers.get(name)
            if name in seen or not name:
                continue
            seen.add(name)
            if feature is not None and (feature.op in sources or node is None):
                inputs[name] = feature
            elif node is not None:
                nodes[self.order[node.span]] = node
                waiting.extend(node.inputs)
            else:
                constants[name] = None
        return [nodes[position] for position in sorted(nodes)], constants, inputs

    def _make_model(
        self,
        nodes: Sequence[Node],
        constants: Iterable[str],
        inputs: Mapping[str, Feature],
        ends: Sequence[str],
    ) -> bytes:
        from onnx import helper

        kinds = self.types
        given = []
        for name, x in inputs.items():
            kind = kinds.get(name, FLOAT)
            given.append(helper.make_tensor_value_info(name, kind, fix_shape(x.shape)))
        made = [helper.make_tensor_value_info(name, kinds.get(name, FLOAT), None) for name in ends]
        protos = self._copy_nodes(nodes)
        tensors = self._copy_constants(constants)
        graph = helper.make_graph(protos, "part", given, made, tensors)
        opsets = [helper.make_opsetid("", self.reading.model.opset)]
        # The reader knows operators of other domains in their first version alone.
        for domain in {proto.domain for proto in protos} - {"", "ai.onnx"}:
            opsets.append(helper.make_opsetid(domain, 1))
        model: Any = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        content: bytes = model.SerializeToString()
        return content

    def _copy_nodes(self, nodes: Sequence[Node]) -> list[Any]:
        """Copy nodes out of the file's bytes; their attributes may hold tensors, of Constant."""
        import onnx

        protos = []
        for node in nodes:
            begin, end = node.span
            proto = onnx.NodeProto.FromString(self.values.data[begin:end])
            tensors = [attribute for attribute in proto.attribute if attribute.HasField("t")]
            for attribute in tensors:
                self._fill_external(attribute.t, node.attrs[attribute.name])
                _widen(attribute.t)
            protos.append(_cast_wide(proto))
        return protos

    def _copy_constants(self, names: Iterable[str]) -> list[Any]:
        import onnx

        model, tensors = self.reading.model, []
        for name in names:
            if name in model.spans:
                begin, end = model.spans[name]
                tensor = onnx.TensorProto.FromString(self.values.data[begin:end])
                self._fill_external(tensor, model.constants[tensor.name])
                _widen(tensor)
                tensors.append(tensor)
        return tensors

    def _fill_external(self, tensor: Any, known: Tensor) -> None:
        """Put in what a tensor's file keeps elsewhere."""
        from onnx import numpy_helper

        if tensor.data_location != tensor.EXTERNAL and not tensor.external_data:
            return
        values = self.values.of(known.place)
        if values is None:
            raise NotExtractable("it has weights that cannot be read")
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def _cast_wide(proto: Any) -> Any:
    """A node that casts to bfloat16 casts to float32."""
    for attribute in proto.attribute:
        if proto.op_type == "Cast" and attribute.name == "to" and attribute.i == BFLOAT16:
            attribute.i = FLOAT
    return proto


def _widen(tensor: Any) -> None:
    """Make numbers of bfloat16 float32."""
    from onnx import numpy_helper

    if tensor.data_type == BFLOAT16:
        wide = numpy_helper.to_array(tensor).astype("<f4")
        tensor.CopyFrom(numpy_helper.from_array(wide, tensor.name))


def fix_shape(shape: Sequence[Any]) -> tuple[int, ...]:
    """Return a tensor's shape, of one image where the batch is free."""
    sizes = []
    for size in shape:
        sizes.append(size if isinstance(size, int) else 1)
    return tuple(sizes)
