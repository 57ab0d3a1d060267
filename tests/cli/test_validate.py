"""densenet validate: which network, which figures, and what is refused."""

import json
import shutil

import pytest
from conftest import densenet, passed, refused
from sklearn.metrics import f1_score

from archspec import train
from archspec.errors import SpecError


def test_json_holds_the_figures_of_each_class_and_what_is_taken_for_what(digits_run, tmp_path):
    """Which scikit-learn finds in the matrix; the library gives the same."""
    found = json.loads(passed(densenet("validate", digits_run, "--json", cwd=tmp_path)))
    right, said = [], []
    for label, row in enumerate(found["confusion_matrix"]):
        for guess, images in enumerate(row):
            right += [label] * images
            said += [guess] * images
    assert len(right) == found["images"] == 359
    assert found["macro_f1"] == pytest.approx(f1_score(right, said, average="macro"))
    assert [row["f1"] for row in found["classes"]] == pytest.approx(
        f1_score(right, said, average=None)
    )
    assert [row["class"] for row in found["classes"]] == [str(digit) for digit in range(10)]
    assert sum(row["images"] for row in found["calibration"]) == 359
    assert len(found["mistakes"]) == min(24, sum(a != b for a, b in zip(right, said, strict=True)))
    assert train.examine(digits_run, batch_size=50).as_json()["classes"] == found["classes"]


def test_the_screen_has_a_line_a_table_and_the_confusions(digits_run, tmp_path):
    """A row for each class; how often one is taken for another."""
    lines = passed(densenet("validate", digits_run, cwd=tmp_path)).splitlines()
    assert lines[0].startswith(f"{digits_run}/checkpoints/best.ckpt on 359 held-out images")
    assert lines[1].startswith("top-1 ")
    assert lines[1].endswith("over 359 images")
    assert lines[2].startswith("macro precision ")
    assert lines[4].split() == ["class", "precision", "recall", "F1", "images"]
    assert [line.split()[0] for line in lines[5:15]] == [str(digit) for digit in range(10)]
    assert lines[16] == "most often confused:"
    assert all(" taken for " in line for line in lines[17:])


@pytest.mark.parametrize("path", ["checkpoints/last.ckpt", "last.ckpt"])
def test_a_checkpoint_in_a_run_directory_is_a_target(digits_run, path):
    """Its own weights, not the best one's; people leave out the folder that a run has for them."""
    last = digits_run / "checkpoints/last.ckpt"
    trained = train.open_trained(str(digits_run / path))
    assert (trained.checkpoint, trained.run.path) == (last, digits_run)
    wanted = train.open_trained(str(digits_run), ckpt=last)
    assert (trained.spec, trained.recipe, trained.classes) == (
        wanted.spec,
        wanted.recipe,
        wanted.classes,
    )


def test_a_checkpoint_elsewhere_needs_its_network_to_be_named(digits_run, tmp_path, no_mindspore):
    """With the command that does; so do one that is not there, and two of them."""
    shutil.copy(digits_run / "checkpoints/best.ckpt", tmp_path / "mine.ckpt")
    refused(
        densenet("validate", "mine.ckpt", cwd=tmp_path, env=no_mindspore),
        "mine.ckpt R004 is a checkpoint that lies in no run directory",
        "(name the spec, and --ckpt mine.ckpt)",
    )
    refused(densenet("validate", "no.ckpt", cwd=tmp_path, env=no_mindspore), "no.ckpt R001")
    done = densenet("validate", "mine.ckpt", "--ckpt", "x.ckpt", cwd=tmp_path, env=no_mindspore)
    refused(done, "mine.ckpt R004 is a checkpoint, and --ckpt x.ckpt another one")


@pytest.mark.slow
def test_a_network_is_judged_at_another_size_of_images(digits_run):
    """Its weights do not depend on it; the rest of a run's network is fixed."""
    trained = train.open_trained(
        str(digits_run), overrides=[("input.height", 12), ("input.width", 12)]
    )
    assert (trained.spec.input.height, trained.spec.input.width) == (12, 12)
    larger, usual = train.evaluate(trained), train.evaluate(digits_run)
    assert larger.images == usual.images
    assert larger != usual
    with pytest.raises(SpecError, match=r"S011 --set growth_rate=8: a run's network is fixed"):
        train.open_trained(str(digits_run), overrides=["input.height=12", "growth_rate=8"])


@pytest.mark.slow
def test_flags_say_size_readers_and_device(digits_run, tmp_path, no_mindspore):
    """Each is quoted as it was typed where it is wrong; those that are right change the figures."""
    words = ("validate", digits_run, "--json", "--image-size", 12, "--workers", 2)
    found = json.loads(passed(densenet(*words, "--device-target", "CPU", cwd=tmp_path)))
    overrides = [("input.height", 12), ("input.width", 12)]
    assert found["loss"] == train.evaluate(digits_run, overrides=overrides).loss
    words = ("--image-size", 0, "--device-target", "CPU")
    done = densenet("validate", digits_run, *words, cwd=tmp_path, env=no_mindspore)
    assert refused(done).startswith("--image-size 0 S004")
    done = densenet("validate", digits_run, "--workers", 0, cwd=tmp_path, env=no_mindspore)
    assert refused(done).startswith("--workers 0 S004")


@pytest.mark.slow
def test_a_device_that_this_machine_has_not_is_told(digits_run, tmp_path):
    """Nothing is computed on another one instead."""
    done = densenet("validate", digits_run, "--device-target", "Ascend", cwd=tmp_path)
    if done.returncode == 0:
        pytest.skip("this machine has an Ascend device")
    refused(done, "E004 device_target (='Ascend') cannot be used")


def test_a_report_is_written_beside_the_figures(digits_run, tmp_path):
    """Its folders are made; what is printed for a program stays alone."""
    words = ("validate", digits_run, "--report", "new/report.html", "--json")
    done = densenet(*words, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "wrote new/report.html\n")
    page = (tmp_path / "new/report.html").read_text("ascii")
    mistakes = json.loads(done.stdout)["mistakes"]
    assert page.count("<img ") == len(mistakes)
    assert mistakes[0]["image"] in page


def test_a_report_that_cannot_be_written_is_told_before_anything_is_computed(
    digits_run, tmp_path, no_mindspore
):
    """A file in the way of its folder, a folder in its own way, another kind of file."""
    (tmp_path / "file").touch()
    (tmp_path / "folder.html").mkdir()
    for report, told in (
        ("file/report.html", "file/report.html W002 cannot be written: Not a directory"),
        ("folder.html", "folder.html W002 cannot be written: Is a directory"),
        ("report.pdf", "report.pdf W001 must end in .html"),
    ):
        done = densenet("validate", digits_run, "--report", report, cwd=tmp_path, env=no_mindspore)
        assert refused(done).startswith(told)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "folder.html"]


def test_more_devices_than_images_are_a_usage_error(digits_run, no_mindspore, tmp_path):
    """Before any of them is started."""
    done = densenet("validate", digits_run, "--devices", 400, cwd=tmp_path, env=no_mindspore)
    assert done.returncode == 2
    assert "there are 359 images" in done.stderr


@pytest.mark.slow
def test_several_devices_find_what_one_does(digits_run, tmp_path):
    """359 images shared by two: each counts once, figures are of both; nothing is left behind."""
    one = json.loads(passed(densenet("validate", digits_run, "--json", cwd=tmp_path)))
    words = ("validate", digits_run, "--json", "--devices", 2, "--batch-size", 50)
    two = json.loads(passed(densenet(*words, cwd=tmp_path, env={"TMPDIR": str(tmp_path)})))
    assert list(tmp_path.iterdir()) == []
    for key, value in one.items():
        if isinstance(value, float | int):
            assert two[key] == pytest.approx(value, rel=1e-6)
    assert two["confusion_matrix"] == one["confusion_matrix"]
    assert [each["number"] for each in two["mistakes"]] == [
        each["number"] for each in one["mistakes"]
    ]
    assert [row["images"] for row in two["calibration"]] == [
        row["images"] for row in one["calibration"]
    ]


@pytest.mark.slow
def test_a_second_validation_compiles_nothing_and_finds_the_same(digits_run, tmp_path):
    """To the bit; another size of batch is compiled for itself, and changes no figure."""
    cache = tmp_path / "cache"

    def validate(target, *words):
        env = {"DENSENET_CACHE": str(cache)}
        found = passed(densenet("validate", target, "--json", *words, cwd=tmp_path, env=env))
        return json.loads(found), len(list((cache / "compiled").iterdir()))

    first = validate(digits_run)
    assert first[1] == 1
    assert validate(digits_run) == first
    smaller, kept = validate(digits_run, "--batch-size", 16)
    assert kept == 2
    assert smaller["loss"] == pytest.approx(first[0]["loss"], rel=1e-6)
    assert smaller["confusion_matrix"] == first[0]["confusion_matrix"]
