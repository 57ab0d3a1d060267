"""The loop of one process: what it reports, what it leaves, and what stops it."""

import json
import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY, densenet, passed, refused
from PIL import Image

from archspec.errors import TrainingError
from archspec.runtime import prepare
from archspec.train.launch import fit
from archspec.train.monitoring.progress import EventTail, append_event, read_whole_lines
from archspec.train.planning import create, plan_run
from archspec.train.recipe.recipe import load_recipe
from archspec.train.trainer import Trainer
from archspec.writers.mindspore.create_model import create_model


def test_events_tell_the_plan_the_steps_the_epochs_and_the_end(digits_run):
    """All 1,295 + 143 + 359 scans appear; steps are counted within an epoch;
    rates follow the cosine.
    """
    events = [json.loads(line) for line in (digits_run / "metrics.jsonl").read_text().splitlines()]
    start, *middle, end = events
    plan = {
        "epochs": 4,
        "epochs_done": 0,
        "steps": 20,
        "train_images": 1295,
        "val_images": 143,
        "devices": 1,
    }
    assert plan.items() <= start.items()
    assert start["event"] == "start"
    assert start["global_batch"] == 64
    steps = [event for event in middle if event["event"] == "step"]
    epochs = [event for event in middle if event["event"] == "epoch"]
    assert {(event["epoch"], event["step"]) for event in steps} >= {
        (epoch, 20) for epoch in range(1, 5)
    }
    done = np.array([20 * (event["epoch"] - 1) + event["step"] - 1 for event in steps])
    rates = [event["learning_rate"] for event in steps]
    np.testing.assert_allclose(rates, 0.05 * (1 + np.cos(np.pi * done / 80)), rtol=1e-9)
    assert [event["epoch"] for event in epochs] == [1, 2, 3, 4]
    assert all(np.isfinite(event["loss"]) and 0 <= event["accuracy"] <= 1 for event in epochs)
    assert {event["val_images"] for event in epochs} == {143}
    assert (end["event"], end["part"], end["images"]) == ("end", "test", 359)
    assert epochs[1]["loss"] < epochs[0]["loss"]


def test_the_last_checkpoint_counts_steps_and_epochs_and_holds_the_optimizers_state(digits_run):
    """All that a resumed run needs."""
    prepare()
    import mindspore as ms

    held = {
        name: value.asnumpy()
        for name, value in ms.load_checkpoint(str(digits_run / "checkpoints/last.ckpt")).items()
    }
    assert int(held["global_step"].item()) == 80
    assert int(held["archspec.epoch"]) == 4
    weights = {name for name in held if name.startswith(("features.", "classifier."))}
    assert {f"accum.{name}" for name in weights if "moving_" not in name} <= held.keys()


@pytest.mark.slow
def test_checkpoints_of_the_last_epochs_are_kept_and_no_other_file_is_touched(tmp_path):
    """Two of three epochs; then, going on with one to keep, the last alone.

    Each serves to validate and to resume.
    """
    keep = ("--set", "recipe.keep_checkpoints=2", "--epochs", 3)
    passed(densenet("train", *TINY, *keep, "--out", "run", cwd=tmp_path))
    recipe, folder = tmp_path / "run/recipe.yaml", tmp_path / "run/checkpoints"
    kept = {"epoch-0002.ckpt", "epoch-0003.ckpt", "last.ckpt", "previous.ckpt", "best.ckpt"}
    assert {path.name for path in folder.iterdir()} == kept
    assert (folder / "epoch-0003.ckpt").read_bytes() == (folder / "last.ckpt").read_bytes()
    passed(densenet("validate", "run", "--ckpt", folder / "epoch-0002.ckpt", cwd=tmp_path))
    (folder / "epoch-0002.ckpt").replace(folder / "last.ckpt")
    mine = {"epoch-1.ckpt", "epoch-0001-mine.ckpt", "epoch-.ckpt", "epoch-00001.ckpt"}
    for name in mine:
        (folder / name).touch()
    recipe.write_text(
        recipe.read_text()
        .replace("epochs: 3", "epochs: 4")
        .replace("_checkpoints: 2", "_checkpoints: 1")
    )
    text = passed(densenet("train", "--resume", "run", "--accept-changes", cwd=tmp_path))
    assert "2 epochs done" in text
    assert {path.name for path in folder.iterdir()} == {
        "epoch-0004.ckpt",
        "last.ckpt",
        "previous.ckpt",
        "best.ckpt",
        *mine,
    }


@pytest.mark.slow
def test_a_loss_that_is_no_number_stops_the_run_and_keeps_no_such_weights(tmp_path):
    """T006 names the epoch and the cure; no checkpoint is written from it."""
    wild = ("--lr", 100, "--set", "recipe.optimizer.weight_decay=1.0")
    done = densenet("train", *TINY, *wild, "--out", "run", cwd=tmp_path)
    refused(done, "T006 the loss is no number in epoch", "a lower --lr")
    assert list((tmp_path / "run/checkpoints").iterdir()) == []


@pytest.mark.slow
def test_a_run_goes_on_though_images_were_taken_away_and_says_so(tmp_path):
    """A damaged image that was deleted:
    the rates follow the new number of steps an epoch, from the next epoch on.
    """
    for name, number in product(("cat", "dog"), range(8)):
        (tmp_path / "data" / name).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / "data" / name / f"{number}.png")
    flags = (
        *TINY,
        "--set",
        "input.channels=3",
        "--batch-size",
        2,
        "--set",
        "recipe.log_every=1",
        "--epochs",
        2,
    )
    passed(densenet("train", *flags, "--data-dir", "data", "--out", "run", cwd=tmp_path))
    run = tmp_path / "run"
    (run / "recipe.yaml").write_text(
        (run / "recipe.yaml").read_text().replace("epochs: 2", "epochs: 4")
    )
    for name in ("cat", "dog"):
        (tmp_path / "data" / name / "0.png").unlink()
    passed(densenet("train", "--resume", "run", "--accept-changes", cwd=tmp_path))
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    start = [line for line in lines if line["event"] == "start"][1]
    assert (start["steps"], start["epochs_done"]) == (6, 2)
    assert start["notes"] == [
        f"{tmp_path / 'data'}: the data set has changed since this run began: "
        "it has other classes, labels or names of files"
    ]
    assert start["notes"][0] in (run / "log.txt").read_text()
    rates = [
        line["learning_rate"] for line in lines if line["event"] == "step" and line["epoch"] > 2
    ]
    peak = load_recipe(run / "recipe.yaml").schedule.learning_rate
    expected = peak / 2 * (1 + np.cos(np.pi * np.arange(6, 18) / 18))  # after an epoch of warm-up
    np.testing.assert_allclose(rates, expected, rtol=1e-9)
    prepare()
    import mindspore as ms

    assert (
        int(ms.load_checkpoint(str(run / "checkpoints/last.ckpt"))["global_step"].asnumpy().item())
        == 24
    )


@pytest.mark.parametrize(("accumulate", "code"), [(1, "batch_size"), (2, "accumulate")])
def test_a_run_whose_images_no_longer_fill_an_update_is_refused(tmp_path, accumulate, code):
    """Before anything is compiled; the run is as it was."""
    for name, number in product(("cat", "dog"), range(8)):
        (tmp_path / "data" / name).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / "data" / name / f"{number}.png")
    plan = plan_run(
        "densenetbc_digits",
        data_dir=tmp_path / "data",
        spec_overrides="input.channels=3",
        recipe_overrides={"batch_size": 4, "accumulate": accumulate},
    )
    run = create(plan, tmp_path / "run")
    for name, number in product(("cat", "dog"), range(2, 8)):
        (tmp_path / "data" / name / f"{number}.png").unlink()
    with pytest.raises(TrainingError, match=rf"{code} \(=") as caught:
        fit(run)
    assert [fault.code for fault in caught.value.diagnostics] == ["T007"]
    assert list((tmp_path / "run/checkpoints").iterdir()) == []


@pytest.mark.parametrize("kind", ["he_normal_fan_out", "he_normal_fan_in"])
def test_training_starts_where_a_network_of_ones_own_starts(tmp_path, kind):
    """`create_model` under the recipe's seed has the very values:
    a loop of one's own begins at the same place.
    """
    prepare()
    import mindspore as ms

    overrides = ["seed=7", f"initialisation={kind}"]
    plan = plan_run("densenetbc_digits", recipe_overrides=overrides)
    run = create(plan, tmp_path / "run")
    theirs = Trainer.start(run, rank=0, world=1, splits=plan.splits).network
    ms.set_seed(7)
    ours = create_model("densenetbc_digits", initialisation=kind)
    for one, other in zip(theirs.get_parameters(), ours.get_parameters(), strict=True):
        assert one.name == other.name
        np.testing.assert_array_equal(one.asnumpy(), other.asnumpy())


def test_data_whose_classes_have_changed_since_is_refused(tmp_path):
    """D009 names the folder and both lists of classes, when the run goes on."""
    for part, name, number in product(("train", "val"), ("cat", "dog"), range(2)):
        folder = tmp_path / "data" / part / name
        folder.mkdir(parents=True, exist_ok=True)
        colour = (0, 0, 200 * (part == "val"))
        Image.new("RGB", (8, 8), colour).save(folder / f"{number}.png")
    options = {"spec_overrides": ["input.channels=3"], "recipe_overrides": ["batch_size=2"]}
    create(plan_run("densenetbc_digits", data_dir=tmp_path / "data", **options), tmp_path / "run")
    for part in ("train", "val"):
        (tmp_path / "data" / part / "dog").rename(tmp_path / "data" / part / "ant")
    done = densenet("train", "--resume", "run", cwd=tmp_path)
    refused(
        done,
        tmp_path / "data/train",
        "D009 2 classes, 1 differs: 'ant' instead of 'dog'",
    )


def test_the_plan_counts_the_images_that_training_will_have():
    """A large validation share leaves fewer than one batch: T007 before a run directory is made."""
    share = ["data.val_fraction=0.9", "batch_size=200"]
    with pytest.raises(
        TrainingError, match=r"T007 batch_size \(=200\) must be at most the 145 training images"
    ):
        plan_run("densenetbc_digits", recipe_overrides=share)


def test_events_are_read_back_as_they_come_whole_lines_alone(tmp_path):
    """A line that is still being written waits."""
    path = tmp_path / "metrics.jsonl"
    append_event(path, {"event": "old"})
    tail = EventTail(path)
    append_event(path, {"event": "step", "step": 1})
    with path.open("a") as file:
        file.write('{"event": "st')
    assert [event["event"] for event in tail.new()] == ["step"]
    with path.open("a") as file:
        file.write('ep", "step": 2}\n')
    assert [event["step"] for event in tail.new()] == [2]
    assert list(tail.new()) == []


def test_an_event_that_does_not_fit_on_the_disk_leaves_no_half_line(tmp_path):
    """The process may write 100 bytes a file: T002 names it, and every line still reads."""
    script = (
        "import resource, signal, sys\nfrom pathlib import Path\n"
        "from archspec.errors import TrainingError\n"
        "from archspec.train.monitoring.progress import append_event\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "try:\n    for number in range(9):\n"
        "        append_event(Path(sys.argv[1]), {'event': '', 'step': number})\n"
        "except TrainingError as error:\n    print(error)\n"
    )
    path: Path = tmp_path / "metrics.jsonl"
    run = [sys.executable, "-c", script, str(path)]
    done = subprocess.run(
        run, env=dict(os.environ), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.startswith(f"{path} T002 cannot be written: "), done.stderr
    lines = path.read_text().splitlines()
    assert lines
    assert [json.loads(line)["step"] for line in lines] == list(range(len(lines)))


@pytest.mark.parametrize("half", ['{"event": "st', '{"event": "step"}', '{"event": "\u00e9'])
def test_half_a_line_that_a_power_cut_left_goes_with_the_next_event(half, tmp_path):
    """It is no event until its line ends; alone in a file it goes as well."""
    for whole in ([], [{"event": "old"}]):
        path = tmp_path / f"{len(whole)}.jsonl"
        path.touch()
        for event in whole:
            append_event(path, event)
        with path.open("ab") as file:
            file.write(half.encode()[:-1])
        assert [json.loads(line)["event"] for line in read_whole_lines(path)] == ["old"] * len(
            whole
        )
        append_event(path, {"event": "new"})
        told = [json.loads(line)["event"] for line in path.read_text().splitlines()]
        assert told == [*(event["event"] for event in whole), "new"]
