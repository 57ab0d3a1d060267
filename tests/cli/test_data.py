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
from conftest import densenet, passed
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
