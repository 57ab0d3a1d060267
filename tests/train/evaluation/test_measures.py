"""What is measured follows from the targets; events give back what was written into them."""

from dataclasses import asdict, dataclass, replace

import numpy as np
import pytest

from archspec.runtime import prepare
from archspec.train.evaluation.accuracy import Accuracy
from archspec.train.evaluation.measures import (
    describe_figures,
    read_figures,
    run_measure,
    share_of,
)

FOUND = Accuracy(loss=0.5, top1=0.75, top5=1.0, images=8)


@dataclass
class Seen:
    """Keeps what it is given."""

    classes: int
    shapes: tuple = ()

    def add(self, outputs, targets):
        self.shapes += ((outputs.shape, targets.shape),)


class Echo:
    """A network that gives its images."""

    def set_train(self, training):
        assert training is False

    def __call__(self, images):
        prepare()
        return images


@pytest.mark.parametrize("shape", [(2,), (2, 3), (2, 4, 4)])
def test_the_rank_of_the_targets_chooses_the_measure(shape):
    """One class an image, several labels, a class for each pixel."""
    kinds = {}
    for rank in (1, 2, 3):
        kinds[rank] = type(f"Seen{rank}", (Seen,), {})
    batch = (np.zeros((2, 3, 4, 4), np.float32), np.zeros(shape, np.int32))
    measure = run_measure(Echo(), [batch, batch], kinds)
    assert type(measure) is kinds[len(shape)]
    assert measure.classes == 3
    assert measure.shapes == (((2, 3, 4, 4), shape),) * 2


@pytest.mark.parametrize("prefix", ["", "val_", "ema_"])
def test_figures_are_read_back_from_an_event(prefix):
    """Behind the prefix that they were written with, and no other."""
    event = {"event": "epoch", **{f"{prefix}{key}": x for key, x in asdict(FOUND).items()}}
    assert read_figures(event, prefix) == FOUND
    assert read_figures(event, "other_") is None


def test_the_main_figure_is_the_share_by_which_epochs_are_compared():
    """For one class an image that is the share of right first guesses."""
    assert share_of(FOUND) == 0.75


@pytest.mark.parametrize(("images", "words"), [(1, "1 image"), (2, "2 images"), (0, "0 images")])
def test_figures_tell_over_how_many_images_they_are(images, words):
    """In words that fit the number."""
    assert describe_figures(replace(FOUND, images=images)).endswith(f"over {words}")
