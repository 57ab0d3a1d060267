"""An ONNX model as a file, with its weights beside it where they are too many for one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from onnx import ModelProto, TensorProto, helper, save_model

from archspec.errors import ModelFileError, make_printable
from archspec.files import sha256_of

LARGEST_MESSAGE = 2_000_000_000
"""Bytes of weights that stand in the file itself: one message may have 2 GiB."""
DATA_DIGEST = "data_sha256"
"""What the metadata calls the digest of what lies beside the file."""


def save_onnx(model: ModelProto, file: Path) -> None:
    """Write a model; weights that are too many go into `NAME.onnx.data` in the same folder, as ONNX
    has it. Raises OSError.
    """
    size = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    beside = data_file_of(file)
    if size > LARGEST_MESSAGE:  # the model has them no more then, and may be saved once more
        save_model(
            model,
            file,
            save_as_external_data=True,
            all_tensors_to_one_file=True,
            location=beside.name,
        )
        shutil.copymode(file, beside)  # onnx lets nobody else read it
    if _list_beside(model):
        told = _read_texts(model) | {DATA_DIGEST: sha256_of(beside)}
        helper.set_model_props(model, told)
    save_model(model, file)


def check_beside(file: Path, model: ModelProto) -> None:
    """Check that the weights which lie beside an ONNX, the model of a file, are those that it was
    written with, where it says so: of some other export they would fit as well.

    Raises:
        ModelFileError: R006, they are others.
    """
    digest = _read_texts(model).get(DATA_DIGEST)
    for name in _list_beside(model) if digest else ():
        beside = file.parent / name
        if not beside.is_file() or sha256_of(beside) != digest:
            rule = f"{make_printable(name)} does not hold the weights that it was written with"
            cure = "put back the file that was written beside it, or export again"
            raise ModelFileError.one("R006", rule, str(file), cure)


def _read_texts(model: ModelProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props}


def _list_beside(model: ModelProto) -> list[str]:
    """Names of the files, in its folder, that a model keeps weights in."""
    names = set()
    for tensor in model.graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL:
            names |= {entry.value for entry in tensor.external_data if entry.key == "location"}
    return sorted(name for name in names if Path(name).name == name)


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
