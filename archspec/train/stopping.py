"""Why a run ends, and signals that end it: the first one is noted, so that the loop can save; a
second one ends it at once.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NamedTuple

from archspec.signals import exception_of, signals_taken_by
from archspec.train.distributed.worker_group import is_supervised

EARLY_STOPPING, TIME_BUDGET, ON_REQUEST = "early_stopping", "time_budget", "on_request"
"""Why a run ends before its last epoch."""


class Requests(NamedTuple):
    """What is asked for after a step: a checkpoint, the end of the run, to leave it for now, and
    figures for who looks on.
    """

    to_save: bool
    to_end: bool
    to_leave: bool
    to_report: bool


class StopRequest:
    """What the signals so far ask for. The loop looks at it between steps."""

    def __init__(self, *, is_repeatable: bool = False) -> None:
        self.number: int | None = None
        """The signal that asked to stop."""
        self._is_worth_saving = False
        self._is_repeatable = is_repeatable

    @property
    def is_set(self) -> bool:
        """Was this process asked to stop?"""
        return self.number is not None

    def wait_for_save(self) -> None:
        """From now on there is something to save: a signal waits for the loop.

        Before, while the network is compiled, the first one ends the process at once.
        """
        self._is_worth_saving = True

    def exception(self) -> BaseException:
        """Return what the loop raises once it has saved: see `signals.exception_of`."""
        return exception_of(self.number or signal.SIGTERM)

    def take(self, number: int, frame: FrameType | None) -> None:
        """Note a signal, or raise what it stands for."""
        is_waited_for = self._is_worth_saving and self.number is None
        if not is_waited_for and not (self.is_set and self._is_repeatable):
            raise exception_of(number)
        self.number = self.number or number


@contextmanager
def take_stop_signals() -> Iterator[StopRequest]:
    """Yield what SIGINT, SIGTERM and SIGHUP ask for, until the block ends.

    Call it after `join_group`: MindSpore sets handlers of its own. For the rest see
    `signals.signals_taken_by`.
    """
    # A worker may be told twice, by its launcher and by a scheduler that tells all processes of a
    # job; the launcher ends it when it is time.
    request = StopRequest(is_repeatable=is_supervised())
    with signals_taken_by(request.take):
        yield request
