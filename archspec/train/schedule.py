"""Learning rate per step, from the published rules."""

from __future__ import annotations

import math

from archspec.train.recipe import ScheduleRecipe


def learning_rates(schedule: ScheduleRecipe, *, epochs: int, steps_per_epoch: int) -> list[float]:
    """Return the rate of every step of the run.

    Cosine: final + (start - final) (1 + cos(pi t / T)) / 2 (Loshchilov & Hutter 2017; MindCV, per step).
    Step: divided at shares of the run (Huang et al. 2017, section 4.2). Warm-up is linear from 0, exclusive.
    """
    warmup = min(schedule.warmup_epochs, epochs) * steps_per_epoch
    total = epochs * steps_per_epoch
    ramp = [schedule.learning_rate * (step + 1) / warmup for step in range(warmup)]
    return ramp + [_rate(schedule, step, total - warmup) for step in range(total - warmup)]


def _rate(schedule: ScheduleRecipe, step: int, total: int) -> float:
    if schedule.kind == "cosine":
        swing = (1 + math.cos(math.pi * step / total)) / 2
        return schedule.final + (schedule.learning_rate - schedule.final) * swing
    if schedule.kind == "step":
        passed = sum(step >= math.floor(share * total) for share in schedule.milestones)
        return schedule.learning_rate * schedule.factor**passed
    return schedule.learning_rate
