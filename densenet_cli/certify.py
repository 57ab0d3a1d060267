"""densenet certify."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from archspec.graph.build import build_graph
from archspec.graph.ir import Graph
from archspec.spec.catalogue import locate
from archspec.spec.load import is_users_choice, load_spec
from archspec.spec.model import Spec
from archspec.verifiers.verify import verified
from densenet_cli.options import Overrides, complete_spec, console, override_by_flag, save

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
    names: Annotated[
        bool, typer.Option("--names", help="What has weights must be called as in the spec, too.")
    ] = False,
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
    """Prove that a model file is the network its spec says, by reading its operators back; exit with 3 if not.

    Example: densenet certify digits.mindir runs/demo
    """
    given = [
        *(overrides or ()),
        *override_by_flag("--num-classes", num_classes, "head.num_classes"),
    ]
    named = str(_spec_in(Path(spec))) if Path(spec).is_dir() else spec
    chosen = load_spec(named, given)
    known = _known(file, locate(named), chosen, ordered, names, probe)
    text = json.dumps(known, indent=2, ensure_ascii=False)
    if output is not None:
        save(output, f"{text}\n")
    if as_json:
        typer.echo(text)
    else:
        _show(known, f"{file} is {'' if known['equal'] else 'not '}{spec}")
        if output is not None:
            console.print(f"wrote {output}", soft_wrap=True, markup=False)
    if not known["equal"]:
        raise typer.Exit(DIFFERENT)


def _known(
    file: Path, spec_file: Path, chosen: Spec, ordered: bool, names: bool, probe: bool
) -> dict[str, Any]:
    """What is known after the comparison; NumPy is not imported before, so that help and other commands are quick."""
    from archspec.certify.certificate import certificate
    from archspec.certify.liveness import life_of
    from archspec.certify.probe import probe_of
    from archspec.compare.compare import compare
    from archspec.readers.mindir.read import mindir_reading
    from archspec.readers.onnx.checker import refuse_invalid
    from archspec.readers.onnx.decode import is_onnx
    from archspec.readers.onnx.read import OnnxReading, onnx_reading

    if probe and not is_onnx(file):
        raise typer.BadParameter(
            "runs ONNX files only: ONNX Runtime knows no other", param_hint="--probe"
        )
    reading = onnx_reading(file) if is_onnx(file) else mindir_reading(file)
    if isinstance(reading, OnnxReading):
        refuse_invalid(file, reading.model)
    wanted, remark = _with_classes_of(
        reading.graph, chosen, is_users_choice(chosen, ("head", "num_classes"))
    )
    graph = verified(build_graph(wanted))
    comparison = compare(
        graph,
        reading.graph,
        ordered=ordered,
        named=names,
        zero_biases=reading.zero_biases,
        norms_shift=reading.norms_shift,
    )
    life = life_of(comparison.match, reading, file) if comparison.equal else None
    probed = (
        probe_of(life, reading, file)
        if life and probe and isinstance(reading, OnnxReading)
        else None
    )
    remarks = (*reading.notes, remark)
    skipped = "not probed: the network is another one" if probe and not probed else ""
    return certificate(
        file, graph, comparison, *remarks, skipped, spec_file=spec_file, life=life, probe=probed
    )


def _spec_in(folder: Path) -> Path:
    """Of a run, or of what `densenet build` wrote."""
    from archspec.train.run_directory import open_run

    file = folder / "spec.yaml"
    return file if file.is_file() else open_run(folder).path


def _with_classes_of(found: Graph, spec: Spec, fixed: bool) -> tuple[Spec, str]:
    """The spec, with the file's number of classes where nobody said one, and a line that says so."""
    last = found.ops[found.outputs[-1]]
    classes = last.attrs["out_channels"] if last.kind == "dense" else spec.head.num_classes
    if fixed or classes == spec.head.num_classes:
        return spec, ""
    remark = f"{classes} classes as in the file; {spec.name} has {spec.head.num_classes} where nothing else is said"
    head = spec.head.model_copy(update={"num_classes": classes})
    return spec.model_copy(update={"head": head}), remark


def _show(known: dict[str, Any], verdict: str) -> None:
    lines = _certified(known) if known["equal"] else _differing(known)
    for line in (verdict, *(f"note: {note}" for note in known["notes"]), *lines):
        console.print(line, soft_wrap=True, markup=False)
    if known["equal"]:
        console.print(_table(known))


def _certified(known: dict[str, Any]) -> Iterator[str]:
    yield f"file          sha256 {known['sha256']}"
    yield f"spec          sha256 {known['spec_sha256']}"
    yield f"structure     sha256 {known['structure_digest']}"
    yield f"parameters    {known['params']:,} found, {known['expected_params']:,} expected"
    yield f"connections   {known['connections']:,} carry features, those of stem, transitions and head included"
    yield from _probed(known)
    yield f"compared      {'; '.join(known['compared'])}"
    yield f"not compared  {'; '.join(known['not_compared'])}"


def _differing(known: dict[str, Any]) -> Iterator[str]:
    differences = known["differences"]
    yield from (f"different: {difference}" for difference in differences[:LISTED])
    if len(differences) > LISTED:
        yield f"... and {len(differences) - LISTED} more (--json lists them)"
    yield from _probed(known)
    if "dead" not in known and known["params"] != known["expected_params"]:
        yield f"parameters: {known['params']:,} found, {known['expected_params']:,} expected"


def _probed(known: dict[str, Any]) -> Iterator[str]:
    if "probe" in known:
        probe = known["probe"]
        yield f"probe         {probe['confirmed']:,} of {probe['connections']:,} connections confirmed by ONNX Runtime"


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
