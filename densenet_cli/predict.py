"""densenet predict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from densenet_cli.options import (
    Checkpoint,
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


def predict(
    target: Target,
    images: Annotated[list[Path], typer.Argument(help="Image files.")],
    ckpt: Checkpoint = None,
    pretrained: Pretrained = False,
    ema: Ema = False,
    recipe: WhoseRecipe = None,
    mean: Mean = None,
    std: Std = None,
    overrides: Overrides = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print names and probabilities as JSON.")
    ] = False,
) -> None:
    """Name the five likeliest classes of each image.

    Example: densenet predict runs/clothing hat.jpg shoe.jpg
    """
    from archspec.train.evaluation.inference import open_trained
    from archspec.train.evaluation.inference import predict as predict_images

    for_spec, for_recipe = split_overrides(overrides)
    for_recipe += [
        *override_by_channels("--mean", mean, "data.mean"),
        *override_by_channels("--std", std, "data.std"),
    ]
    ckpt = weights_for(target, ckpt, pretrained, for_spec)
    with quiet_screen():
        trained = open_trained(
            target,
            ckpt=ckpt,
            recipe=recipe,
            overrides=for_spec,
            recipe_overrides=for_recipe,
            ema=ema,
        )
        guesses = predict_images(trained, images)
    print_notes(trained.notes, as_json)
    if as_json:
        found = []
        for image, best in zip(images, guesses, strict=True):
            classes = [{"class": name, "probability": share} for name, share in best]
            found.append({"image": str(image), "classes": classes})
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    for image, best in zip(images, guesses, strict=True):
        console.out(f"{image}: " + ", ".join(f"{name} {share:.1%}" for name, share in best))
