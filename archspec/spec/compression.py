"""How wide a transition or an aggregation is: a share of what it reads, or a number of channels."""

from __future__ import annotations

import math
from fractions import Fraction

from pydantic import model_validator
from typing_extensions import Self

from archspec.settings import Channels, Share, SpecModel, broken_rule


class WidthSpec(SpecModel):
    """A part that is as wide as a number or a share says."""

    compression: Share | None = None
    """Share of the channels that it keeps (theta), rounded down."""
    channels: Channels | None = None
    """Output channels, instead of a share."""

    @model_validator(mode="after")
    def _check_one_width(self) -> Self:
        if self.compression is not None and self.channels is not None:
            rule = "channels and compression both say how wide the part is; keep one"
            raise broken_rule("channels", rule)
        return self

    def output_channels(self, channels: int) -> int:
        """Return the output channels of the part where it reads `channels`."""
        if self.channels is not None:
            return self.channels
        return channels if self.compression is None else compress(channels, self.compression)


def compress(channels: int, compression: float) -> int:
    """Return floor(compression x channels), exact in decimals: 0.29 x 100 is 29, not 28."""
    # In binary floating point 0.29 * 100 is 28.999...
    return math.floor(Fraction(str(compression)) * channels)
