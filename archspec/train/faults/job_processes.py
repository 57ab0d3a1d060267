"""The processes of one job: which they are, and their end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from archspec.train.distributed.worker_group import SUPERVISOR

KILL_SECONDS = 10.0
SCHEDULER = "scheduler"


def list_members(msrun: int) -> dict[int, str]:
    """Return msrun's children by process id: a worker's rank, or "scheduler"."""
    found = {}
    with suppress(psutil.Error):
        for child in psutil.Process(msrun).children():
            environment = child.environ()
            if environment.get("MS_ROLE") == "MS_WORKER":
                found[child.pid] = environment.get("RANK_ID", "0")
            if environment.get("MS_ROLE") == "MS_SCHED":
                found[child.pid] = SCHEDULER
    return found


def state_of(pid: int) -> str:
    """Return a process's state as proc(5) has it, such as T (stopped); "" where there is none."""
    fields = _read_fields(pid)
    return fields[0] if fields else ""


def exit_code_of_zombie(pid: int) -> int:
    """Return the exit code of a process that ended and was not waited for, else 0."""
    fields = _read_fields(pid)
    return os.waitstatus_to_exitcode(int(fields[-1])) if fields and fields[0] == "Z" else 0


def _read_fields(pid: int) -> list[str]:
    """What the kernel tells of a process behind its name (proc(5): from field 3 on)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return []


def end_job(job: str, grace: float, has_enough: Callable[[], bool]) -> None:
    """End every process of the job, wherever in the tree and in whatever session it is.

    Workers have `grace` seconds for it, or until the user `has_enough` of waiting.
    """
    members = _list_processes(job)
    for process in members:
        # msrun kills all workers when one has failed: stopped, it leaves them their grace.
        if _role_of(process) == "":
            _send(process, signal.SIGSTOP)
    for process in members:
        if _role_of(process) == "MS_WORKER":
            _send(process, signal.SIGTERM)
    wait_until(lambda: has_enough() or not _has_workers(job), grace)
    # Again and again until none is left: a process may start another between look and kill.
    wait_until(lambda: _kill_all(job), KILL_SECONDS)


def wait_until(holds: Callable[[], bool], seconds: float) -> None:
    """Wait until it holds, for so long at most."""
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.05)


def _has_workers(job: str) -> bool:
    return any(_role_of(process) == "MS_WORKER" for process in _list_processes(job))


def _kill_all(job: str) -> bool:
    left = _list_processes(job)
    for process in left:
        _send(process, signal.SIGKILL)
    return not left


def _list_processes(job: str) -> list[psutil.Process]:
    """Return the processes that carry the job's mark and have not ended."""
    found = psutil.process_iter(["environ"])
    return [process for process in found if (process.info["environ"] or {}).get(SUPERVISOR) == job]


def _role_of(process: psutil.Process) -> str:
    return str(process.info["environ"].get("MS_ROLE", ""))


def _send(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)
