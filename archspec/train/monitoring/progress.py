"""Events of a run: written as JSON lines, read back by a launcher,
and shown as one bar or as plain lines.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from typing_extensions import Self

from archspec.errors import TrainingError, format_count
from archspec.train.evaluation.measures import describe_main, read_figures, share_of

Event = Mapping[str, Any]

SECONDS_BETWEEN_LINES = 10.0


def append_event(path: Path, event: Event) -> None:
    """Add an event to a file of JSON lines.

    Raises:
        TrainingError: T002, the file cannot be written.
    """
    line = (json.dumps({"time": round(time.time(), 3), **event}) + "\n").encode()
    try:
        with path.open("ab", buffering=0) as file:
            start = file.tell()
            if file.write(line) < len(line):
                file.truncate(start)  # the half of a line would spoil the next one
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        raise TrainingError.one("T002", f"cannot be written: {error.strerror}", str(path)) from None


class EventTail:
    """Reads the events that have been added to a file since the last look."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offset = path.stat().st_size if path.exists() else 0

    def new(self) -> Iterator[Event]:
        """Yield whole new lines; one that is still being written waits for the next look."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self.offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self.offset += len(line)
                yield json.loads(line)


class Display:
    """Shows events: a rich bar on a terminal,
    else a plain line an epoch and one every ten seconds.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bar: Progress | None = None
        self.plan: Event = {}
        self.last_line = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def show(self, event: Event) -> None:
        """Show one event."""
        if event["event"] == "note":
            self.console.out(event["text"], highlight=False)
        elif event["event"] == "start":
            self._show_start(event)
        elif event["event"] == "step":
            self._show_step(event)
        elif event["event"] == "epoch":
            self._show_epoch(event)

    def _show_start(self, event: Event) -> None:
        self.plan = event
        for note in event.get("notes", ()):
            self.console.out(note, highlight=False)
        resumed = _describe_done(event["epochs_done"], event["steps_done"])
        is_over = event["epochs_done"] >= event["epochs"]
        comes = (
            "nothing is left to train" if is_over else "compiling the network with the first step"
        )
        self.console.print(
            f"{format_count(event['train_images'], 'image')} to train on, "
            f"{event['val_images']:,} to choose by; "
            f"{format_count(event['epochs'], 'epoch')} of {format_count(event['steps'], 'step')}, "
            f"global batch {event['global_batch']}{resumed}; "
            f"{comes}",
            highlight=False,
            soft_wrap=True,
        )
        if not self.console.is_terminal:
            return
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            console=self.console,
            # What else is printed goes to the log: see `runtime.divert_output`.
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self.bar.add_task("epoch 1", total=event["epochs"] * event["steps"], figures="")
        done = event["epochs_done"] * event["steps"] + event["steps_done"]
        self.bar.update(self.bar.task_ids[0], completed=done)
        self.bar.start()

    def _show_step(self, event: Event) -> None:
        figures = (
            f"loss {event['loss']:.3f}  accuracy {event['accuracy']:.1%}  "
            f"lr {event['learning_rate']:.3g}  {event['images_per_second']:.0f} images/s"
        )
        epoch = f"epoch {event['epoch']}/{self.plan['epochs']}"
        if self.bar is not None:
            done = (event["epoch"] - 1) * self.plan["steps"] + event["step"]
            self.bar.update(
                self.bar.task_ids[0], completed=done, description=epoch, figures=figures
            )
        elif time.monotonic() - self.last_line > SECONDS_BETWEEN_LINES:
            self._print_line(f"{epoch} step {event['step']}/{self.plan['steps']}  {figures}")

    def _show_epoch(self, event: Event) -> None:
        held_out = ""
        judged, averaged = read_figures(event, "val_"), read_figures(event, "ema_")
        if judged is not None:
            held_out = f"val loss {judged.loss:.4f}  val {describe_main(judged)}  "
        if averaged is not None:
            held_out += f"averaged {share_of(averaged):.2%}  "
        if "skipped_updates" in event:
            held_out += f"{format_count(event['skipped_updates'], 'update')} left out so far  "
        self._print_line(
            f"epoch {event['epoch']}/{self.plan['epochs']}  loss {event['loss']:.4f}  "
            f"accuracy {event['accuracy']:.2%}  {held_out}{event['seconds']:.1f} s"
        )

    def _print_line(self, text: str) -> None:
        self.last_line = time.monotonic()
        self.console.print(text, highlight=False, soft_wrap=True)


def _describe_done(epochs: int, steps: int) -> str:
    done = [format_count(epochs, "epoch")] if epochs else []
    done += [format_count(steps, "step")] if steps else []
    return f", {' and '.join(done)} done" if done else ""
