"""What is measured of a network follows from its targets' rank; the figures are those of all
devices.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import Field, fields
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from archspec.errors import format_count
from archspec.train.distributed.pulse import note, note_batches
from archspec.train.distributed.worker_group import all_reduce_sum
from archspec.train.evaluation.accuracy import Accuracy, ClassMeasure
from archspec.train.evaluation.label_accuracy import LabelAccuracy, LabelMeasure
from archspec.train.evaluation.pixel_accuracy import PixelAccuracy, PixelMeasure

Batches = Iterable[tuple[npt.NDArray[np.float32], npt.NDArray[Any]]]
ONE_CLASS, CLASS_OF_EACH_PIXEL = 1, 3
"""The rank of the targets of images that have one class each, or one at each pixel."""


class Figures(Protocol):
    """What is told of a network: a frozen dataclass of numbers, which events hold by their names.

    `main` names the one by which epochs are compared where nothing else is said, a share of which
    more is better; people know it as `main_name`, and say in a `verdict` what it means for images.
    Where others are shares as well, `shares` has the names of all and what people call them.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    main: ClassVar[str]
    main_name: ClassVar[str]
    verdict: ClassVar[str]

    @property
    def loss(self) -> float:
        """The mean over all that was judged."""

    @property
    def images(self) -> int:
        """How many were judged."""


class Measure(Protocol):
    """Judges what a network says of so many classes, batch by batch."""

    def __init__(self, classes: int) -> None: ...

    def add(self, outputs: npt.NDArray[np.float64], targets: npt.NDArray[Any]) -> None:
        """Judge a batch: outputs (N, classes, ...) and its targets; what fills is left out.

        Raises TrainingError (T006) where an output is no number.
        """

    def figures(self) -> Figures:
        """Return the figures of all devices; each device must call it."""


Measures = Mapping[int, type[Measure]]
MEASURES: Measures = {
    ONE_CLASS: ClassMeasure,
    2: LabelMeasure,
    CLASS_OF_EACH_PIXEL: PixelMeasure,
}
"""By the rank of targets: labels (N,), several labels (N, classes), label maps (N, H, W)."""
FIGURES: Mapping[int, type[Figures]] = {
    ONE_CLASS: Accuracy,
    2: LabelAccuracy,
    CLASS_OF_EACH_PIXEL: PixelAccuracy,
}
"""What they measure, likewise."""


def measure_accuracy(network: Any, batches: Batches) -> Figures:
    """Return how good a network is over batches of images (N, C, H, W) and targets (N, ...).

    The network is left in evaluation mode. Under data parallelism each rank brings its share of the
    images and all get the figures of the whole.
    """
    return run_measure(network, batches, MEASURES).figures()


def run_measure(network: Any, batches: Batches, measures: Measures) -> Measure:
    """Return the measure of the batches' targets, which has seen them all."""
    from mindspore import Tensor

    network.set_train(False)
    measure, rank, classes = None, 0, 0
    # A network may have to be compiled; and a device that has fewer images waits for the others.
    for images, targets in note_batches(batches, "validation, batch", is_long=True):
        outputs = network(Tensor(images)).asnumpy().astype(np.float64)
        if measure is None:
            rank, classes = targets.ndim, outputs.shape[1]
            measure = measures[rank](classes)
        measure.add(outputs, targets)
    note("adding up a validation")
    # A device that had no image must still add zeros to the figures that the others have.
    ranks, counts, devices = all_reduce_sum(
        np.array([rank, classes, measure is not None], np.float32)
    )
    if measure is None and devices:
        measure = measures[round(ranks / devices)](round(counts / devices))
    return measure or measures[ONE_CLASS](0)


def read_figures(event: Mapping[str, Any], prefix: str = "") -> Figures | None:
    """Return the figures that an event holds behind a prefix, such as `val_`; None where none."""
    for kind in FIGURES.values():
        names = [field.name for field in fields(kind)]
        if all(f"{prefix}{name}" in event for name in names):
            return kind(**{name: event[f"{prefix}{name}"] for name in names})
    return None


def share_of(figures: Figures) -> float:
    """Return the main figure."""
    return float(getattr(figures, figures.main))


def describe_figures(figures: Figures) -> str:
    """Return all figures in words: `top-1 93.12%  top-5 99.00%  loss 0.2310  over 500 images`."""
    shares = getattr(figures, "shares", {figures.main: figures.main_name})
    words = [f"{name} {getattr(figures, key):.2%}" for key, name in shares.items()]
    images = format_count(figures.images, "image")
    return "  ".join([*words, f"loss {figures.loss:.4f}", f"over {images}"])
