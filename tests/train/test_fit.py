"""The loop of one process: what it reports, what it leaves, and what stops it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from archspec.errors import DataError, TrainingError
from archspec.runtime import prepare
from archspec.spec.load import load_spec
from archspec.train.progress import EventTail, append_event
from archspec.train.recipe import load_recipe
from archspec.train.run import Run
from archspec.train.start import create, plan_run

SMALL = ("block_config=[1, 1]", "growth_rate=4")


def fit_events(path, *recipe_overrides):
    """Train a small network on the digits in this process; return the run and its events."""
    prepare()
    from archspec.train.fit import fit

    plan = plan_run("densenetbc_digits", spec_overrides=SMALL, recipe_overrides=recipe_overrides)
    run = create(plan, path)
    events = []
    fit(run, events.append)
    return run, events


def written(run: Run) -> dict[str, np.ndarray]:
    import mindspore as ms

    return {name: value.asnumpy() for name, value in ms.load_checkpoint(str(run.last)).items()}


def test_events_tell_the_plan_the_steps_the_epochs_and_the_end(tmp_path):
    """All 1,295 + 143 + 359 scans appear; steps are counted within an epoch; rates follow the schedule."""
    _, events = fit_events(tmp_path / "run", "epochs=2", "log_every=8", "schedule.kind=constant")
    start, *middle, end = events
    plan = {"epochs": 2, "epochs_done": 0, "steps": 20, "train_images": 1295, "val_images": 143, "devices": 1}
    assert plan.items() <= start.items()
    assert start["event"] == "start"
    assert start["global_batch"] == 64
    steps = [event for event in middle if event["event"] == "step"]
    epochs = [event for event in middle if event["event"] == "epoch"]
    assert {(event["epoch"], event["step"]) for event in steps} >= {(1, 20), (2, 20)}
    assert {event["learning_rate"] for event in steps} == {0.1}
    assert [event["epoch"] for event in epochs] == [1, 2]
    assert all(np.isfinite(event["loss"]) and 0 <= event["accuracy"] <= 1 for event in epochs)
    assert {event["val_images"] for event in epochs} == {143}
    assert (end["event"], end["part"], end["images"]) == ("end", "test", 359)
    assert epochs[1]["loss"] < epochs[0]["loss"]


def test_the_last_checkpoint_counts_steps_and_epochs_and_holds_the_optimizers_state(tmp_path):
    """All that a resumed run needs."""
    run, _ = fit_events(tmp_path / "run", "epochs=2")
    held = written(run)
    assert int(held["global_step"].item()) == 40
    assert int(held["archspec.epoch"]) == 2
    weights = {name for name in held if name.startswith(("features.", "classifier."))}
    assert {f"accum.{name}" for name in weights if "moving_" not in name} <= held.keys()


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_no_such_weights(tmp_path):
    """T006 names the epoch and the cure; no checkpoint is written from it."""
    with pytest.raises(TrainingError, match=r"T006 the loss is no number in epoch 1 \(a lower --lr"):
        fit_events(tmp_path / "run", "epochs=3", "schedule.learning_rate=100", "optimizer.weight_decay=1")
    assert list((tmp_path / "run/checkpoints").iterdir()) == []


def test_a_network_for_neither_grey_nor_colour_images_is_refused_with_its_place():
    """T008: two channels, say."""
    from archspec.train.fit import preprocess_of

    spec = load_spec("densenetbc_digits", ["input.channels=2"])
    with pytest.raises(TrainingError, match=r"T008 input.channels \(=2\) must be 1 or 3"):
        preprocess_of(spec, load_recipe("digits"))


def test_a_recipe_for_colour_serves_grey_images_with_the_mean_of_its_channels():
    """And one for grey serves colour."""
    from archspec.train.fit import preprocess_of

    grey = preprocess_of(load_spec("densenetbc_digits"), load_recipe("imagefolder"))
    assert grey.mean == pytest.approx((np.mean([123.675, 116.28, 103.53]),))
    colour = preprocess_of(load_spec("densenet121"), load_recipe("digits"))
    assert (colour.mean, colour.std) == ((78.0,) * 3, (96.0,) * 3)


def test_data_whose_classes_have_changed_since_is_refused(tmp_path):
    """D009 names the folder and both lists of classes, when the run goes on."""
    from PIL import Image

    from archspec.train.fit import fit

    for name in ("cat", "dog"):
        for part in ("train", "val"):
            (tmp_path / "data" / part / name).mkdir(parents=True)
            for number in range(2):
                Image.new("RGB", (8, 8)).save(tmp_path / "data" / part / name / f"{number}.png")
    spec = (*SMALL, "input.channels=3")
    plan = plan_run(
        "densenetbc_digits", data_dir=tmp_path / "data", spec_overrides=spec, recipe_overrides=["batch_size=2"]
    )
    run = create(plan, tmp_path / "run")
    for part in ("train", "val"):
        (tmp_path / "data" / part / "dog").rename(tmp_path / "data" / part / "ant")
    with pytest.raises(DataError, match="D009 has the classes ant, cat; the checkpoint's are cat, dog"):
        fit(run, lambda event: None)


def test_the_plan_counts_the_images_that_training_will_have():
    """A large validation share leaves fewer than one batch: T007 before a run directory is made."""
    share = ["data.val_fraction=0.9", "batch_size=200"]
    with pytest.raises(TrainingError, match=r"T007 batch_size \(=200\) must be at most the 145 training images"):
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
        "from archspec.errors import TrainingError\nfrom archspec.train.progress import append_event\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nresource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "try:\n    for number in range(9):\n        append_event(Path(sys.argv[1]), {'event': 'step', 'step': number})\n"
        "except TrainingError as error:\n    print(error)\n"
    )
    path: Path = tmp_path / "metrics.jsonl"
    run = [sys.executable, "-c", script, str(path)]
    done = subprocess.run(run, env=dict(os.environ), capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.startswith(f"{path} T002 cannot be written: "), done.stderr
    lines = path.read_text().splitlines()
    assert lines
    assert [json.loads(line)["step"] for line in lines] == list(range(len(lines)))
