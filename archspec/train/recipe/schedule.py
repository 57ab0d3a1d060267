"""The learning rate: what a recipe says of it, and the rate of each update, from published rules.

A rule is a function of the position behind the warm-up: updates done, and updates in all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from archspec.settings import SpecModel
from archspec.spec.reading.dependent_settings import fill_defaults_of_kind
from archspec.train.recipe.numbers import Epochs, Milestone

RISE = 0.3
"""Share of a one-cycle run in which the rate rises, where no warm-up is said: PyTorch's."""


class ScheduleRecipe(SpecModel):
    """The learning rate, from update to update."""

    kind: Literal[
        "cosine",
        "step",
        "multi_step",
        "exponential",
        "polynomial",
        "one_cycle",
        "cyclic",
        "constant",
    ] = "cosine"
    """How the rate falls over the run."""
    learning_rate: Annotated[float, Field(strict=True, gt=0, le=100, allow_inf_nan=False)] = 0.1
    """The rate at the start, after the warm-up; one_cycle, cyclic: the highest."""
    final: Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)] = 0.0
    """Cosine, polynomial, one_cycle: the rate at the end, at most `learning_rate`;
    cyclic: the lowest."""
    milestones: Annotated[tuple[Milestone, ...], Field(min_length=1)] = (0.5, 0.75)
    """Step, multi_step: after which the rate is multiplied by `factor`,
    rising; below 1 shares of the run, from 1 on epochs."""
    every: Epochs | None = None
    """Step: epochs from one multiplication by `factor` to the next, in place of milestones."""
    factor: Annotated[float, Field(strict=True, gt=0, le=1)] = 0.1
    """Step, multi_step: what the rate is multiplied by; exponential: in each epoch, 0.9 where
    absent."""
    power: Annotated[float, Field(strict=True, gt=0, le=10)] = 1.0
    """Polynomial: of the share of the run that is left."""
    cycles: Annotated[int, Field(strict=True, ge=1, le=1_000)] = 1
    """Cosine, cyclic: how often the rate falls from its height; equal parts of the run."""
    cycle_decay: Annotated[float, Field(strict=True, gt=0, le=1)] = 1.0
    """Cosine: what the height of a cycle is of that of the one before."""
    decay_epochs: Epochs | None = None
    """Cosine: epochs of one cycle; the rate is `final` afterwards. Where absent all that follows
    the warm-up is shared by the cycles."""
    warmup_epochs: Annotated[int, Field(strict=True, ge=0, le=10_000)] = 0
    """Epochs in which the rate rises to `learning_rate`, at most all; one_cycle: 30 % of the run
    where absent."""
    warmup_factor: Annotated[float, Field(strict=True, ge=0, le=1)] | None = None
    """What the warm-up's first rate is of `learning_rate`: 0, exclusive, where absent;
    one_cycle: 1 / 25."""
    per: Literal["step", "epoch"] = "step"
    """When the rate changes: at every update, or at the first one of each epoch."""

    @model_validator(mode="before")
    @classmethod
    def _fill_defaults(cls, written: Any) -> Any:
        return fill_defaults_of_kind("schedule", written)

    @property
    def has_final(self) -> bool:
        """Whether the rate ends at, or returns to, `final`."""
        return self.kind in ("cosine", "polynomial", "one_cycle", "cyclic")


def learning_rates(schedule: ScheduleRecipe, *, epochs: int, steps_per_epoch: int) -> list[float]:
    """Return the rate of every update of the run.

    Args:
        schedule: what the recipe says.
        epochs: of the run, those of the warm-up included.
        steps_per_epoch: updates of an epoch: its batches, by `accumulate` fewer.

    Cosine: final + (start - final) (1 + cos(pi t / T)) / 2 (Loshchilov & Hutter 2017; MindCV).
    Step, multi_step: divided after shares of the run, or after epochs (Huang et al. 2017, section
    4.2: 50 and 75 % on CIFAR, epochs 30 and 60 on ImageNet). The others are those of MindCV
    (mindcv/scheduler/dynamic_lr.py), which are PyTorch's.
    Warm-up is linear from 0, exclusive, or from a factor; shares are of what follows it.
    """
    has_own_rise = schedule.kind == "one_cycle"
    warmup = 0 if has_own_rise else min(schedule.warmup_epochs, epochs) * steps_per_epoch
    total = epochs * steps_per_epoch - warmup
    # The rate of a whole epoch is that of its first update.
    stride = steps_per_epoch if schedule.per == "epoch" else 1
    ramp = [
        schedule.learning_rate * _warm_up(schedule, step // stride, warmup // stride)
        for step in range(warmup)
    ]
    rule = _RULES[schedule.kind]
    steps = (step // stride * stride for step in range(total))
    return ramp + [rule(schedule, step, total, steps_per_epoch) for step in steps]


def _warm_up(schedule: ScheduleRecipe, step: int, steps: int) -> float:
    if schedule.warmup_factor is None:
        return (step + 1) / steps
    return schedule.warmup_factor + (1 - schedule.warmup_factor) * step / steps


def _cosine(schedule: ScheduleRecipe, step: int, total: int, steps_per_epoch: int) -> float:
    length: float = total / schedule.cycles if schedule.cycles > 1 else total
    if schedule.decay_epochs is not None:
        length = schedule.decay_epochs * steps_per_epoch
    cycle = math.floor(step / length)
    if cycle >= schedule.cycles:
        return schedule.final
    height = schedule.learning_rate * schedule.cycle_decay**cycle
    swing = (1 + math.cos(math.pi * (step - cycle * length) / length)) / 2
    return schedule.final + (height - schedule.final) * swing


def _multi_step(schedule: ScheduleRecipe, step: int, total: int, steps_per_epoch: int) -> float:
    if schedule.every is not None:
        drops = step // (schedule.every * steps_per_epoch)
        return schedule.learning_rate * schedule.factor**drops
    warmup = schedule.warmup_epochs * steps_per_epoch
    passed = 0
    for milestone in schedule.milestones:
        # Below 1 a share of what follows the warm-up, else epochs from the start of the run.
        at = milestone * total if milestone < 1 else milestone * steps_per_epoch - warmup
        passed += step >= math.floor(at)
    return schedule.learning_rate * schedule.factor**passed


def _exponential(schedule: ScheduleRecipe, step: int, total: int, steps_per_epoch: int) -> float:
    return schedule.learning_rate * math.pow(schedule.factor, step / steps_per_epoch)


def _polynomial(schedule: ScheduleRecipe, step: int, total: int, steps_per_epoch: int) -> float:
    left = math.pow(1 - step / total, schedule.power)
    return schedule.final + (schedule.learning_rate - schedule.final) * left


def _one_cycle(schedule: ScheduleRecipe, step: int, total: int, steps_per_epoch: int) -> float:
    """Smith & Topin 2017, arXiv 1708.07120, with PyTorch's arcs of a cosine."""
    top = schedule.learning_rate
    rise = schedule.warmup_epochs * steps_per_epoch or RISE * total
    peak = max(min(rise, total) - 1, 0)
    if step < peak:
        start = top * (schedule.warmup_factor or 0.0)
        return top + (start - top) * (1 + math.cos(math.pi * step / peak)) / 2
    fallen = (step - peak) / max(total - 1 - peak, 1)
    return schedule.final + (top - schedule.final) * (1 + math.cos(math.pi * fallen)) / 2


def _cyclic(schedule: ScheduleRecipe, step: int, total: int, steps_per_epoch: int) -> float:
    """Smith 2017, arXiv 1506.01186: the triangular policy."""
    half = max(total // (2 * schedule.cycles), 1)
    height = 1 - abs(step % (2 * half) / half - 1)
    return schedule.final + (schedule.learning_rate - schedule.final) * height


def _constant(schedule: ScheduleRecipe, step: int, total: int, steps_per_epoch: int) -> float:
    return schedule.learning_rate


_RULES: Mapping[str, Callable[[ScheduleRecipe, int, int, int], float]] = {
    "cosine": _cosine,
    "step": _multi_step,
    "multi_step": _multi_step,
    "exponential": _exponential,
    "polynomial": _polynomial,
    "one_cycle": _one_cycle,
    "cyclic": _cyclic,
    "constant": _constant,
}
