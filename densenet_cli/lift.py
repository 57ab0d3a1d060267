"""densenet lift."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from archspec.shell_words import join_words
from archspec.spec.override import Override
from densenet_cli.options import console, place_typed, save


def lift(
    file: Annotated[Path, typer.Argument(help="A MINDIR or ONNX file.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The spec (default: the screen).")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="The network's name (default: the file's).")
    ] = None,
) -> None:
    """Write the spec of the network in a model file: what `certify` then finds equal.

    Example: densenet lift theirs.onnx -o theirs.yaml
    """
    from archspec.lift.lift_file import lift_file

    lifted = lift_file(file, None if name is None else _check_name(name))
    if output is None:
        typer.echo(lifted.text, nl=False)
    else:
        save(output, lifted.text, replace=False)
        command = join_words(["densenet", "certify", str(file), str(output)])
        console.out(f"wrote {output}\nNext: {command}")
    for note in lifted.notes:
        typer.echo(f"note: {note}", err=True)


def _check_name(name: str) -> str:
    """Return the name, if a spec may have it."""
    from archspec.spec.load import load_spec

    return load_spec("densenet121", [Override(("name", name), place_typed(f"--name {name}"))]).name
