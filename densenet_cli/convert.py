"""densenet convert."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from archspec.connectivity_rules import Order
from archspec.errors import make_printable
from archspec.shell_words import quote_word
from densenet_cli.options import Ema, Overrides, complete_spec, console, quiet_screen

if TYPE_CHECKING:
    from archspec.weights.convert import Conversion

LISTED = 10
MAX_WORD = 60
Naming = Literal["mindspore", "mindcv", "torchvision", "timm", "torchvision_old"]


def convert(
    file: Annotated[
        Path, typer.Argument(help="A MindSpore .ckpt, a .safetensors or a torch .pth file.")
    ],
    spec: Annotated[
        str,
        typer.Option("--spec", help="A shipped spec or a YAML file.", autocompletion=complete_spec),
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="A .ckpt or .safetensors file.")
    ] = None,
    source: Annotated[
        Naming | None, typer.Option("--from", help="The file's names (default: recognised).")
    ] = None,
    target: Annotated[
        Naming, typer.Option("--to", help="The names to write; only mindspore's are trained on.")
    ] = ("mindspore"),
    rules: Annotated[
        Path | None, typer.Option("--map", help="Rules from the file's names to ours, in YAML.")
    ] = None,
    by_order: Annotated[
        bool, typer.Option("--by-order", help="Pair tensors by kind and order, not by name.")
    ] = False,
    suggest: Annotated[
        Path | None, typer.Option(help="Write the pairing as rules for --map, for you to read.")
    ] = None,
    order: Annotated[
        Order | None,
        typer.Option(help="In which the file's network joins feature maps (default: the spec's)."),
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(
            help="An ONNX model, or an .npz of an input x and the output y: the order that "
            "gives it is taken."
        ),
    ] = None,
    ema: Ema = False,
    force: Annotated[
        bool, typer.Option("--force", help="Take weights that are NaN, infinite or impossible too.")
    ] = False,
    overrides: Overrides = None,
) -> None:
    """Take over weights from MindCV, torchvision, timm, MONAI or your own training;
    or write ours in their names.

    Example: densenet convert
    densenet121-120_5004_Ascend.ckpt --spec densenet121 -o densenet121.ckpt
    """
    from archspec.weights.convert import convert_file

    if output is None and suggest is None:
        raise typer.BadParameter(
            "give -o FILE for the weights, or --suggest FILE for the names alone"
        )
    if by_order and (rules is not None or source is not None):
        raise typer.BadParameter("--by-order goes without names, so without --map and --from")
    with quiet_screen():
        converted = convert_file(
            file,
            spec,
            output,
            overrides=overrides or (),
            source=source,
            target=target,
            rules=rules,
            by_order=by_order,
            suggest=suggest,
            force=force,
            order=order,
            like=like,
            ema=ema,
        )
    for line in _describe(file, converted, suggest):
        console.print(line, markup=False)
    if output is not None:
        console.print(f"wrote {output}", markup=False)
    if output is not None and output.suffix == ".ckpt" and target == "mindspore" and not force:
        given = "".join(f" --set {quote_word(text)}" for text in overrides or ())
        command = f"densenet validate {quote_word(spec)} --ckpt {quote_word(str(output))}{given}"
        console.print(f"Next: {command} --data-dir DIR", markup=False)


def _describe(file: Path, converted: Conversion, suggest: Path | None) -> Iterator[str]:
    names = "paired by order" if converted.naming == "by order" else f"names: {converted.naming}"
    yield f"{file} is a {converted.kind}, {names}"
    counts = f"{converted.params:,} parameters, {converted.stats:,} moving statistics"
    yield f"{len(converted.tensors)} tensors: {counts}"
    if converted.set_aside:
        yield f"set aside: {_list_counts(converted.set_aside)}"
    for remark in converted.remarks:
        yield f"note: {remark}"
    if suggest is not None:
        yield f"wrote {suggest}: read it, then --map {suggest}"


def _list_counts(counts: Mapping[str, int]) -> str:
    """`epoch (1), optimizer (1)`; a stranger's words are cut and cannot move the cursor."""
    named = []
    for name, count in list(counts.items())[:LISTED]:
        named.append(f"{make_printable(name[:MAX_WORD])} ({count})")
    more = [f"and {len(counts) - LISTED:,} more"] if len(counts) > LISTED else []
    return ", ".join([*named, *more])
