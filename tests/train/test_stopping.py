"""Signals that end a run: real ones, sent to a process of our own."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from archspec.train.stopping import take_stop_signals

BODY = """
import os, signal, sys
from archspec.train.stopping import take_stop_signals

def ask(number):
    os.kill(os.getpid(), number)

# Whoever runs the tests may ignore them.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)

with take_stop_signals() as stop:
    stop.wait_for_save()
    first, *others = (getattr(signal, name) for name in sys.argv[1:])
    ask(first)
    print("asked", stop.is_set, flush=True)
    for number in others:
        ask(number)
    print("saved", flush=True)
    raise stop.exception()
"""
NUMBERS = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129}


def end(*names: str, **environment: str) -> tuple[list[str], int]:
    """Return what a process prints that is sent these signals, and its exit code."""
    done = subprocess.run(
        [sys.executable, "-c", BODY, *names],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.splitlines(), done.returncode


@pytest.mark.parametrize("name", NUMBERS)
def test_the_first_signal_lets_the_loop_save(name):
    """And ends the process then, as that signal does: Python itself ends by SIGINT."""
    lines, code = end(name)
    assert lines == ["asked True", "saved"]
    assert code == (-signal.SIGINT if name == "SIGINT" else NUMBERS[name])


@pytest.mark.parametrize("names", [("SIGTERM", "SIGTERM"), ("SIGINT", "SIGTERM")])
def test_a_second_signal_leaves_at_once(names):
    """Unsaved, by the second one's code."""
    assert end(*names) == (["asked True"], NUMBERS[names[1]])


def test_a_worker_that_is_told_twice_still_saves():
    """By its launcher, and by a scheduler that tells all processes of a job."""
    lines, code = end("SIGTERM", "SIGTERM", "SIGHUP", ARCHSPEC_SUPERVISOR="1:x")
    assert (lines, code) == (["asked True", "saved"], 143)


def test_before_there_is_anything_to_save_the_first_signal_leaves_at_once():
    """While the network is compiled, which may take minutes."""
    with pytest.raises(SystemExit) as caught, take_stop_signals() as stop:
        signal.raise_signal(signal.SIGTERM)
    assert (caught.value.code, stop.is_set) == (143, False)


def test_a_signal_that_is_ignored_stays_ignored_and_handlers_come_back():
    """`nohup` means it."""
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    before = signal.getsignal(signal.SIGTERM)
    try:
        with take_stop_signals() as stop:
            stop.wait_for_save()
            signal.raise_signal(signal.SIGHUP)
            assert not stop.is_set
            assert signal.getsignal(signal.SIGTERM) == stop.take
        assert signal.getsignal(signal.SIGTERM) == before
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, former)


def test_in_another_thread_nothing_is_asked():
    """Python lets the main thread alone set handlers: a notebook's worker trains all the same."""
    found = []

    def train() -> None:
        with take_stop_signals() as stop:
            found.append(stop.is_set)

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert found == [False]
