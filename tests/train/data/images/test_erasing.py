"""Random erasing: rectangles of the size and shape asked for, of what was asked for."""

import numpy as np
import pytest
from scipy.stats import binomtest, kstest

from archspec.train.data.images.erasing import erase_at_random
from archspec.train.recipe.augmentation import ErasingRecipe

SIZE = (120, 160)


def erase(number, size=SIZE, fill=7.0, **settings):
    """Return the image after erasing, (3, H, W), which was `fill` everywhere."""
    image = np.full((3, *size), fill, np.float32)
    recipe = ErasingRecipe(**{"probability": 1.0} | settings)
    erase_at_random(image, recipe, np.random.default_rng(number))
    return image


def rectangles(count, **settings):
    """Return the sides (height, width) of what was erased: one rectangle of all channels."""
    sides = []
    for number in range(count):
        erased = erase(number, **settings) != 7
        assert (erased == erased[0]).all()
        rows, columns = np.nonzero(erased[0].any(1))[0], np.nonzero(erased[0].any(0))[0]
        assert erased[0].sum() == len(rows) * len(columns)
        assert not len(rows) or np.ptp(rows) == len(rows) - 1
        assert not len(columns) or np.ptp(columns) == len(columns) - 1
        sides.append((len(rows), len(columns)))
    return np.array(sides, float)


@pytest.mark.parametrize(
    ("scale", "ratio"), [((0.02, 0.33), (0.3, 3.3)), ((0.1, 0.2), (0.5, 1.0)), ((0.2, 0.2), (1, 1))]
)
def test_rectangles_have_the_area_and_shape_asked_for(scale, ratio):
    """Areas evenly in their range, height to width evenly in the logarithm, but for rounding."""
    high, wide = rectangles(600, scale=scale, ratio=tuple(map(float, ratio))).T
    area, shape = high * wide / np.prod(SIZE), high / wide
    rounding = 1 / high.min() + 1 / wide.min()
    assert scale[0] * (1 - rounding) <= area.min() <= area.max() <= scale[1] * (1 + rounding)
    assert ratio[0] * (1 - rounding) <= shape.min() <= shape.max() <= ratio[1] * (1 + rounding)
    if scale == (0.1, 0.2):  # all of these fit, so that no draw is favoured
        assert kstest(area, "uniform", (0.1, 0.1)).pvalue > 1e-4
        assert kstest(np.log(shape), "uniform", (np.log(0.5), np.log(2))).pvalue > 1e-4


def test_rectangles_lie_anywhere():
    """Each pixel is erased now and then, corners too."""
    erased = [erase(number, size=(12, 16), scale=(0.2, 0.3))[0] != 7 for number in range(400)]
    assert np.sum(erased, axis=0).min() > 0


@pytest.mark.parametrize("probability", [0.0, 0.25])
def test_an_image_is_erased_with_its_probability(probability):
    """The others stay as they are."""
    erased = sum((erase(number, probability=probability) != 7).any() for number in range(800))
    assert binomtest(int(erased), 800, probability).pvalue > 1e-4


@pytest.mark.parametrize("value", [0.0, -2.5])
def test_a_rectangle_is_filled_with_the_value(value):
    """In normalised units."""
    assert set(np.unique(erase(1, value=value))) == {7.0, value}


def test_a_rectangle_is_filled_with_noise():
    """Each pixel and channel from a normal distribution of its own."""
    image = erase(1, value="random", scale=(0.3, 0.3))
    noise = image[image != 7]
    assert kstest(noise, "norm").pvalue > 1e-4
    assert len(np.unique(noise)) > 0.99 * len(noise) > 10_000


def test_what_never_fits_erases_nothing():
    """All of a narrow image cannot be erased by a square; the attempts end."""
    assert (erase(1, size=(4, 400), scale=(0.9, 0.9), ratio=(1.0, 1.0)) == 7).all()
    assert (erase(1, size=(1, 1)) == 7).all()


def test_more_attempts_find_more_rectangles_that_fit():
    """In a narrow image few of the shapes fit."""
    found = []
    for attempts in (1, 10):
        images = [
            erase(n, size=(20, 200), scale=(0.3, 0.33), attempts=attempts) for n in range(300)
        ]
        found.append(sum((image != 7).any() for image in images))
    assert found[0] < 0.6 * 300
    assert found[1] > found[0] * 1.5
