"""What a network is known to give: an ONNX model to run, or an input and output in an .npz."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from archspec import file_kinds
from archspec.errors import ModelFileError, format_count
from archspec.graph.ir import Graph
from archspec.readers.frontends import FRONTENDS
from archspec.runtime import import_mindspore, import_onnx_runtime
from archspec.spec.spec import Spec
from archspec.weights.formats.number_types import Floats
from archspec.weights.load_into import load_tensors

TOLERANCE = 1e-4
"""Of the largest value of the output."""
IMAGES = 8
"""The first so many are run."""
SEED = 0
MAX_BYTES = 2**30
MAX_BATCH = 256
NAMES = (("x", "y"), ("input", "output"))

# What NumPy raises for archives that are damaged, or that hold objects and not numbers.
_NPZ_FAULTS = (
    zipfile.BadZipFile,
    ValueError,
    EOFError,
    OSError,
    KeyError,
    RuntimeError,
    MemoryError,
)


@dataclass(frozen=True)
class Witness:
    """Images (N, C, H, W) and what the network gives for them, (N, classes)."""

    path: Path
    images: Floats
    outputs: Floats


def read_witness(path: Path, spec: Spec) -> Witness:
    """Return what a file says that the network of a spec gives.

    Raises:
        EnvironmentFault: E009, onnxruntime is not installed.
        ModelFileError: R001, absent or no file; R002, neither .npz nor ONNX; R006, an ONNX model
            that does not run; R014, arrays that are no images of the spec's size, or no numbers.
    """
    head = _read_head(path)
    if file_kinds.identify_kind(head) == file_kinds.ZIP:
        images, outputs = _read_npz(path)
    elif any(row.sniff(head) and row.runs_in_onnx_runtime for row in FRONTENDS):
        images, outputs = _run_onnx(path, spec)
    else:
        needed = "an ONNX model, or an .npz of an input x and its output y, is needed"
        raise ModelFileError.one("R002", "is no witness of a network", str(path), needed)
    _check_arrays(images, outputs, spec, path)
    return Witness(path, images[:IMAGES], outputs[:IMAGES])


def _read_head(path: Path) -> bytes:
    try:
        special = file_kinds.identify_special(path)
        if special:
            raise ModelFileError.one("R001", f"is {special}, no file", str(path))
        with path.open("rb") as file:
            return file.read(file_kinds.HEAD)
    except OSError as error:
        raise ModelFileError.one("R001", f"cannot be read: {error.strerror}", str(path)) from None


def _read_npz(path: Path) -> tuple[Floats, Floats]:
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > MAX_BYTES:
            raise ModelFileError.one("R014", f"holds more than {MAX_BYTES:,} bytes", str(path))
        # Without pickles, which would run code.
        with np.load(path, allow_pickle=False) as held:
            x, y = _find_names(held.files, path)
            return np.asarray(held[x], np.float32), np.asarray(held[y], np.float32)
    except _NPZ_FAULTS:
        raise ModelFileError.one("R002", "is no whole .npz of numbers", str(path)) from None


def _find_names(held: Sequence[str], path: Path) -> tuple[str, str]:
    for pair in NAMES:
        if set(pair) <= set(held):
            return pair
    named = ", ".join(held[:5]) or "nothing"
    hint = "np.savez(FILE, x=images, y=outputs)"
    raise ModelFileError.one("R014", f"holds {named[:200]!r} and not x and y", str(path), hint)


def _run_onnx(path: Path, spec: Spec) -> tuple[Floats, Floats]:
    runtime = import_onnx_runtime()
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    with _onnxruntime_faults(path):
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    inputs = session.get_inputs()
    if len(inputs) != 1 or len(inputs[0].shape) != 4:
        shapes = ", ".join(str(given.shape) for given in inputs[:5])
        message = f"has inputs of {shapes}, and not one batch of images"
        raise ModelFileError.one("R014", message, str(path))
    images = _make_images(inputs[0].shape, spec, path)
    with _onnxruntime_faults(path):
        outputs = session.run(None, {inputs[0].name: images})
    return images, np.asarray(outputs[0], np.float32)


@contextmanager
def _onnxruntime_faults(path: Path) -> Iterator[None]:
    """ONNX Runtime's errors have no class in common."""
    try:
        yield
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise ModelFileError.one("R006", f"ONNX Runtime: {reason}", str(path)) from None


def _make_images(shape: Sequence[Any], spec: Spec, path: Path) -> Floats:
    """Images of the size that a model was exported for; what it leaves open is the spec's."""
    sizes = [2, spec.input.channels, spec.input.height, spec.input.width]
    for axis, size in enumerate(shape):
        if isinstance(size, int):
            sizes[axis] = size
    _check_size(sizes, spec, path)
    if not 0 < sizes[0] <= MAX_BATCH:
        raise ModelFileError.one("R014", f"reads {sizes[0]:,} images at once", str(path))
    return np.random.default_rng(SEED).normal(size=sizes).astype(np.float32)


def _check_size(shape: Sequence[int], spec: Spec, path: Path) -> None:
    wanted = (spec.input.channels, spec.input.height, spec.input.width)
    if tuple(shape[1:]) != wanted:
        sizes = ", ".join(map(str, wanted))
        message = f"has an input of {tuple(shape)}, the spec's network reads (N, {sizes})"
        hint = "--set input.height=, input.width= say another size"
        raise ModelFileError.one("R014", message, str(path), hint)


def _check_arrays(images: Floats, outputs: Floats, spec: Spec, path: Path) -> None:
    _check_size(images.shape, spec, path)
    if not len(images) or outputs.shape[:1] != images.shape[:1]:
        message = f"has {format_count(len(images), 'image')} and an output of {outputs.shape}"
        raise ModelFileError.one("R014", message, str(path))
    if not (np.isfinite(images).all() and np.isfinite(outputs).all()):
        raise ModelFileError.one("R014", "holds numbers that are NaN or infinite", str(path))


class Runner:
    """The network of a graph, run by MindSpore with one set of weights after another."""

    def __init__(self, graph: Graph, witness: Witness) -> None:
        ms = import_mindspore()
        from archspec.writers.mindspore.create_model import create_network

        ms.set_context(mode=ms.GRAPH_MODE)
        self.network = create_network(graph).set_train(False)
        self.images = ms.Tensor(witness.images)
        self.witness = witness

    def distance(self, tensors: Mapping[str, Floats]) -> float:
        """Return max|output - witness's| / max|witness's|.

        Raises:
            ModelFileError: R014, the witness's output has another shape.
        """
        load_tensors(self.network, tensors)
        made = self.network(self.images)
        last = made[-1] if isinstance(made, tuple) else made  # features come before
        found: npt.NDArray[np.float32] = last.asnumpy()
        expected = self.witness.outputs
        if found.shape != expected.shape:
            message = f"has an output of {expected.shape}, the network gives {found.shape}"
            raise ModelFileError.one("R014", message, str(self.witness.path))
        if not np.isfinite(found).all():
            return float("inf")
        # An output of zeros alone has no largest value to measure by.
        return float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-30))
