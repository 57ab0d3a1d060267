"""Settings of a recipe that would do nothing, or something else than they say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from archspec.errors import format_count
from archspec.settings import Path
from archspec.spec.reading.dependent_settings import (
    DEPENDENT_SETTINGS,
    EXCLUSIVE,
    DependentSetting,
)

if TYPE_CHECKING:
    from archspec.train.recipe.data import DataRecipe
    from archspec.train.recipe.recipe import Recipe
    from archspec.train.recipe.schedule import ScheduleRecipe

LEAST_SHARE = 0.01
"""Of a deviation in 0-1 units that a person may have meant."""


def find_ineffective(recipe: Recipe) -> Iterator[tuple[Path, str]]:
    """Yield the path of each such setting, and the rule that it breaks."""
    for dependent in DEPENDENT_SETTINGS:
        other = _value_at(recipe, dependent.on)
        if _is_said(recipe, dependent) and not dependent.fits(other):
            yield dependent.path, dependent.rule.format(other)
    yield from _check_exclusive(recipe)
    yield from _check_optimizer(recipe)
    yield from _check_run_length(recipe)
    yield from _check_units(recipe.data)
    yield from _check_mixing(recipe)
    if recipe.loss.class_weights is not None and not any(recipe.loss.class_weights):
        yield ("loss", "class_weights"), "class_weights must have one above 0"
    if recipe.keep.by.startswith("ema_") and recipe.ema is None:
        yield ("keep", "by"), f"by (={recipe.keep.by}) needs ema, whose figure it is"


def find_meaningless(recipe: Recipe) -> Iterator[Path]:
    """Yield the paths of settings that mean nothing beside the others, said or default."""
    for dependent in DEPENDENT_SETTINGS:
        if not dependent.fits(_value_at(recipe, dependent.on)):
            yield dependent.path
    for one, other in EXCLUSIVE:
        yield one if _is_written(recipe, other) else other


def _value_at(recipe: Recipe, path: Path) -> Any:
    found: Any = recipe
    for key in path:
        found = getattr(found, str(key), None)  # of a part that is absent
    return found


def _is_written(recipe: Recipe, path: Path) -> bool:
    holder: Any = _value_at(recipe, path[:-1])
    return holder is not None and path[-1] in holder.model_fields_set


def _is_said(recipe: Recipe, dependent: DependentSetting) -> bool:
    is_written = _is_written(recipe, dependent.path)
    return is_written and _value_at(recipe, dependent.path) != dependent.idle


def _check_exclusive(recipe: Recipe) -> Iterator[tuple[Path, str]]:
    for one, other in EXCLUSIVE:
        if _is_written(recipe, one) and _is_written(recipe, other):
            both = f"{'.'.join(map(str, one))} and {'.'.join(map(str, other))}"
            yield one, f"{both} say the same thing: say one of them"


def _check_optimizer(recipe: Recipe) -> Iterator[tuple[Path, str]]:
    optimizer = recipe.optimizer
    if optimizer.kind in ("momentum", "nesterov") and not optimizer.momentum:
        yield ("optimizer", "momentum"), f"the optimizer {optimizer.kind} needs a momentum above 0"


def _check_run_length(recipe: Recipe) -> Iterator[tuple[Path, str]]:
    schedule, epochs = recipe.schedule, recipe.epochs
    if schedule.warmup_epochs > epochs:
        rule = f"must be at most the {format_count(epochs, 'epoch')} of the run"
        named = f"warmup_epochs (={schedule.warmup_epochs})"
        yield ("schedule", "warmup_epochs"), f"{named} {rule}"
    lowest = schedule.learning_rate * schedule.cycle_decay ** (schedule.cycles - 1)
    if schedule.has_final and schedule.final > lowest:
        start = f"learning_rate (={schedule.learning_rate:g})"
        if lowest < schedule.learning_rate:
            start = f"{lowest:g} of the last cycle"
        yield (
            ("schedule", "final"),
            f"final (={schedule.final:g}) must be at most the {start} that it falls from",
        )
    yield from _check_cycles(schedule, epochs)
    rises = schedule.warmup_epochs > 0 or schedule.kind == "one_cycle"
    if schedule.warmup_factor is not None and not rises:
        yield ("schedule", "warmup_factor"), "warmup_factor needs warmup_epochs"
    if schedule.kind == "constant" and schedule.per == "epoch" and not schedule.warmup_epochs:
        yield ("schedule", "per"), "per does nothing where the rate stays"
    if schedule.kind in ("step", "multi_step") and schedule.warmup_epochs < epochs:
        yield from _check_steps(schedule, epochs)


def _check_cycles(schedule: ScheduleRecipe, epochs: int) -> Iterator[tuple[Path, str]]:
    if schedule.cycle_decay < 1 and schedule.cycles == 1:
        yield ("schedule", "cycle_decay"), "cycle_decay needs cycles above 1"
    if schedule.kind != "cosine" or schedule.decay_epochs is None:
        return
    left = epochs - schedule.warmup_epochs
    if schedule.decay_epochs * schedule.cycles > left:
        cycles = f"{schedule.cycles} cycles of " * (schedule.cycles > 1)
        rule = f"must be at most the {format_count(left, 'epoch')} behind the warm-up"
        yield (
            ("schedule", "decay_epochs"),
            f"{cycles}decay_epochs (={schedule.decay_epochs}) {rule}",
        )


def _check_steps(schedule: ScheduleRecipe, epochs: int) -> Iterator[tuple[Path, str]]:
    warmup, every = schedule.warmup_epochs, schedule.every
    if every is None:
        yield from _check_milestones(schedule.milestones, warmup, epochs)
    elif every >= epochs - warmup:
        rule = f"must be less than the {format_count(epochs - warmup, 'epoch')} behind the warm-up"
        yield ("schedule", "every"), f"every (={every}) {rule}"


def _check_milestones(
    milestones: Sequence[float], warmup: int, epochs: int
) -> Iterator[tuple[Path, str]]:
    """Those that are never reached, reached before the rate is, or stand before an earlier one."""
    before = 0.0
    for index, milestone in enumerate(milestones):
        path = ("schedule", "milestones", index)
        epoch = milestone if milestone >= 1 else warmup + milestone * (epochs - warmup)
        if not warmup < epoch < epochs:
            within = (
                f"between epochs {warmup} and {epochs} of the run, or be a share of it such as 0.5"
            )
            yield path, f"milestones[{index}] (={milestone:g}) must lie {within}"
        elif epoch <= before:
            yield path, f"milestones[{index}] (={milestone:g}) must come after the one before it"
        before = max(before, epoch)


def _check_mixing(recipe: Recipe) -> Iterator[tuple[Path, str]]:
    data = recipe.data
    if data.mix_probability != 1 and not data.is_mixed:
        rule = "mix_probability needs mixup or cutmix above 0"
        yield ("data", "mix_probability"), rule
    for key in ("mixup", "cutmix"):
        if recipe.batch_size == 1 and getattr(data, key) > 0:
            yield (
                ("data", key),
                f"{key} needs a batch_size of 2 or more: it mixes images of a batch",
            )


def _check_units(data: DataRecipe) -> Iterator[tuple[Path, str]]:
    """Nearly always 0-1 was meant: images would be blown up, or hardly moved."""
    if min(data.std) < 1:
        yield (
            ("data", "std"),
            f"std {_write_units_rule(data.std)}, each 1 or more{_guess_meant(data.std)}",
        )
    if 0 < max(data.mean) < 1:
        yield ("data", "mean"), f"mean {_write_units_rule(data.mean)}{_guess_meant(data.mean)}"


def _write_units_rule(values: Sequence[float]) -> str:
    return f"(={_format_row(values)}) must be in 0-255 units"


def _guess_meant(values: Sequence[float]) -> str:
    if not LEAST_SHARE <= min(values) <= max(values) <= 1:
        return ""
    scaled = [255 * value for value in values]
    return f"; what is {_format_row(values)} in 0-1 is {_format_row(scaled)} here"


def _format_row(values: Sequence[float]) -> str:
    return f"[{', '.join(f'{value:.6g}' for value in values)}]"
