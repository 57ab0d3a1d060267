"""What a run would be, in words: recipe, data, steps and rates, before anything is made."""

from __future__ import annotations

from pathlib import Path

from archspec.errors import format_count, make_printable
from archspec.train.data.sources.data_parts import Splits
from archspec.train.planning import Plan
from archspec.train.recipe.recipe import Recipe
from archspec.train.recipe.scaling import count_steps
from archspec.train.recipe.schedule import learning_rates
from archspec.train.run.position import Position
from archspec.train.run.recovery import find_newest
from archspec.train.run.run_directory import Run
from archspec.weights.formats.ckpt import read_checkpoint


def describe_plan(plan: Plan, path: Path) -> list[str]:
    """Return the lines of a dry run in the run directory `path`."""
    recipe, world = plan.recipe, plan.settings.world
    steps = count_steps(recipe, len(plan.splits.train), world)
    spec, size = plan.spec, plan.spec.input
    network = f"{spec.name}: {format_classes(spec.head.num_classes)}"
    return [
        f"{network}, images {size.height} x {size.width}",
        plan.recipe_line,
        *plan.notes,
        _describe_data(plan.splits),
        *plan.splits.notes,
        f"steps: {steps:,} an epoch, {steps * recipe.epochs:,} in all",
        _describe_rates(run_rates(recipe, steps), recipe.epochs),
        f"run directory {make_printable(str(path))}",
    ]


def describe_resumption(run: Run, splits: Splits, recipe: Recipe, devices: int) -> list[str]:
    """Return the lines of a dry run that goes on on so many devices; `recipe` may be for more
    epochs than the run's, or other devices.

    A damaged `last.ckpt` is left where it is, and only said to be one.

    Raises:
        ModelFileError: R001, the checkpoint cannot be read.
        TrainingError: T018, there are checkpoints, and none is whole.
    """
    size = run.spec.input
    steps = count_steps(recipe, len(splits.train), devices)
    newest = find_newest(run)
    position = Position() if newest is None else Position.of(read_checkpoint(newest))
    position = position.under(recipe.keep.by, recipe.batch_size, recipe.accumulate, devices)
    done = position.epoch * steps + position.batches
    left = max(recipe.epochs * steps - done, 0)
    return [
        f"{run.spec.name}: {format_classes(run.spec.head.num_classes)}, "
        f"images {size.height} x {size.width}",
        _describe_data(splits),
        f"run directory {make_printable(str(run.path))}",
        *_describe_checkpoint(run, newest),
        f"done: {position.epoch} of {format_count(recipe.epochs, 'epoch')}"
        f" and {position.batches:,} of {steps:,} steps of the next; {left:,} steps are left",
        *_describe_rates_left(run_rates(recipe, steps), done // recipe.accumulate),
    ]


def _describe_checkpoint(run: Run, newest: Path | None) -> list[str]:
    if newest is None:
        return ["there is no checkpoint yet: training begins anew"]
    if newest == run.last:
        return []
    what = "damaged" if run.last.is_file() else "gone"
    return [f"{run.last.name} is {what}: a real start goes on from {newest.name}, the one before"]


def _describe_rates_left(rates: list[float], updates: int) -> list[str]:
    left = rates[updates:]
    if not left:
        return ["there is nothing left to learn"]
    return [f"rate: {left[0]:.4g} now, {left[-1]:.4g} at last"]


def format_classes(number: int) -> str:
    """Return `1 class` or `10 classes`."""
    return "1 class" if number == 1 else f"{number:,} classes"


def run_rates(recipe: Recipe, steps: int) -> list[float]:
    """Return the rate of each update of a whole run of so many steps an epoch."""
    updates = steps // recipe.accumulate
    return learning_rates(recipe.schedule, epochs=recipe.epochs, steps_per_epoch=updates)


def _describe_data(splits: Splits) -> str:
    parts = [
        f"{format_count(len(splits.train), 'image')} to learn from",
        f"{len(splits.val):,} to choose by",
    ]
    if splits.test is not None:
        parts.append(f"{len(splits.test):,} to judge with")
    return f"data {splits.kind}: {', '.join(parts)}; {format_classes(len(splits.classes))}"


def _describe_rates(rates: list[float], epochs: int) -> str:
    """The first, the highest and the last rate; the highest with the first epoch that has it."""
    highest = max(rates)
    epoch = rates.index(highest) * epochs // len(rates) + 1
    ends = f"{rates[0]:.4g} at first, {rates[-1]:.4g} at last"
    return f"rate: {ends}, highest {highest:.4g} in epoch {epoch}"
