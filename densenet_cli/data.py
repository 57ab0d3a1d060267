"""densenet data: check, pack."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from archspec.errors import ArchspecError, Diagnostic
from archspec.shell_words import join_words, quote_word
from archspec.signals import exit_at_once, take_signals, watch_interrupts
from densenet_cli.image_progress import ImageProgress
from densenet_cli.options import (
    complete_recipe,
    console,
    make_cell,
    print_notes,
    quiet_screen,
    split_overrides,
)

if TYPE_CHECKING:
    from archspec.train.data.check import Report
    from archspec.train.data.sources.source import OnError

MAX_SHARDS = 1_000
"""As MindSpore has it."""
WIDTH = 80
"""Columns of the table where there is no terminal to ask, and COLUMNS says nothing."""
MAX_LISTED = 20
"""Classes, and images that are left out, that are listed one by one."""
MAX_NAMED = 3
"""Images of a kind that are named; --json names all."""
MAX_NAME = 24
"""Letters of a class's name in the table."""

data = typer.Typer(
    help="Look through data sets, and pack them.\n\nExample: densenet data check photos",
    no_args_is_help=True,
)


@data.command()
def check(
    data_dir: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="As of `train`: a folder of images or images and masks, a table, MindRecord, "
            "CIFAR or MNIST.",
        ),
    ],
    recipe: Annotated[
        str | None,
        typer.Option(
            help="What it is to be trained with (default: what `train` would choose).",
            autocompletion=complete_recipe,
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override a key: recipe.batch_size=8. Repeatable."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all that is found as JSON.")] = (
        False
    ),
) -> None:
    """Decode every image and say what is there: classes, sizes, mean and std, what is broken,
    duplicate or odd. Exit code 0 where training would start on it.

    Example: densenet data check photos
    """
    from archspec.train.data.sources.source import raise_faults

    with ImageProgress() as progress:
        report = _look_through(data_dir, recipe, overrides or [], progress.show, as_json)
    if as_json:
        typer.echo(json.dumps(report.to_json(), indent=2))
    else:
        console.print(_make_table(report, data_dir), soft_wrap=False, width=_choose_width())
        for line in _advise(report):
            console.out(line)
    print_notes(report.notes, as_json)
    raise_faults(report.faults)
    if not as_json:
        words = ["densenet", "train", "--data-dir", str(data_dir)]
        words += [] if recipe is None else ["--recipe", recipe]
        for text in overrides or ():
            words += ["--set", text]
        console.out(f"Training would start on it. Next: {join_words(words)}")


@data.command()
def pack(
    data_dir: Annotated[
        Path, typer.Argument(metavar="DIR", help="An image folder, or a table of files and labels.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="A new folder for train.mindrecord and the others.")
    ],
    shards: Annotated[
        int, typer.Option(help="Files that each part is spread over.", min=1, max=MAX_SHARDS)
    ] = 1,
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="Leave out images that are not whole.")
    ] = False,
) -> None:
    """Pack image files into MindRecord files, byte for byte: a large data set is a few files then,
    and is trained on as before.

    Example: densenet data pack photos -o packed
    """
    # As in train: an interrupt in the middle of importing MindSpore would be a crash.
    watch_interrupts()
    take_signals(exit_at_once)
    from archspec.train.data.packing import pack_data

    on_error: OnError = "skip" if skip_broken else "stop"
    with ImageProgress() as progress, quiet_screen():
        packed = pack_data(data_dir, out, shards=shards, on_error=on_error, show=progress.show)
    print_notes((*packed.notes, *_name_left_out(packed.left_out)))
    parts = ", ".join(f"{count:,} in {part}" for part, count in packed.images.items())
    console.out(f"wrote {out}: images of {packed.classes:,} classes, {parts}")
    console.out(f"Next: densenet train --data-dir {quote_word(str(out))}")


def _name_left_out(faults: Sequence[Diagnostic]) -> Iterator[str]:
    yield from (f"left out: {fault}" for fault in faults[:MAX_LISTED])
    if len(faults) > MAX_LISTED:
        yield f"left out: {len(faults) - MAX_LISTED:,} more"


def _look_through(
    data_dir: Path,
    recipe: str | None,
    overrides: Sequence[str],
    show: Callable[[int, int], None],
    as_json: bool,
) -> Report:
    """What cannot be opened has faults alone, which a program is told as JSON too."""
    from archspec.train.data.check import check_data

    for_spec, for_recipe = split_overrides(overrides)
    if for_spec:
        message = f"{for_spec[0]} is of a spec; a recipe's keys are recipe.KEY=VALUE"
        raise typer.BadParameter(message, param_hint="--set")
    try:
        return check_data(data_dir, recipe, for_recipe, show=show)
    except ArchspecError as error:
        if as_json:
            faults = [str(diagnostic) for diagnostic in error.diagnostics]
            typer.echo(json.dumps({"name": str(data_dir), "faults": faults}, indent=2))
        raise


def _choose_width() -> int | None:
    """Of a file or pipe that of a usual terminal: long cells are folded, so none is cut."""
    is_known = console.is_terminal or "COLUMNS" in os.environ
    return None if is_known else WIDTH


def _make_table(report: Report, data_dir: Path) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column("what", style="bold", no_wrap=True)
    table.add_column("found", overflow="fold")
    for what, found in _list_rows(report, data_dir):
        table.add_row(make_cell(what), make_cell(found))
    return table


def _list_rows(report: Report, data_dir: Path) -> Iterator[tuple[str, str]]:
    yield "data", f"{report.name} ({report.kind})"
    yield "images", ", ".join(f"{count:,} {part}" for part, count in report.images.items())
    yield from _list_classes(report)
    sizes = [f"{name} {width} x {height}" for name, (width, height) in report.sizes.items()]
    yield "width x height", ", ".join(sizes) or "none"
    modes = [f"{count:,} {mode}" for mode, count in report.modes.items()]
    yield "modes", "; ".join(modes) or "none"
    if report.highest:
        yield "16 bit", f"values up to {report.highest:,}"
    yield "mean, std", f"{_write_row(report.mean)}, {_write_row(report.std)} of train, 0-255"
    broken = [f"{_shorten(name, data_dir)}: {reason}" for name, reason in report.broken]
    yield "broken", _name_some(broken)
    groups = []
    for group in report.duplicates:
        groups.append(" = ".join(_shorten(name, data_dir) for name in group))
    yield "duplicates", _name_some(groups)
    odd = [f"{_shorten(name, data_dir)} {reason}" for name, reason in report.odd]
    yield "odd", _name_some(odd)


def _list_classes(report: Report) -> Iterator[tuple[str, str]]:
    parts = list(report.counts)
    train = report.counts[parts[0]]
    if not train:
        yield "classes", "none"
        return
    least, most = min(train.values()), max(train.values())
    ratio = "no image of the rarest"
    if least:
        ratio = f"the commonest has {most / least:.3g} x the images of the rarest"
    yield "classes", f"{len(train):,}; {ratio}"
    rows = sorted(train, key=lambda name: train[name])
    shown = list(train)
    if len(train) > MAX_LISTED:
        yield "", f"the {MAX_NAMED} rarest and the {MAX_NAMED} commonest (--json lists all):"
        shown = rows[:MAX_NAMED] + rows[-MAX_NAMED:]
    for name in shown:
        counts = [f"{report.counts[part].get(name, 0):,} {part}" for part in parts]
        yield f"  {name[:MAX_NAME]}", ", ".join(counts)


def _advise(report: Report) -> Iterator[str]:
    """How what was found is put into a recipe."""
    if report.mean:
        mean, std = _write_row(report.mean), _write_row(report.std)
        yield f"In a recipe: data: {{mean: {mean}, std: {std}}}"
    bits = report.highest.bit_length()
    if 0 < bits < 16:
        level = 2**bits - 1
        yield f"The 16 bit images use {bits} bits. In a recipe: data: {{white_level: {level}}}"
    if any("pages" in mode or "animated" in mode for mode in report.modes):
        yield "Of several pages or frames the first is read."
    if report.broken and report.faults:
        yield "Without the broken images: data: {on_error: skip}"


def _write_row(values: Sequence[float]) -> str:
    return f"[{', '.join(f'{value:g}' for value in values)}]"


def _name_some(found: Sequence[str]) -> str:
    if not found:
        return "none"
    named = "; ".join(found[:MAX_NAMED])
    more = f"; and {len(found) - MAX_NAMED:,} more" if len(found) > MAX_NAMED else ""
    return f"{len(found):,}: {named}{more}"


def _shorten(name: str, data_dir: Path) -> str:
    return name.removeprefix(f"{data_dir}/")
