"""A run's events on the screen: one bar on a terminal, else plain lines, and lines in its log."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from typing_extensions import Self

from archspec.errors import format_count, make_printable
from archspec.train.monitoring.lines import (
    GAP,
    WIDTH,
    describe_epoch,
    describe_phase,
    describe_start,
    describe_step,
    fit,
    format_seconds,
)
from archspec.train.monitoring.pace import Pace
from archspec.train.monitoring.progress import Event

FIRST_PAUSE, LONGEST_PAUSE = 10.0, 60.0
"""Seconds between two plain lines: the longer a run lasts, the fewer."""
LEAST_BAR = 8


class Display:
    """Shows events; `log` gets each line too, for who comes back when the terminal is gone."""

    def __init__(self, console: Console, log: Path | None = None) -> None:
        self.console, self.log = console, log
        self.bar: Live | None = None
        self.plan: Event = {}
        self.pace = Pace(1, 1)
        self.epoch, self.done = 1, 0
        """The one that goes on, from 1; steps of the run."""
        self.phase: Event = {}
        self.phase_since = self.began = self.last_line = time.monotonic()
        self.figures: list[str] = []
        self.left_out = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def show(self, event: Event) -> None:
        """Show one event."""
        shows = {
            "note": self._show_note,
            "phase": self._show_phase,
            "start": self._show_start,
            "step": self._show_step,
            "epoch": self._show_epoch,
            "end": self._show_end,
        }
        if event["event"] in shows:
            shows[event["event"]](event)

    def _show_note(self, event: Event) -> None:
        self.console.out(make_printable(event["text"]), highlight=False)

    def _show_start(self, event: Event) -> None:
        self.plan = event
        for note in event.get("notes", ()):
            self.console.out(make_printable(note), highlight=False)
        for line in describe_start(event):
            self._print_line(line)
        self.pace = Pace(event["epochs"], event["steps"], event.get("validate_every", 1))
        self.done = event["epochs_done"] * event["steps"] + event["steps_done"]
        self.epoch = min(event["epochs_done"] + 1, event["epochs"])
        self.phase = {}
        self._start_bar()

    def _show_phase(self, event: Event) -> None:
        now = time.monotonic()
        # Processes that ended before they had begun are started again.
        if event["phase"] == "starting" or event["phase"] != self.phase.get("phase"):
            self.phase_since = now
            if event["phase"] in ("starting", "compiling") and not self.console.is_terminal:
                self._print_line(describe_phase(event))
        elif self._is_line_due(now):
            words = describe_phase(event, now - self.phase_since)
            self._print_line(f"{self._name_epoch()}{GAP}{words}")
        self.phase = event
        if event["phase"] == "validating":
            self.pace.begin_validation(now)
        if event["phase"] == "training":
            self.pace.begin_steps(self.done + 1, now)
        self._start_bar()

    def _show_step(self, event: Event) -> None:
        now, steps = time.monotonic(), self.plan["steps"]
        self.epoch, self.phase = event["epoch"], {}
        self.done = (event["epoch"] - 1) * steps + event["step"]
        self.pace.note_steps(self.done, now)
        self.figures = describe_step(event)
        if self._is_line_due(now):
            where = f"{self._name_epoch()} step {event['step']}/{steps}"
            self._print_line(fit([where, *self.figures], WIDTH))

    def _show_epoch(self, event: Event) -> None:
        self.phase = {}
        self._print_line(describe_epoch(event, self.plan["epochs"]))
        left_out = event.get("skipped_updates", 0)
        if left_out > self.left_out:
            self._print_line(f"{format_count(left_out, 'update')} left out so far")
        self.left_out = left_out
        self.pace.begin_steps(self.done, time.monotonic())

    def _show_end(self, event: Event) -> None:
        self.phase = {"phase": "ending"}
        self.phase_since = time.monotonic()

    def _name_epoch(self) -> str:
        epochs = str(self.plan["epochs"])
        return f"epoch {self.epoch:>{len(epochs)}}/{epochs}"

    def _is_line_due(self, now: float) -> bool:
        pause = min(max(FIRST_PAUSE, (now - self.began) / 100), LONGEST_PAUSE)
        return self.bar is None and now - self.last_line > pause

    def _print_line(self, text: str) -> None:
        self.last_line, text = time.monotonic(), make_printable(text)
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)
        if self.log is not None:
            # The log is for later; a full disk is told by what a run needs.
            with suppress(OSError), self.log.open("a", encoding="utf-8") as file:
                file.write(f"{text}\n")

    # ---- the bar

    def _start_bar(self) -> None:
        if self.bar is not None or not self.console.is_terminal:
            return
        self.bar = Live(
            console=self.console,
            get_renderable=self._draw_bar,
            refresh_per_second=4,
            transient=True,
            # What else is printed goes to the log: see `screen.divert_output`.
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self.bar.start()

    def _draw_bar(self) -> RenderableType:
        """One line: the epoch, a bar as long as there is room for, figures or what is done
        instead, and the time that is left.
        """
        now = time.monotonic()
        words = describe_phase(self.phase, now - self.phase_since) if self.phase else ""
        if not self.plan:
            return Text(words)
        name, remaining = self._name_epoch(), self.pace.remaining(self.done)
        left = ""
        if remaining:
            left = f"{GAP}{format_seconds(max(remaining, 1))} left"
        # The last column stays free: some terminals go on in the next line behind it.
        room = self.console.width - len(f"{name}   {left} ")
        right = fit([words] if words else self.figures, room - LEAST_BAR)
        total = self.plan["epochs"] * self.plan["steps"]
        length = max(room - len(right), LEAST_BAR)
        bar = ProgressBar(total=total, completed=self.done, width=length)
        grid = Table.grid(padding=(0, 1))
        for _ in range(3):
            grid.add_column(no_wrap=True)
        grid.add_row(Text(name), bar, Text(f"{right}{left}"))
        return grid
