"""Does a list of steps come to the operators of a file?

And the norm and activation that a spec says for all.
"""

from __future__ import annotations

import struct
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from archspec.graph.expand import Part, expand_part
from archspec.lift.operators_to_steps import Step, kinds_of, walk_steps
from archspec.operators.table import ACTIVATIONS, NORMS, OPERATORS, norm_name
from archspec.spec.steps import ActivationSpec, NormSpec, StepSpec

_LEFT_OUT = ("approximate", "weights_of")
"""What `certify` says of the spec that was lifted."""


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
    norms, told_eps = list[Any](), defaultdict[Any, list[float | None]](list)
    for step in steps:
        if step.kind not in NORMS:
            continue
        norm = norm_name(step.kind), step.attrs.get("groups")
        norms.append(norm)
        # A norm that was folded, or written out, has an eps that the file does not tell.
        if step.attrs["eps"] is not None:
            told_eps[norm].append(shorten_float(step.attrs["eps"]))
    kind, groups = _find_most_common(norms) or ("batch", None)
    # Of these norms alone: another kind's eps would have to be said at each of them all the same.
    eps = _find_most_common(told_eps[kind, groups])
    told = {key: value for key, value in (("groups", groups), ("eps", eps)) if value is not None}
    active = [
        (step.kind, *collect_told_settings(step)) for step in steps if step.kind in ACTIVATIONS
    ]
    activation, *settings = _find_most_common(active) or ("relu",)
    return Style(NormSpec(kind=kind, **told), ActivationSpec(kind=activation, **dict(settings)))


def collect_told_settings(step: Step) -> tuple[tuple[str, float], ...]:
    """Return the settings of an activation that the file tells, each with its shortest number."""
    told = ((key, shorten_float(step.attrs.get(key))) for key in OPERATORS[step.kind].settings)
    return tuple((key, value) for key, value in told if value is not None)


def _find_most_common(values: Sequence[Any]) -> Any:
    return Counter(values).most_common(1)[0][0] if values else None


def shorten_float(value: float | None) -> float | None:
    """Return the shortest number that is the same as a float32."""
    if value is None:
        return None
    # Files store 32 bits: 1e-5 comes back as 9.99999974738e-06, and nobody wrote that.
    texts = (f"{value:.{digits}g}" for digits in range(1, 17))
    return next((float(text) for text in texts if is_same_value(float(text), value)), value)


def is_same_value(ours: Any, theirs: Any) -> bool:
    """Return whether both are equal, or are stored as the same float32."""
    if isinstance(ours, float) and isinstance(theirs, float):
        return struct.pack("f", ours) == struct.pack("f", theirs)
    return bool(ours == theirs)


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
    return all(_is_alike(piece.kind, piece.attrs, step) for piece, step in pairs)


def _is_alike(kind: str, attrs: Mapping[str, Any], step: Step) -> bool:
    """Compare an operator of the spec's with a step of the file's;
    a squeeze-and-excitation ends with its product.
    """
    if kind != ("multiply" if step.kind == "squeeze_excite" else step.kind):
        return False
    row = OPERATORS[kind]
    ours, theirs = {**row.defaults, **attrs}, {**row.defaults, **step.attrs}
    # `inner` is a note of the step alone; the gate's own convolutions are compared.
    left_out = {*row.in_training, *_LEFT_OUT, "inner"}
    for key in (ours.keys() | theirs.keys()) - left_out:
        is_untold = key in row.untold and theirs.get(key) is None
        if not is_untold and not is_same_value(ours.get(key), theirs.get(key)):
            return False
    return True
