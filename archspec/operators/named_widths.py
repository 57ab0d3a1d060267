"""Widths: channels as a number, or as a multiple or a part of what a part of the network knows."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, Any

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

WIDTHS = ("in", "out", "k", "bottleneck")
"""What a width may be a multiple or a part of: see `Width`."""

WIDTH = re.compile(rf"(\d{{1,4}}(?:\.\d{{1,4}})?)? ?({'|'.join(WIDTHS)})(?: ?/ ?([1-9]\d{{0,3}}))?")


def _check_width(value: Any, least: int = 1) -> Any:
    if isinstance(value, str) and WIDTH.fullmatch(value):
        return value
    if isinstance(value, bool) or not isinstance(value, int):
        raise PydanticCustomError(
            "width", "must be a number of channels, or of the form 4k, k/2, in/16, out"
        )
    if not least <= value <= 65_536:
        raise PydanticCustomError("width", f"must be in [{least}, 65536]")
    return value


def _check_border(value: Any) -> Any:
    return _check_width(value, least=0)


Width = Annotated[int | str, BeforeValidator(_check_width)]
"""Channels: a number, or a multiple or part, rounded down, of

in          what enters the list of steps (or the branch)
out         what the part gives: a layer's growth rate, a transition's channels, a head's classes
k           the layer's growth rate
bottleneck  bottleneck x k
"""
Border = Annotated[int | str, BeforeValidator(_check_border)]
"""A place between channels: a width, or 0."""


def width_of(width: int | str, known: Mapping[str, int]) -> int:
    """Return the channels that a width comes to; `known` says how many `in`, `out`, `k`, ... are.

    Raises:
        KeyError: the width names what this part does not have.
    """
    if isinstance(width, int):
        return width
    found = WIDTH.fullmatch(width)
    assert found is not None
    factor, name, divisor = found.groups()
    return math.floor(Fraction(factor or 1) * known[name] / int(divisor or 1))
