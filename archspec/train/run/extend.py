"""A run that goes on for more epochs, or fewer, than it was begun with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from archspec.errors import Place, TrainingError, format_count
from archspec.spec.override import Override
from archspec.train.monitoring.preview import run_rates
from archspec.train.monitoring.progress import read_whole_lines
from archspec.train.recipe.recipe import Recipe, load_recipe
from archspec.train.run.changes import refuse_changes
from archspec.train.run.run_directory import Run, change_recipe
from archspec.train.run.run_lock import lock_run


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come; `steps` of an epoch are 0 where it never began."""

    epochs: int = 0
    steps: int = 0


def change_epochs(run: Run, epochs: int, place: Place) -> tuple[Run, str]:
    """Give a run another number of epochs; return it, and the line that says what that does.

    Args:
        run: its recipe is written anew, all else stays.
        epochs: of the whole run, those that are done included.
        place: where the number was said.

    Raises:
        SpecError: the schedule does not allow it, such as a milestone beyond the end.
        TrainingError: S004, the run has done more epochs; T002, the recipe cannot be written; T016,
            it was edited since the run began; T017, another process trains there.
    """
    recipe, line = plan_epochs(run, epochs, place)
    if epochs != run.recipe.epochs:
        with lock_run(run):
            run = change_recipe(run, recipe)
    return run, line


def plan_epochs(run: Run, epochs: int, place: Place) -> tuple[Recipe, str]:
    """Return what `change_epochs` would write as the recipe, and say; nothing is written.

    Raises:
        SpecError: the schedule does not allow it.
        TrainingError: S004, the run has done more epochs; T016, it was edited since it began.
    """
    refuse_changes(run)
    done, old = _read_progress(run), run.recipe
    if epochs < done.epochs:
        rule = f"must be at least the {done.epochs} that the run has done"
        raise TrainingError.one("S004", f"epochs (={epochs}) {rule}", place)
    recipe = load_recipe(run.path / "recipe.yaml", [Override(("epochs", epochs), place)])
    return recipe, _describe_change(old, recipe, done)


def _read_progress(run: Run) -> Progress:
    """From the run's events: an epoch that they tell of is in its checkpoint."""
    try:
        lines = [json.loads(line) for line in read_whole_lines(run.metrics)]
        started = [_whole(line["steps"]) for line in lines if line["event"] == "start"]
        ended = [_whole(line["epoch"]) for line in lines if line["event"] == "epoch"]
    except FileNotFoundError:
        return Progress()
    except (OSError, ValueError, TypeError, KeyError):
        file = str(run.metrics)
        raise TrainingError.one("T004", "does not tell what the run has done", file) from None
    return Progress(max(ended, default=0), started[-1] if started else 0)


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**31:
        raise ValueError
    return value


def _describe_change(old: Recipe, new: Recipe, done: Progress) -> str:
    told = f"epochs: {old.epochs} -> {new.epochs}, {done.epochs} of them done"
    if done.epochs == new.epochs:
        return f"{told}: there is nothing left to learn"
    if not done.epochs * done.steps:
        return f"{told}; {old.schedule.kind}: the rates are those of {_count(new.epochs)}"
    before, after = run_rates(old, done.steps), run_rates(new, done.steps)
    at = done.epochs * len(after) // new.epochs
    shared = min(len(before), len(after))
    if before[:shared] == after[:shared]:
        return f"{told}; {old.schedule.kind}: the rate stays as it was, {after[at]:.4g} now"
    # Where the run has ended, what comes next is measured by its last rate.
    expected = before[min(at, len(before) - 1)]
    anew = f"the rates of what is left are those of a run of {_count(new.epochs)}"
    jump = f"epoch {done.epochs + 1} begins with {after[at]:.4g} instead of {expected:.4g}"
    if at >= len(before):
        jump = f"it jumps from {expected:.4g} to {after[at]:.4g}"
    return f"{told}; {old.schedule.kind}: {anew}: {jump}"


def _count(epochs: int) -> str:
    return format_count(epochs, "epoch")
