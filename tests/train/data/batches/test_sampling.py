"""Which images an epoch has: equal shares, other orders, copies that draw anew."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archspec.train.data.batches.sampling import (
    AUGMENTING,
    ERASING,
    draw_for_batch,
    draw_for_image,
    epoch_indices,
    epoch_seed,
    find_image,
    held_out_indices,
)

LENGTHS, WORLDS = st.integers(0, 300), st.integers(1, 9)
SEEDS, EPOCHS = st.integers(0, 2**40), st.integers(0, 99)


@given(length=LENGTHS, world=WORLDS, seed=SEEDS, number=EPOCHS, repeats=st.integers(1, 5))
def test_ranks_share_an_epoch_equally_without_overlap(length, world, seed, number, repeats):
    """Every rank has floor(length / world) samples, none is had twice, with repeats or without."""
    shares = [
        epoch_indices(length, seed=seed, epoch=number, rank=rank, world=world, repeats=repeats)
        for rank in range(world)
    ]
    assert {len(share) for share in shares} == {length // world}
    every = np.concatenate(shares)
    assert len(set(every.tolist())) == len(every)
    assert every.size == 0 or (every.min() >= 0 and every.max() < length * repeats)


@given(length=LENGTHS, world=WORLDS)
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


@given(length=LENGTHS, world=WORLDS, seed=SEEDS, number=EPOCHS)
def test_without_shuffling_every_epoch_has_the_images_in_their_order(length, world, seed, number):
    """Rank by rank, as they lie."""
    for rank in range(world):
        share = epoch_indices(
            length, seed=seed, epoch=number, rank=rank, world=world, shuffle=False
        )
        assert share.tolist() == list(range(length - length % world))[rank::world]


@given(length=st.integers(1, 300), world=WORLDS, number=EPOCHS, repeats=st.integers(1, 5))
def test_repeats_are_those_of_the_papers_sampler(length, world, number, repeats):
    """Each image of the shuffled order as often one after the other; ranks take turns."""
    order = epoch_indices(length, seed=7, epoch=number)
    repeated = np.repeat(order, repeats)
    for rank in range(world):
        share = epoch_indices(length, seed=7, epoch=number, rank=rank, world=world, repeats=repeats)
        images = [find_image(int(sample), length)[0] for sample in share]
        assert images == repeated[rank::world][: length // world].tolist()


def test_copies_of_an_image_go_to_different_ranks_as_different_copies():
    """Three ranks, three repeats: at each place all ranks have one image, each another copy."""
    shares = [
        epoch_indices(90, seed=1, epoch=2, rank=rank, world=3, repeats=3) for rank in range(3)
    ]
    for samples in zip(*shares, strict=True):
        found = [find_image(int(sample), 90) for sample in samples]
        assert len({image for image, _ in found}) == 1
        assert [copy for _, copy in found] == [0, 1, 2]


def test_a_first_copy_draws_what_seed_and_image_alone_have_always_drawn():
    """So that runs from before there were copies go on with the same bits."""
    for seed, image in product((0, 5, 2**32 - 1), (0, 1, 10**7)):
        expected = np.random.default_rng((seed, image)).random(4)
        assert np.array_equal(draw_for_image(seed, image, 0, AUGMENTING).random(4), expected)


def test_no_two_uses_draw_the_same():
    """Images, copies, uses, seeds and batches each have a stream of their own."""
    few = range(4)
    streams = [
        draw_for_image(seed, image, copy, use)
        for seed, image, copy, use in product(few, few, few, (AUGMENTING, ERASING))
    ]
    streams += [
        draw_for_batch(seed, batch, sample) for seed, batch, sample in product(few, few, few)
    ]
    drawn = {stream.random() for stream in streams}
    assert len(drawn) == len(streams)


@pytest.mark.parametrize("images", [1, 7])
def test_a_sample_says_image_and_copy(images):
    """Without repeats it is the image's number."""
    for copy, image in product(range(3), range(images)):
        assert find_image(copy * images + image, images) == (image, copy)


@given(
    length=LENGTHS,
    devices=st.lists(st.sampled_from([1, 2, 3, 4, 6, 12]), min_size=2, max_size=2),
    batch=st.integers(1, 3),
    number=EPOCHS,
    repeats=st.integers(1, 3),
    first=st.integers(0, 5),
)
def test_a_step_has_the_same_images_whatever_the_number_of_devices(
    length, devices, batch, number, repeats, first
):
    """Twelve times `batch` images, from any step on: the samples of all devices together are equal
    sets, each had once, and so is what an epoch leaves out.
    """
    epochs = []
    for world in devices:
        own = 12 * batch // world
        shares = [
            epoch_indices(length, seed=5, epoch=number, rank=rank, world=world, repeats=repeats)
            for rank in range(world)
        ]
        steps = length // world // own
        epochs.append(
            [
                sorted(np.concatenate([share[step * own : (step + 1) * own] for share in shares]))
                for step in range(min(first, steps), steps)
            ]
        )
    assert epochs[0] == epochs[1]
    assert len(epochs[0]) == max(length // (12 * batch) - first, 0)
    seen = np.concatenate(epochs[0]) if epochs[0] else np.zeros(0)
    assert len(set(seen.tolist())) == len(seen)
