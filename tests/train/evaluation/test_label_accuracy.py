"""What is found out of several labels an image: scikit-learn's figures."""

import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    log_loss,
    precision_recall_fscore_support,
    roc_auc_score,
)

from archspec.errors import TrainingError
from archspec.train.evaluation.label_accuracy import LabelMeasure
from archspec.train.evaluation.label_evaluation import LabelExamination

CLASSES = 5


def drawn(seed, count=80, *, rounded=False):
    """Logits, many of them equal where they are rounded, and labels that follow them loosely."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(count, CLASSES), scale=2)
    if rounded:
        logits = logits.round()
    labels = rng.random((count, CLASSES)) < 1 / (1 + np.exp(-logits + rng.normal(size=CLASSES)))
    return logits.astype(np.float32).astype(np.float64), labels.astype(np.float32)


def measured(logits, labels, kind=LabelMeasure, batch_size=16):
    """Measure in batches, of which the last is filled up."""
    measure = kind(logits.shape[1])
    for start in range(0, len(labels), batch_size):
        rows, told = logits[start : start + batch_size], labels[start : start + batch_size]
        missing = ((0, batch_size - len(told)), (0, 0))
        measure.add(np.pad(rows, missing), np.pad(told, missing, constant_values=-1))
    return measure


@pytest.mark.parametrize("rounded", [False, True], ids=["distinct", "ties"])
@pytest.mark.parametrize("seed", range(3))
def test_figures_are_those_of_scikit_learn(seed, rounded):
    """Loss, mAP, AUC and F1 of all; those of each class; images of equal scores among them."""
    logits, labels = drawn(seed, rounded=rounded)
    shares, said = 1 / (1 + np.exp(-logits)), logits >= 0
    found = measured(logits, labels, LabelExamination).examine()
    figures, per_class = found.figures, found.per_class
    assert figures == measured(logits, labels).figures()
    assert figures.images == len(labels)
    assert per_class["auc"] == pytest.approx(roc_auc_score(labels, logits, average=None))
    wanted = average_precision_score(labels, logits, average=None)
    assert per_class["average_precision"] == pytest.approx(wanted)
    assert figures.mean_auc == pytest.approx(roc_auc_score(labels, logits))
    assert figures.mean_ap == pytest.approx(average_precision_score(labels, logits))
    assert figures.f1 == pytest.approx(f1_score(labels, said, average="macro"))
    assert found.averages["micro_f1"] == pytest.approx(f1_score(labels, said, average="micro"))
    losses = [log_loss(labels[:, n], shares[:, n], labels=[0, 1]) for n in range(CLASSES)]
    assert figures.loss == pytest.approx(np.mean(losses))
    wanted = precision_recall_fscore_support(labels, said, zero_division=0)
    for name, values in zip(("precision", "recall", "f1", "support"), wanted, strict=True):
        assert per_class[name] == pytest.approx(values)


def test_a_class_that_no_image_has_is_left_out_of_the_means():
    """And one that all have has no AUC: nothing lacks it."""
    logits, labels = drawn(5)
    labels[:, 1], labels[:, 3] = 0, 1
    found = measured(logits, labels, LabelExamination).examine()
    told = {name: ~np.isnan(values) for name, values in found.per_class.items()}
    assert told["average_precision"].tolist() == [True, False, True, True, True]
    assert told["auc"].tolist() == [True, False, True, False, True]
    known = [0, 2, 3, 4]
    wanted = average_precision_score(labels[:, known], logits[:, known])
    assert found.figures.mean_ap == pytest.approx(wanted)
    wanted = roc_auc_score(labels[:, [0, 2, 4]], logits[:, [0, 2, 4]])
    assert found.figures.mean_auc == pytest.approx(wanted)


def test_a_class_that_is_never_said_has_no_precision_as_in_scikit_learn():
    """0, without a division by zero."""
    logits, labels = drawn(6)
    logits[:, 2] = -9
    found = measured(logits, labels, LabelExamination).examine()
    assert (found.per_class["precision"][2], found.per_class["f1"][2]) == (0, 0)


def test_an_image_without_labels_counts_and_a_filling_row_does_not():
    """All zeros is an answer; all -1 is none."""
    logits, labels = drawn(7, 3)
    labels[:] = 0
    found = measured(logits, labels).figures()
    assert (found.images, found.mean_ap, found.mean_auc, found.f1) == (3, 0, 0, 0)
    assert found.loss > 0


def test_huge_logits_give_a_finite_loss():
    """The exponentials do not overflow."""
    found = measured(np.array([[1e4, -1e4]]), np.array([[0, 1]], np.float32)).figures()
    assert found.loss == pytest.approx(1e4)


def test_no_images_give_zeros_and_say_so():
    """Such as the share of a device when there are fewer images than devices."""
    found = LabelMeasure(3).figures()
    assert (found.images, found.loss, found.mean_ap) == (0, 0, 0)


def test_outputs_that_are_no_numbers_are_refused():
    """They have no place in an order."""
    with pytest.raises(TrainingError, match="T006"):
        measured(np.full((2, CLASSES), np.nan), np.ones((2, CLASSES), np.float32))
