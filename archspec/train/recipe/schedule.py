"""The learning rate: what a recipe says of it, and the rate of each step, from published rules."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from archspec.settings import SpecModel
from archspec.train.recipe.numbers import Milestone


class ScheduleRecipe(SpecModel):
    """The learning rate, stepped every iteration."""

    kind: Literal["cosine", "step", "constant"] = "cosine"
    """How the rate falls over the run."""
    learning_rate: Annotated[float, Field(strict=True, gt=0, le=100, allow_inf_nan=False)] = 0.1
    """The rate at the start, after the warm-up."""
    final: Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)] = 0.0
    """Cosine: the rate at the end, at most `learning_rate`."""
    milestones: tuple[Milestone, ...] = (0.5, 0.75)
    """Step: after which the rate is multiplied by `factor`,
    rising; below 1 shares of the run, from 1 on epochs."""
    factor: Annotated[float, Field(strict=True, gt=0, le=1)] = 0.1
    """Step: what the rate is multiplied by."""
    warmup_epochs: Annotated[int, Field(strict=True, ge=0, le=10_000)] = 0
    """Epochs in which the rate rises from 0, at most all."""


def learning_rates(schedule: ScheduleRecipe, *, epochs: int, steps_per_epoch: int) -> list[float]:
    """Return the rate of every step of the run.

    Cosine: final + (start - final) (1 + cos(pi t / T)) / 2 (Loshchilov & Hutter 2017; MindCV, per
    step). Step: divided after shares of the run, or after epochs (Huang et al. 2017, section 4.2:
    50 and 75 % on CIFAR, epochs 30 and 60 on ImageNet).
    Warm-up is linear from 0, exclusive; shares are of what follows it.
    """
    warmup = min(schedule.warmup_epochs, epochs) * steps_per_epoch
    total = epochs * steps_per_epoch - warmup
    ramp = [schedule.learning_rate * (step + 1) / warmup for step in range(warmup)]
    drops = []
    for milestone in schedule.milestones:
        # Below 1 a share of what follows the warm-up, else epochs from the start of the run.
        step = milestone * total if milestone < 1 else milestone * steps_per_epoch - warmup
        drops.append(math.floor(step))
    return ramp + [_rate_at(schedule, step, total, drops) for step in range(total)]


def _rate_at(schedule: ScheduleRecipe, step: int, total: int, drops: list[int]) -> float:
    if schedule.kind == "cosine":
        swing = (1 + math.cos(math.pi * step / total)) / 2
        return schedule.final + (schedule.learning_rate - schedule.final) * swing
    if schedule.kind == "step":
        return schedule.learning_rate * schedule.factor ** sum(step >= drop for drop in drops)
    return schedule.learning_rate
