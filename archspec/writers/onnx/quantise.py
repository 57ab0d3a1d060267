"""An ONNX model in whole numbers of 8 bits, by ONNX Runtime's own quantiser.

Behind the image and behind convolutions and dense layers, and on their weights, it puts pairs of
QuantizeLinear and DequantizeLinear, which engines compute as one with what they stand on. Weights
are int8 with a scale for each channel, around zero; features are uint8, of which ONNX Runtime has
the quick kernels on x86, and of which OpenVINO runs as quick as of int8.

Norms behind a convolution are folded first. All others, joins and pools stay float32: quantised
too, densenet121 was slower in both engines.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, helper, load, numpy_helper, save

from archspec.operators.table import ROWS
from archspec.runtime import import_onnx_runtime, import_quantiser
from archspec.writers.onnx.dead_features import give_ranges

METHOD = "minmax"
"""How the range of a feature is chosen: from the least to the largest value that it had."""
_LEFT_OUT = (
    "ConvMulFusion",
    "ConvAddFusion",
    "CommonSubexpressionElimination",
    "ConstantSharing",
)
"""They put scales and shifts that the spec has into weights, so that no reader finds them; or let
one operator stand for several with equal weights, as those of an untrained network are."""

Values = npt.NDArray[np.float32]


def quantise(source: Path, batches: Iterator[Values]) -> ModelProto:
    """Return a quantised model of a file's, calibrated by batches of images (N, C, H, W).

    Writes files of its own beside the source. Raises EnvironmentFault (E009).
    """
    quantiser = import_quantiser()
    folded, made = (source.with_name(f"{name}-{source.name}") for name in ("folded", "quantised"))
    single = _fold_norms(source, folded)
    reader = _Reader(single.graph.input[0].name, batches)
    quantiser.quantize_static(
        str(folded),
        str(made),
        reader,
        quant_format=quantiser.QuantFormat.QDQ,
        op_types_to_quantize=[row.onnx_of_int8 for row in ROWS if row.onnx_of_int8],
        nodes_to_exclude=_find_padded(single),
        per_channel=True,
        activation_type=quantiser.QuantType.QUInt8,
        weight_type=quantiser.QuantType.QInt8,
        calibrate_method=quantiser.CalibrationMethod.MinMax,
    )
    model = load(made)
    give_ranges(model, folded, reader.shape)
    _leave_room_beside_zero(model, single)
    used = {node.domain for node in model.graph.node}
    kept = [each for each in model.opset_import if each.domain in used]
    del model.opset_import[:]  # ONNX Runtime lists all that it knows
    model.opset_import.extend(kept)
    return model


def _fold_norms(source: Path, target: Path) -> ModelProto:
    """As the quantiser's manual asks for: what ONNX Runtime makes of a model at its basic level."""
    runtime = import_onnx_runtime()
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    providers = ["CPUExecutionProvider"]
    runtime.InferenceSession(str(source), options, providers, disabled_optimizers=[*_LEFT_OUT])
    model = load(target)
    helper.set_model_props(model, {"onnx.quant.pre_process": "onnxruntime.quant"})  # else it warns
    save(model, target)
    return model


def _find_padded(model: ModelProto) -> list[str]:
    """Convolutions behind a padding of their own, such as blurs: it stands right before them."""
    pads = {node.output[0] for node in model.graph.node if node.op_type == "Pad"}
    return [node.name for node in model.graph.node if pads & {*node.input}]


def _leave_room_beside_zero(model: ModelProto, single: ModelProto) -> None:
    """Let each feature have a value below zero that no ReLU gives, and one above it: what the
    calibration saw none of would be cut off at zero, which is another network.
    """
    relus = {node.output[0] for node in single.graph.node if node.op_type == "Relu"}
    pairs = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
    zeros = {node.input[2] for node in pairs}
    of_others = {node.input[2] for node in pairs if node.input[0] not in relus}
    for tensor in model.graph.initializer:
        if tensor.name not in zeros:
            continue
        least = 1 if tensor.name in of_others else 0
        moved = np.clip(numpy_helper.to_array(tensor), least, 254).astype(np.uint8)
        tensor.CopyFrom(numpy_helper.from_array(moved, tensor.name))


class _Reader:
    """What the quantiser asks for images."""

    def __init__(self, name: str, batches: Iterator[Values]) -> None:
        self.name = name
        self.batches = batches
        self.shape: tuple[int, ...] = ()
        """Of the last batch."""

    def get_next(self) -> dict[str, Any] | None:
        images = next(self.batches, None)
        if images is None:
            return None
        self.shape = images.shape
        return {self.name: images}
