"""Does a list of steps come to the operators of a file?

And the norm and activation that a spec says for all.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from archspec.graph.expand import Part, expand_part
from archspec.lift.operators_to_steps import (
    Step,
    is_operator,
    kinds_of,
    walk_steps,
)
from archspec.operators.table import OPERATORS, norm_name
from archspec.spec.steps import ActivationSpec, NormSpec, StepSpec
from archspec.stored_numbers import decimal


@dataclass(frozen=True, slots=True)
class Style:
    """The norm and activation that the spec says for all parts."""

    norm: NormSpec
    activation: ActivationSpec


@dataclass(frozen=True, slots=True)
class PartInstance:
    """One part with these steps: a layer, a transition; what `out` and `k` stand for in it."""

    steps: tuple[Step, ...]
    in_channels: int
    known: Mapping[str, int]

    @property
    def kinds(self) -> tuple[Any, ...]:
        """Its steps' kinds and windows."""
        return kinds_of(self.steps)


def choose_style(steps: Sequence[Step]) -> Style:
    """Return the norm and the activation that most of the operators have."""
    norm, activation = (_find_usual(steps, family) for family in ("norm", "activation"))
    return Style(NormSpec(**norm), ActivationSpec(**activation))


def _find_usual(steps: Sequence[Step], family: str) -> Mapping[str, Any]:
    """The kind and the settings that most of a family's operators have; nothing where none is."""
    alike = defaultdict[Any, list[Mapping[str, Any]]](list)
    for step in steps:
        row = OPERATORS.get(step.kind)
        if row is None or row.family != family:
            continue
        # A norm that was folded, or written out, has an eps that the file does not tell.
        told = collect_told_settings(step)
        fixed = tuple((key, value) for key, value in told.items() if key not in row.untold)
        alike[step.kind, fixed].append(told)
    if not alike:
        return {}
    kind, fixed = max(alike, key=lambda each: len(alike[each]))
    usual = {"kind": norm_name(kind), **dict(fixed)}
    # Of these alone: another kind's eps would have to be said at each of them all the same.
    for key in OPERATORS[kind].untold & {*OPERATORS[kind].settings}:
        values = [told[key] for told in alike[kind, fixed] if key in told]
        if values:
            usual[key] = Counter(values).most_common(1)[0][0]
    return usual


def collect_told_settings(step: Step) -> Mapping[str, Any]:
    """Return the settings of a norm or an activation that the file tells,
    each with its shortest number.
    """
    row, told = OPERATORS[step.kind], dict[str, Any]()
    for key in row.settings:
        value = shorten_float(step.attrs.get(key))
        if value is not None and key not in row.in_training:
            told[key] = value
    return told


def shorten_float(value: Any) -> Any:
    """Return the shortest number that is the same as a float32; what is none, as it is."""
    return decimal(value) if isinstance(value, float) else value


def matches_steps(
    steps: tuple[StepSpec, ...], instances: Sequence[PartInstance], style: Style, **widths: int
) -> bool:
    """Return whether steps, in each of these places, come to the operators that are there.

    `widths` are multiples of k that have a name: bottleneck=4.
    """
    return all(_matches_instance(steps, instance, style, widths) for instance in instances)


def _matches_instance(
    steps: tuple[StepSpec, ...], instance: PartInstance, style: Style, widths: Mapping[str, int]
) -> bool:
    known = dict(instance.known)
    for name, times in widths.items():
        known[name] = times * instance.known["k"]
    part = Part(steps, instance.in_channels, tuple(known.items()), style.norm, style.activation)
    try:
        # By the builder's own function, so that a template means here what it means in a spec.
        pieces = expand_part(part)
    except KeyError:  # a width that this part does not have
        return False
    found = list(walk_steps(instance.steps))
    if len(pieces) != len(found):
        return False
    pairs = zip(pieces, found, strict=True)
    return all(is_operator(step, piece.kind, piece.attrs) for piece, step in pairs)
