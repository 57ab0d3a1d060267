"""densenet new."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from archspec.shell_words import quote_word
from archspec.spec.override import Override
from densenet_cli.options import complete_spec, console, place_typed, save


def new(
    name: Annotated[str, typer.Argument(help="The new network's name.")],
    like: Annotated[
        str,
        typer.Option(
            help="What to start from: a shipped spec or a YAML file.", autocompletion=complete_spec
        ),
    ] = "densenet121",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The file (default: NAME.yaml).")
    ] = None,
) -> None:
    """Write a commented spec to start from:
    another one's settings, and the defaults of all that it leaves unsaid.

    Example: densenet new my_net --like densenet121
    """
    from archspec.spec.load import load_spec
    from densenet_cli.starting_spec import write_starting_spec

    name = name.removesuffix(".yaml")
    text = write_starting_spec(
        load_spec(like, [Override(("name", name), place_typed(f"NAME {name}"))])
    )
    file = output or Path(f"{name}.yaml")
    save(file, text, replace=False)
    console.out(f"wrote {file}\nNext: densenet check {quote_word(str(file))}")
