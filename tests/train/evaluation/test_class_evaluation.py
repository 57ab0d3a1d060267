"""What is found out of one class an image: scikit-learn's figures, and what can be kept small."""

import tracemalloc
import warnings

import numpy as np
import pytest
from sklearn.metrics import (
    balanced_accuracy_score,
    confusion_matrix,
    precision_recall_fscore_support,
)

from archspec.errors import TrainingError
from archspec.train.evaluation.class_evaluation import MOST_MISTAKES, ClassExamination
from archspec.train.evaluation.evaluation import Confusion

CLASSES = 7


def drawn(seed, count, *, absent=(), unsaid=()):
    """Logits and labels of a network that is often right; classes without images, or never said."""
    rng = np.random.default_rng(seed)
    labels = rng.choice([c for c in range(CLASSES) if c not in absent], size=count)
    logits = rng.normal(size=(count, CLASSES))
    logits[np.arange(count), labels] += 1.5
    logits[:, list(unsaid)] = -50
    return logits, labels.astype(np.int32)


def examined(logits, labels, batch_size=16):
    """Examine in batches, of which the last is filled up."""
    measure = ClassExamination(logits.shape[1])
    for start in range(0, len(labels), batch_size):
        rows, told = logits[start : start + batch_size], labels[start : start + batch_size]
        missing = batch_size - len(told)
        filled = np.pad(rows, ((0, missing), (0, 0)), constant_values=9.0)
        measure.add(filled, np.pad(told, (0, missing), constant_values=-1))
    return measure.examine()


@pytest.mark.parametrize(
    ("absent", "unsaid"), [((), ()), ((2, 5), ()), ((), (0,)), ((6,), (6,)), ((1,), (3, 4))]
)
def test_figures_of_classes_are_those_of_scikit_learn(absent, unsaid):
    """Also of classes that have no image, and of those that are never said."""
    logits, labels = drawn(1, 150, absent=absent, unsaid=unsaid)
    said, found = logits.argmax(axis=1), examined(logits, labels)
    every = list(range(CLASSES))
    assert (found.confusion == confusion_matrix(labels, said, labels=every)).all()
    wanted = precision_recall_fscore_support(labels, said, labels=every, zero_division=0)
    for name, values in zip(("precision", "recall", "f1", "support"), wanted, strict=True):
        told = found.per_class[name]
        is_told = ~np.isnan(told)
        assert told[is_told] == pytest.approx(values[is_told], abs=1e-12)
        assert is_told[np.unique(labels)].all()


@pytest.mark.parametrize("absent", [(), (0, 3)])
def test_means_are_over_the_classes_that_have_images(absent):
    """One that has none cannot be told apart badly; scikit-learn's balanced accuracy agrees."""
    logits, labels = drawn(2, 90, absent=absent)
    said, found = logits.argmax(axis=1), examined(logits, labels)
    present = np.unique(labels)
    wanted = precision_recall_fscore_support(
        labels, said, labels=present, average="macro", zero_division=0
    )
    names = ("macro_precision", "macro_recall", "macro_f1")
    assert [found.averages[name] for name in names] == pytest.approx(wanted[:3], abs=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that are said and have no image
        balanced = balanced_accuracy_score(labels, said)
    assert found.averages["balanced_accuracy"] == pytest.approx(balanced, abs=1e-12)
    assert found.figures.top1 == np.trace(found.confusion) / found.confusion.sum()


def test_batches_change_nothing():
    """Nor does what fills the last of them."""
    logits, labels = drawn(3, 61)
    first, second = examined(logits, labels, 61), examined(logits, labels, 8)
    assert (first.confusion == second.confusion).all()
    assert first.mistakes == second.mistakes
    assert first.averages == pytest.approx(second.averages, abs=1e-12)


def test_the_surest_mistakes_are_named_surest_first():
    """Not more than are asked for, and no image that is right."""
    logits, labels = drawn(4, 300)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    said = shares.argmax(axis=1)
    wrong = np.flatnonzero(said != labels)
    surest = wrong[np.argsort(-shares.max(axis=1)[wrong], kind="stable")][:MOST_MISTAKES]
    found = examined(logits, labels).mistakes
    assert [mistake.number for mistake in found] == surest.tolist()
    assert [mistake.said for mistake in found] == said[surest].tolist()
    assert [mistake.right for mistake in found] == labels[surest].tolist()
    wanted = shares.max(axis=1)[surest]
    assert [mistake.probability for mistake in found] == pytest.approx(wanted, rel=1e-12)


def test_a_network_that_is_always_right_makes_no_mistakes():
    """And confuses nothing."""
    labels = np.arange(CLASSES, dtype=np.int32)
    found = examined(np.eye(CLASSES) * 20, labels)
    assert (found.mistakes, found.find_confusions(5)) == ((), [])
    assert found.averages["macro_f1"] == 1


def test_confusions_are_counted_most_frequent_first():
    """How many of how many; of equally frequent ones the first class first."""
    said, labels = [1, 1, 1, 0, 2, 0], np.array([0, 0, 0, 2, 2, 1], np.int32)
    found = examined(np.eye(3)[said] * 5, labels)
    assert found.find_confusions(2) == [Confusion(0, 1, 3, 3), Confusion(1, 0, 1, 1)]
    assert len(found.find_confusions(10)) == 3


def test_memory_does_not_grow_with_the_images():
    """A thousand classes: counts are kept, not a row of logits for each image."""
    measure, rng = ClassExamination(1_000), np.random.default_rng(0)
    batch = rng.normal(size=(50, 1_000))
    labels = rng.integers(1_000, size=50).astype(np.int32)
    measure.add(batch, labels)
    tracemalloc.start()
    for _ in range(20):  # as many logits as 8 MB
        measure.add(batch, labels)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 100_000


def test_outputs_that_are_no_numbers_are_refused():
    """They would be neither right nor wrong."""
    with pytest.raises(TrainingError, match="T006"):
        examined(np.full((2, CLASSES), np.nan), np.zeros(2, np.int32))


def test_mistakes_keep_their_images_numbers_where_one_could_not_be_read():
    """Its label is -1 in the middle of a batch: those behind it are no other images."""
    measure = ClassExamination(2)
    sure = np.array([[9.0, 0.0]] * 3)
    measure.add(sure, np.array([0, -1, 1], np.int32))
    measure.add(sure, np.array([-1, 1, -1], np.int32))
    assert sorted(mistake.number for mistake in measure.examine().mistakes) == [2, 4]
