"""What a run would be, in words: recipe, data, steps and rates, before anything is made."""

from __future__ import annotations

from pathlib import Path

from archspec.errors import format_count
from archspec.train.data.source import Splits
from archspec.train.planning import Plan
from archspec.train.recipe.model import Recipe
from archspec.train.recipe.scaling import count_steps
from archspec.train.recipe.schedule import learning_rates


def describe_plan(plan: Plan, path: Path) -> list[str]:
    """Return the lines of a dry run in the run directory `path`."""
    recipe, devices = plan.recipe, plan.settings.devices
    steps = count_steps(recipe, len(plan.splits.train), devices)
    spec, size = plan.spec, plan.spec.input
    network = f"{spec.name}: {format_classes(spec.head.num_classes)}"
    return [
        f"{network}, images {size.height} x {size.width}",
        plan.recipe_line,
        *plan.notes,
        f"data {plan.splits.kind}: {_describe_parts(plan.splits)}",
        *plan.splits.notes,
        f"steps: {steps:,} an epoch, {steps * recipe.epochs:,} in all",
        _describe_rates(run_rates(recipe, steps), recipe.epochs),
        f"run directory {path}",
    ]


def format_classes(number: int) -> str:
    """Return `1 class` or `10 classes`."""
    return "1 class" if number == 1 else f"{number:,} classes"


def run_rates(recipe: Recipe, steps: int) -> list[float]:
    """Return the rate of each update of a whole run of so many steps an epoch."""
    updates = steps // recipe.accumulate
    return learning_rates(recipe.schedule, epochs=recipe.epochs, steps_per_epoch=updates)


def _describe_parts(splits: Splits) -> str:
    parts = [
        f"{format_count(len(splits.train), 'image')} to learn from",
        f"{len(splits.val):,} to choose by",
    ]
    if splits.test is not None:
        parts.append(f"{len(splits.test):,} to judge with")
    return f"{', '.join(parts)}; {format_classes(len(splits.classes))}"


def _describe_rates(rates: list[float], epochs: int) -> str:
    """The first, the highest and the last rate; the highest with the first epoch that has it."""
    highest = max(rates)
    epoch = rates.index(highest) * epochs // len(rates) + 1
    ends = f"{rates[0]:.4g} at first, {rates[-1]:.4g} at last"
    return f"rate: {ends}, highest {highest:.4g} in epoch {epoch}"
