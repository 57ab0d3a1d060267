"""The commands of `densenet`, in the order in which help lists them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module

import typer

from densenet_cli.flags import Command

COMMANDS: Mapping[str, str] = {
    "list": "list:list_specs",
    "new": "new:new",
    "check": "check:check",
    "inspect": "inspect:inspect",
    "build": "build:build",
    "train": "train:train",
    "validate": "validate:validate",
    "predict": "predict:predict",
    "export": "export:export",
    "convert": "convert:convert",
    "certify": "certify:certify",
    "lift": "lift:lift",
    "plot": "plot:plot",
    "schema": "schema:schema",
    "doctor": "doctor:doctor",
    "launch-script": "launch_script:launch_script",
    "data": "data:data",
    "recipe": "recipe:recipe",
    "weights": "weights:weights",
}
"""What is typed, and the module of this package and the name in it that are meant."""


def make_app(words: Sequence[str] = ()) -> typer.Typer:
    """Return the app for a command line: with the one command that it begins with, since the
    others' modules take longer than some commands do; with all, where it begins with none.
    """
    typed = words[0] if words else ""
    app = typer.Typer(
        name="densenet",
        help=(
            "Compile a YAML spec of a densely connected network to MindSpore: "
            "check, build, train, certify."
        ),
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=typed not in COMMANDS,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    if typed in COMMANDS:
        app.callback(add_help_option=False)(_take_no_flags)
        _add(app, typed)
        return app
    app.callback(invoke_without_command=True)(_version)
    for name in COMMANDS:
        _add(app, name)
    return app


def _add(app: typer.Typer, name: str) -> None:
    file, _, word = COMMANDS[name].partition(":")
    module = import_module(f"densenet_cli.{file}")
    found = getattr(module, word)
    if isinstance(found, typer.Typer):
        for command in found.registered_commands:
            command.cls = Command
        app.add_typer(found, name=name)
    else:
        app.command(name, cls=getattr(module, "COMMAND", Command))(found)


def _take_no_flags() -> None:
    """Stand before a command: typer would ask pydantic of each flag, which is slow to import."""


def _version(
    version: bool = typer.Option(False, "--version", help="Print the version and exit."),
) -> None:
    if version:
        from importlib.metadata import version as installed

        typer.echo(f"densenet-archspec {installed('densenet-archspec')}")
        raise typer.Exit
