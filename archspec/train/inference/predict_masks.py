"""The class that a network tells at each pixel of an image, written as a mask."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, PngImagePlugin
from typing_extensions import Unpack

from archspec.errors import DataError, Diagnostic
from archspec.files import write_atomic
from archspec.train.data.images.image_files import read_image, with_image
from archspec.train.data.sources.mask_classes import check_fit_masks
from archspec.train.data.sources.mask_values import MaskValues
from archspec.train.inference.open_trained import HowToOpen, opened
from archspec.train.inference.predict import Guesses, LeaveOut, ask, find_asked
from archspec.train.run.run_directory import Run
from archspec.train.trained.judging import Show, name_classes
from archspec.train.trained.trained import Trained

Labels = npt.NDArray[np.uint8]  # (H, W)
SIGNED = {"Software": "densenet predict"}
"""A text in each mask that is written here: such a one is replaced, and no other file."""


def predict_masks(
    target: Trained | Run | Path | str,
    images: Sequence[Path | str],
    folder: Path | str,
    *,
    top: int = 5,
    batch_size: int = 32,
    leave_out: LeaveOut | None = None,
    strict: bool = False,
    show: Show | None = None,
    **how: Unpack[HowToOpen],
) -> list[Guesses]:
    """Write a mask for each image, `NAME.png` in a folder, of the size of the image; return the
    classes that cover most of each, with their shares of its pixels.

    A mask is a palette PNG of the values that the masks of training have: numbers of classes, or
    those of `data.mask_values`. The image is resized to the network's input, and what is told of
    it back.

    Args:
        target: a run, a checkpoint in one, or with `ckpt` a spec; see `open_trained`.
        images: files.
        folder: is made where it does not exist.
        top: how many classes are returned.
        batch_size: images per step.
        leave_out: see `predict`.
        strict: see `predict`.
        show: is called after each step with the number of images that are done, and of all.
        how: other arguments of `open_trained`, such as `ckpt` and `ema`.

    Raises:
        DataError: D001, D005, every file that is no image; D015, two of one name, or one that its
            mask would be written over; W002, a file in the place of a mask that is none of these,
            such as a mask that was drawn by hand; D001, the folder cannot be written.
        TrainingError: T014, more classes than a mask has values.
        ArchspecError: see `open_trained` and `Trained.judge`.
    """
    trained, files, folder = opened(target, how), list(map(Path, images)), Path(folder)
    check_fit_masks(trained.spec)
    in_the_way = [*_find_namesakes(files, folder), *_find_strangers(files, folder)]
    asked = find_asked(files, leave_out, strict=strict, faults=in_the_way)
    names = name_classes(trained.classes, trained.spec.head.num_classes)
    values = MaskValues.of_recipe(trained.recipe.data, len(names))
    found: list[Guesses] = [[] for _ in files]
    answers = ask(_of_whole_images(trained), files, asked, batch_size, leave_out)
    with _explain_failures(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for done, (number, row) in enumerate(answers, start=len(files) - len(asked) + 1):
            if row is not None:
                (logits,) = row
                size = read_image(files[number], trained.spec.input.channels).size
                labels = _classes_at(logits, size)
                _save(values.decode(labels), folder / f"{files[number].stem}.png")
                found[number] = _measure_shares(labels, names, top)
            if show is not None:
                show(done, len(files))
    return found


@contextmanager
def _explain_failures(folder: Path) -> Iterator[None]:
    """Raise DataError (D001) where a folder, or a file in it, cannot be written."""
    try:
        yield
    except OSError as error:
        message = f"cannot be written: {error.strerror}"
        raise DataError.one("D001", message, str(error.filename or folder)) from None


def _find_namesakes(files: Sequence[Path], folder: Path) -> Iterator[Diagnostic]:
    """Images whose masks would be one file, or be written over one of the images."""
    first: dict[str, Path] = {}
    places = {file.resolve() for file in files}
    for file in files:
        other = first.setdefault(file.stem, file)
        if other is not file:
            rule = f"has the name of {other}: their masks would be one file"
            yield Diagnostic("D015", rule, str(file), "ask for them one after the other")
        elif (folder / f"{file.stem}.png").resolve() in places:
            rule = f"{folder} holds images that masks would be written over"
            yield Diagnostic("D015", rule, str(file), "another folder for the masks")


def _find_strangers(files: Sequence[Path], folder: Path) -> Iterator[Diagnostic]:
    """What lies where a mask is to be, and is not one that was predicted: mostly the mask by which
    the network was taught.
    """
    for file in dict.fromkeys(folder / f"{file.stem}.png" for file in files):
        if os.path.lexists(file) and not _is_predicted(file):
            rule = "exists, and is no mask that predict has written"
            yield Diagnostic("W002", rule, str(file), "another folder for the masks")


def _is_predicted(file: Path) -> bool:
    with suppress(DataError):
        found: dict[str, Any] = with_image(file, lambda image, _: image.info)
        return found.items() >= SIGNED.items()
    return False


def _of_whole_images(trained: Trained) -> Trained:
    """All of an image is told, whatever part of it is judged by."""
    recipe = trained.recipe
    whole = recipe.model_copy(update={"data": recipe.data.model_copy(update={"crop_pct": None})})
    return replace(trained, recipe=whole)


def _classes_at(logits: npt.NDArray[np.float32], size: tuple[int, int]) -> Labels:
    """The likeliest class of each pixel of an image (width, height), from logits (C, H, W) of
    another size: these are interpolated between, classes cannot be.
    """
    if logits.shape[:0:-1] != size:
        enlarged: list[Any] = []
        for layer in logits:
            enlarged.append(Image.fromarray(layer).resize(size, Image.Resampling.BILINEAR))
        logits = np.stack([np.asarray(layer) for layer in enlarged])
    labels: Labels = logits.argmax(axis=0).astype(np.uint8)
    return labels


def _measure_shares(labels: Labels, names: Sequence[str], top: int) -> Guesses:
    shares = np.bincount(labels.ravel(), minlength=len(names)) / labels.size
    order = np.argsort(-shares, kind="stable")[:top]
    return [(names[number], float(shares[number])) for number in order]


def _save(labels: Labels, file: Path) -> None:
    image = Image.fromarray(labels)
    image.putpalette(_make_palette())
    words = PngImagePlugin.PngInfo()
    for key, value in SIGNED.items():
        words.add_text(key, value)
    written = io.BytesIO()
    image.save(written, "PNG", pnginfo=words)
    write_atomic(file, written.getvalue())


def _make_palette() -> list[int]:
    """Colours that are told apart: the bits of a number, spread over red, green and blue, as the
    masks of Pascal VOC have them.
    """
    colours = []
    for number in range(256):
        for channel in range(3):
            bits = [number >> (3 * place + channel) & 1 for place in range(8)]
            colours.append(sum(bit << (7 - place) for place, bit in enumerate(bits)))
    return colours
