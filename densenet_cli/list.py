"""densenet list."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.table import Table

from archspec.spec.catalogue import shipped
from densenet_cli.options import console, make_cell


def list_specs(
    as_json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
) -> None:
    """List the shipped specs: parameters, MACs, direct connections, and accuracies as published.

    Example: densenet list
    """
    rows = [_describe_spec(name) for name in shipped()]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    console.print(_make_table(rows))
    console.print("\naccuracies are the publishers' own; nothing of them was measured here")
    console.print("Next: densenet inspect densenet121")


def _describe_spec(name: str) -> dict[str, Any]:
    from archspec.graph.build import build_graph
    from archspec.graph.report import report
    from archspec.spec.load import load_spec

    spec = load_spec(name)
    found = report(build_graph(spec))
    return {
        "name": name,
        "params": found.params,
        "macs": found.macs,
        "edges": found.edges,
        "source": spec.source,
        "published": [entry.model_dump(exclude_none=True) for entry in spec.published],
    }


def _make_table(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("spec", no_wrap=True)
    for title in ("params", "GMACs", "connections", "top-1 %", "top-5 %"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("on", no_wrap=True)
    table.add_column("published in")
    for row in rows:
        network = (
            row["name"],
            f"{row['params']:,}",
            f"{row['macs'] / 1e9:.3f}",
            f"{row['edges']:,}",
        )
        published = row["published"] or [{"data": "", "source": row["source"]}]
        for number, entry in enumerate(published):
            figures = (_format_percent(entry.get("top1")), _format_percent(entry.get("top5")))
            texts = map(make_cell, (*figures, entry["data"], entry["source"]))
            table.add_row(*(network if number == 0 else ("",) * len(network)), *texts)
    return table


def _format_percent(value: float | None) -> str:
    """As published: two decimals or more."""
    return "" if value is None else max(f"{value:.2f}", str(value), key=len)
