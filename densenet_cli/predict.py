"""densenet predict."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from archspec.errors import DataError, Diagnostic, make_printable
from archspec.signals import exit_at_once, take_signals, watch_interrupts
from densenet_cli.device_ids import FLAG, count_device_ids
from densenet_cli.image_progress import ImageProgress
from densenet_cli.opening import DeviceTarget, Engine, ImageSize, Workers, read_flags
from densenet_cli.options import (
    Checkpoint,
    Ema,
    Mean,
    Overrides,
    Pretrained,
    Std,
    Target,
    WhoseRecipe,
    check_can_save,
    console,
    make_cell,
    print_notes,
    quiet_screen,
)

Guesses = list[tuple[str, float]]


def predict(
    context: typer.Context,
    target: Target,
    images: Annotated[
        list[str],
        typer.Argument(help='Image files, folders with all in them, patterns: "photos/**/*.jpg".'),
    ],
    ckpt: Checkpoint = None,
    pretrained: Pretrained = False,
    ema: Ema = False,
    recipe: WhoseRecipe = None,
    mean: Mean = None,
    std: Std = None,
    top_k: Annotated[int, typer.Option(min=1, help="Classes for each image.")] = 5,
    batch_size: Annotated[
        int, typer.Option("--batch-size", "-b", min=1, help="Images per step.")
    ] = 32,
    image_size: ImageSize = None,
    workers: Workers = None,
    device_ids: Annotated[
        str | None, typer.Option(FLAG, help="Which Ascend device, one number (default: 0).")
    ] = None,
    device_target: DeviceTarget = None,
    engine: Engine = None,
    overrides: Overrides = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Folder for masks, where the network tells classes of pixels."
        ),
    ] = None,
    features: Annotated[
        Path | None,
        typer.Option(
            help="Write what the blocks of the spec's `features` give, and the logits: an .npz."
        ),
    ] = None,
    skip_broken: Annotated[
        bool,
        typer.Option("--skip-broken", help="Leave out images that cannot be read, and name them."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print names and probabilities as JSON.")
    ] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print them as CSV.")] = False,
) -> None:
    """Name the likeliest classes of each image, or write its mask.

    Example: densenet predict runs/clothing hat.jpg shoes/ --csv
    """
    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv each say what to print: give one of them")
    is_for_program = as_json or as_csv
    if features is not None:
        _check_features(features, is_told=is_for_program or out is not None)
    # As in train: an interrupt in the middle of importing MindSpore would be a crash.
    watch_interrupts()
    take_signals(exit_at_once)
    from archspec.train.data.sources.source import raise_faults
    from archspec.train.inference.open_trained import open_trained
    from archspec.train.trained.image_paths import find_images

    if count_device_ids(device_ids, 1, device_target or "CPU") > 1:
        raise typer.BadParameter("one process predicts, on one device", param_hint=FLAG)
    files = find_images(images)
    how = read_flags(context.params, Console(stderr=True) if is_for_program else console)
    broken: dict[int, Diagnostic] = {}
    with ImageProgress() as progress, quiet_screen():
        trained = open_trained(target, **how)
        told = _choose_what_to_tell(trained, out, features, top_k)(
            trained,
            files,
            batch_size=batch_size,
            leave_out=broken.__setitem__,
            strict=not skip_broken,
            show=progress.show,
        )
    faults = [fault for _, fault in sorted(broken.items())]
    if len(faults) == len(files):
        raise DataError(faults)
    if skip_broken:
        _say_left_out(faults)
    print_notes(trained.notes, is_for_program)
    if features is None:
        found = [(file, best) for file, best in zip(files, told, strict=True) if best]
        _print_found(found, as_json, as_csv)
    else:
        console.out(_describe_arrays(features, told))
    if not skip_broken:  # what only decoding has found; the others are told all the same
        raise_faults(faults)


def _check_features(file: Path, *, is_told: bool) -> None:
    if is_told:
        rule = "writes arrays, and prints no classes: leave out --json, --csv and --out"
        raise typer.BadParameter(rule, param_hint="--features")
    check_can_save(file, ".npz")


def _choose_what_to_tell(
    trained: Any, out: Path | None, features: Path | None, top: int
) -> Callable[..., Any]:
    from archspec.train.inference.predict import predict as predict_classes
    from archspec.train.inference.predict_features import predict_features
    from archspec.train.inference.predict_masks import predict_masks

    if features is not None:
        return partial(predict_features, file=features)
    _check_out(trained, out)
    if out is not None:
        return partial(predict_masks, folder=out, top=top)
    return partial(predict_classes, top=top)


def _describe_arrays(file: Path, shapes: Mapping[str, Sequence[int]]) -> str:
    lines = [make_printable(f"wrote {file}")]
    for name, shape in shapes.items():
        lines.append(f"{name} {' x '.join(map(str, shape))}")
    return "\n".join(lines)


def _check_out(trained: Any, out: Path | None) -> None:
    if trained.tells_pixels and out is None:
        rule = "is missing: this network tells a class for each pixel, which is written as a mask"
        raise typer.BadParameter(rule, param_hint="--out")
    if out is not None and not trained.tells_pixels:
        rule = "is for masks, and this network tells a class for each image"
        raise typer.BadParameter(rule, param_hint="--out")


def _say_left_out(faults: Sequence[Diagnostic]) -> None:
    for fault in faults:
        typer.echo(f"left out: {fault}", err=True)


def _print_found(found: Sequence[tuple[Path, Guesses]], as_json: bool, as_csv: bool) -> None:
    if as_json:
        typer.echo(json.dumps(list(_plain(found)), indent=2))
    elif as_csv:
        typer.echo(_write_csv(found), nl=False)
    else:
        _show(found)


def _show(found: Sequence[tuple[Path, Guesses]]) -> None:
    if console.is_terminal:
        console.print(_make_table(found))
        return
    for file, best in found:
        line = f"{file}: " + ", ".join(_describe(*guess) for guess in best)
        console.out(make_printable(line))


def _plain(found: Sequence[tuple[Path, Guesses]]) -> Iterator[dict[str, Any]]:
    for file, best in found:
        classes = [{"class": name, "probability": share} for name, share in best]
        yield {"image": str(file), "classes": classes}


def _write_csv(found: Sequence[tuple[Path, Guesses]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    header = ["image"]
    for number in range(1, len(found[0][1]) + 1):
        header += [f"class_{number}", f"probability_{number}"]
    writer.writerow(header)
    for file, best in found:
        row = [str(file)]
        for name, share in best:
            row += [name, f"{share:.6g}"]
        writer.writerow(map(make_printable, row))
    return text.getvalue()


def _make_table(found: Sequence[tuple[Path, Guesses]]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("image", overflow="fold")
    for number in range(1, len(found[0][1]) + 1):
        table.add_column("class" if number == 1 else f"or {number}", overflow="fold")
    for file, best in found:
        table.add_row(make_cell(str(file)), *(make_cell(_describe(*guess)) for guess in best))
    return table


def _describe(name: str, share: float) -> str:
    return f"{name} {share:.1%}"
