"""A run in one process: interrupted within an epoch, ended early, watched by callbacks."""

import json
import math

import pytest

from archspec.errors import TrainingError
from archspec.runtime import prepare
from archspec.train.callbacks import Callback
from archspec.train.loop import train_in_process
from archspec.train.monitoring.progress import append_event
from archspec.train.planning import create, plan_run
from archspec.train.run import checkpoint
from archspec.train.run.acceptance import accept_changes
from archspec.train.run.position import Position
from archspec.train.run.run_directory import Run

TINY = ["block_config=[1, 1]", "growth_rate=4"]
STEPS = 20
"""Of an epoch of the digits in batches of 64."""


def run_of(folder, *overrides):
    plan = plan_run("densenetbc_digits", spec_overrides=TINY, recipe_overrides=overrides)
    return create(plan, folder)


def train(run, *callbacks):
    """Train in this process, and write down what is reported."""

    def report(event):
        append_event(run.metrics, event)

    return train_in_process(run, report, callbacks=callbacks)


def events_of(run, kind):
    events = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    return [event for event in events if event["event"] == kind]


def tensors_of(path):
    """A checkpoint's entries as bytes, but for the time that a run took."""
    prepare()
    import mindspore as ms

    held = ms.load_checkpoint(str(path))
    return {
        name: entry.asnumpy().tobytes()
        for name, entry in held.items()
        if name != "archspec.seconds"
    }


class Killed(Exception):
    """Stands for whatever ends a process."""


class KillAt(Callback):
    """Ends the run at a step of an epoch, each counted from 1."""

    def __init__(self, epoch, step):
        self.epoch, self.step = epoch, step

    def on_step_end(self, training, loss):
        if (training.position.epoch + 1, training.position.batches) == (self.epoch, self.step):
            raise Killed


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Two epochs with a checkpoint every third step."""
    run = run_of(tmp_path_factory.mktemp("whole") / "run", "epochs=2", "save_every=3")
    train(run)
    return run


def test_a_run_killed_within_an_epoch_goes_on_at_its_last_step_with_the_same_bits(
    uninterrupted, tmp_path
):
    """Weights, momentum, figures of the epochs, all as never interrupted; the order of images and
    their augmentation too. Killed twice: before the first epoch ended, and in the second.
    """
    run = run_of(tmp_path / "run", "epochs=2", "save_every=3")
    for epoch, step in ((1, 11), (2, 4)):
        with pytest.raises(Killed):
            train(run, KillAt(epoch, step))
    train(run)
    starts = [(event["epochs_done"], event["steps_done"]) for event in events_of(run, "start")]
    assert starts == [(0, 0), (0, 9), (1, 3)]
    assert tensors_of(run.last) == tensors_of(uninterrupted.last)
    assert tensors_of(run.best) == tensors_of(uninterrupted.best)
    untimed = ("time", "seconds", "loader_images_per_second", "loader_busy")
    for mine, theirs in zip(
        events_of(run, "epoch"), events_of(uninterrupted, "epoch"), strict=True
    ):
        assert {key: value for key, value in mine.items() if key not in untimed} == {
            key: value for key, value in theirs.items() if key not in untimed
        }


class Witness(Callback):
    """Writes down what it is told, and stops at a step where that is asked of it."""

    def __init__(self, stops_at=0):
        self.seen = []
        self.stops_at = stops_at

    def on_train_begin(self, training):
        assert {"network", "optimizer", "run", "position"} <= {*dir(training), *vars(training)}
        self.seen.append("train begins")

    def on_epoch_begin(self, training):
        self.seen.append(f"epoch {training.position.epoch + 1} begins")

    def on_step_end(self, training, loss):
        assert math.isfinite(float(loss.asnumpy()))
        self.seen.append("step")
        if training.position.batches == self.stops_at:
            training.stop()

    def on_epoch_end(self, training, figures):
        self.seen.append(f"epoch {training.position.epoch} ends: {'val_top1' in figures}")

    def on_train_end(self, training, figures):
        self.seen.append(f"train ends: {figures['images']}")


@pytest.mark.slow
def test_a_run_without_progress_ends_early_and_keeps_the_best_epochs(tmp_path):
    """No epoch is better by 1: after the first, patience lasts for two. Checkpoints are kept of
    the two epochs with the least validation loss. Callbacks see it all.
    """
    run = run_of(
        tmp_path / "run",
        "epochs=9",
        "early_stopping={patience: 2, min_delta: 5}",
        "keep={best: 2, by: loss}",
    )
    witness = Witness()
    train(run, witness)
    epochs = events_of(run, "epoch")
    assert len(epochs) == 3
    assert events_of(run, "end")[0]["ends_by"] == "early_stopping"
    losses = {event["epoch"]: event["val_loss"] for event in epochs}
    best = sorted(losses, key=losses.get)[:2]
    names = {path.name for path in run.last.parent.iterdir()}
    kept = {f"epoch-{number:04d}.ckpt" for number in best}
    assert names == {"last.ckpt", "previous.ckpt", "best.ckpt", *kept}
    told = ["train begins"]
    for number in (1, 2, 3):
        told += [f"epoch {number} begins", *["step"] * STEPS, f"epoch {number} ends: True"]
    assert witness.seen == [*told, "train ends: 359"]


@pytest.mark.slow
def test_a_run_that_is_stopped_is_judged_as_it_is_and_goes_on_later(tmp_path):
    """A callback stops it before anything was validated; the second start goes on at that step.
    Of its three epochs the second and the last are validated.
    """
    run = run_of(tmp_path / "run", "epochs=3", "validate_every=2")
    assert train(run, Witness(stops_at=7)).images == 359
    held = Position.of(checkpoint.read_checkpoint(run.last))
    assert (held.batches, held.best > 0) == (7, True)  # what comes later must be better
    assert events_of(run, "end")[0]["ends_by"] == "on_request"
    train(run)
    start = events_of(run, "start")[1]
    assert (start["epochs_done"], start["steps_done"]) == (0, 7)
    assert ["val_top1" in event for event in events_of(run, "epoch")] == [False, True, True]
    assert "ends_by" not in events_of(run, "end")[1]


@pytest.mark.slow
def test_a_run_whose_time_is_over_ends_within_the_epoch(tmp_path):
    """And ends at once where it is taken up again."""
    run = run_of(tmp_path / "run", "epochs=1000", "time_budget=1s")
    train(run)
    train(run)
    assert [event["ends_by"] for event in events_of(run, "end")] == ["time_budget"] * 2
    _, second = events_of(run, "start")
    assert second["epochs_done"] < 1000
    assert (second["epochs_done"], second["steps_done"]) > (0, 0)
    assert len(events_of(run, "step")) == len(
        [event for event in events_of(run, "step") if event["time"] < second["time"]]
    )


@pytest.mark.slow
def test_a_run_with_dropout_that_goes_on_says_that_it_draws_anew(tmp_path):
    """MindSpore's draws cannot be taken up again; a run that begins, or is over, says nothing."""
    plan = plan_run(
        "densenetbc_digits",
        spec_overrides=[*TINY, "drop_rate=0.2"],
        recipe_overrides=["epochs=1", "save_every=3"],
    )
    run = create(plan, tmp_path / "run")
    with pytest.raises(Killed):
        train(run, KillAt(1, 4))
    train(run)
    train(run)
    notes = [event["notes"] for event in events_of(run, "start")]
    assert [len(note) for note in notes] == [0, 1, 0]
    assert "dropout draws anew" in notes[1][0]


@pytest.mark.slow
def test_a_recipe_that_was_changed_begins_its_new_state_anew_and_says_so(tmp_path):
    """A run that stopped goes on with averages, and with copies for steps that are skipped; with
    batches of another size its epoch begins again.
    """
    run = run_of(tmp_path / "run", "epochs=2", "save_every=3")
    with pytest.raises(Killed):
        train(run, KillAt(1, 4))
    text = (run.path / "recipe.yaml").read_text()
    changed = text.replace("batch_size: 64", "batch_size: 32") + "ema: {decay: 0.9}\n"
    (run.path / "recipe.yaml").write_text(changed.replace("on_nan: stop", "on_nan: skip"))
    train(accept_changes(Run(run.path)))
    start = events_of(run, "start")[1]
    assert (start["epochs_done"], start["steps_done"], start["steps"]) == (0, 0, 40)
    anew = "skipped_updates, kept, ema, updates"
    assert start["notes"] == [
        "epoch 1 begins again: last.ckpt was written with other batches",
        f"last.ckpt was written without {anew}: that begins anew",
    ]
    assert "ema_top1" in events_of(run, "end")[0]


@pytest.mark.slow
def test_weights_that_are_no_numbers_are_never_saved(tmp_path):
    """A loss scale that overflows spoils the first update, whose loss was a number still: T006
    names a weight and the scale, and no checkpoint is left that each later start would end by.
    """
    run = run_of(tmp_path / "run", "epochs=1", "save_every=1", "amp=O2", "loss_scale=1e38")
    rule = r"T006 .* is no number after step 1 of epoch 1"
    with pytest.raises(TrainingError, match=rule) as caught:
        train(run)
    assert "a smaller loss_scale" in str(caught.value)
    assert not run.last.exists()
