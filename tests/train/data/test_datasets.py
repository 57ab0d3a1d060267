"""Data sets on disk: each layout is read as its authors define it,
and every fault names its file.
"""

import gzip
import os
import shutil
import struct
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from archspec.errors import DataError
from archspec.train.data.datasets import open_data, open_held_out
from archspec.train.data.formats import record_files
from archspec.train.data.images import image_files
from archspec.train.data.images.image_files import read_image
from archspec.train.data.sources.source import Source

CLOTHING = Path(__file__).parents[4] / "shared" / "data" / "clothing"
NOBODY = 65534


def photo(
    path: Path, seed: int | bytes = 0, size: tuple[int, int] = (24, 16), **options: object
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = np.random.default_rng(list(seed) if isinstance(seed, bytes) else seed)
    pixels = drawn.integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return path


def folder(root: Path, counts: dict[str, int], suffix: str = ".jpg") -> Path:
    for name, count in counts.items():
        for number in range(count):
            # No image of one part is one of another.
            photo(root / name / f"{number}{suffix}", f"{root.name}/{name}/{number}".encode())
    return root


def cifar(path: Path, labels: list[list[int]], seed: int = 0) -> np.ndarray:
    """Write records of label bytes and planes; return the images (N, 32, 32, 3)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images = np.random.default_rng(seed).integers(0, 256, (len(labels), 32, 32, 3), np.uint8)
    content = b"".join(
        bytes(label) + b"".join(image[:, :, plane].tobytes() for plane in range(3))
        for label, image in zip(labels, images, strict=True)
    )
    path.write_bytes(content)
    return images


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def mnist(root: Path, images: int = 40, dot: str = "-", zipped: bool = False) -> None:
    for prefix in ("train", "t10k"):
        rng = np.random.default_rng(len(prefix))
        pixels = rng.integers(0, 256, (images, 5, 4), np.uint8)
        labels = (np.arange(images) % 10).astype(np.uint8)
        for what, array in (("images", pixels), ("labels", labels)):
            name = f"{prefix}-{what}{dot}idx{array.ndim}-ubyte" + (".gz" if zipped else "")
            content = idx(array)
            (root / name).write_bytes(gzip.compress(content) if zipped else content)


def faults(root: Path) -> list[str]:
    with pytest.raises(DataError) as caught:
        open_data(root).split()
    return [str(fault) for fault in caught.value.diagnostics]


@contextmanager
def unprivileged() -> Iterator[None]:
    """Be nobody for a while: root may read everything."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)


# ---- embedded digits


@pytest.mark.parametrize("file", [record_files.DIGITS, "where a later version has it.csv.gz"])
def test_digits_are_scikit_learns_scans_scaled_to_bytes(file, monkeypatch):
    """Every scan appears once, values 0..16 become 0..255, and its label is scikit-learn's."""
    monkeypatch.setattr(record_files, "DIGITS", file)
    splits = open_data(None).split()
    scans = load_digits()
    seen = np.zeros(1797, int)
    for part in (splits.train, splits.val, splits.test):
        np.add.at(seen, part.rows, 1)
        assert np.array_equal(part.labels, scans.target[part.rows])
        assert (
            np.abs(part.arrays[..., 0] / 255 - scans.images[part.rows] / 16).max()
            <= 0.5 / 255 + 1e-12
        )
    assert (seen == 1).all()
    assert splits.kind == "digits"
    assert splits.classes == tuple("0123456789")
    assert splits.train.arrays.dtype == np.uint8
    assert splits.train.arrays.shape[1:] == (8, 8, 1)


def test_digits_test_part_is_a_stratified_fifth_that_no_seed_moves():
    """The figure on the test part means the same images in every run."""
    one, other = open_data(None).split(), open_data(None).split(seed=5, val_fraction=0.3)
    assert np.array_equal(one.test.rows, other.test.rows)
    assert np.array_equal(one.test.rows, open_held_out(None).rows)
    assert not np.array_equal(one.val.rows, open_data(None).split(seed=5).val.rows)
    whole = np.bincount(load_digits().target)
    assert np.abs(np.bincount(one.test.labels) - whole / 5).max() <= 0.5
    assert len(other.val) == pytest.approx(0.3 * (1797 - len(one.test)), abs=5)


# ---- image folders


def test_folder_with_train_and_val_reads_classes_from_sorted_names(tmp_path):
    """Class numbers follow the sorted folder names; hidden files and other files are no images."""
    folder(tmp_path / "train", {"zebra": 3, "ant": 2})
    folder(tmp_path / "val", {"zebra": 1, "ant": 1}, ".PNG")
    (tmp_path / "train" / "ant" / "notes.txt").write_text("x")
    (tmp_path / "train" / "ant" / "._0.jpg").write_text("x")
    (tmp_path / "train" / ".cache").mkdir()
    splits = open_data(tmp_path).split()
    assert splits.kind == "folder"
    assert splits.classes == ("ant", "zebra")
    assert splits.train.labels.tolist() == [0, 0, 1, 1, 1]
    assert splits.train.labels.dtype == np.int32
    assert splits.test is None
    assert splits.val.files[1] == tmp_path / "val" / "zebra" / "0.PNG"
    assert open_held_out(tmp_path).files == splits.val.files


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_folder_with_all_three_parts_keeps_each(tmp_path, name):
    """Each usual name of the validation part is known, and the test part is what is judged."""
    for part, count in (("train", 4), (name, 2), ("test", 1)):
        folder(tmp_path / part, {"a": count, "b": count})
    splits = open_data(tmp_path).split()
    assert (len(splits.train), len(splits.val), len(splits.test)) == (8, 4, 2)
    assert open_held_out(tmp_path).files == splits.test.files


def test_folder_with_test_but_no_val_splits_val_from_train(tmp_path):
    """Test images play no part in choosing the checkpoint."""
    folder(tmp_path / "train", {"a": 10, "b": 10})
    folder(tmp_path / "test", {"a": 2, "b": 2})
    splits = open_data(tmp_path).split(val_fraction=0.2)
    assert (len(splits.train), len(splits.val), len(splits.test)) == (16, 4, 4)
    assert not set(splits.val.files) & set(splits.test.files)


def test_class_folders_are_split_by_class_and_validated_whole(tmp_path):
    """Of each class `val_fraction` is held out, of a single image none;
    to validate, all of it serves.
    """
    folder(tmp_path, {"a": 10, "b": 20, "c": 1})
    splits = open_data(tmp_path).split(val_fraction=0.2)
    assert np.bincount(splits.val.labels).tolist() == [2, 4]
    assert sorted(splits.train.files + splits.val.files) == sorted(open_held_out(tmp_path).files)
    assert splits.val.files == open_data(tmp_path).split(val_fraction=0.2).val.files
    assert splits.val.files != open_data(tmp_path).split(val_fraction=0.2, seed=1).val.files


def test_class_that_is_called_train_is_a_class(tmp_path):
    """A folder named `train` with images in it does not make the layout one of parts."""
    folder(tmp_path, {"train": 3, "bus": 3})
    assert open_data(tmp_path).split().classes == ("bus", "train")


def test_validation_images_alone_can_be_validated_but_not_trained_on(tmp_path):
    """`validate` needs no training images, `train` says what is missing."""
    folder(tmp_path / "val", {"a": 1, "b": 2})
    assert len(open_held_out(tmp_path)) == 3
    assert faults(tmp_path)[0].startswith(
        f"{tmp_path} D002 holds no training images (expected: train/CLASS"
    )


def linked(one: Path, other: Path) -> None:
    other.parent.mkdir(parents=True, exist_ok=True)
    other.symlink_to(one)


def hard_linked(one: Path, other: Path) -> None:
    shutil.copytree(one, other, copy_function=os.link)


@pytest.mark.parametrize("part", ["val", "test"])
@pytest.mark.parametrize("made", [linked, hard_linked, shutil.copytree])
def test_images_to_choose_by_are_not_those_to_learn_from(made, part, tmp_path):
    """One folder under two names, links to its files, or copies of them: each class is named."""
    folder(tmp_path / "train", {"a": 3, "b": 120})
    made(tmp_path / "train", tmp_path / part)
    with pytest.raises(DataError) as caught:
        open_data(tmp_path).split()
    assert [fault.code for fault in caught.value.diagnostics] == ["D011", "D011"]
    assert {fault.where for fault in caught.value.diagnostics} == {str(tmp_path / part)}
    words = f"class 'a' has the same images as in {tmp_path / 'train'}"
    assert caught.value.diagnostics[0].message == words


def test_a_single_class_that_stands_in_two_parts_is_found(tmp_path):
    """By a link, say, where somebody had no images left."""
    folder(tmp_path / "train", {"a": 3, "b": 4})
    folder(tmp_path / "val", {"b": 2})
    linked(tmp_path / "train" / "a", tmp_path / "val" / "a")
    with pytest.raises(DataError, match=r"D011 class 'a'") as caught:
        open_data(tmp_path).split()
    assert len(caught.value.diagnostics) == 1


def test_images_of_equal_names_and_other_contents_are_apart(tmp_path):
    """Numbered by whoever made the parts; some that are equal, or fewer, are no copy."""
    folder(tmp_path / "train", {"a": 3, "b": 3})
    folder(tmp_path / "val", {"a": 2, "b": 3})
    photo(tmp_path / "val" / "b" / "2.jpg", seed=9)
    assert len(open_data(tmp_path).split().val) == 5


def test_what_is_skipped_is_said_once_for_each_part(tmp_path):
    """By suffix and number: other formats, folders within a class, images in no class;
    hidden files are nobody's.
    """
    for part, count in (("train", 5), ("test", 4)):
        folder(tmp_path / part, {"a": count, "b": count})
    for name in ("a/x.GIF", "a/y.gif", "b/z.gif", "b/notes", "b/Thumbs.db", "a/.hidden.gif"):
        (tmp_path / "train" / name).touch()
    photo(tmp_path / "train" / "a" / "more" / "9.jpg")
    photo(tmp_path / "train" / "stray.jpg")
    splits = open_data(
        tmp_path
    ).split()  # the training part is split in two, and still has one line
    kinds = (
        "images beside the class folders (1), .gif (3), folders (1), "
        "files without a suffix (1), .db (1)"
    )
    (note,) = splits.notes
    start, rest = note.partition(" skipped ")[::2]
    assert start == f"{tmp_path / 'train'}:"
    assert rest.endswith("; images are .jpg, .jpeg, .png, .bmp, .webp, .tif, .tiff")
    assert sorted(rest.partition(";")[0].split(", ")) == sorted(kinds.split(", "))
    assert rest.startswith(".gif (3)")
    assert (len(splits.train) + len(splits.val), open_held_out(tmp_path).notes) == (10, ())


def test_many_kinds_of_skipped_files_make_one_short_line(tmp_path):
    """Ten of them by name."""
    folder(tmp_path, {"a": 2, "b": 2})
    for number in range(14):
        (tmp_path / "a" / f"x.{number:02}").touch()
    assert ".09 (1), 4 kinds more; images are" in open_data(tmp_path).split().notes[0]


def test_a_data_set_is_known_again_where_it_was_moved_to_and_not_when_it_was_changed(tmp_path):
    """The digest rests on classes, labels, names and sizes of files."""
    before = open_data(folder(tmp_path / "old", {"a": 4, "b": 4})).split().digest
    (tmp_path / "old").rename(tmp_path / "new")
    assert open_data(tmp_path / "new").split().digest == before
    assert open_data(tmp_path / "new").split(seed=1).digest != before
    (tmp_path / "new" / "a" / "0.jpg").rename(tmp_path / "new" / "a" / "9.jpg")
    assert open_data(tmp_path / "new").split().digest != before


NAMES = "it has other classes, labels or names of files"
BYTES = "images have other bytes"


def test_what_has_changed_in_a_folder_of_images_is_told(tmp_path):
    """A name, or the bytes of a file, as far as its size tells; a file that is gone by then."""
    before = open_data(folder(tmp_path, {"a": 4, "b": 4})).split()
    image = tmp_path / "a" / "0.jpg"
    assert open_data(tmp_path).split().find_change(before.digest) == ""
    image.write_bytes(image.read_bytes() + b"\n")
    again = open_data(tmp_path).split()
    assert again.find_change(before.digest) == BYTES
    image.rename(tmp_path / "a" / "9.jpg")
    assert open_data(tmp_path).split().find_change(before.digest) == NAMES
    listed, known = open_data(tmp_path).split(), open_data(tmp_path).split().digest
    (tmp_path / "a" / "9.jpg").unlink()
    assert listed.find_change(known) == BYTES


@pytest.mark.parametrize("layout", ["cifar", "mnist"])
def test_one_changed_byte_in_a_file_of_records_is_told(layout, tmp_path):
    """Of the images; that of a label is another label."""
    file, first_byte, label = tmp_path / "data_batch_1.bin", 3072, 0
    if layout == "cifar":
        cifar(file, [[number % 10] for number in range(40)])
    else:
        mnist(tmp_path)
        file, first_byte, label = tmp_path / "train-images-idx3-ubyte", 16, None
    before, raw = open_data(tmp_path).split(), bytearray(file.read_bytes())
    raw[first_byte] ^= 1
    file.write_bytes(raw)
    assert open_data(tmp_path).split().find_change(before.digest) == BYTES
    if label is not None:
        raw[label] ^= 1
        file.write_bytes(raw)
        assert open_data(tmp_path).split().find_change(before.digest) == NAMES


def test_a_digest_that_an_earlier_version_kept_tells_of_names_alone(tmp_path):
    """Nobody knows which bytes there were: sizes that are others now are not called a change."""
    old = sha256(repr(("a", "b")).encode())
    splits = open_data(folder(tmp_path, {"a": 4, "b": 4})).split()
    for part in (splits.train, splits.val):
        old.update(part.labels.tobytes() + "/".join(file.name for file in part.files).encode())
    (tmp_path / "a" / "0.jpg").write_bytes((tmp_path / "a" / "0.jpg").read_bytes() + b"\n")
    assert open_data(tmp_path).split().find_change(old.hexdigest()) == ""
    (tmp_path / "a" / "0.jpg").rename(tmp_path / "a" / "9.jpg")
    assert open_data(tmp_path).split().find_change(old.hexdigest()) == NAMES


def test_class_folders_may_be_links_and_have_names_of_any_script(tmp_path):
    """A link to a folder elsewhere is a class; one to nothing is a fault,
    since it may have been one.
    """
    folder(tmp_path / "data", {"größe": 2, "猫 2": 2})
    folder(tmp_path, {"elsewhere": 3})
    (tmp_path / "data" / "linked").symlink_to(tmp_path / "elsewhere")
    assert open_data(tmp_path / "data").split().classes == ("größe", "linked", "猫 2")
    (tmp_path / "elsewhere").rename(tmp_path / "gone")
    expected = f"{tmp_path / 'data' / 'linked'} D001 cannot be read: No such file or directory"
    assert faults(tmp_path / "data") == [expected]


def test_every_fault_of_a_folder_is_reported_at_once(tmp_path):
    """Text named .jpg, cut images, empty class folders: one run names them all."""
    folder(tmp_path / "train", {"a": 3, "b": 1, "only_train": 1})
    folder(tmp_path / "val", {"a": 2, "b": 1, "only_val": 1})
    cut = tmp_path / "train" / "a" / "1.jpg"
    cut.write_bytes(cut.read_bytes()[:-40])
    header = tmp_path / "train" / "a" / "2.jpg"
    header.write_bytes(header.read_bytes()[:100])
    text = tmp_path / "val" / "a" / "0.jpg"
    text.write_text("not an image\n" * 20)
    nothing = tmp_path / "val" / "a" / "1.jpg"
    nothing.write_bytes(b"")
    png = photo(tmp_path / "val" / "b" / "9.png")
    png.write_bytes(png.read_bytes()[:-30])
    for part in ("train", "val"):
        (tmp_path / part / "hollow").mkdir()
    (tmp_path / "val" / "hollow" / "readme.txt").write_text("x")
    found = faults(tmp_path)
    expected = {
        f"{cut} D005 cannot be read: image file is truncated",
        f"{header} D005 ",
        f"{text} D005 is not a whole JPEG, PNG, BMP, WebP or TIFF image",
        f"{nothing} D005 is not a whole JPEG, PNG, BMP, WebP or TIFF image",
        f"{png} D005 cannot be read: ",
        f"{tmp_path / 'train' / 'hollow'} D003 is an empty class folder",
        f"{tmp_path / 'val' / 'hollow'} D003 holds no image",
        f"{tmp_path / 'val'} D004 lacks the class 'only_train' of {tmp_path / 'train'}",
        f"{tmp_path / 'train'} D004 lacks the class 'only_val' of {tmp_path / 'val'}",
    }
    assert len(found) == len(expected)
    damaged = [fault for fault in found if " D005 " in fault]
    assert all(fault.endswith(" (copy it anew, or leave it out)") for fault in damaged)
    assert {
        start for start in expected if any(fault.startswith(start) for fault in found)
    } == expected


def test_more_than_twenty_faults_are_counted(tmp_path):
    """A folder of 30 texts is not a screen of 30 lines."""
    folder(tmp_path, {"good": 2})
    (tmp_path / "bad").mkdir()
    for number in range(30):
        (tmp_path / "bad" / f"{number:02}.jpg").write_text("text")
    found = faults(tmp_path)
    assert len(found) == 21
    assert found[0].startswith(f"{tmp_path / 'bad' / '00.jpg'} D005")
    assert found[-1] == "D005 and 10 more"


def test_whole_images_of_unusual_make_are_accepted(tmp_path):
    """Bytes after a JPEG's end, progressive and grey JPEG,
    palettes, alpha, WebP, BMP: Pillow reads all.
    """
    photo(tmp_path / "a" / "trailer.jpg")
    with (tmp_path / "a" / "trailer.jpg").open("ab") as file:
        file.write(b"\0" * 500)
    photo(tmp_path / "a" / "progressive.jpg", progressive=True)
    for suffix, mode in (
        (".png", "P"),
        (".webp", "RGBA"),
        (".bmp", "RGB"),
        (".jpeg", "L"),
        (".jpg", "CMYK"),
    ):
        path = tmp_path / "b" / f"{mode}{suffix}"
        path.parent.mkdir(exist_ok=True)
        Image.open(tmp_path / "a" / "trailer.jpg").convert(mode).save(path)
    assert len(open_held_out(tmp_path)) == 7


def test_cut_webp_and_bmp_are_found_at_opening(tmp_path):
    """Formats without an end mark are decoded to be sure."""
    folder(tmp_path, {"a": 2, "b": 2})
    for suffix in (".webp", ".bmp"):
        path = photo(tmp_path / "a" / f"x{suffix}")
        path.write_bytes(path.read_bytes()[:-7])
    assert [fault.split(" ")[0] for fault in faults(tmp_path)] == [
        str(tmp_path / "a" / name) for name in ("x.bmp", "x.webp")
    ]


def test_files_of_other_formats_named_jpg_are_never_interpreted(tmp_path):
    """A PostScript file would run a program, a GIF is not offered: both are refused."""
    folder(tmp_path, {"a": 1, "b": 1})
    (tmp_path / "a" / "x.jpg").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n"
    )
    Image.new("L", (4, 4)).save(tmp_path / "b" / "y.jpg", "GIF")
    assert len(faults(tmp_path)) == 2


def test_image_of_absurd_size_is_refused_without_decoding(tmp_path):
    """A few bytes that announce 40,000 x 2,500 pixels get no memory;
    Pillow's warning is not shown.
    """
    folder(tmp_path, {"a": 2, "b": 2})
    bomb = tmp_path / "a" / "bomb.bmp"
    Image.new("L", (8, 8)).save(bomb)
    content = bytearray(bomb.read_bytes())
    content[18:26] = struct.pack("<ii", 40_000, 2_500)
    bomb.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert faults(tmp_path) == [f"{bomb} D005 has 40000 x 2500 pixels, more than 89,478,485"]


def test_images_that_another_process_looked_at_are_not_opened_and_folders_are_judged_all_the_same(
    tmp_path,
):
    """Files and digest are equal, whoever looked; a folder without images is a fault for both."""
    folder(tmp_path / "train", {"a": 3, "b": 3})
    looked, listed = (open_data(tmp_path, check=check).split() for check in (True, False))
    assert (listed.train.files, listed.digest) == (looked.train.files, looked.digest)
    spoilt = tmp_path / "train/a/1.jpg"
    spoilt.write_bytes(bytes(spoilt.stat().st_size))
    assert open_data(tmp_path, check=False).split().digest == looked.digest
    assert len(faults(tmp_path)) == 1
    (tmp_path / "train/c").mkdir()
    with pytest.raises(DataError, match="D003 is an empty class folder") as caught:
        open_data(tmp_path, check=False)
    assert len(caught.value.diagnostics) == 1
    assert [fault.split(" ")[1] for fault in faults(tmp_path)] == ["D003", "D005"]


def test_parts_that_another_process_compared_are_not_opened_to_compare_them_again(tmp_path):
    """Copies of training images in the validation part are a fault for who looks."""
    folder(tmp_path / "train", {"a": 3, "b": 3})
    shutil.copytree(tmp_path / "train", tmp_path / "val")
    assert [fault.split(" ")[1] for fault in faults(tmp_path)] == ["D011", "D011"]
    assert len(open_data(tmp_path, check=False).split().val) == 6


def test_larger_sets_are_not_opened_file_by_file(tmp_path, monkeypatch):
    """Above the bound a broken image is a fault of reading, which names it too."""
    folder(tmp_path, {"a": 3, "b": 3})
    text = tmp_path / "a" / "0.jpg"
    text.write_text("text")
    monkeypatch.setattr(image_files, "MAX_CHECKED", 5)
    with pytest.raises(DataError, match=f"{text} D005"):
        open_held_out(tmp_path).image(0, 3)


def test_broken_links_are_faults_and_pipes_are_no_images(tmp_path):
    """A pipe named .jpg would block for ever; a link to nothing is an image that is missing."""
    folder(tmp_path, {"a": 2, "b": 2})
    os.mkfifo(tmp_path / "a" / "pipe.jpg")
    (tmp_path / "b" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "b" / "good.jpg").symlink_to(tmp_path / "a" / "0.jpg")
    expected = f"{tmp_path / 'b' / 'gone.jpg'} D001 cannot be read: No such file or directory"
    assert faults(tmp_path) == [expected]


@pytest.mark.parametrize("what", ["root", "class", "file"])
def test_missing_permission_names_the_file_or_folder(what):
    """Folders and files that this user may not read are faults, not empty."""
    with tempfile.TemporaryDirectory() as name:
        root = folder(Path(name), {"a": 2, "b": 2})
        root.chmod(0o755)
        target = {"root": root, "class": root / "a", "file": root / "a" / "1.jpg"}[what]
        target.chmod(0)
        try:
            with unprivileged():
                assert faults(root) == [f"{target} D001 cannot be read: Permission denied"]
        finally:
            target.chmod(0o755)


@pytest.mark.skipif(
    not CLOTHING.exists(), reason="the clothing photographs are not beside the project"
)
def test_real_photographs_open_whole():
    """840 photographs of 10 classes in train/ and val/."""
    splits = open_data(CLOTHING).split()
    assert (len(splits.train), len(splits.val), splits.test) == (600, 240, None)
    assert np.bincount(splits.train.labels).tolist() == [60] * 10
    assert splits.train.image(17, 3).mode == "RGB"


# ---- decoding


def test_decoding_equals_pillows_and_numpys(tmp_path):
    """RGB and grey are Pillow's; 16 bits are scaled; alpha is left out without a warning."""
    path = photo(tmp_path / "x.png")
    pixels = np.asarray(Image.open(path))
    assert np.array_equal(read_image(path, 3), pixels)
    weights = np.array([0.299, 0.587, 0.114])
    assert np.abs(np.asarray(read_image(path, 1)) - pixels @ weights).max() <= 1
    deep = np.arange(0, 65536, 97, dtype=np.uint16)[:400].reshape(20, 20)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    scaled = np.rint(deep / 257)
    assert np.array_equal(read_image(tmp_path / "deep.png", 1), scaled)
    assert np.array_equal(np.asarray(read_image(tmp_path / "deep.png", 3))[..., 2], scaled)
    palette = Image.open(path).convert("P")
    palette.save(tmp_path / "palette.png", transparency=bytes(range(100)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(
            read_image(tmp_path / "palette.png", 3), np.asarray(palette.convert("RGB"))
        )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_stand_upright_as_cameras_noted_in_exif(tmp_path, orientation):
    """The eight ways of the EXIF standard,
    by what each says of the image's first row and column.
    """
    sides = {
        1: "TL",
        2: "TR",
        3: "BR",
        4: "BL",
        5: "LT",
        6: "RT",
        7: "RB",
        8: "LB",
    }  # first row, first column
    upright = np.random.default_rng(0).integers(0, 256, (3, 5, 3), np.uint8)
    first_row, first_column = sides[orientation]
    stored = upright if first_row in "TB" else upright.transpose(1, 0, 2)
    stored = stored[::-1] if first_row in "BR" else stored
    stored = stored[:, ::-1] if first_column in "BR" else stored
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "x.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "x.png", 3), upright)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_spoils_no_pixels(tmp_path):
    """An image is whole where only its metadata are not."""
    path = photo(tmp_path / "x.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12")
    plain = photo(tmp_path / "plain.jpg")
    assert np.array_equal(read_image(path, 3), read_image(plain, 3))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
def test_images_of_every_mode_become_grey_and_colour(tmp_path, mode):
    """Also of one pixel, without a warning."""
    path = tmp_path / ("x.jpg" if mode == "CMYK" else "x.png")
    Image.new("RGB", (1, 1), (255, 255, 255)).convert(mode).save(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [np.asarray(read_image(path, channels)).tolist() for channels in (1, 3)] == [
            [[255]],
            [[[255] * 3]],
        ]


def test_arrays_change_their_channels_like_files():
    """Grey gives three equal channels, colour gives Pillow's grey."""
    rng = np.random.default_rng(0)
    grey, colour = (
        rng.integers(0, 256, (1, 4, 5, 1), np.uint8),
        rng.integers(0, 256, (1, 4, 5, 3), np.uint8),
    )
    zero = np.zeros(1, np.int32)
    spread = np.asarray(Source("x", ("a",), zero, arrays=grey).image(0, 3))
    assert np.array_equal(spread, np.repeat(grey[0], 3, axis=2))
    folded = np.asarray(Source("x", ("a",), zero, arrays=colour).image(0, 1))
    assert np.array_equal(folded, np.asarray(Image.fromarray(colour[0]).convert("L")))


# ---- CIFAR


@pytest.mark.parametrize("nested", [True, False])
def test_cifar10_reads_the_official_layout(tmp_path, nested):
    """Planes become pixels, names come from batches.meta.txt, val from train,
    test from test_batch.bin.
    """
    where = tmp_path / "cifar-10-batches-bin" if nested else tmp_path
    first = cifar(where / "data_batch_1.bin", [[i % 10] for i in range(40)], 1)
    second = cifar(where / "data_batch_2.bin", [[i % 10] for i in range(20)], 2)
    tested = cifar(where / "test_batch.bin", [[9], [0]], 3)
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
    (where / "batches.meta.txt").write_text("\n".join(names) + "\n\n")
    splits = open_data(tmp_path).split()
    assert splits.kind == "cifar10"
    assert splits.classes == tuple(names)
    assert (len(splits.train), len(splits.val)) == (50, 10)
    whole = np.concatenate([first, second])
    for part in (splits.train, splits.val):
        assert np.array_equal(part.arrays, whole[part.rows])
        assert np.array_equal(part.labels, np.where(part.rows < 40, part.rows, part.rows - 40) % 10)
    assert np.array_equal(splits.test.arrays, tested)
    assert splits.test.labels.tolist() == [9, 0]
    assert splits.notes == (
        f"{where}: has no data_batch_3.bin, data_batch_4.bin, data_batch_5.bin; training without",
    )
    assert np.array_equal(open_held_out(tmp_path).arrays, tested)


def test_cifar100_takes_the_fine_label(tmp_path):
    """A record has a coarse label, then the fine one."""
    where = tmp_path / "cifar-100-binary"
    cifar(where / "train.bin", [[i % 20, i % 100] for i in range(300)])
    cifar(where / "test.bin", [[19, 99]])
    (where / "fine_label_names.txt").write_text("\n".join(f"c{i}" for i in range(100)))
    splits = open_data(tmp_path).split()
    assert splits.kind == "cifar100"
    assert splits.classes[99] == "c99"
    assert splits.test.labels.tolist() == [99]
    assert np.bincount(splits.val.labels).tolist() == [1] * 100


def test_faults_of_cifar_files_are_reported_at_once(tmp_path):
    """A cut file, a label that is no class, a batch missing between others,
    a wrong list of names.
    """
    cifar(tmp_path / "data_batch_1.bin", [[1], [10], [2], [255]])
    (tmp_path / "data_batch_2.bin").write_bytes(bytes(3073 + 5))
    cifar(tmp_path / "data_batch_4.bin", [[1]])
    (tmp_path / "test_batch.bin").write_bytes(b"")
    (tmp_path / "batches.meta.txt").write_text("cat dog")
    found = faults(tmp_path)
    rule = "not a multiple of 3073, at most 1,073,741,824: not a whole file of records"
    assert found == [
        f"{tmp_path / 'batches.meta.txt'} D006 names 2 classes, not 10",
        f"{tmp_path / 'data_batch_1.bin'} D007 record 1 has the label 10, not one of 0..9",
        f"{tmp_path / 'data_batch_1.bin'} D007 record 3 has the label 255, not one of 0..9",
        f"{tmp_path / 'data_batch_2.bin'} D006 has 3,078 bytes, {rule}",
        f"{tmp_path / 'data_batch_3.bin'} D001 cannot be read: No such file or directory",
        f"{tmp_path / 'test_batch.bin'} D006 has 0 bytes, {rule}",
    ]


# ---- MNIST


@pytest.mark.parametrize(("dot", "zipped"), [("-", False), ("-", True), (".", False)])
def test_mnist_reads_idx_files(tmp_path, dot, zipped):
    """Plain, gzipped, and with the dot that some archives write."""
    mnist(tmp_path, dot=dot, zipped=zipped)
    splits = open_data(tmp_path).split()
    assert splits.kind == "mnist"
    pixels = np.random.default_rng(len("t10k")).integers(0, 256, (40, 5, 4), np.uint8)
    assert np.array_equal(splits.test.arrays[..., 0], pixels)
    assert splits.test.labels.tolist() == [i % 10 for i in range(40)]
    assert (len(splits.train), len(splits.val)) == (30, 10)
    assert splits.notes == ()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\0\0\x0d\3" + bytes(12), "does not begin as an idx file of 3-dimensional bytes does"),
        (b"\0\0\x08\3\0", "does not begin as an idx file of 3-dimensional bytes does"),
        (idx(np.zeros((40, 5, 4), np.uint8))[:-1], "announces 40 x 5 x 4 bytes and holds only 799"),
        (idx(np.zeros((40, 5, 4), np.uint8)) + b"\0", "announces 40 x 5 x 4 bytes and holds more"),
        (
            struct.pack(">BBBBIII", 0, 0, 8, 3, 2**32 - 1, 2**32 - 1, 2**32 - 1),
            "announces 4294967295 x 4294967295 x 4294967295 bytes, not 1 to 1,073,741,824",
        ),
        (idx(np.zeros((39, 5, 4), np.uint8)), "has 40 labels for 39 images"),
    ],
)
def test_faults_of_idx_files_name_the_file(tmp_path, content, message):
    """Wrong magic, cut, too long, absurd, or with another count than its labels."""
    mnist(tmp_path)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(content)
    found = faults(tmp_path)
    assert len(found) == 1
    assert found[0].startswith(str(tmp_path / "train-"))
    assert found[0].endswith(f"D006 {message}")


def test_cut_gzip_missing_labels_and_wrong_labels_are_reported_at_once(tmp_path):
    """The training images are a cut gzip file, its labels are absent,
    and a test label is no digit.
    """
    mnist(tmp_path, zipped=True)
    images = tmp_path / "train-images-idx3-ubyte.gz"
    images.write_bytes(images.read_bytes()[:-20])
    (tmp_path / "train-labels-idx1-ubyte.gz").unlink()
    labels = tmp_path / "t10k-labels-idx1-ubyte.gz"
    labels.write_bytes(gzip.compress(idx(np.full(40, 11, np.uint8))))
    found = faults(tmp_path)
    assert found[0].startswith(f"{images} D006 is not a whole gzip file")
    assert (
        found[1]
        == f"{tmp_path / 'train-labels-idx1-ubyte'} D001 cannot be read: No such file or directory"
    )
    assert found[2] == f"{labels} D007 record 0 has the label 11, not one of 0..9"
    assert found[-1] == "D007 and 22 more"


# ---- what is no data set


def test_unknown_layout_lists_what_was_looked_for(tmp_path):
    """The message names each layout, so that the user sees how to lay the files."""
    (tmp_path / "stray.txt").write_text("x")
    (fault,) = faults(tmp_path)
    assert fault.startswith(
        f"{tmp_path} D002 holds no data set of a known layout (looked for cifar10: "
    )
    for part in ("data_batch_1.bin", "cifar-100-binary", "idx3-ubyte", "train/CLASS"):
        assert part in fault


def test_paths_that_are_no_folder_say_so(tmp_path):
    """A path that is not there, and an archive in place of a folder."""
    assert faults(tmp_path / "no") == [f"{tmp_path / 'no'} D001 does not exist"]
    archive = tmp_path / "cifar.tar.gz"
    archive.write_bytes(b"x")
    assert faults(archive) == [
        f"{archive} D001 is a file, not a folder (an archive has to be unpacked; a file is .csv, "
        ".jsonl or .mindrecord)"
    ]


def test_too_few_classes_or_images_and_a_wrong_fraction_are_refused(tmp_path):
    """One class, one image of each, a fraction that leaves nothing."""
    assert "holds one class only: 'a'" in faults(folder(tmp_path / "one", {"a": 3}))[0]
    assert "holds too few images to split" in faults(folder(tmp_path / "few", {"a": 1, "b": 1}))[0]
    with pytest.raises(DataError, match=r"val_fraction \(=1.0\) must be between 0 and 1"):
        open_data(None).split(val_fraction=1.0)
