"""How far a run is: what a checkpoint tells of it, and what follows from the scores."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archspec.train.run.position import Position, best_epochs, epochs_without_progress

NAN = math.nan


class Entry:
    """A checkpoint's entry, as MindSpore gives it."""

    def __init__(self, values):
        self.values = values

    def asnumpy(self):
        return self.values


def read_back(position):
    return Position.of({name: Entry(values) for name, values in position.entries().items()})


@given(
    st.builds(
        Position,
        epoch=st.just(2),
        batches=st.integers(0, 2**31),
        seconds=st.floats(0, 1e9),
        best=st.floats(allow_nan=False),
        scores=st.tuples(st.floats(allow_nan=False), st.floats(allow_nan=False)),
        sums=st.tuples(*[st.floats(0, 1e12)] * 3),
        batch_size=st.integers(0, 2**16),
        devices=st.integers(0, 2**16),
    )
)
def test_a_position_is_read_back_as_it_was_written(position):
    """To the last bit of each number: whether an epoch is the best must not depend on a file."""
    assert read_back(position) == position


def test_the_moving_statistics_of_each_device_are_read_back():
    """A row for each."""
    rows = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(read_back(Position(moving=rows)).moving, rows)
    assert read_back(Position()).moving is None


def test_a_checkpoint_of_former_times_stands_at_the_end_of_an_epoch():
    """It told the epochs done and the best score alone."""
    held = {"archspec.epoch": Entry(np.array(3)), "archspec.best": Entry(np.array([0.5]))}
    assert Position.of(held) == Position(epoch=3, best=0.5, scores=(0.5, 0.5, 0.5))


@pytest.mark.parametrize(
    ("recipe", "left"),
    [
        (("top1", 8, 1, 4), (6, 0.5, (0.5,))),
        (("top1", 8, 3, 4), (6, 0.5, (0.5,))),
        (("top1", 8, 4, 4), (0, 0.5, (0.5,))),
        (("top1", 16, 1, 4), (0, 0.5, (0.5,))),
        (("top1", 16, 1, 2), (6, 0.5, (0.5,))),
        (("top1", 8, 1, 2), (0, 0.5, (0.5,))),
        (("loss", 8, 1, 4), (6, -math.inf, (NAN,))),
    ],
)
def test_what_a_changed_recipe_makes_meaningless_is_left_out(recipe, left):
    """Batches of another size, on all devices together, or in the middle of an update, begin the
    epoch again; scores by another figure tell nothing.
    """
    before = Position(epoch=1, batches=6, best=0.5, scores=(0.5,), batch_size=8, devices=4)
    after = before.under(*recipe)
    assert (after.batches, after.best) == left[:2]
    assert np.array_equal(after.scores, left[2], equal_nan=True)
    assert (after.by, after.batch_size, after.devices) == (*recipe[:2], recipe[3])


def test_moving_statistics_tell_of_devices_where_nothing_else_does():
    """Of a checkpoint of former times, within an epoch of several devices."""
    rows = np.zeros((4, 3), np.float32)
    entries = Position(batches=6, batch_size=8, moving=rows).entries()
    del entries["archspec.devices"]
    position = Position.of({name: Entry(values) for name, values in entries.items()})
    assert (position.devices, position.under("top1", 16, 1, 2).batches) == (4, 6)


@pytest.mark.parametrize(("batch_size", "batches"), [(8, 6), (16, 0)])
def test_a_position_that_does_not_tell_of_devices_is_of_as_many(batch_size, batches):
    """Checkpoints of former times: the epoch is begun again where the batch is another."""
    before = Position(epoch=1, batches=6, batch_size=8)
    assert before.under("top1", batch_size, 1, 2).batches == batches


def test_an_epoch_that_ends_is_counted_with_its_score():
    """One that was not validated leaves the best as it was."""
    within = Position(epoch=1, batches=7, best=0.5, scores=(0.5,), sums=(1.0, 2.0, 3.0))
    assert within.after_epoch(0.6) == Position(epoch=2, best=0.6, scores=(0.5, 0.6))
    unseen = within.after_epoch(NAN)
    assert (unseen.epoch, unseen.best, unseen.sums) == (2, 0.5, (0.0, 0.0, 0.0))


@pytest.mark.parametrize(
    ("scores", "count", "best"),
    [
        ((0.1, 0.3, 0.2), 2, (2, 3)),
        ((0.3, 0.3, 0.3), 2, (3, 2)),
        ((NAN, 0.2, NAN), 2, (2,)),
        ((-1.5, -0.5), 1, (2,)),
        ((), 3, ()),
    ],
)
def test_the_best_epochs_are_found_the_later_of_equal_ones(scores, count, best):
    """Counted from 1; those without a validation are none."""
    assert best_epochs(scores, count) == best


@pytest.mark.parametrize(
    ("scores", "min_delta", "waited"),
    [
        ((0.1, 0.2, 0.3), 0.0, 0),
        ((0.1, 0.3, 0.2, 0.3), 0.0, 2),
        ((0.5, 0.51, 0.52), 0.1, 2),
        ((0.5, NAN, NAN), 0.0, 0),
        ((0.5, NAN, 0.4), 0.0, 2),
        ((NAN, NAN, NAN), 0.0, 0),
        ((NAN, NAN, 0.1), 0.0, 0),
        ((), 0.0, 0),
    ],
)
def test_epochs_without_progress_are_counted_from_the_last_better_one(scores, min_delta, waited):
    """An equal score is no progress, nor one that is better by less than was asked for."""
    assert epochs_without_progress(scores, min_delta) == waited
