"""`mpirun -n 8 densenet train`, and `validate`, as MindCV's users start it, by OpenMPI.

mpirun starts as many processes as there are devices. The first of each machine does what `densenet
train --devices N` does, which starts that many under msrun and watches them; the others have
nothing to do and end at once, which mpirun takes for well done.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import FrameType
from typing import Any, NoReturn

import typer

from archspec.errors import TrainingError
from archspec.shell_words import join_words
from archspec.signals import take_signals
from densenet_cli.device_ids import refuse_number

WORLD = "OMPI_COMM_WORLD_"
OWN_VARIABLES = ("OMPI_", "PMIX_", "ORTE_", "PRTE_")
"""How those begin by which mpirun tells its processes of each other; MindSpore would read them."""

TOLD_TO_END: Mapping[str, bytes] = {
    "train": b"Told to end: the run is saved, within 25 s, even if mpirun has ended before.\n",
    "validate": b"Told to end.\n",
}
"""The commands that several processes share, and what is said where mpirun ends them."""
ALONE = "predict"
"""The command that several processes would only repeat."""


def read_mpirun(words: Sequence[str]) -> dict[str, int]:
    """Return the options that mpirun stands for beside these words of `densenet`, {} for none: in
    the one process of a machine that goes on. Any other one ends here.

    Raises:
        TrainingError: T010, mpirun has started processes that the command does not have.
    """
    command, rank, world, here = words[0], _read("RANK"), _read("SIZE"), _read("LOCAL_SIZE")
    if command == ALONE and world > 1:
        _refuse(rank, f"{world} processes, and {command} is one", ["densenet", *words])
    if command == "validate" and world > here:
        rule = f"processes on several machines, and {command} has those of one"
        _refuse(rank, rule, ["mpirun", "-n", str(here), "densenet", *words])
    if command in TOLD_TO_END:
        return leave_mpirun(TOLD_TO_END[command])
    if rank > 0:  # what each of them would say is said once
        raise SystemExit(0)
    return {}


def _refuse(rank: int, rule: str, instead: Sequence[str]) -> NoReturn:
    """Say in the first process of all what to type instead; the others end without a word."""
    if rank > 0:
        raise SystemExit(0)
    raise TrainingError.one("T010", f"mpirun has started {rule}", "", join_words(instead))


def leave_mpirun(told_to_end: bytes) -> dict[str, int]:
    """Return what the options of a command are to say, in the first process of a machine; any other
    one ends here.

    The process goes on as a child of its own, free of what mpirun does to its processes;
    `told_to_end` is said where mpirun ends them.

    Raises:
        TrainingError: T010, machines have unlike numbers of processes.
    """
    rank, world, local_rank, local_world = map(_read, ("RANK", "SIZE", "LOCAL_RANK", "LOCAL_SIZE"))
    if local_rank > 0:
        raise SystemExit(0)
    if rank % local_world or world % local_world:
        rule = f"mpirun has put {local_world} of {world} processes here, and others elsewhere"
        cure = "as many on each machine, one machine after the other: --map-by slot"
        raise TrainingError.one("T010", rule, "", cure)
    _free_processors()
    _go_on_in_child(told_to_end)
    for name in [name for name in os.environ if name.startswith(OWN_VARIABLES)]:
        del os.environ[name]
    # mpirun hands on what is printed, with a mark before each line where that is wished: it looks
    # like a terminal to its processes, and is none.
    os.environ["TTY_COMPATIBLE"] = "0"
    place = {"nodes": world // local_world, "node_rank": rank // local_world}
    return {"devices": local_world, **(place if world > local_world else {})}


def _read(name: str) -> int:
    return int(os.environ[WORLD + name])


def _free_processors() -> None:
    """mpirun binds each process to a core or two, and this one is to start all; mpirun itself has
    those that the user, or a scheduler, lets it have.
    """
    if sys.platform != "linux":
        return
    import psutil

    own = os.sched_getaffinity(0)
    for parent in psutil.Process().parents():
        with suppress(OSError):
            found = os.sched_getaffinity(parent.pid)
            if found > own:
                os.sched_setaffinity(0, found)
                return


def _go_on_in_child(told_to_end: bytes) -> None:
    """Return in a child alone, in a session of its own: mpirun kills its processes a second after
    it has told them to end, and saving may take longer.

    The parent tells the child to end, by a byte or by its own end, and ends as the child does.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writer)
        os.setsid()
        threading.Thread(target=_end_when_told, args=(reader,), daemon=True).start()
        return
    os.close(reader)

    def tell(number: int, frame: FrameType | None) -> None:
        with suppress(OSError):  # it has ended, or nobody reads any more
            os.write(writer, b"\0")
            os.write(1, told_to_end)

    take_signals(tell)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


def _end_when_told(reader: int) -> None:
    # Else a signal could be taken here, and by MindSpore's handler: see `watch_interrupts`.
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    os.read(reader, 1)
    os.kill(os.getpid(), signal.SIGTERM)


def refuse_unlike_mpirun(context: typer.Context) -> None:
    """Refuse options of another number of processes than mpirun has started."""
    started: Mapping[str, Any] = context.default_map or {}
    if started and context.params.get("hostfile") is not None:
        rule = "mpirun has started the processes, and on which machines: leave it out"
        raise typer.BadParameter(rule, param_hint="--hostfile")
    _refuse_named(context.params.get("device_ids"), started.get("devices"))
    for name, value in started.items():
        said = context.params.get(name, value)
        if said != value:
            flag = f"--{name.replace('_', '-')}"
            rule = f"mpirun has started this as {flag} {value}, not {said}: leave it out"
            raise typer.BadParameter(rule, param_hint=flag)


def _refuse_named(device_ids: str | None, processes: int | None) -> None:
    named = 0 if device_ids is None else device_ids.count(",") + 1
    if device_ids is not None and processes is not None and named != processes:
        started = "1 process" if processes == 1 else f"{processes:,} processes"
        refuse_number(device_ids, named, f"mpirun has started {started} here: say as many to both")
