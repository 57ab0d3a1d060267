"""SIGINT, SIGTERM and SIGHUP: who takes them, what they are raised as, when they have to wait."""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PR_SET_PDEATHSIG = 1
"""Of Linux's prctl: the signal that a process gets when its parent ends."""


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


def be_killed_with_parent() -> None:
    """Have the kernel kill this process when its parent ends, however that ends: Linux alone can.

    Where the parent has ended before, nothing will come: ask `os.getppid` after the call.
    """
    if sys.platform != "linux":
        return
    import ctypes  # here: commands that start no process need it not

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
