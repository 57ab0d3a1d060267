"""TensorBoard's event files, read by the records' own format and checks."""

import json
import os
import struct

import numpy as np
import pytest
from conftest import TINY, densenet, refused
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.record_writer import masked_crc32c

from archspec import train
from archspec.errors import Place
from archspec.train.monitoring.board import drop_steps, report_to_board
from archspec.train.run.extend import change_epochs

SMALL = ["block_config=[1, 1]", "growth_rate=4"]


def read_records(path):
    """Every record of a file: length, its check, data, their check (TFRecord)."""
    data, place, found = path.read_bytes(), 0, []
    while place < len(data):
        (length,) = struct.unpack_from("<Q", data, place)
        (check,) = struct.unpack_from("<I", data, place + 8)
        assert check == masked_crc32c(data[place : place + 8])
        body = data[place + 12 : place + 12 + length]
        assert struct.unpack_from("<I", data, place + 12 + length)[0] == masked_crc32c(body)
        found.append(Event.FromString(body))
        place += 16 + length
    assert found[0].file_version == "brain.Event:2"
    return found


def read_scalars(folder):
    """(tag, step, value) of all files, in their order."""
    found = []
    for path in sorted(folder.iterdir()):
        for record in read_records(path):
            found += [
                (value.tag, record.step, value.simple_value) for value in record.summary.value
            ]
    return found


def step(number, epoch=1, loss=2.0):
    figures = {"loss": loss, "accuracy": 0.5, "learning_rate": 0.1, "images_per_second": 9.0}
    return {"event": "step", "epoch": epoch, "step": number, **figures}


EPOCH = {
    "event": "epoch",
    "epoch": 1,
    "loss": 1.5,
    "accuracy": 0.25,
    "val_loss": 1.0,
    "val_top1": 0.5,
    "val_images": 9,
    "ema_top1": 0.75,
    "seconds": 3.0,
    "is_best": True,
}


def write_board(run, *events, done=0):
    told = []
    report = report_to_board(run, told.append, steps=10, done=done)
    for event in events:
        report(event)
    return told


def test_steps_and_epochs_are_counted_through_the_run(tmp_path):
    write_board(tmp_path, {"event": "start"}, step(10), EPOCH, step(4, epoch=2, loss=float("nan")))
    found = read_scalars(tmp_path / "tensorboard")
    assert ("loss", 10, 2.0) in found
    assert ("images_per_second", 14, 9.0) in found
    assert [entry for entry in found if entry[0] not in {"learning_rate", "images_per_second"}][
        2:7
    ] == [
        ("epoch/loss", 10, 1.5),
        ("epoch/accuracy", 10, 0.25),
        ("val_loss", 10, 1.0),
        ("val_top1", 10, 0.5),
        ("ema_top1", 10, 0.75),
    ]
    assert np.isnan(next(value for tag, at, value in found if (tag, at) == ("loss", 14)))


@pytest.mark.parametrize("cut", [0, 3])
def test_steps_that_are_done_again_are_there_once(cut, tmp_path):
    """Also where the process before was killed within a record."""
    write_board(tmp_path, step(3), step(6), step(9, loss=5.0))
    (file,) = (tmp_path / "tensorboard").iterdir()
    file.write_bytes(file.read_bytes()[: -cut or None])
    write_board(tmp_path, step(9, loss=4.0), EPOCH, done=6)
    losses = [entry for entry in read_scalars(tmp_path / "tensorboard") if entry[0] == "loss"]
    assert sorted(losses) == [("loss", 3, 2.0), ("loss", 6, 2.0), ("loss", 9, 4.0)]


@pytest.mark.parametrize("junk", [b"", b"x", b"\xff" * 40, struct.pack("<Q", 4) + b"junkjunkjunk"])
def test_files_of_others_are_cut_where_they_are_no_records(junk, tmp_path):
    write_board(tmp_path, step(3))
    (file,) = (tmp_path / "tensorboard").iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole + junk)
    drop_steps(file, 10)
    assert file.read_bytes() == whole
    drop_steps(tmp_path / "gone", 10)


def test_a_folder_that_cannot_be_written_is_told_once_and_the_run_goes_on(tmp_path):
    (tmp_path / "tensorboard").write_text("in the way")
    told = write_board(tmp_path, step(1), step(2), EPOCH)
    assert [event["event"] for event in told] == ["step", "note", "step", "epoch"]
    assert "nothing more is written for TensorBoard" in told[1]["text"]


@pytest.mark.slow
def test_a_run_writes_what_its_metrics_say_and_goes_on_in_the_same_folder(tmp_path):
    """All steps and epochs of metrics.jsonl, each once, whoever wrote them."""
    settings = ["epochs=1", "tensorboard=true"]
    plan = train.plan("densenetbc_digits", spec_overrides=SMALL, recipe_overrides=settings)
    first = train.fit(plan, tmp_path / "run").run
    train.fit(change_epochs(first, 2, Place("--epochs 2", "command line"))[0])
    run = tmp_path / "run"
    events = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    found = {(tag, at): value for tag, at, value in read_scalars(run / "tensorboard")}
    assert len(found) == len(read_scalars(run / "tensorboard"))
    for event in events:
        if event["event"] == "step":
            at = 20 * (event["epoch"] - 1) + event["step"]
            assert found["loss", at] == pytest.approx(event["loss"])
            assert found["learning_rate", at] == pytest.approx(event["learning_rate"])
        if event["event"] == "epoch":
            assert found["val_top1", 20 * event["epoch"]] == pytest.approx(event["val_top1"])
    assert {at for tag, at in found if tag == "val_loss"} == {20, 40}


def test_without_the_package_nothing_begins(tmp_path):
    """The error says how to get it."""
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked/tensorboardX.py").write_text("raise ImportError\n")
    words = (*TINY, "--set", "recipe.tensorboard=true", "--out", "run")
    path = os.pathsep.join([str(tmp_path / "blocked"), os.environ.get("PYTHONPATH", "")])
    done = densenet("train", *words, cwd=tmp_path, env={"PYTHONPATH": path})
    refused(done, "E009 tensorboardX", "pip install 'densenet-archspec[tensorboard]'")
    assert not (tmp_path / "run").exists()
