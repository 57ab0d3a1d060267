"""densenet schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from densenet_cli.options import console, save


def schema(
    kind: Annotated[Literal["spec", "recipe"], typer.Argument(help="Of which files.")] = "spec",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The file (default: the screen).")
    ] = None,
) -> None:
    """Print the JSON Schema of specs or recipes, from which an editor completes and checks them.

    Example: densenet schema spec -o spec.schema.json
    """
    from archspec.spec.schema import schema_of
    from archspec.spec.spec import Spec
    from archspec.train.recipe.recipe import Recipe

    text = json.dumps(schema_of(Spec if kind == "spec" else Recipe), indent=2)
    if output is None:
        typer.echo(text)
        return
    save(output, f"{text}\n")
    console.out(f"wrote {output}\nNext: write into the first line of a {kind} beside it")
    console.out(f"      # yaml-language-server: $schema={output.name}")
