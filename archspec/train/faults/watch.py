"""Which process of a job failed, and why: from msrun's log, its children, and what workers say."""

from __future__ import annotations

import json
import re
import signal
import time
from pathlib import Path

from archspec import errors
from archspec.errors import ArchspecError, Diagnostic, TrainingError
from archspec.train.faults.hangs import HangWatch
from archspec.train.faults.job_processes import (
    SCHEDULER,
    exit_code_of_zombie,
    list_members,
)

LOGS = ("worker_*.log", "scheduler.log", "msrun.log")
"""Of a job, in its folder."""
# A scheduler that failed waits for a worker to tell the better reason.
SCHEDULER_PATIENCE_SECONDS = 3.0
# One that ends while it waits for another which has not moved for so long, ends for that.
SUSPICION_SECONDS = 20.0
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
STARTED = "Start worker process "
"""What msrun says before each worker; of its scheduler, which it starts before them, 2.7 says
nothing."""
WORKER_DIED = re.compile(r"Worker process (\d+) exit with exception\. Error code: (-?\d+)")
RAISED_ERROR = re.compile(
    r"^[A-Za-z_][\w.]*(?:Error|Exception|Fault|Interrupt|Exit)\b.*", re.MULTILINE
)
FOREIGN = re.compile(r"Repeated registration node.*scheduler process with port: ?(\d+)")
"""What MindSpore says where a scheduler knows the worker already."""
NOISE = re.compile(
    r"\[(?:WARNING|INFO|DEBUG)\]|-+$|- C\+\+ Call Stack|mindspore/ccsrc|Exception ignored|\s|$"
)


class Watch:
    """Finds out which process failed, and why."""

    def __init__(self, log_dir: Path, hang_after: float) -> None:
        self.log_dir = log_dir
        self.members: dict[int, str] = {}  # process id -> rank, or "scheduler"
        self.hangs = HangWatch(log_dir, hang_after)
        self.scheduler_failed_at: float | None = None

    def fault(self, msrun: int) -> ArchspecError | None:
        """Return what is known to have gone wrong so far."""
        reported = read_faults(self.log_dir)
        if reported:
            return reported
        text = _read_tail(self.log_dir / "msrun.log")
        workers = [role for role in self.members.values() if role != SCHEDULER]
        if len(workers) < text.count(STARTED):
            self.members |= list_members(msrun)
        died = WORKER_DIED.search(text)
        if died:
            return self._fault_of_worker(self.members.get(int(died[1])), int(died[2]))
        return self._fault_of_scheduler() or self.hangs.look(self.members)

    def _fault_of_worker(self, rank: str | None, code: int) -> TrainingError:
        rank = rank or self._guess_rank()  # unknown where it died before it was seen
        # A signal comes from outside, whoever waited for whom.
        awaited = self._fault_of_awaited(rank) if code > 0 else None
        awaited = awaited or _find_foreign_scheduler(rank, self._log_of(rank))
        return awaited or _make_fault("T011", f"rank {rank}", code, self._log_of(rank))

    def _guess_rank(self) -> str:
        logs = sorted(self.log_dir.glob("worker_*.log"))
        log = next((path for path in logs if _find_last_error(path)), self._log_of("None"))
        return log.stem.removeprefix("worker_")

    def _log_of(self, rank: str) -> Path:
        return self.log_dir / f"worker_{rank}.log"

    def _fault_of_scheduler(self) -> TrainingError | None:
        """Workers wait minutes for a scheduler that failed;
        msrun looks at it only when they have ended.
        """
        pid = next((pid for pid, role in self.members.items() if role == SCHEDULER), None)
        code = 0 if pid is None else exit_code_of_zombie(pid)
        if code == 0:
            return None
        self.scheduler_failed_at = self.scheduler_failed_at or time.monotonic()
        if time.monotonic() - self.scheduler_failed_at < SCHEDULER_PATIENCE_SECONDS:
            return None
        awaited = self.hangs.make_fault(self.hangs.find(SUSPICION_SECONDS))
        log = self.log_dir / "scheduler.log"
        return awaited or _make_fault("T012", "msrun's scheduler", code, log)

    def _fault_of_awaited(self, rank: str) -> TrainingError | None:
        """Return the error of those for whom this worker, which failed, waited in vain."""
        if not any(one.rank == rank and one.pulse.is_meeting for one in self.hangs.seen):
            return None
        found = [one for one in self.hangs.find(SUSPICION_SECONDS) if one.rank != rank]
        return self.hangs.make_fault(found)

    def fault_of_msrun(self, code: int) -> TrainingError | None:
        """Return an error for an exit code of msrun's that nothing else explains."""
        return _make_fault("T013", "msrun", code, self.log_dir / "msrun.log") if code else None


def _find_foreign_scheduler(rank: str, log: Path) -> TrainingError | None:
    """Return the error of a worker that came to another job, which has such a worker already."""
    found = FOREIGN.search(_read_tail(log))
    if found is None:
        return None
    rule = f"port {found[1]} is another job's: its scheduler refused rank {rank}"
    cure = "wait until it has ended, or take another port: --master ADDR:PORT"
    return TrainingError.one("T012", rule, str(log), cure)


def _make_fault(code: str, who: str, exit_code: int, log: Path) -> TrainingError:
    how = f"ended with exit code {exit_code}"
    hint = "the log tells the whole story"
    if exit_code < 0:
        name = signal.Signals(-exit_code).name
        how, hint = f"was ended by {name}", SIGNAL_HINTS.get(name, hint)
    # Who is killed had no time for words: the last ones are of something else.
    words = _find_last_error(log) if exit_code != -signal.SIGKILL else ""
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


def list_reporting(log_dir: Path) -> list[str]:
    """Return the ranks that have reported an error."""
    paths = log_dir.glob("fault_rank*.json")
    return sorted(path.stem.removeprefix("fault_rank") for path in paths)


def read_faults(log_dir: Path) -> ArchspecError | None:
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
