"""Crops, moves, flips and colours of training images: of the right set, evenly drawn."""

from itertools import product

import numpy as np
import pytest
from batches_of_images import gradient, images, noise, raw
from PIL import Image, ImageEnhance
from scipy.stats import binomtest, chi2_contingency, kstest

from archspec.train.data.images.augmentations import AUGMENTS
from archspec.train.data.images.preprocess import Preprocess
from archspec.train.data.sources.source import Source
from archspec.train.recipe.augmentation import PolicyRecipe


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


def test_augmentation_draws_in_the_order_of_every_run_before():
    """Offsets, flip, order of colours, their factors: written out with NumPy and Pillow."""
    source = noise(30, 12)
    result = images(source, raw((12, 12), augment="pad_crop_flip", color_jitter=0.3), seed=5)
    for number, found in enumerate(result):
        rng = np.random.default_rng((5, number))
        left, top = rng.integers(-4, 5, 2)
        padded = np.pad(source.arrays[number], ((4, 4), (4, 4), (0, 0)))
        pixels = padded[4 + top : 16 + top, 4 + left : 16 + left]
        pixels = pixels[:, ::-1] if rng.random() < 0.5 else pixels
        image = Image.fromarray(np.ascontiguousarray(pixels))
        enhancers = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
        for kind in rng.permutation(3):
            image = enhancers[kind](image).enhance(rng.uniform(0.7, 1.3))
        assert np.array_equal(found, image)


# ---- flips

FLIPS = {
    "as ever": ({"augment": "pad_crop_flip"}, 0.5),
    "never": ({"augment": "pad_crop_flip", "hflip": 0.0}, 0.0),
    "seldom": ({"augment": "random_resized_crop", "hflip": 0.1}, 0.1),
    "of none": ({"augment": "none"}, 0.0),
    "of none, asked for": ({"augment": "none", "hflip": 0.3}, 0.3),
    "of affine": ({"augment": "affine"}, 0.0),
    "of affine, asked for": ({"augment": "affine", "hflip": 1.0}, 1.0),
}


@pytest.mark.parametrize(("options", "share"), FLIPS.values(), ids=FLIPS)
def test_images_are_mirrored_as_often_as_asked_for(options, share):
    """Left to right, told by red, which rises from left to right; never upside down."""
    result = images(gradient(600, 40), raw((40, 40), **options), batch_size=100)
    mirrored = result[:, 20, 10, 0] > result[:, 20, 30, 0]
    assert binomtest(int(mirrored.sum()), 600, share).pvalue > 1e-4
    assert (result[:, 10, 20, 1] < result[:, 30, 20, 1]).all()


@pytest.mark.parametrize(("hflip", "vflip"), [(0.0, 0.25), (0.0, 1.0), (0.5, 0.5)])
def test_images_are_turned_upside_down_as_often_as_asked_for(hflip, vflip):
    """NumPy's flips of either axis, independent of each other."""
    source = noise(1, 6)
    picture = source.arrays[0]
    source = Source("one", ("a",), np.zeros(400, np.int32), arrays=np.stack([picture] * 400))
    result = images(source, raw((6, 6), hflip=hflip, vflip=vflip), batch_size=100)
    ways = [picture, picture[:, ::-1], picture[::-1], picture[::-1, ::-1]]
    counts = np.array([sum(np.array_equal(image, way) for image in result) for way in ways])
    across, down = np.array([1 - hflip, hflip]), np.array([1 - vflip, vflip])
    expected = np.outer(down, across).ravel()
    assert counts.sum() == 400
    for count, share in zip(counts, expected, strict=True):
        assert binomtest(int(count), 400, share).pvalue > 1e-4


# ---- crops of another range


@pytest.mark.parametrize(
    ("scale", "ratio"), [((0.25, 0.5), (1.0, 2.0)), ((0.1, 0.3), (0.5, 0.5)), ((0.9, 1.0), (1, 1))]
)
def test_a_crop_has_the_area_and_shape_asked_for(scale, ratio):
    """Read back from a gradient: evenly in the area, and in the logarithm of width to height."""
    options = {"scale": scale, "ratio": tuple(map(float, ratio)), "hflip": 0.0}
    preprocess = raw((60, 60), augment="random_resized_crop", **options)
    result = images(gradient(500, 240), preprocess, batch_size=100)
    edges = 60 / 59  # from the centres of the outer pixels to the edges of the box
    width = (result[:, 30, -1, 0] - result[:, 30, 0, 0]) * edges
    height = (result[:, -1, 30, 1] - result[:, 0, 30, 1]) * edges
    area, shape = width * height / 240**2, width / height
    assert scale[0] * 0.95 < area.min() < area.max() < scale[1] * 1.05
    assert ratio[0] * 0.96 < shape.min() < shape.max() < ratio[1] * 1.04
    if scale == (0.25, 0.5):
        assert kstest(np.log2(shape), "uniform").pvalue > 1e-4


@pytest.mark.parametrize(
    ("ratio", "box"), [((3.0, 4.0), (0, 80, 240, 160)), ((0.2, 0.25), (90, 0, 150, 240))]
)
def test_where_no_crop_fits_the_largest_of_a_right_shape_is_taken_from_the_middle(ratio, box):
    """All of a square is neither a wide nor a high strip: torchvision's rule."""
    preprocess = raw(
        (60, 60), augment="random_resized_crop", scale=(1.0, 1.0), ratio=ratio, hflip=0.0
    )
    source = gradient(1, 240)
    (result,) = images(source, preprocess, batch_size=1)
    image = Image.fromarray(source.arrays[0])
    assert np.array_equal(result, image.resize((60, 60), Image.Resampling.BILINEAR, box))


# ---- policies, in their place


@pytest.mark.parametrize("channels", [1, 3])
def test_a_policy_comes_after_the_crop_and_fills_with_the_mean_colour(channels):
    """A turn of TrivialAugment leaves corners of the mean; sizes stay."""
    mean = (90.0,) if channels == 1 else (90.0, 60.4, 30.0)
    policy = PolicyRecipe(kind="trivialaugment")
    preprocess = Preprocess((20, 28), channels, mean, (1.0,) * channels, auto_augment=policy)
    arrays = np.full((200, 20, 28, channels), 255, np.uint8)
    source = Source("white", ("a",), np.zeros(200, np.int32), arrays=arrays)
    corners = images(source, preprocess, batch_size=100)[:, 0, 0] + np.array(mean)
    filled = [np.allclose(corner, np.round(mean), atol=0.01) for corner in corners]
    assert 20 < sum(filled) < 150
