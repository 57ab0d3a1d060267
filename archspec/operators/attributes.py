"""What attributes of operators are called, and what may be said of any of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Attrs = Mapping[str, Any]
Widths = Mapping[str, int]
"""What the names in widths stand for: `in`, `out`, `k`, `bottleneck`."""

MOVING_MEAN, MOVING_VARIANCE = "moving_mean", "moving_variance"
STATISTICS = (MOVING_MEAN, MOVING_VARIANCE)
DERIVED = frozenset({"in_channels", "channels"})
"""Attributes that follow from what an operator reads."""
CHANNEL_COUNTS = ("in_channels", "out_channels", "channels")
"""Attributes that say how many channels an operator reads, gives, or has a value for each of."""


def always(attrs: Attrs) -> bool:
    """Say of an operator that something holds whatever its attributes."""
    return True


def never(attrs: Attrs) -> bool:
    """Say of an operator that something does not hold, whatever its attributes."""
    return False
