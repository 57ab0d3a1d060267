"""densenet certify."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from densenet_cli.options import (
    Checkpoint,
    Ema,
    Overrides,
    complete_spec,
    console,
    override_by_flag,
    save,
)

DIFFERENT = 3
LISTED = 40
"""Differences on the screen; --json has them all."""


def certify(
    file: Annotated[Path, typer.Argument(help="A MINDIR or ONNX file.")],
    spec: Annotated[
        str,
        typer.Argument(
            help="A shipped spec, a YAML file or a run directory.", autocompletion=complete_spec
        ),
    ],
    overrides: Overrides = None,
    num_classes: Annotated[
        int | None,
        typer.Option(min=1, help="Default: the spec's where it says one, else the file's."),
    ] = None,
    ordered: Annotated[
        bool,
        typer.Option(
            "--ordered", help="Concatenations in another order are a difference, not a note."
        ),
    ] = False,
    probe: Annotated[
        bool,
        typer.Option(
            "--probe",
            help="Run each layer of an ONNX, and see whether it moves with what it reads.",
        ),
    ] = False,
    optimized: Annotated[
        bool,
        typer.Option(
            "--optimized",
            help="Take a file too that has one operator for several of equal weights, or lacks "
            "what slices cut off (export --optimize).",
        ),
    ] = False,
    names: Annotated[
        bool, typer.Option("--names", help="What has weights must be called as in the spec, too.")
    ] = False,
    ckpt: Checkpoint = None,
    ema: Ema = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="Where to write the certificate or the differences, as JSON."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the certificate or the differences as JSON.")
    ] = False,
) -> None:
    """Prove that a model file is the network its spec says, by reading its operators back;
    exit with 3 if not.

    Example: densenet certify digits.mindir runs/demo
    """
    # NumPy comes with these: help and other commands are quick without it.
    from archspec.certify.certify_file import certify_file
    from archspec.readers.frontends import frontend_of

    given = [
        *(overrides or ()),
        *override_by_flag("--num-classes", num_classes, "head.num_classes"),
    ]
    named = str(_spec_in(Path(spec))) if Path(spec).is_dir() else spec
    if probe and not frontend_of(file).runs_in_onnx_runtime:
        raise typer.BadParameter(
            "runs ONNX files only: ONNX Runtime knows no other", param_hint="--probe"
        )
    asked = {"ordered": ordered, "names": names, "probe": probe, "optimized": optimized}
    if ema and ckpt is None:
        raise typer.BadParameter("goes with --ckpt", param_hint="--ema")
    weights = None if ckpt is None else _read_weights(ckpt, named, given, ema=ema)
    tensors = None if weights is None else weights.tensors
    found = certify_file(file, named, given, **asked, tensors=tensors)
    known = found.values()
    if weights is not None:
        known["notes"] = [*(f"{ckpt}: {each}" for each in weights.adaptations), *known["notes"]]
    text = json.dumps(known, indent=2, ensure_ascii=False)
    if output is not None:
        save(output, f"{text}\n")
    if as_json:
        typer.echo(text)
    else:
        _show(known, f"{file} is {'' if found.is_equal else 'not '}{spec}")
        if output is not None:
            console.print(f"wrote {output}", soft_wrap=True, markup=False)
    if not found.is_equal:
        raise typer.Exit(DIFFERENT)


def _read_weights(ckpt: Path, spec: str, given: Any, *, ema: bool) -> Any:
    """Of a checkpoint, by the spec's names, and which of those that it has."""
    from archspec.spec.load import load_spec
    from archspec.weights.convert import convert_file

    return convert_file(ckpt, load_spec(spec, given), ema=ema)


def _spec_in(folder: Path) -> Path:
    """Of a run, or of what `densenet build` wrote."""
    from archspec.train.run.run_directory import open_run

    file = folder / "spec.yaml"
    return file if file.is_file() else open_run(folder).path


def _show(known: dict[str, Any], verdict: str) -> None:
    lines = _describe_certificate(known) if known["equal"] else _differing(known)
    for line in (verdict, *(f"note: {note}" for note in known["notes"]), *lines):
        console.print(line, soft_wrap=True, markup=False)
    if known["equal"]:
        console.print(_table(known))


def _describe_certificate(known: dict[str, Any]) -> Iterator[str]:
    yield f"file          sha256 {known['sha256']}"
    yield f"spec          sha256 {known['spec_sha256']}"
    yield f"structure     sha256 {known['structure_digest']}"
    yield f"parameters    {known['params']:,} found, {known['expected_params']:,} expected"
    yield (
        f"connections   {known['connections']:,} carry features, those of stem, transitions and "
        "head included"
    )
    yield from _describe_probe(known)
    yield f"compared      {'; '.join(known['compared'])}"
    yield f"not compared  {'; '.join(known['not_compared'])}"


def _differing(known: dict[str, Any]) -> Iterator[str]:
    differences = known["differences"]
    yield from (f"different: {difference}" for difference in differences[:LISTED])
    if len(differences) > LISTED:
        yield f"... and {len(differences) - LISTED} more (--json lists them)"
    yield from _describe_probe(known)
    if "dead" not in known and known["params"] != known["expected_params"]:
        yield f"parameters: {known['params']:,} found, {known['expected_params']:,} expected"


def _describe_probe(known: dict[str, Any]) -> Iterator[str]:
    if "probe" in known:
        probe = known["probe"]
        yield (
            f"probe         {probe['confirmed']:,} of {probe['connections']:,} connections "
            "confirmed by ONNX Runtime"
        )


def _table(known: dict[str, Any]) -> Table:
    table = Table("block", box=None, pad_edge=False)
    for title in ("layers", "connections found", "expected"):
        table.add_column(title, justify="right")
    for block in known["blocks"]:
        table.add_row(
            block["block"],
            str(block["layers"]),
            f"{block['edges']:,}",
            f"{block['expected_edges']:,}",
        )
    return table
