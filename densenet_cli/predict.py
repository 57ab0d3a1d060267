"""densenet predict."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from densenet_cli.options import Checkpoint, Overrides, Target, console, quiet_screen


def predict(
    target: Target,
    images: Annotated[list[Path], typer.Argument(help="Image files.")],
    ckpt: Checkpoint = None,
    recipe: Annotated[str | None, typer.Option(help="Whose mean, std and crop to use.")] = None,
    overrides: Overrides = None,
) -> None:
    """Name the five likeliest classes of each image.

    Example: densenet predict runs/clothing hat.jpg shoe.jpg
    """
    from archspec.train.trained import open_trained, predict_images

    with quiet_screen():
        trained = open_trained(target, ckpt=ckpt, recipe=recipe, overrides=overrides or ())
        guesses = predict_images(trained, images)
    for image, best in zip(images, guesses, strict=True):
        console.print(f"{image}: " + ", ".join(f"{name} {share:.1%}" for name, share in best), soft_wrap=True)
