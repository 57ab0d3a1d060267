"""Two processes never train in one run directory; one that was killed stands in nobody's way."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from archspec.errors import TrainingError
from archspec.train.run.run_directory import Run
from archspec.train.run.run_lock import lock_run

HOLD = """
import subprocess, sys
from pathlib import Path
from archspec.train.run.run_directory import Run
from archspec.train.run.run_lock import lock_run

with lock_run(Run(Path(sys.argv[1]))) as note:
    child = subprocess.Popen(["sleep", "600"])
    print(child.pid, repr(note), flush=True)
    sys.stdin.read()
"""


@contextmanager
def held(folder: Path) -> "Iterator[subprocess.Popen[str]]":
    """Another process trains in the folder, and has started a third that lives on."""
    command = [sys.executable, "-c", HOLD, str(folder)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        child, note = process.stdout.readline().split()
        assert note == "''"
        try:
            yield process
        finally:
            process.kill()
            os.kill(int(child), signal.SIGKILL)


def test_a_second_process_is_told_who_trains_there(tmp_path):
    """T017 with process, host and time; also after the second one has tried."""
    run = Run(tmp_path)
    with held(tmp_path) as process:
        for _ in range(2):
            with pytest.raises(TrainingError) as caught, lock_run(run):
                pass
            (fault,) = caught.value.diagnostics
            assert (fault.code, fault.where) == ("T017", str(tmp_path))
            assert fault.message.startswith(
                f"is being trained by process {process.pid} on {os.uname().nodename} since 20"
            )


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_lock_of_a_process_that_was_ended_is_free(number, tmp_path):
    """Though its file is still there, and a process that it had started lives on."""
    with held(tmp_path) as process:
        process.send_signal(number)
        process.wait()
        with lock_run(Run(tmp_path)) as note:
            assert note == ""


def test_the_lock_is_given_up_at_the_end_of_the_block(tmp_path):
    """Of one that ends with an error, too."""
    run = Run(tmp_path)
    with pytest.raises(ZeroDivisionError), lock_run(run):
        raise ZeroDivisionError
    with lock_run(run):
        pass


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    """T002: there is no such folder."""
    refusal = pytest.raises(TrainingError, match="T002 cannot be written: No such")
    with refusal, lock_run(Run(tmp_path / "none")):
        pass


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_where_the_file_system_has_no_locks_training_goes_on_with_a_note(
    number, tmp_path, monkeypatch
):
    """As some shared storage has none: what the kernel answers there."""

    def refuse(descriptor: int, how: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with lock_run(Run(tmp_path)) as note:
        assert note.startswith(f"{tmp_path}: its file system has no locks ({os.strerror(number)})")
