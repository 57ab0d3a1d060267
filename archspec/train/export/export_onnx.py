"""A trained network as ONNX: written, certified, run beside MindSpore, and only then there."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archspec.errors import ArchspecError
from archspec.graph.build import build_graph
from archspec.graph.digest import structure_digest
from archspec.graph.ir import Graph
from archspec.rewrites.optimize import Optimized, PassReport, optimize
from archspec.train.data.inputs import make_preprocess
from archspec.train.export.export_check import Check, Sample, choose_sample, prepare_check
from archspec.train.export.export_precision import (
    Loss,
    engine_for,
    import_engine_for,
    judge_both,
    reduce_precision,
)
from archspec.train.export.export_preprocess import (
    PreparedFit,
    choose_image_steps,
    compare_prepared,
)
from archspec.train.export.onnx_form import IN_FLOAT32, OnnxForm
from archspec.train.trained.engines import load_network
from archspec.train.trained.exported import IN_THE_FILE, check_batch, describe_network
from archspec.train.trained.trained import Trained
from archspec.verifiers.verify import verify_or_raise

if TYPE_CHECKING:
    from archspec.writers.onnx.image_steps import ImageSteps

UNCHECKED = "no: nobody ran it"


@dataclass(frozen=True)
class OnnxExport:
    """What was written."""

    connections: int
    """Direct ones, read back from the file."""
    distance: float | None = None
    """From MindSpore's outputs in float32, the largest relative to the largest; None: it was not
    run."""
    images: str = ""
    """On which images they were compared."""
    prepared: PreparedFit | None = None
    """How far it is from `predict`, where it prepares images itself, and was run."""
    loss: Loss | None = None
    """What smaller numbers cost, where it has such, and was run."""
    notes: tuple[str, ...] = ()
    """What reading smaller numbers back, or what was optimised, did not show."""
    calibrated: str = ""
    """By which images, where it was."""
    passes: tuple[PassReport, ...] = ()
    """What optimised it."""


@dataclass(frozen=True)
class _Written:
    """A network that has passed."""

    model: Any
    draft: Path
    found: OnnxExport
    about: Mapping[str, str]
    """What the file says of its numbers."""
    runs: Any = None
    """What gives its outputs, to hold the whole file to; None: nobody asked."""


def export_onnx(
    trained: Trained, file: Path, *, data_dir: Path | None = None, form: OnnxForm = IN_FLOAT32
) -> OnnxExport:
    """Write a trained network as ONNX, in evaluation mode, whole or not at all.

    The file is read back and compared with the spec; then an engine and MindSpore compute the same
    held-out images, or random ones where there are none. What is optimised was proved behind each
    pass before. A network that has passed may be written in smaller numbers, read back and run
    again. What prepares images is put in front at last, and
    compared with what `predict` does.

    Raises:
        ArchspecError: W002, the file cannot be written; W004, see `make_onnx`,
            `choose_image_steps` and `reduce_precision`; W005, what was written is another network,
            or gives something else.
        DataError: D..., images cannot be read.
        EnvironmentFault: E009, what runs the file is not installed, and nobody said that it need
            not be.
    """
    from archspec.writers.onnx.model import check_opset

    check_opset(form.version)
    check_batch(trained.spec, form.batch)
    _refuse_bfloat16_in_front(form)
    # The quantiser comes with the engine.
    is_needed = form.is_checked or form.precision == "int8"
    runtime = import_engine_for(form.precision) if is_needed else None
    form = replace(form, calibration=replace(form.calibration, judged_by=data_dir))
    sample = None
    if form.is_checked:
        sample = choose_sample(trained, data_dir, form.precision, form.batch)
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


def _export(
    trained: Trained, file: Path, draft: Path, form: OnnxForm, runtime: Any, sample: Sample | None
) -> OnnxExport:
    from archspec.writers.onnx.image_steps import put_in_front
    from archspec.writers.onnx.onnx_files import move_onnx, save_onnx

    graph = verify_or_raise(build_graph(trained.spec))
    steps = _choose_steps(trained, graph, form)
    rewritten = optimize(graph, trained.read_tensors(), form.optimize)
    check = prepare_check(trained, file, form, sample)
    written = _write_float32(rewritten, draft, form, check)
    if form.precision != "float32":
        written = _write_smaller(written, form, check)
    model, draft, found = written.model, written.draft, written.found
    if steps is not None:
        put_in_front(model, steps)
    checked = UNCHECKED
    if form.is_checked:
        checked = f"{runtime.__name__} {runtime.__version__}"
    about = {**written.about, "checked": checked, **_describe_passes(rewritten, form)}
    _describe(model, trained, structure_digest(graph), about, has_preprocess=steps is not None)
    save_onnx(model, draft)
    if steps is not None and sample is not None:
        version = form.version
        fit = compare_prepared(trained, draft, steps, written.runs, sample.photos, version)
        found = replace(found, prepared=fit)
    move_onnx(draft, file)
    return replace(found, passes=rewritten.reports)


def _describe_passes(rewritten: Optimized, form: OnnxForm) -> dict[str, str]:
    if form.optimize == "none":
        return {}
    passes = [report.name for report in rewritten.reports]
    return {"optimize": form.optimize, "passes": json.dumps(passes)}


def _write_float32(rewritten: Optimized, draft: Path, form: OnnxForm, check: Check) -> _Written:
    from archspec.writers.onnx.model import make_onnx
    from archspec.writers.onnx.onnx_files import save_onnx

    graph, tensors = rewritten.network.graph, rewritten.network.tensors
    model = make_onnx(graph, tensors, opset=form.version, batch=form.batch, is_sized=form.is_sized)
    save_onnx(model, draft)
    certificate, loss = check.run(draft, "float32")
    found = OnnxExport(sum(block.edges for block in certificate.comparison.blocks))
    if check.is_optimized:
        found = replace(found, notes=certificate.notes)
    if loss is not None and check.sample is not None:
        found = replace(found, distance=loss.distance, images=check.sample.source)
    return _Written(model, draft, found, {"precision": "float32"}, check.network)


def _write_smaller(single: _Written, form: OnnxForm, check: Check) -> _Written:
    """In smaller numbers, beside the draft in float32."""
    from archspec.writers.onnx.onnx_files import save_onnx

    folder = single.draft.parent / "smaller"
    folder.mkdir()
    draft = folder / single.draft.name
    smaller = reduce_precision(check.trained, single.model, single.draft, form)
    save_onnx(smaller.model, draft)
    with told_of(draft, single.draft):
        certificate, loss = check.run(draft, form.precision)
    found = replace(single.found, notes=certificate.notes, calibrated=smaller.images)
    runs = None
    if loss is not None and check.sample is not None:
        runs = load_network(draft, engine_for(form.precision))
        if form.precision == "int8" and check.sample.held_out is not None:
            loss = judge_both(loss, check.trained, (single.draft, draft), check.sample.held_out)
        found = replace(found, loss=loss)
    return _Written(smaller.model, draft, found, smaller.about, runs)


def _refuse_bfloat16_in_front(form: OnnxForm) -> None:
    """ONNX Runtime alone gives every grey level that `predict` has, and it runs no bfloat16."""
    if form.has_preprocess and form.precision == "bfloat16":
        rule = "a file of bfloat16 does not prepare images itself: ONNX Runtime cannot run it"
        cure = "leave out --with-preprocess, or --precision float16"
        raise ArchspecError.one("W004", rule, hint=cure)


def _choose_steps(trained: Trained, graph: Graph, form: OnnxForm) -> ImageSteps | None:
    if not form.has_preprocess:
        return None
    return choose_image_steps(trained, graph, is_sized=form.is_sized, opset=form.version)


def _describe(
    model: Any, trained: Trained, digest: str, about: Mapping[str, str], *, has_preprocess: bool
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
    helper.set_model_props(model, {**texts, **about})
