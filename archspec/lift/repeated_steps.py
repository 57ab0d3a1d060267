"""Steps that repeat are several layers: those of a chain, and of what was found as one layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from archspec.lift.lifted_block import LiftedBlock, LiftedLayer
from archspec.lift.operators_to_steps import Step, kinds_of


def split_chain(whole: LiftedBlock, steps: tuple[Step, ...]) -> LiftedBlock | None:
    """Return a block whose layers read one another and whose output is the last one's,
    as often as their steps repeat; None where they do not.
    """
    # The shortest run that repeats is a layer: a longer one would be several.
    for length in range(1, len(steps) // 2 + 1):
        first, count = kinds_of(steps[:length]), 1
        while kinds_of(steps[count * length : (count + 1) * length]) == first:
            count += 1
        if count > 1:
            run, rest = steps[: count * length], steps[count * length :]
            layer = LiftedLayer(run[-1].op, (0,), run, run[0].in_channels, run[-1].out_channels)
            layers = tuple(_divide_layer(layer, count, 0, (0,)))
            return replace(whole, layers=layers, gathered=(count,), aggregate=rest)
    return None


def divide_layers(block: LiftedBlock) -> LiftedBlock:
    """Return a block in which layers are parted that were found as one:
    one that alone reads the one before.
    """
    kinds = [kinds_of(layer.steps) for layer in block.layers]
    # The shortest is one layer for certain, if layers are alike.
    shortest = min(kinds, key=len)
    times = [_count_repeats(own, shortest) for own in kinds]
    if max(times) == 1:
        return block
    lasts = [0]
    for count in times:
        lasts.append(lasts[-1] + count)
    layers: list[LiftedLayer] = []
    for layer, (before, last) in zip(block.layers, pairwise(lasts), strict=True):
        layers.extend(_divide_layer(layer, last - before, before, lasts))
    gathered = tuple(lasts[source] for source in block.gathered)
    return replace(block, layers=tuple(layers), gathered=gathered)


def _count_repeats(steps: tuple[Any, ...], part: tuple[Any, ...]) -> int:
    """How often a part makes up the steps; 1 where it does not."""
    count = len(steps) // len(part)
    return count if steps == part * count else 1


def _divide_layer(
    layer: LiftedLayer, count: int, before: int, lasts: Sequence[int]
) -> Iterator[LiftedLayer]:
    """The layers that one is made of: the first reads its sources, each other the one before."""
    length = len(layer.steps) // count
    sources = tuple(lasts[source] for source in layer.sources)
    for part in range(count):
        steps = layer.steps[part * length : (part + 1) * length]
        widths = steps[0].in_channels, steps[-1].out_channels
        yield LiftedLayer(steps[-1].op, sources, steps, *widths)
        sources = (before + part + 1,)
