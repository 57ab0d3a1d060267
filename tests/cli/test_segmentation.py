"""A class for each pixel: trained, validated and predicted by commands."""

import json
import shutil

import numpy as np
import pytest
from conftest import densenet, passed, refused, run_once
from PIL import Image
from segmentation_of_digits import NETWORK, write_digits

from archspec.errors import DataError
from archspec.train import examine, open_trained, predict_masks

LEARN = (
    "--no-certify",
    "--epochs",
    3,
    "--batch-size",
    16,
    "--lr",
    0.1,
    "--set",
    "recipe.data.augment=none",
)


@pytest.fixture(scope="session")
def strokes(tmp_path_factory):
    """Return the folder of images and masks, a run that has learnt them, and how that ended."""
    folder, done = run_once(tmp_path_factory, "strokes", ("--version",))
    if not (folder / "network.yaml").exists():
        write_digits(folder / "data")
        (folder / "network.yaml").write_text(NETWORK)
    words = ("train", folder / "network.yaml", "--data-dir", folder / "data", *LEARN)
    place, done = run_once(tmp_path_factory, "segmentation", (*words, "--out", "run"))
    return folder / "data", place / "run", done


def read(file):
    return np.asarray(Image.open(file))


def test_a_small_fc_densenet_learns_strokes_from_their_background(strokes):
    """At least 95 % mIoU; the loss, the pixel accuracy and the mIoU of each epoch are told."""
    _, run, done = strokes
    said = passed(done)
    assert "small_fcdensenet on masks: 2 classes, images 8 x 8" in said
    assert "recipe segmentation (chosen for images with masks): rate 0.1" in said
    assert "epoch 3/3  loss 0.0" in said
    assert "The best checkpoint has a mean IoU of 9" in said
    events = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    epochs = [event for event in events if event["event"] == "epoch"]
    assert len(epochs) == 3
    best = max(epochs, key=lambda event: event["val_miou"])
    assert best["val_miou"] >= 0.95
    assert best["val_pixel_accuracy"] >= 0.95
    assert events[-1]["miou"] == pytest.approx(best["val_miou"])


def test_a_dry_run_says_what_is_odd_about_the_data(tmp_path):
    """As the start would: grey levels for classes, test images without masks."""
    write_digits(tmp_path / "data", train=8, val=4)
    (tmp_path / "data/test").mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "data/test/a.png")
    (tmp_path / "network.yaml").write_text(NETWORK)
    for file in (tmp_path / "data/train/masks").iterdir():
        Image.fromarray(read(file) * 100).save(file)
    said = passed(
        densenet("train", "network.yaml", "--data-dir", "data", "--dry-run", cwd=tmp_path)
    )
    assert "data/train/images: 99 of 101 classes have no pixel to learn from: 1, 2, 3" in said
    assert "data/test: left aside, since there are no images with masks beside them" in said


def test_validate_tells_the_iou_of_each_class_of_any_folder(strokes, tmp_path):
    """As a table, and as JSON; of masks whose values are no classes of the run it says so."""
    data, run, done = strokes
    passed(done)
    lines = passed(densenet("validate", run)).splitlines()
    assert lines[1].startswith("mIoU 9")
    assert ["class", "iou", "recall", "precision", "pixels"] in map(str.split, lines)
    assert lines[-3] == "most often confused:"
    assert lines[-1].endswith(" pixels")
    found = json.loads(passed(densenet("validate", run, "--json", "--data-dir", data / "val")))
    assert found["images"] == 200
    assert np.mean([row["iou"] for row in found["classes"]]) == pytest.approx(found["miou"])
    assert sum(row["pixels"] for row in found["classes"]) == 200 * 64
    for name in ("images", "masks"):
        (tmp_path / "other" / name).mkdir(parents=True)
        Image.new("L", (8, 8), 5).save(tmp_path / "other" / name / "a.png")
    other = densenet("validate", run, "--data-dir", tmp_path / "other")
    refused(other, "a.png D016 has values out of range: 5 (64 pixels); classes are 0 to 1")
    Image.new("L", (8, 8), 255).save(tmp_path / "other/masks/a.png")
    with pytest.raises(DataError, match="D016 has masks of nothing but 255"):
        open_trained(str(run)).held_out(tmp_path / "other")


@pytest.mark.slow
def test_masks_of_white_on_black_are_those_of_zeros_and_ones(strokes, tmp_path):
    """Judged by the same figures to the last bit, and predicted in their own values."""
    data, run, done = strokes
    passed(done)
    shutil.copytree(data / "val/images", tmp_path / "other/images")
    (tmp_path / "other/masks").mkdir()
    for file in (data / "val/masks").iterdir():
        Image.fromarray(read(file) * 255).save(tmp_path / "other/masks" / file.name)
    numbers = open_trained(str(run))
    white = open_trained(str(run), recipe_overrides=["data.mask_values=[0,255]"])
    expected = examine(numbers, data / "val").as_json()
    assert examine(white, tmp_path / "other").as_json() == expected
    assert sum(map(sum, expected["confusion_matrix"])) == 200 * 64
    assert all(map(sum, expected["confusion_matrix"]))
    swapped = open_trained(str(run), recipe_overrides=["data.mask_values=[1,0]"])
    turned = [row["pixels"] for row in examine(swapped).as_json()["classes"]]  # of the run's own
    assert turned == [row["pixels"] for row in expected["classes"]][::-1]
    image = data / "val/images/1400.png"
    for name, trained in (("numbers", numbers), ("white", white)):
        predict_masks(trained, [image], tmp_path / name)
    plain, shown = read(tmp_path / "numbers/1400.png"), read(tmp_path / "white/1400.png")
    assert shown.tolist() == np.where(plain == 1, 255, 0).tolist()
    (note,) = numbers.held_out(tmp_path / "other").notes  # of which the white is ignored
    assert note.endswith("1 of 2 classes have no pixel to judge by: 1")


def test_a_classifier_of_images_and_masks_do_not_fit(strokes, tmp_path):
    """Either way, with what would."""
    data, _, _ = strokes
    words = ("train", "densenetbc_digits", "--data-dir", data, "--out", "run")
    refused(densenet(*words, cwd=tmp_path), "T014 gives 2;", "(head: per_pixel")
    (tmp_path / "network.yaml").write_text(NETWORK)
    alone = densenet("train", "network.yaml", cwd=tmp_path)
    refused(alone, "network.yaml:", "T014 gives 10 x 8 x 8", "train/images, train/masks")
    assert not (tmp_path / "run").exists()


def test_predict_writes_masks_of_the_images_sizes(strokes, tmp_path):
    """As training takes them: class numbers in a palette; and says what each shows."""
    data, run, done = strokes
    passed(done)
    digit = data / "val/images/1400.png"
    Image.open(digit).resize((24, 16)).save(tmp_path / "wide.png")
    words = ("predict", run, digit, "wide.png", "-o", "new/masks")
    shown = json.loads(passed(densenet(*words, "--json", cwd=tmp_path)))
    mask, wide = read(tmp_path / "new/masks/1400.png"), read(tmp_path / "new/masks/wide.png")
    right = read(data / "val/masks/1400.png")
    assert Image.open(tmp_path / "new/masks/1400.png").mode == "P"
    assert (mask == right).mean() > 0.9
    assert wide.shape == (16, 24)
    assert set(np.unique(wide)) == {0, 1}
    shares = {row["class"]: row["probability"] for row in shown[0]["classes"]}
    assert shares == {"0": pytest.approx((mask == 0).mean()), "1": pytest.approx(mask.mean())}


@pytest.mark.slow
def test_an_image_that_only_decoding_finds_broken_leaves_the_others_their_masks(strokes, tmp_path):
    """It is named, and the exit code is 1; with --skip-broken 0."""
    data, run, done = strokes
    passed(done)
    whole = (data / "val/images/1400.png").read_bytes()
    place = whole.index(b"IDAT") + 4
    (tmp_path / "b.png").write_bytes(whole[:place] + bytes(8) + whole[place + 8 :])
    for name in ("a.png", "c.png"):
        (tmp_path / name).write_bytes(whole)
    words = ("predict", run, "a.png", "b.png", "c.png", "-b", 2, "--json")
    for out, options, code in (("one", (), 1), ("two", ("--skip-broken",), 0)):
        ended = densenet(*words, "-o", out, *options, cwd=tmp_path)
        assert [row["image"] for row in json.loads(ended.stdout)] == ["a.png", "c.png"]
        assert sorted(file.name for file in (tmp_path / out).iterdir()) == ["a.png", "c.png"]
        (line,) = ended.stderr.splitlines()
        assert "b.png D005" in line
        assert ended.returncode == code


def test_predict_writes_over_no_image_and_needs_a_folder(strokes, digits_run, tmp_path):
    """Nor two masks into one file; a network that tells classes of images has no masks."""
    _, run, _ = strokes
    for name in ("a.png", "a.bmp"):
        Image.new("L", (8, 8)).save(tmp_path / name)
    refused(densenet("predict", run, "a.png", "-o", ".", cwd=tmp_path), "a.png D015 . holds images")
    both = densenet("predict", run, "a.png", "a.bmp", "-o", "masks", cwd=tmp_path)
    refused(both, "D015 has the name of a.")
    without = densenet("predict", run, "a.png", cwd=tmp_path)
    assert (without.returncode, "--out" in without.stderr) == (2, True)
    classes = densenet("predict", digits_run, "a.png", "-o", "masks", cwd=tmp_path)
    assert (classes.returncode, "--out" in classes.stderr) == (2, True)
    assert not (tmp_path / "masks").exists()
    (tmp_path / "file").write_text("")
    refused(densenet("predict", run, "a.png", "-o", "file", cwd=tmp_path), "D001 cannot be written")


def test_predict_writes_over_its_own_masks_and_over_no_others(strokes, tmp_path):
    """Those that were drawn by hand above all, and whatever else lies there; all at once."""
    _, run, done = strokes
    passed(done)
    for name in ("drawn", "text", "folder"):
        Image.new("L", (8, 8), 9).save(tmp_path / f"{name}.bmp")
    masks = tmp_path / "masks"
    (masks / "folder.png").mkdir(parents=True)
    (masks / "text.png").write_text("no image")
    Image.fromarray(np.ones((8, 8), np.uint8)).save(masks / "drawn.png")
    before = (masks / "drawn.png").read_bytes()
    refused_all = densenet("predict", run, *sorted(tmp_path.glob("*.bmp")), "-o", masks)
    for name in ("drawn", "text", "folder"):
        refused(refused_all, f"{name}.png W002 exists, and is no mask that predict has written")
    assert (masks / "drawn.png").read_bytes() == before
    passed(densenet("predict", run, tmp_path / "drawn.bmp", "-o", tmp_path / "new"))
    before = read(tmp_path / "new" / "drawn.png")
    predict_masks(run, [str(tmp_path / "drawn.bmp")], str(tmp_path / "new"))
    assert read(tmp_path / "new" / "drawn.png").tolist() == before.tolist()
