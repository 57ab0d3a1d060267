"""A quiet screen: what libraries print goes to a log, and what is written ends with its reader."""

from __future__ import annotations

import atexit
import errno
import io
import os
import signal
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console

from archspec.errors import EnvironmentFault, make_printable

STDOUT, STDERR = 1, 2
LOG_MODE = 0o644
SIGNALS_OF_LOST_READERS = {errno.EPIPE: signal.SIGPIPE, errno.EIO: signal.SIGHUP}
"""Failures to write where nobody reads any more,
and the signals that other programs end by there."""


@contextmanager
def divert_output(log: Path) -> Iterator[Console]:
    """Send all that the process and its libraries print to the end of `log`;
    yield a Console on the screen.

    The Console is good until the block ends. A rich Live or Progress on it needs
    redirect_stdout=False and redirect_stderr=False, or it would fetch Python's output back to the
    screen. Blocks do not nest. Raises EnvironmentFault (E002) where the log cannot be written.
    """
    descriptor = _open_log(log)
    _flush_buffers()
    # Descriptors, not sys.stdout: what C++ libraries print goes to numbers 1 and 2.
    screen, errors = os.dup(STDOUT), os.dup(STDERR)
    stream = _screen_stream(screen)
    os.dup2(descriptor, STDOUT)
    os.dup2(descriptor, STDERR)
    os.close(descriptor)
    try:
        yield Screen(file=stream, width=_hidden_width(screen))
    finally:
        try:
            _flush_buffers()
            stream.flush()
        finally:
            os.dup2(screen, STDOUT)
            os.dup2(errors, STDERR)
            os.close(errors)
            _close_stream(stream)
            os.close(screen)
            _divert_exit(log.absolute())


def _open_log(log: Path) -> int:
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        return os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, LOG_MODE)
    except OSError as error:
        raise EnvironmentFault.one(
            "E002", f"the log cannot be written: {error.strerror}", str(log)
        ) from None


def _screen_stream(screen: int) -> TextIO:
    """Return a text stream on the screen;
    sys.stdout itself where it never was descriptor 1 (a notebook).
    """
    try:
        on_descriptor = sys.stdout.fileno() == STDOUT
    except (OSError, ValueError):
        on_descriptor = False
    if not on_descriptor:
        return sys.stdout
    return open_screen(screen, sys.stdout.encoding, line_buffering=True)


def open_screen(descriptor: int, encoding: str, *, line_buffering: bool) -> TextIO:
    """Return a text stream on the screen; what its encoding lacks becomes a replacement character.

    Writing raises EnvironmentFault (E006) where the screen takes no more, and SystemExit with 128 +
    signal where nobody reads any more: SIGPIPE's for a pipe, SIGHUP's for a terminal.
    """
    raw = _Screen(descriptor, "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding, errors="replace", line_buffering=line_buffering
    )


class Screen(Console):
    """A console whose lines have no control characters, whatever names stand in them; what is in a
    table is its maker's to see to.
    """

    def out(self, *objects: Any, **how: Any) -> None:
        """Print without wrapping."""
        super().out(*map(_show_lines, objects), **how)

    def print(self, *objects: Any, **how: Any) -> None:
        """Print as rich does."""
        super().print(*map(_show_lines, objects), **how)


def _show_lines(shown: Any) -> Any:
    if not isinstance(shown, str):
        return shown
    return "\n".join(map(make_printable, shown.split("\n")))


class _Screen(io.FileIO):
    """Tells failures of the screen apart from those of files, whoever writes and flushes."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            number = SIGNALS_OF_LOST_READERS.get(error.errno or 0)
            # EIO of a terminal means that it has gone; of a file it is the disk's own fault.
            is_terminal = stat.S_ISCHR(os.fstat(self.fileno()).st_mode)
            if number == signal.SIGPIPE or (number and is_terminal):
                raise SystemExit(128 + number) from None
            message = f"cannot write to the screen: {error.strerror}"
            raise EnvironmentFault.one("E006", message) from None


def _close_stream(stream: TextIO) -> None:
    if stream is not sys.stdout:
        with suppress(EnvironmentFault, SystemExit):  # a flush has said it
            stream.close()


def _hidden_width(screen: int) -> int | None:
    """Return the terminal's width where rich, which asks descriptors 0 to 2, could not find it."""
    if os.isatty(0) or not os.isatty(screen) or "COLUMNS" in os.environ:
        return None
    return os.get_terminal_size(screen).columns or None  # 0 where nobody gave it a size


def _flush_buffers() -> None:
    """Empty Python's and C's buffers, so that each text lands where it was meant to."""
    import ctypes  # here: most commands divert nothing

    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not stream.closed:
            stream.flush()
    ctypes.CDLL(None).fflush(None)


def _divert_exit(log: Path) -> None:
    """Have the interpreter's last words go to the log: cells deleted at exit print AttributeErrors.

    A traceback of an uncaught error is printed before exit handlers run,
    so it still reaches the user.
    """
    if "mindspore" not in sys.modules:
        return
    atexit.unregister(_divert_last_words)
    # Registered after MindSpore's own handlers, so it runs before them.
    atexit.register(_divert_last_words, log)


def _divert_last_words(log: Path) -> None:
    _flush_buffers()
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, LOG_MODE)
    except OSError:  # such as a run directory that has been taken away
        descriptor = os.open(os.devnull, os.O_WRONLY)
    os.dup2(descriptor, STDOUT)
    os.dup2(descriptor, STDERR)
