"""Batches: exactly the images asked for, as NumPy and Pillow would make them,
the same ones every time.
"""

import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import chi2_contingency, kstest

from archspec.errors import DataError
from archspec.train.data.augmentations import AUGMENTS
from archspec.train.data.batches import NO_LABEL, load_batches
from archspec.train.data.datasets import open_data
from archspec.train.data.geometry import fit_image
from archspec.train.data.preprocess import Preprocess
from archspec.train.data.sampling import epoch_indices, epoch_seed, held_out_indices
from archspec.train.data.source import Source

ROOT = Path(__file__).parents[2]
CLOTHING = ROOT.parent / "shared" / "data" / "clothing"
DIGITS = Preprocess((8, 8), 1, (78.0,), (96.0,), augment="affine")
RAW = {1: ((0.0,), (1.0,)), 3: ((0.0,) * 3, (1.0,) * 3)}


def raw(size: tuple[int, int], channels: int = 3, **options: object) -> Preprocess:
    """Preprocessing that leaves pixels as they are, so that batches can be compared in bytes."""
    return Preprocess(size, channels, *RAW[channels], **options)


def noise(count: int, size: int, channels: int = 3) -> Source:
    arrays = np.random.default_rng(0).integers(1, 256, (count, size, size, channels), np.uint8)
    labels = (np.arange(count) % 10).astype(np.int32)
    return Source("noise", tuple("0123456789"), labels, arrays=arrays)


def gradient(count: int, size: int) -> Source:
    """Images whose red says x, and whose green says y."""
    steps = np.arange(size, dtype=np.uint8)
    image = np.stack(
        [np.tile(steps, (size, 1)), np.tile(steps[:, None], (1, size)), np.zeros((size, size))], 2
    )
    arrays = np.broadcast_to(image.astype(np.uint8), (count, size, size, 3))
    return Source("gradient", ("a",), np.zeros(count, np.int32), arrays=arrays)


def photographs(root: Path, count: int) -> Source:
    root.mkdir(exist_ok=True)
    rng = np.random.default_rng(1)
    files = tuple(root / f"{number}.jpg" for number in range(count))
    for number, file in enumerate(files):
        height, width = 40 + number, 90 - 3 * (number % 20)
        coarse = rng.integers(0, 256, (5, 7, 3), np.uint8)
        Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(file)
    return Source("photographs", ("a",), np.zeros(count, np.int32), files=files)


def epoch(source, preprocess, *, training=True, batch_size=8, seed=0, workers=1, indices=None):
    chosen = np.arange(len(source)) if indices is None else indices
    return list(
        load_batches(
            source,
            indices=chosen,
            preprocess=preprocess,
            training=training,
            batch_size=batch_size,
            seed=seed,
            workers=workers,
        )
    )


def images(*args, **options) -> np.ndarray:
    """Return an epoch's images as one array (N, H, W, C)."""
    return np.concatenate([x for x, _ in epoch(*args, **options)]).transpose(0, 2, 3, 1)


# ---- evaluation


def test_evaluation_normalises_as_numpy_does_and_fills_the_last_batch():
    """359 images in batches of 64: each once, in order, (value - mean) / std,
    then zeros of label -1.
    """
    held_out = open_data(None).split().test
    result = epoch(held_out, DIGITS, training=False, batch_size=64)
    pixels, labels = (np.concatenate(parts) for parts in zip(*result, strict=True))
    assert {(x.shape, x.dtype.name, y.shape, y.dtype.name) for x, y in result} == {
        ((64, 1, 8, 8), "float32", (64,), "int32")
    }
    expected = (held_out.arrays.astype(np.float64) - 78) / 96
    assert np.abs(pixels[:359] - expected.transpose(0, 3, 1, 2)).max() < 1e-6
    assert labels[:359].tolist() == held_out.labels.tolist()
    assert (labels[359:] == NO_LABEL).all()
    assert not pixels[359:].any()
    assert len(labels) == 384


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(32, 32), (24, 40)])
def test_evaluation_resizes_and_crops_as_pillow_does_in_two_steps(tmp_path, channels, size):
    """Shorter side to size / crop_pct, filtered, then the centre: as resize, then crop."""
    source = photographs(tmp_path, 5)
    result = images(source, raw(size, channels, crop_pct=0.875), training=False)
    shorter = int(max(size) / 0.875)
    for file, ours in zip(source.files, result, strict=False):
        with Image.open(file) as image:
            image = image.convert("L" if channels == 1 else "RGB")
        scaled = [int(shorter * side / min(image.size)) for side in image.size]
        whole = np.asarray(image.resize(tuple(scaled), Image.Resampling.BILINEAR)).reshape(
            *scaled[::-1], -1
        )
        top, left = (round((a - b) / 2) for a, b in zip(whole.shape, size, strict=False))
        expected = whole[top : top + size[0], left : left + size[1]].astype(int)
        difference = np.abs(ours - expected)
        assert (
            difference.max() <= 2
        )  # Pillow rounds between its two passes, at other places in one step
        assert difference.mean() < 0.3  # a box half a pixel aside makes it about 3


def test_evaluation_without_crop_resizes_to_the_size(tmp_path):
    """`crop_pct` None keeps the whole image; halving is the filtered mean,
    not every second pixel.
    """
    source = photographs(tmp_path, 3)
    result = images(source, raw((20, 20)), training=False)
    for file, ours in zip(source.files, result, strict=False):
        with Image.open(file) as image:
            assert np.array_equal(
                ours, np.asarray(image.resize((20, 20), Image.Resampling.BILINEAR))
            )
    checks = Image.fromarray((np.indices((16, 16)).sum(0) % 2 * 255).astype(np.uint8))
    assert np.abs(np.asarray(fit_image(checks, raw((8, 8), 1))).astype(int) - 127).max() <= 16


def test_a_very_long_image_takes_no_memory_to_fit():
    """1 x 60,000 pixels at shorter side 256 would be 16 million wide; only the centre is made."""
    strip = Image.new("L", (60_000, 1), 7)
    assert np.array_equal(
        fit_image(strip, raw((224, 224), 1, crop_pct=0.875)), np.full((224, 224), 7)
    )


# ---- the same batches every time


@pytest.mark.parametrize("augment", ["none", "affine", "pad_crop_flip", "random_resized_crop"])
def test_the_seed_alone_decides_the_batches(tmp_path, augment):
    """Bit-equal with one worker or more than there are processors, whatever ran before."""
    source = photographs(tmp_path, 20)
    preprocess = raw((16, 16), augment=augment, color_jitter=0.4)
    first = epoch(source, preprocess, seed=3)
    np.random.seed(99)
    other = epoch(source, preprocess, seed=4)
    begun = iter(
        load_batches(
            source,
            indices=np.arange(20),
            preprocess=preprocess,
            training=True,
            batch_size=8,
            seed=5,
        )
    )
    next(begun)
    again = epoch(source, preprocess, seed=3, workers=500)
    assert len(first) == 2
    for (x, y), (x2, y2) in zip(first, again, strict=True):
        assert x.tobytes() == x2.tobytes()
        assert y.tobytes() == y2.tobytes()
    assert not np.array_equal(first[0][0], other[0][0])


def test_an_epoch_leaves_numpys_global_generator_alone():
    """A training script's own draws do not depend on whether batches were made."""
    np.random.seed(7)
    expected = np.random.random()
    np.random.seed(7)
    epoch(noise(8, 8), raw((8, 8), augment="pad_crop_flip"))
    assert np.random.random() == expected


def test_an_image_is_augmented_alike_wherever_it_stands_in_the_epoch():
    """The draw belongs to (seed, image), so ranks and orders do not change it."""
    source = noise(16, 8)
    preprocess = raw((8, 8), augment="pad_crop_flip")
    order = np.random.default_rng(1).permutation(16)
    assert np.array_equal(
        images(source, preprocess)[order], images(source, preprocess, indices=order)
    )


def test_training_drops_the_remainder_and_keeps_labels_with_their_images():
    """20 images in batches of 8 are two batches; image and label go together."""
    source = noise(20, 8)
    order = np.random.default_rng(2).permutation(20)
    result = epoch(source, raw((8, 8)), indices=order)
    assert [y.tolist() for _, y in result] == [
        source.labels[order[k : k + 8]].tolist() for k in (0, 8)
    ]
    for (x, _), k in zip(result, (0, 8), strict=True):
        assert np.array_equal(x.transpose(0, 2, 3, 1), source.arrays[order[k : k + 8]])


# ---- augmentation


def test_shifts_and_flips_are_of_the_right_set_uniform_and_independent():
    """Each result is one crop of NumPy's padded image;
    offsets and flips are even and independent.
    """
    size, most, flips = 12, 4, (0, 1)
    source = gradient(2000, size)
    picture = source.arrays[0] + np.uint8(1)
    source = Source(
        "one", ("a",), source.labels, arrays=np.broadcast_to(picture, source.arrays.shape)
    )
    padded = np.pad(picture, ((most, most), (most, most), (0, 0)))
    known = {}
    for top, left, flip in product(range(2 * most + 1), range(2 * most + 1), flips):
        crop = padded[top : top + size, left : left + size]
        known[(crop[:, ::-1] if flip else crop).tobytes()] = (top, left, flip)
    result = images(source, raw((size, size), augment="pad_crop_flip"), batch_size=100).astype(
        np.uint8
    )
    drawn = np.array([known[image.tobytes()] for image in result])
    for one, other in ((0, 1), (0, 2), (1, 2)):
        table = np.histogram2d(
            drawn[:, one], drawn[:, other], bins=[np.ptp(drawn[:, k]) + 1 for k in (one, other)]
        )
        assert chi2_contingency(table[0]).pvalue > 1e-4
    assert np.bincount(drawn[:, 0]).min() > 0.7 * 2000 / (2 * most + 1)
    assert set(drawn[:, 2]) == set(flips)


class Drawn:
    """A generator that draws this angle and this move, in shares of (width, height)."""

    def __init__(self, angle: float, moved: tuple[float, float]) -> None:
        self.angle = angle
        self.moved = moved

    def uniform(self, low: float, high: float, size: int | None = None) -> float | np.ndarray:
        return self.angle if size is None else np.array(self.moved)


@pytest.mark.parametrize(("right", "down"), [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1), (2, -1)])
@pytest.mark.parametrize("channels", [1, 3])
def test_affine_without_a_turn_moves_by_the_pixels_drawn(channels, right, down):
    """NumPy's roll with zeros where nothing was, and the image itself where nothing is drawn."""
    height, width = 8, 16
    pixels = np.random.default_rng(0).integers(1, 256, (height, width, channels), np.uint8)
    pixels = pixels[:, :, 0] if channels == 1 else pixels
    expected = np.roll(pixels, (down, right), (0, 1))
    rows, columns = np.arange(height) - down, np.arange(width) - right
    expected[(rows < 0) | (rows >= height)] = 0
    expected[:, (columns < 0) | (columns >= width)] = 0
    preprocess = raw((height, width), channels, augment="affine")
    drawn = Drawn(0.0, (right / width, down / height))
    assert np.array_equal(AUGMENTS["affine"](Image.fromarray(pixels), preprocess, drawn), expected)


@pytest.mark.parametrize("quarters", [-1, 1, 2])
def test_affine_turns_about_the_centre(quarters):
    """A quarter turn is NumPy's rot90 to a grey level, so the image does not wander as it turns."""
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8)
    turned = AUGMENTS["affine"](
        Image.fromarray(pixels), raw((8, 8), 1, augment="affine"), Drawn(90 * quarters, (0, 0))
    )
    expected = min(
        (np.rot90(pixels, k) for k in (quarters, -quarters)),
        key=lambda e: abs(e - np.array(turned, int)).sum(),
    )
    assert np.abs(np.array(turned, int) - expected).max() <= 1


def test_random_resized_crop_draws_areas_and_shapes_in_their_ranges():
    """Read back from a gradient: area 0.08..1,
    ratio 3/4..4/3 evenly in its logarithm, half flipped.
    """
    result = images(
        gradient(1000, 240), raw((60, 60), augment="random_resized_crop"), batch_size=100
    )
    scale = 60 / 59  # from the centres of the outer pixels to the edges of the box
    width = (result[:, 30, -1, 0] - result[:, 30, 0, 0]) * scale
    height = (result[:, -1, 30, 1] - result[:, 0, 30, 1]) * scale
    area, ratio = np.abs(width * height) / 240**2, np.abs(width) / height
    assert area.min() > 0.07
    assert area.max() > 0.8
    assert ratio.min() > 3 / 4 * 0.96
    assert ratio.max() < 4 / 3 * 1.04
    inner = np.log(ratio[area < 0.5]) / np.log(
        4 / 3
    )  # a large box may not fit, which favours square ones
    assert kstest(inner, "uniform", (-1, 2)).pvalue > 1e-4
    assert 0.4 < (width < 0).mean() < 0.6


def test_random_resized_crop_takes_images_of_any_shape():
    """One pixel, and strips in which no random box fits."""
    for shape in ((1, 1), (1, 300), (300, 1), (3, 2000)):
        arrays = np.full((4, *shape, 3), 9, np.uint8)
        source = Source("strip", ("a",), np.zeros(4, np.int32), arrays=arrays)
        result = images(source, raw((8, 8), augment="random_resized_crop"), batch_size=4)
        assert np.array_equal(result, np.full((4, 8, 8, 3), 9))


def test_colour_jitter_changes_brightness_within_its_strength():
    """A flat grey image becomes one between 0.8 and 1.2 times as bright,
    drawn anew for each image.
    """
    source = Source(
        "grey", ("a",), np.zeros(200, np.int32), arrays=np.full((200, 4, 4, 3), 100, np.uint8)
    )
    levels = images(source, raw((4, 4), color_jitter=0.2), batch_size=200)[:, 0, 0, 0]
    assert levels.min() >= 79
    assert levels.max() <= 121
    assert len(set(levels)) > 25
    assert set(images(source, raw((4, 4), color_jitter=0.2), training=False)[:, 0, 0, 0]) == {100}


# ---- indices


@given(
    length=st.integers(0, 300),
    world=st.integers(1, 9),
    seed=st.integers(0, 2**40),
    number=st.integers(0, 99),
)
def test_ranks_share_an_epoch_equally_without_overlap(length, world, seed, number):
    """Every rank has floor(length / world) images, no image is had twice."""
    shares = [
        epoch_indices(length, seed=seed, epoch=number, rank=rank, world=world)
        for rank in range(world)
    ]
    assert {len(share) for share in shares} == {length // world}
    every = np.concatenate(shares)
    assert len(set(every.tolist())) == len(every)
    assert every.size == 0 or (every.min() >= 0 and every.max() < length)


@given(length=st.integers(0, 300), world=st.integers(1, 9))
def test_ranks_cover_held_out_images_exactly_once(length, world):
    """The union of the shares is every image, once."""
    shares = [held_out_indices(length, rank, world) for rank in range(world)]
    assert sorted(np.concatenate(shares).tolist()) == list(range(length))


def test_epochs_and_seeds_shuffle_differently_and_reproducibly():
    """(seed, epoch) decides the order; (1, 2) is not (2, 1)."""
    pairs = list(product(range(6), range(6)))
    orders = {tuple(epoch_indices(50, seed=seed, epoch=number)) for seed, number in pairs}
    assert len(orders) == len({epoch_seed(*pair) for pair in pairs}) == 36
    assert tuple(epoch_indices(50, seed=3, epoch=4)) in orders


# ---- bad input


def test_files_that_break_after_opening_are_named_without_mindspores_words(tmp_path):
    """Text, a cut JPEG, one cut in its header (MindSpore's Decode dies of it),
    and one that is gone.
    """
    source = photographs(tmp_path, 12)
    whole = source.files[1].read_bytes()
    source.files[1].write_bytes(whole[: len(whole) // 2])
    source.files[2].write_bytes(whole[:150])
    source.files[3].write_text("text")
    source.files[4].unlink()
    with pytest.raises(DataError) as caught:
        epoch(source, raw((16, 16), augment="random_resized_crop"), workers=2)
    text = str(caught.value)
    assert sorted(fault.where for fault in caught.value.diagnostics) == [
        str(file) for file in source.files[1:5]
    ]
    assert f"{source.files[4]} D001 cannot be read: No such file or directory" in text
    assert "mindspore" not in text.lower()
    assert "Traceback" not in text


def test_a_broken_image_in_the_dropped_remainder_is_named_too(tmp_path):
    """Whether a prefetching thread came to it is not left to chance."""
    source = photographs(tmp_path, 10)
    source.files[9].write_text("text")
    with pytest.raises(DataError, match=r"9\.jpg D005"):
        epoch(source, raw((16, 16)))


def test_a_batch_larger_than_the_data_set_is_refused_at_once():
    """Both numbers and the cure; evaluation fills the batch instead."""
    source = noise(5, 8)
    with pytest.raises(DataError) as caught:
        load_batches(
            source,
            indices=np.arange(5),
            preprocess=raw((8, 8)),
            training=True,
            batch_size=8,
            seed=0,
        )
    assert str(caught.value) == (
        "noise D008 batch_size (=8) is larger than the number of training images (=5) "
        "(use a batch size of 5 or less, or fewer devices)"
    )
    ((_, labels),) = epoch(source, raw((8, 8)), training=False)
    assert labels.tolist() == [0, 1, 2, 3, 4, -1, -1, -1]


def test_a_rank_without_images_evaluates_none():
    """More ranks than images: no batch, no error."""
    assert epoch(noise(2, 8), raw((8, 8)), training=False, indices=held_out_indices(2, 3, 4)) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mean": (0.0,)}, "mean has 1 values for 3 channels"),
        ({"std": (1.0, 0.0, 1.0)}, r"std \(=.*\) must be above 0"),
        ({"crop_pct": 1.5}, r"crop_pct \(=1.5\) must be in \(0, 1\]"),
    ],
)
def test_preprocessing_that_cannot_be_is_refused(options, message):
    """The field, its value, the rule."""
    values = {"image_size": (8, 8), "channels": 3, "mean": (0.0,) * 3, "std": (1.0,) * 3}
    with pytest.raises(DataError, match=f"D010 {message}"):
        Preprocess(**(values | options))


# ---- the process


def test_a_process_ends_quietly_in_the_middle_of_an_epoch(tmp_path):
    """No thread holds it, nothing is printed, no file is left in the working directory."""
    source = photographs(tmp_path / "images", 40)
    program = f"""
import sys
from pathlib import Path
import numpy as np
import archspec.train.data.batches as data
assert not any(name.split(".")[0] == "mindspore" for name in sys.modules)
from archspec.train.data.source import Source
files = tuple(sorted(Path({str(source.files[0].parent)!r}).iterdir()))
source = Source("x", ("a",), np.zeros(len(files), np.int32), files=files)
preprocess = data.Preprocess((16, 16), 3, (0.0,) * 3, (1.0,) * 3)
epoch = data.load_batches(source, indices=np.arange(40), preprocess=preprocess, training=True,
                     batch_size=4, seed=0, workers=2)
print(next(epoch)[0].shape)
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    work = tmp_path / "work"
    work.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=work,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "(4, 3, 16, 16)\n", "")
    assert not list(work.iterdir())


@pytest.mark.skipif(
    not CLOTHING.exists(), reason="the clothing photographs are not beside the project"
)
def test_real_photographs_reach_the_batch_as_pillow_shows_them():
    """All 240 validation photographs, each once, close to Pillow's resize and crop."""
    held_out = open_data(CLOTHING).split().val
    preprocess = Preprocess((64, 64), 3, (127.5,) * 3, (50.0,) * 3, crop_pct=0.8)
    result = epoch(held_out, preprocess, training=False, batch_size=64, workers=2)
    pixels, labels = (np.concatenate(parts) for parts in zip(*result, strict=True))
    assert labels[:240].tolist() == held_out.labels.tolist()
    assert (labels[240:] == NO_LABEL).all()
    with Image.open(held_out.files[100]) as image:
        whole = [80 * side // min(image.size) for side in image.size]
        left, top = (round((side - 64) / 2) for side in whole)
        shown = image.convert("RGB").resize(tuple(whole), Image.Resampling.BILINEAR)
    expected = np.asarray(shown.crop((left, top, left + 64, top + 64))).transpose(2, 0, 1)
    assert np.abs(pixels[100] * 50 + 127.5 - expected).max() < 1.01
