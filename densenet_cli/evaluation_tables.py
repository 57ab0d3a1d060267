"""An evaluation on the screen."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from archspec.errors import make_printable
from archspec.train.evaluation.evaluation import Evaluation
from archspec.train.evaluation.measures import describe_figures
from archspec.train.evaluation.words import (
    choose_classes,
    describe_averages,
    describe_skipped,
    format_figure,
    head,
    list_confusions,
)
from densenet_cli.options import make_cell

MOST_CONFUSIONS = 5


def show_evaluation(found: Evaluation, console: Console) -> None:
    """Print the figures, those of each class, and the most frequent confusions."""
    console.out(describe_figures(found.figures))
    for line in filter(None, (describe_averages(found), describe_skipped(found))):
        console.out(make_printable(line))
    title, numbers = choose_classes(found)
    if numbers:
        console.out(f"\n{title}:" if title else "")
        console.print(_make_table(found, numbers))
    confusions = list_confusions(found, MOST_CONFUSIONS)
    if confusions:
        console.out("\n".join(["", "most often confused:", *map(make_printable, confusions)]))


def _make_table(found: Evaluation, numbers: Sequence[int]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("class", overflow="fold")
    for name in found.per_class:
        table.add_column(head(name), justify="right", no_wrap=True)
    for number in numbers:
        cells = [format_figure(*figure) for figure in found.figures_of(number).items()]
        table.add_row(make_cell(found.classes[number]), *cells)
    return table
