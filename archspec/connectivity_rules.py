"""Which sources feed a layer: one small function a rule, in one table with its closed-form count.

Sources are numbered 0 (the block's input) to L (its last layer); layers run from 1 to L. The order
in which they are joined is the order in which they are given here:
it decides which channels the weights behind the join meet.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, Protocol

HALF = 0.5
"""Of the input's channels, those that go through the layers where a spec names no share."""

Sources = tuple[int, ...]
Order = Literal["oldest_first", "newest_first"]


class Wiring(Protocol):
    """What a rule asks of a spec's connectivity (archspec/spec/connectivity.py)."""

    @property
    def kind(self) -> str:
        """The rule's name."""

    @property
    def size(self) -> int:
        """Sources of a window."""

    @property
    def edges(self) -> Sequence[Sources] | None:
        """The sources of each layer, where they are listed."""

    @property
    def output(self) -> str | Sources | None:
        """What the output joins, where the rule does not say it."""

    @property
    def share(self) -> float | None:
        """Of the input's channels, those that go through the layers."""

    @property
    def is_newest_first(self) -> bool:
        """Whether layers join their sources from the last one back."""

    @property
    def is_output_newest_first(self) -> bool:
        """Whether the output joins its sources from the last one back."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A connectivity rule; `wiring` holds what the spec says beside its name (a window, a list)."""

    sources: Callable[[int, Wiring], Sources]
    """The sources of layer i, the oldest first."""
    gathers: Callable[[int, Wiring], Sources]
    """The sources that the output of a block of L layers joins, the oldest first."""
    count: Callable[[int, Wiring], int]
    """Direct connections of a block's L layers, in closed form."""
    formula: str = ""
    """The same in words, of `layers` and `more`, which is one more."""
    aggregates: bool = False
    """The operators behind the output's join are a layer of the rule: what they read counts."""
    needs: str = ""
    """The key beside its name that it takes, and that stands for it: `window: 3`."""
    bypass: bool = False
    """Half of the input's channels go round the layers, where the spec names no share."""

    def is_as_plain(self, other: Rule) -> bool:
        """Return whether it is the same as another rule, but for what goes round the layers."""
        is_bypass = self.bypass and not other.bypass
        reads_so = (self.sources, self.gathers) == (other.sources, other.gathers)
        return is_bypass and reads_so and self.needs == other.needs


def _all_before(layer: int, wiring: Wiring) -> Sources:
    return tuple(range(layer))


def _all(layers: int, wiring: Wiring) -> Sources:
    return tuple(range(layers + 1))


def _triangle(layers: int, wiring: Wiring | None = None) -> int:
    return layers * (layers + 1) // 2


def _last(layer: int, wiring: Wiring) -> Sources:
    return tuple(range(max(0, layer - wiring.size), layer))


def _count_last(layers: int, wiring: Wiring) -> int:
    return _triangle(layers) - _triangle(max(0, layers - wiring.size))


def _powers_back(layer: int, wiring: Wiring) -> Sources:
    return tuple(layer - (1 << n) for n in reversed(range(layer.bit_length())))


def _count_powers_back(layers: int, wiring: Wiring) -> int:
    # Layer i has as many sources as i has binary digits; this is their sum over 1 to L.
    octaves = layers.bit_length()
    return (layers + 1) * octaves - (1 << octaves) + 1


def _dividing_powers_back(layer: int, wiring: Wiring) -> Sources:
    return tuple(layer - (1 << n) for n in reversed(range(exponent_of_two(layer) + 1)))


def _odd_and_last(layers: int, wiring: Wiring) -> Sources:
    return tuple(n for n in range(1, layers + 1) if n % 2 or n == layers)


def exponent_of_two(layer: int) -> int:
    """Return how often 2 divides a layer's number."""
    return (layer & -layer).bit_length() - 1


RULES: Mapping[str, Rule] = {
    # Huang et al. 2017, section 3: layer i reads the feature maps of all layers before it.
    "dense": Rule(_all_before, _all, _triangle, formula="{layers:,} x {more:,} / 2"),
    # The last `window` of them alone; the block's output reads as one more layer would.
    "window": Rule(
        _last, lambda layers, wiring: _last(layers + 1, wiring), _count_last, needs="window"
    ),
    # SparseNet (Zhu et al. 2018), Log-DenseNet V2 (Hu et al. 2017): i - 1, i - 2, i - 4, ...
    "log": Rule(
        _powers_back, lambda layers, wiring: _powers_back(layers + 1, wiring), _count_powers_back
    ),
    # HarDNet (Chao et al. 2019): i - 2^n where 2^n divides i; the output keeps odd layers and the
    # last.
    # The powers of two that divide 1 to L are L - bits(L) in all (Legendre); 2^0 is one more each.
    "harmonic": Rule(
        _dividing_powers_back, _odd_and_last, lambda layers, wiring: 2 * layers - layers.bit_count()
    ),
    # VoVNet (Lee et al. 2019), one-shot aggregation: a chain of layers, all of which the output
    # joins.
    "one_shot": Rule(
        lambda layer, wiring: (layer - 1,), _all, lambda layers, wiring: layers, aggregates=True
    ),
    # CSPNet (Wang et al. 2020): dense on a share of the channels, the others bypass the layers.
    "cross_stage_partial": Rule(_all_before, _all, _triangle, bypass=True),
    # What the spec lists, layer by layer, in its own order.
    "edges": Rule(
        lambda layer, wiring: (wiring.edges or ())[layer - 1],
        lambda layers, wiring: _all(layers, wiring),
        lambda layers, wiring: sum(map(len, wiring.edges or ())),
        needs="edges",
    ),
}


def sources_of_layer(wiring: Wiring, layer: int) -> Sources:
    """Return the sources of a layer in the order in which it joins them."""
    found = RULES[wiring.kind].sources(layer, wiring)
    return found[::-1] if wiring.is_newest_first else found


def sources_of_output(wiring: Wiring, layers: int) -> Sources:
    """Return the sources that a block's output joins, in order:
    those that the spec lists, else its rule's.
    """
    if isinstance(wiring.output, tuple):
        return wiring.output
    gathers = RULES[wiring.kind].gathers
    found = OUTPUTS[wiring.output](layers) if wiring.output else gathers(layers, wiring)
    return found[::-1] if wiring.is_output_newest_first else found


def count_connections(wiring: Wiring, layers: int, aggregated: bool = False) -> int:
    """Return the closed-form number of direct connections of a block:
    of its layers, aggregation and bypass.
    """
    rule = RULES[wiring.kind]
    aggregation = len(sources_of_output(wiring, layers)) if aggregated and rule.aggregates else 0
    return rule.count(layers, wiring) + aggregation + has_bypass(wiring)


def count_bypassing(wiring: Wiring, channels: int) -> int:
    """Return how many of a block's input channels, the first ones, go round its layers."""
    # A decimal fraction: 1 - 0.9 of 10 channels is one, and none in binary floating point.
    share = Fraction(str(wiring.share or HALF)) if has_bypass(wiring) else 1
    return math.floor((1 - share) * channels)


def has_bypass(wiring: Wiring) -> bool:
    """Return whether a share of the input's channels goes round the layers: one more connection."""
    return RULES[wiring.kind].bypass or wiring.share is not None


OUTPUTS: Mapping[str, Callable[[int], Sources]] = {
    "all": lambda layers: tuple(range(layers + 1)),
    "new": lambda layers: tuple(range(1, layers + 1)),
    "last": lambda layers: (layers,),
}
