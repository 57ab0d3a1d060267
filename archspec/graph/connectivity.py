"""Which sources feed a layer: one small function a rule, in one table with its closed-form count.

Sources are numbered 0 (the block's input) to L (its last layer); layers run from 1 to L.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """A connectivity rule."""

    sources: Callable[[int], tuple[int, ...]]
    """The sources of layer i."""
    gathers: Callable[[int], tuple[int, ...]]
    """The sources that the output of a block of L layers joins."""
    count: Callable[[int], int]
    """Direct connections in a block of L layers."""


RULES: Mapping[str, Rule] = {
    # Huang et al. 2017, section 3: layer i reads the feature maps of all layers before it.
    "dense": Rule(
        sources=lambda layer: tuple(range(layer)),
        gathers=lambda layers: tuple(range(layers + 1)),
        count=lambda layers: layers * (layers + 1) // 2,
    ),
}
