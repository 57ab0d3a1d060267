"""The training loop of one process: epochs of steps, validation, checkpoints, events.

It reads all it needs from the run directory and goes on from `last.ckpt` where there is one.
Everything that is random in an epoch follows from (seed, epoch),
so a resumed run repeats the one that was not interrupted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any

import numpy as np
from typing_extensions import Self

from archspec.runtime import prepare
from archspec.train import checkpoint
from archspec.train.data.batches import epoch_indices, epoch_seed, held_out_indices, load_batches
from archspec.train.data.inputs import (
    check_classes,
    find_data_change,
    make_preprocess,
    open_splits,
)
from archspec.train.data.source import Source, Splits
from archspec.train.distributed.agreement import Agreement
from archspec.train.distributed.worker_group import all_reduce_sum, join_group
from archspec.train.evaluate import Accuracy, Meter, evaluate
from archspec.train.pretrained import read_kept_weights
from archspec.train.recipe.schedule import learning_rates
from archspec.train.recovery import choose_judged
from archspec.train.run_directory import Run
from archspec.train.stopping import StopRequest, take_stop_signals
from archspec.weights.load_into import load_tensors
from archspec.writers.mindspore.load import create_model

Event = Mapping[str, Any]
Report = Callable[[Event], None]


def fit(
    run: Run, report: Report, splits: Splits | None = None, *, is_checked: bool = False
) -> Accuracy:
    """Train to the last epoch; return the best checkpoint's accuracy on images that chose nothing.

    Those are the test images; where the data set has none, the validation images, and the event
    says so. `splits` is the run's data set where this process has opened it; `is_checked` says that
    another process has looked whether its images are whole.

    Raises:
        DataError: an image cannot be read, or the data's classes have changed (D009).
        TrainingError: a checkpoint cannot be written; the loss is no number.
    """
    prepare()
    rank, world = join_group(run.settings.device_target)
    report = report if rank == 0 else _ignore_event
    if splits is None:  # every rank lists the folders; one that opens each image is enough
        splits = open_splits(run, check=rank == 0 and not is_checked)
    trainer = _Trainer.start(run, rank, world, splits)
    if rank == 0:  # the others need not look at every file of a large data set
        plan = trainer.plan()
        for note in plan["notes"]:
            # To this process's log; the event takes it to the screen.
            print(note, flush=True)  # noqa: T201
        report({"event": "start", **plan})
    with take_stop_signals() as stop:
        trainer.stop = stop
        for epoch in range(trainer.epochs_done, run.recipe.epochs):
            _run_epoch(trainer, epoch, report)
            trainer.leave_if_asked(at_once=True)
    # To this worker's log, where equal digests show that the workers stayed together.
    print(f"rank {rank} ends with weights {trainer.digest()}", flush=True)  # noqa: T201
    # A barrier: rank 0 may still be writing what all read now.
    all_reduce_sum(np.zeros(1, np.float32))
    judged = choose_judged(run)
    if judged is not None:
        checkpoint.restore(judged, trainer.network.get_parameters())
    part, source = "val", trainer.splits.val
    if trainer.splits.test:
        part, source = "test", trainer.splits.test
    accuracy = trainer.evaluate(source)
    name = judged.name if judged else None
    report({"event": "end", "part": part, "checkpoint": name, **asdict(accuracy)})
    return accuracy


def _run_epoch(trainer: _Trainer, epoch: int, report: Report) -> None:
    started = time.monotonic()
    trained = trainer.train_epoch(epoch, report)
    trainer.share_statistics()
    held_out = trainer.evaluate(trainer.splits.val)
    # Before the event: an epoch that was reported as done is never repeated.
    trainer.save_checkpoints(epoch, held_out)
    report(
        {
            "event": "epoch",
            "epoch": epoch + 1,
            **trained,
            **_prefix_keys("val", held_out),
            "seconds": time.monotonic() - started,
        }
    )


def _ignore_event(event: Event) -> None:
    """What ranks other than 0 report."""


def _prefix_keys(prefix: str, accuracy: Accuracy) -> dict[str, float]:
    return {f"{prefix}_{key}": value for key, value in asdict(accuracy).items()}


@dataclass
class _Trainer:
    """What lives as long as a run: network, compiled step, data, and the best accuracy so far."""

    run: Run
    rank: int
    world: int
    splits: Splits
    network: Any
    optimizer: Any
    step: Any
    rates: list[float]
    epochs_done: int
    best: float
    stop: StopRequest = field(default_factory=StopRequest)
    agreement: Agreement = field(default_factory=Agreement)

    @classmethod
    def start(cls, run: Run, rank: int, world: int, splits: Splits) -> Self:
        """Build, initialise and, where there is a checkpoint, restore."""
        import mindspore as ms

        from archspec.train.step import TrainStep, make_sgd

        recipe = run.recipe
        check_classes(splits.train, run.settings.classes)
        # The same on all workers, so that they begin with equal weights.
        ms.set_seed(recipe.seed)
        network = create_model(run.spec, initialisation=recipe.initialisation)
        if not run.last.is_file():
            load_tensors(network, read_kept_weights(run))
        # Last, since it wraps cells: parameters are named and filled before.
        network = ms.amp.auto_mixed_precision(network, recipe.amp)
        steps = len(splits.train) // world // recipe.batch_size
        rates = learning_rates(recipe.schedule, epochs=recipe.epochs, steps_per_epoch=steps)
        optimizer = make_sgd(network, recipe, rates)
        step = TrainStep(network, optimizer, recipe, world)
        trainer = cls(
            run, rank, world, splits, network, optimizer, step, rates, epochs_done=0, best=-1.0
        )
        trainer.resume()
        return trainer

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return len(self.rates) // self.run.recipe.epochs

    def state(self) -> list[Any]:
        """Parameters of the network and state of the optimizer, each once,
        but for the rates: the recipe has them.
        """
        every = (*self.network.get_parameters(), *self.optimizer.get_parameters())
        return list({p.name: p for p in every if p.name != "learning_rate"}.values())

    def resume(self) -> None:
        """Take up the last whole checkpoint, if there is one."""
        if not self.run.last.is_file():
            return
        import mindspore as ms

        held = checkpoint.restore(self.run.last, self.state())
        self.epochs_done = int(held[checkpoint.EPOCH].asnumpy())
        # Where the best is gone, the next one takes its place, whatever it is worth.
        is_kept = self.run.best.is_file()
        self.best = float(held[checkpoint.BEST].asnumpy()) if is_kept else -1.0
        # Counted anew: where an image was taken away, an epoch may have other steps than it had.
        step = self.optimizer.global_step
        step.set_data(ms.Tensor(np.full(step.shape, self.epochs_done * self.steps), step.dtype))

    def plan(self) -> dict[str, Any]:
        """What a progress bar needs to know."""
        recipe = self.run.recipe
        return {
            "epochs": recipe.epochs,
            "epochs_done": self.epochs_done,
            "steps": self.steps,
            "train_images": len(self.splits.train),
            "val_images": len(self.splits.val),
            "notes": self.notes(),
            "data_digest": self.splits.digest,
            "devices": self.world,
            "global_batch": recipe.batch_size * self.world,
        }

    def notes(self) -> list[str]:
        """What the user should know of the data, each a line."""
        change = find_data_change(self.run, self.splits)
        if not change:
            return [*self.splits.notes]
        said = f"{self.splits.train.name}: the data set has changed since this run began"
        return [*self.splits.notes, f"{said}: {change}"]

    def train_epoch(self, epoch: int, report: Report) -> dict[str, float]:
        """Run one epoch and return its mean loss and accuracy over this device's images."""
        from mindspore import Tensor

        self.network.set_train(True)
        meter = Meter(self.run.recipe.log_every, self.run.recipe.batch_size * self.world)
        for number, (images, labels) in enumerate(self.batches_of(epoch), start=1):
            loss, right = self.step(Tensor(images), Tensor(labels))
            meter.add(loss, right, len(labels))
            self.stop.wait_for_save()
            self.leave_if_asked()
            if not meter.due(last=number == self.steps):
                continue
            rate = self.rates[epoch * self.steps + number - 1]
            report(
                {
                    "event": "step",
                    "epoch": epoch + 1,
                    "step": number,
                    "learning_rate": rate,
                    **meter.read(),
                }
            )
        return meter.totals(epoch + 1)

    def leave_if_asked(self, *, at_once: bool = False) -> None:
        """Leave the run, all devices at the same step, where one of them was told to."""
        if any(self.agreement.ask(self.stop.is_set, at_once=at_once)):
            raise self.stop.exception()

    def batches_of(self, epoch: int) -> Iterator[tuple[Any, Any]]:
        """This device's batches of an epoch."""
        recipe, source = self.run.recipe, self.splits.train
        indices = epoch_indices(
            len(source), seed=recipe.seed, epoch=epoch, rank=self.rank, world=self.world
        )
        return load_batches(
            source,
            indices=indices,
            preprocess=make_preprocess(self.run.spec, recipe),
            training=True,
            batch_size=recipe.batch_size,
            seed=epoch_seed(recipe.seed, epoch),
            workers=recipe.data.workers,
        )

    def evaluate(self, source: Source) -> Accuracy:
        """Return the network's accuracy over a source, all devices together."""
        recipe = self.run.recipe
        mine = held_out_indices(len(source), self.rank, self.world)
        return evaluate(
            self.network,
            load_batches(
                source,
                indices=mine,
                preprocess=make_preprocess(self.run.spec, recipe),
                training=False,
                batch_size=recipe.batch_size,
                seed=0,
                workers=recipe.data.workers,
            ),
        )

    def share_statistics(self) -> None:
        """Average the moving statistics over the devices.

        Under data parallelism each device's batch norms see other images, and their statistics
        drift apart; what is validated and saved must be one network.
        """
        parameters = self.network.get_parameters()
        moving = [p for p in parameters if p.name.rpartition(".")[2].startswith("moving_")]
        if self.world == 1 or not moving:  # without batch norms there is nothing to share
            return
        import mindspore as ms

        # In one array: a reduction for each of hundreds of small tensors takes far longer.
        flat = np.concatenate([p.asnumpy().astype(np.float32).ravel() for p in moving])
        shared = all_reduce_sum(flat) / self.world
        ends = np.cumsum([p.size for p in moving])[:-1]
        for parameter, values in zip(moving, np.split(shared, ends), strict=True):
            parameter.set_data(ms.Tensor(values.reshape(parameter.shape), parameter.dtype))

    def digest(self) -> str:
        """Return a digest of all parameters, equal on every device as long as training is sound."""
        digest = sha256()
        for parameter in self.network.get_parameters():
            digest.update(parameter.asnumpy().tobytes())
        return digest.hexdigest()

    def save_checkpoints(self, epoch: int, held_out: Accuracy) -> None:
        """Write the checkpoints; the last one last, so that a kill between them loses nothing."""
        # Of equal accuracies the later one: it has seen more.
        is_best = held_out.top1 >= self.best
        self.best = max(self.best, held_out.top1)
        if self.rank != 0:  # the workers' parameters are equal: one of them writes
            return
        if is_best:
            checkpoint.save(
                self.run.best, self.network.get_parameters(), epoch=epoch + 1, best=self.best
            )
        kept, last = self.run.recipe.keep_checkpoints, self.run.last
        if kept:
            checkpoint.save(
                checkpoint.path_of_epoch(last, epoch + 1),
                self.state(),
                epoch=epoch + 1,
                best=self.best,
            )
        checkpoint.save(
            last, self.state(), epoch=epoch + 1, best=self.best, previous=self.run.previous
        )
        checkpoint.prune(last, epoch + 1 - kept)
