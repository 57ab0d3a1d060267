"""What lives as long as a run in one process: network, compiled step, data, and the position.

Everything that is random in an epoch follows from (seed, epoch, number of the batch), so a run that
is taken up again, at the end of an epoch or in the middle, repeats the one that was not
interrupted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from typing_extensions import Self

from archspec.train.callbacks import Callback
from archspec.train.data.batches.batches import LoaderTimes, Skipped, load_batches
from archspec.train.data.batches.sampling import held_out_indices
from archspec.train.data.inputs import check_classes, load_epoch, make_preprocess
from archspec.train.data.sources.data_parts import Splits
from archspec.train.data.sources.source import Source
from archspec.train.distributed import pulse
from archspec.train.distributed.agreement import Agreement
from archspec.train.engine.compile_cache import CachedNetwork, CompileCache, make_cache
from archspec.train.evaluation.measures import Figures, measure_accuracy
from archspec.train.monitoring.compile_times import tell_compilation
from archspec.train.monitoring.meter import Meter
from archspec.train.monitoring.progress import Report
from archspec.train.monitoring.telling import (
    explain_no_number,
    tell_batches,
    tell_limit,
    tell_own,
)
from archspec.train.pretrained import read_kept_weights
from archspec.train.recipe.keeping import seconds_of
from archspec.train.recipe.scaling import count_steps
from archspec.train.run.position import Position, epochs_without_progress
from archspec.train.run.run_directory import Run
from archspec.train.saving import restore, save_within_epoch
from archspec.train.stopping import EARLY_STOPPING, ON_REQUEST, TIME_BUDGET, Requests, StopRequest


@dataclass
class Trainer:
    """A run in one process; `callbacks` get it as `training`."""

    run: Run
    rank: int
    world: int
    splits: Splits
    engine: Any
    """Network, step and rates: `archspec.train.engine.engine.Engine`."""
    position: Position = field(default_factory=Position)
    callbacks: Sequence[Callback] = ()
    begins_anew: tuple[str, ...] = ()
    """Kinds of state that the checkpoint of a run whose recipe was changed did not have."""
    taken_up: Position = field(default_factory=Position)
    """Where its last checkpoint stands, under the recipe and on the devices of that time."""
    skipped: dict[Source, Skipped] = field(default_factory=dict)
    """Images of each part that this device could not read, by number."""
    told: dict[Source, set[int]] = field(default_factory=dict)
    """Those of all devices that were told of; see `telling.tell_skipped`."""
    figures_of_best: tuple[Figures, Figures | None] | None = None
    """What `evaluate_both` found of the weights in `best.ckpt`; None where another process did."""
    is_limit_told: bool = False
    """Whether it was said that images are what training waits for."""
    signals: StopRequest = field(default_factory=StopRequest)
    compiled: CompileCache = field(default_factory=CompileCache)
    """Keeps what is compiled, for the next start."""
    ended_by: str = ""
    """What a step was found to be the last by; see `ends_by`."""
    began: float = field(default_factory=time.monotonic)
    """When the run would have begun, had it not been interrupted."""
    saved: float = field(default_factory=time.monotonic)
    """When a checkpoint was written last."""
    _agreement: Agreement = field(default_factory=Agreement)
    _is_asked_to_stop: bool = False
    _is_compiled: bool = False
    _folded: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def start(
        cls,
        run: Run,
        rank: int,
        world: int,
        splits: Splits,
        callbacks: Sequence[Callback] = (),
    ) -> Self:
        """Build, initialise and, where there is a checkpoint, restore."""
        from archspec.train.engine.engine import make_engine

        recipe = run.recipe
        check_classes(splits.train, run.settings.classes)
        engine = make_engine(
            run.spec,
            recipe,
            labels=splits.train.labels,
            count_pixels=splits.train.count_pixels if splits.has_masks else None,
            batches=count_steps(recipe, len(splits.train), world),
            world=world,
            initial=None if run.last.is_file() else read_kept_weights(run),
        )
        trainer = cls(run, rank, world, splits, engine)
        trainer.position = trainer.position.under(
            recipe.keep.by, recipe.batch_size, recipe.accumulate, world
        )
        trainer.callbacks = tuple(callbacks)
        # Callbacks may change a network in ways that nothing tells.
        if not callbacks:
            device_target = run.settings.device_target
            trainer.compiled = make_cache(
                run.spec, recipe, device_target=device_target, rank=rank, world=world
            )
        restore(trainer)
        return trainer

    @property
    def network(self) -> Any:
        """The one that is trained."""
        return self.engine.network

    @property
    def optimizer(self) -> Any:
        """What moves its weights."""
        return self.engine.optimizer

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return int(self.engine.batches_per_epoch)

    def stop(self) -> None:
        """Have the run end, after this step or epoch, as it does after its last epoch."""
        self._is_asked_to_stop = True

    # ---- one epoch

    def train_epoch(self, report: Report) -> dict[str, float] | None:
        """Run the rest of the epoch that goes on; return its mean loss and accuracy over the images
        of all devices, or None where the run ends before it does.

        Raises:
            TrainingError: T006, the loss is no number.
        """
        self.network.set_train(True)
        recipe, position = self.run.recipe, self.position
        meter = Meter(recipe.log_every, recipe.batch_size * self.world, position.sums)
        epoch, first = position.epoch + 1, position.batches + 1
        batches = self._batches(meter.loading.times)
        told = pulse.note_batches(batches, f"epoch {epoch}, step", first=first)
        for number, (images, labels) in enumerate(told, start=first):
            loss = self._take_step(images, labels, meter, report)
            self.position = replace(self.position, batches=number)
            for callback in self.callbacks:
                callback.on_step_end(self, loss)
            self.signals.wait_for_save()
            asked = self._look_around(number, meter.is_late)
            if number == self.steps or meter.is_full or asked.to_save or asked.to_report:
                self._report_steps(meter, report)
            if asked.to_save:
                save_within_epoch(self, meter.sums)
            if asked.to_leave:
                raise self.signals.exception()
            if asked.to_end:
                return None
        pulse.note(f"ending epoch {epoch}")
        if self.world > 1:
            tell_own(self, meter)
        tell_limit(self, meter.loading, report)
        return {**meter.totals(), **meter.loading.read(self.world)}

    def _take_step(self, images: Any, targets: Any, meter: Meter, report: Report) -> Any:
        """One step, whose loss is returned; this process's first one is told of, since the network
        is compiled with it.
        """
        from mindspore import Tensor

        batch, step = (Tensor(images), Tensor(targets)), self.engine.step
        if self._is_compiled:
            with pulse.meeting():
                loss, right = step(*batch)
            meter.add(loss, right, len(targets))
            return loss
        is_kept = self.compiled.is_known("step", step, *batch)
        told = tell_compilation(self.run.settings, report, keep=self.rank == 0, is_kept=is_kept)
        with told, pulse.noted("compiling the network", is_long=True), pulse.meeting():
            loss, right = self.compiled.call("step", step, *batch)
            loss.asnumpy()  # an accelerator may go on with a step that has returned
        self._is_compiled = True
        self.tell_of_cache(report)
        meter.add(loss, right, len(targets))
        meter.restart_clock()
        return loss

    def tell_of_cache(self, report: Report) -> None:
        """Report what became of other compiled networks."""
        for text in self.compiled.notes:
            report({"event": "note", "text": text})
        self.compiled.notes.clear()

    def _batches(self, times: LoaderTimes) -> Iterator[tuple[Any, Any]]:
        """This device's batches of the epoch that goes on, from where it stands."""
        return load_epoch(
            self.run.spec,
            self.run.recipe,
            self.splits.train,
            epoch=self.position.epoch,
            rank=self.rank,
            world=self.world,
            first_batch=self.position.batches,
            skipped=self.skipped_of(self.splits.train),
            times=times,
        )

    def skipped_of(self, source: Source) -> Skipped | None:
        """The images of a part that this device could not read, None where that ends the run."""
        if self.run.recipe.data.on_error == "stop":
            return None
        return self.skipped.setdefault(source, {})

    def _look_around(self, number: int, is_late: bool) -> Requests:
        """What is asked for after a step, of all devices alike; `is_late`: a report is, here."""
        recipe, now = self.run.recipe, time.monotonic()
        if number % recipe.accumulate:
            # Within an update each device has gradients of its own, which no checkpoint holds.
            return Requests(False, False, False, to_report=is_late and self.world == 1)
        budget, every = recipe.time_budget, recipe.save_every
        is_over = budget is not None and now - self.began >= seconds_of(budget)
        is_due = isinstance(every, str) and now - self.saved >= seconds_of(every)
        # Clocks and signals are each device's own.
        told, asked, over, due, late = self._agreement.ask(
            self.signals.is_set, self._is_asked_to_stop, is_over, is_due, is_late
        )
        if asked or over:
            self.ended_by = TIME_BUDGET if over else ON_REQUEST
        before = number - recipe.accumulate
        is_counted = isinstance(every, int) and number // every > before // every
        # The end of an epoch writes a checkpoint anyway; but the validation before may take long.
        is_due = due or (is_counted and number < self.steps)
        # An epoch that is through ends as one.
        ends = (asked or over) and number < self.steps
        return Requests(told or ends or is_due, to_end=ends, to_leave=told, to_report=late)

    def leave_if_told(self) -> None:
        """Leave the run between epochs, all devices alike, where a signal reached one of them."""
        if any(self._agreement.ask(self.signals.is_set, at_once=True)):
            raise self.signals.exception()

    def _report_steps(self, meter: Meter, report: Report) -> None:
        number, epoch = self.position.batches, self.position.epoch
        with pulse.meeting():  # an accelerator is waited for, which waits for the others
            wrong = meter.find_not_finite()
        if wrong and self.run.recipe.on_nan == "stop":
            raise explain_no_number(self, number - len(meter.waiting) + 1 + wrong[0])
        rate = self.engine.rate_at(epoch, number - 1, self.run.recipe.accumulate)
        step = {"event": "step", "epoch": epoch + 1, "step": number, "learning_rate": rate}
        report({**step, **meter.read(), **self.describe_skipped()})

    def describe_skipped(self) -> dict[str, int]:
        """How many updates of the run were left out, where any was."""
        skipped = self.engine.step.count_skipped()
        return {"skipped_updates": skipped} if skipped else {}

    # ---- validation, and the end

    @property
    def is_validated(self) -> bool:
        """Whether the epoch that goes on ends with a validation."""
        number = self.position.epoch + 1
        return number % self.run.recipe.validate_every == 0 or number == self.run.recipe.epochs

    @property
    def is_judged(self) -> bool:
        """Whether the weights of this moment were validated."""
        position = self.position
        is_scored = bool(position.scores) and not math.isnan(position.scores[-1])
        return not position.batches and is_scored

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to train."""
        return self.position.epoch >= self.run.recipe.epochs or bool(self.ends_by)

    @property
    def ends_by(self) -> str:
        """Why the run ends before its last epoch, '' where it does not."""
        stopping, position = self.run.recipe.early_stopping, self.position
        if position.epoch >= self.run.recipe.epochs:
            return ""
        if self._is_asked_to_stop:
            return ON_REQUEST
        if stopping is not None and not self.ended_by:
            waited = epochs_without_progress(position.scores, stopping.min_delta)
            return EARLY_STOPPING if waited >= stopping.patience else ""
        return self.ended_by

    def evaluate_both(self, source: Source, report: Report) -> tuple[Figures, Figures | None]:
        """Return the accuracy of the network, and with `ema` that of the averaged weights."""
        averaged = self.engine.averaged
        accuracy = self.evaluate(source, report)
        return accuracy, None if averaged is None else self.evaluate(source, report, "averaged")

    def evaluate(self, source: Source, report: Report, which: str = "judge") -> Figures:
        """Return the accuracy of one of the engine's networks over a source, all devices
        together.
        """
        recipe = self.run.recipe
        mine = held_out_indices(len(source), self.rank, self.world)
        batches = load_batches(
            source,
            indices=mine,
            preprocess=make_preprocess(self.run.spec, recipe),
            training=False,
            batch_size=recipe.batch_size,
            seed=0,
            workers=recipe.data.workers,
            skipped=self.skipped_of(source),
        )
        told = tell_batches(batches, report, recipe.batch_size * self.world, len(source))
        network = CachedNetwork(self._fold_norms(which), self.compiled, which)
        return measure_accuracy(network, told)

    def _fold_norms(self, which: str) -> Any:
        """Return what computes as one of the engine's networks to judge by, with the weights of
        this moment: in full precision on a CPU it is sooner done with folded norms.
        """
        from archspec.train.engine.ema import PREFIX
        from archspec.train.engine.folded_network import FoldedNetwork

        network, recipe = getattr(self.engine, which), self.run.recipe
        is_in_full = "O0" in (recipe.amp, recipe.val_amp)
        if not is_in_full or self.run.settings.device_target != "CPU":
            return network
        if which not in self._folded:
            self._folded[which] = FoldedNetwork(self.run.spec)
        # Callbacks may have made another network of it.
        if self.callbacks and not self._folded[which].is_of(network):
            return network
        tensors = {}
        for parameter in network.get_parameters():
            tensors[parameter.name.removeprefix(f"{PREFIX}.")] = parameter.asnumpy()
        return self._folded[which].load(tensors)
