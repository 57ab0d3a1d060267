"""What a trained network says of images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from typing_extensions import Unpack

from archspec.errors import Diagnostic, TrainingError
from archspec.train.data.batches.batches import NO_LABEL, Batch, Skipped
from archspec.train.data.images.image_files import find_broken
from archspec.train.data.sources.source import Source, raise_faults
from archspec.train.evaluation.accuracy import check_finite
from archspec.train.evaluation.class_evaluation import tell_probabilities
from archspec.train.inference.open_trained import HowToOpen, opened
from archspec.train.run.run_directory import Run
from archspec.train.trained.judging import Show, name_classes
from archspec.train.trained.trained import Trained

LeaveOut = Callable[[int, Diagnostic], None]
Values = npt.NDArray[np.float64]
Guesses = list[tuple[str, float]]
"""Classes with their probabilities, the likeliest first."""
Row = tuple[npt.NDArray[np.float32], ...]
"""What a network gives for one image: (classes,) or (classes, H, W), behind feature maps where they
are asked for."""


def predict(
    target: Trained | Run | Path | str,
    images: Sequence[Path | str] | Path | str,
    *,
    top: int = 5,
    batch_size: int = 32,
    leave_out: LeaveOut | None = None,
    strict: bool = False,
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
        strict: an image whose ends tell that it is not whole is an error all the same, before
            anything is computed; damage that only decoding finds is left out.
        show: is called after each step with the number of images that are done, and of all.
        how: other arguments of `open_trained`, such as `ckpt` and `ema`.

    Raises:
        DataError: every file that is no image.
        TrainingError: T014, the network tells classes of pixels.
        ArchspecError: see `open_trained` and `Trained.judge`.
    """
    trained = opened(target, how)
    if trained.tells_pixels:
        rule = "tells a class for each pixel, not for the image; predict_masks writes masks"
        raise TrainingError.one("T014", rule, str(trained.checkpoint))
    files = [Path(images)] if isinstance(images, str | Path) else list(map(Path, images))
    asked = find_asked(files, leave_out, strict=strict)
    names = name_classes(trained.classes, trained.spec.head.num_classes)
    # What `bce` trains: an image may have several of the classes.
    are_independent = trained.recipe.loss.kind == "bce"
    found: list[Guesses] = [[] for _ in files]
    answers = ask(trained, files, asked, batch_size, leave_out)
    for done, (number, row) in enumerate(answers, start=len(files) - len(asked) + 1):
        if row is not None:
            (logits,) = row
            shares = tell_probabilities(logits[None], are_independent=are_independent)
            found[number] = [(names[index], share) for index, share in top_guesses(shares, top)[0]]
        if show is not None:
            show(done, len(files))
    return found


def find_asked(
    files: Sequence[Path],
    leave_out: LeaveOut | None,
    *,
    strict: bool,
    faults: Iterable[Diagnostic] = (),
) -> list[int]:
    """Return the numbers of the images that can be read, as far as their ends tell.

    Raises:
        DataError: the faults that are known already, and every file that is no image where such
            are not left out, or `strict` says so.
    """
    broken = dict(find_broken(files))
    is_refused = strict or leave_out is None
    raise_faults([*faults, *(broken.values() if is_refused else ())])
    for number, fault in broken.items():
        if leave_out is not None:
            leave_out(number, fault)
    return [number for number in range(len(files)) if number not in broken]


def ask(
    trained: Trained,
    files: Sequence[Path],
    asked: Sequence[int],
    batch_size: int,
    leave_out: LeaveOut | None,
    *,
    has_features: bool = False,
) -> Iterator[tuple[int, Row | None]]:
    """Yield the number of each image that is asked of, and what the network gives for it: None
    where only decoding finds that it is broken, and it is left out. With `has_features` it is all
    that the network gives, else the logits alone.

    Raises:
        DataError: D005, such an image where none are left out.
        ArchspecError: see `Trained.judge`; T006, the network gives what is no number.
    """
    if not asked:
        return
    labels = np.zeros(len(asked), np.int32)
    source = Source("images", (), labels, files=tuple(files[number] for number in asked))
    skipped: Skipped | None = None if leave_out is None else {}
    network = trained.folded() if has_features else trained.judge()
    batches = trained.batches(source, min(batch_size, len(asked)), skipped=skipped)
    answers = _answer_each(network, batches, len(asked))
    for done, (mark, row) in enumerate(answers):
        if mark == NO_LABEL and leave_out is not None and skipped is not None:
            leave_out(asked[done], skipped[done])
        yield asked[done], None if mark == NO_LABEL else row


def _answer_each(network: Any, batches: Iterable[Batch], count: int) -> Iterator[tuple[int, Row]]:
    """The label of each of so many images, and what the network gives for it."""
    from mindspore import Tensor

    for batch, marks in batches:
        # The last batch is filled up with images that nobody asked of.
        given = network(Tensor(batch))
        outputs = given if isinstance(given, tuple) else (given,)
        rows = [check_finite(output.asnumpy()[:count]) for output in outputs]
        yield from zip(marks.tolist(), zip(*rows, strict=True), strict=False)
        count -= len(rows[0])


def top_guesses(shares: Values, count: int) -> list[list[tuple[int, float]]]:
    """Return for each row of probabilities (N, classes) the likeliest classes, best first."""
    order = np.argsort(-shares, axis=1, kind="stable")[:, :count]
    guesses = []
    for row, best in zip(shares, order, strict=True):
        guesses.append([(int(index), float(row[index])) for index in best])
    return guesses
