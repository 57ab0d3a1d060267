"""Masks: what their values are, and every fault at once, each by its file."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from archspec.errors import DataError, SpecError
from archspec.train.data.datasets import open_data
from archspec.train.data.inputs import split_by_recipe
from archspec.train.data.sources.mask_classes import label_data
from archspec.train.data.sources.mask_values import MaskValues
from archspec.train.data.sources.masks import decode_mask, encode_mask, read_mask
from archspec.train.recipe.recipe import load_recipe

VALUES = np.array([[0, 1, 2, 3], [255, 0, 0, 255]], np.uint8)


def save(file, image):
    file.parent.mkdir(parents=True, exist_ok=True)
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(file)
    return file


def palette(values):
    image = Image.fromarray(values, "P")
    image.putpalette([7 * level % 256 for level in range(768)])
    return image


KINDS = {
    "grey": VALUES,
    "palette": palette(VALUES),
    "16 bits": VALUES.astype(np.uint16),
}


@pytest.mark.parametrize("image", KINDS.values(), ids=KINDS)
def test_values_are_read_as_they_are_written(tmp_path, image):
    """Whatever the colours of a palette."""
    assert read_mask(save(tmp_path / "mask.png", image)).tolist() == VALUES.tolist()


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_grey_that_is_stored_as_colours_is_read_as_grey(tmp_path, mode, suffix):
    """As many tools write black and white; of files that keep every value."""
    image = Image.fromarray(VALUES).convert(mode)
    assert read_mask(save(tmp_path / f"mask.{suffix}", image)).tolist() == VALUES.tolist()


def test_a_mask_of_one_bit_has_two_classes(tmp_path):
    """0 and 1, though white is shown."""
    mask = save(tmp_path / "mask.png", Image.fromarray(VALUES == 1))
    assert read_mask(mask).tolist() == [[0, 1, 0, 0], [0, 0, 0, 0]]


def grey_png(values, bits):
    """As the format's own description has it: rows of packed values behind a filter's number."""
    rows = b""
    for row in values:
        levels = [format(value, f"0{bits}b") for value in row]
        packed = int("".join(levels).ljust(16, "0"), 2).to_bytes(2, "big")
        rows += b"\0" + packed[: -(-len(row) * bits // 8)]
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, 0, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    chunks = [name + content for name, content in parts]
    sizes = [struct.pack(">I", len(content)) for _, content in parts]
    sums = [struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(map(b"".join, zip(sizes, chunks, sums, strict=True)))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_values_of_few_bits_are_not_stretched_to_white(tmp_path, bits):
    """As image readers stretch them; a class is the number that the file holds."""
    rng = np.random.default_rng(0)
    values = rng.integers(0, 2**bits, (3, 16 // bits if bits > 4 else 4))
    (tmp_path / "mask.png").write_bytes(grey_png(values, bits))
    assert read_mask(tmp_path / "mask.png").tolist() == values.tolist()


@pytest.mark.parametrize("cut", [1, 4, 5, 11, 12, 14, 16, 20, 30])
def test_a_mask_that_is_cut_at_its_end_is_refused(tmp_path, cut):
    """Though all rows of its pixels may be there: grey and palette, of any compression."""
    for number, image in enumerate((Image.fromarray(VALUES), palette(VALUES))):
        for level in (0, 9):
            file = tmp_path / f"{number}{level}.png"
            image.save(file, compress_level=level)
            file.write_bytes(file.read_bytes()[:-cut])
            with pytest.raises(DataError, match=r"png D005 .*\(copy it anew"):
                read_mask(file)


def test_what_stands_behind_the_end_of_a_mask_spoils_nothing(tmp_path):
    """Some tools append what they know."""
    file = save(tmp_path / "mask.png", VALUES)
    file.write_bytes(file.read_bytes() + b"made by hand" * 20)
    assert read_mask(file).tolist() == VALUES.tolist()


TURNS = {
    1: lambda shown: shown,
    2: lambda shown: shown[:, ::-1],
    3: lambda shown: shown[::-1, ::-1],
    4: lambda shown: shown[::-1],
    5: lambda shown: shown.T,
    6: lambda shown: np.rot90(shown),
    7: lambda shown: shown[::-1, ::-1].T,
    8: lambda shown: np.rot90(shown, -1),
}
"""How what is shown upright lies in a file, by EXIF's Orientation."""


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("both", [True, False])
def test_a_photograph_that_was_turned_and_its_mask_fit(tmp_path, orientation, both):
    """Whether the mask lies upright, or as the photograph does and says so too."""
    exif = Image.Exif()
    exif[0x112] = orientation
    shown = np.array([[0, 1, 2], [2, 2, 0]], np.uint8)
    lying = np.ascontiguousarray(TURNS[orientation](shown))
    for name in "ab":
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(lying * 100).save(tmp_path / f"images/{name}.png", exif=exif)
        save(tmp_path / "masks" / f"{name}.png", shown)
        if both:
            Image.fromarray(lying).save(tmp_path / f"masks/{name}.png", exif=exif)
    recipe = load_recipe("segmentation", ["data.classes=[a, b, c]"])
    source = label_data(open_data(tmp_path), recipe.data).train
    assert (np.asarray(source.image(0, 1)) // 100).tolist() == shown.tolist()
    assert (np.asarray(source.mask(0)) - 1).tolist() == shown.tolist()


NO_INDICES = {
    "colours": (
        Image.new("RGB", (4, 4), (1, 1, 2)),
        "png",
        r"holds colours \(RGB\), not class indices",
    ),
    "colours and alpha": (Image.new("RGBA", (4, 4), "red"), "png", r"holds colours \(RGBA\)"),
    "alpha": (Image.new("RGBA", (4, 4), (1, 1, 1, 254)), "png", r"holds colours \(RGBA\)"),
    "grey and alpha": (Image.new("LA", (4, 4)), "png", r"holds colours \(LA\)"),
    "large values": (np.full((4, 4), 300, np.uint16), "png", "has values up to 300"),
    "negative values": (np.full((4, 4), -1, np.int32), "tif", "has values down to -1"),
    "JPEG": (VALUES, "jpg", "is a JPEG, which blurs class indices"),
    "lossy WebP": (VALUES, "webp", r"holds colours \(RGB\)"),
}


@pytest.mark.parametrize(("image", "suffix", "rule"), NO_INDICES.values(), ids=NO_INDICES)
def test_what_holds_no_class_indices_is_refused(tmp_path, image, suffix, rule):
    """With what a mask must be."""
    with pytest.raises(DataError, match=rf"mask.{suffix} D016 {rule}.*0, 1, 2"):
        read_mask(save(tmp_path / f"mask.{suffix}", image))


def test_a_tiff_that_holds_a_jpeg_is_refused(tmp_path):
    """It blurs as any."""
    Image.fromarray(VALUES).save(tmp_path / "mask.tif", compression="jpeg")
    with pytest.raises(DataError, match=r"mask\.tif D016 is a JPEG"):
        read_mask(tmp_path / "mask.tif")


def test_a_mask_on_its_way_keeps_its_classes_and_loses_what_is_ignored():
    """The ignored value may be one of any place, and lie among the classes."""
    for ignored in (255, 3, 0):
        known = np.where(VALUES == 255, ignored, VALUES).astype(np.uint8)
        expected = np.where(known == ignored, -1, known.astype(int))
        encoded = np.asarray(encode_mask(known, MaskValues((0, 1, 2, 3), ignored), "mask.png"))
        assert decode_mask(encoded).tolist() == expected.tolist()


def test_all_faults_are_told_at_once_each_by_its_file(tmp_path):
    """Another size, colours, values out of range, no partner, no whole image: of all parts."""
    grey = np.zeros((6, 8), np.uint8)
    for part in ("train", "val"):
        for name in ("a", "b", "c", "d"):
            save(tmp_path / part / "images" / f"{name}.png", grey + (part == "val"))
        save(tmp_path / part / "masks" / "a.png", np.full((8, 6), 1, np.uint8))
        save(tmp_path / part / "masks" / "b.png", Image.new("RGB", (8, 6), "red"))
        strange = grey.copy()
        strange[0, :3], strange[1, 0] = 7, 9
        save(tmp_path / part / "masks" / "c.png", strange)
        (tmp_path / part / "masks" / "d.png").write_bytes(b"no image")
    save(tmp_path / "val" / "images" / "e.png", grey)
    recipe = load_recipe("segmentation", ["data.classes=[sky, road]"])
    with pytest.raises(DataError) as caught:
        split_by_recipe(recipe, open_data(tmp_path))
    told = {}
    for fault in caught.value.diagnostics:
        told[fault.where.removeprefix(f"{tmp_path}/")] = (fault.code, fault.message)
    size = ("D015", "is 6 x 8 pixels, its image 8 x 6")
    assert told["train/masks/a.png"] == told["val/masks/a.png"] == size
    assert told["train/masks/b.png"][0] == told["val/masks/b.png"][0] == "D016"
    assert told["train/masks/c.png"] == (
        "D016",
        "has values out of range: 7 (3 pixels), 9 (1 pixel); "
        "classes are 0 to 1, 255 is ignored (data.ignore_index)",
    )
    assert told["val/masks/d.png"][0] == "D005"
    assert told["val/images/e.png"][0] == "D015"
    assert len(told) == 9


def two_images(folder, *masks):
    for number, mask in enumerate(masks):
        save(folder / "images" / f"{number}.png", np.full(np.shape(mask), number, np.uint8))
        save(folder / "masks" / f"{number}.png", np.asarray(mask, np.uint8))
    return open_data(folder)


def test_classes_are_numbers_unless_the_recipe_names_them(tmp_path):
    """Up to the highest value of any mask that is not ignored."""
    data = two_images(tmp_path, [[0, 1], [255, 255]], [[4, 0], [0, 0]])
    splits = split_by_recipe(load_recipe("segmentation"), data)
    assert splits.classes == ("0", "1", "2", "3", "4")
    named = load_recipe("segmentation", ["data.classes=[a, b, c, d]", "data.ignore_index=4"])
    with pytest.raises(DataError, match=r"0.png D016 has values out of range: 255 \(2 pixels\)"):
        split_by_recipe(named, data)


WITHOUT_CLASSES = {
    "white on black": ([[0, 255], [255, 255]], "one class only: 0, and 255, which is ignored"),
    "nothing but what is ignored": ([[255, 255], [255, 255]], "one class only: none, and 255"),
    "black": ([[0, 0], [0, 0]], "one class only: 0"),
}


@pytest.mark.parametrize(("mask", "rule"), WITHOUT_CLASSES.values(), ids=WITHOUT_CLASSES)
def test_masks_of_one_class_are_refused_with_what_to_do(tmp_path, mask, rule):
    """White on black above all, as many tools write two classes."""
    data = two_images(tmp_path, mask, mask)
    with pytest.raises(DataError, match=rf"D016 has masks of {rule}.*the values 0, 1"):
        split_by_recipe(load_recipe("segmentation"), data)


@pytest.mark.parametrize(("mask", "rule"), WITHOUT_CLASSES.values(), ids=WITHOUT_CLASSES)
def test_classes_that_are_named_change_nothing_in_that(tmp_path, mask, rule):
    """The second would never be learnt, since its pixels are ignored."""
    names = ["data.classes=[background, object]"]
    data = two_images(tmp_path, mask, mask)
    with pytest.raises(DataError, match=rf"D016 has masks of {rule}"):
        split_by_recipe(load_recipe("segmentation", names), data)


MISSING = {
    "grey levels for classes": ([], [[0, 100], [200, 0]], 255, "198 of 201 classes", "1, 2, 3, 4"),
    "a class that never occurs": (["a", "b", "c"], [[0, 2], [2, 0]], 255, "1 of 3 classes", "b"),
    "an ignored value among them": (["a", "b", "c", "d"], [[0, 2], [2, 0]], 3, "1 of 4", "b"),
}


@pytest.mark.parametrize(
    ("names", "mask", "ignored", "count", "shown"), MISSING.values(), ids=MISSING
)
def test_classes_without_a_pixel_to_learn_from_are_told(
    tmp_path, names, mask, ignored, count, shown
):
    """In the notes with which training begins; it may be so, or the masks mean something else."""
    data = two_images(tmp_path, mask, mask, np.full((2, 2), ignored))
    settings = [f"data.ignore_index={ignored}"]
    settings += [f"data.classes=[{', '.join(names)}]"] * bool(names)
    splits = split_by_recipe(load_recipe("segmentation", settings), data)
    place = tmp_path / "images"
    assert splits.notes[0].startswith(f"{place}: {count}")
    assert f"have no pixel to learn from: {shown}" in splits.notes[0]
    empty = f"{place}: 1 image without a pixel of any class, first {tmp_path / 'masks/2.png'}"
    assert splits.notes[1] == empty


def test_masks_with_all_classes_need_no_words(tmp_path):
    """Whatever is ignored beside."""
    data = two_images(tmp_path, [[0, 1], [1, 0]], [[0, 1], [2, 255]])
    assert split_by_recipe(load_recipe("segmentation"), data).notes == ()


@pytest.mark.parametrize("count", [256, 257, 1000])
def test_more_classes_than_a_mask_can_tell_are_refused(tmp_path, count):
    """Those of a network that was made for others."""
    data = two_images(tmp_path, [[0, 1], [1, 0]], [[0, 1], [2, 0]])
    with pytest.raises(DataError, match=rf"D016 is judged by {count:,} classes; .* at most 255"):
        label_data(data, load_recipe("segmentation").data, tuple(map(str, range(count))))


def test_a_name_that_two_classes_have_is_refused():
    """Nobody could tell them apart."""
    with pytest.raises(SpecError, match=r"S006 .*classes has 'a' more than once"):
        load_recipe("segmentation", ["data.classes=[a, b, a]"])


def test_pixels_of_each_class_are_counted_of_masks_that_were_not_looked_through(tmp_path):
    """As of those that were."""
    two_images(tmp_path, [[0, 1], [255, 1]], [[2, 0], [0, 0]])
    for check in (True, False):
        data = open_data(tmp_path, check=check)
        splits = split_by_recipe(load_recipe("segmentation"), data, ("a", "b", "c"))
        train = data.train if splits is None else splits.train
        assert (train.counts is None) == (not check)
        counted = np.array(splits.train.count_pixels()) + splits.val.count_pixels()
        assert counted.tolist() == [4, 2, 1]


def test_a_data_set_is_another_one_when_a_mask_has_changed(tmp_path):
    """By the digest that a run keeps."""
    recipe = load_recipe("segmentation")
    masks = [[0, 1], [255, 1]], [[2, 0], [0, 0]]
    before = split_by_recipe(recipe, two_images(tmp_path, *masks)).digest
    again = split_by_recipe(recipe, two_images(tmp_path, *masks))
    assert again.find_change(before) == ""
    (tmp_path / "masks" / "0.png").rename(tmp_path / "masks" / "0.bmp")
    renamed = split_by_recipe(recipe, open_data(tmp_path))
    assert renamed.find_change(before) == "it has other classes, labels or names of files"


UNFIT = {
    "mixup": ("data.mixup=0.2", "mixup mixes classes of whole images"),
    "opencv": ("data.image_backend=opencv", r"image_backend \(=opencv\) prepares images and not"),
    "cutmix": ("data.cutmix=0.2", "cutmix mixes classes of whole images"),
    "policy": ("data.auto_augment=randaugment", "auto_augment .* moves images and not their masks"),
}


@pytest.mark.parametrize(("setting", "rule"), UNFIT.values(), ids=UNFIT)
def test_what_would_change_images_and_not_their_masks_is_refused(setting, rule):
    """S006, at the setting."""
    recipe = load_recipe("segmentation", [setting])
    with pytest.raises(SpecError, match=rf"S006 {rule}"):
        recipe.check_targets(per_pixel=True)
    recipe.check_targets(per_pixel=False)


def test_names_of_masks_classes_are_refused_for_images_without_masks():
    """They would do nothing."""
    recipe = load_recipe("digits", ["data.classes=[a, b]"])
    with pytest.raises(SpecError, match="S006 classes names the values of masks"):
        recipe.check_targets(per_pixel=False)


@pytest.mark.parametrize("names", [(), ("a",)])
def test_folders_without_a_pair_are_told_by_what_is_missing(tmp_path, names):
    """Before a class is looked for."""
    for name in ("images", "masks"):
        (tmp_path / "train" / name).mkdir(parents=True)
    for name in names:
        save(tmp_path / "train/images" / f"{name}.png", VALUES)
    with pytest.raises(DataError) as caught:
        split_by_recipe(load_recipe("segmentation"), open_data(tmp_path))
    codes = {fault.code for fault in caught.value.diagnostics}
    assert codes == ({"D003", "D015"} if names else {"D003"})


def test_data_check_tells_masks_and_what_is_wrong_with_them(tmp_path):
    """In how many images a value occurs."""
    from archspec.train.data.check import check_data

    two_images(tmp_path, [[0, 1], [255, 1]], [[2, 0], [0, 0]])
    report = check_data(tmp_path)
    assert report.counts == {"train": {"0": 2, "1": 1, "2": 1, "255": 1}}
    assert {fault.code for fault in report.faults} == {"T007"}  # a batch of 8
    (tmp_path / "masks" / "1.png").unlink()
    (tmp_path / "images" / "0.png").unlink()
    told = [fault.code for fault in check_data(tmp_path).faults]
    assert told.count("D015") == 2


def test_one_image_cannot_be_split(tmp_path):
    """And has no classes that could be counted."""
    with pytest.raises(DataError, match="D008 holds too few images to split: one alone"):
        split_by_recipe(load_recipe("segmentation"), two_images(tmp_path, [[0, 1], [1, 0]]))


def three_parts(folder, **masks):
    for part, mask in masks.items():
        for number in range(3):
            image = np.full((2, 2), len(part) * 10 + number, np.uint8)
            save(folder / part / "images" / f"{number}.png", image)
            save(folder / part / "masks" / f"{number}.png", np.asarray(mask, np.uint8))
    return open_data(folder)


NOTHING = [[255, 255], [255, 255]]


def test_test_images_whose_masks_tell_nothing_are_left_aside(tmp_path):
    """As benchmarks give them out, so that nobody is judged by no pixel."""
    data = three_parts(tmp_path, train=[[0, 1], [1, 0]], val=[[0, 0], [0, 1]], test=NOTHING)
    splits = split_by_recipe(load_recipe("segmentation"), data)
    assert splits.test is None
    assert splits.notes == (
        f"{tmp_path / 'test/images'}: left aside, since no pixel of its masks has a class",
    )


def test_images_to_choose_by_whose_masks_tell_nothing_are_refused(tmp_path):
    """By the value that is ignored."""
    data = three_parts(tmp_path, train=[[0, 1], [1, 0]], val=NOTHING)
    with pytest.raises(DataError, match="D016 has masks of nothing but 255, which is ignored"):
        split_by_recipe(load_recipe("segmentation"), data)
