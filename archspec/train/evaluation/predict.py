"""What a trained network says of images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from typing_extensions import Unpack

from archspec.errors import DataError, Diagnostic, TrainingError
from archspec.train.data.image_files import find_broken
from archspec.train.data.source import Source, raise_faults
from archspec.train.evaluation.accuracy import check_finite
from archspec.train.evaluation.class_evaluation import share_out
from archspec.train.evaluation.evaluate import Show, name_classes
from archspec.train.evaluation.trained import HowToOpen, Trained, opened
from archspec.train.run.run_directory import Run

LeaveOut = Callable[[int, Diagnostic], None]
Values = npt.NDArray[np.float64]
Guesses = list[tuple[str, float]]
"""Classes with their probabilities, the likeliest first."""


def predict(
    target: Trained | Run | Path | str,
    images: Sequence[Path | str] | Path | str,
    *,
    top: int = 5,
    batch_size: int = 32,
    leave_out: LeaveOut | None = None,
    show: Show | None = None,
    **how: Unpack[HowToOpen],
) -> list[Guesses]:
    """Return for each image file its likeliest classes with their probabilities, which of a network
    trained with the loss `bce` are each class's own, and else add up to 1 over all classes.

    Args:
        target: a run, a checkpoint in one, or with `ckpt` a spec; see `open_trained`.
        images: files, or one; `find_images` finds those of folders and patterns.
        top: how many classes; fewer where the network has no more.
        batch_size: images per step.
        leave_out: is called with the number of an image that cannot be read, and why; it has no
            guesses then. Where absent, such an image is an error.
        show: is called after each step with the number of images that are done, and of all.
        how: other arguments of `open_trained`, such as `ckpt` and `ema`.

    Raises:
        DataError: every file that is no image.
        TrainingError: T014, the network tells classes of pixels.
        ArchspecError: see `open_trained` and `Trained.network`.
    """
    trained = opened(target, how)
    if trained.tells_pixels:
        rule = "tells a class for each pixel, not for the image; predict_masks writes masks"
        raise TrainingError.one("T014", rule, str(trained.checkpoint))
    files = [Path(images)] if isinstance(images, str | Path) else list(map(Path, images))
    broken = find_broken(files)  # before the network is made
    if leave_out is None:
        raise_faults([fault for _, fault in broken])
    else:
        for number, fault in broken:
            leave_out(number, fault)
    left_out = {number for number, _ in broken}
    asked = [number for number in range(len(files)) if number not in left_out]
    found: list[Guesses] = [[] for _ in files]
    network = trained.network() if asked else None
    while asked:
        done, part = 0, [files[number] for number in asked]
        try:
            for guesses in _ask(trained, network, part, batch_size, top):
                found[asked[done]] = guesses
                done += 1
                if show is not None:
                    show(len(files) - len(asked) + done, len(files))
            asked = []
        except DataError as error:
            # Damage that only decoding meets; what was asked before it is kept.
            asked = _leave_out(error, files, asked[done:], leave_out)
    return found


def _leave_out(
    error: DataError, files: Sequence[Path], asked: Sequence[int], leave_out: LeaveOut | None
) -> list[int]:
    """Return the images but for those that an error names."""
    faults = {fault.where: fault for fault in error.diagnostics}
    kept = [number for number in asked if str(files[number]) not in faults]
    if leave_out is None or len(kept) == len(asked):
        raise error
    for number in asked:
        fault = faults.get(str(files[number]))
        if fault is not None:
            leave_out(number, fault)
    return kept


def _ask(
    trained: Trained, network: Any, files: Sequence[Path], batch_size: int, top: int
) -> Iterator[Guesses]:
    from mindspore import Tensor

    names = name_classes(trained.classes, trained.spec.head.num_classes)
    labels = np.zeros(len(files), np.int32)
    source = Source("images", names, labels, files=tuple(files))
    left = len(files)
    # What `bce` trains: an image may have several of the classes.
    are_independent = trained.recipe.loss.kind == "bce"
    for batch, _ in trained.batches(source, min(batch_size, left)):
        # The last batch is filled up with images that nobody asked of.
        logits = check_finite(network(Tensor(batch)).asnumpy()[:left])
        left -= len(logits)
        shares = tell_probabilities(logits, are_independent=are_independent)
        for best in top_guesses(shares, top):
            yield [(names[index], share) for index, share in best]


def tell_probabilities(logits: npt.NDArray[np.float32], *, are_independent: bool) -> Values:
    """Return probabilities (N, classes): of one class among all, or of each class for itself."""
    if not are_independent:
        return share_out(logits)
    # exp of a large number would overflow; both ends are exact.
    shares: Values = 0.5 * (1 + np.tanh(0.5 * logits.astype(np.float64)))
    return shares


def top_guesses(shares: Values, count: int) -> list[list[tuple[int, float]]]:
    """Return for each row of probabilities (N, classes) the likeliest classes, best first."""
    order = np.argsort(-shares, axis=1, kind="stable")[:, :count]
    guesses = []
    for row, best in zip(shares, order, strict=True):
        guesses.append([(int(index), float(row[index])) for index in best])
    return guesses
