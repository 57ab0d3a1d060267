"""What is told of a run: how it begins, and which images led to a loss that is no number."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from archspec.errors import TrainingError, format_count
from archspec.graph.build import build_graph
from archspec.operators.table import OPERATORS
from archspec.train.data.batches.sampling import find_image
from archspec.train.data.inputs import find_data_change, list_samples
from archspec.train.data.sources.source import Source
from archspec.train.distributed.moving_statistics import is_moving
from archspec.train.distributed.worker_group import gather_numbers
from archspec.train.monitoring.image_speed import ImageSpeed
from archspec.train.monitoring.meter import SECONDS_BETWEEN_EVENTS, Meter, mean_of
from archspec.train.run.devices import describe_change

if TYPE_CHECKING:
    from archspec.train.trainer import Trainer

Batch = TypeVar("Batch")

NAMED_FILES = 4
"""Of a batch whose loss is no number."""


def describe_start(trainer: Trainer) -> dict[str, Any]:
    """Return the start event: what a progress bar needs to know, and notes, each a line."""
    recipe, splits = trainer.run.recipe, trainer.splits
    return {
        "event": "start",
        "epochs": recipe.epochs,
        "epochs_done": trainer.position.epoch,
        "steps_done": trainer.position.batches,
        "steps": trainer.steps,
        "validate_every": recipe.validate_every,
        "train_images": len(splits.train),
        "val_images": len(splits.val),
        "notes": [*splits.notes, *_list_differences(trainer)],
        "data_digest": splits.digest,
        "devices": trainer.world,
        "global_batch": recipe.batch_size * recipe.accumulate * trainer.world,
    }


def _list_differences(trainer: Trainer) -> list[str]:
    """What makes a run that goes on another one than it would have been."""
    found = []
    change = find_data_change(trainer.run, trainer.splits)
    if change:
        said = f"{trainer.splits.train.name}: the data set has changed since this run began"
        found.append(f"{said}: {change}")
    found += _list_other_batches(trainer)
    if trainer.begins_anew:
        kinds = ", ".join(trainer.begins_anew)
        found.append(f"{trainer.run.last.name} was written without {kinds}: that begins anew")
    has_begun = trainer.position.epoch or trainer.position.batches
    if has_begun and not trainer.is_over and _drops(trainer):
        found.append(
            "dropout draws anew from here on: the figures will not be those, bit for bit, of a run "
            "that was not interrupted"
        )
    return found


def _list_other_batches(trainer: Trainer) -> list[str]:
    before, world, found = trainer.taken_up, trainer.world, []
    if before.devices not in (0, world):
        found.append(describe_change(before.devices, world, trainer.run.recipe.batch_size))
    if before.batches and not trainer.position.batches:
        epoch = f"epoch {trainer.position.epoch + 1} begins again"
        found.append(f"{epoch}: {trainer.run.last.name} was written with other batches")
    return found


def _drops(trainer: Trainer) -> bool:
    graph = build_graph(trainer.run.spec)
    return any(OPERATORS[op.kind].is_of_training for op in graph.ops.values())


def tell_skipped(trainer: Trainer, report: Callable[[Mapping[str, Any]], None]) -> dict[str, int]:
    """Report the images that were left out since they could not be read and of which nothing was
    said yet, those of all devices; return how many there are by now, nothing where there are none.

    Every device must call it.
    """
    if trainer.run.recipe.data.on_error == "stop":
        return {}
    count = 0
    for source in trainer.splits.parts:
        skipped = gather_numbers(trainer.skipped.get(source, {}), len(source))
        count += len(skipped)
        told = trainer.told.setdefault(source, set())
        new = [number for number in skipped if number not in told]
        told.update(new)
        if new:
            images = format_count(len(new), "image")
            text = f"{source.name}: {images} left out that cannot be read: "
            report({"event": "note", "text": text + _name_images(source, new)})
    return {"skipped_images": count} if count else {}


def _name_images(source: Source, numbers: Sequence[int]) -> str:
    names = [source.name_of(number) for number in numbers]
    more = f" and {len(names) - NAMED_FILES} more" if len(names) > NAMED_FILES else ""
    return f"{', '.join(names[:NAMED_FILES])}{more}"


def explain_no_number(trainer: Trainer, number: int) -> TrainingError:
    """Return the error of a step of the epoch that goes on, from 1, whose loss is no number."""
    recipe, source, epoch = trainer.run.recipe, trainer.splits.train, trainer.position.epoch
    rate = trainer.engine.rate_at(epoch, number - 1, recipe.accumulate)
    samples = list_samples(recipe, source, epoch=epoch, rank=trainer.rank, world=trainer.world)
    batch = samples[(number - 1) * recipe.batch_size : number * recipe.batch_size]
    named = _name_images(source, [find_image(sample, len(source))[0] for sample in batch])
    where = f"in epoch {epoch + 1}, step {number}, at learning rate {rate:g}"
    return TrainingError.one(
        "T006",
        f"the loss is no number {where}; its images: {named}",
        "",
        "a lower --lr, or a recipe with warm-up",
    )


def refuse_no_numbers(trainer: Trainer, parameters: Any) -> None:
    """Raise TrainingError (T006) where a checkpoint would hold what is no number: a run could not
    go on from it.
    """
    for parameter in parameters:
        # Statistics that overflow are those of images; the next ones may bring them back.
        if not is_moving(parameter.name) and _is_no_number(parameter.asnumpy()):
            raise _explain_weights(trainer, parameter.name)


def _is_no_number(values: npt.NDArray[Any]) -> bool:
    return values.dtype.kind == "f" and not np.isfinite(values).all()


def _explain_weights(trainer: Trainer, name: str) -> TrainingError:
    position, hint = trainer.position, "a lower --lr, or on_nan: skip"
    where = f"epoch {position.epoch}"
    if position.batches:
        where = f"step {position.batches} of epoch {position.epoch + 1}"
    if trainer.run.recipe.amp != "O0":
        hint += "; or a smaller loss_scale"
    message = f"{name} is no number after {where}; no checkpoint is written of it"
    return TrainingError.one("T006", message, "", hint)


def tell_limit(
    trainer: Trainer, loading: ImageSpeed, report: Callable[[Mapping[str, Any]], None]
) -> None:
    """Report, once a process, that images are what training waits for, where they are."""
    if loading.is_limit and not trainer.is_limit_told:
        trainer.is_limit_told = True
        here = trainer.run.settings.devices
        text = loading.describe_limit(trainer.run.recipe.data, trainer.world, here)
        report({"event": "note", "text": text})


def tell_own(trainer: Trainer, meter: Meter) -> None:
    """Say in a worker's log how the epoch went on its own images, so that one that learns worse
    than the others is found.
    """
    own, epoch = mean_of(meter.own), trainer.position.epoch + 1
    told = f"own loss {own['loss']:.7f}, accuracy {own['accuracy']:.2%}"
    print(f"rank {trainer.rank} epoch {epoch}: {told}", flush=True)  # noqa: T201


def tell_batches(
    batches: Iterable[Batch], report: Callable[[Mapping[str, Any]], None], size: int, images: int
) -> Iterator[Batch]:
    """Yield batches of a validation and report, now and then, of how many of its images they are.

    `size` is that of a batch on all devices together.
    """
    phase = {"event": "phase", "phase": "validating", "images": images}
    report({**phase, "done": 0})
    told = time.monotonic()
    for number, batch in enumerate(batches, 1):
        yield batch
        if time.monotonic() - told > SECONDS_BETWEEN_EVENTS:
            report({**phase, "done": min(number * size, images)})
            told = time.monotonic()


def digest_weights(parameters: Any) -> str:
    """Return a digest of parameters, equal on every device as long as training is sound."""
    digest = sha256()
    for parameter in parameters:
        digest.update(parameter.asnumpy().tobytes())
    return digest.hexdigest()
