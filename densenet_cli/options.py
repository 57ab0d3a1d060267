"""Arguments and options that several commands share, and the console they print on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from archspec.runtime import quiet
from archspec.spec.catalogue import shipped

WIDTH_OF_A_FILE = 120
"""Columns where there is no terminal to ask."""

console = Console(highlight=False, soft_wrap=True)
if not console.is_terminal:
    console = Console(highlight=False, soft_wrap=True, width=WIDTH_OF_A_FILE)


def complete_spec(incomplete: str) -> list[str]:
    """Names of shipped specs for shell completion."""
    return [name for name in shipped() if name.startswith(incomplete)]


SpecName = Annotated[
    str,
    typer.Argument(help="A shipped spec (see `densenet list`) or a YAML file.", autocompletion=complete_spec),
]
Target = Annotated[str, typer.Argument(help="A run directory, or a spec together with --ckpt.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override a key: growth_rate=24, blocks.2.layers=6. Repeatable."),
]
Checkpoint = Annotated[Path | None, typer.Option("--ckpt", help="A MindSpore checkpoint (default: the run's best).")]
DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="An image folder, CIFAR-10/100 (binary) or MNIST (idx).")
]


def quiet_screen(log: Path = Path(os.devnull)) -> AbstractContextManager[Console]:
    """Keep MindSpore's output off the screen: it goes into the run's log, or nowhere where there is no run."""
    return quiet(log)


def split_overrides(texts: Sequence[str] | None) -> tuple[list[str], list[str]]:
    """Return the overrides of the spec, and those of the recipe (`recipe.epochs=5`)."""
    texts = list(texts or ())
    for_recipe = [text.removeprefix("recipe.") for text in texts if text.startswith("recipe.")]
    return [text for text in texts if not text.startswith("recipe.")], for_recipe
