"""`--ssh`: one command on each of several machines, watched from here.

What runs there is tied to the end of its standard input, which the connection holds open: a byte is
Ctrl-C, the end is SIGTERM. So nothing stays behind, whether this process, its ssh or the network
between them ends first.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import typer

from archspec.errors import EnvironmentFault, make_printable
from archspec.shell_words import join_words
from archspec.signals import collect_signals
from densenet_cli.hosts import Host
from densenet_cli.options import console
from densenet_cli.ssh_faults import find_fault

STARTS = "densenet starts"
"""What a host's shell says where the set-up has let it come so far."""
BEGINS = "densenet begins"
"""What a node says where it has become a part of the run, whose other nodes learn of its end."""
TIED = "DENSENET_UNTIL_STDIN_ENDS"
"""Set for a process that ends with its standard input."""
GO_ON = "DENSENET_GO_ON_WITH"
"""Set for a node: the words by which all of them go on together, behind `--resume RUN`."""
_SETTINGS = ("BatchMode=yes", "ConnectTimeout=20", "ServerAliveInterval=15")
SSH = ["ssh", "-T", *(word for setting in _SETTINGS for word in ("-o", setting))]
"""No questions, whose answers nobody could type; a machine that is gone is missed in 45 s."""
SECONDS_TO_FOLLOW = 20.0
"""That nodes have to end by themselves where one has failed, with words that name the right one."""
SECONDS_TO_TELL = 5.0
"""The same where not all have begun: nothing is trained, and one may still wait to be joined."""
SECONDS_TO_END = 60.0
"""From the end of their input on: saving may take 25 s, and machines may be slow."""
SECONDS_AT_ONCE = 15.0
"""The same where nobody wants to wait for what they save."""
LINES_KEPT = 30
"""Of what a host writes as errors: by them it is told why nothing ran there."""
_untold: list[str] = []
"""What this process has yet to say, where `run_on_hosts` has started it."""


def tie_to_input() -> None:
    """Where `run_on_hosts` has started this process, end it with its standard input."""
    if os.environ.pop(TIED, "") == "1":
        _untold.append(BEGINS)
        threading.Thread(target=_follow_input, daemon=True).start()


def tell_begin(say: Callable[[str], object]) -> None:
    """Tell `run_on_hosts`, where it has started this process, that it has begun; once."""
    while _untold:
        say(_untold.pop())


def _follow_input() -> None:
    while os.read(0, 1):
        os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGTERM)


@dataclass
class _Remote:
    """A command that runs on a host."""

    host: Host
    process: subprocess.Popen[bytes]
    errors: deque[str] = field(default_factory=lambda: deque(maxlen=LINES_KEPT))
    """The last lines that it wrote as such."""
    has_started: bool = False
    """Its shell has come to the command."""
    has_begun: bool = False
    """It is a part of the run."""

    def interrupt(self) -> None:
        """Hand Ctrl-C on; where nothing has started, the connection is all there is to end."""
        if not self.has_started:
            self.process.terminate()
        with suppress(OSError, ValueError):
            assert self.process.stdin is not None
            os.write(self.process.stdin.fileno(), b"\n")

    def close(self) -> None:
        """End its input, and so the command."""
        with suppress(OSError):
            assert self.process.stdin is not None
            self.process.stdin.close()


def run_on_hosts(file: Path, hosts: Sequence[Host], commands: Sequence[Sequence[str]]) -> int:
    """Run a command of ssh for each host of a file until all have ended; return 0, the code of the
    first that failed, or 128 and the number of a signal.

    Raises:
        EnvironmentFault: E003, there is no ssh; E010, it did not come to hosts, or nothing could
            start there.
    """
    readers: list[threading.Thread] = []
    with collect_signals() as received:
        remotes = []
        for host, command in zip(hosts, commands, strict=True):
            remotes.append(_start(host, command))
            readers += _show(remotes[-1])
        try:
            failed = _wait(remotes, received)
        finally:
            for remote in remotes:
                remote.close()
                remote.process.terminate()
        for reader in readers:
            reader.join(5)
    if received:
        return 128 + received[0]
    faults = []
    for one in remotes:
        fault = find_fault(
            file, one.host, one.process.wait(), [*one.errors], has_started=one.has_started
        )
        faults += [] if fault is None else [fault]
    if faults:
        raise EnvironmentFault(faults)
    return failed


def write_ssh(host: Host, command: Sequence[str], setup: str, go_on: Sequence[str]) -> list[str]:
    """Return the words of ssh that have a command run on a host.

    `setup` is what the host's shell does before; '' goes to this folder, and takes this Python.
    `go_on` are the words by which all hosts go on together, behind `--resume RUN`.
    """
    program, *words = command
    # By `eval` a comment or a semicolon at its end belongs to the set-up alone.
    before, start = f"eval {shlex.quote(setup)}", [program]
    if not setup:
        before, start = shlex.join(["cd", str(Path.cwd())]), [sys.executable, "-m", "densenet_cli"]
    told = ["env", f"{TIED}=1", f"{GO_ON}={join_words(go_on)}"]
    before += f" && echo {shlex.quote(STARTS)} >&2"
    return [*SSH, host.name, f"{before} && exec {shlex.join([*told, *start, *words])}"]


def _start(host: Host, words: Sequence[str]) -> _Remote:
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C goes its own way: see `_wait`
        )
    except FileNotFoundError:
        cure = "apt-get install openssh-client"
        raise EnvironmentFault.one("E003", "ssh is not on PATH", hint=cure) from None
    return _Remote(host, process)


def _show(remote: _Remote) -> list[threading.Thread]:
    """Show what a command prints, a thread for each of its two streams."""
    readers = []
    for stream, is_error in ((remote.process.stdout, False), (remote.process.stderr, True)):
        reader = threading.Thread(target=_copy, args=(remote, stream, is_error))
        reader.daemon = True
        reader.start()
        readers.append(reader)
    return readers


def _copy(remote: _Remote, stream: IO[bytes], is_error: bool) -> None:
    for line in stream:
        text = make_printable(line.decode(errors="replace").rstrip("\r\n"))
        if is_error and text == STARTS:
            remote.has_started = True
        elif text == BEGINS:
            remote.has_begun = True
        elif is_error:
            remote.errors.append(text)
            typer.echo(f"{remote.host.name}: {text}", err=True)
        else:
            console.out(f"{remote.host.name}: {text}")


def _wait(remotes: Sequence[_Remote], received: Sequence[int]) -> int:
    """Wait until all have ended; return the code of the first that failed.

    The first signal is handed on, a second one ends the rest, and so does one that failed, after a
    while.
    """
    handed, failed, deadline = 0, 0, float("inf")
    while any(remote.process.poll() is None for remote in remotes):
        time.sleep(0.1)
        codes = [remote.process.poll() for remote in remotes]
        ended = [code for code in codes if code]
        if ended and not failed:
            is_whole = all(remote.has_begun for remote in remotes)
            patience = SECONDS_TO_FOLLOW if is_whole else SECONDS_TO_TELL
            failed, deadline = ended[0], time.monotonic() + patience
        for remote in remotes if len(received) > handed else ():
            remote.close() if handed else remote.interrupt()
        if len(received) > handed:
            deadline = time.monotonic() + (0 if handed else SECONDS_TO_END)
            handed = len(received)
        if time.monotonic() > deadline:
            _end(remotes, SECONDS_AT_ONCE if handed > 1 else SECONDS_TO_END)
    failed = failed or next((r.process.returncode for r in remotes if r.process.returncode), 0)
    return failed if failed >= 0 else 128 - failed


def _end(remotes: Sequence[_Remote], seconds: float) -> None:
    """End what is left: by its input, else by its connection."""
    for remote in remotes:
        remote.close()
    deadline = time.monotonic() + seconds
    for remote in remotes:
        with suppress(subprocess.TimeoutExpired):
            remote.process.wait(max(deadline - time.monotonic(), 0))
            continue
        remote.process.kill()
