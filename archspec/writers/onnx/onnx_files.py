"""An ONNX model as a file, with its weights beside it where they are too many for one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from onnx import ModelProto, save_model

LARGEST_MESSAGE = 2_000_000_000
"""Bytes of weights that stand in the file itself: one message may have 2 GiB."""


def save_onnx(model: ModelProto, file: Path) -> None:
    """Write a model; weights that are too many go into `NAME.onnx.data` in the same folder, as ONNX
    has it. Raises OSError.
    """
    size = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    if size <= LARGEST_MESSAGE:
        save_model(model, file)
        return
    beside = data_file_of(file).name
    save_model(
        model, file, save_as_external_data=True, all_tensors_to_one_file=True, location=beside
    )
    shutil.copymode(file, data_file_of(file))  # onnx lets nobody else read it


def data_file_of(file: Path) -> Path:
    """Return where weights lie that do not fit into the file."""
    return file.with_name(f"{file.name}.data")


def move_onnx(source: Path, target: Path) -> None:
    """Put a file in another's place, what lies beside it first: the new file needs it.

    Both have one name, which the file knows what lies beside it by. Raises OSError.
    """
    beside = data_file_of(source)
    if beside.exists():
        os.replace(beside, data_file_of(target))
    os.replace(source, target)
