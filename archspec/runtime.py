"""What must hold before and around MindSpore: its environment variables, and a quiet screen."""

from __future__ import annotations

import atexit
import ctypes
import importlib.util
import os
import platform
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from rich.console import Console

from archspec.errors import EnvironmentFault

STDOUT, STDERR = 1, 2
LOG_MODE = 0o644


def prepare() -> None:
    """Set the environment that MindSpore reads at import; call it before. What the user has set wins.

    Raises EnvironmentFault (E001) where MindSpore is not installed.
    """
    if importlib.util.find_spec("mindspore") is None:
        cure = "pip install 'mindspore==2.10.*' on Python 3.10, 3.11 or 3.12"
        raise EnvironmentFault.one("E001", "MindSpore is not installed", sys.executable, cure)
    # With AVX-512 oneDNN runs 3x3 convolutions of plain layout in a reference kernel, 20 to 80 times slower.
    chosen_by_user = {"ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"} & os.environ.keys()
    if platform.machine().lower() in ("x86_64", "amd64") and not chosen_by_user:
        os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX2"
    os.environ.setdefault("GLOG_v", "3")  # errors only; MindSpore warns dozens of times in a healthy run


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait until the block has ended, then raise KeyboardInterrupt."""
    noted: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    former = {number: signal.signal(number, lambda got, frame: noted.append(got)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
    if noted:
        raise KeyboardInterrupt


@contextmanager
def quiet(log: Path) -> Iterator[Console]:
    """Send all that the process and its libraries print to the end of `log`; yield a Console on the screen.

    The Console is good until the block ends. A rich Live or Progress on it needs redirect_stdout=False and
    redirect_stderr=False, or it would fetch Python's output back to the screen. Blocks do not nest.
    Raises EnvironmentFault (E002) where the log cannot be written.
    """
    descriptor = _open_log(log)
    _flush()
    screen, errors = os.dup(STDOUT), os.dup(STDERR)
    stream = _screen_stream(screen)
    os.dup2(descriptor, STDOUT)
    os.dup2(descriptor, STDERR)
    os.close(descriptor)
    try:
        yield Console(file=stream, width=_hidden_width(screen))
    finally:
        _flush()
        stream.flush()
        os.dup2(screen, STDOUT)
        os.dup2(errors, STDERR)
        os.close(errors)
        if stream is not sys.stdout:
            stream.close()
        os.close(screen)
        _keep_exit_quiet(log.absolute())


def _open_log(log: Path) -> int:
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        return os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, LOG_MODE)
    except OSError as error:
        raise EnvironmentFault.one("E002", f"the log cannot be written: {error.strerror}", str(log)) from None


def _screen_stream(screen: int) -> TextIO:
    """Return a text stream on the screen; sys.stdout itself where it never was descriptor 1 (a notebook)."""
    try:
        on_descriptor = sys.stdout.fileno() == STDOUT
    except (OSError, ValueError):
        on_descriptor = False
    if not on_descriptor:
        return sys.stdout
    return open(screen, "w", buffering=1, encoding=sys.stdout.encoding, errors="replace", closefd=False)


def _hidden_width(screen: int) -> int | None:
    """Return the terminal's width where rich, which asks descriptors 0 to 2, could not find it."""
    if os.isatty(0) or not os.isatty(screen) or "COLUMNS" in os.environ:
        return None
    return os.get_terminal_size(screen).columns


def _flush() -> None:
    """Empty Python's and C's buffers, so that each text lands where it was meant to."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not stream.closed:
            stream.flush()
    ctypes.CDLL(None).fflush(None)


def _keep_exit_quiet(log: Path) -> None:
    """Have the interpreter's last words go to the log: cells deleted at exit print AttributeErrors.

    A traceback of an uncaught error is printed before exit handlers run, so it still reaches the user.
    """
    if "mindspore" not in sys.modules:
        return
    atexit.unregister(_exit_into)
    atexit.register(_exit_into, log)  # registered after MindSpore's own handlers, so it runs before them


def _exit_into(log: Path) -> None:
    _flush()
    try:
        descriptor = _open_log(log)
    except EnvironmentFault:
        descriptor = os.open(os.devnull, os.O_WRONLY)
    os.dup2(descriptor, STDOUT)
    os.dup2(descriptor, STDERR)
