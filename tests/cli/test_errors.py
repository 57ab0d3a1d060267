"""What users get wrong, through the command:
exit 1, a line that names the file, nothing that looks whole.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import PATIENCE_SECONDS, TINY, command, densenet, passed, refused, started, wait_until
from PIL import Image
from weights.networks import weights_of

from archspec.errors import DataError
from archspec.runtime import prepare
from archspec.train.planning import create, plan_run
from archspec.train.run import checkpoint
from archspec.train.run.relocation import relocate
from archspec.train.run.run_directory import open_run
from archspec.weights.formats.weight_files import write_tensors

SMALL = (
    "--set",
    "block_config=[1, 1]",
    "--set",
    "input.channels=3",
    "--batch-size",
    2,
    "--epochs",
    2,
)


@pytest.fixture
def folder(tmp_path) -> Path:
    """An image folder of two classes, four pictures each."""
    for part in ("train", "val"):
        for name in ("cat", "dog"):
            (tmp_path / "data" / part / name).mkdir(parents=True)
            for number in range(4):
                colour = (60 * number, 0, 200 * (part == "val"))
                Image.new("RGB", (12, 12), colour).save(
                    tmp_path / "data" / part / name / f"{number}.jpg"
                )
    return tmp_path / "data"


def train(folder: Path, *more: object) -> "subprocess.CompletedProcess[str]":
    return densenet("train", *SMALL, "--data-dir", folder, "--out", "run", *more, cwd=folder.parent)


def bound_by_permissions(*arguments: object, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Run the command as one whom permissions bind,
    which is root only without two of its capabilities.
    """
    dropped = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("root may read everything, and there is no setpriv to give that up")
    prefix = dropped if os.geteuid() == 0 else []
    line = [*prefix, *command(*arguments)]
    return subprocess.run(
        line,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
        env=dict(os.environ),
    )


# ---- data


def test_an_empty_class_folder_is_named(folder):
    """Before a run directory is made."""
    (folder / "train" / "ant").mkdir()
    refused(train(folder), folder / "train/ant", "D003")
    assert not (folder.parent / "run").exists()


@pytest.mark.slow
def test_images_that_are_none_are_all_named_and_training_works_once_they_are_mended(folder):
    """A photograph cut short and a text that is called .jpg; the same command serves afterwards."""
    cut, text = folder / "train/cat/1.jpg", folder / "train/dog/2.jpg"
    whole = cut.read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    text.write_text("this is no photograph\n")
    refused(train(folder), cut, text, "D005")
    assert not (folder.parent / "run").exists()
    for file in (cut, text):
        file.write_bytes(whole)
    passed(train(folder))


@pytest.mark.slow
def test_an_image_damaged_between_planning_and_training_is_named(folder):
    """The run exists already; it goes on once the image is mended."""
    options = {"spec_overrides": ["block_config=[1, 1]", "input.channels=3"]}
    options["recipe_overrides"] = ["epochs=1", "batch_size=2"]
    create(plan_run("densenetbc_digits", data_dir=folder, **options), folder.parent / "run")
    damaged = folder / "train/cat/1.jpg"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[: len(whole) // 2])
    refused(
        densenet("train", "--resume", "run", cwd=folder.parent), f"{damaged} D005 cannot be read: "
    )
    damaged.write_bytes(whole)
    passed(densenet("train", "--resume", "run", cwd=folder.parent))


@pytest.mark.slow
def test_an_image_damaged_while_a_run_trains_is_named_and_the_run_goes_on_once_it_is_mended(folder):
    """After the first epoch, when all of them had been whole: exit 1, the file, no traceback."""
    run, damaged = folder.parent / "run", folder / "train/dog/2.jpg"
    process = started(
        "train", *SMALL, "--data-dir", folder, "--epochs", 400, "--out", "run", cwd=folder.parent
    )
    wait_until(lambda: (run / "checkpoints/last.ckpt").is_file(), process)
    whole = damaged.read_bytes()
    damaged.write_text("no image any more\n")
    text, errors = process.communicate(timeout=PATIENCE_SECONDS)
    refused(
        subprocess.CompletedProcess((), process.returncode, text, errors),
        f"{damaged} D005 is not a whole JPEG, PNG, BMP, WebP or TIFF image",
        "densenet train --resume",
    )
    damaged.write_bytes(whole)
    file = run / "recipe.yaml"
    (start, *_, last) = [
        json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()
    ]
    done = last["epoch"]
    assert done < start["epochs"]
    file.write_text(file.read_text().replace("epochs: 400", f"epochs: {done + 1}"))
    passed(densenet("train", "--resume", "run", cwd=folder.parent))


@pytest.mark.slow
def test_a_data_set_that_was_moved_is_missed_by_name_and_found_again(folder):
    """`validate --data-dir` judges by the same images as before;
    a run that was told the new place goes on.
    """
    for part in ("cat", "dog"):
        shutil.move(folder / "train" / part, folder / part)
    shutil.rmtree(folder / "train")
    shutil.rmtree(folder / "val")
    passed(train(folder, "--set", "recipe.data.val_fraction=0.5"))
    before = passed(densenet("validate", "run", "--json", cwd=folder.parent))
    moved = folder.rename(folder.parent / "moved")
    for arguments in (("validate", "run"), ("train", "--resume", "run")):
        done = densenet(*arguments, cwd=folder.parent)
        refused(
            done, f"{folder} D001 does not exist; the run's data set was there", "--data-dir DIR"
        )
    assert (
        passed(densenet("validate", "run", "--data-dir", "moved", "--json", cwd=folder.parent))
        == before
    )
    assert json.loads(before)["images"] == 4
    passed(densenet("train", "--resume", "run", "--data-dir", "moved", cwd=folder.parent))
    assert open_run(folder.parent / "run").settings.data_dir == str(moved)
    (moved / "cat/3.jpg").unlink()
    with pytest.raises(DataError, match="D009 is not the data set that the run began with"):
        relocate(open_run(folder.parent / "run"), moved)
    other = json.loads(
        passed(densenet("validate", "run", "--data-dir", "moved", "--json", cwd=folder.parent))
    )
    assert other["images"] == 7  # other data: all of it


def test_files_without_permission_are_named(folder):
    """A folder that may not be entered, an image that may not be read,
    a place where nothing may be written.
    """
    secret = folder / "train/cat"
    arguments = ("train", *SMALL, "--data-dir", folder, "--out")
    secret.chmod(0)
    refused(
        bound_by_permissions(*arguments, "run", cwd=folder.parent),
        secret,
        "D001",
        "Permission denied",
    )
    secret.chmod(0o755)
    (secret / "2.jpg").chmod(0)
    done = bound_by_permissions(*arguments, "run", cwd=folder.parent)
    refused(done, secret / "2.jpg", "D001", "Permission denied")
    closed = folder.parent / "closed"
    closed.mkdir(mode=0o500)
    (secret / "2.jpg").chmod(0o644)
    refused(
        bound_by_permissions(*arguments, closed / "run", cwd=folder.parent), closed / "run", "T002"
    )


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (
            ("--batch-size", 9),
            ("data/train", "T007 batch_size (=9) must be at most the 8", "--batch-size 8"),
        ),
        (
            ("--devices", 8),
            ("T007 batch_size (=2) must be at most the 1 training image of a device",),
        ),
        (
            ("--devices", 100_000),
            (
                "T010 100,000 devices cannot share the 8 training images of ",
                "data/train (fewer --devices: ",
            ),
        ),
        (("--num-classes", 1), ("T005 num_classes (=1) must be at least the 2 of the data",)),
        (("--epochs", 0, "--lr", -1), ("S004 epochs (=0)", "S004 schedule.learning_rate (=-1")),
        (("--image-size", 0), ("S004 input.height (=0)", "S004 input.width (=0)")),
        (("--set", "recipe.epoch=3"), ("S001 unknown key 'epoch' (did you mean 'epochs'?)",)),
        (("--recipe", "nothing"), ("S010", "nothing")),
    ],
    ids=lambda value: (
        " ".join(map(str, value))
        if isinstance(value, tuple) and str(value[0]).startswith("--")
        else ""
    ),
)
def test_values_that_cannot_work_are_refused_before_anything_is_made(flags, words, folder):
    """The message names the field, its value and the rule."""
    refused(train(folder, *flags), *words)
    assert not (folder.parent / "run").exists()


def test_faults_of_spec_recipe_and_data_are_told_together(tmp_path):
    """One round of mending is enough."""
    (tmp_path / "net.yaml").write_text("name: net\nextends: densenetbc_digits\ncompression: 2\n")
    (tmp_path / "how.yaml").write_text("extends: digits\nbatch_size: 0\n")
    done = densenet(
        "train", "net.yaml", "--recipe", "how.yaml", "--data-dir", "nowhere", cwd=tmp_path
    )
    refused(done, "net.yaml:3:14 S004", "how.yaml:2:13 S004", "nowhere D001")


def test_classes_that_differ_from_the_checkpoints_are_listed(digits_run, folder):
    """Other names, or another number of them: a run, and a spec with a checkpoint."""
    best = digits_run / "checkpoints/best.ckpt"
    refused(
        densenet("validate", digits_run, "--data-dir", folder, cwd=folder.parent),
        f"{folder}/val D009 has 2 classes, the checkpoint 10; not of the checkpoint: cat, dog",
    )
    refused(
        densenet(
            "validate", "densenetbc_digits", "--ckpt", best, "--data-dir", folder, cwd=folder.parent
        ),
        f"{folder}/val D009 has 2 classes; the checkpoint tells 10 apart",
    )


def test_predict_names_every_file_that_is_no_image(digits_run, tmp_path):
    """Absent ones and texts, at once."""
    (tmp_path / "note.jpg").write_text("hello")
    (tmp_path / "empty.png").touch()
    done = densenet("predict", digits_run, "note.jpg", "absent.png", "empty.png", cwd=tmp_path)
    refused(done, "note.jpg D005", "absent.png D001", "empty.png D005")


# ---- runs and checkpoints


def test_a_run_directory_is_never_written_over(digits_run):
    """--out that exists: what to do instead."""
    before = sorted(path.stat().st_mtime_ns for path in digits_run.rglob("*"))
    done = densenet("train", "--out", "run", cwd=digits_run.parent)
    refused(done, "run T001 exists and is not empty", "--resume")
    assert sorted(path.stat().st_mtime_ns for path in digits_run.rglob("*")) == before


@pytest.mark.parametrize(
    "arguments", [("train", "--resume"), ("validate",), ("export",)], ids=" ".join
)
def test_a_folder_that_is_no_run_is_named_with_what_it_lacks(arguments, tmp_path):
    """Such as a folder with only a part of a run in it."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run/run.json").write_text("{}")
    refused(
        densenet(*arguments, "run", cwd=tmp_path), "run T004", "it has no spec.yaml, recipe.yaml"
    )


def test_resuming_what_does_not_exist_is_refused(tmp_path):
    """And makes nothing."""
    refused(densenet("train", "--resume", "nowhere", cwd=tmp_path), "nowhere T004")
    assert not list(tmp_path.iterdir())


def test_checkpoints_that_are_none_are_named(digits_run, tmp_path):
    """Cut short, absent; nothing is written."""
    whole = (digits_run / "checkpoints/best.ckpt").read_bytes()
    (tmp_path / "cut.ckpt").write_bytes(whole[:5000])
    refused(densenet("export", digits_run, "--ckpt", "cut.ckpt", cwd=tmp_path), "cut.ckpt R002")
    refused(
        densenet("validate", "densenetbc_digits", "--ckpt", "no.ckpt", cwd=tmp_path), "no.ckpt R001"
    )
    assert [file.name for file in tmp_path.iterdir()] == ["cut.ckpt"]


def test_a_checkpoint_of_another_network_lists_what_does_not_fit(digits_run, tmp_path):
    """Names and shapes, not a warning."""
    best = digits_run / "checkpoints/best.ckpt"
    done = densenet(
        "export", "densenetbc_digits", "--ckpt", best, "--set", "block_config=[4, 5]", cwd=tmp_path
    )
    refused(
        done,
        best,
        "R003 lacks features.denseblock2.denselayer5",
        "R003 has classifier.weight as (10, 84)",
    )
    assert not list(tmp_path.iterdir())


def test_a_spec_without_weights_says_what_is_missing(tmp_path):
    """Of validate and export."""
    refused(
        densenet("validate", "densenet121", cwd=tmp_path),
        "R004 densenet121 is a spec",
        "--ckpt FILE",
    )
    refused(densenet("export", "densenet211", cwd=tmp_path), "S010", "densenet211")


def test_a_checkpoint_of_a_network_for_colour_needs_data_to_be_validated(tmp_path):
    """The embedded digits are grey; one line says what to give."""
    write_tensors(
        tmp_path / "colour.safetensors", weights_of("densenetbc_digits", "input.channels=3")
    )
    given = ("--set", "input.channels=3", "--ckpt", "colour.safetensors")
    done = densenet("validate", "densenetbc_digits", *given, cwd=tmp_path)
    text = refused(done, "D001", "the embedded digits are grey", "--data-dir DIR")
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("inspect", "densenetbc_digits", "-o", "nowhere/graph.svg"),
        ("inspect", "densenetbc_digits", "-o", "graph.bmp"),
        ("build", "densenetbc_digits", "-o", "file/folder"),
    ],
    ids=lambda value: value[-1],
)
def test_files_that_cannot_be_written_are_named(arguments, tmp_path):
    """A folder that does not exist, a kind that is not known, a file in a folder's place."""
    (tmp_path / "file").touch()
    refused(densenet(*arguments, cwd=tmp_path), arguments[-1], "W00")
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


@pytest.mark.slow
def test_a_full_disk_ends_the_run_with_the_file_and_it_goes_on_once_there_is_room(small_disk):
    """T003 names the checkpoint; nothing half-written stays or counts;
    --resume after making room.
    """
    flags = (*TINY, "--epochs", 2, "--out", "run")
    done = densenet("train", *flags, cwd=small_disk)
    refused(
        done,
        small_disk / "run/checkpoints",
        "T003 the checkpoint cannot be written: No space left on device",
    )
    assert "densenet train --resume" in done.stderr
    kept = {path.name for path in (small_disk / "run/checkpoints").iterdir()}
    assert kept <= {"best.ckpt", "last.ckpt", "previous.ckpt"}
    subprocess.run(["mount", "-o", "remount,size=40m", str(small_disk)], check=True)
    prepare()
    for name in kept:
        assert checkpoint.read_checkpoint(
            small_disk / "run/checkpoints" / name
        )  # whole, if it is there
    passed(densenet("train", "--resume", "run", cwd=small_disk))
    assert {path.name for path in (small_disk / "run/checkpoints").iterdir()} == {
        "best.ckpt",
        "last.ckpt",
        "previous.ckpt",
    }


def test_a_disk_too_full_for_a_run_directory_leaves_nothing(small_disk):
    """T002 names the folder, which is not there."""
    free = os.statvfs(small_disk)
    (small_disk / "ballast").write_bytes(bytes(free.f_bavail * free.f_bsize))
    refused(
        densenet("train", "--out", "run", cwd=small_disk),
        "run T002 cannot be written: No space left on device",
    )
    assert [path.name for path in small_disk.iterdir()] == ["ballast"]


def test_set_on_a_run_is_refused(digits_run):
    """A run's network is fixed: an override that did nothing would mislead."""
    refused(
        densenet("export", digits_run, "--set", "growth_rate=13"), "S011", "growth_rate=13", "fixed"
    )


def test_a_recipe_is_not_offered_the_keys_of_a_spec(tmp_path):
    """`block_config` belongs to specs alone."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("epochs: 1\nbatch_size: 8\nblock_config: [1]\n")
    text = refused(
        densenet("train", "--recipe", recipe, "--out", "run", cwd=tmp_path), "S001", "block_config"
    )
    assert "did you mean 'block_config'" not in text


# ---- a MindSpore that is there and cannot be imported


@pytest.mark.parametrize(
    "words",
    [
        ("train", "--epochs", 1, "--out", "new"),
        ("validate", "RUN"),
        ("export", "RUN", "-o", "new.onnx"),
    ],
    ids=lambda words: words[0],
)
def test_a_mindspore_that_cannot_be_imported_is_told_and_leaves_nothing(
    words, digits_run, no_mindspore, tmp_path
):
    """Though the certificate is remembered, for which it was imported once."""
    words = [digits_run if word == "RUN" else word for word in words]
    done = densenet(*words, cwd=tmp_path, env=no_mindspore)
    told = "E001 MindSpore is installed and cannot be imported: mindspore was imported"
    refused(done, told, "python -c 'import mindspore'")
    assert [*tmp_path.iterdir()] == []


def test_a_certificate_that_needs_it_says_so_too(no_mindspore, tmp_path):
    """The process that makes it says why there is none, and what tells more."""
    environment = {**no_mindspore, "DENSENET_CACHE": str(tmp_path / "cache")}
    done = densenet("build", "densenetbc_digits", "-o", "b", cwd=tmp_path, env=environment)
    told = "E001 MindSpore is installed and cannot be imported: mindspore was imported"
    refused(done, "R107", told, "python -c 'import mindspore'")
    assert not (tmp_path / "b").exists()
