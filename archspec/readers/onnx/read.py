"""ONNX to Graph: the network of an ONNX file, from whichever framework it comes.

A file of a convolution and a norm holds, in the words of `onnx_file`:

    input      x             dims (-1, 3, 224, 224)
    constant   conv0.weight  dims (64, 3, 7, 7), and so on
    node       a = Conv(x, conv0.weight), strides (2, 2), pads (3, 3, 3, 3)
    node       b = BatchNormalization(a, norm0.weight, norm0.bias, norm0.running_mean, norm0.running_var)
    output     b

and gives an input, a conv and a batch_norm. The path of a file is onnx_file (bytes to nodes), `read_onnx` (nodes
run on shapes), and what each operator is: onnx_windows, onnx_slices, onnx_shapes, onnx_layouts,
onnx_elements with onnx_norms and onnx_patterns, and onnx_constants for what a file computes of constants alone.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from archspec.errors import ArchspecError, Diagnostic, ModelFileError, counted
from archspec.graph.ir import Graph, Op
from archspec.readers.mindir.read import graph_of, without_softmax
from archspec.readers.onnx import channels as slices
from archspec.readers.onnx import classifier as shapes
from archspec.readers.onnx import layouts, quantised, windows
from archspec.readers.onnx.call import Call, Tensor
from archspec.readers.onnx.constants import CONSTANTS, passed_on
from archspec.readers.onnx.decode import Model, Node, read_model
from archspec.readers.onnx.elementwise import ELEMENTS
from archspec.readers.tensors import Reading, Source, Weights
from archspec.readers.trace import MAX_CHANNELS, UNKNOWN, Feature, Found, Strange, Unknown


def fused_conv(call: Call) -> Feature:
    """Return a convolution and the activation that ONNX Runtime put into it."""
    if call.has(3):
        raise Strange(UNKNOWN)
    return _fused(call, windows.conv, call.attrs.get("activation_params", ()))


def fused_gemm(call: Call) -> Feature:
    """Return a dense layer and the activation that ONNX Runtime put into it."""
    names = ("activation_alpha", "activation_beta")
    return _fused(call, shapes.gemm, [call.attrs[name] for name in names if name in call.attrs])


def _fused(call: Call, operator: Callable[[Call], Feature], given: Sequence[float]) -> Feature:
    kind = call.attrs.get("activation", "")
    if kind not in _FUSED or len(given) != len(_FUSED[kind]):
        raise Strange(UNKNOWN)
    settings = dict(zip(_FUSED[kind], given, strict=True))
    return ELEMENTS[kind](replace(call, kind=kind, inputs=(operator(call),), attrs=settings))


_FUSED: Mapping[str, tuple[str, ...]] = {
    "Relu": (),
    "Sigmoid": (),
    "Tanh": (),
    "LeakyRelu": ("alpha",),
    "Clip": ("min", "max"),
    "HardSigmoid": ("alpha", "beta"),
}
"""Activations in another operator, and the names of what is said of them."""

OPERATORS: Mapping[str, Callable[[Call], Any]] = {
    **ELEMENTS,
    **quantised.FEATURES,
    "Conv": windows.conv,
    "com.microsoft::FusedConv": fused_conv,
    "com.microsoft::FusedGemm": fused_gemm,
    "ConvTranspose": windows.conv_transpose,
    "MaxPool": windows.max_pool,
    "AveragePool": windows.avg_pool,
    "Pad": windows.pad,
    "Slice": slices.slices,
    "Split": slices.split,
    **dict.fromkeys(("Resize", "Upsample"), windows.resize),
    "DepthToSpace": layouts.depth_to_space,
    "GlobalAveragePool": partial(shapes.global_pool, "global_avg_pool"),
    "GlobalMaxPool": partial(shapes.global_pool, "global_max_pool"),
    "ReduceMax": shapes.maximum,
    "ReduceMean": shapes.mean,
    "Flatten": shapes.flatten,
    "Squeeze": shapes.squeeze,
    "Reshape": layouts.reshape,
    "Transpose": layouts.transpose,
    "Concat": shapes.concat,
    "MatMul": shapes.matmul,
    "Gemm": shapes.gemm,
}
_CONSTANTS: Mapping[str, Callable[[Call], Any]] = {**CONSTANTS, **quantised.WEIGHTS}
_BOTH: Mapping[str, Callable[[Call], Any]] = {
    **dict.fromkeys(("Identity", "Cast", "Dropout"), passed_on),
    "Shape": CONSTANTS["Shape"],
}
"""What does the same to features and to constants."""
KNOWN = frozenset({*OPERATORS, *_CONSTANTS, *_BOTH})
"""Kinds of nodes that are read; a file with any other on the way to its output is refused."""

_NOT_AS_KNOWN = (
    TypeError,
    IndexError,
    KeyError,
    ValueError,
    OverflowError,
    ZeroDivisionError,
    struct.error,
)


def read_onnx(path: Path) -> Graph:
    """Return the graph of an ONNX file: operators without regions, those alone that lead to the output.

    Weights' values are not read, nor is anything outside the file. Uneven padding stays in `padding` as (top,
    bottom, left, right). An attribute that a file does not tell is None: the `eps` of a batch norm written as a
    scale and a shift, `ceil` where both give the same size. An operator that uses filters a second time has
    `weights_of` the first.

    Raises:
        ModelFileError: R005, the file cannot be read; R006, it is no ONNX or is cut short; R007, its
            nodes cannot be followed; R008, operators that dense networks do not have.
    """
    return onnx_reading(path).graph


@dataclass(frozen=True, slots=True)
class OnnxReading(Reading):
    """What an ONNX file holds, and what its tensors are in the graph."""

    model: Model
    features: Mapping[str, Feature]
    """Tensors that are an operator's output, by their names in the file."""


def onnx_reading(path: Path) -> OnnxReading:
    """Return the graph as `read_onnx` does, where the weights of its operators are, and its nodes."""
    model = read_model(path)
    run = _Run(model, path)
    found, ends = run.run()
    outputs, notes = without_softmax(ends)
    features = {
        name: value
        for name, value in run.values.items()
        if isinstance(value, Feature) and not value.pending
    }
    graph = graph_of(found, outputs, path)
    weights = found.weights_of(graph)
    return OnnxReading(
        graph,
        weights,
        model,
        features,
        zero_biases=_zero_biases(graph, weights),
        norms_shift=_norms_shift(graph, weights),
        notes=(*notes, *_quantised(model, run.values)),
    )


def _zero_biases(graph: Graph, weights: Mapping[str, Weights]) -> frozenset[str]:
    """Operators whose bias is all zero, of which the values are known."""
    biases = {
        name: known.others
        for name, known in weights.items()
        if graph.ops[name].kind in ("conv", "conv_transpose", "dense") and known.others
    }
    return frozenset(name for name, others in biases.items() if all(map(_is_zero, others)))


def _norms_shift(graph: Graph, weights: Mapping[str, Weights]) -> bool:
    """Whether a beta or a mean is known that is not zero."""
    norms = (weights[name] for name in weights if graph.ops[name].kind == "batch_norm")
    shifts = (each for norm in norms for each in norm.others if each is not norm.variance)
    return any(isinstance(shift, np.ndarray) and bool(shift.any()) for shift in shifts)


def _is_zero(source: Source) -> bool:
    return isinstance(source, np.ndarray) and not source.any()


def _quantised(model: Model, values: Mapping[str, Any]) -> Iterator[str]:
    """Pairs of QuantizeLinear and DequantizeLinear, which leave no operator in the graph."""
    kinds = Counter(
        type(values.get(node.outputs[0]))
        for node in model.nodes
        if node.kind.endswith("DequantizeLinear") and node.outputs
    )
    if kinds[Feature] or kinds[Tensor]:
        maps, weights = counted(kinds[Feature], "feature map"), counted(kinds[Tensor], "weight")
        yield f"{maps} and {weights} are quantised: rounding and clipping are not compared"


class _Run:
    """Runs a file's nodes on shapes alone, and collects the operators that it meets."""

    def __init__(self, model: Model, path: Path) -> None:
        self.model = model
        self.path = path
        self.found = Found()
        self.shapes: dict[str, tuple[Any, ...]] = {}
        self.values: dict[str, Any] = {"": None, **model.constants}
        read = (name for node in model.nodes for name in node.inputs)
        self.read = Counter((*read, *model.outputs))

    def run(self) -> tuple[Found, tuple[Feature, ...]]:
        """Return the operators that were met, and the outputs."""
        if len(self.model.inputs) != 1 or not self.model.outputs:
            counts = f"{len(self.model.inputs)} inputs and {len(self.model.outputs)} outputs"
            raise self.fault(f"has {counts}; must have one input, and at least one output")
        self.image(*self.model.inputs[0])
        for node in self.model.nodes:
            results = self.node(node)
            given = (
                results
                if isinstance(results, tuple)
                else (results, *[None] * (len(node.outputs) - 1))
            )
            self.values.update(zip(node.outputs, given, strict=False))
        return self.found, tuple(map(self.output, self.model.outputs))

    def output(self, name: str) -> Feature:
        """Return what the network gives."""
        output = self.value(name)
        if isinstance(output, Unknown):
            raise ModelFileError([output.fault])
        if not isinstance(output, Feature):
            raise self.fault("one of its outputs is not a tensor that depends on its input")
        return output

    def image(self, name: str, dims: tuple[int, ...]) -> None:
        if len(dims) != 4 or any(not 0 < size < MAX_CHANNELS for size in dims[1:]):
            shape = tuple(size if size > 0 else "free" for size in dims)
            raise self.fault(
                f"its input has the shape {shape}, must be (N, C, H, W) with C, H, W fixed"
            )
        called = self.found.free(name)
        self.found.add(Op(called, "input", (), MappingProxyType({"shape": dims[1:]})))
        self.shapes[called] = (dims[0] if dims[0] > 0 else "N", *dims[1:])
        self.values[name] = Feature(called, self.shapes[called])

    def value(self, name: str) -> Any:
        if name not in self.values:
            raise self.fault(
                f"{name[:200]} is read before anything makes it: it is missing, or a cycle"
            )
        return self.values[name]

    def node(self, node: Node) -> Any:
        inputs = tuple(map(self.value, node.inputs))
        unknown = next((value for value in inputs if isinstance(value, Unknown)), None)
        if unknown is not None:
            return (unknown,) * len(node.outputs)
        used = sum(map(bool, node.outputs))
        call = Call(
            self.found,
            node.name,
            node.kind,
            self.model.opset,
            inputs,
            node.attrs,
            used,
            next(iter(node.outputs), ""),
            self.shapes,
            self.read[next(iter(node.outputs), "")],
        )
        return self.operate(call, node)

    def operate(self, call: Call, node: Node) -> Any:
        """Run an operator; one that is not known passes its input on, so that the others are looked at too."""
        features = [value for value in call.inputs if isinstance(value, Feature)]
        table = _BOTH if call.kind in _BOTH else OPERATORS if features else _CONSTANTS
        try:
            if call.kind not in table:
                raise Strange(UNKNOWN)
            return table[call.kind](call)
        except Strange as strange:
            fault = f"{call.kind} {strange}"
        except _NOT_AS_KNOWN:
            fault = f"{call.kind} has inputs or attributes of another form than is known here"
        if not features:
            diagnostic = Diagnostic("R008", f"{call.node[:200]}: {fault[:1000]}", str(self.path))
            return (Unknown(diagnostic),) * len(node.outputs)
        name = self.found.free(call.node[:200])
        self.found.add(Op(name, "unknown", tuple(value.op for value in features)))
        self.shapes[name] = features[0].shape
        if UNKNOWN in fault or not any(value.doubtful for value in features):
            self.found.faults[name] = fault[:1000]
        return (Feature(name, features[0].shape, doubtful=True),) * len(node.outputs)

    def fault(self, message: str) -> ArchspecError:
        return ModelFileError.one("R007", message, str(self.path))
