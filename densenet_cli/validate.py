"""densenet validate."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from densenet_cli.options import Checkpoint, DataDir, Overrides, Target, console, quiet_screen


def validate(
    target: Target,
    ckpt: Checkpoint = None,
    data_dir: DataDir = None,
    recipe: Annotated[str | None, typer.Option(help="Whose mean, std and crop to use.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Images per step; changes no figure.")] = 64,
    overrides: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Give top-1, top-5 and loss over every held-out image once.

    Example: densenet validate densenet121 --ckpt densenet121.ckpt --data-dir imagenet
    """
    from archspec.train.trained import open_trained, validate_trained

    with quiet_screen() as screen:
        trained = open_trained(target, ckpt=ckpt, recipe=recipe, overrides=overrides or (), data_dir=data_dir)
        source = trained.held_out(data_dir)
        if not as_json:
            screen.print(f"{trained.checkpoint} on {len(source):,} held-out images of {source.name}", soft_wrap=True)
        accuracy = validate_trained(trained, source, batch_size)
    if as_json:
        typer.echo(json.dumps(asdict(accuracy)))
        return
    console.print(
        f"top-1 {accuracy.top1:.2%}  top-5 {accuracy.top5:.2%}  loss {accuracy.loss:.4f}  "
        f"over {accuracy.images:,} images"
    )
