"""The figures of a run epoch by epoch, read from its events, also while it goes on."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from archspec.errors import TrainingError
from archspec.train.evaluation.measures import read_figures
from archspec.train.run.run_directory import Run, open_run

MOST_BYTES_OF_A_LINE = 1_000_000
MOST_EPOCHS = 2**31
OF_STEPS = ("learning_rate", "images_per_second")
"""Figures that the events of steps have; an epoch has those of its last ones."""
OTHER_KEYS = {"epoch", "time", "is_best", "val_images", "ema_images"}
"""Of an epoch's event, which are no figures."""


@dataclass(frozen=True)
class Curves:
    """What is known of a run."""

    name: str
    epochs: int
    """How many it is to have."""
    figures: Mapping[int, Mapping[str, float]]
    """By the epochs that are done, from 1, in their order."""
    best: int | None
    """The best of them so far, by the figure that the run's recipe keeps checkpoints by; None where
    none was validated."""
    main: str
    """What tells how good a validated epoch is, such as `top1`."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of all figures."""
        names = dict.fromkeys(name for figures in self.figures.values() for name in figures)
        return tuple(names)

    def points(self, metric: str) -> list[tuple[int, float]]:
        """Return epochs and values of a figure, of epochs that have it as a number."""
        found = []
        for epoch, figures in self.figures.items():
            if math.isfinite(figures.get(metric, math.nan)):
                found.append((epoch, figures[metric]))
        return found


@dataclass
class _Reading:
    """What the events so far come to."""

    lines: int = 0
    epochs: int = 1
    figures: dict[int, dict[str, float]] = field(default_factory=dict)
    steps: dict[str, float] = field(default_factory=dict)
    bests: list[int] = field(default_factory=list)
    """Epochs that were the best when they ended; the last is it now."""
    main: str = "top1"

    def take(self, event: Mapping[str, Any]) -> None:
        """Take an event; raises ValueError, KeyError or TypeError where it is none."""
        if event["event"] == "start":
            self.epochs = _count(event["epochs"])
            # What was done beyond that is lost, and done anew.
            done = _count(event["epochs_done"])
            self.figures = {epoch: self.figures[epoch] for epoch in self.figures if epoch <= done}
            self.bests = [epoch for epoch in self.bests if epoch <= done]
        elif event["event"] == "step":
            self.steps |= {name: float(event[name]) for name in OF_STEPS if name in event}
        elif event["event"] == "epoch":
            self._take_epoch(event)

    def _take_epoch(self, event: Mapping[str, Any]) -> None:
        number = _count(event["epoch"])
        figures = {}
        for name, value in event.items():
            if type(value) in (int, float) and name not in OTHER_KEYS:
                figures[name] = float(value)
        self.figures.pop(number, None)
        self.figures[number] = {**figures, **self.steps}
        self.steps = {}
        judged = read_figures(event, "val_")
        if judged is None:
            return
        self.main = judged.main
        if event.get("is_best", self._is_better(number)):
            self.bests.append(number)

    def _is_better(self, number: int) -> bool:
        """For a run that began under a version whose events do not tell the best epoch."""
        name = f"val_{self.main}"
        best = self.figures[self.bests[-1]][name] if self.bests else -math.inf
        return self.figures[number][name] >= best


def read_curves(path: Path, name: str) -> Curves:
    """Return what the events in a file say; `name` is the run's in a legend.

    A last line that is still being written is left for the next look, and of an epoch that was
    repeated the later counts. There may be no epoch yet.

    Raises:
        TrainingError: T004, the file cannot be read, or holds something else.
    """
    reading = _Reading()
    try:
        for line in _whole_lines(path):
            reading.lines += 1
            reading.take(json.loads(line))
    except FileNotFoundError:
        pass
    except OSError as error:
        raise TrainingError.one("T004", f"cannot be read: {error.strerror}", str(path)) from None
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
        message = f"line {reading.lines} is no event of a run"
        raise TrainingError.one("T004", message, str(path)) from None
    figures = dict(sorted(reading.figures.items()))
    best = reading.bests[-1] if reading.bests else None
    return Curves(name, reading.epochs, figures, best, reading.main)


def _whole_lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while line := file.readline(MOST_BYTES_OF_A_LINE + 1):
            if len(line) > MOST_BYTES_OF_A_LINE:
                yield b""  # no event
            if line.endswith(b"\n"):
                yield line


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < MOST_EPOCHS:
        raise ValueError
    return value


def choose_metrics(curves: Sequence[Curves], wanted: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Return which figures are drawn in which panel, those of training before those of validation;
    `wanted` in panels of their own, else loss, accuracy and rate.

    Raises:
        TrainingError: T021, no epoch has a figure that is wanted.
    """
    known = sorted({name for each in curves for name in each.metrics})
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise TrainingError.one(
            "T021",
            f"no epoch has a figure called {', '.join(unknown)}",
            "",
            f"there are: {', '.join(known)}",
        )
    if wanted:
        return tuple((name,) for name in dict.fromkeys(wanted))
    figures = dict.fromkeys(each.main for each in curves)
    mains = [f"val_{name}" for name in figures]
    usual = (("loss", "val_loss"), ("accuracy", *mains), ("learning_rate",))
    panels: list[tuple[str, ...]] = []
    for panel in usual:
        panels.append(tuple(name for name in panel if name in known))
    if not any(panels):
        hint = f"--metric NAME; there are: {', '.join(known)}" if known else ""
        raise TrainingError.one("T021", "no epoch has a loss, an accuracy or a rate", "", hint)
    return tuple(panel for panel in panels if panel)


def _open(path: Path) -> Run:
    """As `open_run`, and says what to do with a folder of runs."""
    if any(path.glob("*/run.json")) and not (path / "run.json").exists():
        message = "holds run directories, and is none"
        raise TrainingError.one("T004", message, str(path), f"name them: {path}/*")
    return open_run(path)


def read_runs(paths: Sequence[Path]) -> tuple[tuple[Curves, ...], tuple[str, ...]]:
    """Return the curves of run directories that have done an epoch, and a note for each other.

    Each is called as its folder, where two folders are called alike by its path.

    Raises:
        TrainingError: T004, some are no run directories, or their events cannot be read, all of
            them at once; T021, none has done an epoch.
    """
    paths = tuple(dict.fromkeys(paths))
    names = [path.resolve().name for path in paths]
    faults: list[TrainingError] = []
    found, notes = [], []
    for path, name in zip(paths, names, strict=True):
        try:
            run = _open(path)
            curves = read_curves(run.metrics, str(path) if names.count(name) > 1 else name)
        except TrainingError as error:
            faults.append(error)
            continue
        if curves.figures:
            found.append(curves)
        else:
            notes.append(f"{path}: no epoch is done yet")
    if faults:
        raise TrainingError(diagnostic for fault in faults for diagnostic in fault.diagnostics)
    if not found:
        named = ", ".join(str(path) for path in paths)
        hint = "a run tells of an epoch at its end"
        raise TrainingError.one("T021", "no epoch is done yet", named, hint)
    return tuple(found), tuple(notes)
