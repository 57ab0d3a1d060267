"""Features that are zero in all calibration images, such as those of a gate that none opens.

The quantiser gives such a feature steps of 1, whatever it is where another image opens it, and the
biases of what reads it steps as coarse. So its range is taken from random images instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, load, numpy_helper

from archspec.runtime import import_onnx_runtime

SEED = 5
STEPS = 255
MOST = 2.0**30
"""Steps of the largest bias, which is an int32."""
UNTOLD = 1.0
"""The range of what random images give nothing of either."""

Array = Any


def give_ranges(model: ModelProto, single: Path, shape: Sequence[int]) -> None:
    """Change the scales of features that are all zero in calibration, and of biases beside them.

    Args:
        model: what the quantiser has made.
        single: the file that it was made of.
        shape: of images (N, C, H, W).
    """
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    dead = [node for node in model.graph.node if _is_dead(node, constants)]
    if not dead:
        return
    source = load(single)
    biases = {tensor.name: tensor for tensor in source.graph.initializer}
    ranges = _find_ranges(source, [node.input[0] for node in dead], shape)
    for node in dead:
        low, high = ranges[node.input[0]]
        scale = (high - low) / STEPS
        read = list(_list_biases(model, node.output[0], constants))
        scale = max(scale, *(_find_least(*each, biases) for each in read), 0.0)
        _store(constants[node.input[1]], np.float32(scale))
        _store(constants[node.input[2]], np.uint8(np.rint(-low / scale)))
        for whole, steps in read:
            _rescale(whole, steps, scale, biases)


def _is_dead(node: NodeProto, constants: dict[str, TensorProto]) -> bool:
    """Say whether a feature has the steps that the quantiser gives where it saw no range."""
    if node.op_type != "QuantizeLinear" or node.input[0] in constants:
        return False
    scale, zero = (numpy_helper.to_array(constants[name]) for name in node.input[1:3])
    return bool((scale == 1).all() and (zero == 0).all())


def _find_ranges(
    source: ModelProto, names: Sequence[str], shape: Sequence[int]
) -> dict[str, tuple[float, float]]:
    """From the least to the largest value that random images give, zero included."""
    given = {value.name for value in source.graph.output}
    more = [name for name in dict.fromkeys(names) if name not in given]
    source.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in more)
    session = import_onnx_runtime().InferenceSession(
        source.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    images = np.random.default_rng(SEED).normal(size=shape).astype(np.float32)
    made = session.run([*names], {source.graph.input[0].name: images})
    return dict(zip(names, map(_range_of, made), strict=True))


def _range_of(values: Array) -> tuple[float, float]:
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    return (low, high) if high > low else (0.0, UNTOLD)


def _list_biases(
    model: ModelProto, whole: str, constants: dict[str, TensorProto]
) -> Iterator[tuple[TensorProto, TensorProto]]:
    """Whole numbers and steps of the biases of what reads a feature."""
    pairs = {node.output[0]: node for node in model.graph.node if node.op_type.startswith("Deq")}
    floats = {name for name, node in pairs.items() if node.input[0] == whole}
    for node in model.graph.node:
        if node.input and node.input[0] in floats and {*node.input[2:3]} & pairs.keys():
            bias = pairs[node.input[2]]
            yield constants[bias.input[0]], constants[bias.input[1]]


def _read_floats(whole: TensorProto, biases: dict[str, TensorProto]) -> Array:
    held = biases[whole.name.removesuffix("_quantized")]
    return numpy_helper.to_array(held).astype(np.float64)


def _find_least(whole: TensorProto, steps: TensorProto, biases: dict[str, TensorProto]) -> float:
    """The least scale of a feature with which a bias is a whole number still."""
    values = np.abs(_read_floats(whole, biases)) / numpy_helper.to_array(steps)
    return float(values.max() / MOST)


def _rescale(
    whole: TensorProto, steps: TensorProto, scale: float, biases: dict[str, TensorProto]
) -> None:
    made = (numpy_helper.to_array(steps) * scale).astype(np.float32)
    _store(whole, np.rint(_read_floats(whole, biases) / made).astype(np.int32))
    _store(steps, made)


def _store(tensor: TensorProto, values: Array) -> None:
    tensor.CopyFrom(numpy_helper.from_array(np.asarray(values), tensor.name))
