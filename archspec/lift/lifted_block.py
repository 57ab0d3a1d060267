"""A dense block as a file has it, and its layers."""

from __future__ import annotations

from dataclasses import dataclass

from archspec.lift.operators_to_steps import Step, kinds_of


@dataclass(frozen=True, slots=True)
class LiftedLayer:
    """A layer: its sources (0 is the block's input) as it joins them,
    steps, channels that it reads and gives.
    """

    op: str
    sources: tuple[int, ...]
    steps: tuple[Step, ...]
    in_channels: int
    growth_rate: int


@dataclass(frozen=True, slots=True)
class LiftedBlock:
    """A dense block as a file has it."""

    op: str
    """The join or sum that ends it."""
    in_channels: int
    bypassed_channels: int
    """Channels that go round the layers."""
    is_bypass_last: bool
    """Whether they stand behind what the layers give."""
    layers: tuple[LiftedLayer, ...]
    gathered: tuple[int, ...]
    aggregate: tuple[Step, ...]
    residual: bool
    out_channels: int

    @property
    def is_uniform(self) -> bool:
        """All layers have the same steps."""
        return len({kinds_of(layer.steps) for layer in self.layers}) == 1

    @property
    def joined_channels(self) -> int:
        """Channels that the output joins, without those that go round."""
        widths = [
            self.in_channels - self.bypassed_channels,
            *(layer.growth_rate for layer in self.layers),
        ]
        return sum(widths[source] for source in self.gathered)
