"""An exported network in smaller numbers: what runs it, and what it loses beside float32."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from archspec.errors import ArchspecError, EnvironmentFault, format_count, name_first
from archspec.graph.build import build_graph
from archspec.graph.ir import Graph
from archspec.operators.table import OPERATORS
from archspec.runtime import import_onnx_runtime, import_openvino
from archspec.train.data.sources.source import Source
from archspec.train.export.calibration_images import (
    choose_calibration_images,
    load_calibration_batches,
)
from archspec.train.export.onnx_form import OnnxForm, Precision
from archspec.train.trained.engines import MAX_REASON, EngineName, load_network
from archspec.train.trained.judging import judge_images
from archspec.train.trained.trained import Trained

if TYPE_CHECKING:
    from onnx import ModelProto

TOLERANCES: Mapping[Precision, float] = {
    "float32": 1e-5,
    "float16": 16 * 2.0**-11,
    "bfloat16": 16 * 2.0**-8,
    "int8": 1.0,
}
"""Of outputs, relative to the largest. Of float32 what sums in another order leave; of numbers of
16 bits that many roundings; of int8 accuracy tells more, and this that it computes something."""
_ENGINES: Mapping[EngineName, tuple[str, Callable[[], Any]]] = {
    "onnxruntime": ("ONNX Runtime", import_onnx_runtime),
    "openvino": ("OpenVINO", import_openvino),
}

Values = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Reduced:
    """A model in smaller numbers."""

    model: ModelProto
    about: Mapping[str, str]
    """What the file says of its numbers."""
    images: str = ""
    """How many of which it was calibrated by, where it was."""


@dataclass(frozen=True)
class Loss:
    """What is left of a network in smaller numbers."""

    distance: float
    """From MindSpore's outputs, the largest relative to the largest."""
    agreeing: int
    """Images, or pixels, of which the likeliest class is MindSpore's."""
    judged: int
    """Of so many."""
    before: Any = None
    """Figures on held-out images in float32; None: there are none, or nobody judged."""
    after: Any = None
    """In the smaller numbers."""
    judged_by: str = ""
    """Which images these are."""


def engine_for(precision: Precision) -> EngineName:
    """Return what runs a file on this machine: ONNX Runtime has no bfloat16 on CPUs."""
    return "openvino" if precision == "bfloat16" else "onnxruntime"


def title_of(engine: EngineName) -> str:
    """Return what an engine's makers call it."""
    return _ENGINES[engine][0]


def import_engine_for(precision: Precision) -> Any:
    """Return the package that runs a file. Raises EnvironmentFault (E009)."""
    engine = engine_for(precision)
    title, load = _ENGINES[engine]
    try:
        return load()
    except EnvironmentFault as error:
        (fault,) = error.diagnostics
        cure = f"{fault.hint}, or --unchecked writes a file that nobody has run"
        if precision == "bfloat16":
            cure = f"ONNX Runtime has no bfloat16 on CPUs: {cure}"
        if precision == "int8":
            cure = f"{fault.hint}: its quantiser is {title}'s"
        raise EnvironmentFault.one("E009", fault.message, fault.where, cure) from None


def reduce_precision(trained: Trained, model: ModelProto, file: Path, form: OnnxForm) -> Reduced:
    """Return a model of float32, which lies in `file` too, in smaller numbers.

    Raises:
        ArchspecError: W004, see `halve_numbers` and `choose_calibration_images`, or it cannot be
            quantised.
        DataError: D..., calibration images cannot be read.
    """
    from archspec.writers.onnx.halves import halve_numbers
    from archspec.writers.onnx.onnx_files import data_file_of
    from archspec.writers.onnx.quantise import METHOD, quantise

    if form.precision != "int8":
        halve_numbers(model, form.precision)
        return Reduced(model, {"precision": form.precision})
    if data_file_of(file).exists():
        rule = "the weights are too many for one file: they cannot be quantised"
        raise ArchspecError.one("W004", rule, hint="--precision float16")
    _refuse_standardized(build_graph(trained.spec))
    images = choose_calibration_images(trained, form.calibration)
    told = {"method": METHOD, "images": len(images)}  # not where they lie: that is nobody's
    with _quantisers_refusals():
        made = quantise(file, load_calibration_batches(trained, images, form.batch))
    about = {"precision": form.precision, "calibration": json.dumps(told)}
    return Reduced(made, about, f"{format_count(len(images), 'image')} of {images.name}")


@contextmanager
def _quantisers_refusals() -> Iterator[None]:
    """What the quantiser does not take; its errors have no class in common."""
    try:
        yield
    except (ArchspecError, OSError):
        raise
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:MAX_REASON]
        raise ArchspecError.one("W004", f"ONNX Runtime's quantiser: {reason}") from None


def _refuse_standardized(graph: Graph) -> None:
    """Rounded, standardized filters do not show that they were."""
    ops = graph.ops.values()
    names = [op.name for op in ops if OPERATORS[op.kind].standardizes(op.attrs)]
    if names:
        rule = "has standardized filters, of which no file of int8 tells that they were"
        raise ArchspecError.one("W004", rule, name_first(names), "--precision float16")


def measure_loss(made: Sequence[Values], wanted: Sequence[Values]) -> Loss:
    """Return how far outputs are from MindSpore's, and for how many images the last of them, the
    head's, says the same class.
    """
    is_same = np.argmax(made[-1], axis=1) == np.argmax(wanted[-1], axis=1)
    distance = max(map(measure_distance, made, wanted))
    return Loss(distance, int(is_same.sum()), is_same.size)


def measure_distance(made: Values, wanted: Values) -> float:
    """Return the largest difference, relative to the largest value; infinite where it is none."""
    if made.shape != wanted.shape:
        return float("inf")
    found = float(np.abs(made - wanted).max() / (np.abs(wanted).max() or 1))
    return found if np.isfinite(found) else float("inf")


def judge_both(loss: Loss, trained: Trained, files: Sequence[Path], source: Source) -> Loss:
    """Return the loss with figures on held-out images, before and after.

    `files` are the network in float32, and in smaller numbers; ONNX Runtime runs both.
    """
    figures = []
    for file in files:
        network = load_network(file, "onnxruntime")
        found = judge_images(replace(trained, exported=network), source)
        figures.append(found.figures)
    before, after = figures
    return replace(loss, before=before, after=after, judged_by=source.name)
