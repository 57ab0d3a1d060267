"""densenet plot."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from archspec.errors import make_printable
from densenet_cli.options import console, print_notes


def plot(
    runs: Annotated[list[Path], typer.Argument(help="Run directories, also of runs that go on.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Draw them: a .svg, .png or .html file.")
    ] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            "--metric", help="Another figure, such as val_top5 or images_per_second. Repeatable."
        ),
    ] = None,
) -> None:
    """Show how runs went: the last and the best epoch of each, or with -o their curves.

    Example: densenet plot runs/one runs/two -o curves.svg
    """
    from archspec.train.monitoring.curve_pictures import check_target, draw_curves
    from archspec.train.monitoring.curves import choose_metrics, read_runs

    if output is not None:
        check_target(output)
    curves, notes = read_runs(runs)
    panels = choose_metrics(curves, metrics or ())
    print_notes(notes, as_json=True)
    if output is None:
        console.print(_make_table(curves, panels))
        return
    draw_curves(curves, panels, output)
    console.out(f"drew {output}")


def _make_table(curves: Any, panels: Any) -> Any:
    from rich.table import Table
    from rich.text import Text

    from archspec.train.monitoring.curve_pictures import list_rows

    head, *rows = list_rows(curves, panels)
    table = Table(box=None, pad_edge=False)
    for number, title in enumerate(head):
        table.add_column(title, justify="right" if number > 1 else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, map(make_printable, row)))
    return table
