"""data.on_error: what becomes of images that are not whole."""

import io
import json
import shutil
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from batches_of_images import raw
from PIL import Image
from sklearn.datasets import load_digits

from archspec import train
from archspec.errors import ArchspecError, DataError
from archspec.screen import Screen
from archspec.train.data.datasets import open_data, open_held_out
from archspec.train.data.inputs import split_by_recipe
from archspec.train.data.sources.source import Source
from archspec.train.evaluation.evaluation import read_evaluation
from archspec.train.recipe.recipe import load_recipe
from densenet_cli.evaluation_tables import show_evaluation

TINY = ["block_config=[1, 1]", "growth_rate=4"]


def digits(root: Path, count: int = 400) -> Path:
    """Scans of two digits, as files."""
    scans = load_digits(n_class=2)
    for number, (pixels, label) in enumerate(zip(scans.images, scans.target, strict=True)):
        if number < count:
            file = root / str(label) / f"{number:03}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((pixels * 15).astype(np.uint8)).save(file)
    return root


def spoil(file: Path) -> None:
    """Leave its ends as they are: only decoding finds it."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2 - 8 : len(content) // 2 + 8] = bytes(16)
    file.write_bytes(content)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:50])


def test_images_found_at_opening_are_left_out_and_told_of(tmp_path):
    """Stop refuses all of them by name; skip has the others, in order, the same in a process that
    compares no parts.
    """
    digits(tmp_path, 60)
    files = sorted(tmp_path.rglob("*.png"))
    for file in files[3:5]:
        cut(file)
    with pytest.raises(DataError) as caught:
        open_data(tmp_path)
    assert [fault.where for fault in caught.value.diagnostics] == list(map(str, files[3:5]))
    for check in (True, False):
        splits = open_data(tmp_path, check=check, on_error="skip").split()
        left = [*splits.train.files, *splits.val.files]
        assert sorted(left) == files[:3] + files[5:]
        (note,) = splits.notes
        assert note.startswith(
            f"{tmp_path}: 2 images left out that are not whole, first {files[3]}"
        )
    assert len(open_held_out(tmp_path, on_error="skip")) == 58


@pytest.mark.parametrize("several", [False, True])
def test_which_part_an_image_is_in_does_not_depend_on_others_that_break(tmp_path, several):
    """Between two openings, such as a run's start and its resume: none that was learnt is judged,
    of folders and of tables with several labels, whatever breaks.
    """
    digits(tmp_path / "data", 60)
    files = sorted((tmp_path / "data").rglob("*.png"))
    opened = tmp_path / "data"
    if several:
        opened = tmp_path / "labels.csv"
        rows = [f"{file},{';'.join('ab'[: 1 + n % 2])}" for n, file in enumerate(files)]
        opened.write_text("\n".join(["file,label", *rows]))
    recipe = load_recipe("digits", ["data.on_error=skip", "data.samples=40"])
    before = split_by_recipe(recipe, open_data(opened, on_error="skip"))
    known = before.digest
    for number in (0, 7, 20, 21, 59):
        cut(files[number])
        after = split_by_recipe(recipe, open_data(opened, on_error="skip"))
        for old, new in zip(before.parts, after.parts, strict=True):
            gone = {file for file in old.files if file.stat().st_size == 50}
            assert new.files == tuple(file for file in old.files if file not in gone)
            assert set(map(Path, new.left_out)) == gone
    assert after.find_change(known) == "images have other bytes"


def test_a_class_that_keeps_no_whole_image_to_learn_from_is_a_fault(tmp_path):
    """Where those that are whole are held out."""
    digits(tmp_path, 8)
    before = open_data(tmp_path).split(val_fraction=0.4)
    for file, label in zip(before.train.files, before.train.labels, strict=True):
        if label:
            cut(file)
    with pytest.raises(DataError, match="class '1' has no image to learn from that is whole"):
        open_data(tmp_path, on_error="skip").split(val_fraction=0.4)
    for file in before.val.files:
        cut(file)
    with pytest.raises(DataError, match="D003"):
        open_data(tmp_path, on_error="skip").split(val_fraction=0.4)


WAYS = {
    "a run on other data": ("", {}),
    "a run on its own data": ("", {"is_own": True}),
    "a checkpoint in a run": ("checkpoints/last.ckpt", {}),
    "a spec with a checkpoint": ("spec.yaml", {"ckpt": "checkpoints/last.ckpt"}),
}


@pytest.mark.parametrize("way", WAYS)
def test_each_way_to_judge_hears_what_the_recipe_says_of_broken_images(small_run, tmp_path, way):
    """The recipe that judges, not the one that the run was trained with."""
    run = shutil.copytree(small_run, tmp_path / "run")
    data_dir: Path | None = write_scans(tmp_path / "scans", 3)
    target, how = WAYS[way]
    how = dict(how)
    if how.pop("is_own", False):
        settings = json.loads((run / "run.json").read_text())
        (run / "run.json").write_text(json.dumps({**settings, "data_dir": str(data_dir)}))
        data_dir = None
    if "ckpt" in how:
        how = {"ckpt": run / how["ckpt"], "data_dir": data_dir}
    images = len(train.open_trained(str(run / target), **how).held_out(data_dir))
    for file in (tmp_path / "scans/3").iterdir():
        if file.stem != "0":
            cut(file)
    with pytest.raises(DataError, match="D005"):
        train.open_trained(str(run / target), **how).held_out(data_dir)
    how = {**how, "recipe_overrides": ["data.on_error=skip"]}
    source = train.open_trained(str(run / target), **how).held_out(data_dir)
    assert len(source) + len(source.left_out) == images
    assert "left out" in source.notes[0]


def write_scans(root: Path, each: int) -> Path:
    """A few scans of each digit, as files."""
    scans = load_digits()
    for name, number in product("0123456789", range(each)):
        file = root / name / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = scans.images[scans.target == int(name)][number]
        Image.fromarray((pixels * 15).astype(np.uint8)).save(file)
    return root


def test_validate_tells_how_many_images_it_left_out_and_which(small_run, tmp_path):
    """Those that opening finds broken and those that decoding does; in the table and in the JSON,
    which is read back as it was; where none is, zero and no line.
    """
    scans = write_scans(tmp_path / "scans", 2)
    trained = train.open_trained(str(small_run), recipe_overrides=["data.on_error=skip"])
    assert train.examine(trained, scans).skipped == ()
    cut(scans / "3/1.png")
    spoil(scans / "5/0.png")
    found = train.examine(trained, scans, batch_size=7)
    assert (found.figures.images, found.confusion.sum()) == (18, 18)
    told = found.as_json()
    assert told["skipped_images"] == 2
    assert told["skipped"] == [str(scans / "3/1.png"), str(scans / "5/0.png")]
    assert read_evaluation(json.loads(json.dumps(told))).as_json() == told
    screen = io.StringIO()
    show_evaluation(found, Screen(file=screen, width=100))
    said = f"\n2 images left out that cannot be read: {scans / '3/1.png'} and 1 more\n"
    assert said in screen.getvalue()


@pytest.mark.slow
def test_several_devices_tell_the_images_that_each_of_them_left_out(small_run, tmp_path):
    """Broken ones of each share, and one that none of them opens."""
    scans = write_scans(tmp_path / "scans", 2)
    cut(scans / "3/1.png")
    for name in ("5/0.png", "8/1.png"):
        spoil(scans / name)
    trained = train.open_trained(str(small_run), recipe_overrides=["data.on_error=skip"])
    one, two = (train.examine(trained, scans, devices=count).as_json() for count in (1, 2))
    assert one["skipped_images"] == 3
    for key in ("images", "skipped_images", "skipped", "confusion_matrix"):
        assert one[key] == two[key]


def test_a_class_without_an_image_that_is_whole_is_a_fault(tmp_path):
    """It could not be learnt; nothing is trained with fewer classes than folders."""
    digits(tmp_path, 20)
    for file in (tmp_path / "1").iterdir():
        cut(file)
    with pytest.raises(DataError, match=r"D003 class '1' has no image that is whole"):
        open_data(tmp_path, on_error="skip")


def noisy(root: Path, count: int) -> Source:
    rng = np.random.default_rng(3)
    files = []
    for number in range(count):
        files.append(root / f"{number}.png")
        Image.fromarray(rng.integers(1, 256, (16, 16, 3), np.uint8)).save(files[-1])
    labels = np.arange(count, dtype=np.int32)
    return Source("noisy", tuple(map(str, range(count))), labels, files=tuple(files))


@pytest.mark.parametrize("several", [False, True])
def test_an_image_met_while_training_is_replaced_with_its_own_label(tmp_path, several):
    """By one that the seed draws, whichever the batch; each label is still that of its image."""
    source = noisy(tmp_path, 12)
    labels = np.eye(12, dtype=np.float32) if several else source.labels
    source = Source("noisy", source.classes, labels, files=source.files)
    whole = {number: np.asarray(source.image(number, 3)) for number in range(12)}
    for number in (2, 7):
        spoil(source.files[number])
    skipped = {}
    kind = {"source": source, "preprocess": raw((16, 16)), "batch_size": 4, "skipped": skipped}
    batches = epoch_of(**kind)
    assert sorted(skipped) == [2, 7]
    assert {fault.code for fault in skipped.values()} == {"D005"}
    shown = [int(row if row.ndim == 0 else row.argmax()) for _, y in batches for row in y]
    images = np.concatenate([x for x, _ in batches]).transpose(0, 2, 3, 1)
    for image, label in zip(images, shown, strict=True):
        assert np.array_equal(image, whole[label])
    assert not {2, 7} & set(shown)
    again = epoch_of(**{**kind, "batch_size": 3, "workers": 2})
    assert np.array_equal(np.concatenate([x for x, _ in again]), images.transpose(0, 3, 1, 2))


def test_an_image_met_while_judging_counts_for_nothing(tmp_path):
    """No other stands in its place: figures are of those that were read."""
    source = noisy(tmp_path, 6)
    spoil(source.files[4])
    skipped = {}
    batches = epoch_of(source, raw((16, 16)), training=False, batch_size=4, skipped=skipped)
    assert np.concatenate([y for _, y in batches]).tolist() == [0, 1, 2, 3, -1, 5, -1, -1]
    assert list(skipped) == [4]


def test_a_set_of_which_hardly_any_image_can_be_read_is_a_fault(tmp_path):
    """Ten others are tried, not all."""
    source = noisy(tmp_path, 8)
    for file in source.files:
        spoil(file)
    with pytest.raises(DataError, match="D005"):
        epoch_of(source, raw((16, 16)), skipped={})


def epoch_of(source, preprocess, *, training=True, skipped=None, **options):
    from archspec.train.data.batches.batches import load_batches

    options = {"batch_size": 4, "seed": 0, **options}
    return list(
        load_batches(
            source,
            indices=np.arange(len(source)),
            preprocess=preprocess,
            training=training,
            skipped=skipped,
            **options,
        )
    )


def test_without_the_key_a_run_stops_and_with_it_it_tells_what_it_left_out(tmp_path):
    """At opening, and while it trains and judges; the events count and name them."""
    digits(tmp_path / "data", 240)
    files = sorted((tmp_path / "data").rglob("*.png"))
    cut(files[0])
    for file in files[5:60:6]:
        spoil(file)
    settings = ["epochs=1", "batch_size=32", "schedule.warmup_epochs=0"]
    how = {"data_dir": tmp_path / "data", "recipe_name": "digits", "spec_overrides": TINY}
    with pytest.raises(ArchspecError, match="D005"):
        train.plan("densenetbc_digits", recipe_overrides=settings, **how)
    plan = train.plan(
        "densenetbc_digits", recipe_overrides=[*settings, "data.on_error=skip"], **how
    )
    run = train.fit(plan, tmp_path / "run").run
    events = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    start = next(event for event in events if event["event"] == "start")
    assert "1 image left out that is not whole" in start["notes"][0]
    ended = next(event for event in events if event["event"] == "epoch")
    assert 8 <= ended["skipped_images"] <= 10
    told = [event["text"] for event in events if event["event"] == "note"]
    assert any("left out that cannot be read" in text for text in told)


@pytest.mark.parametrize("part", ["train", "val"])
def test_a_class_that_no_part_may_lose_is_named(tmp_path, part):
    """Of images to judge by as of those to learn from."""
    random = np.random.default_rng(0)
    for place, name, number in product(("train", "val"), ("cat", "dog"), range(3)):
        file = tmp_path / place / name / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8)).save(file)
        if (place, name) == (part, "dog"):
            cut(file)
    with pytest.raises(DataError, match="D003 class 'dog' has no image that is whole"):
        open_data(tmp_path, on_error="skip")


def test_nothing_to_judge_by_is_a_fault(tmp_path):
    """Figures over no image would be none."""
    for name in ("cat", "dog"):
        file = tmp_path / "val" / name / "0.png"
        file.parent.mkdir(parents=True)
        file.write_bytes(b"no image")
    with pytest.raises(DataError, match="D003 has no image that is whole"):
        open_held_out(tmp_path, on_error="skip")
