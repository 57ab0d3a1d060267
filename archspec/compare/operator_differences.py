"""Attributes of operators in pairs, and what is said of those that differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from archspec.compare.match import Match
from archspec.errors import Diagnostic
from archspec.graph.ir import Op
from archspec.operators.attributes import DERIVED
from archspec.operators.table import OPERATORS
from archspec.spec.compression import compress
from archspec.stored_numbers import decimal, is_same_number

MAX_NAMED = 3
"""Operators with the same fault that have a line each; more are one line."""

# Where English has better words than an attribute's name; all others are said by that.
_WORDS: Mapping[str, str] = {
    "out_channels": "has {found} outputs, the spec says {expected}",
    "weights_of": "shares the weights of {found}, the spec says that it has its own",
    "shape": "is an image (C, H, W) of {found}, the spec says {expected}",
}


def compare_attributes(match: Match, derived: bool) -> Iterator[Diagnostic]:
    """Yield what differs between operators in pairs; what several have in common is said once."""
    alike: dict[str, list[str]] = {}
    for ours, theirs in _pair_operators(match):
        for words in _compare_operators(match, ours, theirs, derived):
            alike.setdefault(words, []).append(ours.name)
    for words, names in alike.items():
        yield from _write_attribute_lines(words, names)


def _pair_operators(match: Match) -> Iterator[tuple[Op, Op]]:
    for expected, found in match.complete_pairs:
        # Where chains consist of other operators, another line says so.
        if expected.classes == found.classes:
            yield from zip(expected.ops, found.ops, strict=True)


def _write_attribute_lines(words: str, names: Sequence[str]) -> Iterator[Diagnostic]:
    if len(names) <= MAX_NAMED:
        yield from (Diagnostic("R104", f"{name} {words}", name) for name in names)
        return
    verb, rest = words.split(" ", 1)
    verb = {"has": "have", "is": "are", "shares": "share"}[verb]
    yield Diagnostic("R104", f"{names[0]} and {len(names) - 1} more {verb} {rest}", names[0])


def _compare_operators(match: Match, expected: Op, found: Op, derived: bool) -> Iterator[str]:
    if expected.kind != found.kind:
        yield f"is {found.kind}, the spec says {expected.kind}"
        return
    row = OPERATORS[expected.kind]
    # A file may leave out what is the default, and so may the spec's graph.
    ours, theirs = {**row.defaults, **expected.attrs}, {**row.defaults, **found.attrs}
    for name in {**ours, **theirs}:
        # Evaluation alone is compared; and derived widths follow from faults that other lines say.
        if name in row.in_training or (name in DERIVED) != derived:
            continue
        if is_untold(name, found) or is_same_number(ours.get(name), theirs.get(name)):
            continue
        if name == "out_channels" and _follows_input(match, expected, theirs):
            continue
        shown, wanted = _format_value(theirs.get(name)), _format_value(ours.get(name))
        has = f"has no {name}" if theirs.get(name) is None else f"has {name} {{found}}"
        words = _WORDS.get(name, f"{has}, the spec says {{expected}}")
        yield words.format(found=shown, expected=wanted)


def is_untold(name: str, found: Op) -> bool:
    """Return whether the file does not tell: the eps of a norm that is folded or written out,
    the slope that a PReLU starts from.
    """
    return name in found.attrs and found.attrs[name] is None


def _follows_input(match: Match, expected: Op, theirs: Mapping[str, Any]) -> bool:
    """A transition whose width is right for what it reads:
    another line says why it reads something else.
    """
    region = match.spec.regions.get(expected.region)
    if region is None or region.kind != "transition":
        return False
    reads, gives = theirs["in_channels"], theirs["out_channels"]
    # It reads what it should, so a width that differs is its own fault.
    if reads == expected.attrs["in_channels"]:
        return False
    if expected.attrs["out_channels"] == expected.attrs["in_channels"]:
        return bool(gives == reads)
    compression = region.attrs["compression"]
    return bool(compression and gives == compress(reads, compression))


def _format_value(value: Any) -> str:
    """Of what a file has as float32, the shortest number that is stored so."""
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return " x ".join(map(str, value))
    return str(decimal(value)) if isinstance(value, float) else str(value)
