"""Where the time of a step goes, operator by operator: MindSpore's own profiler over some steps."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from archspec.errors import TrainingError
from archspec.files import write_atomic
from archspec.train.callbacks import Callback

if TYPE_CHECKING:
    from archspec.train.trainer import Trainer

COMPILED_BY = 2
"""Steps that are left out: the network is compiled in the first, memory is found in both."""
STEPS = 10
"""Steps that are looked at; fewer where the epoch has no more."""


class OperatorTime(NamedTuple):
    """What one kind of MindSpore's operators takes of a step."""

    operator: str
    calls: float
    """Of a step."""
    milliseconds: float
    """Of a step, all its calls together."""


class _Columns(NamedTuple):
    """A table of MindSpore's profiler: where it lies, what its columns are called."""

    pattern: str
    operator: str
    calls: str
    total: str
    milliseconds: float
    """In one unit of `total`."""


TABLES = (
    _Columns(
        "*/FRAMEWORK/cpu_op_type_info_*.csv", "op_type", "type_occurrences", "total_compute_time", 1
    ),
    # As CANN's documentation has it; no Ascend device was at hand to see one.
    _Columns(
        "*/ASCEND_PROFILER_OUTPUT/op_statistic*.csv", "OP Type", "Count", "Total Time(us)", 1e-3
    ),
)
"""MindSpore 2.10 writes the first on a CPU, the second on Ascend."""


class OperatorTimes(Callback):
    """Profiles steps of a run in this process; a run that goes on may be profiled again.

    MindSpore's own files, a timeline for MindStudio Insight or a browser's tracing page among them,
    are left in `profile` in the run's folder, and beside them `operators.csv`. `tell` is called as
    soon as the times are there: the run may go on for hours.
    """

    def __init__(
        self, tell: Callable[[OperatorTimes], None] | None = None, steps: int = STEPS
    ) -> None:
        self.tell = tell
        self.wanted = steps
        self.seen = 0
        """Steps of this process."""
        self.profiled = 0
        self.milliseconds = 0.0
        """Of a step by the clock, images and all."""
        self.table: tuple[OperatorTime, ...] = ()
        """The slowest first; empty where the run ended before a step could be looked at."""
        self.fault = ""
        """Why what was looked at makes no table: no reason to end a run."""
        self._profiler: Any = None
        self._began = 0.0

    def on_train_begin(self, training: Trainer) -> None:
        """Make the folder before an hour was trained for it."""
        self.folder = training.run.path / "profile"
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            message = f"the folder of the profile cannot be made: {error.strerror}"
            raise TrainingError.one("T002", message, str(self.folder)) from None

    def on_epoch_begin(self, training: Trainer) -> None:
        """Begin where the epoch before ended too early for it."""
        if self._is_due:
            self._begin()

    def on_step_end(self, training: Trainer, loss: Any) -> None:
        """Begin behind the steps that compile, end behind the last one wanted."""
        self.seen += 1
        is_last = training.position.batches == training.steps
        if self._profiler is not None:
            self.profiled += 1
            if is_last or self.profiled == self.wanted:
                loss.asnumpy()  # a device may go on with a step that has returned
                self._end()
        elif not is_last and self._is_due:
            loss.asnumpy()
            self._begin()

    def on_train_end(self, training: Trainer, figures: Mapping[str, float]) -> None:
        """A run that was stopped amid the steps tells nothing: validation came after them."""
        self.leave()

    def leave(self) -> None:
        """End the profiler where a run was left amid the steps; without a word."""
        if self._profiler is not None:
            self._profiler.stop()
            self._profiler = None

    @property
    def is_done(self) -> bool:
        """Whether steps were looked at, whatever came of it."""
        return bool(self.table or self.fault)

    @property
    def _is_due(self) -> bool:
        return not self.is_done and self.seen >= COMPILED_BY

    def _begin(self) -> None:
        from mindspore import profiler

        self._profiler = profiler.profile(
            start_profile=False,
            on_trace_ready=profiler.tensorboard_trace_handler(str(self.folder)),
        )
        self._profiler.start()
        self._began = time.monotonic()

    def _end(self) -> None:
        seconds = time.monotonic() - self._began
        self._profiler.stop()
        self._profiler = None
        self.milliseconds = seconds * 1000 / self.profiled
        try:
            self.table = read_operator_times(self.folder, self.profiled)
            self._write_table()
        except (TrainingError, OSError) as error:
            self.fault = str(error)
        if self.tell is not None:
            self.tell(self)

    def _write_table(self) -> None:
        lines = ["operator,calls_per_step,milliseconds_per_step"]
        for row in self.table:
            lines.append(f"{row.operator},{row.calls:g},{row.milliseconds:.4f}")
        write_atomic(self.folder / "operators.csv", "\n".join(lines) + "\n")


def read_operator_times(folder: Path, steps: int) -> tuple[OperatorTime, ...]:
    """Return what the newest profile in a folder says of each kind of operator, slowest first.

    Raises:
        TrainingError: T002, MindSpore wrote no table that is known here.
    """
    message = "MindSpore's profiler wrote no table of operators that is known here"
    fault = TrainingError.one("T002", message, str(folder), "its own files are there")
    for columns in TABLES:
        files = sorted(folder.glob(columns.pattern), key=lambda file: file.stat().st_mtime)
        if not files:
            continue
        try:
            with files[-1].open(encoding="utf-8", newline="") as file:
                return _sum_rows(csv.DictReader(file), columns, steps)
        except (KeyError, ValueError, TypeError):
            raise fault from None
    raise fault


def _sum_rows(
    rows: Iterable[Mapping[str, str]], columns: _Columns, steps: int
) -> tuple[OperatorTime, ...]:
    """Ascend's table has a row for each kind of core too."""
    calls: dict[str, float] = {}
    spent: dict[str, float] = {}
    for row in rows:
        name = row[columns.operator]
        calls[name] = calls.get(name, 0) + float(row[columns.calls]) / steps
        total = float(row[columns.total]) * columns.milliseconds
        spent[name] = spent.get(name, 0) + total / steps
    slowest = sorted(spent, key=lambda name: -spent[name])
    return tuple(OperatorTime(name, calls[name], spent[name]) for name in slowest)
