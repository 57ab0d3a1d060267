"""What the layers of blocks consist of, and how much each adds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from archspec.lift.blocks import Block
from archspec.lift.matching_steps import Instance, Style, comes_to
from archspec.lift.network import Unliftable
from archspec.lift.operators_to_steps import flat
from archspec.lift.step_lists import listed
from archspec.lift.transitions import alike
from archspec.spec.model import layer_widths
from archspec.spec.templates import load_templates

Values = dict[str, Any]

MULTIPLIERS = (
    *(tenths / 10 for tenths in range(11, 41)),
    *(hundredths / 100 for hundredths in range(101, 400)),
)
LAYERS_OF_A_RULE = 4
"""Fewer widths do not tell a multiplier from a list."""
MAX_BOTTLENECK = 64


def growths_of(blocks: Sequence[Block]) -> list[Values]:
    """Return what each block says of the channels that its layers add: a number, with a multiplier, or a list."""
    widths = [tuple(layer.growth for layer in block.layers) for block in blocks]
    uneven = [own for own in widths if len({*own}) > 1]
    times = next(
        (m for m in MULTIPLIERS if all(layer_widths(own[0], m, len(own)) == own for own in uneven)),
        None,
    )
    if times is None or max(map(len, uneven), default=0) < LAYERS_OF_A_RULE:
        return [{"growth_rate": own[0] if len({*own}) == 1 else [*own]} for own in widths]
    return [
        {"growth_rate": own[0], "growth_multiplier": times if own in uneven else 1.0}
        for own in widths
    ]


def layers_of(blocks: Sequence[Block], style: Style) -> list[Values]:
    """Return what each block's layers consist of: one template or list for as many blocks as can have it.

    Layers of other steps than most of their block stand by themselves.

    Raises:
        Unliftable: steps that the language does not have.
    """
    parts = [_by_steps(block) for block in blocks]
    usual = [[*own[0].values()] for own in parts]
    found = [_named(own, style) for own in usual]
    left = [number for number, said in enumerate(found) if not said]
    for numbers in alike([usual[number][0].kinds for number in left], left):
        for number, steps in zip(
            numbers, _lists([usual[number] for number in numbers], style), strict=True
        ):
            found[number] = {"layer": steps}
    return [
        {**said, **_others(own[1:], said, style)} for said, own in zip(found, parts, strict=True)
    ]


def _by_steps(block: Block) -> list[Mapping[int, Instance]]:
    """A block's layers by number, those of the same steps together, the most first."""
    groups: dict[Any, dict[int, Instance]] = {}
    for number, layer in enumerate(block.layers, start=1):
        part = Instance(layer.steps, layer.ins, {"out": layer.growth, "k": layer.growth})
        groups.setdefault(part.kinds, {})[number] = part
    return sorted(groups.values(), key=len, reverse=True)


def _others(groups: Sequence[Mapping[int, Instance]], said: Values, style: Style) -> Values:
    """What a block says of layers of other steps; templates among them share the block's bottleneck."""
    bottleneck, found = said.get("bottleneck"), dict[int, Any]()
    for group in groups:
        own = _named([*group.values()], style)
        bottleneck = bottleneck or own.get("bottleneck")
        template = own.get("layer") if own.get("bottleneck", bottleneck) == bottleneck else None
        found |= dict.fromkeys(group, template or listed([*group.values()], style))
    same = {"bottleneck": bottleneck} if bottleneck else {}
    return {**same, "layer_at": dict(sorted(found.items()))} if found else {}


def _named(parts: Sequence[Instance], style: Style) -> Values:
    for name, steps in load_templates("layers").items():
        for times in _multiples(parts[0]):
            widths = {"bottleneck": times} if times else {}
            if comes_to(steps, parts, style, **widths):
                return {"layer": name, **widths}
    return {}


def _multiples(part: Instance) -> Iterable[int]:
    """What a bottleneck may be in multiples of k: widths, or twice them, for templates with two branches."""
    widths = {
        step.outs * times for step in flat(part.steps) if step.kind == "conv" for times in (1, 2)
    }
    multiples = {width // part.known["k"] for width in widths if width % part.known["k"] == 0}
    return (0, *sorted(multiple for multiple in multiples if 0 < multiple <= MAX_BOTTLENECK))


def _lists(blocks: Sequence[Sequence[Instance]], style: Style) -> list[Any]:
    """One list for all of the blocks, else a list for each."""
    try:
        return [listed([part for parts in blocks for part in parts], style)] * len(blocks)
    except Unliftable:
        return [listed(parts, style) for parts in blocks]
