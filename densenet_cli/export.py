"""densenet export."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer

from archspec.errors import ArchspecError
from densenet_cli.options import (
    Checkpoint,
    Ema,
    Overrides,
    Pretrained,
    Target,
    console,
    print_notes,
    quiet_screen,
)
from densenet_cli.weights import weights_for


def export(
    target: Target,
    ckpt: Checkpoint = None,
    pretrained: Pretrained = False,
    ema: Ema = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The file (default: NAME.mindir).")
    ] = None,
    file_format: Annotated[
        Literal["mindir"], typer.Option("--format", help="The kind of file.")
    ] = "mindir",
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="A fixed batch; free where absent.")
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Write a trained network as MINDIR, in evaluation mode.

    Example: densenet export runs/demo --format mindir -o digits.mindir
    """
    from archspec.train.evaluation.trained import open_trained
    from archspec.writers.mindspore.export_mindir import export_mindir

    if output is not None and output.suffix != f".{file_format}":
        raise ArchspecError.one("W001", f"--output must end in .{file_format}", str(output))
    ckpt = weights_for(target, ckpt, pretrained, overrides or ())
    with quiet_screen():
        trained = open_trained(target, ckpt=ckpt, overrides=overrides or (), ema=ema)
        file = output or Path(f"{trained.spec.name}.{file_format}")
        size = trained.spec.input
        export_mindir(trained.network(), (size.channels, size.height, size.width), file, batch_size)
    print_notes(trained.notes)
    console.out(f"wrote {file}\nNext: densenet certify {shlex.join([str(file), target])}")
