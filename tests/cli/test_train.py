"""Training through the command, in real processes:
the same run whatever happens to it on the way.
"""

import gzip
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from conftest import (
    EPOCHS_OF_DIGITS_RUN,
    SMALL_RUN,
    TINY,
    densenet,
    passed,
    refused,
    started,
    wait_until,
)
from PIL import Image
from run_directories import (
    assert_one_sound_run,
    events,
    finished_epochs,
    left_running,
    parameters,
)

from archspec.graph.build import build_graph
from archspec.spec.load import load_spec
from archspec.train.data.datasets import open_data
from archspec.train.inference.evaluate import evaluate
from archspec.train.inference.open_trained import open_trained
from archspec.train.inference.predict import predict
from archspec.train.planning import create, plan_run
from archspec.train.recipe.recipe import load_recipe

BARE_PATH = "/usr/bin:/bin"


# ---- flags


def test_flags_and_overrides_reach_what_the_run_saves(tmp_path):
    """Every flag, `--set` for the spec and `--set recipe.` for the recipe."""
    flags = (
        "--epochs",
        1,
        "--batch-size",
        32,
        "--lr",
        0.02,
        "--seed",
        5,
        "--image-size",
        6,
        "--num-classes",
        12,
    )
    rest = (*TINY, "--set", "recipe.label_smoothing=0.2", "--set", "drop_rate=0.1", "--out", "run")
    text = passed(densenet("train", *flags, *rest, cwd=tmp_path))
    assert "12 classes, images 6 x 6" in text
    spec, recipe = load_spec(tmp_path / "run/spec.yaml"), load_recipe(tmp_path / "run/recipe.yaml")
    assert (spec.input.height, spec.input.width, spec.head.num_classes, spec.drop_rate) == (
        6,
        6,
        12,
        0.1,
    )
    assert [block.layers for block in spec.blocks] == [1, 1]
    assert (recipe.epochs, recipe.batch_size, recipe.seed, recipe.label_smoothing) == (
        1,
        32,
        5,
        0.2,
    )
    assert recipe.schedule.learning_rate == 0.02
    # Classes beyond the data's have no name, but a network just begun may well guess them.
    picture = tmp_path / "digit.png"
    Image.new("L", (8, 8)).save(picture)
    trained = open_trained(str(tmp_path / "run"))
    (guesses,) = predict(trained, [picture])
    assert {name for name, _ in guesses} <= {*map(str, range(10)), "class 10", "class 11"}


def test_a_dry_run_prints_the_exact_command_of_a_server_and_leaves_nothing(no_mindspore, tmp_path):
    """Both worker counts, the join, core binding, the port,
    the log directory: eight Ascend devices.

    It answers where MindSpore cannot be imported, and so does one for this process alone. What the
    line wants is said beside it.
    """
    assert "Nothing was started or written.\n" in passed(
        densenet("train", "--dry-run", cwd=tmp_path, env=no_mindspore)
    )
    arguments = ("--devices", 8, "--device-target", "Ascend", "--out", "run", "--dry-run")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = densenet("train", *arguments, cwd=tmp_path, env={**no_mindspore, "PATH": path})
    assert done.returncode == 0
    assert f"needs the run directory {tmp_path}/run, which only a real start makes" in done.stderr
    assert done.stdout == (
        "msrun --worker_num=8 --local_worker_num=8 --master_port=8118 --join=True --bind_core=True "
        f"--tail_worker_log=8 --log_dir={tmp_path}/run/workers "
        f"python -m archspec.train.distributed.training_worker {tmp_path}/run\n"
    )
    assert not list(tmp_path.iterdir())
    watched = ("--restarts", 3, "--hang-after=600")
    chosen = ("--device-ids", "0,2,5", *watched, *arguments[2:])
    done = densenet("train", *chosen, cwd=tmp_path, env={**no_mindspore, "PATH": path})
    assert done.stdout.startswith("env ASCEND_RT_VISIBLE_DEVICES=0,2,5 msrun --worker_num=3 ")
    # What watches the processes is no part of msrun's line.
    words = " ".join(map(str, chosen[:-1]))
    assert f"only a real start makes:\ndensenet train {words}\nmakes it, runs" in done.stderr


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--device-ids", "0,1"), "goes with --device-target Ascend"),
        (
            ("--device-ids", "0,1", "--device-target", "Ascend", "--devices", 3),
            "0,1 names 2 devices, --devices says 3",
        ),
        (("--device-ids", "0,0", "--device-target", "Ascend"), "names a device twice"),
        (("--device-ids", "0-3", "--device-target", "Ascend"), "no list such as 0,2,5"),
    ],
)
def test_devices_are_named_once_each_and_as_many_as_there_are(given, words, no_mindspore, tmp_path):
    done = densenet("train", "--dry-run", *given, cwd=tmp_path, env=no_mindspore)
    assert done.returncode == 2
    assert words in " ".join(done.stderr.split())


def test_a_dry_run_in_this_process_says_what_would_be_done(no_mindspore, tmp_path):
    """Data, recipe and why it is taken, steps, rates, place: 1,295 scans in steps of 64."""
    given = ("--epochs", 4, "--set", "recipe.schedule.warmup_epochs=2", "-o", "run", "--dry-run")
    text = passed(densenet("train", *given, cwd=tmp_path, env=no_mindspore))
    assert text.splitlines() == [
        "densenetbc_digits: 10 classes, images 8 x 8",
        "recipe digits (chosen for the embedded digits): rate 0.1, 4 epochs, batch 64",
        "data digits: 1,295 images to learn from, 143 to choose by, 359 to judge with; 10 classes",
        "steps: 20 an epoch, 80 in all",
        "rate: 0.0025 at first, 0.0001541 at last, highest 0.1 in epoch 2",
        f"run directory {tmp_path}/run",
        "Nothing was started or written.",
    ]
    assert not list(tmp_path.iterdir())


def test_a_dry_run_with_published_weights_chooses_fine_tuning_and_fetches_nothing(
    no_mindspore, tmp_path
):
    """There is no network here, and no file in the cache folder."""
    data = pictures(tmp_path / "data", images=40)
    nowhere = {"DENSENET_CACHE": f"{tmp_path}/cache", "DENSENET_WEIGHTS_URL": "https://127.0.0.1:1"}
    given = ("densenet121", "--pretrained", "--data-dir", data, "--dry-run")
    done = densenet("train", *given, cwd=tmp_path, env={**no_mindspore, **nowhere})
    line = "recipe imagefolder_finetune (chosen for --pretrained): rate 0.00125, 10 epochs"
    assert line in done.stdout
    assert done.stderr.startswith("would download densenet121")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    other = densenet("train", *given[1:], cwd=tmp_path, env={**no_mindspore, **nowhere})
    refused(other, "N001 there are no published weights of this network")


def test_a_folder_of_a_thousand_classes_on_ascend_takes_mindcvs_recipe(no_mindspore, tmp_path):
    """It says so, with the rate of one device: 0.1 x 32 / 256."""
    for part, number in product(("train", "val"), range(1000)):
        folder = tmp_path / "data" / part / f"{number:04}"
        folder.mkdir(parents=True)
        colour = (number // 256, number % 256, 200 * (part == "val"))
        Image.new("RGB", (1, 1), colour).save(folder / "image.png")
    given = ("densenet121", "--data-dir", "data", "--dry-run")
    text = passed(
        densenet("train", *given, "--device-target", "Ascend", cwd=tmp_path, env=no_mindspore)
    )
    assert (
        "recipe imagenet_ascend (chosen for Ascend and 1,000 classes of 1,000 images): "
        "rate 0.0125, 120 epochs, batch 32\n" in text
    )
    text = passed(densenet("train", *given, cwd=tmp_path, env=no_mindspore))
    assert "recipe imagefolder (chosen for a folder of images): rate 0.05, 30 epochs" in text


@pytest.mark.slow
def test_a_dry_run_where_there_is_a_run_is_refused_as_the_start_would_be(tmp_path):
    """By this process or several."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").touch()
    real = refused(
        densenet("train", "--out", "run", cwd=tmp_path), "run T001 exists and is not empty"
    )
    assert refused(densenet("train", "--out", "run", "--dry-run", cwd=tmp_path)) == real
    assert (
        refused(densenet("train", "--out", "run", "--dry-run", "--devices", 2, cwd=tmp_path))
        == real
    )


@pytest.mark.slow
def test_the_line_of_a_dry_run_works_in_a_shell_that_knows_nothing_of_this_python(tmp_path):
    """Once there is a run directory, also one with a space in its name."""
    done = densenet(
        "train",
        "--devices",
        2,
        "--out",
        "a run",
        "--dry-run",
        cwd=tmp_path,
        env={"PATH": BARE_PATH},
    )
    assert done.stdout.startswith(f'env PATH={Path(sys.executable).parent}:"$PATH" msrun ')
    overrides = {"spec_overrides": ["block_config=[1, 1]"], "recipe_overrides": ["epochs=1"]}
    create(plan_run("densenetbc_digits", devices=2, **overrides), tmp_path / "a run")
    shell = subprocess.run(
        ["/bin/sh", "-c", done.stdout], cwd=tmp_path, env={"PATH": BARE_PATH}, check=False
    )
    assert shell.returncode == 0
    assert_one_sound_run(tmp_path / "a run", ranks=2, epochs=1)


# ---- what cannot start


@pytest.mark.parametrize("devices", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_start_that_the_machine_does_not_allow_leaves_nothing(devices, tmp_path):
    """No device of that kind: an error,
    no advice to go on with what never began, no run directory.
    """
    arguments = ("--device-target", "Ascend", "--devices", devices, "--out", "run")
    done = densenet("train", *arguments, cwd=tmp_path)
    assert refused(done, "E004 device_target (='Ascend')").count("\n") == 1
    assert "--resume" not in done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_disk_without_room_for_the_first_event_is_one_error_and_nothing_is_left(full_disk):
    """The folder itself found its place."""
    (full_disk / "others").write_bytes(bytes(36 * 1024))
    given = (*TINY, "--epochs", 1, "--out", full_disk / "run")
    lines = refused(densenet("train", *given), "T002 cannot be written: No space left on device")
    assert lines.count("\n") == 1
    assert [path.name for path in full_disk.iterdir()] == ["others"]


# ---- the same run


@pytest.mark.slow
def test_another_seed_gives_other_weights(small_run, tmp_path):
    """From start to end; that initial weights follow from the seed is tested with the step."""
    passed(densenet("train", *SMALL_RUN, "--seed", 1, "--out", "other", cwd=tmp_path))
    assert parameters(tmp_path / "other", "best") != parameters(small_run, "best")


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights_bit_for_bit(small_run, tmp_path):
    """And the same figures; the quick test of it is the resumed run below."""
    passed(densenet("train", *SMALL_RUN, "--seed", 0, "--out", "again", cwd=tmp_path))
    assert parameters(tmp_path / "again", "best") == parameters(small_run, "best")
    assert events(tmp_path / "again") == events(small_run)


@pytest.mark.slow
def test_a_run_that_is_ended_three_times_and_resumed_ends_as_one_in_one_go(digits_run, tmp_path):
    """Killed after the first epoch, stopped by SIGTERM and by Ctrl-C after the next ones: these
    exit with their number and say how to go on; then equal weights and figures, bit for bit.
    """
    run = tmp_path / "run"
    command = ("train", "--epochs", EPOCHS_OF_DIGITS_RUN, "--out", "run")
    for epoch, number in enumerate((signal.SIGKILL, signal.SIGTERM, signal.SIGINT), start=1):
        process = started(*command, cwd=tmp_path)
        wait_until(lambda epoch=epoch: finished_epochs(run) >= epoch, process)
        process.send_signal(number)
        text, errors = process.communicate()
        assert errors == ""
        if number == signal.SIGKILL:
            assert process.returncode == -number
        else:
            assert process.returncode == 128 + number
            assert text.endswith(f"Interrupted. Go on with: densenet train --resume {run}\n")
        command = ("train", "--resume", "run")
    text = passed(densenet(*command, cwd=tmp_path))
    assert " done\n" in text
    assert "epoch 1/" not in text
    assert parameters(run, "last") == parameters(digits_run, "last")
    assert parameters(run, "best") == parameters(digits_run, "best")
    latest = {event["epoch"]: event for event in events(run)}
    assert list(latest.values()) == events(digits_run)
    assert events(run, "end") == events(digits_run, "end")


@pytest.mark.slow
def test_resuming_a_finished_run_changes_nothing(digits_run, tmp_path):
    """It says the figures once more."""
    shutil.copytree(digits_run, tmp_path / "run")
    passed(densenet("train", "--resume", "run", cwd=tmp_path))
    assert parameters(tmp_path / "run", "last") == parameters(digits_run, "last")
    assert events(tmp_path / "run", "end") == events(digits_run, "end") * 2


@pytest.mark.slow
def test_a_run_that_has_ended_goes_on_for_another_epoch(small_run, tmp_path):
    """At its constant rate; fewer epochs than are done are refused."""
    run = tmp_path / "run"
    shutil.copytree(small_run, run)
    fault = "--epochs 1 S004 epochs (=1) must be at least the 2 that the run has done"
    refused(densenet("train", "--resume", "run", "--epochs", 1, cwd=tmp_path), fault)
    command = ("train", "--resume", "run", "--epochs", 3, "--profile")
    text = passed(densenet(*command, cwd=tmp_path))
    check_profile(run, text)
    first = "epochs: 2 -> 3, 2 of them done; constant: the rate stays as it was, 0.1 now\n"
    assert text.startswith(first)
    assert [event["epoch"] for event in events(run)] == [1, 2, 3]
    assert load_recipe(run / "recipe.yaml").epochs == 3


def check_profile(run, text):
    """Each convolution of the graph ran once a step, and took a part of it."""
    kinds = [op.kind for op in build_graph(load_spec(run / "spec.yaml")).ops.values()]
    lines = (run / "profile/operators.csv").read_text().splitlines()
    rows = {
        name: (float(calls), float(ms)) for name, calls, ms in (x.split(",") for x in lines[1:])
    }
    assert rows["Conv2D"][0] == rows["Conv2DBackpropFilter"][0] == kinds.count("conv")
    slowest = [ms for _, ms in rows.values()]
    assert slowest == sorted(slowest, reverse=True)
    step = float(text.partition("a step took ")[2].partition(" ms")[0])
    assert 0 < rows["Conv2D"][1] < step


def test_several_devices_are_not_profiled(no_mindspore, tmp_path):
    """They train in processes that this one does not see into."""
    done = densenet("train", "--profile", "--devices", 2, cwd=tmp_path, env=no_mindspore)
    assert done.returncode == 2
    assert "--profile: looks at a run in this process" in " ".join(done.stderr.split())


@pytest.mark.slow
def test_a_dry_run_of_a_run_that_goes_on_says_what_is_left_and_changes_nothing(small_run, tmp_path):
    """Also where it would learn for longer, from data that have moved; edited files end it."""
    run = tmp_path / "run"
    shutil.copytree(small_run, run)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    dry = ("train", "--resume", "run", "--dry-run")
    steps = events(run, "start")[0]["steps"]
    text = passed(densenet(*dry, cwd=tmp_path))
    assert f"done: 2 of 2 epochs and 0 of {steps} steps of the next; 0 steps are left\n" in text
    assert text.endswith("there is nothing left to learn\nNothing was started or written.\n")
    text = passed(densenet(*dry, "--epochs", 5, cwd=tmp_path))
    assert "epochs: 2 -> 5, 2 of them done; constant: the rate stays as it was, 0.1 now\n" in text
    assert f"; {3 * steps} steps are left\nrate: 0.1 now, 0.1 at last\n" in text
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    done = densenet(*dry, "--accept-changes", cwd=tmp_path)
    assert done.returncode == 2
    assert "leave out --dry-run" in " ".join(done.stderr.split())
    last = run / "checkpoints" / "last.ckpt"
    last.write_bytes(before[last][:-9])
    text = passed(densenet(*dry, cwd=tmp_path))
    assert "last.ckpt is damaged: a real start goes on from previous.ckpt, the one before" in text
    assert f"done: 1 of 2 epochs and 0 of {steps} steps of the next; {steps} steps" in text
    text = (run / "recipe.yaml").read_text("utf-8")
    (run / "recipe.yaml").write_text(text.replace("epochs: 2", "epochs: 3"), "utf-8")
    refused(densenet(*dry, cwd=tmp_path), "T016 was changed since the run began: epochs: 2 -> 3")


@pytest.mark.slow
def test_a_run_that_is_extended_ends_as_one_that_was_begun_so(small_run, tmp_path):
    """Where the schedule has the same rates, bit for bit."""
    shutil.copytree(small_run, tmp_path / "run")
    passed(densenet("train", "--resume", "run", "--epochs", 4, "--profile", cwd=tmp_path))
    passed(densenet("train", *SMALL_RUN, "--epochs", 4, "--out", "other", cwd=tmp_path))
    assert parameters(tmp_path / "run", "last") == parameters(tmp_path / "other", "last")
    assert events(tmp_path / "run") == events(tmp_path / "other")


@pytest.mark.slow
def test_what_is_refused_of_a_run_that_goes_on_changes_nothing(small_run, tmp_path):
    """Its epochs are not written before its devices are refused."""
    run = shutil.copytree(small_run, tmp_path / "run")
    before = (run / "recipe.yaml").read_text()
    done = densenet("train", "--resume", run, "--devices", 5, "--epochs", 50, cwd=tmp_path)
    refused(done, "T010", "devices (=5) must share")
    assert (run / "recipe.yaml").read_text() == before


@pytest.mark.slow
def test_the_default_network_reads_99_of_100_digits(tmp_path):
    """`densenet train` alone, on scans that neither trained it nor chose the checkpoint."""
    text = passed(densenet("train", cwd=tmp_path))
    (run,) = (tmp_path / "runs").iterdir()
    assert str(run) in text
    (end,) = events(run, "end")
    assert (end["part"], end["images"]) == ("test", 359)
    assert end["top1"] >= 0.99


# ---- what happens to a run's folder


@pytest.mark.slow
def test_damaged_checkpoints_are_said_and_the_run_ends_as_it_would_have(small_run, tmp_path):
    """`validate` refuses the best; going on takes the checkpoint before the last, and finds the
    same best anew.
    """
    run = tmp_path / "run"
    shutil.copytree(small_run, run)
    for name in ("last", "best"):
        path = run / f"checkpoints/{name}.ckpt"
        raw = bytearray(path.read_bytes())
        raw[len(raw) // 2] ^= 1
        path.write_bytes(raw)
    refused(
        densenet("validate", "run", cwd=tmp_path), run / "checkpoints/best.ckpt R002 is damaged"
    )
    text = passed(densenet("train", "--resume", "run", cwd=tmp_path))
    assert "last.ckpt: is damaged (kept as last.ckpt.damaged); going on from previous.ckpt" in text
    assert "best.ckpt: is damaged (kept as best.ckpt.damaged)" in text
    assert ", 1 epoch done" in text
    assert [event["text"].partition(" ")[0] for event in events(run, "note")] == [
        f"{run}/checkpoints/last.ckpt:",
        f"{run}/checkpoints/best.ckpt:",
    ]
    assert parameters(run, "last") == parameters(small_run, "last")
    passed(densenet("validate", "run", cwd=tmp_path))


@pytest.mark.slow
def test_a_finished_run_whose_best_is_gone_is_judged_by_its_last(small_run, tmp_path):
    """It says so, and loses nothing."""
    run = tmp_path / "run"
    shutil.copytree(small_run, run)
    (run / "checkpoints/best.ckpt").unlink()
    last = run / "checkpoints/last.ckpt"
    done = densenet("validate", "run", cwd=tmp_path)
    refused(done, f"R001 there is no such checkpoint (the last one is whole: --ckpt {last})")
    text = passed(densenet("train", "--resume", "run", cwd=tmp_path))
    assert "best.ckpt: is gone" in text
    assert "best.ckpt is gone or damaged. last.ckpt is right on " in text
    assert events(run, "end")[-1]["checkpoint"] == "last.ckpt"
    assert parameters(run, "last") == parameters(small_run, "last")


@pytest.mark.slow
def test_edited_files_are_refused_until_they_are_accepted_and_then_certified_anew(
    small_run, tmp_path
):
    """The run goes on with them, and its certificate is about the network that it has now."""
    run = tmp_path / "run"
    shutil.copytree(small_run, run)
    for name, change in (
        ("recipe", ("epochs: 2", "epochs: 3")),
        ("spec", ("drop_rate: 0.0", "drop_rate: 0.1")),
    ):
        file = run / f"{name}.yaml"
        assert change[0] in file.read_text()
        file.write_text(file.read_text().replace(*change))
    (run / "certificate.json").write_text("{}")
    done = densenet("train", "--resume", "run", cwd=tmp_path)
    lines = refused(done, "T016", "epochs: 2 -> 3", "drop_rate: 0.0 -> 0.1", "--accept-changes")
    assert lines.count("\n") == 2
    text = passed(densenet("train", "--resume", "run", "--accept-changes", cwd=tmp_path))
    assert "the run goes on with spec.yaml and recipe.yaml as they are now\ncertified: " in text
    assert [event["epoch"] for event in events(run)] == [1, 2, 3]
    assert json.loads((run / "certificate.json").read_text())["equal"] is True
    passed(densenet("train", "--resume", "run", cwd=tmp_path))
    done = densenet("train", "--accept-changes", cwd=tmp_path)
    assert done.returncode == 2
    assert "goes with --resume alone" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 2])
def test_a_second_resume_of_a_run_is_refused_while_the_first_trains(devices, tmp_path):
    """T017 names the process; the run can be validated meanwhile, and resumed afterwards."""
    run = tmp_path / "run"
    first = started(
        "train", *TINY, "--devices", devices, "--epochs", 100, "--out", "run", cwd=tmp_path
    )
    wait_until(lambda: finished_epochs(run) >= 1, first)
    done = densenet("train", "--resume", "run", cwd=tmp_path)
    lines = refused(done, f"{run} T017 is being trained by process {first.pid} on ")
    assert lines.count("\n") == 1
    passed(densenet("validate", "run", cwd=tmp_path))
    first.send_signal(signal.SIGTERM)
    assert "Interrupted." in first.communicate()[0]
    assert first.returncode == 143
    second = started("train", "--resume", "run", cwd=tmp_path)
    done = finished_epochs(run)
    wait_until(lambda: finished_epochs(run) > done, second)
    second.send_signal(signal.SIGTERM)
    second.communicate()
    assert left_running(run) == []


# ---- several processes


def find_own(run: Path, rank: int, epoch: int) -> tuple[float, float]:
    """What a worker's log says of its own images: mean loss, share of right answers."""
    text = (run / f"workers/worker_{rank}.log").read_text()
    said = re.search(rf"rank {rank} epoch {epoch}: own loss ([\d.]+), accuracy ([\d.]+)%", text)
    return float(said[1]), float(said[2]) / 100


def test_two_processes_train_one_network(tmp_path):
    """Under msrun: equal weights, one set of figures, those of training of the images of both, and
    those of validation are what one process finds in the checkpoint.
    """
    run = tmp_path / "run"
    text = passed(
        densenet("train", *TINY, "--devices", 2, "--epochs", 2, "--out", "run", cwd=tmp_path)
    )
    assert "global batch 128" in text
    assert text.count("epoch 1/2  loss") == 1
    assert_one_sound_run(run, ranks=2, epochs=2)
    assert "\nstarting 2 processes\n" in text
    for event in events(run):
        own = [find_own(run, rank, event["epoch"]) for rank in range(2)]
        assert own[0] != own[1]
        assert event["loss"] == pytest.approx(sum(loss for loss, _ in own) / 2, abs=1e-6)
        assert event["accuracy"] == pytest.approx(sum(share for _, share in own) / 2, abs=1e-4)
    found = json.loads(passed(densenet("validate", run, "--json", cwd=tmp_path)))
    (end,) = events(run, "end")
    assert {key: found[key] for key in ("images", "top1", "top5")} == {
        key: end[key] for key in ("images", "top1", "top5")
    }
    assert found["loss"] == pytest.approx(end["loss"], rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["none", "{kind: group, groups: 2}"])
def test_two_processes_train_a_network_without_moving_statistics(norm, tmp_path):
    """There is nothing to share between them but the gradients."""
    given = (*TINY, "--set", f"norm={norm}", "--lr", 0.01, "--devices", 2, "--epochs", 2)
    passed(densenet("train", *given, "--no-certify", "--out", "run", cwd=tmp_path))
    assert_one_sound_run(tmp_path / "run", ranks=2, epochs=2)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("devices", [1, 2])
def test_a_run_that_a_signal_ends_says_how_to_go_on(devices, number, tmp_path):
    """In one process and in several: exit code 128 + signal, one line,
    no process left; and the line works.
    """
    run = tmp_path / "a run"
    process = started(
        "train", *TINY, "--devices", devices, "--epochs", 10, "--out", run.name, cwd=tmp_path
    )
    wait_until(lambda: finished_epochs(run) >= 2, process)
    process.send_signal(number)
    text, errors = process.communicate()
    assert (process.returncode, errors) == (128 + number, "")
    line = text.rpartition("\n\n")[2]
    assert line == f"Interrupted. Go on with: densenet train --resume '{run}'\n"
    assert left_running(run) == []
    words = shlex.split(line.partition(": ")[2])[1:]
    passed(densenet(*words, cwd=tmp_path))
    latest = {event["epoch"]: event for event in events(run)}
    assert list(latest) == list(range(1, 11))
    assert left_running(run) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_two_devices_that_validate_loses_no_epoch(number, tmp_path):
    """The validation ends, the epoch is saved, and the run ends as one that nobody ended."""
    pictures(tmp_path / "data", images=40)
    rgb = ("--set", "input.channels=3", "--set", "recipe.batch_size=8")
    words = (*TINY, *rgb, "--data-dir", "data", "--epochs", 3, "--devices", 2)
    passed(densenet("train", *words, "--out", "unbroken", cwd=tmp_path))
    run = tmp_path / "run"
    process = started("train", *words, "--out", "run", cwd=tmp_path)

    metrics = run / "metrics.jsonl"
    wait_until(lambda: metrics.exists() and '"validating"' in metrics.read_text(), process)
    process.send_signal(number)
    process.communicate()
    assert process.returncode == 128 + number
    assert left_running(run) == []
    passed(densenet("train", "--resume", "run", cwd=tmp_path))
    assert parameters(run, "last") == parameters(tmp_path / "unbroken", "last")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_ended_before_its_first_epoch_goes_on_from_there(number, tmp_path):
    """While MindSpore is imported or the network compiled."""
    run = tmp_path / "run"
    process = started("train", *TINY, "--epochs", 1, "--out", "run", cwd=tmp_path)
    wait_until((run / "log.txt").is_file, process)
    process.send_signal(number)
    text, errors = process.communicate()
    assert (process.returncode, errors) == (128 + number, "")
    assert f"Go on with: densenet train --resume {run}\n" in text
    passed(densenet("train", "--resume", run, cwd=tmp_path))
    assert [event["epoch"] for event in events(run)] == [1]


@pytest.mark.slow
def test_two_processes_find_the_validation_accuracy_that_one_finds(tmp_path):
    """Of each epoch's best network over the 143 images that choose it,
    shared between the ranks unevenly.
    """
    passed(densenet("train", "--devices", 2, "--epochs", 3, "--out", "run", cwd=tmp_path))
    assert_one_sound_run(tmp_path / "run", ranks=2, epochs=3)
    best = max(events(tmp_path / "run"), key=lambda event: (event["val_top1"], event["epoch"]))
    trained = open_trained(str(tmp_path / "run"))
    found = evaluate(trained, open_data(None).split(seed=trained.recipe.seed).val, batch_size=50)
    assert (found.images, found.top1, found.top5) == (143, best["val_top1"], best["val_top5"])
    assert found.loss == pytest.approx(best["val_loss"], rel=1e-5)


# ---- data sets of every layout


def pictures(root: Path, classes=("cat", "dog"), images=6) -> Path:
    """A folder of pictures: class by class another brightness, JPEG and PNG, of several sizes."""
    rng = np.random.default_rng(0)
    for part, (label, name), number in product(("train", "val"), enumerate(classes), range(images)):
        folder = root / part / name
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 100, (20 + number, 30, 3)) + 120 * label
        Image.fromarray(pixels.astype(np.uint8)).save(
            folder / f"{number}.{('jpg', 'png')[number % 2]}"
        )
    return root


def cifar10(root: Path) -> Path:
    """The official binary layout: a label byte, then 3 x 32 x 32 bytes, in six files."""
    folder = root / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    names = [
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ]
    (folder / "batches.meta.txt").write_text("\n".join(names) + "\n")
    rng = np.random.default_rng(0)
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        records = rng.integers(0, 256, (20, 3073), np.uint8)
        records[:, 0] = np.arange(20) % 10
        (folder / f"{name}.bin").write_bytes(records.tobytes())
    return root


def idx(root: Path) -> Path:
    """Idx files as MNIST's: big-endian sizes, then bytes; one of them gzipped."""
    root.mkdir()
    rng = np.random.default_rng(0)
    for prefix, count in (("train", 60), ("t10k", 30)):
        images = bytes([0, 0, 8, 3]) + np.array([count, 28, 28], ">i4").tobytes()
        images += rng.integers(0, 256, (count, 28, 28), np.uint8).tobytes()
        labels = (
            bytes([0, 0, 8, 1])
            + np.array([count], ">i4").tobytes()
            + (np.arange(count) % 10).astype("u1").tobytes()
        )
        (root / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
        (root / f"{prefix}-labels-idx1-ubyte").write_bytes(labels)
    return root


COLOUR = ("--set", "input.channels=3")
LAYOUTS = {
    "folder": (pictures, ("--batch-size", 4, "--image-size", 16, *COLOUR), "imagefolder", 2, 12),
    "cifar10": (cifar10, ("--batch-size", 10, "--image-size", 32, *COLOUR), "cifar_paper", 10, 20),
    "mnist": (idx, ("--batch-size", 10, "--image-size", 28), "mnist", 10, 30),
}


QUICK = ("folder",)


@pytest.mark.parametrize(
    "layout",
    [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in LAYOUTS],
)
def test_data_sets_of_every_layout_train(layout, tmp_path):
    """The layout is noticed, recipe and number of classes follow from it,
    every held-out image is judged.
    """
    make, flags, recipe, classes, images = LAYOUTS[layout]
    data = make(tmp_path / "data")
    text = passed(
        densenet(
            "train", *TINY, *flags, "--data-dir", data, "--epochs", 1, "--out", "run", cwd=tmp_path
        )
    )
    assert f" on {layout}: {classes} classes, images " in text
    assert f"\nrecipe {recipe} (chosen for " in text
    (end,) = events(tmp_path / "run", "end")
    assert (end["part"], end["images"]) == ("val" if layout == "folder" else "test", images)


def test_photographs_train_validate_and_are_named(shared, tmp_path):
    """A real image folder of ten classes: 600 images train, all 240 are validated,
    predict says class names.
    """
    data = shared / "data" / "clothing"
    if not data.is_dir():
        pytest.skip("the photographs are not beside the project's root")
    flags = (
        "--image-size",
        32,
        *COLOUR,
        "--set",
        "block_config=[2, 2]",
        "--epochs",
        1,
        "--out",
        "run",
    )
    text = passed(densenet("train", *flags, "--data-dir", data, cwd=tmp_path))
    assert "10 classes, images 32 x 32" in text
    assert "of 240 validation images" in text
    found = json.loads(passed(densenet("validate", "run", "--json", cwd=tmp_path)))
    assert found["images"] == 240
    classes = {folder.name for folder in (data / "val").iterdir()}
    line = passed(densenet("predict", "run", sorted((data / "val/hat").iterdir())[0], cwd=tmp_path))
    named = [guess.rpartition(" ")[0] for guess in line.partition(": ")[2].split(", ")]
    assert len(named) == 5
    assert set(named) <= classes
