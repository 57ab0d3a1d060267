"""Who is blamed where a worker ends by itself, as it does when it has waited for too long; which
processes there are.
"""

import os
import subprocess

import pytest

from archspec.train.distributed.pulse import Pulse
from archspec.train.faults.hangs import Seen
from archspec.train.faults.watch import Watch

READING = Pulse(6, False, False, "reading images of epoch 1, step 3", 0)
COMPUTING = Pulse(7, True, False, "computing epoch 1, step 3", 0)


def fault_of(tmp_path, first, code, *, hang_after=0.0):
    """What is said where rank 1, process 7, ends so while the first rank was as given."""
    died = f"Worker process 7 exit with exception. Error code: {code}.\n"
    (tmp_path / "msrun.log").write_text(died)
    (tmp_path / "worker_1.log").write_text("RuntimeError: Launch kernel failed, name:AllReduce\n")
    watch = Watch(tmp_path, hang_after)
    watch.members = {6: "0", 7: "1"}
    watch.hangs.seen = [first, Seen("1", 7, COMPUTING, "", 31)]
    (fault,) = watch.fault(os.getpid()).diagnostics
    return fault.code, fault.message


def test_one_that_others_waited_for_is_blamed_rather_than_the_one_that_gave_up(tmp_path):
    """Also where nobody is to be said to hang: MindSpore ended it all the same."""
    code, message = fault_of(tmp_path, Seen("0", 6, READING, "T", 33), 1)
    assert code == "T024"
    assert message.startswith("rank 0 hangs: reading images of epoch 1, step 3 for 33 s; it is sto")


@pytest.mark.parametrize(
    ("first", "exit_code", "words"),
    [
        (Seen("0", 6, READING, "T", 33), -9, "rank 1 was ended by SIGKILL"),
        (Seen("0", 6, READING, "S", 3), 1, "rank 1 ended with exit code 1: RuntimeError: Launch k"),
        (Seen("0", 6, COMPUTING, "S", 33), 1, "rank 1 ended with exit code 1: RuntimeError: L"),
    ],
)
def test_one_that_fails_for_another_reason_is_told_itself(first, exit_code, words, tmp_path):
    """A signal comes from outside; the other one had only begun, or is where this one was."""
    code, message = fault_of(tmp_path, first, exit_code)
    assert code == "T011"
    assert message.startswith(words)


def test_a_worker_that_another_jobs_scheduler_knows_already_names_the_port(tmp_path):
    """As MindSpore 2.10 puts it: neither job's worker is to blame."""
    died = "Worker process 7 exit with exception. Error code: 1.\n"
    (tmp_path / "msrun.log").write_text(died)
    (tmp_path / "worker_1.log").write_text(
        "RuntimeError: Failed to register the compute graph node: 1. Reason: Repeated "
        "registration node: 1 to the scheduler. Please check if there's another scheduler process "
        "with port:8118 still running, or this is an extra node for distributed job. You can ...\n"
    )
    watch = Watch(tmp_path, 0.0)
    watch.members = {6: "0", 7: "1"}
    (fault,) = watch.fault(os.getpid()).diagnostics
    assert fault.code == "T012"
    assert fault.message == "port 8118 is another job's: its scheduler refused rank 1"


@pytest.fixture
def start():
    """Starts a process that waits, as a member of a job; all end with the test."""
    started = []

    def start(role, rank=0):
        environment = {**os.environ, "MS_ROLE": role, "RANK_ID": str(rank)}
        started.append(subprocess.Popen(["sleep", "60"], env=environment))
        return started[-1].pid

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.parametrize("is_quiet", [True, False])
def test_every_process_is_known_whatever_msrun_says_of_it(is_quiet, start, tmp_path):
    """2.7 names workers alone, later versions the scheduler and each command too."""
    executes = "" if is_quiet else " Execute command: python -m x"
    watch, log = Watch(tmp_path, 0.0), tmp_path / "msrun.log"
    expected = {start("MS_SCHED"): "scheduler"}
    log.write_text("" if is_quiet else f"Start scheduler process, log file:x.{executes}\n")
    assert watch.fault(os.getpid()) is None
    for rank in range(3):
        expected[start("MS_WORKER", rank)] = str(rank)
        with log.open("a") as lines:
            lines.write(f"Start worker process with rank id:{rank}, log file:x.{executes}\n")
        assert watch.fault(os.getpid()) is None
    assert watch.members == expected
