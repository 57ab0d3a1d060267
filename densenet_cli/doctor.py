"""densenet doctor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.table import Table

from densenet_cli.options import console, make_cell

MARKS = {"ok": "ok", "note": "-", "warning": "[yellow]warning[/]", "fault": "[red]fault[/]"}


def doctor(
    device_target: Annotated[
        Literal["CPU", "Ascend"], typer.Option(help="What is to be trained on.")
    ] = "CPU",
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The folder that runs are to be written to.")
    ] = Path(),
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
) -> None:
    """Look whether this machine is ready to train: packages, memory, devices, versions that fit.

    Ends with 1 where something lets nothing begin. Example: densenet doctor --device-target Ascend
    """
    from archspec.machine.examine import examine_machine

    if not out.is_dir():
        raise typer.BadParameter(f"{out} is no folder", param_hint="--out")
    findings = tuple(examine_machine(device_target, out))
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
        console.print(
            f"\nNext: densenet train --device-target {device_target}"
            if is_ready
            else "\nMend the faults first."
        )
    if not is_ready:
        raise typer.Exit(1)
