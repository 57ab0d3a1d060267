"""Arguments and options that several commands share, and the console they print on."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from archspec.errors import ArchspecError, Place, make_printable
from archspec.screen import Screen, divert_output
from archspec.spec.catalogue import shipped
from archspec.spec.override import Override
from archspec.spec.reading.document import shorten_value

WIDTH_OF_A_FILE = 120
"""Columns where there is no terminal to ask, and COLUMNS says nothing."""

# Soft wrap: a path that rich would break over two lines could not be copied.
console = Screen(highlight=False, soft_wrap=True)
if not console.is_terminal and "COLUMNS" not in os.environ:
    console = Screen(highlight=False, soft_wrap=True, width=WIDTH_OF_A_FILE)


def complete_spec(incomplete: str) -> list[str]:
    """Names of shipped specs for shell completion."""
    return [name for name in shipped() if name.startswith(incomplete)]


def complete_recipe(incomplete: str) -> list[str]:
    """Names of shipped recipes for shell completion."""
    return [name for name in shipped("recipe") if name.startswith(incomplete)]


SpecName = Annotated[
    str,
    typer.Argument(
        help="A shipped spec (see `densenet list`) or a YAML file.", autocompletion=complete_spec
    ),
]
Target = Annotated[
    str,
    typer.Argument(
        help="A run directory, a spec together with --ckpt or --pretrained, or an exported .onnx."
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override a key: growth_rate=24, blocks.2.layers=6. Repeatable."),
]
Checkpoint = Annotated[
    Path | None,
    typer.Option(
        "--ckpt", help="A .ckpt, .safetensors or .pth, in any names that `convert` knows."
    ),
]
Ema = Annotated[
    bool,
    typer.Option("--ema", help="Take the file's moving averages of weights (EMA), not the plain."),
]
Certify = Annotated[
    bool,
    typer.Option(
        "--certify/--no-certify",
        help="Compile the network, read it back and compare it with the spec.",
    ),
]
Pretrained = Annotated[
    bool,
    typer.Option(
        "--pretrained",
        help="The published weights of the spec's name (see `densenet weights list`).",
    ),
]
WhoseRecipe = Annotated[
    str | None,
    typer.Option(
        "--recipe", help="Whose mean, std and crop to use.", autocompletion=complete_recipe
    ),
]
Mean = Annotated[
    str | None,
    typer.Option(help="Of each channel in 0-255 units, 125.3,123.0,113.9 (default: the recipe's)."),
]
Std = Annotated[str | None, typer.Option(help="Likewise.")]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        help="An image folder, a .csv or .jsonl of files and labels, MindRecord, CIFAR-10/100 "
        "(binary) or MNIST (idx).",
    ),
]


def quiet_screen(log: Path = Path(os.devnull)) -> AbstractContextManager[Console]:
    """Keep MindSpore's output off the screen: it goes into the run's log,
    or nowhere where there is no run.
    """
    return divert_output(log)


def print_notes(notes: Sequence[str], as_json: bool = False) -> None:
    """Print notes, on stderr where what stands on stdout is for a program."""
    for note in notes:
        typer.echo(f"note: {make_printable(note)}", err=as_json)


def make_cell(text: str) -> str:
    """Return plain words as they stand in a table, whatever is in them."""
    return escape(make_printable(text))


def print_yaml(text: str) -> None:
    """Print YAML, in colours on a terminal."""
    if not console.is_terminal:
        typer.echo(text, nl=False)
        return
    from rich.syntax import Syntax

    shown = Syntax(text, "yaml", theme="ansi_dark", background_color="default").highlight(text)
    console.print(shown, end="")


def split_overrides(texts: Sequence[str] | None) -> tuple[list[str | Override], list[Override]]:
    """Return the overrides of the spec, and those of the recipe (`recipe.epochs=5`),
    quoted as they were typed.
    """
    for_spec: list[str | Override] = []
    for_recipe: list[Override] = []
    for text in texts or ():
        setting = text.lstrip().removeprefix("recipe.")
        if setting == text.lstrip():
            for_spec.append(text)
        else:
            for_recipe.append(Override(setting, place_typed(f"--set {shorten_value(text)}")))
    return for_spec, for_recipe


def place_typed(words: str) -> Place:
    """Return the place of what was typed: its own words."""
    return Place(words, "command line")


def override_by_flag(name: str, value: float | str | None, *keys: str) -> list[Override]:
    """Return what a flag of its own sets, so that faults quote it as it was typed: `--epochs 3`."""
    words = value if isinstance(value, str) else repr(value).removesuffix(".0")
    place = place_typed(f"{name} {shorten_value(words)}")
    return [] if value is None else [Override((key, value), place) for key in keys]


def override_by_channels(name: str, text: str | None, key: str) -> list[Override]:
    """Return what a flag with one number for each channel sets: `--mean 125.3,123.0,113.9`."""
    return (
        []
        if text is None
        else [Override(f"{key}=[{text}]", place_typed(f"{name} {shorten_value(text)}"))]
    )


def check_can_save(file: Path, suffix: str) -> None:
    """Look whether a file could be written whose parent folders may have to be made, before the
    minutes that its content takes.

    Raises:
        ArchspecError: W001, its name ends otherwise; W002, it could not be written.
    """
    if file.suffix.lower() != suffix:
        raise ArchspecError.one("W001", f"must end in {suffix}", str(file))
    folder = next(parent for parent in file.absolute().parents if os.path.lexists(parent))
    try:
        if file.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        TemporaryFile(dir=folder).close()
    except OSError as error:
        message = f"cannot be written: {error.strerror}"
        raise ArchspecError.one("W002", message, str(file)) from None


def save(file: Path, text: str, replace: bool = True) -> None:
    """Write a text file whole or not at all.

    Raises:
        ArchspecError: W002, it cannot be written,
            or exists and nobody said that it may be replaced.
    """
    from archspec.files import write_atomic

    if not replace and (file.exists() or file.is_symlink()):
        raise ArchspecError.one(
            "W002", "exists, and is not overwritten", str(file), "name another file"
        )
    try:
        write_atomic(file, text)
    except OSError as error:
        raise ArchspecError.one("W002", f"cannot be written: {error.strerror}", str(file)) from None
