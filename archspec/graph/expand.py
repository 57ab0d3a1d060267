"""What a part of a network, a stem, a layer, a transition or a head, comes to:
its steps as operators.

The builder makes a region's operators from this, and the verifier expands the region's declaration
anew to see that the graph still has them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from archspec.graph.squeeze_excite import (
    JOIN,
    count_inner,
    list_gate_operators,
    name_gate_operators,
)
from archspec.operators.attributes import Attrs
from archspec.operators.table import OPERATORS, STEPS
from archspec.settings import Path
from archspec.spec.steps import ActivationSpec, NormSpec, StepSpec

NO_ATTRS: Attrs = MappingProxyType({})
RATE_DIGITS = 6
"""Of a rate that grows with depth: more say nothing, and would fill the emitted text."""


@dataclass(frozen=True, slots=True)
class Part:
    """The declaration of a part."""

    steps: tuple[StepSpec, ...]
    channels: int
    """Channels that it reads: `in`."""
    widths: tuple[tuple[str, int], ...]
    """What else a width may name: `out`, `k`, `bottleneck`."""
    norm: NormSpec
    activation: ActivationSpec
    drop_rate: float = 0.0
    drop_after: str = "layer"
    """`conv`: dropout stands behind each convolution,
    and steps that name no rate of their own say nothing."""
    depth: float = 1.0
    """How deep it stands in the network:
    0 in the first dense layer, 1 in the last and behind it."""
    first: int | None = 1
    """The number of the first operator of a kind; None: a number only where there are several."""


@dataclass(frozen=True, slots=True)
class ExpandedOp:
    """One operator of a part: its local name, kind and attributes,
    and which pieces it reads (-1: the part's input).
    """

    name: str
    kind: str
    attrs: Attrs
    reads: tuple[int, ...]
    channels: int
    """That it gives."""
    path: Path = ()
    """Of its step in the part's list."""


def expand_part(part: Part) -> tuple[ExpandedOp, ...]:
    """Return the operators of a part in running order; the last one gives the part's output."""
    return tuple(_Expansion(part).pieces)


@dataclass
class _Expansion:
    part: Part
    pieces: list[ExpandedOp] = field(default_factory=list)
    names: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.taken = {step.name for step in _walk_steps(self.part.steps)}
        self.numbered = Counter(
            base for step in _walk_steps(self.part.steps) for base in self._list_base_names(step)
        )
        self.add_steps(self.part.steps, -1, ())

    def add_steps(self, steps: tuple[StepSpec, ...], value: int, path: Path) -> int:
        """Append the pieces of a list of steps that reads `value`;
        return what gives the list's output.
        """
        known = {**dict(self.part.widths), "in": self.count_channels(value)}
        for index, step in enumerate(steps):
            value = _MAKERS[step.kind](self, step, value, known, (*path, index))
        return value

    def count_channels(self, value: int) -> int:
        return self.part.channels if value < 0 else self.pieces[value].channels

    def add_op(
        self,
        step: StepSpec,
        base: str,
        kind: str,
        reads: tuple[int, ...],
        path: Path,
        attrs: Attrs = NO_ATTRS,
    ) -> int:
        """Append a piece; its name is the step's own where its kind is the step's,
        else numbered by `base`.
        """
        own = step.name if base == self._list_base_names(step)[-1] else ""
        channels = OPERATORS[kind].channels(attrs, [self.count_channels(read) for read in reads])
        self.pieces.append(
            ExpandedOp(own or self._choose_name(base), kind, attrs, reads, channels, path)
        )
        return len(self.pieces) - 1

    def _choose_name(self, base: str) -> str:
        first = self.part.first
        # As torchvision names them: norm1 and conv1 in a layer, norm and conv in a transition.
        if first is None and self.numbered[base] == 1 and base not in self.taken:
            return base
        number = self.names.get(base, 1 if first is None else first)
        # A step that the user named may have the name already.
        while f"{base}{number}" in self.taken:
            number += 1
        self.names[base] = number + 1
        return f"{base}{number}"

    def _list_base_names(self, step: StepSpec) -> tuple[str, ...]:
        """The base names of what a step comes to; the last one may bear the step's own name."""
        if step.kind == "activation":
            return (self.choose_activation(step).kind,)
        if step.kind == "squeeze_excite":
            return (*name_gate_operators(step.settings.activation), "se")
        if step.kind == "conv" and self.part.drop_rate and self.part.drop_after == "conv":
            return ("drop", "conv")
        return _BASE_NAMES.get(step.kind, (step.kind,))

    def choose_activation(self, step: StepSpec) -> ActivationSpec:
        return step.settings or self.part.activation

    def add_dropout(
        self, step: StepSpec, value: int, path: Path, rate: float, kind: str = "dropout"
    ) -> int:
        """A rate of 0 is no operator."""
        row = STEPS[kind].step
        if row is None or not rate:
            return value
        return self.add_op(step, row.base_name, kind, (value,), path, {"rate": rate})


def _walk_steps(steps: tuple[StepSpec, ...]) -> Iterator[StepSpec]:
    for step in steps:
        yield step
        for branch in step.branches.of if step.branches else ():
            yield from _walk_steps(branch)


KnownWidths = dict[str, int]


def _add_operator(
    expansion: _Expansion, step: StepSpec, value: int, known: KnownWidths, path: Path
) -> int:
    """A step that is one operator, as its row says."""
    row = STEPS[step.kind]
    assert row.step is not None
    attrs = row.step.attrs(step.settings, expansion.count_channels(value), known)
    kind = row.step.kinds[step.settings.kind] if row.step.kinds else row.kind
    return expansion.add_op(step, row.step.base_name, kind, (value,), path, attrs)


def _add_conv(
    expansion: _Expansion, step: StepSpec, value: int, known: KnownWidths, path: Path
) -> int:
    value = _add_operator(expansion, step, value, known, path)
    part = expansion.part
    return (
        expansion.add_dropout(step, value, path, part.drop_rate)
        if part.drop_after == "conv"
        else value
    )


def _add_norm(
    expansion: _Expansion, step: StepSpec, value: int, known: KnownWidths, path: Path
) -> int:
    norm = step.settings or expansion.part.norm
    if not norm.operator:
        return value
    attrs = {"channels": expansion.count_channels(value), **norm.own_settings}
    return expansion.add_op(step, "norm", norm.operator, (value,), path, attrs)


def _add_activation(
    expansion: _Expansion, step: StepSpec, value: int, known: KnownWidths, path: Path
) -> int:
    activation = expansion.choose_activation(step)
    attrs = activation.attrs(expansion.count_channels(value))
    return expansion.add_op(step, activation.kind, activation.kind, (value,), path, attrs)


def _add_dropout(
    expansion: _Expansion, step: StepSpec, value: int, known: KnownWidths, path: Path
) -> int:
    """Dropout of any kind: the part's rate where it names none, which may grow with depth."""
    part, rate = expansion.part, step.settings.rate
    if rate is None:
        rate = part.drop_rate if part.drop_after == "layer" else 0.0
    if getattr(step.settings, "over", None) == "depth":
        rate = round(rate * part.depth, RATE_DIGITS)
    return expansion.add_dropout(step, value, path, rate, step.kind)


def _add_squeeze_excite(
    expansion: _Expansion, step: StepSpec, value: int, known: KnownWidths, path: Path
) -> int:
    said, channels = step.settings, expansion.count_channels(value)
    inner = count_inner(channels, said.reduction)
    names = name_gate_operators(said.activation)
    made = value
    operators = list_gate_operators(channels, inner, said.activation, said.gate)
    for name, (kind, attrs) in zip(names, operators, strict=True):
        made = expansion.add_op(step, name, kind, (made,), path, attrs)
    return expansion.add_op(step, "se", JOIN, (value, made), path)


def _add_branches(
    expansion: _Expansion, step: StepSpec, value: int, known: KnownWidths, path: Path
) -> int:
    branches = step.settings
    ends = tuple(
        expansion.add_steps(branch, value, (*path, "branches", "of", number))
        for number, branch in enumerate(branches.of)
    )
    return expansion.add_op(step, "join", branches.join, ends, path)


_MAKERS: Mapping[str, Callable[[_Expansion, StepSpec, int, KnownWidths, Path], int]] = {
    **dict.fromkeys(STEPS, _add_operator),
    **{name: _add_dropout for name, row in STEPS.items() if row.is_of_training},
    "conv": _add_conv,
    "norm": _add_norm,
    "activation": _add_activation,
    "squeeze_excite": _add_squeeze_excite,
    "branches": _add_branches,
}
"""What makes the operators of a step; steps that are not one operator have their own."""

# Base names of the operators that a step comes to, where they are not its kind.
_BASE_NAMES: Mapping[str, tuple[str, ...]] = {
    **{name: (row.step.base_name,) for name, row in STEPS.items() if row.step},
    "branches": ("join",),
}
