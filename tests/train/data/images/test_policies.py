"""Policies: what they make of an image is what torchvision makes of it, as often."""

import json
from collections import Counter
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from scipy.stats import binomtest, chisquare, kstest

from archspec.train.data.images.policies import apply_policy
from archspec.train.data.images.policy_operations import Outside
from archspec.train.recipe.augmentation import PolicyRecipe

# Each result of torchvision's own classes (digest of the pixels) and its probability.
RECORDED = json.loads((Path(__file__).parents[3] / "cases/policies.json").read_text())
PIXELS = np.array(RECORDED["pixels"], np.uint8)
CASES = {
    "randaugment one": {"kind": "randaugment", "operations": 1, "magnitude": 3.0},
    "randaugment two": {"kind": "randaugment"},
    "trivialaugment": {"kind": "trivialaugment"},
    "autoaugment imagenet": {"kind": "autoaugment"},
    "autoaugment cifar10": {"kind": "autoaugment", "policy": "cifar10"},
}
NEAREST = Image.Resampling.NEAREST
OF_COLOURS = Outside(tuple(RECORDED["fill"]), NEAREST)
OF_GREY = Outside((7,), NEAREST)


def draw(recipe, pixels, count, outside=OF_COLOURS):
    """Yield what a policy makes of an image, time after time."""
    image = Image.fromarray(pixels)
    for number in range(count):
        yield np.asarray(apply_policy(recipe, image, outside, np.random.default_rng(number)))


@pytest.mark.parametrize(
    ("colours", "case"),
    [(name, case) for name, results in RECORDED["results"].items() for case in results],
)
def test_a_policy_makes_of_an_image_what_torchvision_makes_as_often(colours, case):
    """To the byte, and in the same shares: operations, ranges, signs, order, tables of choices."""
    grey = colours == "grey"
    pixels, outside = (PIXELS[:, :, 0], OF_GREY) if grey else (PIXELS, OF_COLOURS)
    expected, count = RECORDED["results"][colours][case], 3000
    results = draw(PolicyRecipe(**CASES[case]), pixels, count, outside)
    found = Counter(sha256(result.tobytes()).hexdigest()[:12] for result in results)
    assert set(found) <= set(expected)
    often = {key: share * count for key, share in expected.items() if share * count >= 5}
    rest = (count - sum(found[key] for key in often), count - sum(often.values()))
    observed, hoped = (
        [*map(found.get, often, [0] * len(often)), rest[0]],
        [*often.values(), rest[1]],
    )
    if rest[1] < 1:
        observed, hoped = observed[:-1], [*often.values()]
        hoped = [value * sum(observed) / sum(hoped) for value in hoped]
    assert chisquare(observed, hoped).pvalue > 1e-4


# ---- settings that torchvision has not, seen in the brightness of a flat image


def draw_brightness(count, level=100, **settings):
    """Return the grey levels of a flat image after one operation: only brightness changes it."""
    flat = np.full((4, 4), level, np.uint8)
    recipe = PolicyRecipe(kind="randaugment", operations=1, **settings)
    results = list(draw(recipe, flat, count, Outside((level,), NEAREST)))
    assert all((result == result[0, 0]).all() for result in results)
    return np.array([int(result[0, 0]) for result in results])


def test_magnitudes_are_blurred_by_their_deviation():
    """Brightness is 1 + 0.09 x magnitude, either way; the magnitude is normal about 5."""
    plain = draw_brightness(300, magnitude=5.0)
    assert set(plain) == {100, 145, 55}
    levels = draw_brightness(4000, magnitude=5.0, magnitude_std=1.0)
    magnitudes = np.abs(levels[levels != 100] - 100) / 9
    assert len(magnitudes) > 200
    assert kstest(magnitudes, "norm", (5, 1)).pvalue > 1e-4


def test_blurred_magnitudes_stay_between_0_and_10():
    """Brightness stays within 0.1 and 1.9."""
    levels = draw_brightness(4000, magnitude=10.0, magnitude_std=8.0)
    assert (levels.min(), levels.max()) == (10, 190)


@pytest.mark.parametrize("probability", [0.0, 0.5])
def test_an_operation_is_applied_with_its_probability(probability):
    """Of brightness, one operation of fourteen."""
    changed = (draw_brightness(3000, magnitude=5.0, probability=probability) != 100).sum()
    assert binomtest(int(changed), 3000, probability / 14).pvalue > 1e-4


# ---- AugMix, whose operations at magnitude 0 are known: nothing (five of nine), or these four
BRIGHT = np.random.default_rng(6).integers(100, 256, (28, 32, 3), np.uint8)
UNMOVED = [
    np.asarray(change(Image.fromarray(BRIGHT)), float) - BRIGHT
    for change in (
        ImageOps.autocontrast,
        ImageOps.equalize,
        lambda image: ImageOps.posterize(image, 4),
        lambda image: ImageOps.solarize(image, 255),
    )
]


@pytest.mark.parametrize("alpha", [1.0, 4.0])
def test_augmix_blends_the_image_with_a_chain_by_a_beta_weight(alpha):
    """Of one chain of one operation: image + w (operation(image) - image), w from Beta(a, a)."""
    recipe = PolicyRecipe(kind="augmix", magnitude=0.0, width=1, depth=1, alpha=alpha)
    weights, counts = [], [0] * 4
    for result in draw(recipe, BRIGHT, 900):
        moved = result.astype(float) - BRIGHT
        fits = [(moved * way).sum() / (way * way).sum() for way in UNMOVED]
        errors = [np.abs(moved - w * way).max() for w, way in zip(fits, UNMOVED, strict=True)]
        assert min(errors) < 1  # of rounding, and of the weight that is told from it
        which = int(np.argmin(errors))
        counts[which] += moved.any()
        if moved.any() and which < 2:  # of the others the weight is told less exactly
            weights.append(fits[which])
    assert kstest(weights, "beta", (alpha, alpha)).pvalue > 1e-4
    assert all(binomtest(int(count), 900, 1 / 9).pvalue > 1e-4 for count in counts)


@pytest.mark.parametrize(
    ("depth", "unchanged"),
    [(1, 5 / 9), (3, (5 / 9) ** 3), (None, (5 / 9 + (5 / 9) ** 2 + (5 / 9) ** 3) / 3)],
)
def test_a_chain_of_augmix_has_its_depth(depth, unchanged):
    """Told by how often all of a chain changes nothing; 1 to 3 operations are drawn."""
    recipe = PolicyRecipe(kind="augmix", magnitude=0.0, width=1, depth=depth, alpha=50.0)
    same = sum(np.array_equal(result, BRIGHT) for result in draw(recipe, BRIGHT, 800))
    assert binomtest(same, 800, unchanged).pvalue > 1e-4


@pytest.mark.parametrize("width", [1, 3, 7])
@pytest.mark.parametrize("alpha", [0.1, 1.0, 20.0])
def test_weights_of_augmix_sum_to_one(width, alpha):
    """What no operation changes stays as it is, whatever is drawn."""
    recipe = PolicyRecipe(kind="augmix", width=width, alpha=alpha)
    flat = np.full((4, 4), 128, np.uint8)
    for result in draw(recipe, flat, 20, Outside((128,), NEAREST)):
        assert (result == 128).all()


@pytest.mark.parametrize("kind", ["randaugment", "autoaugment", "trivialaugment", "augmix"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1, 3), (8, 8, 3)])
def test_images_of_any_shape_stay_so(kind, shape):
    """One pixel, strips, grey and colours."""
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    outside = OF_COLOURS if len(shape) == 3 else OF_GREY
    for result in draw(PolicyRecipe(kind=kind), pixels, 40, outside):
        assert (result.shape, result.dtype) == (shape, np.uint8)
