"""Kinds of numbers that a recipe's settings are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import BaseModel, Field

from archspec.settings import Path

Share = Annotated[float, Field(strict=True, ge=0, lt=1, allow_inf_nan=False)]
Probability = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]
Positive = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
PixelValue = Annotated[float, Field(strict=True, ge=0, le=255, allow_inf_nan=False)]
Seed = Annotated[int, Field(strict=True, ge=0, lt=2**31)]
Batch = Annotated[int, Field(strict=True, ge=1, le=65_536)]
Milestone = Annotated[float, Field(strict=True, ge=0, le=100_000, allow_inf_nan=False)]
Epochs = Annotated[int, Field(strict=True, ge=1, le=100_000)]
Alpha = Annotated[float, Field(strict=True, ge=0, le=100, allow_inf_nan=False)]
"""Of a beta distribution; 0 for none."""
STRONGEST = 10.0
Level = Annotated[float, Field(strict=True, ge=0, le=STRONGEST, allow_inf_nan=False)]
"""The magnitude of a policy's operation."""
Few = Annotated[int, Field(strict=True, ge=1, le=16)]
_TWO = Field(min_length=2, max_length=2)
AreaRange = Annotated[tuple[Annotated[float, Field(strict=True, gt=0, le=1)], ...], _TWO]
RatioRange = Annotated[tuple[Annotated[float, Field(strict=True, gt=0, le=100)], ...], _TWO]


def find_falling(settings: BaseModel, *keys: str) -> Iterator[tuple[Path, str]]:
    """Yield each range whose end lies below its start."""
    for key in keys:
        low, high = getattr(settings, key)
        if low > high:
            yield (key,), f"{key} (=[{low:g}, {high:g}]) must rise: [{high:g}, {low:g}]"
