"""densenet recipe: list, show, new, from-mindcv."""

from __future__ import annotations

import json
import os
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from archspec.shell_words import quote_word
from archspec.spec.catalogue import shipped
from densenet_cli.options import complete_recipe, console, make_cell, place_typed, print_yaml, save

SCHEMA = "recipe.schema.json"

_HEADER = f"""\
# yaml-language-server: $schema={SCHEMA}
# `densenet schema recipe -o {SCHEMA}` writes that schema, \
by which an editor completes and checks this file.
#
# What is commented out holds as it stands; take away the # before a key to change it.
"""

recipe = typer.Typer(
    help="List, show and write recipes.\n\nExample: densenet recipe list", no_args_is_help=True
)

RecipeName = Annotated[
    str,
    typer.Argument(help="A shipped recipe or a YAML file.", autocompletion=complete_recipe),
]


@recipe.command("list")
def list_recipes(
    as_json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
) -> None:
    """List the shipped recipes: what each is for, its rate, epochs and batch.

    Example: densenet recipe list
    """
    rows = [_describe_recipe(name, file) for name, file in shipped("recipe").items()]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    console.print(_make_table(rows))
    console.print("\nbatch: images a step on all devices that the rate is meant for")
    console.print("Next: densenet recipe show imagefolder")


@recipe.command()
def show(
    name: RecipeName,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Print a recipe with all that it extends, and defaults written out.

    Example: densenet recipe show imagenet_ascend
    """
    from archspec.files import to_yaml
    from archspec.train.recipe.recipe import load_recipe

    values = load_recipe(name).resolved()
    if as_json:
        typer.echo(json.dumps(values, indent=2))
    else:
        print_yaml(to_yaml(values))


@recipe.command()
def new(
    file: Annotated[Path, typer.Argument(help="The new recipe's file.")],
    extends: Annotated[
        str,
        typer.Option(
            help="What it changes: a shipped recipe or a YAML file.",
            autocompletion=complete_recipe,
        ),
    ] = "imagefolder",
) -> None:
    """Write a commented recipe to start from: every key, what it means, and its value.

    Example: densenet recipe new my_recipe.yaml --extends imagefolder
    """
    from archspec.spec.override import Override
    from archspec.train.recipe.recipe import load_recipe

    name = Override(("name", file.stem), place_typed(f"FILE {file}"))
    parent = extends
    if extends not in shipped("recipe"):  # a path in a file counts from its folder
        parent = os.path.relpath(extends, file.parent)
    save(file, write_starting_recipe(load_recipe(extends, [name]), parent), replace=False)
    console.out(f"wrote {file}\nNext: densenet train --recipe {quote_word(str(file))} --dry-run")


@recipe.command("from-mindcv")
def from_mindcv(
    file: Annotated[Path, typer.Argument(help="A YAML file of MindCV's configs/.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The recipe's file (default: the screen).")
    ] = None,
    devices: Annotated[
        int, typer.Option(min=1, max=4096, help="On which a distributed run was meant to run.")
    ] = 8,
) -> None:
    """Read a MindCV configuration into a recipe, and say what could not be taken.

    Example: densenet recipe from-mindcv densenet_121_ascend.yaml -o my_recipe.yaml
    """
    from archspec.files import to_yaml
    from archspec.train.recipe.from_mindcv import read_mindcv

    found = read_mindcv(file, devices)
    known = found.spec in shipped()
    told = [f"spec: {found.spec}"]
    if not known:
        told = [f"spec: unknown here: {found.spec} (densenet list names those that there are)"]
    if found.left:
        told += ["not taken:", *(f"  {line}" for line in found.left)]
    text = to_yaml(found.values)
    if output is not None:
        save(output, text, replace=False)
        spec = found.spec if known else "SPEC"
        told.append(f"wrote {output}")
        told.append(f"Next: densenet train {quote_word(spec)} --recipe {quote_word(str(output))}")
    else:
        print_yaml(text)
    typer.echo("\n".join(told), err=True)


def write_starting_recipe(recipe: Any, parent: str) -> str:
    """Return YAML of a recipe that extends `parent` and says all its keys in comments."""
    from densenet_cli.commented_yaml import write_paragraph, yaml_lines

    paragraphs = [yaml_lines("extends", parent)]
    for key in type(recipe).model_fields:
        said = recipe.name if key == "name" else None
        paragraphs.append([*write_paragraph(type(recipe), key, said, getattr(recipe, key))])
    return "\n".join([_HEADER, *("\n".join([*lines, ""]) for lines in paragraphs)])


def _describe_recipe(name: str, file: Path) -> dict[str, Any]:
    from archspec.train.recipe.recipe import load_recipe

    found = load_recipe(name)
    return {
        "name": name,
        "about": _read_leading_comment(file.read_text(encoding="utf-8")),
        "learning_rate": found.schedule.learning_rate,
        "schedule": found.schedule.kind,
        "epochs": found.epochs,
        "batch": found.global_batch or found.batch_size,
        "source": found.source,
    }


def _read_leading_comment(text: str) -> str:
    """The words of the comment at a file's head, without the line for editors."""
    lines = dropwhile(lambda line: "$schema=" in line, text.splitlines())
    comment = takewhile(lambda line: line.startswith("#"), lines)
    return " ".join(line.removeprefix("#").strip() for line in comment)


def _make_table(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("recipe", no_wrap=True)
    for title in ("rate", "epochs", "batch"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("schedule", no_wrap=True)
    table.add_column("for what")
    for row in rows:
        numbers = (f"{row['learning_rate']:g}", str(row["epochs"]), str(row["batch"]))
        table.add_row(row["name"], *numbers, row["schedule"], make_cell(row["about"]))
    return table
