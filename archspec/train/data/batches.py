"""Batches of one epoch through mindspore.dataset: decode, fit or augment, normalise, batch.

Pillow decodes, resizes and augments inside the pipeline, since MindSpore 2.10's own operators
cannot serve: `Decode` kills the process (SIGFPE) on a JPEG cut in its header and takes other damage
for grey; `Resize` does not filter when it shrinks; random operators share one seed, so that the
flip follows from the crop's offset, and what they draw depends on the number of workers. Here each
image draws from (seed, its number) alone, and what mixes a batch from (seed, the batch's number).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image

from archspec.errors import DataError, Diagnostic
from archspec.runtime import prepare
from archspec.train.data.augmentations import augment_image
from archspec.train.data.erasing import erase_at_random
from archspec.train.data.geometry import fit_image
from archspec.train.data.masks import decode_mask, find_other_size
from archspec.train.data.mixing import mix_batch
from archspec.train.data.preprocess import Preprocess
from archspec.train.data.sampling import (
    AUGMENTING,
    ERASING,
    SUBSTITUTING,
    draw_for_batch,
    draw_for_image,
    find_image,
)
from archspec.train.data.source import Source, raise_faults

Image = PIL.Image.Image
Batch = tuple[npt.NDArray[np.float32], npt.NDArray[Any]]
Pixels = npt.NDArray[np.uint8]
Skipped = dict[int, Diagnostic]
"""What was wrong with the images that were left out, by their numbers."""
NO_LABEL = -1  # of the zero images that fill the last batch of an evaluation
MAX_SUBSTITUTES = 10
"""Images that are tried in the place of one that cannot be read."""


def load_batches(
    source: Source,
    *,
    indices: npt.NDArray[np.int64],
    preprocess: Preprocess,
    training: bool,
    batch_size: int,
    seed: int,
    workers: int = 1,
    first_batch: int = 0,
    skipped: Skipped | None = None,
) -> Iterator[Batch]:
    """Return an epoch: pairs of images (N, C, H, W) float32 and labels (N,) int32,
    in the order of `indices`, which are samples (sampling.py).

    Where images have several labels, or training mixes batches, targets (N, classes) float32 stand
    for the labels; where there are masks, label maps (N, H, W) int32, -1 for ignored pixels.
    Training drops the remainder. Evaluation fills the last batch with zero images of label -1, so
    that every batch has one shape. The same seed gives the same batches, bit for bit, whatever
    `workers` is and whatever ran before; give each epoch its own (`epoch_seed`). An epoch that
    begins at `first_batch` has the batches that the whole one has from there.

    Images that cannot be read are faults, or with `skipped` are put there: training has others in
    their places, which the seed draws, or pixels without a class; evaluation counts them not.

    Raises DataError: D008 at once where there are fewer images than one training batch; D001 or
    D005, naming the files that cannot be read, while iterating.
    """
    if training and len(indices) < batch_size:
        images = f"the number of training images (={len(indices)})"
        message = f"batch_size (={batch_size}) is larger than {images}"
        hint = ""
        if len(indices):
            hint = f"use a batch size of {len(indices)} or less, or fewer devices"
        raise DataError.one("D008", message, source.name, hint)
    left = indices[first_batch * batch_size :]
    if not len(left):
        return iter(())
    rows = _Rows(source, left, preprocess, training, seed, skipped)
    # MindSpore refuses more workers than the machine has cores.
    batches = _run_pipeline(rows, batch_size, max(1, min(workers, os.cpu_count() or 1)))
    if skipped is not None:
        batches = _correct_labels(batches, rows)
    return _change_batches(batches, rows, first_batch) if training else batches


class _Rows:
    """The random-access source of the pipeline;
    keeps the faults of images, for which it gives zeros.

    A fault raised inside would reach the user as MindSpore's RuntimeError,
    wrapped in its own traceback.
    """

    def __init__(
        self,
        source: Source,
        samples: npt.NDArray[np.int64],
        preprocess: Preprocess,
        training: bool,
        seed: int,
        skipped: Skipped | None,
    ) -> None:
        self.source = source
        self.samples = samples
        self.preprocess = preprocess
        self.seed = seed
        self.training = training
        self.faults: list[Diagnostic] = []
        self.skipped = skipped
        self.substitutes: dict[int, int] = {}
        """The image that stands in a sample's place, -1 for none."""
        self.labels = _widen(source.labels, preprocess.classes)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, position: int) -> tuple[Any, Any]:
        sample = self.samples[position]
        # One thread runs this. Decoding is worth several, which .map has; they slow small arrays
        # down.
        first = np.int64(sample) if self.source.files else self.pixels(sample)
        image, _ = find_image(int(sample), len(self.source))
        return first, self.labels[image]

    def pixels(self, sample: Any) -> Pixels:
        """Return one image, (H, W, C) uint8, ready but for normalisation."""
        number, copy = find_image(int(sample), len(self.source))
        image = self._read(number)
        if image is None:
            image = self._read_substitute(int(sample))
        if image is None:
            return np.zeros((*self.preprocess.image_size, self.preprocess.channels), np.uint8)
        return self._fit(image, self.preprocess, number, copy)

    def pixels_and_classes(self, sample: Any, _: Any) -> tuple[Pixels, npt.NDArray[np.int32]]:
        """Return one image as `pixels` does, and its label map (H, W), moved as it was."""
        number, copy = find_image(int(sample), len(self.source))
        preprocess, size = self.preprocess, self.preprocess.image_size
        black = np.zeros((*size, preprocess.channels), np.uint8)
        nothing = black, np.full(size, NO_LABEL, np.int32)
        image = self._read(number)
        if image is None:
            return nothing
        try:
            mask = self.source.mask(number)
            raise_faults(find_other_size(self.source.masks[number], mask.size, image.size))
        except DataError as error:
            self.faults.extend(error.diagnostics)
            return nothing
        moved = self._fit(mask, preprocess.of_masks, number, copy)
        return self._fit(image, preprocess, number, copy), decode_mask(moved[:, :, 0])

    def _fit(self, image: Image, preprocess: Preprocess, number: int, copy: int) -> Pixels:
        """An image and its mask draw from generators of one seed, so they are moved alike."""
        if self.training:
            rng = draw_for_image(self.seed, number, copy, AUGMENTING)
            image = augment_image(image, preprocess, rng)
        else:
            image = fit_image(image, preprocess)
        pixels = np.asarray(image)
        return pixels[:, :, None] if pixels.ndim == 2 else pixels

    def _read(self, number: int) -> Any:
        """One image, or None of one that cannot be read."""
        try:
            return self.source.image(number, self.preprocess.channels, self.preprocess.white_level)
        except DataError as error:
            if self.skipped is None:
                self.faults.extend(error.diagnostics)
            else:
                self.skipped[number] = error.diagnostics[0]
            return None

    def _read_substitute(self, sample: int) -> Any:
        """Another image for one that was skipped, None where there is to be none."""
        if self.skipped is None:
            return None
        if not self.training:
            self.substitutes[sample] = NO_LABEL
            return None
        number, copy = find_image(sample, len(self.source))
        rng = draw_for_image(self.seed, number, copy, SUBSTITUTING)
        for other in rng.integers(len(self.source), size=MAX_SUBSTITUTES).tolist():
            image = self._read(other)
            if image is not None:
                self.substitutes[sample] = other
                return image
        self.faults.append(self.skipped[number])  # hardly any image can be read
        return None


def _widen(labels: npt.NDArray[Any], classes: int) -> npt.NDArray[Any]:
    """Several labels an image (N, classes) as wide as the logits: networks may have more."""
    if labels.ndim == 1:
        return labels
    missing = max(0, classes - labels.shape[1])
    return np.pad(labels, [(0, 0), (0, missing)])


def _correct_labels(batches: Iterator[Batch], rows: _Rows) -> Iterator[Batch]:
    """Give images that stand in the places of others their own labels."""
    for number, (images, labels) in enumerate(batches):
        samples = rows.samples[number * len(labels) :][: len(labels)]
        for position, sample in enumerate(samples.tolist()):
            other = rows.substitutes.get(sample)
            if other is not None:
                labels[position] = NO_LABEL if other == NO_LABEL else rows.labels[other]
        yield images, labels


def _run_pipeline(rows: _Rows, batch_size: int, workers: int) -> Iterator[Batch]:
    prepare()
    from mindspore import dataset
    from mindspore.dataset import vision

    mean, std = list(rows.preprocess.mean), list(rows.preprocess.std)
    normalise = [vision.Normalize(mean, std), vision.HWC2CHW()]
    pipeline = dataset.GeneratorDataset(
        rows, ["image", "label"], shuffle=False, num_parallel_workers=1
    )
    if rows.source.masks:
        both = ["image", "label"]
        pipeline = pipeline.map([rows.pixels_and_classes], both, num_parallel_workers=workers)
    elif rows.source.files:
        normalise.insert(0, rows.pixels)
    pipeline = pipeline.map(normalise, ["image"], num_parallel_workers=workers)
    pipeline = pipeline.batch(batch_size, drop_remainder=rows.training, num_parallel_workers=1)
    for images, labels in pipeline.create_tuple_iterator(num_epochs=1, output_numpy=True):
        raise_faults(rows.faults)
        yield _fill(images, batch_size, 0.0), _fill(labels, batch_size, NO_LABEL)
    raise_faults(rows.faults)  # of the remainder, which may have been read already or not


def _fill(values: npt.NDArray[Any], length: int, value: float) -> npt.NDArray[Any]:
    missing = [(0, length - len(values))] + [(0, 0)] * (values.ndim - 1)
    return np.pad(values, missing, constant_values=value) if len(values) < length else values


def _change_batches(batches: Iterator[Batch], rows: _Rows, first_batch: int) -> Iterator[Batch]:
    """Erase parts of the finished images, then mix them."""
    mixing = rows.preprocess.mixing
    for number, (images, labels) in enumerate(batches):
        samples = rows.samples[number * len(labels) :][: len(labels)]
        _erase(images, samples, rows)
        if mixing is None:
            yield images, labels
            continue
        rng = draw_for_batch(rows.seed, first_batch + number, int(samples[0]))
        yield mix_batch(images, labels, mixing, rng)


def _erase(images: npt.NDArray[np.float32], samples: npt.NDArray[np.int64], rows: _Rows) -> None:
    recipe = rows.preprocess.random_erasing
    if recipe is None:
        return
    for image, sample in zip(images, samples, strict=True):
        number, copy = find_image(int(sample), len(rows.source))
        erase_at_random(image, recipe, draw_for_image(rows.seed, number, copy, ERASING))
