"""densenet validate."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console

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
    console,
    override_by_channels,
    print_notes,
    quiet_screen,
    split_overrides,
)
from densenet_cli.weights import weights_for


def validate(
    target: Target,
    ckpt: Checkpoint = None,
    pretrained: Pretrained = False,
    ema: Ema = False,
    data_dir: DataDir = None,
    recipe: WhoseRecipe = None,
    mean: Mean = None,
    std: Std = None,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Images per step; changes no figure.")
    ] = 64,
    overrides: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Give top-1, top-5 and loss over every held-out image once.

    Example: densenet validate densenet121 --pretrained --data-dir imagenet
    """
    from archspec.train.evaluation.inference import evaluate, open_trained

    for_spec, for_recipe = split_overrides(overrides)
    for_recipe += [
        *override_by_channels("--mean", mean, "data.mean"),
        *override_by_channels("--std", std, "data.std"),
    ]
    to = Console(stderr=True) if as_json else console
    ckpt = weights_for(target, ckpt, pretrained, for_spec, to)
    with quiet_screen() as screen:
        trained = open_trained(
            target,
            ckpt=ckpt,
            recipe=recipe,
            overrides=for_spec,
            recipe_overrides=for_recipe,
            data_dir=data_dir,
            ema=ema,
        )
        source = trained.held_out(data_dir)
        if not as_json:
            screen.out("\n".join((*source.notes, _describe(trained, source))), highlight=False)
        accuracy: Any = evaluate(trained, source, batch_size=batch_size)
    print_notes(trained.notes, as_json)
    if as_json:
        typer.echo(json.dumps(asdict(accuracy)))
        return
    console.out(
        f"top-1 {accuracy.top1:.2%}  top-5 {accuracy.top5:.2%}  loss {accuracy.loss:.4f}  "
        f"over {accuracy.images:,} images"
    )


def _describe(trained: Any, source: Any) -> str:
    images = f"{len(source):,} held-out images of {source.name}"
    return f"{trained.checkpoint} on {images}, prepared as in recipe {trained.recipe.name}"
