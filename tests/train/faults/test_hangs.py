"""Which worker is said to hang, of pulses as workers write them."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from archspec.train.distributed import pulse
from archspec.train.distributed.pulse import Pulse, read_pulse
from archspec.train.faults.hangs import HangWatch, Seen
from archspec.train.faults.job_processes import SCHEDULER

SECONDS = 45.0


def seen(rank, place, seconds, *, waits=False, is_long=False, state="S"):
    """A worker that has been so long where it is."""
    doing = "computing epoch 1, step 3" if waits else "reading images of epoch 1, step 3"
    return Seen(str(rank), 0, Pulse(place, waits, is_long, doing, 0), state, seconds)


def found(tmp_path, *all_seen):
    watch = HangWatch(tmp_path, SECONDS)
    watch.seen = list(all_seen)
    return [one.rank for one in watch.find(SECONDS)]


@pytest.mark.parametrize("culprit", [0, 1, 2])
def test_the_one_hangs_that_has_not_come_to_where_the_others_wait(culprit, tmp_path):
    """Whichever rank it is, and when it has stood still for as long as is allowed, not before."""
    for seconds, ranks in ((46.0, [str(culprit)]), (44.0, [])):
        others = [seen(rank, 7, 45.5, waits=True) for rank in range(3) if rank != culprit]
        assert found(tmp_path, *others, seen(culprit, 6, seconds)) == ranks


def test_two_that_hang_are_both_told(tmp_path):
    """Of three, where one waits."""
    assert found(tmp_path, seen(0, 6, 50), seen(1, 7, 49, waits=True), seen(2, 6, 47)) == ["0", "2"]


@pytest.mark.parametrize(
    "workers",
    [
        [seen(0, 6, 3), seen(1, 7, 300, waits=True)],  # slow images, each of which is a beat
        [seen(0, 6, 300, is_long=True), seen(1, 7, 300, waits=True)],  # a checkpoint is written
        [seen(0, 7, 800, waits=True, is_long=True), seen(1, 7, 800, waits=True, is_long=True)],
        [seen(0, 6, 300), seen(1, 6, 300)],  # a disk that all wait for
        [seen(0, 6, 300), seen(1, 8, 300)],  # nobody waits for the other
        [seen(0, 7, 300, waits=True), seen(1, 9, 300, waits=True)],  # devices, not processes
        [seen(0, 6, 300), seen(1, 7, 2, waits=True)],  # the other has only come
        [seen(0, 6, 2), seen(1, 7, 300, waits=True), seen(2, 6, 1)],
        [],
    ],
)
def test_who_may_take_so_long_does_not_hang(workers, tmp_path):
    """Phases that are long for a reason, and those where nobody can tell who is to blame."""
    assert found(tmp_path, *workers) == []


@pytest.mark.parametrize("state", ["T", "t"])
@pytest.mark.parametrize(("place", "is_long"), [(6, False), (7, False), (7, True)])
def test_one_that_is_stopped_hangs_wherever_it_is(state, place, is_long, tmp_path):
    """Also within the step that the others are in, and while a network is compiled."""
    stopped = seen(0, place, 46, waits=place == 7, is_long=is_long, state=state)
    assert found(tmp_path, stopped, seen(1, 7, 46, waits=True)) == ["0"]


def test_the_scheduler_hangs_only_where_it_is_stopped(tmp_path):
    """It has no pulse, and so it never moves."""
    workers = [seen(0, 7, 1, waits=True), seen(1, 7, 1, waits=True)]
    assert found(tmp_path, seen(SCHEDULER, 0, 500), *workers) == []
    assert found(tmp_path, seen(SCHEDULER, 0, 500, state="T"), *workers) == [SCHEDULER]


def test_what_takes_twenty_times_as_long_hangs_after_all(tmp_path):
    """A checkpoint that is never written, and a step that no rank ends."""
    writing = seen(0, 6, 901, is_long=True)
    assert found(tmp_path, writing, seen(1, 7, 901, waits=True)) == ["0"]
    assert found(tmp_path, seen(0, 7, 901, waits=True), seen(1, 7, 901, waits=True)) == ["0", "1"]
    assert found(tmp_path, seen(0, 7, 901, waits=True), seen(1, 7, 899, waits=True)) == []


def test_the_error_says_who_where_since_when_and_who_waits(tmp_path):
    """A process that is stopped is asked for no stack."""
    watch = HangWatch(tmp_path, SECONDS)
    watch.seen = [seen(0, 6, 47.2, state="T"), seen(1, 7, 46, waits=True)]
    (fault,) = watch.make_fault(watch.find(SECONDS)).diagnostics
    assert (fault.code, fault.where) == ("T024", str(tmp_path / "worker_0.log"))
    assert fault.message == (
        "rank 0 hangs: reading images of epoch 1, step 3 for 47 s; it is stopped, as SIGSTOP does, "
        "while rank 1 waits, computing epoch 1, step 3"
    )
    assert watch.make_fault([]) is None


WORKER = """
import sys, time
from archspec.train.distributed import pulse

pulse.begin()
pulse.note("opening the data set")
with pulse.meeting(), pulse.noted("writing last.ckpt", is_long=True), pulse.meeting():
    pulse.beat()
    pulse.beat()
    print("within", flush=True)
    sys.stdin.readline()
print("behind", flush=True)

def wait_for_ever():
    while True:
        time.sleep(0.01)

wait_for_ever()
"""


@pytest.fixture
def worker(tmp_path):
    """A process that writes its pulse, as a worker of rank 3, and its log."""
    told = {pulse.PULSES: str(tmp_path), "MS_ROLE": "MS_WORKER", "RANK_ID": "3"}
    told["PYTHONPATH"] = str(Path(pulse.__file__).parents[3])
    (tmp_path / "worker.py").write_text(WORKER, encoding="utf-8")
    with (tmp_path / "worker_3.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, str(tmp_path / "worker.py")],
            env={**os.environ, **told},
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
        )
    yield process
    process.kill()
    process.communicate()


def wait_for_line(folder: Path, line: str) -> None:
    while line not in (folder / "worker_3.log").read_text():
        time.sleep(0.02)


def test_a_worker_says_where_it_is_and_its_log_where_in_the_code(worker, tmp_path):
    """Within a meeting, and in one within it; behind them what it did before."""
    wait_for_line(tmp_path, "within")
    assert read_pulse(tmp_path, 3) == Pulse(2, True, True, "writing last.ckpt", 2)
    worker.stdin.write(b"\n")
    worker.stdin.flush()
    wait_for_line(tmp_path, "behind")
    assert read_pulse(tmp_path, 3) == Pulse(4, False, False, "opening the data set", 2)
    watch = HangWatch(tmp_path, SECONDS)
    watch.seen = [Seen("3", worker.pid, read_pulse(tmp_path, 3), "S", 46.0)]
    (fault,) = watch.make_fault(watch.seen).diagnostics
    assert fault.message.startswith(
        "rank 3 hangs: opening the data set for 46 s (wait_for_ever, worker.py:1"
    )
    assert "in wait_for_ever" in (tmp_path / "worker_3.log").read_text()
    assert worker.poll() is None


@pytest.mark.parametrize("content", [None, b"", b"half of a record", bytes(1000)])
def test_a_pulse_that_is_not_there_or_not_whole_is_none(content, tmp_path):
    """A worker has not begun, or its file is being made."""
    if content is not None:
        (tmp_path / "pulse_rank0").write_bytes(content)
    assert read_pulse(tmp_path, 0) is None


def test_a_process_that_nobody_watches_writes_nothing(tmp_path, monkeypatch):
    """One that trains alone, and msrun's scheduler."""
    monkeypatch.chdir(tmp_path)
    for told in ({}, {pulse.PULSES: str(tmp_path), "MS_ROLE": "MS_SCHED"}):
        text = "from archspec.train.distributed import pulse; pulse.begin(); pulse.note('a')"
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **told}
        subprocess.run([sys.executable, "-c", text], env=environment, check=True)
    assert list(tmp_path.iterdir()) == []
