"""Launching workers under the real msrun, and leaving no process behind however a run ends."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from archspec.errors import DataError, EnvironmentFault, TrainingError
from archspec.machine.ascend import list_devices
from archspec.runtime import prepare
from archspec.train.distributed import msrun, worker_group
from archspec.train.distributed.agreement import Agreement
from archspec.train.distributed.nodes import Node
from archspec.train.distributed.supervise import supervise
from archspec.train.faults.watch import read_faults

ROOT = Path(__file__).resolve().parents[3]
MARK = "LAUNCH_TEST_MARK"

WORKER = """
import json, os, signal, sys, time
from pathlib import Path
from archspec.errors import DataError, Diagnostic
from archspec.train.distributed import pulse
from archspec.train.distributed.agreement import Agreement
from archspec.train.distributed.worker_group import (
    all_reduce_sum, die_with_parent, get_rank, join_group, report_faults
)

def save_and_exit(number, frame):
    if get_rank() == 1:
        sys.exit(1)  # msrun kills all other workers when it sees this
    time.sleep(2.5)
    (folder / "saved").touch()
    os._exit(0)

def sums(first):
    import numpy as np
    shapes = ((), (1,), (3, 1), (7, 11), (2, 0))
    sizes = [np.prod(shape, dtype=int) for shape in shapes]
    arrays = [np.arange(n, dtype=np.float32).reshape(shape) for n, shape in zip(sizes, shapes)]
    return [all_reduce_sum(array * 2 + first).tolist() for array in arrays[:4]]

def first_step_of_each_wish(me):
    # 400 steps that no other exchange keeps together; each rank has one wish, from a step on.
    agreement, found = Agreement(), [0, 0]
    for step in range(1, 401):
        time.sleep(0.002 * (1 + me))
        answers = agreement.ask(me == 0 and step >= 50, me == 1 and step >= 150)
        found = [first or step * answer for first, answer in zip(found, answers)]
    return found

def main(behaviour):
    if behaviour == "early fault":
        raise DataError([Diagnostic("D999", "the image is no image", "cat.jpg", "remove it")])
    if behaviour == "hang" and get_rank() == 0:
        pulse.note("opening the data set")
        while True:
            pass
    me, world = join_group("CPU")
    if behaviour == "fault" and me == 1:
        raise DataError([Diagnostic("D999", f"rank {me} of {world}", "cat.jpg", "remove it")])
    if behaviour == "bug" and me == 1:
        raise ZeroDivisionError("a bug")
    if behaviour == "exit 3" and me == 1:
        print("the last words", flush=True)
        os._exit(3)
    if behaviour == "graceful":
        signal.signal(signal.SIGTERM, save_and_exit)
    report = {"rank": me, "world": world, "sums": sums(me)}
    if behaviour == "work":
        report["wishes"] = first_step_of_each_wish(me)
    (folder / f"report_{me}.json").write_text(json.dumps(report))
    while behaviour != "work":
        time.sleep(0.1)

if __name__ == "__main__":
    die_with_parent()
    pulse.begin()
    folder = Path(sys.argv[1])
    with report_faults(folder):
        main(sys.argv[2])
"""

PARENT = """
import json, os, sys
from pathlib import Path
from archspec.errors import ArchspecError
from archspec.runtime import prepare
from archspec.train.distributed.msrun import launch_environment, msrun_command
from archspec.train.distributed.ports import find_free_port
from archspec.train.distributed.supervise import supervise
from archspec.train.faults.watch import read_faults

folder, module, behaviour = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
port = int(sys.argv[4] or find_free_port())
arguments = [str(folder), behaviour]
prepare()
command = msrun_command(
    devices=2, device_target="CPU", log_dir=folder, port=port, module=module, arguments=arguments
)
polls = []
try:
    code = supervise(
        command,
        environment=launch_environment(os.environ),
        log_dir=folder,
        poll=lambda: polls.append(1),
        hang_after=2 if behaviour == "hang" else 60,  # a busy machine is no fault
    )
except ArchspecError as error:
    kind = type(error).__name__
    print(json.dumps([kind, *([d.code, d.message, d.where, d.hint] for d in error.diagnostics)]))
    sys.exit(1)
print(json.dumps([code, len(polls) > 5]))
"""


@dataclass(frozen=True)
class Job:
    """A parent process that supervises two workers in `folder`;
    all carry `mark` in their environment.
    """

    parent: "subprocess.Popen[str]"
    folder: Path
    mark: str

    def left(self) -> dict[int, str]:
        """Return the living processes with the mark but for the parent:
        id to rank, "" for no worker.
        """
        marked = {}
        for process in Path("/proc").glob("[0-9]*"):
            try:
                words = (process / "environ").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if f"{MARK}={self.mark}" in words and int(process.name) != self.parent.pid:
                rank = next((word for word in words if word.startswith("RANK_ID=")), "")
                marked[int(process.name)] = rank if "MS_ROLE=MS_WORKER" in words else ""
        return marked

    def result(self) -> Any:
        """Wait for the end and return what the parent printed."""
        output, _ = self.parent.communicate(timeout=120)
        return json.loads(output)

    def wait_for(self, *names: str) -> None:
        """Wait until the files are there."""
        assert eventually(lambda: all((self.folder / name).exists() for name in names), 90)


def eventually(holds: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.05)
    return holds()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Job]]:
    """Return a function that starts a job; kill what a failing test leaves."""
    jobs: list[Job] = []

    def start_job(behaviour: str, module: str = "worker_under_test", port: str = "") -> Job:
        (tmp_path / "worker_under_test.py").write_text(WORKER, encoding="utf-8")
        (tmp_path / "parent.py").write_text(PARENT, encoding="utf-8")
        folder, mark = tmp_path / "logs of a run", uuid.uuid4().hex
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{tmp_path}", MARK: mark}
        command = [
            sys.executable,
            str(tmp_path / "parent.py"),
            str(folder),
            module,
            behaviour,
            port,
        ]
        parent = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, text=True, cwd=tmp_path
        )
        jobs.append(Job(parent, folder, mark))
        return jobs[-1]

    yield start_job
    for job in jobs:
        job.parent.kill()
        job.parent.communicate()
        for process in job.left():
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


@pytest.mark.slow
def test_two_workers_join_and_get_equal_sums(start: Callable[..., Job]) -> None:
    """All-reduce adds up arrays of several shapes on both ranks, and they agree on wishes;
    the parent polls, and all ends with 0.
    """
    job = start("work")
    assert job.result() == [0, True]
    assert job.left() == {}
    reports = [json.loads((job.folder / f"report_{rank}.json").read_text()) for rank in (0, 1)]
    assert [(report["rank"], report["world"]) for report in reports] == [(0, 2), (1, 2)]
    assert reports[0]["sums"] == reports[1]["sums"]
    grid = [[4 * (11 * row + column) + 1 for column in range(11)] for row in range(7)]
    assert reports[0]["sums"] == [1, [1], [[1], [5], [9]], grid]
    # What one of them wishes all do at the same step, soon, and no other wish with it.
    assert reports[0]["wishes"] == reports[1]["wishes"]
    assert 50 <= reports[0]["wishes"][0] <= 149
    assert 150 <= reports[0]["wishes"][1] <= 249


def test_one_process_agrees_with_itself_at_every_step() -> None:
    """Nothing is exchanged."""
    agreement = Agreement()
    assert [agreement.ask(step > 1, False) for step in range(3)] == [
        (False, False),
        (False, False),
        (True, False),
    ]


def test_an_error_before_joining_reaches_the_user_once(start: Callable[..., Job]) -> None:
    """Both workers and the scheduler meet the same fault:
    the parent raises it, of its kind, once.
    """
    job = start("early fault")
    assert job.result() == ["DataError", ["D999", "the image is no image", "cat.jpg", "remove it"]]
    assert job.left() == {}


@pytest.mark.slow
def test_an_error_in_one_worker_reaches_the_user(start: Callable[..., Job]) -> None:
    """An ArchspecError of rank 1 while rank 0 works
    on is raised by the parent with its diagnostics.
    """
    job = start("fault")
    assert job.result() == ["DataError", ["D999", "rank 1 of 2", "cat.jpg", "remove it"]]
    assert job.left() == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        ("exit 3", "rank 1 ended with exit code 3: the last words"),
        ("bug", "rank 1 ended with exit code 1: ZeroDivisionError: a bug"),
    ],
)
def test_a_worker_that_fails_is_named_with_its_last_words(
    behaviour: str, message: str, start: Callable[..., Job]
) -> None:
    """The parent says which rank failed, how, why, and where the log is,
    and ends the other processes.
    """
    job = start(behaviour)
    log = str(job.folder / "worker_1.log")
    assert job.result() == [
        "TrainingError",
        ["T011", message, log, "the log tells the whole story"],
    ]
    assert job.left() == {}


@pytest.mark.slow
def test_a_worker_killed_from_outside_is_noticed(start: Callable[..., Job]) -> None:
    """SIGKILL of rank 1, as by the kernel when memory runs out, is named with a likely cause."""
    job = start("wait")
    job.wait_for("report_0.json", "report_1.json")
    victim = next(pid for pid, rank in job.left().items() if rank == "RANK_ID=1")
    os.kill(victim, signal.SIGKILL)
    kind, (code, message, where, hint) = job.result()
    assert (kind, code, where) == ("TrainingError", "T011", str(job.folder / "worker_1.log"))
    assert message.startswith("rank 1 was ended by SIGKILL")
    assert "--batch-size" in hint
    assert job.left() == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
)
def test_an_interrupted_parent_ends_its_workers_first(
    number: signal.Signals, code: int, start: Callable[..., Job]
) -> None:
    """When the parent has ended after a signal, the workers have too;
    its exit code tells the signal.
    """
    job = start("wait")
    job.wait_for("report_0.json", "report_1.json")
    job.parent.send_signal(number)
    assert job.parent.wait(timeout=60) == code
    assert job.left() == {}


@pytest.mark.slow
def test_a_worker_has_time_to_save_when_interrupted(start: Callable[..., Job]) -> None:
    """Rank 0 takes 2.5 s over SIGTERM and rank 1 exits with 1 at once,
    for which msrun kills others.
    """
    job = start("graceful")
    job.wait_for("report_0.json", "report_1.json")
    job.parent.send_signal(signal.SIGTERM)
    assert job.parent.wait(timeout=60) == 143
    assert (job.folder / "saved").exists()
    assert job.left() == {}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["msrun.log", "scheduler.log", "worker_1.log", "report_1.json"])
def test_a_parent_killed_at_any_moment_leaves_nothing(
    moment: str, number: signal.Signals, start: Callable[..., Job]
) -> None:
    """Even SIGKILL of the parent, while msrun starts or when the workers run, leaves no process."""
    job = start("wait")
    job.wait_for(moment)
    job.parent.send_signal(number)
    job.parent.wait(timeout=60)
    assert eventually(lambda: job.left() == {}, 20)


@pytest.mark.slow
def test_a_port_in_use_is_told(start: Callable[..., Job]) -> None:
    """msrun's workers would wait ten minutes for a scheduler
    that could not listen; the parent does not.
    """
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        job = start("work", port=str(listener.getsockname()[1]))
        kind, (code, message, where, _) = job.result()
    assert (kind, code, where) == ("TrainingError", "T012", str(job.folder / "scheduler.log"))
    assert message.startswith("msrun's scheduler ended with exit code 1: RuntimeError: ")
    assert job.left() == {}


def test_a_worker_that_hangs_is_named_and_not_the_one_that_waits(start: Callable[..., Job]) -> None:
    """An endless loop of rank 0, which rank 1 waits for: where it is, in words and in the code."""
    job = start("hang")
    kind, (code, message, where, hint) = job.result()
    assert (kind, code, where) == ("TrainingError", "T024", str(job.folder / "worker_0.log"))
    words = r"rank 0 hangs: opening the data set for \d+ s \(main, worker_under_test.py:\d+\)"
    assert re.fullmatch(words + ", while rank 1 waits, joining the others", message)
    assert "--hang-after" in hint
    assert job.left() == {}


@pytest.mark.slow
def test_a_missing_module_is_told(start: Callable[..., Job]) -> None:
    """A worker that dies before anything of ours runs is still named with what Python said."""
    kind, (code, message, where, _) = start("work", module="no_such_module").result()
    assert (kind, code) == ("TrainingError", "T011")
    assert Path(where).name in ("worker_0.log", "worker_1.log")
    assert message.endswith("No module named no_such_module")


def test_the_command_for_eight_ascend_devices(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The exact text that a server with eight NPUs runs."""
    (tmp_path / "python").touch()
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python3.11"))
    command = msrun.msrun_command(
        devices=8,
        device_target="Ascend",
        log_dir=Path("runs/a/logs"),
        port=8118,
        module="archspec.train.distributed.training_worker",
        arguments=["runs/a", "--lr", "0.1"],
    )
    assert shlex.join(command) == (
        "msrun --worker_num=8 --local_worker_num=8 --master_port=8118 --join=True --bind_core=True"
        " --tail_worker_log=8 --log_dir=runs/a/logs python -m "
        "archspec.train.distributed.training_worker runs/a --lr 0.1"
    )


def test_the_command_of_one_of_several_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    """MindSpore's own parser reads it: all processes and its own, the first machine, its rank."""
    prepare()
    from mindspore.parallel.cluster.run import get_args

    command = msrun.msrun_command(
        devices=8,
        device_target="Ascend",
        log_dir=Path("logs"),
        port=9000,
        module="m",
        arguments=[],
        node=Node(3, 2, "[fd00::5]", 9000, patience=90),
    )
    monkeypatch.setattr(sys, "argv", command)
    got = get_args()
    assert (got.worker_num, got.local_worker_num, got.node_rank) == (24, 8, 2)
    assert (got.master_addr, got.master_port, got.cluster_time_out) == ("[fd00::5]", 9000, 90)


def test_msrun_itself_takes_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """MindSpore's own argument parser reads the command as meant,
    also arguments that look like its own.
    """
    prepare()
    from mindspore.parallel.cluster.run import get_args

    command = msrun.msrun_command(
        devices=2,
        device_target="Ascend",
        log_dir=Path("a b"),
        port=8118,
        module="m",
        arguments=["--join", "--", "-x"],
    )
    monkeypatch.setattr(sys, "argv", command)
    got = get_args()
    assert (got.worker_num, got.local_worker_num, got.node_rank, got.master_port) == (
        2,
        2,
        -1,
        8118,
    )
    assert (got.join, got.bind_core, got.log_dir, got.tail_worker_log) == (True, True, "a b", "2")
    assert [got.task_script, *got.task_script_args] == ["python", "-m", "m", "--join", "--", "-x"]


def test_a_cpu_binds_no_cores() -> None:
    """Core binding is for Ascend servers alone."""
    command = msrun.msrun_command(
        devices=2, device_target="CPU", log_dir=Path("logs"), port=8118, module="m", arguments=[]
    )
    assert not any("bind" in word for word in command)


def test_every_impossible_layout_is_told_at_once() -> None:
    """No devices and a privileged port: two faults in one error."""
    with pytest.raises(TrainingError) as caught:
        msrun.msrun_command(
            devices=0, device_target="CPU", log_dir=Path("logs"), port=80, module="m", arguments=[]
        )
    assert str(caught.value).splitlines() == [
        "T010 devices (=0) must be at least 1",
        "T010 port (=80) must be from 1024 to 65535",
    ]


def test_mindspore_leaves_it_to_us_who_hangs() -> None:
    """It would blame the one that waits, after 30 s; who says another time has that."""
    assert int(msrun.launch_environment({})["MS_NODE_TIMEOUT"]) > 3600
    assert msrun.launch_environment({"MS_NODE_TIMEOUT": "30"})["MS_NODE_TIMEOUT"] == "30"


def test_the_environment_puts_this_python_first() -> None:
    """msrun looks `python` up on PATH; the user's paths stay; msrun must say its errors."""
    given = {"PATH": "/usr/bin", "PYTHONPATH": "mine", "GLOG_v": "4", "OTHER": "kept"}
    environment = msrun.launch_environment(given)
    assert environment["PATH"].split(":")[0] == str(Path(sys.executable).parent)
    assert environment["PATH"].endswith(":/usr/bin")
    assert environment["PYTHONPATH"].split(":")[0] == "mine"
    assert (environment["GLOG_v"], environment["OTHER"]) == ("3", "kept")
    assert msrun.launch_environment({"GLOG_v": "1"})["GLOG_v"] == "1"


def test_without_msrun_nothing_starts(tmp_path: Path) -> None:
    """An environment without msrun on PATH is an error of the installation,
    said before anything is made.
    """
    with pytest.raises(EnvironmentFault, match="E003 msrun is not on PATH"):
        supervise(
            ["msrun"],
            environment={"PATH": str(tmp_path)},
            log_dir=tmp_path / "logs",
            poll=lambda: None,
        )
    assert not (tmp_path / "logs").exists()


def test_a_single_process_is_rank_0_of_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without msrun, a RANK_ID that some cluster left in the environment counts for nothing."""
    monkeypatch.delenv("MS_ROLE", raising=False)
    monkeypatch.setenv("RANK_ID", "5")
    monkeypatch.setenv("MS_WORKER_NUM", "8")
    assert (worker_group.get_rank(), worker_group.get_world_size()) == (0, 1)
    monkeypatch.setenv("MS_ROLE", "MS_WORKER")
    assert (worker_group.get_rank(), worker_group.get_world_size()) == (5, 8)


def test_the_scheduler_reports_no_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It has rank 0's number and would overwrite rank 0's report."""
    monkeypatch.setenv("MS_ROLE", "MS_SCHED")
    worker_group.report_fault(DataError.one("D999", "no"), tmp_path, 0)
    assert list(tmp_path.iterdir()) == []


def fill_and_fail(disk: Path) -> None:
    with suppress(OSError), (disk / "others").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1024))
    raise TrainingError.one("T003", "cannot be written: no room")


def test_an_error_is_reported_where_the_disk_is_full(
    monkeypatch: pytest.MonkeyPatch, small_disk: Path
) -> None:
    """That may be the very error: its room was taken before."""
    monkeypatch.setenv("MS_ROLE", "MS_WORKER")
    monkeypatch.setenv("RANK_ID", "0")
    with pytest.raises(SystemExit), worker_group.report_faults(small_disk):
        fill_and_fail(small_disk)
    found = read_faults(small_disk)
    assert found is not None
    assert [fault.code for fault in found.diagnostics] == ["T003"]
    assert {path.name for path in small_disk.iterdir()} == {"fault_rank0.json", "others"}


def test_an_absent_device_is_told() -> None:
    """A machine without NPUs names the device that was asked for,
    without a traceback of MindSpore's.
    """
    prepare()
    with pytest.raises(
        EnvironmentFault, match=r"^E004 device_target \(='TPU'\) cannot be used: The argument"
    ):
        worker_group.join_group("TPU")


@pytest.mark.skipif(bool(list_devices()), reason="this machine has an Ascend device")
def test_a_machine_without_a_device_of_ascend_is_told_so() -> None:
    """MindSpore's own word is that its build does not support one."""
    prepare()
    with pytest.raises(EnvironmentFault, match=r"^E004 .* there is no Ascend device here"):
        worker_group.join_group("Ascend")


COMPUTED_BEFORE = """
from archspec.errors import EnvironmentFault
from archspec.runtime import prepare
from archspec.train.distributed.worker_group import join_group

prepare()
import mindspore as ms

(ms.Tensor([1.0]) + 1).asnumpy()
print(join_group("CPU"), join_group("CPU"))

def initialised(target):
    rule = "please set it before the kernel is executed. And so on."
    raise RuntimeError(f"The runtime has been initialized, {rule}")

ms.set_device = initialised  # what a machine with Ascend says
try:
    join_group("Ascend")
except EnvironmentFault as fault:
    print(fault)
"""


def test_a_process_that_has_computed_trains_on_the_same_device_and_on_no_other() -> None:
    """As a notebook has: the device in use serves; another is refused with the true reason."""
    run = [sys.executable, "-c", COMPUTED_BEFORE]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.splitlines() == [
        "(0, 1) (0, 1)",
        "E004 device_target (='Ascend') cannot be used: "
        "MindSpore has begun to compute on CPU in this process "
        "(choose it before anything is computed, or in another process)",
    ], done.stderr
