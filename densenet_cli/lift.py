"""densenet lift."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Annotated

import typer

from archspec.spec.load import Override, load_spec
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
    from archspec.lift.lift import lift as lifted_from
    from archspec.readers.mindir.read import mindir_reading
    from archspec.readers.onnx.checker import refuse_invalid
    from archspec.readers.onnx.decode import is_onnx
    from archspec.readers.onnx.read import OnnxReading, onnx_reading

    called = _name_after_file(file) if name is None else _check_name(name)
    reading = onnx_reading(file) if is_onnx(file) else mindir_reading(file)
    if isinstance(reading, OnnxReading):
        refuse_invalid(file, reading.model)
    lifted = lifted_from(reading.graph, called, str(file))
    if output is None:
        typer.echo(lifted.text, nl=False)
    else:
        save(output, lifted.text, replace=False)
        command = shlex.join(["densenet", "certify", str(file), str(output)])
        console.out(f"wrote {output}\nNext: {command}")
    for note in (*reading.notes, *lifted.notes):
        typer.echo(f"note: {note}", err=True)


def _check_name(name: str) -> str:
    """Return the name, if a spec may have it."""
    return load_spec("densenet121", [Override(("name", name), place_typed(f"--name {name}"))]).name


def _name_after_file(file: Path) -> str:
    """A file's name as a spec's, which begins with a letter."""
    stem = re.sub(r"[^A-Za-z0-9_.-]", "_", file.stem)
    return (stem if re.match(r"[A-Za-z]", stem) else f"network_{stem}")[:64]
