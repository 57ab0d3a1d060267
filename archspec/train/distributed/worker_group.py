"""Training on several devices: what one worker of the group does.

A worker may do nothing with side effects before `join_group`: msrun's scheduler runs the same
module so far. Run as a program,
this module ties itself to its parent's life and becomes the command in its arguments.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, cast

import psutil

from archspec.errors import ArchspecError, EnvironmentFault
from archspec.machine.ascend import require_devices
from archspec.signals import be_killed_with_parent
from archspec.train.distributed import pulse
from archspec.train.distributed.ascend_switches import set_switches
from archspec.train.recipe.ascend_settings import AscendRecipe

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SUPERVISOR = "ARCHSPEC_SUPERVISOR"  # "pid:token" in the environment marks every process of one job
IMAGES_CHECKED = "ARCHSPEC_IMAGES_CHECKED"  # set where who launched has looked at each image
REPORT_BYTES = 16_384
"""Room that is kept for the report of an error."""


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends,
    however that ends; a worker's first act.

    `supervise` cannot tidy up after its own SIGKILL, and msrun gives each worker a session of its
    own. Does nothing in a process that `supervise` did not start.
    """
    job = os.environ.get(SUPERVISOR)
    if job is None:
        return
    if os.environ.get("MS_ROLE") == "MS_WORKER":  # who is told to end, as msrun is not: see below
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.platform != "linux":
        return
    be_killed_with_parent()
    parent = os.getppid()
    if str(parent) == job.partition(":")[0]:
        return
    with suppress(psutil.Error):
        if psutil.Process(parent).environ().get(SUPERVISOR) == job:
            return
    os._exit(1)  # the parent ended before the call above, so no signal will come


def is_supervised() -> bool:
    """Return whether `supervise` started this process, so that another one watches over it."""
    return SUPERVISOR in os.environ


def get_rank() -> int:
    """Return this process's number among the workers, 0 where msrun did not start it."""
    return int(os.environ.get("RANK_ID", "0")) if "MS_ROLE" in os.environ else 0


def get_world_size() -> int:
    """Return the number of workers, 1 where msrun did not start this process."""
    return int(os.environ.get("MS_WORKER_NUM", "1")) if "MS_ROLE" in os.environ else 1


def join_group(device_target: str, switches: AscendRecipe | None = None) -> tuple[int, int]:
    """Choose the device and graph mode, join the other workers, and return (rank, world).

    Seeds, networks and data come after it. The scheduler never returns from here. Raises
    EnvironmentFault (E004) where this machine's MindSpore does not drive `device_target`, or
    computes on another one already, or was given other switches.
    """
    import mindspore as ms
    from mindspore.communication import init

    choose_device(device_target)
    if switches is not None:
        set_switches(switches, device_target)
    ms.set_context(mode=ms.GRAPH_MODE)
    if "MS_ROLE" in os.environ:
        ms.set_auto_parallel_context(parallel_mode="data_parallel", gradients_mean=True)
        pulse.note("joining the others")
        with pulse.meeting():
            init()
    return get_rank(), get_world_size()


def choose_device(device_target: str) -> None:
    """Have MindSpore compute on this kind of device. Raises EnvironmentFault (E004) where it
    cannot, or computes on another one already.
    """
    import mindspore as ms

    try:
        ms.set_device(device_target)
        return
    except (RuntimeError, ValueError) as error:
        reason = str(error).partition(". ")[0].strip()
    cure = "densenet doctor --device-target Ascend" if device_target == "Ascend" else ""
    if "runtime has been initialized" in reason:  # something was computed before in this process
        current = ms.get_current_device().device_target
        if current == device_target:
            return
        reason = f"MindSpore has begun to compute on {current} in this process"
        cure = "choose it before anything is computed, or in another process"
    elif device_target == "Ascend":
        require_devices(1)  # where there is none, MindSpore says only what it does not support
    raise EnvironmentFault.one(
        "E004", f"device_target (={device_target!r}) cannot be used: {reason}", hint=cure
    )


def all_reduce_sum(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the sum over all workers of a float32 array of any shape; every worker must call it.

    On a CPU only float32 works; counts stay exact up to 2**24.
    """
    if get_world_size() == 1:
        return values
    import mindspore as ms
    from mindspore import ops

    with pulse.meeting():
        summed = ops.AllReduce(ops.ReduceOp.SUM)(ms.Tensor(values, ms.float32)).asnumpy()
    return cast("npt.NDArray[np.float32]", summed)


def sum_over_workers(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the sum over all workers of an array of any shape, counts exact up to 2**48; every
    worker must call it.
    """
    import numpy as np

    rank, world = get_rank(), get_world_size()
    if world == 1:
        return values
    # Sums of float32 round counts above 2**24, so each worker's own come over, in two parts.
    rows = np.zeros((2, world, *values.shape), np.float32)
    rows[0, rank] = values
    rows[1, rank] = values - rows[0, rank]
    return cast("npt.NDArray[np.float64]", all_reduce_sum(rows).astype(np.float64).sum((0, 1)))


def gather_rows(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the rows (N, values) of all workers one after the other, of each as many as it has;
    every worker must call it.
    """
    import numpy as np

    rank, world = get_rank(), get_world_size()
    if world == 1:
        return rows
    counts = np.zeros(world)
    counts[rank] = len(rows)
    ends = np.cumsum(sum_over_workers(counts)).astype(int)
    every = np.zeros((ends[-1], *rows.shape[1:]), np.float32)
    every[ends[rank] - len(rows) : ends[rank]] = rows
    return all_reduce_sum(every)


def gather_numbers(mine: Iterable[int], end: int) -> list[int]:
    """Return the numbers below `end` that any worker has, in order; every worker must call it."""
    import numpy as np

    marks = np.zeros(end, np.float32)
    marks[list(mine)] = 1
    found: list[int] = np.flatnonzero(all_reduce_sum(marks)).tolist()
    return found


def report_fault(error: ArchspecError, log_dir: Path, rank: int) -> None:
    """Leave the error where `supervise` finds it;
    the scheduler leaves none, as its workers meet the same.
    """
    if os.environ.get("MS_ROLE") == "MS_SCHED":
        return
    report = {
        "kind": type(error).__name__,
        "diagnostics": [asdict(fault) for fault in error.diagnostics],
    }
    draft = _draft_of(log_dir, rank)
    with draft.open("r+" if draft.exists() else "w", encoding="utf-8") as file:
        file.write(json.dumps(report))
        file.truncate()
    # Renamed when whole: the supervisor reads at any time.
    draft.replace(log_dir / f"fault_rank{rank}.json")


def _draft_of(log_dir: Path, rank: int) -> Path:
    return log_dir / f".fault_rank{rank}.part"


def _reserve_room(log_dir: Path, rank: int) -> None:
    """Take the room that a report needs: the error may be that the disk is full."""
    with suppress(OSError):
        _draft_of(log_dir, rank).write_bytes(bytes(REPORT_BYTES))


@contextmanager
def report_faults(log_dir: Path) -> Iterator[None]:
    """Report an ArchspecError of the block to the parent and exit with 1;
    a bug passes through to the log.
    """
    if os.environ.get("MS_ROLE") == "MS_WORKER":
        _reserve_room(log_dir, get_rank())
    try:
        yield
    except ArchspecError as error:
        report_fault(error, log_dir, get_rank())
        raise SystemExit(str(error)) from None
    finally:
        with suppress(OSError):
            _draft_of(log_dir, get_rank()).unlink(missing_ok=True)


if __name__ == "__main__":
    die_with_parent()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])  # see `signals.watch_interrupts`
    # Some tell all processes of a job to end: with msrun the workers would, before they could save.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # A list of arguments, no shell; the tie to the parent outlasts exec.
    os.execv(sys.argv[1], sys.argv[1:])  # noqa: S606
