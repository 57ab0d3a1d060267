"""densenet data: data sets on the screen and as JSON."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY, densenet, passed, refused, started, wait_until
from mindrecord_sets import foreign_rows, write_records
from mindrecord_sets import photos as write_photos
from PIL import Image


@pytest.fixture
def photos(tmp_path) -> Path:
    """Two classes of 20 images, one of which is broken, one a copy."""
    rng = np.random.default_rng(0)
    for number in range(40):
        path = tmp_path / "photos" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8)).save(path)
    return tmp_path / "photos"


def test_a_sound_data_set_exits_with_0_and_says_what_goes_into_a_recipe(photos, no_mindspore):
    """MindSpore is not needed for it."""
    text = passed(densenet("data", "check", "photos", cwd=photos.parent, env=no_mindspore))
    assert "40 train" in text
    assert "In a recipe: data: {mean: [" in text
    assert text.endswith("Next: densenet train --data-dir photos\n")


def test_what_the_recipe_would_be_told_is_told_so_here(photos, no_mindspore):
    """`--set recipe.KEY=VALUE` as of train; a spec has no part in it."""
    command = ("data", "check", "photos", "--set")
    said = passed(densenet(*command, "recipe.batch_size=36", cwd=photos.parent, env=no_mindspore))
    assert said.endswith("Next: densenet train --data-dir photos --set recipe.batch_size=36\n")
    refused(densenet(*command, "recipe.batch_size=37", cwd=photos.parent), "--set", "T007")
    done = densenet(*command, "growth_rate=4", cwd=photos.parent)
    assert (done.returncode, "recipe.KEY=VALUE" in done.stderr) == (2, True)


def test_a_broken_image_exits_with_1_and_stands_in_the_table_and_the_json(photos):
    """The table is told in whole, then the fault; JSON alone stands on stdout."""
    (photos / "a" / "0.png").write_bytes((photos / "a" / "0.png").read_bytes()[:60])
    done = densenet("data", "check", "photos", cwd=photos.parent)
    assert done.returncode == 1
    assert "1: a/0.png: cannot be read" in done.stdout
    assert "on_error: skip" in done.stdout
    assert done.stderr.startswith("photos/a/0.png D005")
    done = densenet("data", "check", "photos", "--json", cwd=photos.parent)
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert [one["image"] for one in found["broken"]] == ["photos/a/0.png"]
    assert found["counts"] == {"train": {"a": 20, "b": 20}}
    assert found["modes"] == {"colour": 39}
    assert found["faults"] == [done.stderr.splitlines()[-1]]


def test_names_of_classes_and_files_reach_no_screen_as_they_are(photos):
    """In the table, in notes and in faults: control characters are written out; JSON escapes."""
    (photos / "a").rename(photos / "\x1b[2J\x9b\n[a]")
    twin, broken = (photos / "b" / os.fsdecode(name) for name in (b"\xff\x07.png", b"\x1b]0;.png"))
    twin.write_bytes((photos / "b/1.png").read_bytes())
    broken.write_bytes(b"no image")
    (photos / "\x1bother.txt").write_text("")
    done = densenet("data", "check", "photos", cwd=photos.parent)
    shown = done.stdout + done.stderr
    assert not [sign for sign in "\x1b\x9b\x07" if sign in shown]
    for name in (r"\x1b[2J\x9b\n[a]", r"b/\udcff\x07.png", r"b/\x1b]0;.png"):
        assert name in done.stdout
    assert done.stderr.startswith(r"photos/b/\x1b]0;.png D005")
    found = json.loads(densenet("data", "check", "photos", "--json", cwd=photos.parent).stdout)
    assert "\x1b[2J\x9b\n[a]" in found["counts"]["train"]


def test_the_table_folds_at_80_columns_of_a_pipe_or_as_many_as_are_said(photos):
    """Nothing of a long name is lost."""
    name = "".join(chr(97 + n % 26) for n in range(150))
    (photos / "a" / f"{name}.png").write_bytes(b"no image")
    for said, columns in ({}, 80), ({"COLUMNS": "50"}, 50), ({"COLUMNS": "150"}, 150):
        done = densenet("data", "check", "photos", cwd=photos.parent, env=said)
        table = done.stdout.partition("\nIn a recipe")[0].splitlines()
        assert max(map(len, table)) == columns
        assert name in "".join("".join(table).split())


def test_ctrl_c_ends_it_without_a_traceback(photos):
    """However many images are still to be looked at."""
    for number in range(1, 4000):
        (photos / "a" / f"copy{number}.png").hardlink_to(photos / "a" / "0.png")
    command = [sys.executable, "-m", "densenet_cli", "data", "check", str(photos)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        time.sleep(1)
        child.send_signal(signal.SIGINT)
        _, stderr = child.communicate(timeout=60)
    if child.returncode == 0:
        pytest.skip("it was done before")
    assert child.returncode == 130
    assert stderr.strip() in (b"", b"Interrupted")


def test_a_data_set_of_no_known_layout_is_json_too(tmp_path, no_mindspore):
    """A program reads the faults; people have them on standard error as ever."""
    (tmp_path / "empty").mkdir()
    done = densenet("data", "check", "empty", "--json", cwd=tmp_path, env=no_mindspore)
    assert done.returncode == 1
    (fault,) = json.loads(done.stdout)["faults"]
    assert fault in done.stderr
    assert "D002" in fault


def test_the_next_command_has_the_recipe_that_was_looked_at(photos, no_mindspore):
    """Without it, training might not start."""
    (photos.parent / "mine.yaml").write_text("{extends: imagefolder, batch_size: 6}")
    words = ("data", "check", "photos", "--recipe", "mine.yaml")
    text = passed(densenet(*words, cwd=photos.parent, env=no_mindspore))
    assert text.endswith("Next: densenet train --data-dir photos --recipe mine.yaml\n")


def test_packing_says_what_comes_next_and_reading_needs_no_mindspore(photos, no_mindspore):
    """The bytes are the same, and so is all that is found."""
    words = ("data", "pack", "photos", "-o", "new/packed", "--shards", 3)
    text = passed(densenet(*words, cwd=photos.parent))
    assert text.splitlines() == [
        "wrote new/packed: images of 2 classes, 40 in all",
        "Next: densenet train --data-dir new/packed",
    ]
    checks = []
    for folder in ("photos", "new/packed"):
        done = densenet("data", "check", folder, "--json", cwd=photos.parent, env=no_mindspore)
        checks.append(json.loads(passed(done)))
    for what in ("counts", "sizes", "modes", "mean", "std"):
        assert checks[1][what] == checks[0][what]


def test_packing_leaves_out_broken_images_where_it_is_told_to(photos):
    """And names them."""
    (photos / "a" / "0.png").write_bytes((photos / "a" / "0.png").read_bytes()[:60])
    words = ("data", "pack", "photos", "-o", "packed", "--skip-broken")
    text = passed(densenet(*words, cwd=photos.parent))
    assert text.startswith("note: left out: photos/a/0.png D005 cannot be read")
    assert "wrote packed: images of 2 classes, 39 in all" in text


def test_packing_that_is_interrupted_leaves_nothing(photos):
    """Neither files nor the folder that they were put in meanwhile."""
    for copy in range(8_000):
        (photos / "b" / f"copy{copy}.png").hardlink_to(photos / "b" / "1.png")
    root = photos.parent
    child = started("data", "pack", "photos", "-o", "packed", cwd=root)
    wait_until(lambda: any(root.glob(".packed.*.partial/*")), child)
    child.send_signal(signal.SIGINT)
    _, stderr = child.communicate(timeout=60)
    assert child.returncode == 130
    assert stderr.strip() in ("", "Interrupted")
    assert [path.name for path in root.iterdir()] == ["photos"]


def test_records_without_clear_columns_are_told_with_those_that_they_have(tmp_path, no_mindspore):
    """As JSON too."""
    schema = {"a": {"type": "bytes"}, "b": {"type": "int32"}}
    write_records(tmp_path / "x.mindrecord", [{"a": b"x", "b": 1}], schema)
    words = ("data", "check", "x.mindrecord", "--json")
    done = densenet(*words, cwd=tmp_path, env=no_mindspore)
    (fault,) = json.loads(done.stdout)["faults"]
    assert fault.startswith("x.mindrecord D014 has the columns a (bytes), b (int32); wanted")
    assert done.returncode == 1
    assert fault in done.stderr


@pytest.mark.slow
def test_training_on_packed_images_repeats_training_on_their_folder(tmp_path):
    """Losses, figures of validation and weights, to the bit; and a run of the folder goes on with
    the packed images.
    """
    write_photos(tmp_path / "photos", each=12)
    passed(densenet("data", "pack", "photos", "-o", "packed", "--shards", 2, cwd=tmp_path))
    batch = ("--set", "recipe.batch_size=8", "--image-size", 32)
    common = ("train", "densenetbc100_k12", *TINY, *batch, "--epochs", 1, "--no-certify")
    for name in ("photos", "packed"):
        passed(densenet(*common, "--data-dir", name, "--out", f"of_{name}", cwd=tmp_path))
    figures = [read_figures(tmp_path / f"of_{name}") for name in ("photos", "packed")]
    assert figures[0] == figures[1] != []
    kept = [tmp_path / f"of_{name}/checkpoints/last.ckpt" for name in ("photos", "packed")]
    assert kept[0].read_bytes() == kept[1].read_bytes()
    words = ("train", "--resume", "of_photos", "--data-dir", "packed", "--epochs", 2)
    passed(densenet(*words, cwd=tmp_path))
    passed(densenet("validate", "of_photos", cwd=tmp_path))
    passed(densenet("validate", "of_packed", "--data-dir", "packed/val.mindrecord0", cwd=tmp_path))


def read_figures(run: Path) -> list[dict[str, float]]:
    """Return the losses and shares of a run's events."""
    events = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    words = ("loss", "accuracy", "step")
    named = [{k: v for k, v in event.items() if k.endswith(words)} for event in events]
    return [event for event in named if event]


@pytest.mark.slow
def test_a_run_is_trained_and_judged_on_records_that_mindspore_wrote(tmp_path):
    """Without a recipe being named."""
    write_records(tmp_path / "flowers.mindrecord", foreign_rows(60), shards=2)
    size = ("--image-size", 16, "--set", "recipe.batch_size=8")
    words = ("train", "densenetbc100_k12", *TINY, *size, "--epochs", 1, "--no-certify")
    data = ("--data-dir", "flowers.mindrecord0")
    text = passed(densenet(*words, *data, "--out", "run", cwd=tmp_path))
    assert "a MindRecord of images" in text
    passed(densenet("validate", "run", *data, cwd=tmp_path))
