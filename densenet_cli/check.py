"""densenet check."""

from __future__ import annotations

from typing import Annotated

import typer

from archspec.errors import ArchspecError, Diagnostic, format_count
from densenet_cli.options import Overrides, console


def check(
    specs: Annotated[list[str], typer.Argument(help="Shipped specs or YAML files.")],
    overrides: Overrides = None,
) -> None:
    """Check specs: keys, values, rules, and the proof of the graph.
    Reports every fault with its place.

    Example: densenet check my_spec.yaml --set growth_rate=24
    """
    faults = [fault for name in specs for fault in _check_one(name, overrides or [])]
    if faults:
        raise ArchspecError(faults)


def _check_one(name: str, overrides: list[str]) -> tuple[Diagnostic, ...]:
    from archspec.graph.build import build_graph
    from archspec.graph.connections import derive_connections
    from archspec.spec.load import load_spec
    from archspec.verifiers.verify import verify_or_raise

    try:
        graph = verify_or_raise(build_graph(load_spec(name, overrides)))
    except ArchspecError as error:
        return error.diagnostics
    edges = sum(block.edges for block in derive_connections(graph))
    counts = (
        f"{format_count(len(graph.ops), 'operator')}, {format_count(edges, 'direct connection')}"
    )
    console.out(f"{name}: right, {counts} as the rules say")
    return ()
