"""Figures of pixels against scikit-learn's, over every pixel that has a class."""

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    jaccard_score,
    log_loss,
    precision_score,
    recall_score,
)

from archspec.errors import TrainingError
from archspec.train.evaluation.measures import measure_accuracy
from archspec.train.evaluation.pixel_accuracy import PixelMeasure, find_ious
from archspec.train.evaluation.pixel_evaluation import PixelExamination

IMAGES, CLASSES, SIZE = 5, 4, (6, 7)


def data(classes=CLASSES):
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(IMAGES, classes, *SIZE), scale=3)
    targets = rng.integers(-1, classes, size=(IMAGES, *SIZE)).astype(np.int32)
    return logits, targets


def measured(kind, logits, targets, step):
    measure = kind(logits.shape[1])
    for start in range(0, len(logits), step):
        measure.add(logits[start : start + step], targets[start : start + step])
    return measure


@pytest.mark.parametrize("step", [1, 2, 5])
def test_figures_are_those_of_scikit_learn_whatever_the_batch_size(step):
    """Of all pixels at once, without those that have no class."""
    logits, targets = data()
    has_class = targets >= 0
    right, said = targets[has_class], logits.argmax(axis=1)[has_class]
    shares = np.exp(np.moveaxis(logits, 1, -1)[has_class])
    shares /= shares.sum(axis=1, keepdims=True)
    found = measured(PixelMeasure, logits, targets, step)
    assert found.confusion().tolist() == confusion_matrix(right, said).tolist()
    figures = found.figures()
    assert figures.images == IMAGES
    assert figures.pixel_accuracy == pytest.approx(accuracy_score(right, said))
    assert figures.miou == pytest.approx(jaccard_score(right, said, average="macro"))
    assert figures.loss == pytest.approx(log_loss(right, shares), rel=1e-6)


def test_figures_of_each_class_are_those_of_scikit_learn():
    """What `validate` tells."""
    logits, targets = data()
    has_class = targets >= 0
    right, said = targets[has_class], logits.argmax(axis=1)[has_class]
    found = measured(PixelExamination, logits, targets, 2).examine()
    scores = {"iou": jaccard_score, "precision": precision_score, "recall": recall_score}
    for name, score in scores.items():
        assert found.per_class[name] == pytest.approx(score(right, said, average=None))
    assert found.per_class["pixels"].tolist() == np.bincount(right).tolist()


def test_classes_that_are_neither_there_nor_said_are_left_out_of_the_mean():
    """One that is said and not there counts as nothing found."""
    confusion = np.array([[3, 0, 1, 0], [0, 2, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]], float)
    ious = find_ious(confusion)
    assert ious[:3].tolist() == [0.75, 1.0, 0.0]
    assert np.isnan(ious[3])
    logits = np.full((1, 4, 1, 2), -5.0)
    logits[0, 0] = 5
    found = measured(PixelMeasure, logits, np.array([[[0, 1]]], np.int32), 1).figures()
    assert found.miou == pytest.approx((1 / 2 + 0) / 2)


def test_images_that_fill_a_batch_count_for_nothing():
    """Nor does a whole batch of ignored pixels; of no pixel at all there are zeros."""
    logits, targets = data()
    filled = np.concatenate([targets, np.full((3, *SIZE), -1, np.int32)])
    more = np.concatenate([logits, np.zeros((3, CLASSES, *SIZE))])
    assert (
        measured(PixelMeasure, more, filled, 4).figures()
        == measured(PixelMeasure, logits, targets, 4).figures()
    )
    empty = measured(PixelMeasure, more[-1:], filled[-1:], 1).figures()
    assert (empty.loss, empty.miou, empty.pixel_accuracy, empty.images) == (0, 0, 0, 0)


def test_the_loop_measures_label_maps_so():
    """By the rank of the targets."""

    class Network:
        def set_train(self, training):
            assert training is False

        def __call__(self, images):
            from mindspore import Tensor

            return Tensor(images.asnumpy())

    logits, targets = data()
    found = measure_accuracy(Network(), [(logits.astype(np.float32), targets)])
    assert found.miou == pytest.approx(measured(PixelMeasure, logits, targets, 5).figures().miou)


def test_outputs_that_are_no_numbers_are_refused():
    """T006, unless it is ignored where they are."""
    logits, targets = data()
    logits[0, 0, 0, 0], targets[0, 0, 0] = np.nan, -1
    measured(PixelMeasure, logits, targets, 5)
    targets[0, 0, 0] = 1
    with pytest.raises(TrainingError, match="T006"):
        measured(PixelMeasure, logits, targets, 5)
