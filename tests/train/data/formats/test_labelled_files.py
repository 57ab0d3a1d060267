"""Data sets of tables: classes, parts and files that there are or not."""

from pathlib import Path

import numpy as np
import pytest
from batches_of_images import raw
from PIL import Image

from archspec import train
from archspec.errors import ArchspecError, DataError
from archspec.train.data.batches.batches import load_batches
from archspec.train.data.datasets import open_data, open_held_out
from archspec.train.data.formats import labelled_files
from archspec.train.data.formats.labelled_files import sort_labels
from archspec.train.data.images.mixing import Mixing
from archspec.train.recipe.loss import LossRecipe, class_weights_of


def image(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def table(path: Path, labels: dict[str, str], *, make: bool = True) -> Path:
    """Write a table, and the images that it names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if make:
        for file in labels:
            image(path.parent / file, sum(f"{path}{file}".encode()))
    rows = [f"{file},{label}" for file, label in labels.items()]
    path.write_text("\n".join(["file,label", *rows]) + "\n")
    return path


def faults(path: Path) -> list[str]:
    with pytest.raises(DataError) as caught:
        open_data(path)
    return [str(fault).replace(str(path.parent), "D") for fault in caught.value.diagnostics]


CATS = {f"img/{n}.png": ("cat", "dog")[n % 2] for n in range(10)}


def test_a_table_is_a_data_set_whose_paths_count_from_it(tmp_path):
    """Classes in the order of their names; a share is held out; judging takes all."""
    found = open_data(table(tmp_path / "labels.csv", CATS))
    assert found.kind == "table"
    assert found.train.classes == ("cat", "dog")
    assert found.train.labels.tolist() == [0, 1] * 5
    assert found.train.files[3] == tmp_path / "img/3.png"
    splits = found.split(val_fraction=0.2)
    assert (len(splits.train), len(splits.val)) == (8, 2)
    assert len(open_held_out(tmp_path / "labels.csv")) == 10


def test_a_folder_of_tables_has_parts_with_the_classes_of_train(tmp_path):
    """Numbers are put in order as numbers."""
    for part, count in (("train", 24), ("val", 12), ("test", 12)):
        table(tmp_path / f"{part}.csv", {f"{part}/{n}.png": str(n % 12) for n in range(count)})
    found = open_data(tmp_path)
    assert found.train.classes == tuple(map(str, range(12)))
    assert found.val.labels.tolist() == found.test.labels.tolist() == list(range(12))
    assert open_held_out(tmp_path).files == found.test.files


def test_class_folders_stay_a_folder_where_a_table_lies_beside_them(tmp_path):
    """As they were before tables were known."""
    for name in "ab":
        for number in range(3):
            image(tmp_path / "train" / name / f"{number}.png", number)
    table(tmp_path / "train.csv", CATS)
    assert open_data(tmp_path).kind == "folder"


def test_all_files_that_are_missing_are_named_at_once(tmp_path):
    """The first 20 in words, each with its line, and how many more there are."""
    labels = {f"{n}.png": "ab"[n % 2] for n in range(60)}
    (fault,) = faults(table(tmp_path / "labels.csv", labels, make=False))
    assert fault.startswith("D/labels.csv:2 D001 60 files do not exist: '0.png' (line 2), '1.png'")
    assert "'19.png' (line 21), 40 more (paths count from the table's folder, D" in fault
    image(tmp_path / "0.png", 0)
    (fault,) = faults(table(tmp_path / "one.csv", {"0.png": "a", "1.png": "b"}, make=False))
    assert fault.startswith("D/one.csv:3 D001 file '1.png' does not exist (paths count")


def test_missing_files_are_told_with_all_else_that_is_wrong(tmp_path):
    """Of all tables of a folder: wrong rows, files, labels that are no class; of a label that may
    stand in a row that is wrong nothing is said.
    """
    table(tmp_path / "train.csv", CATS)
    table(tmp_path / "val.csv", {"v0.png": "cat", "no.png": "cow", "gone.png": "dog"}, make=False)
    with (tmp_path / "val.csv").open("a") as file:
        file.write("v0.png,dog\n,cat\nx.png,cat,dog\n")
    image(tmp_path / "v0.png", 0)
    missing = "D/val.csv:3 D001 2 files do not exist: 'no.png' (line 3), 'gone.png' (line 4) ("
    wrong = ["D/val.csv:7 D012 has 3 columns", "D/val.csv:5 D012 names 'v0.png' again"]
    expected = [*wrong, "D/val.csv:6 D012 names no file", missing, "D/val.csv:3 D007 label 'cow'"]
    found = faults_of_folder(tmp_path)
    assert [f for f, start in zip(found, expected, strict=True) if not f.startswith(start)] == []
    (tmp_path / "classes.txt").write_bytes(b"\xff")
    found = faults_of_folder(tmp_path)
    listed = ["D/classes.txt D012 is no UTF-8 text", *expected[:4]]
    assert [f for f, start in zip(found, listed, strict=True) if not f.startswith(start)] == []
    (tmp_path / "classes.txt").unlink()
    with (tmp_path / "train.csv").open("a") as file:
        file.write("img/lost.png,cat\nimg/0.png,cow,dog\n")
    found = faults_of_folder(tmp_path)
    lost = "D/train.csv:12 D001 file 'img/lost.png' does not exist"
    expected = ["D/train.csv:13 D012 has 3 columns", lost, *expected[:4]]
    assert [f for f, start in zip(found, expected, strict=True) if not f.startswith(start)] == []
    (tmp_path / "train.csv").write_bytes(b"\xff\xfe")
    found = faults_of_folder(tmp_path)
    expected = ["D/train.csv:1 D012 is no UTF-8 text", *expected[2:]]
    assert [f for f, start in zip(found, expected, strict=True) if not f.startswith(start)] == []


def test_a_label_that_is_no_class_is_told_with_the_nearest(tmp_path):
    """Of the training images, or of a list of classes beside them."""
    table(tmp_path / "train.csv", CATS)
    table(tmp_path / "val.csv", {"v0.png": "cat", "v1.png": "dgo"})
    (fault,) = faults_of_folder(tmp_path)
    assert fault.startswith("D/val.csv:3 D007 label 'dgo' is none of the 2 classes of D/train.csv")
    assert fault.endswith("(did you mean 'dog'?)")
    (tmp_path / "classes.txt").write_text("dog\ncat\nowl\n")
    table(tmp_path / "val.csv", {"v0.png": "cat", "v1.png": "7"})
    (fault,) = faults_of_folder(tmp_path)
    assert fault == "D/val.csv:3 D007 label '7' is none of the 3 classes of D/classes.txt"


@pytest.mark.parametrize("content", ['["cat", "dog"]', '{"0": "cat", "1": "dog"}', "cat\ndog\n"])
def test_labels_that_are_numbers_have_the_names_of_a_list(tmp_path, content):
    """In whichever form it is; one that is no number of the list is told."""
    labels = {f"{n}.png": "01"[n % 2] for n in range(6)}
    table(tmp_path / "labels.csv", labels)
    name = "classes.txt" if content.startswith("cat") else "classes.json"
    (tmp_path / name).write_text(content)
    source = open_data(tmp_path / "labels.csv").train
    assert source.classes == ("cat", "dog")
    assert source.labels.tolist() == [0, 1] * 3
    (fault,) = faults(table(tmp_path / "labels.csv", {**labels, "x.png": "2"}))
    assert fault.startswith("D/labels.csv:8 D007 label '2' is none of the 2 classes of D/classes")
    (tmp_path / name).write_text("1\n0\n" if name.endswith("txt") else '["1", "0"]')
    assert open_data(table(tmp_path / "labels.csv", labels)).train.labels.tolist() == [1, 0] * 3


def faults_of_folder(folder: Path) -> list[str]:
    with pytest.raises(DataError) as caught:
        open_data(folder)
    return [str(fault).replace(str(folder), "D") for fault in caught.value.diagnostics]


def test_a_class_without_images_in_val_is_a_fault_as_it_is_of_folders(tmp_path):
    """Nothing would be known of it."""
    table(tmp_path / "train.csv", CATS)
    table(tmp_path / "val.csv", {"v0.png": "cat"})
    (fault,) = faults_of_folder(tmp_path)
    assert fault.startswith("D/val.csv D004 lacks the class 'dog' of D/train.csv")


# ---- several labels

SEVERAL = {f"{n}.png": ("a;b", "b", "a|c", "", "c")[n % 5] for n in range(40)}


def test_several_labels_are_rows_of_zeros_and_ones(tmp_path):
    """Also of a part that happens to have one each."""
    table(tmp_path / "train.csv", SEVERAL)
    table(tmp_path / "val.csv", {"v0.png": "a", "v1.png": "c"})
    found = open_data(tmp_path)
    assert found.train.is_multi_label
    assert found.train.labels.dtype == np.float32
    assert found.train.labels[:5].tolist() == [
        [1, 1, 0],
        [0, 1, 0],
        [1, 0, 1],
        [0, 0, 0],
        [0, 0, 1],
    ]
    assert found.val.labels.tolist() == [[1, 0, 0], [0, 0, 1]]
    assert found.val.notes == (f"{tmp_path}/val.csv: no image has the label b",)


def test_the_split_of_several_labels_holds_out_each_and_takes_the_last_of_none(tmp_path):
    """Whatever the seed."""
    labels = {**SEVERAL, "x.png": "rare;a", "y.png": "two;b", "z.png": "two"}
    found = open_data(table(tmp_path / "labels.csv", labels))
    shares = []
    for seed in range(10):
        splits = found.split(val_fraction=0.2, seed=seed)
        assert (splits.train.count_labels() > 0).all()
        shares.append(splits.val.count_labels() / found.train.count_labels())
    mean = dict(zip(found.train.classes, np.mean(shares, axis=0), strict=True))
    assert all(0.1 < mean[name] < 0.35 for name in "abc")
    assert mean["rare"] == 0


def test_batches_of_several_labels_are_as_wide_as_the_logits_and_are_mixed(tmp_path):
    """Targets of a mixed batch are a blend of its images' labels."""
    source = open_data(table(tmp_path / "labels.csv", SEVERAL)).train
    how = {"indices": np.arange(40), "training": True, "batch_size": 8, "seed": 0}
    plain = list(load_batches(source, preprocess=raw((8, 8), classes=5), **how))
    targets = np.concatenate([y for _, y in plain])
    assert targets.shape == (40, 5)
    assert np.array_equal(targets[:, :3], source.labels)
    assert not targets[:, 3:].any()
    mixing = Mixing(mixup=1.0, cutmix=0.0, probability=1.0, classes=5)
    for (before, labels), (after, mixed) in zip(
        plain,
        load_batches(source, preprocess=raw((8, 8), mixing=mixing, classes=5), **how),
        strict=True,
    ):
        partners = np.roll(before, 4, axis=0)
        share = ((after - partners) * (before - partners)).sum() / ((before - partners) ** 2).sum()
        blend = labels * share + np.roll(labels, 4, axis=0) * (1 - share)
        assert mixed == pytest.approx(blend, abs=1e-4)


def test_the_last_batch_of_an_evaluation_is_filled_with_rows_of_minus_one(tmp_path):
    """Which no figure counts."""
    source = open_data(table(tmp_path / "labels.csv", SEVERAL)).train.subset(range(5))
    how = {"indices": np.arange(5), "training": False, "batch_size": 4, "seed": 0}
    *_, (_, last) = load_batches(source, preprocess=raw((8, 8), classes=3), **how)
    assert last.tolist() == [[0, 0, 1], [-1] * 3, [-1] * 3, [-1] * 3]


def test_balanced_weights_count_each_label_of_an_image(tmp_path):
    """Images / (classes x images that have the label)."""
    labels = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 0], [0, 0, 0]], np.float32)
    weights = class_weights_of(LossRecipe(kind="bce", class_weights="balanced"), labels, 3)
    assert weights == pytest.approx((4 / 9, 4 / 3, 1.0))


def test_a_loss_that_knows_of_one_label_is_refused_with_the_cure(tmp_path):
    """In one line, before anything is made."""
    path = table(tmp_path / "labels.csv", SEVERAL)
    how = {"data_dir": path, "recipe_overrides": ["batch_size=4"]}
    with pytest.raises(ArchspecError) as caught:
        train.plan("densenet121", **how)
    (fault,) = caught.value.diagnostics
    assert str(fault).endswith(
        f"D013 loss.kind (=cross_entropy) must be bce: images of {path} have several labels, "
        "or none (--set recipe.loss.kind=bce)"
    )
    how["recipe_overrides"] = ["batch_size=4", "loss.kind=bce"]
    assert train.plan("densenet121", **how).settings.classes == ("a", "b", "c")


def test_labels_are_sorted_as_the_numbers_that_they_are():
    """Also those of more digits than Python reads."""
    long = "1" + "0" * 5_000
    assert sort_labels(["10", "9", long, "1"]) == ("1", "9", "10", long)


def test_free_text_in_the_place_of_labels_fills_no_memory(tmp_path, monkeypatch):
    """A `;` somewhere makes labels of every word."""
    monkeypatch.setattr(labelled_files, "MAX_LABELS", 5)
    texts = {"a.png": "a cat; asleep", "b.png": "a dog", "c.png": "a bird"}
    with pytest.raises(DataError, match="D012 has 3 images x 4 labels, which is too many"):
        open_data(table(tmp_path / "labels.csv", texts))


def test_images_of_which_none_can_be_held_out_are_too_few(tmp_path):
    """Each is the only one of its label."""
    texts = {"a.png": "x;y", "b.png": "y;z", "c.png": "z;x"}
    eye = {"a.png": "x", "b.png": "y", "c.png": "z;q"}
    assert open_data(table(tmp_path / "one.csv", texts)).split().val is not None
    with pytest.raises(DataError, match="D008 holds too few images to split"):
        open_data(table(tmp_path / "two.csv", eye)).split()
