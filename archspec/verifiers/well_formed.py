"""Is a graph put together from known parts at all? The first verifier; all others rely on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from archspec.errors import Diagnostic
from archspec.graph.expand import Part
from archspec.graph.ir import Graph, Op, Region
from archspec.operators.attributes import CHANNEL_COUNTS
from archspec.operators.table import OPERATORS
from archspec.spec.connectivity import ConnectivitySpec
from archspec.verifiers.setting_bounds import find_beyond_bounds

# Attributes that a region of a kind must have.
NEEDED_OF_REGIONS: Mapping[str, tuple[str, ...]] = {
    "stem": ("part",),
    "dense_block": (
        "connectivity",
        "num_layers",
        "in_channels",
        "growth_rate",
        "bottleneck",
        "widths",
        "aggregated",
        "residual",
    ),
    "dense_layer": ("in_channels", "growth_rate", "bottleneck", "part"),
    "aggregation": ("in_channels", "out_channels", "part"),
    "transition": ("in_channels", "out_channels", "part", "skip", "skip_first", "join", "after"),
    "head": ("num_classes", "part"),
}

PARENTS: Mapping[str, str] = {"dense_layer": "dense_block", "aggregation": "dense_block"}
"""Kinds of region that stand inside another; all others stand alone."""

_LEAST: Mapping[str, int] = {
    **dict.fromkeys(CHANNEL_COUNTS, 1),
    "growth_rate": 1,
    "bottleneck": 1,
    "num_layers": 1,
    "num_classes": 1,
}
"""What no setting of an operator says has no bound there: channels, and what regions declare."""
_KINDS: Mapping[str, tuple[type, str]] = {
    "connectivity": (ConnectivitySpec, "a ConnectivitySpec"),
    "part": (Part, "a Part"),
    "after": (Part, "a Part"),
    "widths": (tuple, "a tuple"),
}


def check_well_formed(graph: Graph) -> Iterator[Diagnostic]:
    """Kinds are known, attributes usable, inputs as many as the kind takes,
    all that is named exists.
    """
    for op in graph.ops.values():
        if op.kind not in OPERATORS:
            yield Diagnostic("G001", f"unknown kind of operator {op.kind!r}", op.name)
            continue
        yield from _check_inputs(graph, op)
        faults = [*_check_attributes(op, OPERATORS[op.kind].required)]
        # Where one is missing, the bounds of the others would tell of it once more.
        yield from faults or _check_bounds(op)
    for region in graph.regions.values():
        if region.kind not in NEEDED_OF_REGIONS:
            yield Diagnostic("G001", f"unknown kind of region {region.kind!r}", region.name)
            continue
        yield from _check_parent(graph, region)
        yield from _check_attributes(region, NEEDED_OF_REGIONS[region.kind])


def _check_inputs(graph: Graph, op: Op) -> Iterator[Diagnostic]:
    for source in op.inputs:
        if source not in graph.ops:
            yield Diagnostic("G002", f"reads {source!r}, which does not exist", op.name)
    arity = OPERATORS[op.kind].arity
    if (arity is None and not op.inputs) or (arity is not None and len(op.inputs) != arity):
        takes = "at least 1" if arity is None else arity
        yield Diagnostic("G002", f"takes {takes} inputs, has {len(op.inputs)}", op.name)
    if op.region and op.region not in graph.regions:
        yield Diagnostic("G001", f"belongs to region {op.region!r}, which does not exist", op.name)


def _check_parent(graph: Graph, region: Region) -> Iterator[Diagnostic]:
    expected = PARENTS.get(region.kind, "")
    parent = graph.regions.get(region.parent)
    if (parent.kind if parent else region.parent) != expected:
        where = f"inside a {expected}" if expected else "in no other region"
        yield Diagnostic(
            "G001", f"a {region.kind} must stand {where}, not in {region.parent!r}", region.name
        )


def _check_attributes(owner: Op | Region, needed: Sequence[str]) -> Iterator[Diagnostic]:
    for name in needed:
        if name not in owner.attrs:
            yield Diagnostic("G001", f"a {owner.kind} must have the attribute {name!r}", owner.name)
    for name, value in owner.attrs.items():
        rule = _find_broken_rule(name, value)
        if rule:
            yield Diagnostic("G001", f"{name} (={value}) must be {rule}", owner.name)


def _check_bounds(op: Op) -> Iterator[Diagnostic]:
    """Attributes that the language has a setting for are as it allows; others count something."""
    row = OPERATORS[op.kind]
    said = row.said
    for name in row.required:
        value = op.attrs[name]
        if value is None or (name not in said and not _are_counts(value)):
            rule = "said" if name in said else "whole numbers >= 0"
            yield Diagnostic("G001", f"{name} (={value}) must be {rule}", op.name)
    for message in find_beyond_bounds(op, widths=False):
        yield Diagnostic("G001", message, op.name)


def _find_broken_rule(name: str, value: Any) -> str:
    """Return the rule that an attribute breaks, or ''."""
    if name in _LEAST and not _is_count(value, _LEAST[name]):
        return f"a whole number >= {_LEAST[name]}"
    if name == "shape" and not _is_shape(value):
        return "one to three whole numbers >= 1"
    if name == "compression" and not (value is None or 0 < value <= 1):
        return "a number in (0, 1]"
    if name == "skip" and value != "stem" and not _is_count(value, 0):
        return "the number of a block, or stem"
    if name in _KINDS and not isinstance(value, _KINDS[name][0]):
        return _KINDS[name][1]
    return ""


def _is_count(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _are_counts(value: Any) -> bool:
    counted = value if isinstance(value, tuple) else (value,)
    return all(_is_count(each, 0) for each in counted)


def _is_shape(value: Any) -> bool:
    return (
        isinstance(value, tuple)
        and 1 <= len(value) <= 3
        and all(_is_count(size, 1) for size in value)
    )
