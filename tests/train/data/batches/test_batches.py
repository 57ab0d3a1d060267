"""Batches: exactly the images asked for, as NumPy and Pillow would make them,
the same ones every time.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from batches_of_images import epoch, images, noise, photographs, raw
from PIL import Image
from scipy.stats import chi2_contingency

from archspec.errors import DataError
from archspec.train.data.batches.batches import NO_LABEL, load_batches
from archspec.train.data.batches.sampling import epoch_indices, held_out_indices
from archspec.train.data.datasets import open_data
from archspec.train.data.images.mixing import Mixing
from archspec.train.data.images.preprocess import Preprocess
from archspec.train.data.sources.mask_classes import label_data
from archspec.train.data.sources.source import Source
from archspec.train.recipe.augmentation import ErasingRecipe, PolicyRecipe
from archspec.train.recipe.recipe import load_recipe

ROOT = Path(__file__).parents[4]
CLOTHING = ROOT.parent / "shared" / "data" / "clothing"
DIGITS = Preprocess((8, 8), 1, (78.0,), (96.0,), augment="affine")
MIXING = Mixing(0.4, 1.0, 0.8, classes=12)
ERASED = ErasingRecipe(probability=0.5, value="random")
ALL_CHANGES = {
    "augment": "random_resized_crop",
    "vflip": 0.5,
    "auto_augment": PolicyRecipe(kind="randaugment", magnitude_std=1.0),
    "random_erasing": ERASED,
    "mixing": MIXING,
}
"""Everything that draws."""


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


# ---- the same batches every time


CHANGES = {
    **{
        name: {"augment": name, "color_jitter": 0.4} for name in ("none", "affine", "pad_crop_flip")
    },
    "random_resized_crop": {"augment": "random_resized_crop", "color_jitter": 0.4},
    "all": ALL_CHANGES,
    "augmix": {"auto_augment": PolicyRecipe(kind="augmix")},
    "mindspore": {"augment": "random_resized_crop", "resize": "mindspore"},
}


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_the_seed_alone_decides_the_batches(tmp_path, changes):
    """Bit-equal with one worker or more than there are processors, whatever ran before."""
    source = photographs(tmp_path, 20)
    preprocess = raw((16, 16), **changes)
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


@pytest.mark.parametrize("first", [0, 1, 2, 4, 5])
@pytest.mark.parametrize("files", [False, True])
def test_an_epoch_that_begins_at_a_batch_goes_on_as_the_whole_one(tmp_path, files, first):
    """Bit for bit, with mixing, erasing and copies; after its end there is none."""
    source = photographs(tmp_path, 41) if files else noise(41, 16)
    samples = epoch_indices(41, seed=1, epoch=2, repeats=3)
    preprocess = raw((12, 12), **ALL_CHANGES)
    whole = epoch(source, preprocess, indices=samples, seed=6)
    rest = epoch(source, preprocess, indices=samples, seed=6, first_batch=first, workers=2)
    assert len(whole) == 5
    assert len(rest) == 5 - first
    for (x, y), (x2, y2) in zip(whole[first:], rest, strict=True):
        assert x.tobytes() == x2.tobytes()
        assert y.tobytes() == y2.tobytes()


def test_an_evaluation_may_begin_at_a_batch_too():
    """The filled last batch stays as it is."""
    whole = epoch(noise(20, 8), raw((8, 8)), training=False)
    (rest,) = epoch(noise(20, 8), raw((8, 8)), training=False, first_batch=2)
    assert np.array_equal(rest[0], whole[2][0])
    assert rest[1].tolist() == [6, 7, 8, 9] + [NO_LABEL] * 4


def test_copies_of_an_image_are_augmented_anew_and_the_first_as_ever():
    """A sample's number says which copy it is; its label is the image's."""
    source = noise(8, 16)
    preprocess = raw((16, 16), augment="random_resized_crop")
    plain = images(source, preprocess)
    copies = [images(source, preprocess, indices=np.arange(8) + 8 * copy) for copy in range(3)]
    assert np.array_equal(copies[0], plain)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert not any(map(np.array_equal, copies[one], copies[other]))
    ((_, labels),) = epoch(source, preprocess, indices=np.arange(8) + 16)
    assert labels.tolist() == source.labels.tolist()


# ---- what is done to finished batches


def test_mixed_batches_have_targets_as_wide_as_the_network():
    """Shares of classes that sum to 1, of one type and shape whatever is drawn."""
    batches = epoch(noise(80, 8), raw((8, 8), mixing=MIXING))
    assert {(y.shape, y.dtype.name, x.dtype.name) for x, y in batches} == {
        ((8, 12), "float32", "float32")
    }
    targets = np.concatenate([y for _, y in batches])
    np.testing.assert_allclose(targets.sum(1), 1, rtol=1e-6)
    kinds = [set(np.unique(y)) <= {0, 1} for _, y in batches]
    assert 0 < sum(kinds) < len(kinds)  # a batch of five is left as it is
    shares = [round(float(y.max(1).min()), 6) for _, y in batches]
    assert len(set(shares)) > 4  # each batch draws its own


def test_ranks_mix_their_batches_by_draws_of_their_own():
    """Batches of one number, on two devices."""
    source, preprocess = noise(64, 8), raw((8, 8), mixing=Mixing(1.0, 0.0, 1.0, classes=10))
    shares = []
    for rank in range(2):
        samples = epoch_indices(64, seed=0, epoch=0, rank=rank, world=2)
        batches = epoch(source, preprocess, indices=samples)
        shares.append([float(y.max()) for _, y in batches])
    assert not set(shares[0]) & set(shares[1])


def test_erasing_sets_normalised_pixels_and_changes_no_others():
    """0 is the mean colour exactly, which no byte is after normalisation."""
    source = noise(64, 16)
    size, mean, std = (16, 16), (100.3,) * 3, (50.0,) * 3
    plain = images(source, Preprocess(size, 3, mean, std, augment="pad_crop_flip"))
    recipe = ErasingRecipe(probability=0.5)
    options = {"augment": "pad_crop_flip", "random_erasing": recipe}
    erased = images(source, Preprocess(size, 3, mean, std, **options))
    changed = erased != plain
    assert not erased[changed].any()
    assert 15 < changed.any(axis=(1, 2, 3)).sum() < 50


def test_erasing_does_not_follow_from_the_flip():
    """Each has draws of its own: of four kinds of image there are as many."""
    picture = noise(1, 8).arrays[0]
    arrays = np.stack([picture] * 400)
    source = Source("one", ("a",), np.zeros(400, np.int32), arrays=arrays)
    erasing = ErasingRecipe(probability=0.5, scale=(0.1, 0.2))
    result = images(source, raw((8, 8), hflip=0.5, random_erasing=erasing), batch_size=100)
    mirrored = (result == picture[:, ::-1]).mean(axis=(1, 2, 3)) > 0.5
    erased = (result == 0).any(axis=(1, 2, 3))
    table = np.histogram2d(mirrored, erased, bins=2)[0]
    assert chi2_contingency(table).pvalue > 1e-4
    assert table.min() > 60


@pytest.mark.parametrize("size", [(16, 16), (8, 24)])
def test_evaluation_changes_nothing_at_random(size):
    """Neither flips nor policies, neither erasing nor mixing; labels stay numbers."""
    source = noise(10, 16)
    plain = epoch(source, raw(size), training=False)
    changed = epoch(source, raw(size, **ALL_CHANGES | {"hflip": 1.0}), training=False, seed=9)
    for (x, y), (x2, y2) in zip(plain, changed, strict=True):
        assert np.array_equal(x, x2)
        assert np.array_equal(y, y2)
        assert y.dtype == y2.dtype == np.int32


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
from archspec.train.data.batches.batches import load_batches
from archspec.train.data.images.preprocess import Preprocess
assert not any(name.split(".")[0] == "mindspore" for name in sys.modules)
from archspec.train.data.sources.source import Source
files = tuple(sorted(Path({str(source.files[0].parent)!r}).iterdir()))
source = Source("x", ("a",), np.zeros(len(files), np.int32), files=files)
preprocess = Preprocess((16, 16), 3, (0.0,) * 3, (1.0,) * 3)
epoch = load_batches(source, indices=np.arange(40), preprocess=preprocess, training=True,
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


# ---- masks


def images_and_masks(folder, count=6, size=(20, 30)):
    """Images whose every pixel tells its class, one in three of which is ignored."""
    rng = np.random.default_rng(1)
    for name in ("images", "masks"):
        (folder / name).mkdir()
    for number in range(count):
        classes = rng.integers(0, 5, size).repeat(4, axis=0).repeat(4, axis=1)
        Image.fromarray((classes * 40 + 20).astype(np.uint8)).save(folder / f"images/{number}.png")
        classes[classes == 4] = 255
        Image.fromarray(classes.astype(np.uint8)).save(folder / f"masks/{number}.png")
    recipe = load_recipe("segmentation", ["data.classes=[a, b, c, d]"])
    return label_data(open_data(folder), recipe.data).train


MOVES = {
    "nothing": {},
    "flips": {"hflip": 0.5, "vflip": 0.5},
    "pad_crop_flip": {"augment": "pad_crop_flip"},
    "random_crop": {"augment": "random_crop", "hflip": 0.5},
    "random_resized_crop": {"augment": "random_resized_crop", "vflip": 0.5},
    "affine": {"augment": "affine"},
    "MindSpore's way": {"augment": "random_resized_crop", "resize": "mindspore"},
    "the centre": {"crop_pct": 0.5},
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
def test_masks_are_moved_as_their_images_are(tmp_path, move, training):
    """Each pixel of the image still tells the class of the mask's, where nothing is interpolated
    between; what lies outside is black, and has no class.
    """
    source = images_and_masks(tmp_path)
    size = (80, 120) if move.get("augment") in (None, "pad_crop_flip") else (48, 64)
    preprocess = raw(size, interpolation="nearest", **move)
    for pixels, targets in epoch(source, preprocess, training=training, batch_size=3):
        assert (targets.shape, targets.dtype) == ((3, *size), np.int32)
        told = np.where(pixels[:, 0] == 0, 4, (pixels[:, 0] - 20) / 40)
        assert np.array_equal(np.where(told == 4, -1, told), targets)
        assert len(np.unique(targets)) == 5


def test_an_image_is_interpolated_and_its_mask_never(tmp_path):
    """Half-way between two classes lies no third one."""
    source = images_and_masks(tmp_path)
    preprocess = raw((31, 47), augment="random_resized_crop", color_jitter=0.5)
    for pixels, targets in epoch(source, preprocess, batch_size=3):
        assert set(np.unique(targets)) <= {-1, 0, 1, 2, 3}
        assert len(np.unique(pixels)) > 50


def test_evaluation_fills_a_batch_with_masks_of_no_class(tmp_path):
    """So that it has the shape of the others."""
    source = images_and_masks(tmp_path)
    batches = list(epoch(source, raw((80, 120)), training=False, batch_size=4))
    assert [targets.shape for _, targets in batches] == [(4, 80, 120)] * 2
    assert (batches[1][1][2:] == NO_LABEL).all()


def test_what_is_wrong_with_a_mask_is_told_when_it_is_read(tmp_path):
    """Of a set that was too large to look through, or has changed since: every file at once."""
    source = images_and_masks(tmp_path)
    Image.new("L", (3, 3)).save(source.masks[0])
    Image.new("RGB", (120, 80), "red").save(source.masks[1])
    Image.new("L", (120, 80), 9).save(source.masks[2])
    source.masks[3].unlink()
    with pytest.raises(DataError) as caught:
        list(epoch(source, raw((80, 120)), training=False, batch_size=6))
    found = {(Path(fault.where).name, fault.code) for fault in caught.value.diagnostics}
    assert found == {("0.png", "D015"), ("1.png", "D016"), ("2.png", "D016"), ("3.png", "D001")}
