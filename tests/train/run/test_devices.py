"""A run that goes on with another number of devices: the batch of all together stays."""

import json
import re
import signal

import numpy as np
import pytest
from conftest import densenet, passed, refused, started, wait_until
from train.run.test_run_directory import SETTINGS

from archspec.errors import SpecError, TrainingError
from archspec.spec.load import load_spec
from archspec.train.distributed.moving_statistics import choose_row
from archspec.train.recipe.recipe import load_recipe
from archspec.train.run.changes import refuse_changes
from archspec.train.run.devices import change_devices
from archspec.train.run.run_directory import create_run, open_run
from densenet_cli.options import place_typed


def make(path, *settings, devices=2):
    """A run of 24 images an update on each device, in batches of 12."""
    if not any(setting.startswith("batch_size") for setting in settings):
        settings = ("batch_size=12", "accumulate=2", *settings)
    recipe = load_recipe("digits", settings)
    given = {**vars(SETTINGS), "devices": devices}
    return create_run(path, load_spec("densenetbc_digits"), recipe, type(SETTINGS)(**given), "#\n")


def change(run, devices):
    return change_devices(run, devices, place_typed(f"--devices {devices}"))


@pytest.mark.parametrize(
    ("devices", "batch_size", "line"),
    [
        (1, 24, "goes on with 1 device instead of 2, batch 24 a device"),
        (3, 8, "goes on with 3 devices instead of 2, batch 8 a device"),
        (24, 1, "goes on with 24 devices instead of 2, batch 1 a device"),
    ],
)
def test_devices_share_the_batch_and_nothing_else_is_changed(devices, batch_size, line, tmp_path):
    """In the run's files; it is then no run that was edited, and changed back it is as it was."""
    run = make(tmp_path / "run")
    before = {file: (run.path / file).read_bytes() for file in ("recipe.yaml", "run.json")}
    changed, said = change(run, devices)
    assert said == line
    again = open_run(run.path)
    refuse_changes(again)
    for found in (changed, again):
        assert (found.settings.devices, found.recipe.batch_size) == (devices, batch_size)
    assert again.recipe.resolved() == {**run.recipe.resolved(), "batch_size": batch_size}
    change(again, 2)
    assert {file: (run.path / file).read_bytes() for file in before} == before


def test_as_many_devices_as_before_change_nothing(tmp_path):
    """Not a byte, and nothing is said."""
    run = make(tmp_path / "run")
    with (run.path / "recipe.yaml").open("a") as file:
        file.write("# mine\n")
    assert change(run, 2)[1] == ""
    assert (run.path / "recipe.yaml").read_text().endswith("# mine\n")


REFUSALS = {
    "five": ((), 5, "1, 2, 3, 4, 6 or 8", "24 images, 2 devices x 12"),
    "more than images": ((), 25, "4, 6, 8, 12 or 24", "24 images, 2 devices x 12"),
    "of a prime": (("batch_size=13",), 3, "1, 2, 13 or 26", "26 images"),
    "one image, to be mixed": (("data.mixup=0.2",), 24, "3, 4, 6, 8 or 12", "2 images or more"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_devices_that_cannot_share_it_are_refused_with_those_that_can(case, tmp_path):
    """T010; the run stays as it is."""
    settings, devices, fitting, whole = REFUSALS[case]
    run = make(tmp_path / "run", *settings)
    before = (run.path / "run.json").read_bytes()
    with pytest.raises(TrainingError) as caught:
        change(run, devices)
    (fault,) = caught.value.diagnostics
    assert (fault.code, str(fault.where)) == ("T010", f"--devices {devices}")
    assert whole in fault.message
    assert fitting in fault.hint
    assert (run.path / "run.json").read_bytes() == before


def test_a_share_that_is_no_batch_is_refused(tmp_path):
    """One that is too large; a recipe that was edited is told of first."""
    run = make(tmp_path / "large", "batch_size=65536")
    with pytest.raises(SpecError, match=r"--devices 1 S004 batch_size \(=131072\)"):
        change(run, 1)
    assert open_run(run.path).settings.devices == 2
    run = make(tmp_path / "run")
    file = run.path / "recipe.yaml"
    file.write_text(file.read_text().replace("batch_size: 12", "batch_size: 16"))
    with pytest.raises(TrainingError, match="T016"):
        change(open_run(run.path), 4)


def test_moving_statistics_of_as_many_devices_are_each_ones_own_else_their_mean():
    """Within an epoch, where they differ."""
    rows = np.array([[1, 2], [3, 6]], np.float32)
    assert [choose_row(rows, rank, 2).tolist() for rank in range(2)] == [[1, 2], [3, 6]]
    for world in (1, 3):
        assert choose_row(rows, world - 1, world).tolist() == [2, 4]


# ---- through the command

SMOOTH = ("--set", "activation=silu", "--set", "norm={kind: group, groups: 4}")
WORDS = (
    *("train", *SMOOTH, "--set", "block_config=[2, 2]", "--set", "growth_rate=4", "--epochs", 2),
    *("-b", 4, "--lr", 0.03, "--set", "recipe.log_every=1", "--devices", 2, "--no-certify"),
)


def lines_of(run, kind):
    """The events of a kind."""
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [line for line in lines if line["event"] == kind]


def end_after(run, epoch, step, *words):
    """Start a command, and end it by a signal when it has told of a step."""
    process = started(*words, cwd=run.parent)
    metrics, told = run / "metrics.jsonl", f'"epoch": {epoch}, "step": {step},'
    wait_until(lambda: metrics.exists() and told in metrics.read_text(), process)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 143


@pytest.mark.slow
def test_a_run_on_two_devices_then_one_then_two_is_the_run_on_two(tmp_path):
    """Ended within epochs each time: every step is told once, with the loss and the rate of the run
    that nobody ended, and each change by a note; what cannot be shared, and a dry run, change
    nothing.
    """
    passed(densenet(*WORDS, "--out", "unbroken", cwd=tmp_path))
    run = tmp_path / "run"
    end_after(run, 1, 10, *WORDS, "--out", "run")
    resume = ("train", "--resume", "run", "--devices")
    done = densenet(*resume, 3, cwd=tmp_path)
    refused(done, "--devices 3 T010", "8 images, 2 devices x 4 (--devices 1, 2, 4 or 8)")
    text = passed(densenet(*resume, 1, "--dry-run", cwd=tmp_path))
    assert text.startswith("goes on with 1 device instead of 2, batch 8 a device: a real start")
    assert re.search(r"done: 0 of 2 epochs and [1-9]\d* of 161 steps of the next", text)
    assert open_run(run).settings.devices == 2
    end_after(run, 2, 5, *resume, 1)
    passed(densenet(*resume, 2, cwd=tmp_path))
    expected, found = lines_of(tmp_path / "unbroken", "step"), lines_of(run, "step")
    assert len(found) == len(expected) == 322
    for before, after in zip(expected, found, strict=True):
        assert (after["epoch"], after["step"]) == (before["epoch"], before["step"])
        assert after["learning_rate"] == before["learning_rate"]
        assert after["loss"] == pytest.approx(before["loss"], rel=1e-5)
    for before, after in zip(
        lines_of(tmp_path / "unbroken", "epoch"), lines_of(run, "epoch"), strict=True
    ):
        for key in ("loss", "accuracy", "val_loss", "val_top1"):
            assert after[key] == pytest.approx(before[key], rel=1e-5)
    starts = lines_of(run, "start")
    assert [start["devices"] for start in starts] == [2, 1, 2]
    assert {start["global_batch"] for start in starts} == {8}
    assert [start["notes"] for start in starts] == [
        [],
        ["goes on with 1 device instead of 2, batch 8 a device"],
        ["goes on with 2 devices instead of 1, batch 4 a device"],
    ]
