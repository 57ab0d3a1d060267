"""The training loop of one process: epochs of steps, validation, checkpoints, events.

It reads all it needs from the run directory and goes on from `last.ckpt` where there is one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from archspec.errors import make_printable
from archspec.runtime import prepare
from archspec.train.callbacks import Callback
from archspec.train.data.inputs import open_splits
from archspec.train.data.sources.data_parts import Splits
from archspec.train.distributed import moving_statistics, pulse
from archspec.train.distributed.same_images import check_same_images
from archspec.train.distributed.worker_group import all_reduce_sum, join_group
from archspec.train.evaluation.measures import Figures
from archspec.train.monitoring.board import report_to_board
from archspec.train.monitoring.progress import Event, Report
from archspec.train.monitoring.telling import describe_start, digest_weights, tell_skipped
from archspec.train.planning import check_fit
from archspec.train.run import checkpoint
from archspec.train.run.recovery import choose_judged
from archspec.train.run.run_directory import Run
from archspec.train.saving import finish_epoch, offer_as_best
from archspec.train.stopping import take_stop_signals
from archspec.train.trainer import Trainer


def train_in_process(
    run: Run,
    report: Report,
    splits: Splits | None = None,
    *,
    is_checked: bool = False,
    callbacks: Sequence[Callback] = (),
) -> Figures:
    """Train to the last epoch; return the best checkpoint's accuracy on images that chose nothing.

    Those are the test images; where the data set has none, the validation images, and the event
    says so. `splits` is the run's data set where this process has opened it; `is_checked` says that
    another process has looked whether its images are whole.

    Raises:
        DataError: an image cannot be read; D009, the data's classes have changed, or another worker
            has opened other images.
        TrainingError: a checkpoint cannot be written; the loss is no number.
    """
    prepare()
    rank, world = join_group(run.settings.device_target, run.recipe.ascend)
    pulse.note("opening the data set")
    report = report if rank == 0 else _ignore_event
    if splits is None:  # every rank lists the folders; one that opens each image is enough
        splits = open_splits(run, check=rank == 0 and not is_checked)
    check_same_images(splits.parts)
    check_fit(run.spec, run.recipe, splits, world)
    pulse.note("beginning", is_long=True)  # with weights of a checkpoint, and what one alone tells
    trainer = Trainer.start(run, rank, world, splits, callbacks)
    if rank == 0:  # the others need not look at every file of a large data set
        report = _begin(trainer, report)
    for callback in callbacks:
        callback.on_train_begin(trainer)
    with take_stop_signals() as trainer.signals:
        while not trainer.is_over:
            _run_epoch(trainer, report)
            trainer.leave_if_told()
        if trainer.ends_by and not trainer.is_judged:
            _validate_at_the_end(trainer, report)
    if world > 1:
        # To this worker's log, where equal digests show that the workers stayed together.
        digest = digest_weights(trainer.network.get_parameters())
        print(f"rank {rank} ends with weights {digest}", flush=True)  # noqa: T201
    return _judge(trainer, report)


def _begin(trainer: Trainer, report: Report) -> Report:
    """Tell how the run begins; return the report that takes what comes."""
    run, position = trainer.run, trainer.position
    start = describe_start(trainer)
    if run.recipe.tensorboard:
        done = position.epoch * trainer.steps + position.batches
        report = report_to_board(run.path, report, steps=trainer.steps, done=done)
    for note in start["notes"]:
        # To this process's log; the event takes it to the screen.
        print(make_printable(note), flush=True)  # noqa: T201
    report(start)
    return report


def _run_epoch(trainer: Trainer, report: Report) -> None:
    started, epoch = time.monotonic(), trainer.position.epoch
    for callback in trainer.callbacks:
        callback.on_epoch_begin(trainer)
    trained = trainer.train_epoch(report)
    if trained is None:
        return
    moving_statistics.share(trainer.engine.state(), trainer.world)
    held_out, averaged = None, None
    if trainer.is_validated:
        held_out, averaged = trainer.evaluate_both(trainer.splits.val, report)
    # Before the event: an epoch that was reported as done is never repeated.
    is_best = finish_epoch(trainer, held_out, averaged)
    judged = {**_prefix_keys("val", held_out), **_prefix_keys("ema", averaged)}
    left_out = {**trainer.describe_skipped(), **tell_skipped(trainer, report)}
    figures = {**trained, **judged, **left_out, "seconds": time.monotonic() - started}
    report({"event": "epoch", "epoch": epoch + 1, **figures, "is_best": is_best})
    for callback in trainer.callbacks:
        callback.on_epoch_end(trainer, figures)


def _validate_at_the_end(trainer: Trainer, report: Report) -> None:
    """Of a run that ends before its time, as `last.ckpt` holds it already: is it the best?"""
    moving_statistics.share(trainer.engine.state(), trainer.world)
    offer_as_best(trainer, *trainer.evaluate_both(trainer.splits.val, report))


def _judge(trainer: Trainer, report: Report) -> Figures:
    """Judge the best checkpoint by images that chose nothing, where there are such."""
    # A barrier: rank 0 may still be writing what all read now.
    all_reduce_sum(np.zeros(1, np.float32))
    pulse.note("reading the best checkpoint", is_long=True)
    judged = choose_judged(trainer.run)
    if judged is not None:
        checkpoint.restore(judged, trainer.engine.get_parameters())
    part, source = "val", trainer.splits.val
    if trainer.splits.test:
        part, source = "test", trainer.splits.test
    known = trainer.figures_of_best if part == "val" and judged == trainer.run.best else None
    if known is None or trainer.callbacks:  # which may have changed what is judged since
        known = trainer.evaluate_both(source, report)
    accuracy, averaged = known
    ended: dict[str, Any] = {"part": part, "checkpoint": judged.name if judged else None}
    if trainer.ends_by:
        ended["ends_by"] = trainer.ends_by
    tell_skipped(trainer, report)
    report({"event": "end", **ended, **asdict(accuracy), **_prefix_keys("ema", averaged)})
    for callback in trainer.callbacks:
        callback.on_train_end(trainer, asdict(accuracy))
    return accuracy


def _ignore_event(event: Event) -> None:
    """What ranks other than 0 report."""


def _prefix_keys(prefix: str, accuracy: Figures | None) -> dict[str, float]:
    if accuracy is None:
        return {}
    return {f"{prefix}_{key}": value for key, value in asdict(accuracy).items()}
