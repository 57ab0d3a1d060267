"""What `densenet train --profile` shows: where the time of a step went."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from archspec.train.monitoring.operator_times import OperatorTimes

SHOWN = 12
"""Kinds of operators; the rest is one row."""


def show_profile(profile: OperatorTimes, run: Path, screen: Console) -> None:
    """Print the table of operators, or why there is none."""
    if not profile.table:
        screen.out(profile.fault)
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("operator")
    for title in ("calls", "ms", "of the step"):
        table.add_column(title, justify="right")
    for row in profile.table[:SHOWN]:
        share = row.milliseconds / profile.milliseconds
        table.add_row(row.operator, f"{row.calls:,.0f}", f"{row.milliseconds:,.2f}", f"{share:.1%}")
    rest = sum(row.milliseconds for row in profile.table[SHOWN:])
    if rest:
        table.add_row(
            "others",
            f"{sum(row.calls for row in profile.table[SHOWN:]):,.0f}",
            f"{rest:,.2f}",
            f"{rest / profile.milliseconds:.1%}",
        )
    outside = profile.milliseconds - sum(row.milliseconds for row in profile.table)
    if outside > 0:
        share = outside / profile.milliseconds
        table.add_row("outside operators", "", f"{outside:,.2f}", f"{share:.1%}")
    screen.out(f"a step took {profile.milliseconds:,.1f} ms, the mean of {profile.profiled}:")
    screen.print(table)
    screen.out(f"the timeline and MindSpore's own tables: {run / 'profile'}")


def refuse_to_profile_several(devices: int) -> None:
    """The profiler sees what is computed in its own process."""
    if devices > 1:
        rule = f"looks at a run in this process, and {devices} devices train in others"
        raise typer.BadParameter(rule, param_hint="--profile")
