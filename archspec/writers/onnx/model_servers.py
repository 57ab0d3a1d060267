"""What Triton and OpenVINO Model Server want to know of an ONNX: text for their files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from onnx import ModelProto, TensorProto, ValueInfoProto

SIGNATURE = "# Written by densenet export."
LABELS = "labels.txt"
MAX_BATCH = 32
"""Images that Triton runs at once where the file leaves their number free."""
_TYPES: Mapping[int, str] = {
    TensorProto.FLOAT: "TYPE_FP32",
    TensorProto.FLOAT16: "TYPE_FP16",
    TensorProto.UINT8: "TYPE_UINT8",
}


def write_triton_config(model: ModelProto, name: str, classes: Sequence[str]) -> str:
    """Return the text of `config.pbtxt`: `ModelConfig` of Triton's `model_config.proto`.

    Where images at once are free, requests are joined to batches. An output of one number for each
    class has the classes' names, those of `LABELS`.
    """
    (reads,) = model.graph.input
    is_free = not _sizes(reads)[0] > 0
    lines = [
        SIGNATURE,
        f"name: {json.dumps(name)}",
        'platform: "onnxruntime_onnx"',
        f"max_batch_size: {MAX_BATCH if is_free else 0}",
    ]
    skipped = 1 if is_free else 0
    lines += ["input [", _write_value(reads, skipped), "]", "output ["]
    outputs = []
    for value in model.graph.output:
        # Triton counts labels over all of an answer, which several images at once would confuse.
        has_labels = bool(classes) and _sizes(value) in ([-1, len(classes)], [1, len(classes)])
        outputs.append(_write_value(value, skipped, LABELS if has_labels else ""))
    lines += [",\n".join(outputs), "]", *(["dynamic_batching {}"] if is_free else [])]
    return "\n".join(lines) + "\n"


def _write_value(value: ValueInfoProto, skipped: int, labels: str = "") -> str:
    kind = _TYPES[value.type.tensor_type.elem_type]
    sizes = ", ".join(map(str, _sizes(value)[skipped:]))
    lines = [f"name: {json.dumps(value.name)}", f"data_type: {kind}", f"dims: [ {sizes} ]"]
    if labels:
        lines.append(f"label_filename: {json.dumps(labels)}")
    indented = "".join(f"    {line}\n" for line in lines)
    return f"  {{\n{indented}  }}"


def _sizes(value: ValueInfoProto) -> list[int]:
    """Sizes, -1 of those that are free."""
    return [size.dim_value or -1 for size in value.type.tensor_type.shape.dim]


def write_ovms_config(entries: Sequence[Mapping[str, Any]]) -> str:
    """Return the text of OpenVINO Model Server's `config.json`, which lists the models."""
    return json.dumps({"model_config_list": [*entries]}, indent=2) + "\n"


def list_for_ovms(name: str) -> Mapping[str, Any]:
    """Return what `config.json` says of a model; its place is told from that of the file itself."""
    return {"config": {"name": name, "base_path": name}}
