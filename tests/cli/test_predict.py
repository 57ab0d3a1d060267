"""densenet predict: files, folders and patterns in; a table, JSON or CSV out."""

import csv
import io
import json
import os

import numpy as np
import pytest
from conftest import densenet, passed, refused
from PIL import Image
from sklearn.datasets import load_digits

from archspec import train
from archspec.errors import DataError, Place
from archspec.spec.override import Override


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """A folder of scans, some in a folder of their own, with names that CSV must quote."""
    folder = tmp_path_factory.mktemp("scans")
    pixels = (load_digits().images[:6] * 15.9).astype(np.uint8)
    for number, name in enumerate(
        ("zero.png", "one.png", 'two, "2".png', "sub/three.png", "sub/four.png", "sub/five.png")
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        Image.fromarray(pixels[number]).save(folder / name)
    return folder


def test_folders_and_patterns_give_the_figures_of_the_library(digits_run, scans):
    """As CSV: a header, a line an image in the order of the folder, names quoted."""
    text = passed(densenet("predict", digits_run, ".", "--csv", "--top-k", 3, cwd=scans))
    header, *rows = csv.reader(io.StringIO(text))
    wanted = ["image"]
    for number in (1, 2, 3):
        wanted += [f"class_{number}", f"probability_{number}"]
    assert header == wanted
    files = ["one.png", 'two, "2".png', "zero.png", "sub/five.png", "sub/four.png", "sub/three.png"]
    assert [row[0] for row in rows] == files
    guesses = train.predict(digits_run, [scans / file for file in files], top=3)
    for row, best in zip(rows, guesses, strict=True):
        assert row[1::2] == [name for name, _ in best]
        assert [float(share) for share in row[2::2]] == pytest.approx(
            [share for _, share in best], rel=1e-4
        )


@pytest.mark.slow
def test_all_classes_add_up_to_one(digits_run, scans):
    """`--top-k` beyond their number gives them all."""
    words = ("predict", digits_run, "sub/f*.png", "--json", "--top-k", 99, "--batch-size", 1)
    found = json.loads(passed(densenet(*words, cwd=scans)))
    assert [each["image"] for each in found] == ["sub/five.png", "sub/four.png"]
    for each in found:
        shares = [guess["probability"] for guess in each["classes"]]
        assert len(shares) == 10
        assert sum(shares) == pytest.approx(1)


@pytest.mark.slow
def test_images_that_are_left_out_are_named_on_standard_error(digits_run, scans, tmp_path):
    """The others are told; without --skip-broken all broken ones are, at once, and nothing else."""
    (tmp_path / "good.png").write_bytes((scans / "one.png").read_bytes())
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "cut.png").write_bytes((scans / "one.png").read_bytes()[:60])
    told = refused(densenet("predict", digits_run, ".", cwd=tmp_path), "text.png", "cut.png")
    assert "good.png" not in told
    done = densenet("predict", digits_run, ".", "--skip-broken", "--json", cwd=tmp_path)
    assert [each["image"] for each in json.loads(done.stdout)] == ["good.png"]
    lines = [line.partition(" D005")[0] for line in done.stderr.splitlines()]
    assert (done.returncode, lines) == (0, ["left out: cut.png", "left out: text.png"])
    os.remove(tmp_path / "good.png")
    refused(densenet("predict", digits_run, ".", "--skip-broken", cwd=tmp_path), "cut.png D005")


def spoil(whole: bytes) -> bytes:
    """A PNG whose ends look whole; its pixels are not."""
    place = whole.index(b"IDAT") + 4
    return whole[:place] + b"\0" * 8 + whole[place + 8 :]


def test_damage_that_only_decoding_meets_is_left_out_too(digits_run, scans, tmp_path):
    """A PNG with both ends whole; the images around it keep their guesses."""
    whole = (scans / "one.png").read_bytes()
    (tmp_path / "b.png").write_bytes(spoil(whole))
    for name in ("a.png", "c.png"):
        (tmp_path / name).write_bytes(whole)
    files = [tmp_path / name for name in ("a.png", "b.png", "c.png")]
    left_out = {}
    for batch_size in (1, 3):
        first, broken, last = train.predict(
            digits_run, files, leave_out=left_out.__setitem__, batch_size=batch_size
        )
        assert broken == []
        assert first == last != []
        assert list(left_out) == [1]
    with pytest.raises(DataError, match=r"b\.png D005"):
        train.predict(digits_run, files)
    (tmp_path / "c.png").write_bytes(whole[:60])
    left_out.clear()
    with pytest.raises(DataError, match=r"c\.png D005"):
        train.predict(digits_run, files, leave_out=left_out.__setitem__, strict=True)
    assert left_out == {}


@pytest.mark.parametrize("skips", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_others_are_told_before_damage_that_only_decoding_met(
    digits_run, scans, tmp_path, skips
):
    """Minutes of computing are not lost for it; without --skip-broken it is a fault all the same.
    Of several broken images each is named, the last of a batch too.
    """
    whole = (scans / "one.png").read_bytes()
    for number in range(5):
        is_broken = number in (1, 2, 4)
        (tmp_path / f"{number}.png").write_bytes(spoil(whole) if is_broken else whole)
    words = ("predict", digits_run, ".", "--csv", "-b", 3, *["--skip-broken"] * skips)
    done = densenet(*words, cwd=tmp_path)
    rows = list(csv.reader(io.StringIO(done.stdout)))
    assert [row[0] for row in rows] == ["image", "0.png", "3.png"]
    before = "left out: " if skips else ""
    named = [line.partition(" D005")[0] for line in done.stderr.splitlines()]
    assert named == [f"{before}{number}.png" for number in (1, 2, 4)]
    assert done.returncode == (0 if skips else 1)


NAMES = {
    b"\x1b[2J.png": r"\x1b[2J.png",
    "\x9b31m.png".encode(): r"\x9b31m.png",
    b"a\nb.png": r"a\nb.png",
    b"gr\xfc\xdfe.png": r"gr\udcfc\udcdfe.png",
    "\u202egnp.png".encode(): r"\u202egnp.png",
    "\u732b [bold].png".encode(): "\u732b [bold].png",
}


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "form", ["--csv", pytest.param("--json", marks=SLOW), pytest.param(None, marks=SLOW)]
)
def test_names_reach_no_screen_as_they_are(digits_run, scans, tmp_path, form):
    """Control characters, bytes that are no UTF-8, what turns text round; of images that are told
    and of those that are broken. JSON has them as JSON writes them.
    """
    whole = (scans / "one.png").read_bytes()
    for name in NAMES:
        (tmp_path / os.fsdecode(name)).write_bytes(whole)
        (tmp_path / os.fsdecode(b"x" + name)).write_bytes(b"no image")
    words = ("predict", digits_run, ".", "--skip-broken", "--top-k", 1, *filter(None, [form]))
    done = densenet(*words, cwd=tmp_path, env={"PYTHONIOENCODING": "utf-8"})
    assert done.returncode == 0, done.stderr
    assert not [sign for sign in "\x1b\x9b\u202e\udcfc" if sign in done.stdout + done.stderr]
    told = {line.partition(" D005")[0] for line in done.stderr.splitlines()}
    assert told == {f"left out: x{name}" for name in NAMES.values()}
    if form == "--json":
        found = {each["image"] for each in json.loads(done.stdout)}
        assert found == set(map(os.fsdecode, NAMES))
        return
    if form == "--csv":
        rows = csv.reader(io.StringIO(done.stdout))
        assert {row[0] for row in rows} == {"image", *NAMES.values()}
        return
    assert {line.rpartition(": ")[0] for line in done.stdout.splitlines()} == {*NAMES.values()}


def test_a_folder_without_images_is_one_clear_error(digits_run, no_mindspore, tmp_path):
    """Said before anything is computed."""
    (tmp_path / "empty").mkdir()
    text = refused(densenet("predict", digits_run, "empty", cwd=tmp_path, env=no_mindspore))
    assert text.startswith("empty D003 holds no image, nor do its folders (images end in .jpg")
    assert len(text.splitlines()) == 1


def test_two_forms_at_once_are_a_usage_error(digits_run, tmp_path):
    """Standard output has one."""
    done = densenet("predict", digits_run, "x.png", "--json", "--csv", cwd=tmp_path)
    assert done.returncode == 2
    assert "--json and --csv each say what to print" in done.stderr


@pytest.mark.slow
def test_a_checkpoint_of_a_run_is_asked_as_the_run(digits_run, scans):
    """With its own weights: of last.ckpt they are others than those of best.ckpt."""
    image = scans / "zero.png"
    best = train.predict(digits_run / "checkpoints/best.ckpt", image)
    assert best == train.predict(digits_run, image)
    assert train.predict(digits_run / "best.ckpt", image) == best  # people leave the folder out


def test_a_network_of_several_labels_tells_each_class_for_itself(digits_run, scans):
    """What the loss `bce` trains; the others' probabilities add up to 1."""
    bce = Override(("loss.kind", "bce"), Place("bce", "python"))
    image = scans / "zero.png"
    independent = dict(train.predict(digits_run, image, top=10, recipe_overrides=[bce])[0])
    shared = dict(train.predict(digits_run, image, top=10)[0])
    assert list(independent) == list(shared)
    # Odds of two classes among all are those of their logits.
    for name, share in independent.items():
        odds = share / (1 - share) / (independent["0"] / (1 - independent["0"]))
        assert odds == pytest.approx(shared[name] / shared["0"], rel=1e-4)
    assert sum(shared.values()) == pytest.approx(1)
