"""How far a command is that looks at many images: a bar on standard error."""

from __future__ import annotations

import os
from contextlib import ExitStack

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from typing_extensions import Self

from archspec.screen import STDERR
from archspec.signals import raise_for_signal, take_signals

FEW = 100
"""So many images are done before a bar could be read."""


class ImageProgress:
    """Draws a bar where standard error is a terminal and there are more than a few images.

    Opened before output is diverted (`quiet_screen`), it goes on to reach the screen.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._bar: Progress | None = None
        self._is_begun = False

    def __enter__(self) -> Self:
        if os.isatty(STDERR):
            stream = os.fdopen(os.dup(STDERR), "w", encoding="utf-8", errors="replace")
            console = Console(file=self._stack.enter_context(stream))
            columns = (TextColumn("images"), BarColumn(), MofNCompleteColumn())
            self._bar = Progress(
                *columns,
                TimeRemainingColumn(),
                console=console,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
        self._stack.close()

    def show(self, done: int, total: int) -> None:
        """Show how many images are done, and of how many."""
        if not self._is_begun:
            # What was imported is there: from now on a bar may have to be taken away.
            take_signals(raise_for_signal)
            self._is_begun = True
        if self._bar is None or total <= FEW:
            return
        if not self._bar.task_ids:
            self._bar.add_task("images", total=total)
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=done)
