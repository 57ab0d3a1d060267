"""densenet validate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from archspec.signals import exit_at_once, take_signals, watch_interrupts
from densenet_cli.device_ids import DeviceIds, count_device_ids
from densenet_cli.faults import HangAfter, choose_policy
from densenet_cli.image_progress import ImageProgress
from densenet_cli.mpirun import refuse_unlike_mpirun
from densenet_cli.opening import DeviceTarget, Engine, ImageSize, Workers, read_flags
from densenet_cli.options import (
    Checkpoint,
    DataDir,
    Ema,
    Mean,
    Overrides,
    Pretrained,
    Std,
    Target,
    WhoseRecipe,
    check_can_save,
    console,
    print_notes,
    quiet_screen,
)


def validate(
    context: typer.Context,
    target: Target,
    ckpt: Checkpoint = None,
    pretrained: Pretrained = False,
    ema: Ema = False,
    data_dir: DataDir = None,
    recipe: WhoseRecipe = None,
    mean: Mean = None,
    std: Std = None,
    batch_size: Annotated[
        int, typer.Option("--batch-size", "-b", min=1, help="Images per step; changes no figure.")
    ] = 64,
    image_size: ImageSize = None,
    workers: Workers = None,
    devices: Annotated[int, typer.Option(min=1, help="Processes that share the images.")] = 1,
    device_ids: DeviceIds = None,
    hang_after: HangAfter = None,
    device_target: DeviceTarget = None,
    engine: Engine = None,
    overrides: Overrides = None,
    report: Annotated[
        Path | None,
        typer.Option(help="Write a page of HTML: figures, confusions, mistakes as pictures."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Give top-1, top-5 and loss over every held-out image once, and what is taken for what.

    Example: densenet validate densenet121 --pretrained --data-dir imagenet
    """
    # As in train: an interrupt in the middle of importing MindSpore would be a crash.
    watch_interrupts()
    take_signals(exit_at_once)
    refuse_unlike_mpirun(context)
    from archspec.train.evaluation.pages.html_report import write_report
    from archspec.train.inference.evaluate import examine
    from archspec.train.inference.open_trained import open_trained
    from densenet_cli.evaluation_tables import show_evaluation

    if report is not None:
        check_can_save(report, ".html")
    devices = count_device_ids(device_ids, devices, device_target or "CPU")
    patience = choose_policy(0, hang_after, devices).hang_after
    how = read_flags(context.params, Console(stderr=True) if as_json else console)
    with ImageProgress() as progress, quiet_screen() as screen:
        trained = open_trained(target, **how)
        source = trained.held_out(data_dir)
        if not as_json:
            screen.out("\n".join((*source.notes, _describe(trained, source))), highlight=False)
        if devices > len(source):
            rule = f"there are {len(source):,} images, fewer than devices"
            raise typer.BadParameter(rule, param_hint="--devices")
        found = examine(
            trained,
            source if devices == 1 else data_dir,
            batch_size=batch_size,
            devices=devices,
            hang_after=patience,
            show=progress.show,
        )
    print_notes(trained.notes, as_json)
    if as_json:
        typer.echo(json.dumps(found.as_json()))
    else:
        show_evaluation(found, console)
    if report is not None:
        level, channels = trained.recipe.data.white_level, trained.spec.input.channels
        about = _describe(trained, source)
        write_report(found, source, report, about, channels=channels, white_level=level)
        typer.echo(f"wrote {report}", err=as_json)


def _describe(trained: Any, source: Any) -> str:
    images = f"{len(source):,} held-out images of {source.name}"
    return f"{trained.checkpoint} on {images}, prepared as in recipe {trained.recipe.name}"
