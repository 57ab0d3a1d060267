"""Files of weights: which kind a file is, its content tells; what is read are arrays by name."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from archspec import file_kinds
from archspec.errors import ArchspecError, Diagnostic, ModelFileError
from archspec.runtime import import_mindspore
from archspec.weights.averages import NoAverages, choose_weights, is_average
from archspec.weights.formats import ckpt
from archspec.weights.formats.number_types import FLOATS, LAYOUT, Floats, as_floats
from archspec.weights.formats.pickle_description import PickleRefused
from archspec.weights.formats.pth import read_pth

MAX_BYTES = 2 * 2**30
MAX_NAME = 200
"""Characters in a tensor's name."""
MAX_DIMENSIONS = 16
"""Of a tensor; NumPy knows no more than 32."""
WRITTEN = (".ckpt", ".safetensors")

_KNOWN = "a MindSpore .ckpt, a .safetensors or a torch .pth file is needed"
_OF_MODELS = (
    "certify compares it with a spec, lift writes its spec; "
    "its weights are in the checkpoint that it was made of"
)
_STRANGERS: Mapping[str, str] = {
    file_kinds.LFS: "git lfs pull fetches the file itself",
    file_kinds.ONNX: _OF_MODELS,
    file_kinds.MINDIR: _OF_MODELS,
    file_kinds.HDF5: "save the weights as .safetensors",
    file_kinds.NUMPY: "save the weights as .safetensors",
    file_kinds.TAR: "torch.load and torch.save write it anew",
    file_kinds.PACKED: "unpack it",
    file_kinds.PAGE: "the download went wrong",
}
_BEST = "checkpoints/best.ckpt"


@dataclass(frozen=True)
class Weights:
    """What a file holds: the tensors of a network, and the names of what is none."""

    kind: str
    tensors: Mapping[str, Floats]
    set_aside: tuple[str, ...]
    """Optimizer state, moving averages of weights, counters."""
    foreign: tuple[str, ...] = ()
    """Classes and functions that a .pth asks for beside its tensors, by name; none was run."""
    choice: str = ""
    """Whether plain weights were taken or their moving averages, where there is a choice."""


def read_tensors(path: Path) -> Mapping[str, Floats]:
    """Return the tensors of a network in a file, by the file's names, as 32-bit floats.

    Raises as `read_weights`.
    """
    return read_weights(path).tensors


def read_weights(path: Path, ema: bool = False) -> Weights:
    """Return what a MindSpore checkpoint, a .safetensors or a torch .pth file holds;
    nothing of it is run.

    Args:
        path: the file.
        ema: take the moving averages of weights (EMA) that it holds, or that its name says it is.

    Raises:
        ModelFileError: R001, absent or unreadable; R002, not whole or of no such kind; R003, no EMA
            weights, or several sets of them; R010, a .pth that is refused.
    """
    raw = _read_bytes(path)
    kind = _recognise_kind(raw, path)
    try:
        weights = _read_asked(kind, raw, path, ema)
    except NoAverages as fault:
        cure = "without --ema its plain weights are taken" if ema else ""
        raise ModelFileError.one("R003", str(fault), str(path), cure) from None
    _check_names(weights.tensors, path)
    return _without_counters(_with_vectors(weights))


def _read_asked(kind: str, raw: bytes, path: Path, ema: bool) -> Weights:
    """Some write averages into a file of their own, whose name alone tells it: `best_ema.ckpt`."""
    if ema and is_average(path.stem):
        whole = _read_kind(kind, raw, path, ema=False)
        if not whole.choice:
            return replace(whole, choice="the file's name says that its weights are EMA weights")
    return _read_kind(kind, raw, path, ema)


def _read_kind(kind: str, raw: bytes, path: Path, ema: bool) -> Weights:
    if kind == "torch":
        return _read_torch(raw, path, ema)
    weights = _read_mindspore(path) if kind == "MindSpore" else _read_safetensors(raw, path)
    chosen = choose_weights(weights.tensors, {}, ema)
    others = tuple(name for name in weights.tensors if name not in chosen.tensors)
    return replace(
        weights,
        tensors=chosen.tensors,
        set_aside=(*others, *weights.set_aside),
        choice=chosen.remark,
    )


def _with_vectors(weights: Weights) -> Weights:
    """A factor of each channel, which PyTorch has as (C, 1, 1)
    to meet feature maps, is a vector.
    """
    factors = {
        name: each.reshape(-1)
        for name, each in weights.tensors.items()
        if each.ndim == 3 and each.shape[1:] == (1, 1)
    }
    return replace(weights, tensors={**weights.tensors, **factors})


def _without_counters(weights: Weights) -> Weights:
    """PyTorch's norms count their batches; a file that was cast whole has the counts as floats."""
    counters = [name for name in weights.tensors if name.endswith("num_batches_tracked")]
    kept = {name: each for name, each in weights.tensors.items() if name not in counters}
    return replace(weights, tensors=kept, set_aside=(*weights.set_aside, *counters))


def _read_bytes(path: Path) -> bytes:
    try:
        special = file_kinds.identify_special(path)
        if special:  # which could wait, or go on, for ever
            raise ModelFileError.one("R001", f"is {special}, no file", str(path), _KNOWN)
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        hint = _hint_for_folder(path) if isinstance(error, IsADirectoryError) else ""
        message = f"cannot be read: {error.strerror}"
        raise ModelFileError.one("R001", message, str(path), hint) from None
    if not raw:
        raise ModelFileError.one("R002", "is empty", str(path))
    if len(raw) > MAX_BYTES:
        raise ModelFileError.one("R002", f"is larger than {MAX_BYTES // 2**30} GiB", str(path))
    return raw


def _hint_for_folder(path: Path) -> str:
    if (path / _BEST).is_file():
        return f"a run's weights are in {path / _BEST}"
    return "name a file in it"


def _recognise_kind(raw: bytes, path: Path) -> str:
    if raw[8:9] == b"{" and int.from_bytes(raw[:8], "little") <= len(raw) - 8:
        return "safetensors"  # whose length, which comes first, may look like another kind
    if raw.startswith((b"PK\x03\x04", b"\x80")):
        return "torch"
    kind = file_kinds.identify_kind(raw[: file_kinds.HEAD])
    if raw.startswith(b"\n") and kind not in _STRANGERS:  # field 1 of a protobuf message, a tensor
        return "MindSpore"
    hint = f"it is {kind}; {_STRANGERS[kind]}" if kind in _STRANGERS else _KNOWN
    if kind == file_kinds.TEXT:
        hint = f"{_KNOWN}; this is text, such as a spec: convert WEIGHTS --spec SPEC"
    raise ModelFileError.one("R002", "is no file of weights that is known here", str(path), hint)


def _read_mindspore(path: Path) -> Weights:
    ms = import_mindspore()
    with tempfile.TemporaryDirectory() as folder:  # MindSpore goes by the suffix
        link = Path(folder) / "weights.ckpt"
        link.symlink_to(path.resolve())
        try:
            held = ckpt.read_checkpoint(link)
        except ModelFileError as error:
            # The user knows the file, not the link.
            raise ModelFileError(
                Diagnostic(f.code, f.message, str(path), f.hint) for f in error.diagnostics
            ) from None
    kinds = (ms.float32, ms.float16, ms.bfloat16, ms.float64)
    tensors: dict[str, Floats] = {}
    for name, tensor in held.items():
        is_state = ckpt.TRAINING_STATE.match(name) and not is_average(name.partition(".")[0])
        if not is_state and getattr(tensor, "dtype", None) in kinds:
            tensors[name] = np.array(tensor.astype(ms.float32).asnumpy())
    set_aside = tuple(name for name in held if name not in tensors)
    return Weights("MindSpore checkpoint", tensors, set_aside)


def _read_safetensors(raw: bytes, path: Path) -> Weights:
    from safetensors import SafetensorError, deserialize

    try:
        # Sorted, as the file has no order of its own.
        held = dict(sorted(deserialize(raw)))  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        reason = str(error).removeprefix("Error while deserializing: ")
        message = f"is no whole .safetensors file: {reason}"
        raise ModelFileError.one("R002", message, str(path)) from None
    deep = [name for name, given in held.items() if len(given["shape"]) > MAX_DIMENSIONS]
    if deep:
        rule = f"has more than {MAX_DIMENSIONS} dimensions"
        raise ModelFileError.one("R002", f"{deep[0][:100]!r} {rule}", str(path))
    unknown = {given["dtype"] for given in held.values()} - LAYOUT.keys()
    if unknown:
        kinds = ", ".join(sorted(unknown))
        raise ModelFileError.one("R002", f"holds numbers of an unknown kind: {kinds}", str(path))
    tensors = {name: _make_array(g) for name, g in held.items() if g["dtype"] in FLOATS}
    set_aside = tuple(name for name in held if name not in tensors)
    return Weights(".safetensors file", tensors, set_aside)


def _make_array(given: Mapping[str, Any]) -> Floats:
    numbers = np.frombuffer(given["data"], LAYOUT[given["dtype"]]).reshape(given["shape"])
    return as_floats(numbers, given["dtype"])


def _read_torch(raw: bytes, path: Path, ema: bool) -> Weights:
    try:
        state = read_pth(raw, ema)
    except PickleRefused as refused:
        message = f"is no .pth file that can be read: {refused}"
        raise ModelFileError.one("R010", message, str(path), refused.cure) from None
    return Weights("torch .pth file", state.tensors, state.beside, state.foreign, state.remark)


def _check_names(tensors: Mapping[str, Floats], path: Path) -> None:
    """Names go into messages, patterns and other files."""
    for name in tensors:
        if not name or len(name) > MAX_NAME or not name.isprintable():
            raise ModelFileError.one(
                "R002", f"has a tensor whose name is none: {name[:40]!r}", str(path)
            )
    if not tensors:
        raise ModelFileError.one("R002", "holds no tensors of a network", str(path))


def check_target(path: Path) -> None:
    """Raise ArchspecError (W001) where a file of this suffix cannot be written."""
    if path.suffix not in WRITTEN:
        hint = "torch reads .safetensors too" if path.suffix in (".pth", ".pt") else ""
        raise ArchspecError.one("W001", f"must end in {' or '.join(WRITTEN)}", str(path), hint)


def write_tensors(path: Path, tensors: Mapping[str, Floats]) -> None:
    """Write tensors as a MindSpore checkpoint or as .safetensors, by the suffix;
    whole or not at all.

    Raises:
        ArchspecError: W001, another suffix; W002, it cannot be written.
    """
    check_target(path)
    try:
        if path.suffix == ".ckpt":
            _write_mindspore(path, tensors)
        else:
            _write_safetensors(path, tensors)
    except (OSError, RuntimeError, ValueError) as error:
        raise ArchspecError.one(
            "W002", f"cannot be written: {ckpt.explain_failure(error)}", str(path)
        ) from None


def _write_mindspore(path: Path, tensors: Mapping[str, Floats]) -> None:
    ms = import_mindspore()
    ckpt.write_checkpoint(
        path, [{"name": name, "data": ms.Tensor(array)} for name, array in tensors.items()]
    )


def _write_safetensors(path: Path, tensors: Mapping[str, Floats]) -> None:
    from safetensors.numpy import save

    raw = save({name: np.ascontiguousarray(array) for name, array in tensors.items()})
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
