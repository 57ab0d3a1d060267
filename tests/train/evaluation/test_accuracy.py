"""Top-1, top-5 and loss: every image once, and the figures that scikit-learn gives."""

import math

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss, top_k_accuracy_score

from archspec.errors import TrainingError
from archspec.runtime import prepare
from archspec.train.data.batches.batches import load_batches
from archspec.train.data.images.preprocess import Preprocess
from archspec.train.data.sources.source import Source
from archspec.train.evaluation.accuracy import _sum_figures, check_finite
from archspec.train.evaluation.measures import measure_accuracy
from archspec.train.monitoring.meter import Meter

CLASSES = 10
RAW = Preprocess((1, 1), 1, (0.0,), (1.0,))


class Table:
    """A network that reads an image's number from its only pixel and gives that row of a table."""

    def __init__(self, logits):
        prepare()
        self.logits = logits
        self.seen = []
        self.training = None

    def set_train(self, training):
        self.training = training

    def __call__(self, images):
        from mindspore import Tensor

        numbers = images.asnumpy()[:, 0, 0, 0].astype(int)
        self.seen.append(numbers)
        return Tensor(self.logits[numbers])


def evaluated(logits, labels, batch_size):
    """Evaluate through the real batches, of images whose pixel is their number."""
    count = len(labels)
    pixels = np.arange(count, dtype=np.uint8).reshape(count, 1, 1, 1)
    source = Source("numbers", tuple("0123456789"), labels.astype(np.int32), arrays=pixels)
    network = Table(logits)
    options = {"preprocess": RAW, "training": False, "batch_size": batch_size, "seed": 0}
    batches = load_batches(source, indices=np.arange(count), **options)
    return measure_accuracy(network, batches), network


@pytest.mark.parametrize("count", [1, 5, 63, 64, 65, 200])
def test_figures_are_those_of_scikit_learn_whatever_the_batch_size(count):
    """Also for the last batch, which is filled up with images that must not count."""
    rng = np.random.default_rng(count)
    logits = rng.normal(size=(count, CLASSES), scale=3).astype(np.float32)
    labels = rng.integers(CLASSES, size=count)
    shares = np.exp(logits.astype(np.float64))
    shares /= shares.sum(axis=1, keepdims=True)
    every = range(CLASSES)
    for batch_size in (64, 7):
        found, network = evaluated(logits, labels, batch_size)
        assert found.images == count
        assert found.top1 == pytest.approx(accuracy_score(labels, logits.argmax(1)), abs=1e-12)
        assert found.top5 == pytest.approx(
            top_k_accuracy_score(labels, logits, k=5, labels=every), abs=1e-12
        )
        assert found.loss == pytest.approx(log_loss(labels, shares, labels=every), rel=1e-6)
        assert np.concatenate(network.seen)[:count].tolist() == list(range(count))
        assert {len(seen) for seen in network.seen} == {batch_size}
        assert network.training is False


def test_huge_logits_give_a_finite_loss():
    """The exponentials do not overflow."""
    logits = np.zeros((2, CLASSES), np.float32)
    logits[:, 0] = 1e4
    found, _ = evaluated(logits, np.array([0, 1]), 2)
    assert found.loss == pytest.approx(5e3)


def test_no_images_give_zeros_and_say_so():
    """Such as the share of a device when there are fewer images than devices."""
    found = measure_accuracy(Table(np.zeros((1, CLASSES), np.float32)), [])
    assert (found.images, found.top1, found.top5, found.loss) == (0, 0, 0, 0)


def test_a_network_that_says_the_same_of_all_classes_is_right_by_chance_alone():
    """Of equal logits the first class is the guess, as NumPy's argmax has it,
    and the first five are the five.
    """
    labels = np.arange(10, dtype=np.int32)
    sums = _sum_figures(np.zeros((10, 10)), labels)
    assert sums[1] == (np.zeros((10, 10)).argmax(axis=1) == labels).sum() == 1
    assert sums[2] == 5


def test_outputs_that_are_no_numbers_are_refused():
    """NaN is not greater than anything, which must not make every guess right."""
    with pytest.raises(TrainingError, match="T006"):
        check_finite(np.array([[0.0, np.nan]]))


class Value:
    """What a step gives."""

    def __init__(self, value):
        self.value = value

    def asnumpy(self):
        return np.float32(self.value)


def test_steps_that_were_left_out_count_in_no_mean():
    """Where all were, there is no mean, no division by zero, and no run that learns nothing."""
    meter = Meter(10, 4)
    for loss, right in ((1.0, 2), (math.nan, 0), (3.0, 4), (math.inf, 4)):
        meter.add(Value(loss), Value(right), 4)
    found = meter.read()
    assert (found["loss"], found["accuracy"]) == (2.0, 0.75)
    assert meter.totals() == {"loss": 2.0, "accuracy": 0.75}
    empty = Meter(10, 4)
    empty.add(Value(math.nan), Value(0), 4)
    assert (empty.read()["loss"], empty.sums[2]) == (0.0, 0.0)
    with pytest.raises(TrainingError, match="T006 every step of the epoch was left out"):
        empty.totals()


def test_steps_before_the_clock_was_started_anew_count_in_no_speed():
    """The first one took as long as the compilation; without others there is no speed."""
    meter = Meter(10, 4)
    meter.add(Value(1.0), Value(2), 4)
    meter.restart_clock()
    assert meter.read().keys() == {"loss", "accuracy"}
    meter.add(Value(1.0), Value(2), 4)
    assert meter.read()["images_per_second"] > 0
