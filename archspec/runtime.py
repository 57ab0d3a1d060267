"""What must hold before and around MindSpore:
its environment variables, signals, and a quiet screen.
"""

from __future__ import annotations

import _thread
import atexit
import ctypes
import errno
import importlib
import importlib.util
import io
import os
import platform
import signal
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from rich.console import Console

from archspec.errors import EnvironmentFault, make_printable

STDOUT, STDERR = 1, 2
LOG_MODE = 0o644
ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SIGNALS_OF_LOST_READERS = {errno.EPIPE: signal.SIGPIPE, errno.EIO: signal.SIGHUP}
"""Failures to write where nobody reads any more,
and the signals that other programs end by there."""


def prepare() -> None:
    """Set the environment that MindSpore reads at import; call it before.
    What the user has set wins.

    Raises EnvironmentFault (E001) where MindSpore is not installed.
    """
    if importlib.util.find_spec("mindspore") is None:
        cure = "pip install 'mindspore==2.10.*' on Python 3.10, 3.11 or 3.12"
        raise EnvironmentFault.one("E001", "MindSpore is not installed", sys.executable, cure)
    # With AVX-512 oneDNN runs 3x3 convolutions of plain layout in a reference kernel, 20 to 80
    # times slower.
    chosen_by_user = {"ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"} & os.environ.keys()
    if platform.machine().lower() in ("x86_64", "amd64") and not chosen_by_user:
        os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX2"
    # Errors only: MindSpore warns dozens of times in a healthy run.
    os.environ.setdefault("GLOG_v", "3")


def import_onnx_runtime() -> Any:
    """Return the package that runs ONNX models. Raises EnvironmentFault (E009)."""
    return _import_optional("onnxruntime", "runs ONNX models", "onnxruntime")


def import_tensorboard() -> Any:
    """Return the package that writes TensorBoard's event files. Raises EnvironmentFault (E009)."""
    use = "writes event files (`tensorboard: true`)"
    return _import_optional("tensorboardX", use, "'densenet-archspec[tensorboard]'")


def import_opencv() -> Any:
    """Return the package that prepares training images quickly. Raises EnvironmentFault (E009)."""
    use = "prepares training images (`data.image_backend: opencv`)"
    wanted = "'densenet-archspec[opencv]'"
    cv2 = _import_optional("cv2", use, wanted)
    if hasattr(cv2, "IMREAD_COLOR_RGB"):
        return cv2
    message = f"cv2, which {use}, is {cv2.__version__}, older than 4.11"
    raise EnvironmentFault.one("E009", message, sys.executable, f"pip install {wanted}")


def _import_optional(name: str, use: str, wanted: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        message = f"{name}, which {use}, is not installed"
        raise EnvironmentFault.one(
            "E009", message, sys.executable, f"pip install {wanted}"
        ) from None


def cache_folder() -> Path:
    """Return `DENSENET_CACHE`, else `densenet-archspec` in `XDG_CACHE_HOME` or in `~/.cache`.

    Raises:
        EnvironmentFault: E008, the user has no home folder, and the environment names no other.
    """
    own, xdg = os.environ.get("DENSENET_CACHE"), os.environ.get("XDG_CACHE_HOME", "")
    if own:
        return Path(os.path.expanduser(own)).absolute()
    parent = xdg if os.path.isabs(xdg) else os.path.expanduser("~/.cache")
    if not os.path.isabs(parent):
        raise EnvironmentFault.one(
            "E008", "there is no home folder for the cache", hint="set DENSENET_CACHE to a folder"
        )
    return Path(parent) / "densenet-archspec"


def take_signals(handler: Callable[[int, FrameType | None], None]) -> None:
    """Have a handler take SIGINT, SIGTERM and SIGHUP; one that is ignored (nohup) stays so."""
    for number in ENDING_SIGNALS:
        if signal.getsignal(number) not in (None, signal.SIG_IGN):
            signal.signal(number, handler)


def exit_at_once(number: int, frame: FrameType | None) -> None:
    """End the process at once: for as long as nothing has been made that would want tidying up.

    An exception would do harm in the middle of importing an extension module.
    """
    os._exit(128 + number)


def raise_for_signal(number: int, frame: FrameType | None) -> None:
    """Raise what the signal stands for."""
    raise exception_of(number)


def watch_interrupts() -> None:
    """Keep SIGINT from MindSpore, whose own handler makes a SIGTERM of it;
    call before anything starts threads.

    All threads block it but one, which waits for it and has Python's
    handler called in the main thread.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    threading.Thread(target=_pass_on_interrupts, daemon=True).start()


def _pass_on_interrupts() -> None:
    while True:
        signal.sigwait([signal.SIGINT])
        _thread.interrupt_main()


def exception_of(number: int) -> BaseException:
    """Return what a signal is raised as: KeyboardInterrupt for SIGINT,
    else SystemExit with 128 + number.
    """
    return KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number)


@contextmanager
def signals_taken_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Have a handler take SIGINT, SIGTERM and SIGHUP until the block ends; see `take_signals`.

    Nothing is changed in another thread than the main one, which alone may set handlers.
    """
    former = {}
    if threading.current_thread() is threading.main_thread():
        former = {number: signal.getsignal(number) for number in ENDING_SIGNALS}
        take_signals(handler)
    try:
        yield
    finally:
        for number, before in former.items():
            if before is not None:  # no handler of Python's, which was left alone
                signal.signal(number, before)


@contextmanager
def collect_signals() -> Iterator[list[int]]:
    """Yield a list to which SIGINT, SIGTERM and SIGHUP are added instead of doing what they did."""
    noted: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        noted.append(number)

    with signals_taken_by(note):
        yield noted


@contextmanager
def hold_interrupts() -> Iterator[None]:
    """Let SIGINT, SIGTERM and SIGHUP wait until the block has ended,
    then raise them (see `exception_of`).
    """
    with collect_signals() as noted:
        yield
    if noted:
        raise exception_of(noted[0])


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
    return os.get_terminal_size(screen).columns


def _flush_buffers() -> None:
    """Empty Python's and C's buffers, so that each text lands where it was meant to."""
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
