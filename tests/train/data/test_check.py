"""What is in a data set, and whether training would start on it."""

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from archspec.errors import ArchspecError, DataError
from archspec.train import plan
from archspec.train.data.check import check_data

RNG = np.random.default_rng(0)


def write(path: Path, pixels: np.ndarray, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def noise(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, np.uint8)


def photographs(root: Path, **counts: int) -> Path:
    """Class folders of so many images in colours."""
    for name, count in counts.items():
        for number in range(count):
            write(root / name / f"{number}.png", noise(12, 10, 3))
    return root


def test_counts_sizes_and_modes_are_those_of_the_files(tmp_path):
    """Each part's classes are counted, each image is decoded."""
    photographs(tmp_path / "train", a=20, b=14)
    photographs(tmp_path / "val", a=3, b=2)
    write(tmp_path / "train/a/grey.jpg", noise(7, 31))
    write(tmp_path / "train/a/alpha.webp", noise(9, 9, 4))
    Image.fromarray(noise(9, 9, 3)).convert("CMYK").save(tmp_path / "train/b/print.jpg")
    Image.fromarray(noise(9, 9, 3)).convert("P").save(tmp_path / "train/b/palette.png")
    write(tmp_path / "train/b/deep.png", np.arange(2980, 3005, dtype=np.uint16).reshape(5, 5))
    found = check_data(tmp_path)
    assert found.faults == ()
    assert found.images == {"train": 39, "val": 5}
    assert found.counts == {"train": {"a": 22, "b": 17}, "val": {"a": 3, "b": 2}}
    assert found.sizes == {"min": (5, 5), "median": (10, 12), "max": (31, 12)}
    assert found.modes == {
        "colour": 39,
        "grey": 1,
        "colour, alpha": 1,
        "CMYK": 1,
        "palette": 1,
        "grey, 16 bit": 1,
    }
    assert found.highest == 3004


@pytest.mark.parametrize("channels", [1, 3])
def test_mean_and_std_are_numpys_with_an_equal_weight_for_each_image(tmp_path, channels):
    """Of the training images alone, in 0-255 units; grey images have one value."""
    means, squares = [], []
    for number in range(40):
        shape = (5 + number, 8, 3)[: 2 + (channels > 1)]
        pixels = noise(*shape) // (1 + number % 3)
        write(tmp_path / "train" / "ab"[number % 2] / f"{number}.png", pixels)
        rows = pixels.reshape(-1, channels).astype(float)
        means.append(rows.mean(axis=0))
        squares.append((rows**2).mean(axis=0))
    photographs(tmp_path / "val", a=3, b=3)
    found = check_data(tmp_path)
    mean = np.mean(means, axis=0)
    std = np.sqrt(np.mean(squares, axis=0) - mean**2)
    assert found.mean == pytest.approx(tuple(mean), abs=0.006)
    assert found.std == pytest.approx(tuple(std), abs=0.006)


def test_embedded_digits_have_their_own_mean(tmp_path):
    """Records are checked as files are."""
    found = check_data(None)
    assert found.faults == ()
    assert sum(found.images.values()) == 1797
    assert found.sizes["max"] == (8, 8)
    assert len(found.mean) == len(found.std) == 1


def cut_jpeg(path: Path) -> None:
    write(path, noise(40, 40, 3))
    path.write_bytes(path.read_bytes()[:700])


def spoilt_inside(path: Path) -> None:
    """Whole at its ends, so that nothing less than decoding finds it."""
    file = write(path.with_suffix(".png"), noise(40, 40, 3))
    content = bytearray(file.read_bytes())
    content[200:260] = bytes(60)
    path.write_bytes(content)


def text(path: Path) -> None:
    path.write_text("no image")


@pytest.mark.parametrize("spoil", [cut_jpeg, spoilt_inside, text])
def test_broken_images_are_faults_unless_the_recipe_skips_them(tmp_path, spoil):
    """All are named; every image is decoded, whatever its ends look like."""
    photographs(tmp_path, a=20, b=20)
    for name in ("x.png", "y.jpg"):
        spoil(tmp_path / "a" / name)
    found = check_data(tmp_path)
    assert [file for file, _ in found.broken] == [
        str(tmp_path / "a/x.png"),
        str(tmp_path / "a/y.jpg"),
    ]
    assert [fault.code for fault in found.faults] == ["D005", "D005"]
    recipe = tmp_path.parent / f"{tmp_path.name}.yaml"
    recipe.write_text("extends: imagefolder\ndata: {on_error: skip}\n")
    assert check_data(tmp_path, recipe).faults == ()
    assert check_data(tmp_path, overrides=["data.on_error=skip"]).faults == ()


def test_images_of_train_under_other_names_are_found_in_val(tmp_path):
    """More than a tenth of a class is a fault, as it is for training; fewer are a note."""
    photographs(tmp_path / "train", a=20, b=20)
    photographs(tmp_path / "val", a=4, b=20)
    (tmp_path / "val/a/copied.png").write_bytes((tmp_path / "train/b/3.png").read_bytes())
    (tmp_path / "val/b/copied.png").write_bytes((tmp_path / "train/b/4.png").read_bytes())
    (tmp_path / "train/a/twin.png").write_bytes((tmp_path / "train/a/0.png").read_bytes())
    found = check_data(tmp_path)
    (fault,) = found.faults
    assert fault.code == "D011"
    assert fault.message.startswith("class 'a': 1 of 5 images are training images too")
    assert f"{tmp_path}/val: 1 image is a training image too, first" in found.notes[0]
    assert sorted(map(len, found.duplicates)) == [2, 2, 2]
    with pytest.raises(ArchspecError) as caught:
        plan("densenet121", data_dir=tmp_path)
    assert caught.value.diagnostics == found.faults


@pytest.mark.parametrize("layout", ["records", "very many files"])
def test_twins_that_training_does_not_look_for_are_notes(tmp_path, layout, monkeypatch):
    """Training starts on them."""
    if layout == "records":
        pixels = noise(40, 5, 4)
        labels = (np.arange(40) % 10).astype(np.uint8)
        for part in ("train", "t10k"):
            for what, array in (("images", pixels), ("labels", labels)):
                head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
                file = tmp_path / f"{part}-{what}-idx{array.ndim}-ubyte"
                file.write_bytes(head + array.tobytes())
    else:
        monkeypatch.setattr("archspec.train.data.sources.overlap.MAX_CHECKED", 10)
        photographs(tmp_path / "train", a=20, b=20)
        photographs(tmp_path / "val", a=2, b=4)
        (tmp_path / "val/a/0.png").write_bytes((tmp_path / "train/a/3.png").read_bytes())
    recipe = tmp_path.parent / f"{tmp_path.name}.yaml"
    recipe.write_text("extends: imagefolder\nbatch_size: 4\n")
    found = check_data(tmp_path, recipe)
    assert found.faults == ()
    assert "D011 class" in found.notes[0]
    assert found.duplicates
    plan("densenet121", data_dir=tmp_path, recipe_name=recipe)


def test_images_that_are_hardly_meant_are_odd(tmp_path):
    """They are no faults: a network trains on them."""
    photographs(tmp_path, a=20, b=20)
    write(tmp_path / "a/black.png", np.zeros((8, 8, 3), np.uint8))
    write(tmp_path / "a/thin.png", noise(8, 1, 3))
    write(tmp_path / "b/wrong.jpg", noise(8, 8, 3), format="PNG")
    found = check_data(tmp_path)
    assert found.faults == ()
    assert dict(found.odd) == {
        str(tmp_path / "a/black.png"): "has one colour only",
        str(tmp_path / "a/thin.png"): "is 1 x 8 pixels",
        str(tmp_path / "b/wrong.jpg"): "is a PNG image with the suffix .jpg",
    }


def test_classes_are_called_as_the_recipe_calls_them(tmp_path):
    """Where its list fits; where it does not, that is the fault, and folders' names stand."""
    root = photographs(tmp_path / "photos", a=8, b=8)
    names = tmp_path / "names.json"
    sets = [f"data.class_names={names}", "batch_size=4"]
    names.write_text('{"a": "alpaca", "b": "bear"}')
    found = check_data(root, overrides=sets)
    assert (found.faults, [*found.counts["train"]]) == ((), ["alpaca", "bear"])
    names.write_text('{"a": "alpaca", "x": "ox"}')
    found = check_data(root, overrides=sets)
    assert found.faults
    assert [*found.counts["train"]] == ["a", "b"]


def test_fewer_images_than_a_batch_are_a_fault_as_they_are_for_training(tmp_path):
    """A recipe with a smaller batch is content with them."""
    photographs(tmp_path, a=4, b=4)
    (fault,) = check_data(tmp_path).faults
    assert fault.code == "T007"
    recipe = tmp_path.parent / f"{tmp_path.name}.yaml"
    recipe.write_text("extends: imagefolder\nbatch_size: 4\n")
    assert check_data(tmp_path, recipe).faults == ()


UNFIT = {
    "a figure of several labels": "keep: {by: mean_ap}",
    "five guesses of two classes": "keep: {by: top5}",
    "weights of other classes": "loss: {class_weights: [1, 2, 3]}",
    "names of masks' values": "data: {classes: [a, b]}",
}


@pytest.mark.parametrize("setting", UNFIT.values(), ids=UNFIT)
def test_a_recipe_that_does_not_fit_the_images_is_a_fault_as_it_is_for_training(tmp_path, setting):
    """Training would not start with it."""
    photographs(tmp_path / "photos", a=8, b=8)
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(f"extends: imagefolder\nbatch_size: 4\n{setting}\n")
    (fault,) = check_data(tmp_path / "photos", recipe).faults
    with pytest.raises(ArchspecError) as caught:
        plan("densenet121", data_dir=tmp_path / "photos", recipe_name=recipe)
    assert caught.value.diagnostics == (fault,)


def test_what_cannot_be_opened_raises(tmp_path):
    """There is nothing to describe."""
    with pytest.raises(DataError, match="D002"):
        check_data(tmp_path)
    with pytest.raises(DataError, match="D001"):
        check_data(tmp_path / "none")
