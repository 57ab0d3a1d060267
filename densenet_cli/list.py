"""densenet list."""

from __future__ import annotations

from rich.table import Table

from archspec.graph.build import build_graph
from archspec.passes.report import report
from archspec.spec.catalogue import shipped
from archspec.spec.load import load_spec
from archspec.writers.text import pixels
from densenet_cli.options import console


def list_specs() -> None:
    """List the shipped specs with their parameters, MACs and direct connections.

    Example: densenet list
    """
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("spec", no_wrap=True)
    for name in ("params", "GMACs", "connections", "input"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("source")
    for name in shipped():
        spec = load_spec(name)
        found = report(build_graph(spec))
        table.add_row(
            name,
            f"{found.params:,}",
            f"{found.macs / 1e9:.3f}",
            f"{found.edges:,}",
            pixels(found.input),
            spec.source,
        )
    console.print(table)
    console.print("\nNext: densenet inspect densenet121")
