"""Batches of one epoch through mindspore.dataset: decode, fit or augment, normalise, batch.

Pillow decodes, resizes and augments inside the pipeline, since MindSpore 2.10's own operators
cannot serve: `Decode` kills the process (SIGFPE) on a JPEG cut in its header and takes other damage
for grey; `Resize` does not filter when it shrinks; random operators share one seed, so that the
flip follows from the crop's offset, and what they draw depends on the number of workers. Here each
image draws from (seed, its number) alone.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageEnhance

from archspec.errors import DataError, Diagnostic
from archspec.runtime import prepare
from archspec.train.data.source import Source, raise_faults

Batch = tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]
Pixels = npt.NDArray[np.uint8]
NO_LABEL = -1  # of the zero images that fill the last batch of an evaluation
# Of a random crop: its share of the area, width to height, and tries, as in torchvision and MindCV.
SCALE = (0.08, 1.0)
RATIO = (3 / 4, 4 / 3)
CROP_TRIES = 10
MOST_DEGREES = 15.0
MOST_MOVED = 1 / 10  # of the image's size
BILINEAR = Image.Resampling.BILINEAR


@dataclass(frozen=True)
class Preprocess:
    """What becomes of an image: size (height, width), channels, mean and std
    (in 0..255), augmentation.

    Evaluation resizes the shorter side to size / `crop_pct` and cuts the centre; None resizes to
    the size. Training does the same and then `augment`, but `random_resized_crop` (arXiv:1409.4842)
    does it all. Raises DataError (D010) where the numbers of channels
    differ or a value is out of range.
    """

    image_size: tuple[int, int]
    channels: int  # 1 or 3
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop_pct: float | None = None
    augment: Literal["none", "pad_crop_flip", "affine", "random_resized_crop"] = "none"
    color_jitter: float = 0.0

    def __post_init__(self) -> None:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != self.channels:
                raise DataError.one(
                    "D010", f"{name} has {len(values)} values for {self.channels} channels"
                )
        if min(self.std) <= 0:
            raise DataError.one("D010", f"std (={self.std}) must be above 0")
        if self.crop_pct is not None and not 0 < self.crop_pct <= 1:
            raise DataError.one("D010", f"crop_pct (={self.crop_pct}) must be in (0, 1]")


def load_batches(
    source: Source,
    *,
    indices: npt.NDArray[np.int64],
    preprocess: Preprocess,
    training: bool,
    batch_size: int,
    seed: int,
    workers: int = 1,
) -> Iterator[Batch]:
    """Return an epoch: pairs of images (N, C, H, W) float32 and labels (N,) int32,
    in the order of `indices`.

    Training drops the remainder. Evaluation fills the last batch with zero images of label -1, so
    that every batch has one shape. The same seed gives the same batches, bit for bit, whatever
    `workers` is and whatever ran before; give each epoch its own (`epoch_seed`).

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
    if not len(indices):
        return iter(())
    rows = _Rows(source, indices, preprocess, training, seed)
    # MindSpore refuses more workers than the machine has cores.
    return _run_pipeline(rows, batch_size, max(1, min(workers, os.cpu_count() or 1)))


def epoch_indices(
    length: int, *, seed: int, epoch: int, rank: int = 0, world: int = 1
) -> npt.NDArray[np.int64]:
    """Return this rank's share of a permutation that (seed, epoch) decides;
    shares are disjoint and equal.

    Up to `world` - 1 images are left out, other ones in each epoch,
    so that no rank waits for another.
    """
    # Every rank draws the same order and takes its own part: nothing needs to be sent.
    order = np.random.default_rng((seed, epoch)).permutation(length)
    return order[: length - length % world][rank::world]


def held_out_indices(length: int, rank: int = 0, world: int = 1) -> npt.NDArray[np.int64]:
    """Return this rank's share in order; all shares together hold every image exactly once."""
    return np.arange(rank, length, world)


def epoch_seed(seed: int, epoch: int) -> int:
    """Return the seed of an epoch's augmentation; near seeds and epochs give unrelated ones."""
    return int(np.random.SeedSequence((seed, epoch)).generate_state(1)[0])


class _Rows:
    """The random-access source of the pipeline;
    keeps the faults of images, for which it gives zeros.

    A fault raised inside would reach the user as MindSpore's RuntimeError,
    wrapped in its own traceback.
    """

    def __init__(
        self,
        source: Source,
        indices: npt.NDArray[np.int64],
        preprocess: Preprocess,
        training: bool,
        seed: int,
    ) -> None:
        self.source = source
        self.indices = indices
        self.preprocess = preprocess
        self.seed = seed
        self.training = training
        self.faults: list[Diagnostic] = []

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, position: int) -> tuple[Any, np.int32]:
        index = self.indices[position]
        # One thread runs this. Decoding is worth several, which .map has; they slow small arrays
        # down.
        first = np.int64(index) if self.source.files else self.pixels(index)
        return first, np.int32(self.source.labels[index])

    def pixels(self, number: Any) -> Pixels:
        """Return one image, (H, W, C) uint8, ready but for normalisation."""
        index = int(number)
        try:
            image = self.source.image(index, self.preprocess.channels)
        except DataError as error:
            self.faults.extend(error.diagnostics)
            return np.zeros((*self.preprocess.image_size, self.preprocess.channels), np.uint8)
        image = self._augment(image, index) if self.training else fit_image(image, self.preprocess)
        pixels = np.asarray(image)
        return pixels[:, :, None] if pixels.ndim == 2 else pixels

    def _augment(self, image: Image.Image, index: int) -> Image.Image:
        rng = np.random.default_rng((self.seed, index))
        image = AUGMENTS[self.preprocess.augment](image, self.preprocess, rng)
        strength = self.preprocess.color_jitter
        return _jitter(image, strength, rng) if strength else image


def _run_pipeline(rows: _Rows, batch_size: int, workers: int) -> Iterator[Batch]:
    prepare()
    from mindspore import dataset
    from mindspore.dataset import vision

    mean, std = list(rows.preprocess.mean), list(rows.preprocess.std)
    normalise = [vision.Normalize(mean, std), vision.HWC2CHW()]
    decode = [rows.pixels] if rows.source.files else []
    pipeline = dataset.GeneratorDataset(
        rows, ["image", "label"], shuffle=False, num_parallel_workers=1
    )
    pipeline = pipeline.map([*decode, *normalise], ["image"], num_parallel_workers=workers)
    pipeline = pipeline.batch(batch_size, drop_remainder=rows.training, num_parallel_workers=1)
    for images, labels in pipeline.create_tuple_iterator(num_epochs=1, output_numpy=True):
        raise_faults(rows.faults)
        yield _fill(images, batch_size, 0.0), _fill(labels, batch_size, NO_LABEL)
    raise_faults(rows.faults)  # of the remainder, which may have been read already or not


def _fill(values: npt.NDArray[Any], length: int, value: float) -> npt.NDArray[Any]:
    missing = [(0, length - len(values))] + [(0, 0)] * (values.ndim - 1)
    return np.pad(values, missing, constant_values=value) if len(values) < length else values


# ---- geometry and augmentation of one image


def fit_image(image: Image.Image, preprocess: Preprocess) -> Image.Image:
    """Return the image as evaluation sees it: Resize and CenterCrop in one step,
    filtered when it shrinks.
    """
    height, width = preprocess.image_size
    if preprocess.crop_pct is None:
        return image if image.size == (width, height) else image.resize((width, height), BILINEAR)
    shorter = int(max(height, width) / preprocess.crop_pct)
    # torchvision's rounding, also below.
    whole = [shorter * side // min(image.size) for side in image.size]
    steps = image.width / whole[0], image.height / whole[1]
    left, top = round((whole[0] - width) / 2) * steps[0], round((whole[1] - height) / 2) * steps[1]
    right, bottom = left + width * steps[0], top + height * steps[1]
    box = (left, top, min(right, image.width), min(bottom, image.height))
    return image.resize((width, height), BILINEAR, box)


def _change_nothing(
    image: Image.Image, preprocess: Preprocess, _: np.random.Generator
) -> Image.Image:
    return fit_image(image, preprocess)


def _crop_and_resize(
    image: Image.Image, preprocess: Preprocess, rng: np.random.Generator
) -> Image.Image:
    height, width = preprocess.image_size
    return _flip_at_random(
        image.resize((width, height), BILINEAR, _draw_crop_box(image.size, rng)), rng
    )


def _draw_crop_box(
    size: tuple[int, int], rng: np.random.Generator
) -> tuple[float, float, float, float]:
    """Return a box of random area and shape; where none of ten fits, the largest in the middle."""
    whole = np.array(size, float)
    area = whole.prod() * rng.uniform(SCALE[0], SCALE[1], CROP_TRIES)
    ratio = np.exp(rng.uniform(math.log(RATIO[0]), math.log(RATIO[1]), CROP_TRIES))
    sides = np.sqrt(np.stack([area * ratio, area / ratio], axis=1))
    fitting = sides[(sides <= whole).all(axis=1)]
    if len(fitting):
        corner = rng.random(2) * (whole - fitting[0])
        return _clip_box(corner, corner + fitting[0], whole)
    longest = np.minimum(whole, whole[::-1] * RATIO[1])
    return _clip_box((whole - longest) / 2, (whole + longest) / 2, whole)


def _clip_box(
    corner: npt.NDArray[np.float64],
    opposite: npt.NDArray[np.float64],
    whole: npt.NDArray[np.float64],
) -> tuple[float, float, float, float]:
    # Pillow refuses a box that rounding puts beyond the edge.
    right, bottom = np.minimum(opposite, whole)
    return float(corner[0]), float(corner[1]), float(right), float(bottom)


def _pad_crop_flip(
    image: Image.Image, preprocess: Preprocess, rng: np.random.Generator
) -> Image.Image:
    return _flip_at_random(_shift_at_random(fit_image(image, preprocess), 4, rng), rng)


def _turn_and_move(
    image: Image.Image, preprocess: Preprocess, rng: np.random.Generator
) -> Image.Image:
    """Turn and move the image a little, black where nothing was:
    for drawn characters, which have a right side.
    """
    image = fit_image(image, preprocess)
    angle = rng.uniform(-MOST_DEGREES, MOST_DEGREES)
    moved = rng.uniform(-MOST_MOVED, MOST_MOVED, 2) * image.size
    # Pillow's rotate moves by whole pixels only, which is much of an 8 x 8 digit.
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    middle = np.array(image.size) / 2
    x, y = middle - np.array([[cos, sin], [-sin, cos]]) @ (middle + moved)
    return image.transform(
        image.size, Image.Transform.AFFINE, (cos, sin, x, -sin, cos, y), BILINEAR
    )


def _shift_at_random(image: Image.Image, most: int, rng: np.random.Generator) -> Image.Image:
    """Return the image moved by up to `most` pixels each way, black where nothing was."""
    left, top = (int(offset) for offset in rng.integers(-most, most + 1, 2))
    return image.crop((left, top, left + image.width, top + image.height))


def _flip_at_random(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else image


def _jitter(image: Image.Image, strength: float, rng: np.random.Generator) -> Image.Image:
    """In random order, as MindSpore's RandomColorAdjust and torchvision's ColorJitter do it."""
    enhancers = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
    for number in rng.permutation(len(enhancers)):
        image = enhancers[number](image).enhance(rng.uniform(max(0.0, 1 - strength), 1 + strength))
    return image


AUGMENTS: dict[str, Callable[[Image.Image, Preprocess, np.random.Generator], Image.Image]] = {
    "none": _change_nothing,
    "pad_crop_flip": _pad_crop_flip,
    "affine": _turn_and_move,
    "random_resized_crop": _crop_and_resize,
}
