"""How far a run is: what a checkpoint holds beside parameters and the optimizer's state."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
from typing_extensions import Self

from archspec.train.recipe.keeping import Metric

PREFIX = "archspec."
METRICS: tuple[Metric, ...] = get_args(Metric)
"""In the order by which a checkpoint, which holds numbers alone, names them."""
_ZERO = np.zeros(())


@dataclass(frozen=True)
class Position:
    """Where a run stands, and how it did so far.

    Enough to go on with the very next batch as if nothing had happened in between: what an epoch's
    batches are follows from (seed, epoch, number of the batch) alone.
    """

    epoch: int = 0
    """Epochs done."""
    batches: int = 0
    """Batches of a device done in the epoch that goes on, 0 between epochs."""
    seconds: float = 0.0
    """Of training and validation, over all the times that the run was taken up."""
    best: float = -math.inf
    """The best of `scores`, and of what was validated within an epoch."""
    scores: tuple[float, ...] = ()
    """Of each epoch done, what the recipe keeps checkpoints by, higher being better; NaN for
    an epoch that was not validated."""
    sums: tuple[float, ...] = (0.0, 0.0, 0.0)
    """Of the epoch that goes on: loss, right answers and images so far, on all devices."""
    by: Metric = "top1"
    """The figure that the scores are of."""
    batch_size: int = 0
    """Images of one of the `batches`; 0 where that is not known."""
    devices: int = 0
    """That each trained the `batches`; 0 where that is not known."""
    moving: npt.NDArray[np.float32] | None = field(default=None, compare=False)
    """(devices, values): the moving statistics of each device within an epoch; between epochs all
    devices have the same."""

    @classmethod
    def of(cls, held: Mapping[str, Any]) -> Self:
        """Return the position that the entries of a checkpoint tell."""
        values = {}
        for name, entry in held.items():
            if name.startswith(PREFIX):
                values[name.removeprefix(PREFIX)] = entry.asnumpy()
        best = values["best"].item()
        epoch = int(values["epoch"].item())
        # A checkpoint of former times tells the best score alone.
        scores = values.get("scores", np.full(epoch, best))
        sums = [float(value) for value in values.get("sums", np.zeros(3))]
        moving = values.get("moving")
        rows = np.array(0 if moving is None else len(moving))
        return cls(
            epoch=epoch,
            batches=int(values.get("batches", _ZERO).item()),
            seconds=float(values.get("seconds", _ZERO).item()),
            best=best,
            scores=tuple(float(score) for score in np.atleast_1d(scores)[:epoch]),
            sums=tuple(sums),
            by=METRICS[int(values.get("by", _ZERO).item())],
            batch_size=int(values.get("batch_size", _ZERO).item()),
            devices=int(values.get("devices", rows).item()),
            moving=moving,
        )

    def under(self, by: Metric, batch_size: int, accumulate: int, devices: int) -> Self:
        """Return the position under a recipe and on devices that may have been changed since.

        Scores by another figure tell nothing of this one; an epoch of batches that are of another
        size on all devices together is begun again; between two updates nothing is accumulated.
        """
        position = self
        if self.by != by:
            unknown = (math.nan,) * len(self.scores)
            position = replace(position, scores=unknown, best=-math.inf)
        images = self.batch_size * (self.devices or devices)
        is_other = images not in (0, batch_size * devices)
        if is_other or self.batches % accumulate:
            position = replace(position, batches=0, sums=(0.0, 0.0, 0.0))
        return replace(position, by=by, batch_size=batch_size, devices=devices)

    def entries(self) -> dict[str, npt.NDArray[Any]]:
        """Return what a checkpoint keeps, by the names of its entries."""
        kept: dict[str, npt.NDArray[Any]] = {
            "epoch": np.array(self.epoch, np.int64),
            "batches": np.array(self.batches, np.int64),
            "seconds": np.array(self.seconds, np.float64),
            "best": np.array(self.best, np.float64),
            "by": np.array(METRICS.index(self.by), np.int64),
            "batch_size": np.array(self.batch_size, np.int64),
            "devices": np.array(self.devices, np.int64),
            "sums": np.array(self.sums, np.float64),
        }
        # MindSpore knows no tensor without values.
        if self.scores:
            kept["scores"] = np.array(self.scores, np.float64)
        if self.moving is not None and self.moving.size:
            kept["moving"] = self.moving
        return {f"{PREFIX}{name}": values for name, values in kept.items()}

    def after_epoch(self, score: float) -> Self:
        """Return the position at the end of the epoch that goes on, which has this score."""
        return replace(
            self,
            epoch=self.epoch + 1,
            batches=0,
            best=self.best if math.isnan(score) else max(self.best, score),
            scores=(*self.scores, score),
            sums=(0.0, 0.0, 0.0),
            moving=None,
        )


def best_epochs(scores: tuple[float, ...], count: int) -> tuple[int, ...]:
    """Return the numbers, from 1, of the epochs with the best scores;
    of equal ones the later: it has seen more.
    """
    numbered = [(score, number) for number, score in enumerate(scores, 1) if not math.isnan(score)]
    numbered.sort(reverse=True)
    return tuple(number for _, number in numbered[:count])


def epochs_without_progress(scores: tuple[float, ...], min_delta: float) -> int:
    """Return how many epochs lie between the last score that was better than all before it, by
    more than `min_delta`, and the last score at all; epochs that were not validated have none.
    """
    best, reached, validated = -math.inf, 0, 0
    for number, score in enumerate(scores, 1):
        if math.isnan(score):
            continue
        validated = number
        if score > best + min_delta:
            best, reached = score, number
    return validated - reached
