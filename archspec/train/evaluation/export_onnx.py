"""A trained network as ONNX: written, certified, run beside MindSpore, and only then there."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from archspec.certify.certify_file import certify_file
from archspec.errors import ArchspecError, Diagnostic, EnvironmentFault
from archspec.graph.build import build_graph
from archspec.graph.digest import structure_digest
from archspec.graph.ir import Graph
from archspec.runtime import import_onnx_runtime
from archspec.train.data.inputs import make_preprocess
from archspec.train.data.source import Source
from archspec.train.evaluation.engines import load_network
from archspec.train.evaluation.export_preprocess import (
    PreparedFit,
    choose_image_steps,
    compare_prepared,
    make_random_photos,
)
from archspec.train.evaluation.exported import IN_THE_FILE, check_batch, describe_network
from archspec.train.evaluation.trained import Trained
from archspec.verifiers.verify import verify_or_raise

if TYPE_CHECKING:
    from archspec.writers.onnx.image_steps import ImageSteps

IMAGES = 8
"""How many are compared."""
TOLERANCE = 1e-5
"""Of outputs, relative to the largest: what float32 leaves of sums in another order."""
UNCHECKED = "no: nobody ran it"

Values = npt.NDArray[np.float32]


@dataclass(frozen=True)
class OnnxForm:
    """How an ONNX is written."""

    opset: int = 18
    """The version of its operators."""
    batch: int | None = None
    """Images at once; free where absent."""
    is_sized: bool = True
    """Height and width are the spec's; else they are free."""
    is_checked: bool = True
    """It is run beside MindSpore."""
    has_preprocess: bool = False
    """It reads images as they are, and gives probabilities."""


@dataclass(frozen=True)
class OnnxExport:
    """What was written."""

    connections: int
    """Direct ones, read back from the file."""
    distance: float | None = None
    """From MindSpore's outputs, the largest relative to the largest; None: it was not run."""
    images: str = ""
    """On which images they were compared."""
    prepared: PreparedFit | None = None
    """How far it is from `predict`, where it prepares images itself, and was run."""


class Sample(NamedTuple):
    """Images to compare on."""

    images: Values
    """As the network reads them, (N, C, H, W)."""
    source: str
    """Which they are."""
    photos: Source
    """Such images as they are, before anything becomes of them."""


def export_onnx(
    trained: Trained, file: Path, *, data_dir: Path | None = None, form: OnnxForm = OnnxForm()
) -> OnnxExport:
    """Write a trained network as ONNX, in evaluation mode, whole or not at all.

    The file is read back and compared with the spec; then ONNX Runtime and MindSpore compute the
    same held-out images, or random ones where there are none. What prepares images is put in front
    of a network that has passed, and compared with what `predict` does.

    Raises:
        ArchspecError: W002, the file cannot be written; W004, see `make_onnx` and
            `choose_image_steps`; W005, what was written is another network, or gives something
            else.
        EnvironmentFault: E009, onnxruntime is not installed, and nobody said that it need not be.
    """
    from archspec.writers.onnx.model import check_opset

    check_opset(form.opset)
    check_batch(trained.spec, form.batch)
    runtime = _find_runtime() if form.is_checked else None
    sample = _choose_images(trained, data_dir, form.batch) if form.is_checked else None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.parent, prefix=".export-") as folder:
            draft = Path(folder) / file.name
            with told_of(draft, file):
                return _export(trained, file, draft, form, runtime, sample)
    except OSError as error:
        message = f"cannot be written: {error.strerror}"
        raise ArchspecError.one("W002", message, str(file)) from None


@contextmanager
def told_of(draft: Path, file: Path) -> Iterator[None]:
    """Let what is wrong with a draft be told of the file that it was to become."""
    try:
        yield
    except ArchspecError as error:
        faults = []
        for fault in error.diagnostics:
            faults.append(replace(fault, where=fault.where.replace(str(draft), str(file))))
        raise type(error)(faults) from None


def _find_runtime() -> Any:
    try:
        return import_onnx_runtime()
    except EnvironmentFault as error:
        (fault,) = error.diagnostics
        cure = f"{fault.hint}, or --unchecked writes a file that nobody has run"
        raise EnvironmentFault.one("E009", fault.message, fault.where, cure) from None


def _export(
    trained: Trained, file: Path, draft: Path, form: OnnxForm, runtime: Any, sample: Sample | None
) -> OnnxExport:
    from archspec.writers.onnx.image_steps import put_in_front
    from archspec.writers.onnx.model import make_onnx
    from archspec.writers.onnx.onnx_files import move_onnx, save_onnx

    graph = verify_or_raise(build_graph(trained.spec))
    steps = _choose_steps(trained, graph, form)
    model = make_onnx(
        graph,
        trained.read_tensors(),
        opset=form.opset,
        batch=form.batch,
        is_sized=form.is_sized,
    )
    save_onnx(model, draft)
    certificate = certify_file(draft, trained.spec)
    _refuse([difference.message for difference in certificate.differences], file)
    found = OnnxExport(sum(block.edges for block in certificate.comparison.blocks))
    network = None if sample is None else trained.network()
    if sample is not None:
        distance = _compare(draft, network, sample.images)
        if not distance <= TOLERANCE:
            _refuse([f"ONNX Runtime gives other outputs, {distance:.1e} off"], file)
        found = replace(found, distance=distance, images=sample.source)
    if steps is not None:
        put_in_front(model, steps)
    checked = UNCHECKED if runtime is None else f"{runtime.__name__} {runtime.__version__}"
    _describe(model, trained, structure_digest(graph), checked, has_preprocess=steps is not None)
    save_onnx(model, draft)
    if steps is not None and sample is not None:
        fit = compare_prepared(trained, draft, steps, network, sample.photos, form.opset)
        found = replace(found, prepared=fit)
    move_onnx(draft, file)
    return found


def _choose_steps(trained: Trained, graph: Graph, form: OnnxForm) -> ImageSteps | None:
    if not form.has_preprocess:
        return None
    return choose_image_steps(trained, graph, is_sized=form.is_sized)


def _refuse(reasons: Sequence[str], file: Path) -> None:
    if reasons:
        listed = [Diagnostic("W005", f"is not written: {reason}", str(file)) for reason in reasons]
        raise ArchspecError(listed)


def _choose_images(trained: Trained, data_dir: Path | None, batch: int | None) -> Sample:
    """Held-out images, or random ones where there are none."""
    count, size = batch or IMAGES, trained.spec.input
    try:
        source = trained.held_out(data_dir)
    except ArchspecError:
        if data_dir is not None:
            raise
        shape = (count, size.channels, size.height, size.width)
        images = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        photos = make_random_photos(trained, count)
        return Sample(images, f"{count} random images (--data-dir names real ones)", photos)
    count = min(count, len(source))
    photos = source.subset(np.arange(count))
    images = np.concatenate([images for images, _ in islice(trained.batches(photos, count), 1)])
    if batch:  # a fixed one may be larger than the data set
        images = np.resize(images, (batch, *images.shape[1:]))
    return Sample(images, f"{count} of {source.name}", photos)


def _compare(file: Path, network: Any, images: Values) -> float:
    """Return how far outputs are from MindSpore's, relative to the largest."""
    import mindspore as ms

    made = load_network(file, "onnxruntime").compute(images)
    given = network(ms.Tensor(images))
    wanted = [each.asnumpy() for each in (given if isinstance(given, tuple) else (given,))]
    return max(map(_distance, made, wanted))


def _distance(made: Values, wanted: Values) -> float:
    if made.shape != wanted.shape:
        return float("inf")
    return float(np.abs(made - wanted).max() / (np.abs(wanted).max() or 1))


def _describe(
    model: Any, trained: Trained, digest: str, checked: str, *, has_preprocess: bool
) -> None:
    """Say in the file what a program that runs it has to know."""
    from onnx import helper

    preprocess = make_preprocess(trained.spec, trained.recipe)
    told: Mapping[str, Any] = {
        "mean": [*preprocess.mean],
        "std": [*preprocess.std],
        "interpolation": preprocess.interpolation,
        "resize": preprocess.resize,
        "crop_pct": preprocess.crop_pct,
        "structure_digest": digest,
    }
    texts = {name: json.dumps(value) for name, value in told.items()}
    texts |= describe_network(trained.spec, trained.recipe, trained.classes)
    texts |= IN_THE_FILE if has_preprocess else {}
    helper.set_model_props(model, {**texts, "checked": checked})
