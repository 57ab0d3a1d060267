"""A trained network is asked of each image of a source, once, and what it says is judged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

from archspec.train.data.batches.batches import Skipped
from archspec.train.data.batches.sampling import held_out_indices
from archspec.train.data.sources.source import Source
from archspec.train.distributed.worker_group import gather_numbers, get_rank, get_world_size
from archspec.train.evaluation.class_evaluation import ClassExamination
from archspec.train.evaluation.evaluation import Evaluation, Mistake
from archspec.train.evaluation.label_evaluation import LabelExamination
from archspec.train.evaluation.measures import Measures, run_measure
from archspec.train.evaluation.pixel_evaluation import PixelExamination
from archspec.train.trained.trained import Trained

Show = Callable[[int, int], None]
"""Is called with how many images are done, and of how many."""
Batch = TypeVar("Batch")

EXAMINATIONS: Measures = {1: ClassExamination, 2: LabelExamination, 3: PixelExamination}
"""By the rank of targets: they tell more than the figures that training needs."""


def judge_images(
    trained: Trained, source: Source, *, batch_size: int = 64, show: Show | None = None
) -> Evaluation:
    """Return what is found out over every image once, with the names of classes and images.

    Under data parallelism each device judges its share, and all return what was found of all.
    Raises ArchspecError: see `Trained.judge`; D..., an image cannot be read; T006, the network
    gives what is no number.
    """
    batch_size = 1 if trained.reads_images else batch_size
    mine = held_out_indices(len(source), get_rank(), get_world_size())
    # As in training: what cannot be read counts for nothing where the recipe says so.
    skipped: Skipped | None = {} if trained.recipe.data.on_error == "skip" else None
    batches: Iterable[Any] = trained.batches(source, min(batch_size, len(source)), mine, skipped)
    if show is not None:
        batches = report_progress(batches, batch_size, len(mine), show)
    measure: Any = run_measure(trained.judge(), batches, EXAMINATIONS)
    found = _name(measure.examine(), source)
    broken = [source.name_of(number) for number in gather_numbers(skipped or {}, len(source))]
    return replace(found, skipped=(*source.left_out, *broken))


def report_progress(
    batches: Iterable[Batch], batch_size: int, images: int, show: Show
) -> Iterator[Batch]:
    """Yield batches; when the next one is asked for, the one before is done."""
    show(0, images)
    for number, batch in enumerate(batches, start=1):
        yield batch
        show(min(number * batch_size, images), images)


def _name(found: Evaluation, source: Source) -> Evaluation:
    """Give classes and images their names; a network may tell more classes apart than there are."""
    count = len(next(iter(found.per_class.values())))
    mistakes: list[Mistake] = []
    for mistake in found.mistakes:
        mistakes.append(replace(mistake, image=source.name_of(mistake.number)))
    return replace(found, classes=name_classes(source.classes, count), mistakes=tuple(mistakes))


def name_classes(known: tuple[str, ...], count: int) -> tuple[str, ...]:
    """Return so many names: `class 12` for one that the data set does not have."""
    return (*known, *(f"class {number}" for number in range(len(known), count)))
