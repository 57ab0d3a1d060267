"""Kinds of numbers that a recipe's settings are."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Share = Annotated[float, Field(strict=True, ge=0, lt=1, allow_inf_nan=False)]
Positive = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
PixelValue = Annotated[float, Field(strict=True, ge=0, le=255, allow_inf_nan=False)]
Seed = Annotated[int, Field(strict=True, ge=0, lt=2**31)]
Batch = Annotated[int, Field(strict=True, ge=1, le=65_536)]
Milestone = Annotated[float, Field(strict=True, ge=0, le=100_000, allow_inf_nan=False)]
Epochs = Annotated[int, Field(strict=True, ge=1, le=100_000)]
