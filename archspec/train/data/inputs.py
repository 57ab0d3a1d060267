"""What a run learns from: its data set, split as its recipe says,
and how an image enters the network.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from archspec.errors import DataError, Diagnostic, TrainingError
from archspec.spec.spec import Spec
from archspec.train.data.batches.batches import Batch, LoaderTimes, Skipped, load_batches
from archspec.train.data.batches.sampling import epoch_indices, epoch_seed
from archspec.train.data.datasets import open_data
from archspec.train.data.images.mixing import Mixing
from archspec.train.data.images.preprocess import Preprocess
from archspec.train.data.kinds import MASKS
from archspec.train.data.sources.class_names import (
    describe_differences,
    name_classes,
    name_source,
    read_class_list,
)
from archspec.train.data.sources.data_parts import DataSet, Splits
from archspec.train.data.sources.mask_classes import label_data
from archspec.train.data.sources.source import OnError, Source
from archspec.train.recipe.data import DataRecipe
from archspec.train.recipe.recipe import Recipe
from archspec.train.run.run_directory import Run

COLOURS = 3
DIGITS_UP_TO = 32
"""Pixels of the largest image that the embedded digits, of 8 x 8, are enlarged to."""


def check_stand_in(spec: Spec, *, grey: bool = False) -> None:
    """Raise DataError (D001) where the embedded digits cannot stand in for a data set.

    Nobody means them who asks for a large network, nor who judges (`grey`) one that was trained on
    colours.
    """
    size = spec.input
    faults = []
    if grey and size.channels != 1:
        faults.append(f"are grey, {spec.name} reads {size.channels} channels")
    if max(size.height, size.width) > DIGITS_UP_TO:
        faults.append(f"have 8 x 8 pixels, {spec.name} reads {size.height} x {size.width}")
    if faults:
        cure = "--data-dir DIR: an image folder, CIFAR-10/100 (binary) or MNIST (idx)"
        message = f"--data-dir is missing: the embedded digits {' and '.join(faults)}"
        raise DataError.one("D001", message, hint=cure)


def can_stand_in(spec: Spec, *, grey: bool = False) -> bool:
    """Return whether the embedded digits can stand in for a data set; see `check_stand_in`."""
    try:
        check_stand_in(spec, grey=grey)
    except DataError:
        return False
    return True


def make_preprocess(spec: Spec, recipe: Recipe) -> Preprocess:
    """Return what happens to an image on its way into the network.

    Raises:
        TrainingError: T008, the network reads neither grey nor colour images.
        DataError: D010, mean or std are neither one value nor three.
    """
    channels, data = spec.input.channels, recipe.data
    if channels != 1 and channels != 3:
        place = spec.place(("input", "channels"))
        raise TrainingError.one(
            "T008", f"input.channels (={channels}) must be 1 or 3: images are grey or colour", place
        )
    _check_values(recipe)
    return Preprocess(
        image_size=(spec.input.height, spec.input.width),
        channels=channels,
        mean=_per_channel(data.mean, channels),
        std=_per_channel(data.std, channels),
        crop_pct=data.crop_pct,
        augment=data.augment,
        color_jitter=data.color_jitter,
        interpolation=data.interpolation,
        resize=data.resize,
        image_backend=data.image_backend,
        scale=data.scale,
        ratio=data.ratio,
        hflip=data.hflip,
        vflip=data.vflip,
        auto_augment=data.auto_augment,
        random_erasing=data.random_erasing,
        mixing=_make_mixing(spec, data),
        white_level=data.white_level,
        classes=spec.head.num_classes,
    )


def _make_mixing(spec: Spec, data: DataRecipe) -> Mixing | None:
    # The targets are as wide as the logits, of which there may be more than classes in the data.
    classes = spec.head.num_classes
    mixed = Mixing(data.mixup, data.cutmix, data.mix_probability, classes)
    return mixed if data.is_mixed else None


def _check_values(recipe: Recipe) -> None:
    faults = []
    for name, values in (("mean", recipe.data.mean), ("std", recipe.data.std)):
        if len(values) not in (1, COLOURS):
            rule = "must have one value, or three for red, green and blue"
            message = f"data.{name} (={list(values)}) {rule}"
            cure = f"data.{name}: [{values[0]:g}], or with three values"
            faults.append(Diagnostic("D010", message, recipe.place(("data", name)), cure))
    if faults:
        raise DataError(faults)


def _per_channel(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """One value serves every channel; grey takes the mean of a colour recipe's."""
    return values if len(values) == channels else (sum(values) / len(values),) * channels


def open_splits(run: Run, *, check: bool = True, on_error: OnError | None = None) -> Splits:
    """Return the run's data set, split as the run splits it; `check` and `on_error` are
    `open_data`'s, the latter the run's own where it is not said.

    Raises DataError (D001 where it lies there no more).
    """
    data_dir = run.settings.data_dir
    if data_dir is not None and not os.path.exists(data_dir):
        cure = "put it back, or say where it lies now: --data-dir DIR"
        raise DataError.one("D001", "does not exist; the run's data set was there", data_dir, cure)
    folder = Path(data_dir) if data_dir else None
    known = run.settings.classes
    on_error = on_error or run.recipe.data.on_error
    data = open_data(folder, check=check, on_error=on_error, known=known)
    return split_by_recipe(run.recipe, data, known)


def split_by_recipe(recipe: Recipe, data: DataSet, classes: Sequence[str] = ()) -> Splits:
    """Return a data set, split as the recipe says, and of its training images as many as that says.

    Its classes have the names that the recipe's `data.class_names` says; those of masks alone are
    told by `data.classes`, by `classes`, those of the run that the data are of, or by the masks.
    Raises DataError (D008; D001, D012 of the names; those of `label_data`).
    """
    names = find_names_file(recipe)
    if data.kind == MASKS:
        data = label_data(data, recipe.data, classes)
    elif names is not None:
        data = name_classes(data, read_class_list(names))
    count = recipe.data.samples
    splits = data.split(val_fraction=recipe.data.val_fraction, seed=recipe.seed, samples=count)
    images = len((splits.listed or splits).train)
    if count is not None and count > images:
        message = f"data.samples (={count}) must be at most the {images} training images"
        message += f" of {splits.train.name}"
        raise DataError.one("D008", message, recipe.place(("data", "samples")))
    return splits


def find_names_file(recipe: Recipe) -> Path | None:
    """Return the file of class names of a recipe: one that was written there counts from the
    recipe's folder.
    """
    name = recipe.data.class_names
    if name is None:
        return None
    place = recipe.written()[("data", "class_names")]
    if place.origin != "file":
        return Path(name)
    return Path(place.source).parent / name


def name_by_recipe(recipe: Recipe, source: Source) -> Source:
    """Return images whose classes have the names that the recipe says; see `split_by_recipe`."""
    names = find_names_file(recipe)
    return source if names is None or source.masks else name_source(source, read_class_list(names))


def list_samples(
    recipe: Recipe, source: Source, *, epoch: int, rank: int = 0, world: int = 1
) -> npt.NDArray[np.int64]:
    """Return a device's samples of an epoch of training in order (see `sampling`)."""
    return epoch_indices(
        len(source),
        seed=recipe.seed,
        epoch=epoch,
        rank=rank,
        world=world,
        repeats=recipe.data.repeats,
        shuffle=recipe.data.shuffle,
    )


def load_epoch(
    spec: Spec,
    recipe: Recipe,
    source: Source,
    *,
    epoch: int,
    rank: int = 0,
    world: int = 1,
    first_batch: int = 0,
    skipped: Skipped | None = None,
    times: LoaderTimes | None = None,
) -> Iterator[Batch]:
    """Return a device's batches of an epoch of training, from `first_batch` on; `times` is told how
    long images take.

    Raises DataError; see `load_batches` and `make_preprocess`.
    """
    samples = list_samples(recipe, source, epoch=epoch, rank=rank, world=world)
    if recipe.accumulate > 1:
        # Batches that fill no update are left out, as images are that fill no batch.
        samples = samples[: len(samples) - len(samples) % (recipe.batch_size * recipe.accumulate)]
    return load_batches(
        source,
        indices=samples,
        preprocess=make_preprocess(spec, recipe),
        training=True,
        batch_size=recipe.batch_size,
        seed=epoch_seed(recipe.seed, epoch),
        workers=recipe.data.workers,
        first_batch=first_batch,
        skipped=skipped,
        times=times,
    )


def read_data_digest(run: Run) -> str | None:
    """Return the digest of the data set that the run was last trained on,
    None where no run has begun.
    """
    try:
        lines = run.metrics.read_text("utf-8").splitlines()
        starts = [json.loads(line) for line in lines if '"event": "start"' in line]
        return str(starts[-1]["data_digest"]) if starts else None
    except (OSError, ValueError, KeyError):
        return None


def find_data_change(run: Run, splits: Splits) -> str:
    """Return in words how a data set differs from the one that the run was last trained on,
    "" where it does not.
    """
    known = read_data_digest(run)
    return "" if known is None else splits.find_change(known)


def check_classes(source: Source, classes: tuple[str, ...]) -> None:
    """Raise DataError (D009) where the images' classes are not those
    that the network was made for.
    """
    if source.classes == classes:
        return
    raise DataError.one("D009", describe_differences(source.classes, classes), source.name)
