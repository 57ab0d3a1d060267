"""The input of a network as a spec writes it: the image that it reads."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from archspec.settings import Pixels, SpecModel


class InputSpec(SpecModel):
    """The image that the network reads, (N, channels, height, width)."""

    channels: Annotated[int, Field(strict=True, ge=1, le=1_024)] = 3
    """Of the image: 3 for colour, 1 for grey."""
    height: Pixels = 224
    """Pixels."""
    width: Pixels = 224
    """Pixels."""
