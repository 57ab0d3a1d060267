"""densenet build."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from archspec.shell_words import quote_word
from densenet_cli.options import Certify, Overrides, SpecName, console


def build(
    spec: SpecName,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The folder (default: build/NAME).")
    ] = None,
    certify: Certify = True,
    overrides: Overrides = None,
) -> None:
    """Compile a spec: save the resolved spec, the report,
    a module of MindSpore cells and its certificate.

    Example: densenet build specs/densenet169.yaml -o build/densenet169
    """
    from archspec.certify.built_network import certify_built, summarize_certificate
    from archspec.spec.load import load_spec
    from archspec.train.data.inputs import can_stand_in
    from archspec.writers.build_folder import build_folder

    loaded = load_spec(spec, overrides or ())
    folder = output or Path("build") / loaded.name
    with console.status("certifying what MindSpore compiles, once for each network"):
        lines, found = build_folder(loaded, folder, certify_built if certify else None)
    console.out(f"wrote {folder}/network.py ({lines} lines), spec.yaml, report.json")
    if found is not None:
        console.out(summarize_certificate(found))
    data = "" if can_stand_in(loaded) else " --data-dir DIR"
    console.out(f"Next: densenet train {quote_word(str(folder / 'spec.yaml'))}{data}")
