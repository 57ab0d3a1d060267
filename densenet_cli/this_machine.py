"""Several machines: `--nodes`, `--node-rank`, `--master`, and a node that joins a run."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from archspec.shell_words import join_words, quote_word
from archspec.signals import raise_for_signal, take_signals
from densenet_cli.faults import choose_policy
from densenet_cli.options import console
from densenet_cli.ssh import GO_ON, run_on_hosts, tell_begin, write_ssh

if TYPE_CHECKING:
    from archspec.train.distributed.nodes import Node
    from densenet_cli.hosts import Host

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
Hostfile = Annotated[
    Path | None,
    typer.Option(help="Machines, HOST [slots=N] a line: print the command of each, and stop."),
]
Ssh = Annotated[
    bool, typer.Option("--ssh", help="With --hostfile: run them there, and watch from here.")
]
SshSetup = Annotated[
    str,
    typer.Option(
        help="With --ssh: what each host's shell does before, such as '. venv/bin/activate' "
        "(default: go to this folder, and take this Python)."
    ),
]
USUAL_WAIT, USUAL_PATIENCE = "10m", 600
"""Of `--node-wait`, and in seconds."""
OF_A_NODE = {
    **dict.fromkeys(("--nodes", "--node-rank", "--master", "--node-wait"), True),
    **dict.fromkeys(("--hostfile", "--ssh-setup"), True),
    **dict.fromkeys(("--dry-run", "--ssh"), False),
}
"""Flags that a node's own command has otherwise, or not at all, and whether they have a value."""
KEPT = ("--restarts", "--hang-after", "--device-ids")
"""Flags that a run goes on with as it was started, which it does not keep itself."""
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


def take_hosts(
    context: typer.Context, devices: int, nodes: int | None, master: str | None
) -> tuple[int, int | None, str | None]:
    """Return devices, nodes and master as they were given, or as the hosts of a file have them.

    Without --dry-run, those hosts' commands are printed or run, and this one ends.
    """
    given = context.params
    file, is_ssh = given["hostfile"], given["ssh"]
    _refuse_without(file, is_ssh=is_ssh, setup=given["ssh_setup"])
    if file is None:
        return devices, nodes, master
    _refuse_beside(file, {"--nodes": nodes, "--node-rank": given["node_rank"]})
    from densenet_cli.hosts import choose_devices, read_hosts

    hosts = read_hosts(file)
    is_typed = str(context.get_parameter_source("devices")).endswith("COMMANDLINE")
    if given["device_ids"] is not None and not is_typed:
        devices, is_typed = given["device_ids"].count(",") + 1, True
    more = []
    if given["resume"] is None:
        devices = choose_devices(file, hosts, devices if is_typed else None)
        more = [] if is_typed else ["--devices", str(devices)]
    nodes, master = len(hosts), master or hosts[0].address
    run, wait = given["resume"] or given["out"], given["node_wait"]
    choose_policy(given["restarts"], given["hang_after"], devices, nodes)
    first = read_node(nodes, 0, master, wait, run=run, is_dry=True)
    commands = [_command_on(first, rank, more) for rank in range(nodes)]
    by_ssh, go_on = [], _list_words_to_go_on(given)
    for host, command in zip(hosts, commands, strict=True):
        by_ssh.append(write_ssh(host, command, given["ssh_setup"], go_on))
    if given["dry_run"]:
        if is_ssh or first is None:  # else `show_nodes` prints them
            _show_on_hosts(hosts, by_ssh if is_ssh else commands)
        return devices, nodes, master
    _show_on_hosts(hosts, commands)
    raise typer.Exit(run_on_hosts(file, hosts, by_ssh) if is_ssh else 0)


def _refuse_without(file: Path | None, *, is_ssh: bool, setup: str) -> None:
    """Refuse flags that mean nothing without others."""
    if setup and not is_ssh:
        raise typer.BadParameter("goes with --ssh", param_hint="--ssh-setup")
    if is_ssh and file is None:
        raise typer.BadParameter("goes with --hostfile", param_hint="--ssh")


def _list_words_to_go_on(given: Mapping[str, Any]) -> list[str]:
    """The words by which all hosts go on together, behind `--resume RUN`."""
    words = ["--hostfile", str(given["hostfile"]), "--ssh"]
    for flag, usual in (("ssh_setup", ""), ("master", None), ("node_wait", USUAL_WAIT)):
        if given[flag] != usual:
            words += [f"--{flag.replace('_', '-')}", str(given[flag])]
    return [*words, *_list_kept(sys.argv[1:])]


def _show_on_hosts(hosts: Sequence[Host], commands: Sequence[Sequence[str]]) -> None:
    for host, command in zip(hosts, commands, strict=True):
        console.out(f"# on {host.name}:\n{join_words(command)}")


def _command_on(first: Node | None, rank: int, more: Sequence[str]) -> list[str]:
    """The command of a node; a host that is alone needs no words for it."""
    if first is None:
        return ["densenet", *_list_others(sys.argv[1:]), *more]
    return command_of(replace(first, rank=rank), more)


def _refuse_beside(file: Path, flags: Mapping[str, object]) -> None:
    for flag, value in flags.items():
        if value is not None:
            raise typer.BadParameter(f"{file} says that of all nodes", param_hint=flag)


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
    """Return the words by which this node goes on as it was started, or all of them where `--ssh`
    has started it, with a space before; '' for none.
    """
    together = os.environ.get(GO_ON)
    if together is not None:
        return f" {together}"
    words = [*([] if node is None else _list_words(node)), *_list_kept(sys.argv[1:])]
    return f" {join_words(words)}" if words else ""


def _list_words(node: Node) -> list[str]:
    words = ["--nodes", str(node.nodes), "--node-rank", str(node.rank), "--master", node.master]
    if node.patience != USUAL_PATIENCE:
        words += ["--node-wait", f"{node.patience}s"]
    return words


def command_of(node: Node, more: Sequence[str] = ()) -> list[str]:
    """Return what this command's line is for a node, with `more` words before those of the node."""
    return ["densenet", *_list_others(sys.argv[1:]), *more, *_list_words(node)]


def start_alone(devices: int) -> str:
    """Return this command's line, for a shell, as it starts the run on this machine alone."""
    words = ["densenet", *_list_others(sys.argv[1:]), *_say_devices(devices)]
    return join_words(words)


def _say_devices(devices: int) -> list[str]:
    """The words for so many processes, where a file of hosts or mpirun says that, and no word."""
    is_said = any(
        word.partition("=")[0] in ("--devices", "--device-ids", "--resume") for word in sys.argv[1:]
    )
    return [] if is_said or devices == 1 else ["--devices", str(devices)]


def _list_others(words: Sequence[str]) -> Iterator[str]:
    """Yield the words of a command line that are the same for each node."""
    is_value = False
    for word in words:
        flag, _, value = word.partition("=")
        takes_value = OF_A_NODE.get(flag)
        if not is_value and takes_value is None:
            yield word
        is_value = bool(takes_value) and not is_value and not value


def _list_kept(words: Sequence[str]) -> Iterator[str]:
    """Yield the words of a command line that hold when its run goes on."""
    for word, following in pairwise([*words, ""]):
        flag, _, value = word.partition("=")
        if flag in KEPT:
            yield from [word] if value else [word, following]


def show_nodes(node: Node, path: Path, settings: Any) -> None:
    """Print what each node would run: its command, and the `msrun` that this starts."""
    from archspec.train.distributed.msrun import write_shell_line
    from archspec.train.launch import launch_command

    more = _say_devices(settings.devices)
    for rank in range(node.nodes):
        other = replace(node, rank=rank)
        console.out(f"# {other.name}, {settings.devices} of {settings.world} processes:")
        console.out(join_words(command_of(other, more)))
        console.out("# which starts, once node 0 has the run directory ready:")
        console.out(f"# {write_shell_line(launch_command(path, settings, other))}")


def join_on_screen(node: Node, path: Path | None, devices: int | None, hang_after: float) -> None:
    """Train this machine's part of a run; `devices` as this command has them.

    Raises:
        ArchspecError: see `archspec.train.joining.join`.
        typer.Exit: it was interrupted.
    """
    from archspec.train.joining import join

    assert path is not None  # see `read_node`
    take_signals(raise_for_signal)
    try:
        run = join(
            path,
            node,
            devices=devices,
            hang_after=hang_after,
            say=console.out,
            begin=partial(tell_begin, console.out),
        )
    except (KeyboardInterrupt, SystemExit) as stop:  # see `signals.exception_of`
        resume = f"densenet train --resume {quote_word(str(path))}{place_of(node)}"
        hint = "" if GO_ON in os.environ else f" Go on, on all nodes, with: {resume}"
        console.out(f"\nInterrupted.{hint}")  # where one command runs all, node 0 says how
        raise typer.Exit(int(stop.code or 0) if isinstance(stop, SystemExit) else 130) from None
    console.out(f"{node.name} is done. Run: {run.path}")
