"""Batches of one epoch: decoded, fitted or augmented, normalised, mixed.

Pillow, or OpenCV where a recipe asks for it, prepares images in threads of our own, since MindSpore
2.10's operators cannot serve: `Decode` kills the process (SIGFPE) on a JPEG cut in its header and
takes other damage for grey; `Resize` does not filter when it shrinks; random operators share one
seed, so that the flip follows from the crop's offset, and what they draw depends on the number of
workers. Here each image draws from (seed, its number) alone, and what mixes a batch from (seed, the
batch's number).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from archspec.errors import DataError
from archspec.train.data.batches.loading_threads import LoaderTimes, count_processors, fill_batches
from archspec.train.data.batches.samples import NO_LABEL, Batch, Samples, Skipped
from archspec.train.data.batches.sampling import draw_for_batch
from archspec.train.data.images.mixing import mix_batch
from archspec.train.data.images.preprocess import Preprocess
from archspec.train.data.sources.source import Source, raise_faults

__all__ = ["NO_LABEL", "Batch", "LoaderTimes", "Skipped", "load_batches"]


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
    times: LoaderTimes | None = None,
) -> Iterator[Batch]:
    """Return an epoch: pairs of images (N, C, H, W) float32 and labels (N,) int32,
    in the order of `indices`, which are samples (sampling.py).

    Where images have several labels, or training mixes batches, targets (N, classes) float32 stand
    for the labels; where there are masks, label maps (N, H, W) int32, -1 for ignored pixels.
    Training drops the remainder. Evaluation fills the last batch with zero images of label -1, so
    that every batch has one shape. The same seed gives the same batches, bit for bit, whatever
    `workers` is and whatever ran before; give each epoch its own (`epoch_seed`). An epoch that
    begins at `first_batch` has the batches that the whole one has from there. `times` is told how
    long images take.

    Images that cannot be read are faults, or with `skipped` are put there: training has others in
    their places, which the seed draws, or pixels without a class; evaluation counts them not.

    Raises EnvironmentFault (E009) at once where OpenCV is to prepare images and is not installed.
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
    samples = Samples(source, preprocess, training=training, seed=seed, skipped=skipped)
    threads = max(1, min(workers, count_processors())) if source.files else 1
    batches = fill_batches(samples, left, batch_size, threads, times or LoaderTimes())
    batches = _raise_faults(batches, samples)
    if not training:
        return batches
    return _finish_training(batches, samples, left, batch_size, first_batch)


def _raise_faults(batches: Iterator[Batch], samples: Samples) -> Iterator[Batch]:
    """Raise those that were found so far rather than hand on a batch."""
    for batch in batches:
        raise_faults(samples.faults)
        yield batch


def _finish_training(
    batches: Iterator[Batch],
    samples: Samples,
    order: npt.NDArray[np.int64],
    batch_size: int,
    first_batch: int,
) -> Iterator[Batch]:
    """Mix the batches; drop the remainder, whose faults are told all the same."""
    mixing = samples.preprocess.mixing
    for number, (images, labels) in enumerate(batches):
        first = number * batch_size
        if first + batch_size > len(order):
            return
        if mixing is None:
            yield images, labels
            continue
        rng = draw_for_batch(samples.seed, first_batch + number, int(order[first]))
        yield mix_batch(images, labels, mixing, rng)
