"""A run's figures as TensorBoard's event files, where the recipe asks for them.

They are written at once and without a thread: one would take signals that are the loop's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from archspec.runtime import import_tensorboard
from archspec.train.monitoring.progress import Event, Report

FOLDER = "tensorboard"
OF_STEPS = ("loss", "accuracy", "learning_rate", "images_per_second", "skipped_updates")
OF_EPOCHS = ("loss", "accuracy")
HEAD_BYTES, LENGTH_BYTES, TAIL_BYTES = 12, 8, 4
"""Of a record: its length and a check of that, the length alone, and a check of what it holds."""


def report_to_board(run_path: Path, report: Report, *, steps: int, done: int) -> Report:
    """Return a report that writes into the folder `tensorboard` of a run, too.

    `steps` are those of an epoch; of steps beyond `done`, which will be done anew, what the folder
    tells is taken away. Where it cannot be written any more, a note says so and the run goes on.

    Raises:
        EnvironmentFault: E009, tensorboardX is not installed.
    """
    import_tensorboard()
    board = _Board(run_path / FOLDER, steps, done)

    def report_both(event: Event) -> None:
        report(event)
        try:
            board.write(event)
        except OSError as error:
            board.is_broken = True
            told = f"{board.folder}: cannot be written: {error.strerror}; nothing more is written"
            report({"event": "note", "text": f"{told} for TensorBoard"})

    return report_both


class _Board:
    def __init__(self, folder: Path, steps: int, done: int) -> None:
        self.folder, self.steps, self.done = folder, steps, done
        self.is_broken = False
        self._writer: Any = None

    def write(self, event: Event) -> None:
        """Write the figures of a step or an epoch; raises OSError."""
        figures = dict(_list_figures(event))
        if self.is_broken or not figures:
            return
        if self._writer is None:
            self._writer = self._open()
        step = event["epoch"] * self.steps
        if event["event"] == "step":
            step += event["step"] - self.steps
        self._writer.write_event(_make_record(step, figures))
        self._writer.flush()

    def _open(self) -> Any:
        from tensorboardX.event_file_writer import (  # type: ignore[import-untyped]
            EventsWriter,
        )

        self.folder.mkdir(exist_ok=True)
        for file in sorted(self.folder.glob("*tfevents*")):
            drop_steps(file, self.done)
        # The second in the name may be that of the process before.
        name = str(self.folder / "events")
        return EventsWriter(name, f".{os.getpid()}.{time.monotonic_ns()}")


def _list_figures(event: Event) -> Iterator[tuple[str, float]]:
    """Tags and values: an epoch's own means go by another name than those of a few steps."""
    if event["event"] == "step":
        yield from ((name, float(event[name])) for name in OF_STEPS if name in event)
    if event["event"] != "epoch":
        return
    yield from ((f"epoch/{name}", float(event[name])) for name in OF_EPOCHS)
    for name, value in event.items():
        if name.startswith(("val_", "ema_")) and not name.endswith("_images"):
            yield name, float(value)


def _make_record(step: int, figures: Mapping[str, float]) -> Any:
    from tensorboardX.proto.event_pb2 import Event as Record  # type: ignore[import-untyped]
    from tensorboardX.proto.summary_pb2 import Summary  # type: ignore[import-untyped]

    values = [Summary.Value(tag=tag, simple_value=value) for tag, value in figures.items()]
    return Record(wall_time=time.time(), step=step, summary=Summary(value=values))


def drop_steps(path: Path, done: int) -> None:
    """Cut a file of records off before the first one of a step beyond `done`, or half a record."""
    with suppress(FileNotFoundError), path.open("r+b") as file:
        file.truncate(_find_end(file, done))


def _find_end(file: BinaryIO, done: int) -> int:
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from tensorboardX.proto.event_pb2 import Event as Record

    size = os.fstat(file.fileno()).st_size
    end = 0
    while len(head := file.read(HEAD_BYTES)) == HEAD_BYTES:
        length = int.from_bytes(head[:LENGTH_BYTES], "little")
        after = end + HEAD_BYTES + length + TAIL_BYTES
        if after > size:
            break
        try:
            record = Record.FromString(file.read(length))
        except DecodeError:
            break
        if record.step > done:
            break
        end = after
        file.seek(end)
    return end
