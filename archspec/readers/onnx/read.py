"""ONNX to Graph: the network of an ONNX file, from whichever framework it comes.

A file of a convolution and a norm holds, in the words of `decode`:

    input      x             dims (-1, 3, 224, 224)
    constant   conv0.weight  dims (64, 3, 7, 7), and so on
    node       a = Conv(x, conv0.weight), strides (2, 2), pads (3, 3, 3, 3)
    node       b = BatchNormalization(a, norm0.weight, ..bias, ..running_mean, ..running_var)
    output     b

and gives an input, a conv and a batch_norm. The path of a file is decode (bytes to nodes),
interpret (nodes run on shapes) with operators (what each is), and `reading_of` (the graph of what
was met).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from archspec.errors import format_count
from archspec.graph.ir import Graph
from archspec.operators.table import OPERATORS
from archspec.readers.interpreter import FreeSize
from archspec.readers.onnx.decode import Model, Node, read_model
from archspec.readers.onnx.interpret import run_model
from archspec.readers.reading import Reading, reading_of
from archspec.readers.tensors import Computed, Source, Tensor, evaluate
from archspec.readers.trace import Feature, Grid


def read_onnx(path: Path) -> Graph:
    """Return the graph of an ONNX file:
    operators without regions, those alone that lead to the output.

    Weights' values are not read, nor is anything outside the file. Uneven padding stays in
    `padding` as (top, bottom, left, right). An attribute that a file does not tell is None: the
    `eps` of a batch norm written as a scale and a shift, `ceil` where both give the same size. An
    operator that uses filters a second time has `weights_of` the first.

    Raises:
        ModelFileError: R005, the file cannot be read; R006, it is no ONNX or is cut short; R007,
            its nodes cannot be followed; R008, operators that dense networks do not have.
    """
    return onnx_reading(path).graph


@dataclass(frozen=True, slots=True)
class OnnxReading(Reading):
    """What an ONNX file holds, and what its tensors are in the graph."""

    model: Model
    features: Mapping[str, Feature]
    """Tensors that are an operator's output, by their names in the file."""
    grids: Mapping[str, Grid] = field(default_factory=dict, kw_only=True)
    """What features are rounded to, by the whole numbers' name in the file."""
    whole_weights: Mapping[str, Computed] = field(default_factory=dict, kw_only=True)
    """Constants that whole numbers stand for, by their name in the file."""
    implied: Mapping[str, float] = field(default_factory=dict, kw_only=True)
    """ReLUs for which whole numbers stand alone, and the largest value of these."""


def onnx_reading(path: Path, size: FreeSize = None) -> OnnxReading:
    """Return the graph as `read_onnx` does, where the weights of its operators are,
    and its nodes. Images have this size where the file leaves theirs free.
    """
    model = read_model(path)
    trace, ends, values = run_model(model, path, size)
    reading = reading_of(trace, ends, path)
    features = {
        name: value
        for name, value in values.items()
        if isinstance(value, Feature) and not value.pending
    }
    return OnnxReading(
        reading.graph,
        reading.weights,
        model,
        features,
        zero_biases=_zero_biases(reading),
        norms_shift=_norms_shift(reading),
        notes=(*reading.notes, *_describe_quantised(model, values)),
        grids=trace.grids,
        whole_weights=trace.whole_weights,
        implied=trace.implied,
    )


def _zero_biases(reading: Reading) -> frozenset[str]:
    """Operators whose bias is all zero, of which the values are known."""
    biases = {
        name: known.others
        for name, known in reading.weights.items()
        if OPERATORS[reading.graph.ops[name].kind].has_filters and known.others
    }
    return frozenset(name for name, others in biases.items() if all(map(_is_zero, others)))


def _norms_shift(reading: Reading) -> bool:
    """Whether a beta or a mean is known that is not zero."""
    kinds = {name: op.kind for name, op in reading.graph.ops.items()}
    known = reading.weights.items()
    norms = (norm for name, norm in known if OPERATORS[kinds[name]].has_statistics)
    shifts = (each for norm in norms for each in norm.others if each is not norm.variance)
    return any(not _is_zero(shift) for shift in shifts if evaluate(shift) is not None)


def _is_zero(source: Source) -> bool:
    values = evaluate(source)
    return values is not None and not values.any()


def _describe_quantised(model: Model, values: Mapping[str, Any]) -> Iterator[str]:
    """Pairs of QuantizeLinear and DequantizeLinear, which leave no operator in the graph."""
    types: dict[type, list[str]] = {Feature: [], Tensor: []}
    for node in model.nodes:
        made = values.get(node.outputs[0]) if node.outputs else None
        if node.kind.endswith("DequantizeLinear") and type(made) in types:
            types[type(made)].append(_type_of(node, values))
    if any(types.values()):
        maps = _count_with_types(types[Feature], "feature map")
        weights = _count_with_types(types[Tensor], "weight")
        yield f"{maps} and {weights} are quantised: rounding and clipping are not compared"


def _type_of(node: Node, values: Mapping[str, Any]) -> str:
    """What the zero point of a DequantizeLinear says, "" where it has none."""
    zero = values.get(node.inputs[2]) if node.inputs[2:] else None
    if not isinstance(zero, Tensor) or zero.values is None:
        return ""
    return str(zero.values.dtype)


def _count_with_types(types: Sequence[str], noun: str) -> str:
    told = ", ".join(sorted({*types} - {""}))
    return format_count(len(types), noun) + (f" ({told})" if told else "")
