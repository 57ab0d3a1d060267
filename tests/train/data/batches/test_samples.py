"""One image in its place in a batch: Pillow's and MindSpore's pixels, to the bit."""

import numpy as np
import pytest
from batches_of_images import epoch
from PIL import Image, ImageEnhance

from archspec.train.data.batches.sampling import AUGMENTING, draw_for_image
from archspec.train.data.images.preprocess import Preprocess
from archspec.train.data.sources.source import Source


def pictures(tmp_path, count, side):
    """Square JPEGs, each in its own detail."""
    files = tuple(tmp_path / f"{number}.jpg" for number in range(count))
    for number, file in enumerate(files):
        coarse = np.random.default_rng(number).integers(0, 256, (9, 9, 3), np.uint8)
        Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC).save(file)
    return Source("pictures", ("a",), np.zeros(count, np.int32), files=files)


@pytest.mark.parametrize("channels", [1, 3])
def test_normalised_values_are_those_of_mindspores_operator(channels):
    """Of every grey level, to the bit, for means and deviations that no binary fraction is."""
    from mindspore.dataset import vision

    levels = np.arange(256, dtype=np.uint8)
    rng = np.random.default_rng(0)
    for _ in range(20):
        pixels = np.stack([rng.permutation(levels) for _ in range(channels)], 1)
        pixels = pixels.reshape(1, 16, 16, channels)
        mean, std = rng.uniform(0, 255, channels), rng.uniform(1, 255, channels)
        source = Source("levels", ("a",), np.zeros(1, np.int32), arrays=pixels)
        preprocess = Preprocess((16, 16), channels, tuple(mean), tuple(std))
        ((ours, _),) = epoch(source, preprocess, batch_size=1)
        theirs = vision.HWC2CHW()(vision.Normalize(list(mean), list(std))(pixels[0]))
        assert ours[0].tobytes() == theirs.tobytes()


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_a_training_image_is_what_pillow_makes_of_it(tmp_path, workers):
    """Decoded, resized, mirrored and recoloured by Pillow's own functions, then mean and std."""
    source = pictures(tmp_path, 16, 90)
    mean, std = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
    whole = {"augment": "random_resized_crop", "scale": (1.0, 1.0), "ratio": (1.0, 1.0)}
    preprocess = Preprocess((40, 40), 3, mean, std, color_jitter=0.4, vflip=0.3, **whole)
    batches = epoch(source, preprocess, batch_size=5, seed=9, workers=workers)
    ours = np.concatenate([images for images, _ in batches])
    assert len(ours) == 15
    for number, image in enumerate(ours):
        rng = draw_for_image(9, number, 0, AUGMENTING)
        rng.uniform(size=10)  # areas
        rng.uniform(size=10)  # ratios
        rng.random(2)  # the corner
        expected = open_as_trained(source.files[number], rng)
        values = np.asarray(expected, np.float32) - np.array(mean, np.float32)
        values = (values / np.array(std, np.float32)).transpose(2, 0, 1)
        assert image.tobytes() == values.tobytes()


def open_as_trained(file, rng):
    with Image.open(file) as image:
        image = image.convert("RGB").resize((40, 40), Image.Resampling.BILINEAR, (0, 0, 90, 90))
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if rng.random() < 0.3:
        image = image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    for number in rng.permutation(3):
        kind = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)[number]
        image = kind(image).enhance(rng.uniform(0.6, 1.4))
    return image
