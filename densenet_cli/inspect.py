"""densenet inspect."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from densenet_cli.options import Overrides, SpecName, console, print_yaml


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
    forms = [
        name for name, given in (("--json", as_json), ("--yaml", as_yaml), ("-o", output)) if given
    ]
    if len(forms) > 1:
        raise typer.BadParameter(
            f"each of {' and '.join(forms)} says what to put out: give one of them"
        )
    from archspec.graph.build import build_graph
    from archspec.graph.report import report
    from archspec.spec.load import load_spec
    from archspec.verifiers.verify import verify_or_raise

    loaded = load_spec(spec, overrides or ())
    graph = verify_or_raise(build_graph(loaded))
    if output is not None:
        from archspec.writers.pictures.draw import draw

        draw(graph, output)
        console.out(f"drew {output}")
    elif as_json:
        typer.echo(json.dumps(report(graph).as_json(), indent=2))
    elif as_yaml:
        from archspec.files import to_yaml

        print_yaml(to_yaml(loaded.resolved()))
    else:
        from archspec.writers.tables import make_stage_table, make_tree, write_summary

        found = report(graph)
        console.print(write_summary(found), make_stage_table(found, graph), sep="\n\n")
        if with_tree:
            console.print(make_tree(graph))
