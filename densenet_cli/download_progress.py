"""How far a download is."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from typing_extensions import Self

SECONDS_BETWEEN_LINES = 10.0


class DownloadProgress:
    """A rich bar on a terminal, else a line at the beginning and one every ten seconds."""

    def __init__(self, screen: Console) -> None:
        self.screen = screen
        self._bar: Progress | None = None
        self.what = ""
        self.last_line = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, what: str, done: int, total: int) -> None:
        """Show how far it is; see `archspec.weights.download.ShowProgress`."""
        if self.screen.is_terminal and total:
            self._draw(what, done, total)
        elif what != self.what or time.monotonic() - self.last_line > SECONDS_BETWEEN_LINES:
            self.what, self.last_line = what, time.monotonic()
            progress = f"  {done:,} of {total:,} bytes" if total else ""
            self.screen.out(f"{what}{progress}", highlight=False)

    def _draw(self, what: str, done: int, total: int) -> None:
        if self._bar is None:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                DownloadColumn(),
                TransferSpeedColumn(),
                TimeRemainingColumn(),
                console=self.screen,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._bar.add_task(what, total=total, completed=done)
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=done)
