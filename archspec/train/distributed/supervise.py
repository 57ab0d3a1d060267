"""Training on several devices: the watch over msrun and its processes,
from their start to their end.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from archspec.errors import EnvironmentFault
from archspec.mindspore_versions import find_wanted
from archspec.signals import collect_signals, exception_of
from archspec.train.distributed.pulse import PULSE_FILES, PULSES
from archspec.train.distributed.worker_group import SUPERVISOR
from archspec.train.faults.hangs import HANG_AFTER
from archspec.train.faults.job_processes import end_job
from archspec.train.faults.watch import LOGS, Watch, read_faults

# From SIGTERM to SIGKILL: workers end their step together and save. Slurm and Kubernetes wait 30 s.
GRACE_SECONDS = 25.0
# Where a worker failed, the others can end no step without it; one may be writing a checkpoint.
GRACE_AFTER_FAULT_SECONDS = 3.0


def supervise(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    log_dir: Path,
    poll: Callable[[], None],
    hang_after: float = HANG_AFTER,
    interval_seconds: float = 0.2,
) -> int:
    """Run an msrun command to its end, calling `poll` meanwhile and once after; return 0.

    However it ends, no process of the job is left: workers get SIGTERM and GRACE_SECONDS, or until
    a second signal, then all are killed. SIGINT, SIGTERM and SIGHUP are raised after that (see
    `signals.exception_of`). A worker that the others wait for hangs after `hang_after` seconds
    without a sign of life, never where that is 0.
    Raises a worker's own ArchspecError where it reported one (see `worker_group.report_faults`),
    else TrainingError: T011 a worker failed, T012 the scheduler, T013 msrun itself, T024 a worker
    hangs. Raises EnvironmentFault (E003) without an msrun.
    """
    job = f"{os.getpid()}:{uuid.uuid4().hex}"
    program = _find_program(command[0], environment)
    log_dir.mkdir(parents=True, exist_ok=True)
    _clear(log_dir, "fault_rank*.json", ".fault_rank*.part", PULSE_FILES, *LOGS)
    watch = Watch(log_dir, hang_after)
    told = {SUPERVISOR: job, PULSES: str(log_dir.absolute())}
    with collect_signals() as received:
        try:
            process = _start([program, *command[1:]], {**environment, **told}, log_dir)
            fault = None
            while not fault and not received and process.poll() is None:
                poll()
                time.sleep(interval_seconds)
                fault = watch.fault(process.pid)
        finally:
            grace = GRACE_SECONDS if received else GRACE_AFTER_FAULT_SECONDS
            end_job(job, grace, has_enough=lambda: len(received) > 1)
            _clear(log_dir, PULSE_FILES)
    if received:
        poll()
        raise read_faults(log_dir) or exception_of(received[0])
    fault = fault or watch.fault(process.pid) or watch.fault_of_msrun(process.wait())
    if fault:
        raise fault
    poll()
    return 0


def _find_program(name: str, environment: Mapping[str, str]) -> str:
    program = shutil.which(name, path=environment.get("PATH"))
    if program is None:
        cure = f"it comes with MindSpore: pip install 'mindspore{find_wanted()}'"
        raise EnvironmentFault.one("E003", f"{name} is not on PATH", hint=cure)
    return program


def _clear(log_dir: Path, *patterns: str) -> None:
    """Take away what an earlier run left, which would be read as this one's."""
    for pattern in patterns:
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
