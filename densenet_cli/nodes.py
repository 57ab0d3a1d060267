"""Several machines: `--nodes`, `--node-rank`, `--master`, and a node that joins a run."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from archspec.signals import raise_for_signal, take_signals
from densenet_cli.options import console

if TYPE_CHECKING:
    from archspec.train.distributed.nodes import Node

Nodes = Annotated[
    int | None,
    typer.Option(min=1, help="Machines that train together, with --devices processes on each."),
]
NodeRank = Annotated[
    int | None, typer.Option(min=0, help="With --nodes: which of them this machine is, from 0.")
]
Master = Annotated[
    str | None, typer.Option(help="With --nodes: where node 0 is found, ADDR[:PORT] (port 8118).")
]
NodeWait = Annotated[
    str, typer.Option(help="With --nodes: how long they wait for each other, 90s or 10m.")
]
USUAL_PATIENCE = 600
"""Of `--node-wait`, in seconds."""
OF_A_NODE = {
    **dict.fromkeys(("--nodes", "--node-rank", "--master", "--node-wait"), True),
    **dict.fromkeys(("--dry-run",), False),
}
"""Flags that a node's own command has otherwise, or not at all, and whether they have a value."""
_MASTER = re.compile(r"(\[[0-9A-Fa-f:.%\w]+\]|\w[\w.-]*)(?::([0-9]{1,9}))?")


def read_node(
    nodes: int | None,
    rank: int | None,
    master: str | None,
    wait: str,
    *,
    run: Path | None,
    is_dry: bool,
) -> Node | None:
    """Return which of several machines this one is, None where it trains alone.

    A dry run, which tells of all nodes, needs no rank, and asks nothing of this machine.

    Raises:
        typer.BadParameter: words that do not go together.
        TrainingError: T012, T022, see `check_place`.
    """
    if nodes is None:
        _refuse_alone({"--node-rank": rank, "--master": master})
        return None
    if rank is not None and rank >= nodes:
        rule = f"{rank} must be below {nodes}, the number of nodes: they count from 0"
        raise typer.BadParameter(rule, param_hint="--node-rank")
    if nodes == 1:
        return None
    wanted = {
        "--node-rank": (0 if is_dry else rank, f"which of them this is, from 0 to {nodes - 1}"),
        "--master": (master, "where node 0 is found, ADDR[:PORT]"),
        "--out": (run, "the run directory, on storage that all of them share"),
    }
    for flag, (value, what) in wanted.items():
        if value is None:
            raise typer.BadParameter(f"{nodes} nodes: say {what}", param_hint=flag)
    from archspec.train.distributed.nodes import Node, check_place

    address, port = parse_master(str(master))
    node = Node(nodes, rank or 0, address, port, _parse_wait(wait))
    if not is_dry:
        check_place(node)
    return node


def _refuse_alone(flags: Mapping[str, object]) -> None:
    for flag, value in flags.items():
        if value is not None:
            raise typer.BadParameter("goes with --nodes", param_hint=flag)


def parse_master(text: str) -> tuple[str, int]:
    """Return address, an IPv6 one in its brackets, and port."""
    from archspec.train.distributed.nodes import PORTS, USUAL_PORT

    found = _MASTER.fullmatch(text)
    if found is None:
        rule = f"{text} is not ADDR or ADDR:PORT, such as 10.0.0.5:8118"
        if text.count(":") > 1 and not set(text) & set("[/"):
            rule = f"{text}: an IPv6 address stands in brackets, [fd00::5]:8118"
        raise typer.BadParameter(rule, param_hint="--master")
    port = int(found[2] or USUAL_PORT)
    if port not in PORTS:
        rule = f"port {port} must be from {PORTS.start} to {PORTS[-1]}"
        raise typer.BadParameter(rule, param_hint="--master")
    return found[1], port


def _parse_wait(text: str) -> int:
    from archspec.train.recipe.keeping import is_duration, seconds_of

    if not is_duration(text):
        rule = f"{text} is no time such as 90s, 10m or 2h"
        raise typer.BadParameter(rule, param_hint="--node-wait")
    return seconds_of(text)


def place_of(node: Node | None) -> str:
    """Return the words that a command has for this node, with a space before; '' for none."""
    return "" if node is None else f" {shlex.join(_list_words(node))}"


def _list_words(node: Node) -> list[str]:
    words = ["--nodes", str(node.nodes), "--node-rank", str(node.rank), "--master", node.master]
    if node.patience != USUAL_PATIENCE:
        words += ["--node-wait", f"{node.patience}s"]
    return words


def command_of(node: Node, more: Sequence[str] = ()) -> list[str]:
    """Return what this command's line is for a node, with `more` words before those of the node."""
    return ["densenet", *_list_others(sys.argv[1:]), *more, *_list_words(node)]


def _list_others(words: Sequence[str]) -> Iterator[str]:
    """Yield the words of a command line that are the same for each node."""
    is_value = False
    for word in words:
        flag, _, value = word.partition("=")
        takes_value = OF_A_NODE.get(flag)
        if not is_value and takes_value is None:
            yield word
        is_value = bool(takes_value) and not is_value and not value


def show_nodes(node: Node, path: Path, settings: Any) -> None:
    """Print what each node would run: its command, and the `msrun` that this starts."""
    from archspec.train.distributed.msrun import write_shell_line
    from archspec.train.launch import launch_command

    for rank in range(node.nodes):
        other = replace(node, rank=rank)
        console.out(f"# {other.name}, {settings.devices} of {settings.world} processes:")
        console.out(shlex.join(command_of(other)))
        console.out("# which starts, once node 0 has made the run directory:")
        console.out(f"# {write_shell_line(launch_command(path, settings, other))}")


def join_on_screen(node: Node, path: Path | None, devices: int | None) -> None:
    """Train this machine's part of a run; `devices` as this command has them.

    Raises:
        ArchspecError: see `archspec.train.joining.join`.
        typer.Exit: it was interrupted.
    """
    from archspec.train.joining import join

    assert path is not None  # see `read_node`
    take_signals(raise_for_signal)
    try:
        run = join(path, node, devices=devices, say=console.out)
    except (KeyboardInterrupt, SystemExit) as stop:  # see `signals.exception_of`
        console.out(f"\nInterrupted: all nodes end. Go on with --resume {shlex.quote(str(path))}")
        raise typer.Exit(int(stop.code or 0) if isinstance(stop, SystemExit) else 130) from None
    console.out(f"{node.name} is done. Run: {run.path}")
