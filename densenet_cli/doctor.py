"""densenet doctor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table

from archspec.errors import make_printable
from archspec.shell_words import quote_word
from archspec.signals import exit_at_once, take_signals
from densenet_cli.options import console, make_cell, quiet_screen

if TYPE_CHECKING:
    from archspec.machine.finding import Finding

MARKS = {"ok": "ok", "note": "-", "warning": "[yellow]warning[/]", "fault": "[red]fault[/]"}


def doctor(
    device_target: Annotated[
        Literal["CPU", "Ascend"], typer.Option(help="What is to be trained on.")
    ] = "CPU",
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The folder that runs are to be written to.")
    ] = Path(),
    data_dir: Annotated[
        Path | None,
        typer.Option(
            "--data-dir", "--data", help="A data set, as of `train`: its layout, storage and speed."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
) -> None:
    """Look whether this machine is ready to train: packages, memory, devices, versions, data.

    Ends with 1 where something lets nothing begin. Example: densenet doctor --device-target Ascend
    """
    take_signals(exit_at_once)
    from archspec.machine.examine import examine_machine

    if not out.is_dir():
        raise typer.BadParameter(f"{out} is no folder", param_hint="--out")
    findings = list(examine_machine(device_target, out))
    if data_dir is not None:
        findings += _look_at_data(data_dir)
    is_ready = all(finding.level != "fault" for finding in findings)
    if as_json:
        values = [finding._asdict() for finding in findings]
        typer.echo(json.dumps({"is_ready": is_ready, "findings": values}, indent=2))
    else:
        table = Table(box=None, show_header=False, pad_edge=False)
        for finding in findings:
            cure = f"{finding.found}: {finding.cure}" if finding.cure else finding.found
            table.add_row(MARKS[finding.level], finding.subject, make_cell(cure))
        console.print(table)
        where = "" if data_dir is None else f" --data-dir {quote_word(str(data_dir))}"
        next_step = f"Next: densenet train --device-target {device_target}{where}"
        console.out(f"\n{make_printable(next_step) if is_ready else 'Mend the faults first.'}")
    if not is_ready:
        raise typer.Exit(1)


def _look_at_data(data_dir: Path) -> list[Finding]:
    from archspec.train.data.readiness import examine_data

    with quiet_screen() as screen, screen.status("looking at the data"):
        return list(examine_data(data_dir))
