"""An image fitted to the network's size: as Pillow resizes, or as MindSpore does."""

from itertools import product

import numpy as np
import pytest
from batches_of_images import gradient, images, photographs, raw
from PIL import Image

from archspec.train.data.images.geometry import fit_image
from archspec.train.data.sources.source import Source


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


# ---- between pixels

INTERPOLATIONS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "nearest": Image.Resampling.NEAREST,
}


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("training", [False, True])
def test_images_are_resized_by_the_interpolation_asked_for(tmp_path, interpolation, training):
    """Pillow's of that name, in evaluation and training."""
    source = photographs(tmp_path, 3)
    result = images(
        source, raw((20, 28), interpolation=interpolation), training=training, batch_size=3
    )
    for file, ours in zip(source.files, result, strict=True):
        with Image.open(file) as image:
            expected = image.resize((28, 20), INTERPOLATIONS[interpolation])
        assert np.array_equal(ours, np.asarray(expected))


@pytest.mark.parametrize("augment", ["affine", "random_resized_crop"])
def test_crops_and_moves_take_the_interpolation_too(augment):
    """The nearest pixel invents no grey level between black and white."""
    rng = np.random.default_rng(0)
    arrays = rng.choice(np.array([0, 255], np.uint8), (20, 24, 24, 1))
    source = Source("dots", ("a",), np.zeros(20, np.int32), arrays=arrays)
    levels = {}
    for interpolation in ("nearest", "bilinear"):
        preprocess = raw((24, 24), 1, augment=augment, interpolation=interpolation)
        levels[interpolation] = set(np.unique(images(source, preprocess, batch_size=20)))
    assert levels["nearest"] == {0, 255}
    assert len(levels["bilinear"]) > 50


# ---- MindSpore's way

MINDSPORES = {"bilinear": "BILINEAR", "bicubic": "BICUBIC", "nearest": "NEAREST"}


def pictures(root, channels=3):
    """PNG files, which every decoder reads alike, of several sizes."""
    rng = np.random.default_rng(3)
    files = []
    for number, (height, width) in enumerate([(50, 70), (70, 51), (33, 33), (16, 90), (120, 121)]):
        pixels = rng.integers(0, 256, (height, width, channels), np.uint8)
        image = Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels)
        files.append(root / f"{number}.png")
        image.save(files[-1])
    return Source("png", ("a",), np.zeros(len(files), np.int32), files=tuple(files))


def run_mindspore(source, operators, channels=3):
    """Return what MindSpore's own pipeline makes of the files, each (H, W, C)."""
    from mindspore import dataset
    from mindspore.dataset import vision

    rows = [(np.fromfile(file, np.uint8),) for file in source.files]
    read = dataset.GeneratorDataset(rows, ["image"], shuffle=False)
    results = read.map([vision.Decode(), *operators], ["image"])
    found = [row[0] for row in results.create_tuple_iterator(num_epochs=1, output_numpy=True)]
    return [pixels[:, :, :channels] for pixels in found]


@pytest.mark.parametrize("interpolation", MINDSPORES)
@pytest.mark.parametrize("channels", [1, 3])
def test_evaluation_resizes_as_mindspores_own_pipeline_does(tmp_path, interpolation, channels):
    """MindCV's: Decode, Resize of the shorter side, CenterCrop; bit for bit."""
    from mindspore.dataset import vision

    source = pictures(tmp_path, channels)
    inter = vision.Inter[MINDSPORES[interpolation]]
    expected = run_mindspore(
        source, [vision.Resize(int(28 / 0.875), inter), vision.CenterCrop(28)], channels
    )
    options = {"crop_pct": 0.875, "interpolation": interpolation, "resize": "mindspore"}
    ours = images(source, raw((28, 28), channels, **options), training=False)
    assert all(map(np.array_equal, ours, expected))
    pillows = images(
        source, raw((28, 28), channels, **options | {"resize": "pillow"}), training=False
    )
    assert not all(map(np.array_equal, pillows, expected))


@pytest.mark.parametrize("augment", ["none", "random_resized_crop"])
def test_training_resizes_as_mindspores_own_operator_does(tmp_path, augment):
    """Of the whole image, which a crop of scale 1 is where the shape fits."""
    from mindspore.dataset import vision

    source = pictures(tmp_path).subset([2])
    expected = run_mindspore(source, [vision.Resize((20, 24), vision.Inter.BILINEAR)])
    options = {"scale": (1.0, 1.0), "ratio": (1.0, 1.0), "hflip": 0.0, "resize": "mindspore"}
    ours = images(source, raw((20, 24), augment=augment, **options), batch_size=1)
    assert np.array_equal(ours, expected)


def test_mindspores_way_does_not_filter():
    """Halved by bilinear, two pixels beside each other are their mean; at a quarter others are
    left out, where Pillow's filter has all.
    """
    row = np.zeros((4, 32), np.uint8)
    row[:, ::4] = 255
    image = Image.fromarray(row)
    plain = fit_image(image, raw((4, 8), 1, resize="mindspore"))
    filtered = fit_image(image, raw((4, 8), 1))
    assert not np.asarray(plain).any()
    assert np.abs(np.asarray(filtered).astype(int) - 64).max() < 20


def test_a_crop_by_mindspores_way_is_of_whole_pixels(tmp_path):
    """Each is MindSpore's Resize of some box of whole pixels of the image."""
    from mindspore.dataset import vision

    source = gradient(12, 9)
    options = {"augment": "random_resized_crop", "hflip": 0.0, "resize": "mindspore"}
    result = images(source, raw((8, 8), **options), batch_size=12)
    picture, resize = source.arrays[0], vision.Resize((8, 8), vision.Inter.BILINEAR)
    known = set()
    for left, top, right, bottom in product(range(9), range(9), range(1, 10), range(1, 10)):
        if left < right and top < bottom:
            box = np.ascontiguousarray(picture[top:bottom, left:right])
            known.add(resize(box).tobytes())
    assert {image.astype(np.uint8).tobytes() for image in result} <= known


def test_a_very_long_image_takes_no_memory_by_mindspores_way_either():
    """It would make 16 million pixels in a row, and keep 224 of them."""
    strip = Image.new("L", (60_000, 1), 7)
    preprocess = raw((224, 224), 1, crop_pct=0.875, resize="mindspore")
    assert np.array_equal(fit_image(strip, preprocess), np.full((224, 224), 7))


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (3, 2000)])
@pytest.mark.parametrize("crop_pct", [None, 0.875])
@pytest.mark.parametrize("augment", ["none", "random_resized_crop"])
def test_images_of_any_shape_are_fitted_by_mindspores_way(shape, crop_pct, augment):
    """One pixel, and strips."""
    arrays = np.full((2, *shape, 3), 9, np.uint8)
    source = Source("strip", ("a",), np.zeros(2, np.int32), arrays=arrays)
    preprocess = raw((8, 8), augment=augment, crop_pct=crop_pct, resize="mindspore")
    assert np.array_equal(images(source, preprocess, batch_size=2), np.full((2, 8, 8, 3), 9))
