"""Faults of training in two processes: each is told by rank and reason, leaves no process and whole
checkpoints, and the run goes on to what it would have been.
"""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import numpy as np
import psutil
import pytest
from conftest import TINY, command, densenet, passed, refused, wait_until
from PIL import Image
from run_directories import (
    assert_one_sound_run,
    events,
    finished_epochs,
    left_running,
    parameters,
)

from archspec.train.run.checkpoint import is_whole

EPOCHS = 16
WORDS = (*TINY, "--devices", 2, "--epochs", EPOCHS, "--save-every", 3, "--no-certify")
PATIENCE_SECONDS = 60
HANG_AFTER = 8

# Python runs it at its start: what a worker of one rank does once, as it takes the batch.
FAULT = """
import os
from pathlib import Path

done = Path(os.environ["FAULT_DONE"])
is_worker = os.environ.get("MS_ROLE") == "MS_WORKER" and not done.exists()
if is_worker and os.environ["RANK_ID"] == os.environ["FAULT_RANK"]:
    import time
    from archspec.train.data import inputs
    from archspec.train.data.batches import batches, samples

    def happen():
        done.touch()
        what = os.environ["FAULT"]
        if what == "raises":
            raise ZeroDivisionError("a bug of the loader")
        if what == "exits":
            print("the last words", flush=True)
            os._exit(3)
        while what == "loops":
            pass
        time.sleep(1_000_000)

    def fill_batches(*given, **named):
        for number, batch in enumerate(fill_whole(*given, **named)):
            calls.append(number)
            if len(calls) == 35:  # behind the third epoch's first checkpoint
                happen()
            yield batch

    def fill(*given):
        calls.append(given)
        if len(calls) == 2000:
            happen()
        return fill_one(*given)

    calls, where = [], os.environ["FAULT_WHERE"]
    fill_whole, fill_one = batches.fill_batches, samples.Samples.fill
    if where == "main thread":
        batches.fill_batches = fill_batches
    if where == "loading thread":
        samples.Samples.fill = fill
    if where == "opening":
        inputs.open_splits = lambda *given, **named: happen()
"""


@dataclass
class Started:
    """A command that trains in two processes, with a mark that all of them carry."""

    process: "subprocess.Popen[str]"
    run: Path
    mark: str
    workers: dict[str, psutil.Process] = field(default_factory=dict)

    def find(self) -> None:
        """Look for the workers by rank, and for the scheduler."""
        for process in psutil.process_iter(["environ"]):
            environment = process.info["environ"] or {}
            if environment.get("FAULT_MARK") != self.mark or "MS_ROLE" not in environment:
                continue
            is_worker = environment["MS_ROLE"] == "MS_WORKER"
            self.workers[environment["RANK_ID"] if is_worker else "scheduler"] = process


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> Path:
    """The run that nothing happens to."""
    folder = tmp_path_factory.mktemp("unbroken")
    passed(densenet("train", *WORDS, "--out", "run", cwd=folder))
    return folder / "run"


@pytest.fixture
def start(tmp_path) -> Callable[..., Started]:
    """Return a function that starts the run, with a fault of a rank if one is named."""
    begun = []

    def start_run(what: str = "", where: str = "", rank: int = 0, *more: object) -> Started:
        (tmp_path / "sitecustomize.py").write_text(FAULT, encoding="utf-8")
        told = {"FAULT": what, "FAULT_WHERE": where, "FAULT_RANK": str(rank)}
        told |= {"FAULT_DONE": str(tmp_path / "done"), "FAULT_MARK": str(tmp_path)}
        paths = [str(tmp_path), os.environ.get("PYTHONPATH", "")]
        told["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        words = ("train", *WORDS, "--hang-after", HANG_AFTER, *more, "--out", "run")
        process = subprocess.Popen(
            command(*words),
            cwd=tmp_path,
            env={**os.environ, **told},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        begun.append(Started(process, tmp_path / "run", str(tmp_path)))
        return begun[-1]

    yield start_run
    for started in begun:
        started.process.kill()
        started.process.communicate()


def signalled(started: Started, who: str, number: signal.Signals) -> None:
    """Send a signal once there is a checkpoint, to a worker or the scheduler."""
    wait_until(lambda: finished_epochs(started.run) >= 2, started.process)
    started.find()
    started.workers[who].send_signal(number)


def ended(started: Started) -> str:
    """Wait for the end; return what is said of it, where nothing but the processes is gone."""
    _, errors = started.process.communicate(timeout=600)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while left_running(started.run) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left_running(started.run) == []
    assert started.process.returncode != 0
    assert "Traceback" not in errors
    checkpoints = list((started.run / "checkpoints").glob("*.ckpt"))
    assert [path for path in checkpoints if not is_whole(path)] == []
    return errors


def assert_goes_on(started: Started, unbroken: Path) -> None:
    """The line that is printed leads to the end of the run that nothing happened to."""
    passed(densenet("train", "--resume", started.run, cwd=started.run.parent))
    assert parameters(started.run, "last") == parameters(unbroken, "last")
    assert_one_sound_run(started.run, ranks=2, epochs=EPOCHS)


WAITS = ", while rank {other} waits, "
KILLED = [
    ("0", signal.SIGKILL, "worker_0.log T011 rank 0 was ended by SIGKILL (often the kernel"),
    ("1", signal.SIGSEGV, "worker_1.log T011 rank 1 was ended by SIGSEGV"),
    ("scheduler", signal.SIGKILL, "scheduler.log T012 msrun's scheduler was ended by SIGKILL"),
    ("0", signal.SIGSTOP, "worker_0.log T024 rank 0 hangs: "),
    ("1", signal.SIGSTOP, "worker_1.log T024 rank 1 hangs: "),
]


@pytest.mark.slow
@pytest.mark.parametrize(("who", "number", "line"), KILLED)
def test_a_process_that_is_killed_or_stopped_is_named(who, number, line, start, unbroken):
    """As by the kernel for want of memory, by a fault in a driver, or by a debugger."""
    started = start()
    signalled(started, who, number)
    errors = ended(started)
    assert f"densenet train --resume {started.run} --hang-after {HANG_AFTER}\n" in errors
    assert f"{started.run}/workers/{line}" in errors
    if number == signal.SIGSTOP:
        assert "; it is stopped, as SIGSTOP does, while rank " in errors
    assert_goes_on(started, unbroken)


FAULTS = [
    ("raises", "main thread", 1, "T011 rank 1 ended with exit code 1: ZeroDivisionError: a bug of"),
    ("raises", "loading thread", 0, "T011 rank 0 ended with exit code 1: ZeroDivisionError: a bug"),
    ("exits", "main thread", 0, "T011 rank 0 ended with exit code 3: the last words"),
    ("loops", "main thread", 0, "T024 rank 0 hangs: reading images of epoch 3, step "),
    ("loops", "loading thread", 1, "T024 rank 1 hangs: reading images of epoch "),
    ("sleeps", "main thread", 1, "T024 rank 1 hangs: reading images of epoch 3, step "),
    ("sleeps", "opening", 0, "T024 rank 0 hangs: opening the data set for "),
]


@pytest.mark.slow
@pytest.mark.parametrize(("what", "where", "rank", "line"), FAULTS)
def test_a_worker_that_fails_or_hangs_is_named(what, where, rank, line, start, unbroken):
    """A bug, an exit without a word, and one that all others wait for, with what it does."""
    started = start(what, where, rank)
    errors = ended(started)
    assert f"{started.run}/workers/worker_{rank}.log {line}" in errors
    if "hangs" in line:
        assert f", while rank {1 - rank} waits, " in errors
        assert "Current thread" in (started.run / f"workers/worker_{rank}.log").read_text()
    assert_goes_on(started, unbroken)


@pytest.mark.slow
def test_a_launcher_that_is_killed_takes_its_processes_along(start, unbroken):
    """It has no last word; the run goes on all the same."""
    started = start()
    wait_until(lambda: finished_epochs(started.run) >= 2, started.process)
    started.process.kill()
    assert ended(started) == ""
    assert_goes_on(started, unbroken)


@pytest.mark.slow
@pytest.mark.parametrize("number", [2, 5])
def test_an_image_that_one_rank_alone_cannot_read_is_named(number, tmp_path):
    """It is broken in the middle, which nobody sees who looks for its end. Nothing is tried again,
    and with a whole image in its place the run goes on.
    """
    rng = np.random.default_rng(0)
    for part, image in product(("train", "val"), range(32)):
        folder = tmp_path / "data" / part / f"class{image % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (16, 16), np.uint8)
        Image.fromarray(pixels).save(folder / f"{image}.png")
    file = tmp_path / f"data/train/class{number % 2}/{number}.png"
    whole = file.read_bytes()
    file.write_bytes(whole[:60] + bytes(40) + whole[100:])
    words = (*TINY, "--data-dir", "data", "--devices", 2, "--epochs", 2, "--no-certify")
    rest = ("--set", "recipe.batch_size=4", "--restarts", 3)
    done = densenet("train", *words, *rest, "--out", "run", cwd=tmp_path)
    refused(done, f"{file.relative_to(tmp_path)} D005 ")
    run = tmp_path / "run"
    (note,) = [event["text"] for event in events(run, "note") if "rank" in event["text"]]
    assert re.fullmatch(rf"rank [01] could not go on; logs: {run}/workers", note)
    assert note in done.stdout
    assert left_running(run) == []
    file.write_bytes(whole)
    passed(densenet("train", "--resume", run, cwd=tmp_path))
    assert_one_sound_run(run, ranks=2, epochs=2)


@pytest.mark.slow
def test_two_jobs_train_beside_each_other(start, tmp_path, unbroken):
    """Each has a port of its own, and does not see the other's processes."""
    first = start()
    passed(densenet("train", *WORDS, "--out", "other", cwd=tmp_path))
    text, errors = first.process.communicate(timeout=600)
    assert (first.process.returncode, errors) == (0, ""), text
    for name in ("run", "other"):
        assert_one_sound_run(tmp_path / name, ranks=2, epochs=EPOCHS)
        assert parameters(tmp_path / name, "last") == parameters(unbroken, "last")


@pytest.mark.slow
@pytest.mark.parametrize(("what", "where", "rank"), [FAULTS[0][:3], FAULTS[3][:3], FAULTS[6][:3]])
def test_a_run_is_started_again_by_itself(what, where, rank, start, unbroken):
    """Once, and it says so; it ends with the weights of the run that nothing happened to."""
    started = start(what, where, rank, "--restarts", 2)
    text, errors = started.process.communicate(timeout=600)
    assert (started.process.returncode, errors) == (0, "")
    notes = [event["text"] for event in events(started.run, "note")]
    assert [note for note in notes if note in text] == notes
    assert notes[0].startswith(f"restart 1 of 2: rank {rank} ")
    assert notes[0].endswith(f" (logs: {started.run}/workers/start_1)")
    assert notes[-1] == "went to its end after 1 restart"
    assert (started.run / f"workers/start_1/worker_{rank}.log").is_file()
    assert left_running(started.run) == []
    assert_one_sound_run(started.run, ranks=2, epochs=EPOCHS)
    assert parameters(started.run, "last") == parameters(unbroken, "last")


@pytest.mark.slow
def test_a_run_that_fails_each_time_is_given_up(start, unbroken):
    """The restarts are counted on the screen and in the run's events, and the last fault told."""
    started = start("", "", 0, "--restarts", 1)
    signalled(started, "1", signal.SIGKILL)
    wait_until(lambda: len(events(started.run, "start")) == 2, started.process)
    signalled(started, "1", signal.SIGKILL)
    errors = ended(started)
    assert "worker_1.log T011 rank 1 was ended by SIGKILL" in errors
    notes = [event["text"] for event in events(started.run, "note")]
    assert notes[0].startswith("restart 1 of 1: rank 1 was ended by SIGKILL (logs: ")
    assert notes[1:] == ["given up after 1 restart"]
    assert_goes_on(started, unbroken)


def test_restarts_and_hanging_are_of_several_processes(no_mindspore, tmp_path):
    """One that trains alone has nobody who watches it."""
    for given in (("--restarts", 1), ("--hang-after", 60)):
        done = densenet("train", *given, "--out", "run", cwd=tmp_path, env=no_mindspore)
        assert done.returncode == 2
        assert f"Invalid value for {given[0]}: goes with several --devices" in done.stderr
    assert not (tmp_path / "run").exists()
