"""What a run writes down and takes up again: its last checkpoint, within an epoch and behind it,
and the best.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from archspec.train.distributed import moving_statistics, pulse
from archspec.train.distributed.worker_group import all_reduce_sum
from archspec.train.evaluation.measures import Figures, share_of
from archspec.train.monitoring.telling import refuse_no_numbers
from archspec.train.recipe.keeping import seconds_of
from archspec.train.run import checkpoint
from archspec.train.run.position import Position, best_epochs
from archspec.train.stopping import TIME_BUDGET

if TYPE_CHECKING:
    from archspec.train.trainer import Trainer


def restore(trainer: Trainer) -> None:
    """Take up the last whole checkpoint, if there is one."""
    if not trainer.run.last.is_file():
        return
    recipe = trainer.run.recipe
    held, trainer.begins_anew = checkpoint.restore_state(trainer.run.last, trainer.engine.state())
    trainer.taken_up = Position.of(held)
    position = trainer.taken_up.under(
        recipe.keep.by, recipe.batch_size, recipe.accumulate, trainer.world
    )
    # Where the best is gone, the next one takes its place, whatever it is worth.
    best = position.best if trainer.run.best.is_file() else -math.inf
    # Where an image was taken away, an epoch may have other steps than it had.
    batches = min(position.batches, trainer.steps)
    trainer.position = replace(position, batches=batches, best=best)
    trainer.began -= position.seconds
    budget = recipe.time_budget
    if budget is not None and position.seconds >= seconds_of(budget):
        trainer.ended_by = TIME_BUDGET
    if position.moving is not None:
        own = moving_statistics.choose_row(position.moving, trainer.rank, trainer.world)
        moving_statistics.write(trainer.engine.state(), own)
    _count_steps_anew(trainer)


def _count_steps_anew(trainer: Trainer) -> None:
    import mindspore as ms

    done = trainer.position.epoch * trainer.steps + trainer.position.batches
    step = trainer.engine.optimizer.global_step
    updates = done // trainer.run.recipe.accumulate
    step.set_data(ms.Tensor(np.full(step.shape, updates), step.dtype))


def save_within_epoch(trainer: Trainer, sums: npt.NDArray[np.float64]) -> None:
    """Write `last.ckpt` in the middle of an epoch, each device's moving statistics in it."""
    rows = moving_statistics.gather(trainer.engine.state(), trainer.rank, trainer.world)
    trainer.position = replace(trainer.position, sums=tuple(sums), moving=rows)
    _save(trainer, trainer.run.last)
    # A barrier: the first worker that leaves would have the one that writes ended.
    all_reduce_sum(np.zeros(1, np.float32))


def finish_epoch(trainer: Trainer, held_out: Figures | None, averaged: Figures | None) -> bool:
    """Count the epoch and write its checkpoints; return whether it is the best so far.

    The last one is written last, so that a kill between them loses nothing.
    """
    score = math.nan if held_out is None else _score(trainer, held_out, averaged)
    is_best = score >= trainer.position.best  # of equal ones the later: it has seen more
    trainer.position = trainer.position.after_epoch(score)
    keep, epoch, last = trainer.run.recipe.keep, trainer.position.epoch, trainer.run.last
    if is_best and held_out is not None:
        _save_best(trainer, held_out, averaged)
    newest = range(epoch - trainer.run.recipe.epochs_kept + 1, epoch + 1)
    best = best_epochs(trainer.position.scores, keep.best) if keep.best > 1 else ()
    if epoch in newest or epoch in best:
        _save(trainer, checkpoint.path_of_epoch(last, epoch))
    _save(trainer, last)
    if trainer.rank == 0:
        checkpoint.prune(last, upto=epoch, kept={*newest, *best})
    return is_best


def offer_as_best(trainer: Trainer, held_out: Figures, averaged: Figures | None) -> None:
    """Write `best.ckpt` where a validation within an epoch was the best so far."""
    score = _score(trainer, held_out, averaged)
    if score >= trainer.position.best:
        trainer.position = replace(trainer.position, best=score)
        _save_best(trainer, held_out, averaged)
        _save(trainer, trainer.run.last)  # so that nothing worse takes its place later


def _save_best(trainer: Trainer, held_out: Figures, averaged: Figures | None) -> None:
    trainer.figures_of_best = held_out, averaged
    _save(trainer, trainer.run.best, trainer.engine.get_parameters())


def _save(trainer: Trainer, path: Any, parameters: Any = None) -> None:
    """The workers' parameters are equal: one of them writes.

    Raises:
        TrainingError: T003, it cannot be written; T006, weights are no numbers, and `path` is
            left as it was.
    """
    trainer.saved = time.monotonic()
    if trainer.run.recipe.time_budget is not None:
        # Where nothing depends on it, two runs of a seed leave files that are equal in all.
        trainer.position = replace(trainer.position, seconds=trainer.saved - trainer.began)
    if trainer.rank == 0:
        saved = parameters or trainer.engine.state()
        refuse_no_numbers(trainer, saved)
        previous = trainer.run.previous if path == trainer.run.last else None
        with pulse.noted(f"writing {path.name}", is_long=True):
            checkpoint.save(path, saved, trainer.position, previous=previous)


def _score(trainer: Trainer, held_out: Figures, averaged: Figures | None) -> float:
    by = trainer.run.recipe.keep.by
    judged = averaged if averaged is not None and by.startswith("ema_") else held_out
    # `top1`, which a recipe has that says nothing, is no figure of every kind of targets.
    name = by.removeprefix("ema_")
    value = float(getattr(judged, name, share_of(judged)))
    return -value if by.endswith("loss") else value
