"""The commands of `densenet`, in the order in which help lists them."""

from __future__ import annotations

import typer

from densenet_cli.build import build
from densenet_cli.certify import certify
from densenet_cli.check import check
from densenet_cli.convert import convert
from densenet_cli.data import data
from densenet_cli.doctor import doctor
from densenet_cli.export import export
from densenet_cli.flags import Command
from densenet_cli.inspect import inspect
from densenet_cli.lift import lift
from densenet_cli.list import list_specs
from densenet_cli.new import new
from densenet_cli.plot import plot
from densenet_cli.predict import predict
from densenet_cli.recipe import recipe
from densenet_cli.schema import schema
from densenet_cli.train import train
from densenet_cli.validate import validate
from densenet_cli.weights import weights

app = typer.Typer(
    name="densenet",
    help=(
        "Compile a YAML spec of a densely connected network to MindSpore: "
        "check, build, train, certify."
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("list", cls=Command)(list_specs)
for command in (new, check, inspect, build, train, validate, predict, export, convert, certify):
    app.command(cls=Command)(command)
app.command(cls=Command)(lift)
app.command(cls=Command)(plot)
app.command(cls=Command)(schema)
app.command(cls=Command)(doctor)
app.add_typer(data, name="data")
app.add_typer(recipe, name="recipe")
app.add_typer(weights, name="weights")


@app.callback(invoke_without_command=True)
def _version(
    version: bool = typer.Option(False, "--version", help="Print the version and exit."),
) -> None:
    if version:
        from importlib.metadata import version as installed

        typer.echo(f"densenet-archspec {installed('densenet-archspec')}")
        raise typer.Exit
