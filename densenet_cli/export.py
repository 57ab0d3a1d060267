"""densenet export."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from archspec.errors import ArchspecError, ModelFileError
from archspec.runtime import import_mindspore
from archspec.shell_words import join_words
from archspec.signals import exit_at_once, raise_for_signal, take_signals, watch_interrupts
from densenet_cli.opening import read_flags
from densenet_cli.options import (
    Checkpoint,
    DataDir,
    Ema,
    Mean,
    Overrides,
    Pretrained,
    Std,
    WhoseRecipe,
    check_can_save,
    console,
    print_notes,
    quiet_screen,
)

SUFFIXES = {"mindir": "mindir", "onnx": "onnx", "python": "py"}
"""By the format: what its files end in."""
OF_INT8 = {"calibrate": "--calibrate", "calibration_images": "--calibration-images"}
"""Options that say what int8 is calibrated by."""
OF_ONNX = {
    "opset": "--opset",
    "dynamic_size": "--dynamic-size",
    "with_preprocess": "--with-preprocess",
    "unchecked": "--unchecked",
    "data_dir": "--data-dir",
    "precision": "--precision",
    "optimize": "--optimize",
    **OF_INT8,
}
"""Options that say how an ONNX is written."""
OF_IMAGES = {"recipe": "--recipe", "mean": "--mean", "std": "--std"}
"""Options that say how images are prepared, which a file tells whoever runs it."""


def export(
    context: typer.Context,
    target: Annotated[
        str,
        typer.Argument(help="A run directory, or a spec together with --ckpt or --pretrained."),
    ],
    ckpt: Checkpoint = None,
    pretrained: Pretrained = False,
    ema: Ema = False,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="The file (default: NAME and its format's ending)."),
    ] = None,
    file_format: Annotated[
        Literal["mindir", "onnx", "python"] | None,
        typer.Option("--format", help="The kind of file (default: by --output, else mindir)."),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="A fixed batch; free where absent.")
    ] = None,
    opset: Annotated[
        int | None,
        typer.Option(
            help="Of an ONNX: the version of its operators, 13 or newer (default: 18; bfloat16 "
            "needs 22)."
        ),
    ] = None,
    dynamic_size: Annotated[
        bool, typer.Option("--dynamic-size", help="Of an ONNX: free height and width.")
    ] = False,
    with_preprocess: Annotated[
        bool,
        typer.Option(
            "--with-preprocess",
            help="Of an ONNX: uint8 images (N, H, W, C) of any size in, probabilities out.",
        ),
    ] = False,
    precision: Annotated[
        Literal["float32", "float16", "bfloat16", "int8"] | None,
        typer.Option(help="Of an ONNX: the type of its numbers (default: float32)."),
    ] = None,
    optimize: Annotated[
        Literal["none", "basic", "all"] | None,
        typer.Option(
            help="Of an ONNX: leave out what evaluation does not need; all: write batch norms into "
            "convolutions, or as a scale and a shift, too (default: none).",
        ),
    ] = None,
    calibrate: Annotated[
        Path | None,
        typer.Option(
            help="Of int8: images that the ranges of features are chosen by: a folder of them, or "
            "the training part of a data set (default: of the run's, or of --data-dir).",
        ),
    ] = None,
    calibration_images: Annotated[
        int | None, typer.Option(min=1, help="Of int8: how many of them (default: 200).")
    ] = None,
    serving: Annotated[
        Literal["triton", "ovms"] | None,
        typer.Option(
            help="A folder of models (--output, default: models) as Triton or OpenVINO Model "
            "Server loads it."
        ),
    ] = None,
    data_dir: DataDir = None,
    recipe: WhoseRecipe = None,
    mean: Mean = None,
    std: Std = None,
    unchecked: Annotated[
        bool, typer.Option("--unchecked", help="Of an ONNX: do not run it beside MindSpore.")
    ] = False,
    overrides: Overrides = None,
) -> None:
    """Write a trained network as ONNX, MINDIR, or Python code with its weights beside it.

    An ONNX is read back, compared with the spec, and run beside MindSpore on held-out images.

    Example: densenet export runs/demo -o digits.onnx
    """
    # As in train: an interrupt in the middle of importing MindSpore would be a crash.
    watch_interrupts()
    take_signals(exit_at_once)
    from archspec.train.inference.open_trained import open_trained

    if serving is None:
        chosen = _choose_format(file_format, output)
    else:
        chosen = _check_names_folder(file_format, output)
    _refuse_idle_options(context, chosen, precision)
    if output is not None and serving is None:
        check_can_save(output, f".{SUFFIXES[chosen]}")
    how = read_flags(context.params)
    with quiet_screen() as screen, screen.status("exporting"):
        trained = open_trained(target, **how)
        _begin(trained, target, needs_mindspore=not unchecked)
        file, found = output or Path(f"{trained.spec.name}.{SUFFIXES[chosen]}"), ""
        if serving is not None:
            file = (output or Path("models")) / trained.spec.name / "1" / "model.onnx"
        if chosen == "onnx":
            form: dict[str, Any] = {"batch": batch_size, "is_sized": not dynamic_size}
            form |= {"has_preprocess": with_preprocess, "is_checked": not unchecked}
            form |= {"opset": opset, "precision": precision or "float32"}
            form |= {"optimize": optimize or "none"}
            images = (calibrate, calibration_images)
            found = _export_onnx(trained, file, data_dir, form, images, serving)
        elif chosen == "python":
            found = _export_python(trained, file)
        else:
            found = _export_mindir(trained, file, batch_size)
    print_notes((*trained.notes, *_note_unnamed_classes(trained, chosen)))
    following = "" if with_preprocess else f"\nNext: {_name_next(chosen, file, target)}"
    if following and optimize not in (None, "none"):
        following += " --optimized"
    console.out(f"wrote {file}{found}{following}")


def _note_unnamed_classes(trained: Any, chosen: str) -> Iterator[str]:
    if chosen != "python" and not trained.classes and trained.spec.head.steps_resolved():
        cure = "--set recipe.data.class_names=FILE names them"
        yield f"the file says no names of classes, which a checkpoint has not: {cure}"


def _choose_format(file_format: str | None, output: Path | None) -> str:
    """The kind of file that is asked for, or that the name of the output ends in."""
    if file_format is not None or output is None:
        return file_format or "mindir"
    ending = output.suffix.removeprefix(".").lower()
    for name, suffix in SUFFIXES.items():
        if ending == suffix:
            return name
    known = ", ".join(f".{suffix}" for suffix in SUFFIXES.values())
    raise ArchspecError.one("W001", f"--output must end in one of {known}", str(output))


def _begin(trained: Any, target: str, *, needs_mindspore: bool) -> None:
    """Refuse an exported file, and be ready for signals: from now on there are drafts."""
    if trained.exported is not None:
        message = "is an exported network already"
        cure = "name the run, or the spec and checkpoint, that it was made of"
        raise ModelFileError.one("R004", message, target, cure)
    if needs_mindspore:
        import_mindspore()
    take_signals(raise_for_signal)


def _check_names_folder(file_format: str | None, output: Path | None) -> str:
    """The format of what is served; its output is a folder."""
    if file_format not in (None, "onnx"):
        raise typer.BadParameter("serves an ONNX", param_hint="--serving")
    if output is not None and output.suffix.lower() in {f".{each}" for each in SUFFIXES.values()}:
        raise typer.BadParameter("is a folder of models with --serving", param_hint="--output")
    return "onnx"


def _name_next(chosen: str, file: Path, target: str) -> str:
    if chosen == "python":
        return (
            f"from {file.stem} import Network; network = Network(); mindspore."
            f"load_param_into_net(network, mindspore.load_checkpoint('{file.stem}.ckpt'))"
        )
    return f"densenet certify {join_words([str(file), target])}"


def _refuse_idle_options(context: typer.Context, chosen: str, precision: str | None) -> None:
    if chosen != "onnx":
        _refuse_options(context, OF_ONNX, "goes with --format onnx")
    if chosen == "python":
        _refuse_options(context, OF_IMAGES, "says how images are prepared, which code does not")
        _refuse_options(context, {"batch_size": "--batch-size"}, "is free in code")
    if precision != "int8":
        _refuse_options(context, OF_INT8, "goes with --precision int8")


def _refuse_options(context: typer.Context, flags: Mapping[str, str], rule: str) -> None:
    for name, flag in flags.items():
        if context.params[name] is not None and context.params[name] is not False:
            raise typer.BadParameter(rule, param_hint=flag)


def _export_onnx(
    trained: Any,
    file: Path,
    data_dir: Path | None,
    form: dict[str, Any],
    images: tuple[Path | None, int | None],
    serving: Literal["triton", "ovms"] | None,
) -> str:
    """Return what was found out of the file."""
    from archspec.rewrites.optimize import describe_all
    from archspec.train.export.calibration_images import Calibration
    from archspec.train.export.export_onnx import export_onnx
    from archspec.train.export.export_serving import export_serving
    from archspec.train.export.onnx_form import OnnxForm

    folder, count = images
    calibration = Calibration(folder) if count is None else Calibration(folder, count)
    asked = OnnxForm(**form, calibration=calibration)
    if serving is None:
        found = export_onnx(trained, file, data_dir=data_dir, form=asked)
    else:
        found = export_serving(trained, file.parents[2], serving, data_dir=data_dir, form=asked)
    lines = [_say_certified(found.connections)]
    lines += [f"note: {note}" for note in found.notes]
    lines += describe_all(found.passes, asked.optimize)
    lines += _describe_run(found, asked.precision, "pixels" if trained.tells_pixels else "images")
    return "\n".join(lines)


def _describe_run(found: Any, precision: Any, noun: str) -> Iterator[str]:
    from archspec.train.export.export_precision import engine_for, title_of

    if found.calibrated:
        yield f"calibrated by {found.calibrated}"
    if found.distance is None:
        yield "not run (--unchecked), which the file says"
        return
    engine = title_of(engine_for(precision))
    in_float32 = "" if found.loss is None else ", in float32"
    yield (
        f"{engine} gives what MindSpore gives{in_float32}, within {found.distance:.0e} of the "
        f"largest output, on {found.images}"
    )
    if found.loss is not None:
        yield from _describe_loss(found.loss, precision, noun)
    if found.prepared is not None:
        yield _describe_prepared(found.prepared)


def _describe_loss(loss: Any, precision: str, noun: str) -> Iterator[str]:
    from archspec.train.evaluation.measures import describe_figures

    yield (
        f"in {precision} within {loss.distance:.0e}, the same class for {loss.agreeing:,} of "
        f"{loss.judged:,} {noun}"
    )
    for numbers, figures in (("float32", loss.before), (precision, loss.after)):
        if figures is not None:
            yield f"{numbers}: {describe_figures(figures)} of {loss.judged_by}"


def _describe_prepared(fit: Any) -> str:
    levels = "every grey level is predict's"
    if fit.levels:
        levels = f"grey levels within {fit.levels} of predict's, {fit.share:.2%} of them differ"
    return f"images as they are: {levels}, probabilities within {fit.probabilities:.0e}"


def _export_python(trained: Any, file: Path) -> str:
    from archspec.train.export.export_python import export_python, weights_beside

    found = export_python(trained, file)
    return f" and {weights_beside(file)}\n{found}"


def _export_mindir(trained: Any, file: Path, batch_size: int | None) -> str:
    from archspec.train.export.certified_mindir import export_certified_mindir

    return _say_certified(export_certified_mindir(trained, file, batch_size))


def _say_certified(connections: int) -> str:
    return f"\ncertified: {connections:,} direct connections, read back from the file"
