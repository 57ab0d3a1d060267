"""What a recipe says of how long a run lasts, and of the checkpoints that it keeps."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from archspec.settings import SpecModel

SECONDS = {"s": 1, "m": 60, "h": 3_600}

MOST_STEPS = 2**31 - 1
_DURATION = re.compile(r"[1-9][0-9]{0,6}[smh]")


def is_duration(text: str) -> bool:
    """Return whether a text is a duration such as `10m`."""
    return _DURATION.fullmatch(text) is not None


def _check_duration(value: Any) -> Any:
    if isinstance(value, str) and is_duration(value):
        return value
    raise PydanticCustomError("duration", "must be a time such as 90s, 10m or 8h")


def _check_interval(value: Any) -> Any:
    is_count = type(value) is int and 1 <= value <= MOST_STEPS
    if is_count or (isinstance(value, str) and is_duration(value)):
        return value
    raise PydanticCustomError("duration", "must be a number of steps, or a time such as 10m")


Duration = Annotated[str, BeforeValidator(_check_duration)]
"""A time, in seconds, minutes or hours: `90s`, `10m`, `8h`."""
Interval = Annotated[int | str, BeforeValidator(_check_interval)]
"""Steps, or a time."""
Metric = Literal[
    "top1",
    "top5",
    "loss",
    "ema_top1",
    "ema_top5",
    "ema_loss",
    "mean_ap",
    "mean_auc",
    "f1",
    "ema_mean_ap",
    "ema_mean_auc",
    "ema_f1",
    "miou",
    "pixel_accuracy",
    "ema_miou",
    "ema_pixel_accuracy",
]
"""Checkpoints count them: those of later versions stand behind."""


class KeepRecipe(SpecModel):
    """Which checkpoints stay, beside `last.ckpt` to go on from."""

    last: Annotated[int, Field(strict=True, ge=0, le=100_000)] = 0
    """Of how many of the last epochs the checkpoint is kept (`epoch-0012.ckpt`)."""
    best: Annotated[int, Field(strict=True, ge=1, le=100_000)] = 1
    """Of how many of the best epochs it is kept; the best of all is `best.ckpt`."""
    by: Metric = "top1"
    """The figure of the validation images by which an epoch is the best; with `ema_` that of the
    averaged weights. Where images have several labels, `mean_ap` stands for `top1`."""


class EarlyStoppingRecipe(SpecModel):
    """When a run ends before its last epoch."""

    MAIN_KEY: ClassVar[str] = "patience"
    patience: Annotated[int, Field(strict=True, ge=1, le=100_000)]
    """Epochs without a better figure (`keep.by`) after which the run ends."""
    min_delta: Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)] = 0.0
    """By how much a figure must be better to count so."""


def seconds_of(duration: str) -> int:
    """Return the seconds of a duration such as `10m`."""
    return int(duration[:-1]) * SECONDS[duration[-1]]
