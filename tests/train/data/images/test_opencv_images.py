"""Training images by OpenCV: what Pillow's way draws, to a few grey levels; nothing else is."""

import subprocess
import sys

import numpy as np
import pytest
from batches_of_images import epoch, images, noise, photographs, raw
from PIL import Image, ImageEnhance

from archspec import train
from archspec.errors import DataError, EnvironmentFault
from archspec.train.data.images.opencv_images import jitter_colours, resize_box
from archspec.train.data.sources.source import Source
from archspec.train.recipe.augmentation import ErasingRecipe, PolicyRecipe

cv2 = pytest.importorskip("cv2")
CROP = {"augment": "random_resized_crop", "image_backend": "opencv"}
WHOLE = {"scale": (1.0, 1.0), "ratio": (1.0, 1.0), "hflip": 0.0}
"""Of a square image all of it."""


def photograph(height, width, seed=0):
    """Of a detail that falls off with its fineness, as that of photographs does."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    strength = np.maximum(frequency, 1 / width) ** -1.3
    noise = rng.standard_normal((2, 3, *strength.shape))
    planes = np.fft.irfft2((noise[0] + 1j * noise[1]) * strength, (height, width))
    planes /= planes.std(axis=(1, 2), keepdims=True)
    return np.clip(planes.transpose(1, 2, 0) * 40 + 127, 0, 255).astype(np.uint8)


def saved(tmp_path, pixels, name="x.jpg", **options):
    Image.fromarray(pixels).save(tmp_path / name, quality=95, **options)
    return Source("one", ("a",), np.zeros(1, np.int32), files=(tmp_path / name,))


# ---- resizing


@pytest.mark.parametrize("shrunk", [0.5, 0.9, 1.0, 1.2, 1.5, 1.9, 2.0, 3.1])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_box_is_resized_as_pillow_does_to_two_grey_levels(shrunk, channels):
    """In the mean; without the filter it is up to five, and the mean grey stays."""
    pixels = photograph(260, 260)[:, :, : 3 if channels == 3 else 1].squeeze()
    side = round(64 * shrunk)
    box = (11, 7, 11 + side, 7 + side)
    ours = resize_box(pixels, raw((64, 64), channels), box).astype(int)
    theirs = Image.fromarray(pixels).crop(box).resize((64, 64), Image.Resampling.BILINEAR)
    difference = ours - np.asarray(theirs)
    assert np.abs(difference).mean() < (0.5 if shrunk <= 1 else 2)
    assert abs(difference.mean()) < 0.5


def test_each_side_is_filtered_by_how_much_it_shrinks():
    """Lines that are squeezed become grey; those along the squeeze stay."""
    lines = np.zeros((64, 128), np.uint8)
    lines[:, ::2] = 255
    squeezed = resize_box(lines, raw((64, 64), 1), (0, 0, 128, 64))
    assert np.abs(squeezed[:, 2:-2].astype(int) - 127).max() <= 2
    kept = resize_box(np.repeat(lines[:, :64].T, 2, axis=1), raw((64, 64), 1), (0, 0, 128, 64))
    assert np.array_equal(kept, lines[:, :64].T)


def test_without_a_filter_it_is_mindspores_resize_to_the_bit():
    """What `resize: mindspore` promises."""
    from mindspore.dataset import vision

    pixels = photograph(90, 120)
    box = (3, 4, 110, 80)
    theirs = vision.Resize((40, 56), vision.Inter.LINEAR)(pixels[4:80, 3:110])
    assert np.array_equal(resize_box(pixels, raw((40, 56), resize="mindspore"), box), theirs)


# ---- colours


def jitter_by_numpy(pixels, strength, rng):
    """The three changes one after the other, in 64 bits."""
    values = pixels.astype(float)
    weights = np.array([0.299, 0.587, 0.114] if values.ndim == 3 else 1.0)
    for number in rng.permutation(3):
        factor = rng.uniform(1 - strength, 1 + strength)
        grey = (values * weights).sum(axis=2, keepdims=True) if values.ndim == 3 else values
        towards = (0.0, grey.mean(), grey)[number]
        values = values * factor + (1 - factor) * towards
    return np.clip(values, 0, 255)


@pytest.mark.parametrize("grey", [False, True])
def test_one_matrix_is_the_three_changes(grey):
    """In any order; rounded once, by factors in fractions of 1/1024."""
    pixels = photograph(20, 30)
    pixels = pixels[:, :, 0] if grey else pixels
    seen = set()
    for seed in range(20):
        ours = jitter_colours(pixels, 0.4, np.random.default_rng(seed))
        theirs = jitter_by_numpy(pixels, 0.4, np.random.default_rng(seed))
        assert ours.shape == pixels.shape
        assert np.abs(ours - theirs).max() < 1
        seen.add(tuple(np.random.default_rng(seed).permutation(3)))
    assert len(seen) == 6


def test_colours_are_pillows_where_nothing_is_too_bright():
    """Pillow rounds down after each of three passes."""
    pixels = (photograph(40, 40) / 4 + 80).astype(np.uint8)
    for seed in range(6):
        rng = np.random.default_rng(seed)
        theirs = Image.fromarray(pixels)
        for number in rng.permutation(3):
            kind = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)[number]
            theirs = kind(theirs).enhance(rng.uniform(0.6, 1.4))
        ours = jitter_colours(pixels, 0.4, np.random.default_rng(seed))
        assert np.abs(ours.astype(int) - np.asarray(theirs)).max() <= 5


# ---- in batches


CHANGES = {
    "colours": {"color_jitter": 0.4},
    "a policy": {"auto_augment": PolicyRecipe(kind="randaugment")},
    "all the others": {"vflip": 0.5, "random_erasing": ErasingRecipe(probability=0.5)},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("files", [True, False])
def test_batches_are_the_same_for_any_number_of_workers(tmp_path, files, change):
    """And those of Pillow's way but for grey levels: the same crops, flips and factors."""
    source = photographs(tmp_path, 24) if files else noise(24, 40)
    preprocess = raw((32, 32), **CROP, **change)
    first, *others = (epoch(source, preprocess, seed=3, workers=n) for n in (1, 2, 4))
    for batches in others:
        for (x, y), (x2, y2) in zip(first, batches, strict=True):
            assert x.tobytes() == x2.tobytes()
            assert y.tobytes() == y2.tobytes()
    rest = epoch(source, preprocess, seed=3, first_batch=2, workers=2)
    assert rest[0][0].tobytes() == first[2][0].tobytes()


def test_crops_and_flips_are_those_that_pillow_cuts(tmp_path):
    """By a pixel's part, which is few grey levels of smooth images; other draws are many away."""
    source = photographs(tmp_path, 24)
    ours = images(source, raw((32, 32), vflip=0.5, **CROP))
    theirs = images(source, raw((32, 32), vflip=0.5, augment="random_resized_crop"))
    far = np.abs(np.roll(theirs, 1, axis=0) - theirs).mean()
    assert np.abs(ours - theirs).mean() < 6 < 40 < far


def test_what_is_judged_is_pillows_to_the_bit(tmp_path):
    """Whatever training does."""
    source = photographs(tmp_path, 9)
    options = {"augment": "random_resized_crop", "crop_pct": 0.8, "color_jitter": 0.4}
    plain = epoch(source, raw((24, 24), **options), training=False)
    other = epoch(source, raw((24, 24), **options | CROP), training=False)
    for (x, _), (x2, _) in zip(plain, other, strict=True):
        assert x.tobytes() == x2.tobytes()


# ---- files


@pytest.mark.parametrize("orientation", [None, 1, 3, 6, 8])
@pytest.mark.parametrize("side", [64, 300])
def test_a_picture_stands_upright_at_each_size_that_it_is_decoded_in(tmp_path, orientation, side):
    """Whole, or a quarter where that is enough; as Pillow turns and resizes it."""
    pixels = photograph(side, side, seed=1)
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    source = saved(tmp_path, pixels, exif=exif)
    how = {"batch_size": 1, "seed": 5}
    ours = images(source, raw((64, 64), **CROP, **WHOLE), **how)
    theirs = images(source, raw((64, 64), augment="random_resized_crop", **WHOLE), **how)
    assert np.abs(ours - theirs).mean() < 3
    assert np.abs(ours - theirs[:, ::-1]).mean() > 20


KINDS = {"grey": "L", "CMYK": "CMYK", "palette": "P", "alpha": "RGBA", "colours": "RGB"}


@pytest.mark.parametrize("mode", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_kind_of_image_is_read(tmp_path, mode, channels):
    """In the network's size nothing is resized: Pillow's pixels to the bit."""
    name = "x.png" if mode in ("P", "RGBA") else "x.jpg"
    Image.fromarray(photograph(48, 48)).convert(mode).save(tmp_path / name)
    source = Source("one", ("a",), np.zeros(1, np.int32), files=(tmp_path / name,))
    ours = images(source, raw((48, 48), channels, **CROP, **WHOLE), batch_size=1)
    plain = images(source, raw((48, 48), channels), batch_size=1)
    assert ours.shape == (1, 48, 48, channels)
    assert np.array_equal(ours, plain)


@pytest.mark.parametrize("side", [40, 400])
def test_a_file_that_is_cut_is_named(tmp_path, side):
    """OpenCV itself would fill it with grey; so it is for text, and what is empty or gone."""
    sources = [saved(tmp_path, photograph(side, side), f"{n}.jpg") for n in range(5)]
    files = [source.files[0] for source in sources]
    files[1].write_bytes(files[1].read_bytes()[: side * side // 8])
    files[2].write_text("text")
    files[3].write_bytes(b"")
    files[4].unlink()
    source = Source("five", ("a",), np.zeros(5, np.int32), files=tuple(files))
    with pytest.raises(DataError) as caught:
        epoch(source, raw((32, 32), **CROP), batch_size=5, workers=2)
    assert {fault.where for fault in caught.value.diagnostics} == {str(f) for f in files[1:]}
    assert {fault.code for fault in caught.value.diagnostics} == {"D001", "D005"}


def test_one_that_is_skipped_has_a_substitute(tmp_path):
    """The same one for each number of workers."""
    source = photographs(tmp_path, 8)
    source.files[2].write_text("text")
    from archspec.train.data.batches.batches import load_batches

    found = []
    for workers in (1, 2):
        skipped = {}
        how = {"batch_size": 8, "seed": 1, "workers": workers, "skipped": skipped}
        ((x, _),) = load_batches(
            source, indices=np.arange(8), preprocess=raw((16, 16), **CROP), training=True, **how
        )
        found.append(x.tobytes())
        assert list(skipped) == [2]
    assert found[0] == found[1]


# ---- the package


@pytest.mark.parametrize("state", ["absent", "old"])
def test_without_the_package_nothing_is_planned(tmp_path, monkeypatch, state):
    """The error says how to get it."""
    photographs(tmp_path / "a", 12)
    photographs(tmp_path / "b", 12)
    if state == "absent":
        monkeypatch.setitem(sys.modules, "cv2", None)
    else:
        monkeypatch.delattr(cv2, "IMREAD_COLOR_RGB")
    told = r"E009 cv2, which .*opencv.* \(pip install 'densenet-archspec\[opencv\]'\)"
    with pytest.raises(EnvironmentFault, match=told):
        train.plan(
            "densenet121",
            data_dir=tmp_path,
            recipe_name="imagenet_ascend",
            recipe_overrides=["data.image_backend=opencv"],
        )


def test_a_run_that_goes_on_without_the_package_says_so_and_blames_no_image(tmp_path, monkeypatch):
    """On another machine; what is judged needs none."""
    from archspec.train.data.images import opencv_images

    opencv_images.load_opencv.cache_clear()
    monkeypatch.setitem(sys.modules, "cv2", None)
    source = photographs(tmp_path, 8)
    with pytest.raises(EnvironmentFault, match="E009 cv2"):
        epoch(source, raw((16, 16), **CROP))
    assert len(epoch(source, raw((16, 16), **CROP), training=False)) == 1


def test_nothing_imports_it_that_does_not_need_it():
    """Neither training by Pillow nor the command line."""
    program = "import sys; import archspec.train.data.batches.batches, densenet_cli.__main__; "
    program += "sys.exit('cv2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
