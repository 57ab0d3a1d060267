"""densenet build."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from archspec.spec.load import load_spec
from densenet_cli.options import Overrides, SpecName, console


def build(
    spec: SpecName,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The folder (default: build/NAME).")] = None,
    overrides: Overrides = None,
) -> None:
    """Compile a spec: save the resolved spec, the report and a module of MindSpore cells.

    Example: densenet build specs/densenet169.yaml -o build/densenet169
    """
    from archspec.writers.folder import build_folder

    loaded = load_spec(spec, overrides or ())
    folder = output or Path("build") / loaded.name
    lines = build_folder(loaded, folder)
    console.out(f"wrote {folder}/network.py ({lines} lines), spec.yaml, report.json")
    console.out(f"Next: densenet train {shlex.quote(str(folder / 'spec.yaml'))}")
