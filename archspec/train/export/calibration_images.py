"""Images by which an exported network is calibrated: the range of each feature is chosen by them.

No label of theirs is looked at. Those that a network is judged by are not among a run's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from archspec.errors import ArchspecError, DataError
from archspec.train.data.batches.batches import NO_LABEL, Skipped
from archspec.train.data.datasets import open_data
from archspec.train.data.inputs import open_splits
from archspec.train.data.sources.source import Source
from archspec.train.trained.image_paths import find_images
from archspec.train.trained.trained import Trained

FLAG = "--calibrate"
SEED = 0

Values = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Calibration:
    """By which images a network is calibrated."""

    folder: Path | None = None
    """A data set, of which the training images are taken, or a folder of images; None: the run's
    training images."""
    images: int = 200
    """How many of them, drawn by chance, always the same."""
    judged_by: Path | None = None
    """The data set of the held-out images: where there is no run, its training images are taken."""


OF_THE_RUN = Calibration()


def choose_calibration_images(trained: Trained, asked: Calibration) -> Source:
    """Return the images to calibrate by: all that there are, where they are fewer than asked for.

    Raises:
        ArchspecError: W004, there is no run, and no folder with training images is named.
        DataError: D001..D003, there are no images, or none is whole.
    """
    source = _open_training_images(trained, asked).leave_out_broken()
    if not len(source):
        raise DataError.one("D003", "has no image that is whole", source.name)
    unlabelled = np.zeros(len(source), np.int32)
    source = replace(source, labels=unlabelled, masks=(), counts=None, faults=())
    if len(source) <= asked.images:
        return source
    random = np.random.default_rng(SEED)
    return source.subset(np.sort(random.choice(len(source), asked.images, replace=False)))


def load_calibration_batches(
    trained: Trained, source: Source, batch: int | None
) -> Iterator[Values]:
    """Yield images as the network reads them in evaluation, (N, C, H, W), `batch` at once, or one:
    all features of a batch are in memory.

    Raises:
        DataError: D005, an image is not whole, where the recipe does not leave such out.
    """
    at_once = batch or 1
    skipped: Skipped | None = {} if trained.recipe.data.on_error == "skip" else None
    for images, marks in trained.batches(source, min(at_once, len(source)), skipped=skipped):
        whole = images[marks != NO_LABEL]
        if len(whole):
            yield np.resize(whole, (at_once, *whole.shape[1:]))


def _open_training_images(trained: Trained, asked: Calibration) -> Source:
    if asked.folder is not None:
        return _open_folder(asked.folder)
    if trained.run is None:
        part = _open_training_part(asked.judged_by)
        if part is not None:
            return part
        rule = f"{FLAG} is missing: no run tells which images int8 is to be calibrated by"
        cure = f"{FLAG} FOLDER, or a --data-dir that has a training part"
        raise ArchspecError.one("W004", rule, str(trained.checkpoint), cure)
    try:
        return open_splits(trained.run, check=False, on_error=trained.recipe.data.on_error).train
    except DataError as error:
        part = _open_training_part(asked.judged_by)  # the data set of a run may have moved
        if part is not None:
            return part
        cure = f"{FLAG} FOLDER names images to calibrate by"
        raise DataError(replace(fault, hint=cure) for fault in error.diagnostics) from None


def _open_training_part(folder: Path | None) -> Source | None:
    """The training images of a data set, None where those that it is judged by are not apart."""
    if folder is None:
        return None
    with suppress(DataError):
        data = open_data(folder, check=False)
        return data.train if data.val or data.test else None
    return None


def _open_folder(folder: Path) -> Source:
    """The training images of a data set; of any other folder, all images within."""
    if not folder.exists():
        raise DataError.one("D001", "does not exist", str(folder))
    with suppress(DataError):
        return open_data(folder, check=False).train
    files = tuple(find_images([folder]))
    return Source(str(folder), (), np.zeros(len(files), np.int32), files=files)
