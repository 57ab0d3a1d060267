"""What the layers of blocks consist of, and how much each adds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, product
from typing import Any

from archspec.lift.lifted_block import LiftedBlock
from archspec.lift.matching_steps import PartInstance, Style, matches_steps
from archspec.lift.network import Unliftable
from archspec.lift.operators_to_steps import walk_steps
from archspec.lift.step_lists import write_steps
from archspec.lift.transitions import group_alike
from archspec.spec.spec import layer_widths
from archspec.spec.templates import load_templates

Values = dict[str, Any]

# Tenths first: what a person would write. Each multiplier is tried exactly, layer by layer.
_TENTHS = [tenths / 10 for tenths in range(11, 41)]
_HUNDREDTHS = [hundredths / 100 for hundredths in range(101, 400)]
MULTIPLIERS = (*_TENTHS, *_HUNDREDTHS)
LAYERS_OF_A_RULE = 4
"""Fewer widths do not tell a multiplier from a list."""
MAX_BOTTLENECK = 64


def describe_growth_rates(blocks: Sequence[LiftedBlock]) -> list[Values]:
    """Return what each block says of the channels that its layers add:
    a number, with a multiplier, or a list.
    """
    widths = [_list_widths(block) for block in blocks]
    uneven = [own for own in widths if len({*own}) > 1]
    longest = max(map(len, uneven), default=0)
    times = _find_multiplier(uneven) if longest >= LAYERS_OF_A_RULE else None
    return [_describe_growth(own, times) for own in widths]


def _list_widths(block: LiftedBlock) -> tuple[int, ...]:
    return tuple(layer.growth_rate for layer in block.layers)


def _find_multiplier(uneven: Sequence[tuple[int, ...]]) -> float | None:
    """The multiplier that gives the widths of all of these blocks, if one does."""
    for times in MULTIPLIERS:
        if all(layer_widths(own[0], times, len(own)) == own for own in uneven):
            return times
    return None


def _describe_growth(widths: tuple[int, ...], times: float | None) -> Values:
    is_even = len({*widths}) == 1
    if times is not None:
        # One multiplier is said for all, so blocks of even widths must say that theirs is 1.
        return {"growth_rate": widths[0], "growth_multiplier": 1.0 if is_even else times}
    return {"growth_rate": widths[0] if is_even else [*widths]}


def describe_layers(blocks: Sequence[LiftedBlock], style: Style) -> list[Values]:
    """Return what each block's layers consist of:
    one template or list for as many blocks as can have it.

    Layers of other steps than most of their block stand by themselves.

    Raises:
        Unliftable: steps that the language does not have.
    """
    parts = [_group_by_steps(block) for block in blocks]
    # Of the steps that most layers of a block have; the others are said one by one.
    usual = [[*own[0].values()] for own in parts]
    # A template is a word; a list is written where no template has the steps.
    found = [_find_template(own, style) for own in usual]
    left = [number for number, said in enumerate(found) if not said]
    for numbers in group_alike([usual[number][0].kinds for number in left], left):
        lists = _write_lists([usual[number] for number in numbers], style)
        for number, steps in zip(numbers, lists, strict=True):
            found[number] = {"layer": steps}
    described = []
    for said, own in zip(found, parts, strict=True):
        described.append({**said, **_describe_others(own[1:], said, style)})
    return described


def _group_by_steps(block: LiftedBlock) -> list[Mapping[int, PartInstance]]:
    """A block's layers by number, those of the same steps together, the most first."""
    groups: dict[Any, dict[int, PartInstance]] = {}
    for number, layer in enumerate(block.layers, start=1):
        part = PartInstance(
            layer.steps, layer.in_channels, {"out": layer.growth_rate, "k": layer.growth_rate}
        )
        groups.setdefault(part.kinds, {})[number] = part
    return sorted(groups.values(), key=len, reverse=True)


def _describe_others(
    groups: Sequence[Mapping[int, PartInstance]], said: Values, style: Style
) -> Values:
    """What a block says of layers of other steps;
    templates among them share the block's bottleneck.
    """
    bottleneck, found = said.get("bottleneck"), dict[int, Any]()
    for group in groups:
        own = _find_template([*group.values()], style)
        bottleneck = bottleneck or own.get("bottleneck")
        # A block has one bottleneck: a template that needs another one is written out.
        template = own.get("layer") if own.get("bottleneck", bottleneck) == bottleneck else None
        found |= dict.fromkeys(group, template or write_steps([*group.values()], style))
    same = {"bottleneck": bottleneck} if bottleneck else {}
    return {**same, "layer_at": dict(sorted(found.items()))} if found else {}


def _find_template(parts: Sequence[PartInstance], style: Style) -> Values:
    for name, times in product(load_templates("layers"), _list_multiples(parts[0])):
        widths = {"bottleneck": times} if times else {}
        if matches_steps(load_templates("layers")[name], parts, style, **widths):
            return {"layer": name, **widths}
    return {}


def _list_multiples(part: PartInstance) -> Iterable[int]:
    """What a bottleneck may be in multiples of k:
    widths, or twice them, for templates with two branches.
    """
    growth = part.known["k"]
    multiples = {0}  # no bottleneck
    widths = [step.out_channels for step in walk_steps(part.steps) if step.makes_maps]
    for width in (*widths, *(2 * width for width in widths)):
        if width % growth == 0:
            multiples.add(width // growth)
    return sorted(multiple for multiple in multiples if multiple <= MAX_BOTTLENECK)


def _write_lists(blocks: Sequence[Sequence[PartInstance]], style: Style) -> list[Any]:
    """One list for all of the blocks, else a list for each."""
    try:
        # One object, which YAML writes once and names.
        return [write_steps([*chain.from_iterable(blocks)], style)] * len(blocks)
    except Unliftable:
        return [write_steps(parts, style) for parts in blocks]
