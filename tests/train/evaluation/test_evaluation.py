"""An evaluation as plain values, and in words."""

import json

import numpy as np
import pytest

from archspec.train.data.sources.source import Source
from archspec.train.evaluation.calibration import Calibration
from archspec.train.evaluation.class_evaluation import ClassExamination
from archspec.train.evaluation.evaluation import Evaluation, read_evaluation
from archspec.train.evaluation.label_accuracy import LabelAccuracy
from archspec.train.evaluation.label_evaluation import LabelExamination
from archspec.train.evaluation.measures import describe_figures
from archspec.train.evaluation.words import choose_classes, describe_averages, list_confusions
from archspec.train.trained.judging import EXAMINATIONS, _name, report_progress


def examined(classes=4, images=40):
    """What is found out of a network that is wrong now and then."""
    rng = np.random.default_rng(classes)
    labels = np.arange(images, dtype=np.int32) % (classes - 1)  # the last class has no image
    logits = rng.normal(size=(images, classes)) + np.eye(classes)[labels]
    measure = ClassExamination(classes)
    measure.add(logits, labels)
    names = tuple(f"kind {number}" for number in range(classes - 1))
    pixels = np.zeros((images, 1, 1, 1), np.uint8)
    return _name(measure.examine(), Source("numbers", names, labels, arrays=pixels))


def examined_labels():
    """Likewise of several labels."""
    rng = np.random.default_rng(0)
    measure = LabelExamination(3)
    measure.add(rng.normal(size=(20, 3)), (rng.random((20, 3)) < 0.5).astype(np.float32))
    source = Source("many", ("a", "b", "c"), np.zeros(20, np.int32))
    return _name(measure.examine(), source)


@pytest.mark.parametrize("find", [examined, examined_labels])
def test_plain_values_are_json_and_are_read_back(find):
    """NaN, which JSON does not have, is null."""
    found = find()
    text = json.dumps(found.as_json(), allow_nan=False)
    again = read_evaluation(json.loads(text))
    assert json.dumps(again.as_json()) == text
    assert again.figures == found.figures
    assert again.mistakes == found.mistakes
    if found.calibration is not None:
        assert isinstance(again.calibration, Calibration)
        assert again.calibration.error == pytest.approx(found.calibration.error)


def test_plain_values_name_classes_and_images():
    """A class that the data set has no name for is numbered; an image is told by its place."""
    values = examined().as_json()
    assert [row["class"] for row in values["classes"]] == ["kind 0", "kind 1", "kind 2", "class 3"]
    assert values["classes"][3]["recall"] is None
    assert values["classes"][0]["support"] == 14
    mistake = values["mistakes"][0]
    assert mistake["image"] == f"image {mistake['number']} of numbers"
    assert {mistake["said"], mistake["right"]} <= {row["class"] for row in values["classes"]}
    assert len(values["calibration"]) == 15
    assert sum(row["images"] for row in values["calibration"]) == 40


def test_what_else_is_written_is_refused():
    """Not read as an evaluation without figures."""
    with pytest.raises(ValueError, match="no figures"):
        read_evaluation({"loss": 1.0})


def test_figures_are_one_line():
    """As many shares as a kind has, the loss, and over how many images."""
    figures = LabelAccuracy(loss=0.5, mean_ap=0.25, mean_auc=0.75, f1=1.0, images=1_200)
    assert describe_figures(figures) == (
        "mAP 25.00%  AUC 75.00%  F1 100.00%  loss 0.5000  over 1,200 images"
    )
    words = describe_averages(examined())
    assert [part.rpartition(" ")[0] for part in words.split("  ")] == [
        "macro precision",
        "macro F1",
        "balanced accuracy",
        "calibration error",
    ]


def test_of_many_classes_the_worst_are_shown_and_it_is_said():
    """By F1; up to twenty all are, in their order."""
    assert choose_classes(examined(20)) == ("", list(range(20)))
    found = examined(30, 300)
    title, numbers = choose_classes(found)
    assert title == "the 10 of 30 classes with the lowest F1, of those with images"
    f1 = found.per_class["f1"]
    assert 29 not in numbers  # it has no image
    assert sorted(f1[numbers]) == list(f1[numbers])
    assert list(f1[numbers]) == sorted(f1[:29])[:10]


def test_confusions_are_told_in_words():
    """Which class is taken for which, how often, and of how many images."""
    measure = ClassExamination(2)
    measure.add(np.eye(2)[[1, 1, 0]], np.array([0, 0, 0], np.int32))
    source = Source("x", ("shirt", "coat"), np.zeros(3, np.int32), files=("a", "b", "c"))
    found = _name(measure.examine(), source)
    assert list_confusions(found, 5) == ["shirt taken for coat: 2 of 3"]
    assert [mistake.image for mistake in found.mistakes] == ["a", "b"]


def test_an_evaluation_of_figures_alone_has_no_table():
    """Where targets have a measure and nothing more is known of them."""
    found = Evaluation(LabelAccuracy(0.1, 0.2, 0.3, 0.4, 5), {}, {})
    assert (choose_classes(found), list_confusions(found, 5)) == (("", []), [])
    assert read_evaluation(found.as_json()).figures == found.figures


def test_every_kind_of_targets_that_is_measured_can_be_examined():
    """Or gives its figures alone."""
    for rank, kind in EXAMINATIONS.items():
        assert hasattr(kind, "examine") or rank > 2


def test_progress_counts_images_and_not_what_fills():
    """From none to all, each when its step is done."""
    seen = []
    assert list(report_progress("abc", 4, 10, lambda done, of: seen.append((done, of)))) == [*"abc"]
    assert seen == [(0, 10), (4, 10), (8, 10), (10, 10)]
