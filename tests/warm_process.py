"""Processes that have imported what a command of `densenet` imports, and fork for each command.

A command starts in 0.2 seconds instead of two, and is all that it is otherwise: `densenet_cli` run
as `__main__` in a process of its own, with its own words, folder, environment and streams, ended as
every interpreter ends. Only what an interpreter reads at its own start is that of the first one.
"""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import BinaryIO

SERVER = Path(__file__).with_name("warm_server.py")
READ_AT_START = ("COLUMNS", "DNNL", "GLOG", "LANG", "LC_", "LD_", "OMP_", "ONEDNN", "PYTHON")


class WarmProcess:
    """Runs commands of `densenet`, one at a time; started with the first of them.

    Args:
        environment: What it is started with; of that each command has only what it is given too.
        modules: What it imports before it forks, beside all of ours.
    """

    def __init__(self, environment: Mapping[str, str], *modules: str) -> None:
        self._environment, self._modules = dict(environment), modules
        self._line: socket.socket | None = None
        self._lock = Lock()

    def run(
        self, words: list[str], folder: Path, environment: Mapping[str, str], seconds: int
    ) -> "subprocess.CompletedProcess[str]":
        """Run `densenet` with these words; how it ended, and what it printed.

        Raises TimeoutError where it takes longer than that.
        """
        told = {"words": words, "folder": str(folder), "environment": dict(environment)}
        with self._lock, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            line = self._line = self._line or self._start()
            line.settimeout(seconds)
            socket.send_fds(line, [json.dumps(told).encode()], [out.fileno(), err.fileno()])
            self._line = (
                None  # whose next answer would be of this command, should that take too long
            )
            code = json.loads(line.recv(64))
            self._line = line
            return subprocess.CompletedProcess(words, code, read(out), read(err))

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            process = subprocess.Popen(
                [sys.executable, str(SERVER), str(theirs.fileno()), *self._modules],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        atexit.register(end, process)
        return ours


WARM = {"": WarmProcess(os.environ, "networkx", "mindspore")}
"""By what is added to PYTHONPATH. Who takes something from commands adds a process of its own."""


def is_read_at_start(environment: Mapping[str, str]) -> bool:
    """Whether an interpreter, or a library that it loads, looks at one of these only then."""
    if "COVERAGE_PROCESS_CONFIG" in os.environ:  # which counts from an interpreter's start on
        return True
    names = set(environment) - {"PYTHONPATH"}
    return any(name.startswith(READ_AT_START) for name in names)


def end(process: "subprocess.Popen[bytes]") -> None:
    """End it and the command that it may be running."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def read(stream: BinaryIO) -> str:
    """Return all that a command wrote, with newlines as text has them."""
    stream.seek(0)
    return stream.read().decode().replace("\r\n", "\n").replace("\r", "\n")
