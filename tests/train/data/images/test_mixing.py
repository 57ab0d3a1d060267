"""Mixup and cutmix: by the papers' formulas, and drawn as those say."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest, ks_2samp, kstest

from archspec.train.data.images.mixing import Mixing, mix_batch

SIZE = (24, 40)


def batch(count, size=SIZE):
    """Images (N, 2, H, W), each of one value of its own in each channel, and labels (N,)."""
    values = np.arange(1, count + 1, dtype=np.float32)
    images = np.stack([values, 100 + values], 1)[:, :, None, None] * np.ones((1, 1, *size))
    return images.astype(np.float32), np.arange(count, dtype=np.int32)


def mix(number, *, count=6, mixup=0.0, cutmix=0.0, probability=1.0, size=SIZE):
    images, labels = batch(count, size)
    kept = images.copy()
    mixing = Mixing(mixup, cutmix, probability, classes=count + 2)
    mixed, targets = mix_batch(images, labels, mixing, np.random.default_rng(number))
    assert np.array_equal(images, kept)  # what was handed over is left alone
    assert (mixed.dtype, targets.dtype) == (np.float32, np.float32)
    assert (mixed.shape, targets.shape) == (images.shape, (count, count + 2))
    return images, mixed, targets


def share_of_self(targets):
    return float(targets[0, 0])


@pytest.mark.parametrize("count", [2, 3, 8])
@pytest.mark.parametrize("alpha", [0.01, 0.2, 1.0, 50.0])
def test_mixup_blends_images_as_it_blends_their_targets(count, alpha):
    """x = l x_i + (1 - l) x_j, y = l y_i + (1 - l) y_j: NumPy sums the images by the targets."""
    for number in range(20):
        images, mixed, targets = mix(number, count=count, mixup=alpha)
        expected = np.einsum("nk,kchw->nchw", targets[:, :count].astype(float), images)
        np.testing.assert_allclose(mixed, expected, rtol=1e-5)
        np.testing.assert_allclose(targets.sum(1), 1, rtol=1e-6)
        own = targets[range(count), range(count)]
        assert (own == own[0]).all()
        assert ((targets > 0).sum(1) <= 2).all()
        if own[0] < 1:  # a small alpha draws shares that are none
            partners = np.where(np.eye(count, count + 2), -1, targets).argmax(1)
            assert len(set(partners)) == count  # each image is mixed into one other
            assert not (partners == range(count)).any()


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_mixup_draws_its_share_from_a_beta_distribution(alpha):
    """Beta(a, a), of mean 1/2 and variance 1 / (8 a + 4)."""
    shares = [share_of_self(mix(number, mixup=alpha, size=(1, 1))[2]) for number in range(1500)]
    assert kstest(shares, "beta", (alpha, alpha)).pvalue > 1e-4
    assert abs(np.mean(shares) - 0.5) < 0.05
    assert abs(np.var(shares) * (8 * alpha + 4) - 1) < 0.15


@pytest.mark.parametrize("count", [2, 3, 8])
def test_cutmix_pastes_one_box_and_counts_its_pixels(count):
    """Within a rectangle all is the partner's, outside all one's own; the targets say its area."""
    seen = set()
    for number in range(60):
        images, mixed, targets = mix(number, count=count, cutmix=1.0)
        foreign = mixed != images
        assert (foreign == foreign[0, 0]).all()
        rows, columns = np.nonzero(foreign[0, 0].any(1))[0], np.nonzero(foreign[0, 0].any(0))[0]
        pasted = int(foreign[0, 0].sum())
        assert pasted == len(rows) * len(columns)
        assert pasted == 0 or (np.ptp(rows), np.ptp(columns)) == (len(rows) - 1, len(columns) - 1)
        np.testing.assert_allclose(
            targets[range(count), range(count)], 1 - pasted / math.prod(SIZE), atol=1e-6
        )
        np.testing.assert_allclose(targets.sum(1), 1, rtol=1e-6)
        partners = np.where(np.eye(count, count + 2), -1, targets).argmax(1)
        assert not np.where(foreign, mixed - images[partners], 0).any()
        assert not pasted or not (partners == range(count)).any()
        seen.add(pasted)
    assert len(seen) > 30


def paste_as_published(share, rng):
    """The box of the paper's appendix: its centre evenly over the image, cut at the edges."""
    height, width = SIZE
    cut = np.sqrt(1 - share)
    high, wide = int(height * cut), int(width * cut)
    y, x = rng.integers(height), rng.integers(width)
    top, bottom = np.clip([y - high // 2, y - high // 2 + high], 0, height)
    left, right = np.clip([x - wide // 2, x - wide // 2 + wide], 0, width)
    return 1 - (bottom - top) * (right - left) / (height * width)


@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_cutmix_draws_boxes_as_its_paper_does(alpha):
    """The share that is left, against the published rule with draws of its own."""
    rng = np.random.default_rng(99)
    expected = [paste_as_published(rng.beta(alpha, alpha), rng) for _ in range(1500)]
    found = [share_of_self(mix(number, count=2, cutmix=alpha)[2]) for number in range(1500)]
    assert ks_2samp(found, expected).pvalue > 1e-4


def test_boxes_of_cutmix_reach_every_pixel():
    """Also corners: the centre is drawn over the whole image."""
    reached = np.zeros(SIZE, int)
    for number in range(800):
        images, mixed, _ = mix(number, count=2, cutmix=1.0)
        reached += (mixed != images)[0, 0]
    assert reached.min() > 0
    corners = reached[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert corners.max() < reached[12, 20]


def is_blended(images, mixed):
    return not np.isin(mixed, images).all()


def test_each_batch_draws_one_of_the_two():
    """Half and half, never both."""
    blended = sum(is_blended(*mix(number, mixup=1.0, cutmix=1.0)[:2]) for number in range(600))
    assert binomtest(blended, 600, 0.5).pvalue > 1e-4


@pytest.mark.parametrize("probability", [0.0, 0.3])
@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_a_batch_is_mixed_with_the_probability_asked_for(kind, probability):
    """One that is not has its images, and targets of the same shape: ones."""
    unmixed = 0
    for number in range(600):
        images, mixed, targets = mix(
            number, count=2, size=(8, 8), probability=probability, **{kind: 1.0}
        )
        if share_of_self(targets) == 1.0:
            unmixed += 1
            assert np.array_equal(targets, np.eye(2, 4))
            assert np.array_equal(mixed, images)
    # A box of cutmix may be of no pixel: at most as often as its sides round to none.
    assert unmixed == 600 or binomtest(unmixed, 600, 1 - probability).pvalue > 1e-4
    assert (unmixed == 600) == (probability == 0)
