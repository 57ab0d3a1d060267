"""Training on several devices: the watch over msrun and its processes,
from their start to their end.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from archspec import errors
from archspec.errors import ArchspecError, Diagnostic, EnvironmentFault, TrainingError
from archspec.signals import collect_signals, exception_of
from archspec.train.distributed.worker_group import SUPERVISOR

# From SIGTERM to SIGKILL: workers end their step together and save. Slurm and Kubernetes wait 30 s.
GRACE_SECONDS = 25.0
# Where a worker failed, the others can end no step without it; one may be writing a checkpoint.
GRACE_AFTER_FAULT_SECONDS = 3.0
# A scheduler that failed waits for a worker to tell the better reason.
SCHEDULER_PATIENCE_SECONDS = 3.0
KILL_SECONDS = 10.0
TAIL_BYTES = 65536
# By name alone: what a worker's file says is looked up here and never imported.
FAULT_KINDS = {
    kind.__name__: kind
    for kind in (
        errors.SpecError,
        errors.GraphError,
        errors.ModelFileError,
        errors.DataError,
        errors.TrainingError,
        errors.EnvironmentFault,
    )
}
SIGNAL_HINTS = {
    "SIGKILL": "often the kernel ends a process for want of memory: try a smaller --batch-size",
    "SIGSEGV": "a fault inside MindSpore or its driver: see the log",
    "SIGBUS": "often shared memory ran out: see df /dev/shm",
}
WORKER_DIED = re.compile(r"Worker process (\d+) exit with exception\. Error code: (-?\d+)")
RAISED_ERROR = re.compile(
    r"^[A-Za-z_][\w.]*(?:Error|Exception|Fault|Interrupt|Exit)\b.*", re.MULTILINE
)
NOISE = re.compile(
    r"\[(?:WARNING|INFO|DEBUG)\]|-+$|- C\+\+ Call Stack|mindspore/ccsrc|Exception ignored|\s|$"
)


def supervise(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    log_dir: Path,
    poll: Callable[[], None],
    interval_seconds: float = 0.2,
) -> int:
    """Run an msrun command to its end, calling `poll` meanwhile and once after; return 0.

    However it ends, no process of the job is left: workers get SIGTERM and GRACE_SECONDS, or until
    a second signal, then all are killed. SIGINT, SIGTERM and SIGHUP are raised after that (see
    `signals.exception_of`).
    Raises a worker's own ArchspecError where it reported one (see `worker_group.report_faults`),
    else TrainingError: T011 a worker failed, T012 the scheduler, T013 msrun itself. Raises
    EnvironmentFault (E003) without an msrun.
    """
    job = f"{os.getpid()}:{uuid.uuid4().hex}"
    program = _find_program(command[0], environment)
    _clear_folder(log_dir)
    watch = _Watch(log_dir)
    with collect_signals() as received:
        try:
            process = _start([program, *command[1:]], {**environment, SUPERVISOR: job}, log_dir)
            fault = None
            while not fault and not received and process.poll() is None:
                poll()
                time.sleep(interval_seconds)
                fault = watch.fault(process.pid)
        finally:
            grace = GRACE_SECONDS if received else GRACE_AFTER_FAULT_SECONDS
            _end_job(job, grace, has_enough=lambda: len(received) > 1)
    if received:
        poll()
        raise _read_faults(log_dir) or exception_of(received[0])
    fault = fault or watch.fault(process.pid) or watch.fault_of_msrun(process.wait())
    if fault:
        raise fault
    poll()
    return 0


def _find_program(name: str, environment: Mapping[str, str]) -> str:
    program = shutil.which(name, path=environment.get("PATH"))
    if program is None:
        cure = "it comes with MindSpore: pip install 'mindspore==2.10.*'"
        raise EnvironmentFault.one("E003", f"{name} is not on PATH", hint=cure)
    return program


def _clear_folder(log_dir: Path) -> None:
    """Make the folder and take away what an earlier run left, which would be read as this one's."""
    log_dir.mkdir(parents=True, exist_ok=True)
    for pattern in ("fault_rank*.json", "worker_*.log", "scheduler.log"):
        for stale in log_dir.glob(pattern):
            stale.unlink()


def _start(
    command: Sequence[str], environment: Mapping[str, str], log_dir: Path
) -> subprocess.Popen[bytes]:
    """Start `group` as a program, which ties itself to our life and becomes msrun,
    in a session of its own.

    A preexec_fn could do the same, but is unsafe where threads run, such as a progress bar's.
    """
    tied = [sys.executable, "-m", "archspec.train.distributed.worker_group", *command]
    with (log_dir / "msrun.log").open("wb") as output:
        return subprocess.Popen(
            tied,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


class _Watch:
    """Finds out from msrun's log and its children which process failed, and why."""

    def __init__(self, log_dir: Path) -> None:
        self.log_dir = log_dir
        self.members: dict[int, str] = {}  # process id -> rank, or "scheduler"
        self.scheduler_failed_at: float | None = None

    def fault(self, msrun: int) -> ArchspecError | None:
        """Return what is known to have gone wrong so far."""
        reported = _read_faults(self.log_dir)
        if reported:
            return reported
        text = _read_tail(self.log_dir / "msrun.log")
        if len(self.members) < text.count("Execute command: "):
            self.members |= _list_members(msrun)
        died = WORKER_DIED.search(text)
        if died:
            return self._fault_of_worker(self.members.get(int(died[1])), int(died[2]))
        return self._fault_of_scheduler()

    def _fault_of_worker(self, rank: str | None, code: int) -> TrainingError:
        log = self.log_dir / f"worker_{rank}.log"
        if rank is None:  # it died before it was seen
            logs = sorted(self.log_dir.glob("worker_*.log"))
            log = next((path for path in logs if _find_last_error(path)), log)
            rank = log.stem.removeprefix("worker_")
        return _make_fault("T011", f"rank {rank}", code, log)

    def _fault_of_scheduler(self) -> TrainingError | None:
        """Workers wait minutes for a scheduler that failed;
        msrun looks at it only when they have ended.
        """
        pid = next((pid for pid, role in self.members.items() if role == "scheduler"), None)
        code = 0 if pid is None else _exit_code_of_zombie(pid)
        if code == 0:
            return None
        self.scheduler_failed_at = self.scheduler_failed_at or time.monotonic()
        if time.monotonic() - self.scheduler_failed_at < SCHEDULER_PATIENCE_SECONDS:
            return None
        return _make_fault("T012", "msrun's scheduler", code, self.log_dir / "scheduler.log")

    def fault_of_msrun(self, code: int) -> TrainingError | None:
        """Return an error for an exit code of msrun's that nothing else explains."""
        return _make_fault("T013", "msrun", code, self.log_dir / "msrun.log") if code else None


def _list_members(msrun: int) -> dict[int, str]:
    """Return msrun's children by process id: a worker's rank, or "scheduler"."""
    found = {}
    with suppress(psutil.Error):
        for child in psutil.Process(msrun).children():
            environment = child.environ()
            if environment.get("MS_ROLE") == "MS_WORKER":
                found[child.pid] = environment.get("RANK_ID", "0")
            if environment.get("MS_ROLE") == "MS_SCHED":
                found[child.pid] = "scheduler"
    return found


def _exit_code_of_zombie(pid: int) -> int:
    """Return the exit code of a process that ended and was not waited for,
    else 0 (proc(5), field 52).
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return 0
    return os.waitstatus_to_exitcode(int(fields[-1])) if fields[0] == "Z" else 0


def _make_fault(code: str, who: str, exit_code: int, log: Path) -> TrainingError:
    how = f"ended with exit code {exit_code}"
    hint = "the log tells the whole story"
    if exit_code < 0:
        name = signal.Signals(-exit_code).name
        how, hint = f"was ended by {name}", SIGNAL_HINTS.get(name, hint)
    words = _find_last_error(log)
    return TrainingError(
        [Diagnostic(code, f"{who} {how}" + (f": {words}" if words else ""), str(log), hint)]
    )


def _find_last_error(log: Path) -> str:
    """Return the last error that a log names,
    else its last line that is no noise of MindSpore's.
    """
    text = _read_tail(log)
    raised = [line for line in RAISED_ERROR.findall(text) if "total_instance_count" not in line]
    lines = raised or [line for line in text.splitlines() if not NOISE.match(line)]
    return lines[-1].strip() if lines else ""


def _read_tail(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(log.stat().st_size - TAIL_BYTES, 0))
            return file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""


def _read_faults(log_dir: Path) -> ArchspecError | None:
    """Return the error that workers reported: the first rank's kind,
    the diagnostics of all, each once.
    """
    paths = sorted(log_dir.glob("fault_rank*.json"))
    reports = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    if not reports:
        return None
    diagnostics = dict.fromkeys(
        Diagnostic(**fields) for report in reports for fields in report["diagnostics"]
    )
    return FAULT_KINDS.get(reports[0]["kind"], ArchspecError)(diagnostics)


def _end_job(job: str, grace: float, has_enough: Callable[[], bool]) -> None:
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
    _wait_until(lambda: has_enough() or not _has_workers(job), grace)
    # Again and again until none is left: a process may start another between look and kill.
    _wait_until(lambda: _kill_all(job), KILL_SECONDS)


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


def _wait_until(holds: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.05)
