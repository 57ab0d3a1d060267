"""Which images an epoch has, in which order, and what each of them draws from.

A sample's number says the image and which of its copies it is:
copy x images + image; without repeats it is the image's number.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# Each use of random numbers has a stream of its own.
AUGMENTING, ERASING, MIXING, SUBSTITUTING = 0, 1, 2, 3


def epoch_indices(
    length: int,
    *,
    seed: int,
    epoch: int,
    rank: int = 0,
    world: int = 1,
    repeats: int = 1,
    shuffle: bool = True,
) -> npt.NDArray[np.int64]:
    """Return this rank's share of a permutation that (seed, epoch) decides;
    shares are disjoint and equal.

    Up to `world` - 1 images are left out, other ones in each epoch,
    so that no rank waits for another. With `repeats` (arXiv 1902.05509) each image stands as often
    one after the other, so that its copies go to different ranks where there are several; the
    epoch keeps its length, and has so many times fewer images, as with the paper's sampler and
    MindCV's. Without `shuffle` every epoch has the images in their own order.
    """
    # Every rank draws the same order and takes its own part: nothing needs to be sent.
    order = np.arange(length)
    if shuffle:
        order = np.random.default_rng((seed, epoch)).permutation(length)
    copies = np.arange(repeats) * length
    samples = (order[:, None] + copies).ravel()
    return samples[: length - length % world][rank::world]


def held_out_indices(length: int, rank: int = 0, world: int = 1) -> npt.NDArray[np.int64]:
    """Return this rank's share in order; all shares together hold every image exactly once."""
    return np.arange(rank, length, world)


def epoch_seed(seed: int, epoch: int) -> int:
    """Return the seed of an epoch's augmentation; near seeds and epochs give unrelated ones."""
    return int(np.random.SeedSequence((seed, epoch)).generate_state(1)[0])


def find_image(sample: int, images: int) -> tuple[int, int]:
    """Return a sample's image, and which of its copies it is."""
    copy, image = divmod(sample, images)
    return image, copy


def draw_for_image(seed: int, image: int, copy: int, use: int) -> np.random.Generator:
    """Return the generator that one copy of an image draws from, the same wherever it stands."""
    # NumPy takes a missing number for 0: the first copy draws what (seed, image) has always drawn.
    return np.random.default_rng((seed, image, copy, use))


def draw_for_batch(seed: int, batch: int, sample: int) -> np.random.Generator:
    """Return the generator that mixes a batch, by its number in the epoch and its first sample:
    the batches of other ranks draw differently.
    """
    return np.random.default_rng((seed, batch, sample, MIXING))
