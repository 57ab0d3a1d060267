"""densenet inspect."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from densenet_cli.options import Overrides, SpecName, console, print_yaml

if TYPE_CHECKING:
    from archspec.graph.ir import Graph


def inspect(
    spec: SpecName,
    overrides: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    as_yaml: Annotated[
        bool, typer.Option("--yaml", help="Print the resolved spec as YAML.")
    ] = False,
    with_tree: Annotated[
        bool, typer.Option("--tree/--no-tree", help="Show the operators too.")
    ] = True,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Draw it: a .svg, .png, .dot or .html file."),
    ] = None,
) -> None:
    """Show a network's stages, counts and direct connections, found beside expected; or draw it.

    Example: densenet inspect densenet121 -o graph.html
    """
    _refuse_several_forms(as_json, as_yaml, output)
    from archspec.graph.build import build_graph
    from archspec.graph.report import report
    from archspec.spec.load import load_spec
    from archspec.verifiers.verify import verify_or_raise

    loaded = load_spec(spec, overrides or ())
    graph = verify_or_raise(build_graph(loaded))
    if output is not None:
        _draw(graph, output)
        return
    if as_json:
        typer.echo(json.dumps(report(graph).as_json(), indent=2))
        return
    if as_yaml:
        from archspec.files import to_yaml

        print_yaml(to_yaml(loaded.resolved()))
        return
    _print_tables(graph, with_tree)


def _refuse_several_forms(as_json: bool, as_yaml: bool, output: Path | None) -> None:
    given = (("--json", as_json), ("--yaml", as_yaml), ("-o", output))
    forms = [name for name, is_asked in given if is_asked]
    if len(forms) > 1:
        raise typer.BadParameter(
            f"each of {' and '.join(forms)} says what to put out: give one of them"
        )


def _draw(graph: Graph, output: Path) -> None:
    from archspec.writers.pictures.draw import draw

    draw(graph, output)
    console.out(f"drew {output}")


def _print_tables(graph: Graph, with_tree: bool) -> None:
    from archspec.graph.report import report
    from archspec.writers.tables import make_stage_table, make_tree, write_summary

    found = report(graph)
    console.print(write_summary(found), make_stage_table(found, graph), sep="\n\n")
    if with_tree:
        console.print(make_tree(graph))
