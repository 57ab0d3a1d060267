"""What a part of a network, a stem, a layer, a transition or a head, comes to: its steps as operators.

The builder makes a region's operators from this, and the verifier expands the region's declaration anew to see
that the graph still has them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from archspec.operators.operator import Attrs
from archspec.operators.table import OPERATORS, STEPS
from archspec.settings import Path
from archspec.spec.steps import ActivationSpec, NormSpec, StepSpec

NONE: Attrs = MappingProxyType({})
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
    """`conv`: dropout stands behind each convolution, and steps that name no rate of their own say nothing."""
    depth: float = 1.0
    """How deep it stands in the network: 0 in the first dense layer, 1 in the last and behind it."""
    first: int | None = 1
    """The number of the first operator of a kind; None: a number only where there are several."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One operator of a part: its local name, kind and attributes, and which pieces it reads (-1: the part's input)."""

    name: str
    kind: str
    attrs: Attrs
    reads: tuple[int, ...]
    channels: int
    """That it gives."""
    path: Path = ()
    """Of its step in the part's list."""


def expand(part: Part) -> tuple[Piece, ...]:
    """Return the operators of a part in running order; the last one gives the part's output."""
    return tuple(_Expansion(part).pieces)


@dataclass
class _Expansion:
    part: Part
    pieces: list[Piece] = field(default_factory=list)
    names: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.taken = {step.name for step in _all(self.part.steps)}
        self.numbered = Counter(
            base for step in _all(self.part.steps) for base in self._bases(step)
        )
        self.run(self.part.steps, -1, ())

    def run(self, steps: tuple[StepSpec, ...], value: int, path: Path) -> int:
        """Append the pieces of a list of steps that reads `value`; return what gives the list's output."""
        known = {**dict(self.part.widths), "in": self.width(value)}
        for index, step in enumerate(steps):
            value = _MAKERS[step.kind](self, step, value, known, (*path, index))
        return value

    def width(self, value: int) -> int:
        return self.part.channels if value < 0 else self.pieces[value].channels

    def add(
        self,
        step: StepSpec,
        base: str,
        kind: str,
        reads: tuple[int, ...],
        path: Path,
        attrs: Attrs = NONE,
    ) -> int:
        """Append a piece; its name is the step's own where its kind is the step's, else numbered by `base`."""
        own = step.name if base == self._bases(step)[-1] else ""
        channels = OPERATORS[kind].channels(attrs, [self.width(read) for read in reads])
        self.pieces.append(Piece(own or self._number(base), kind, attrs, reads, channels, path))
        return len(self.pieces) - 1

    def _number(self, base: str) -> str:
        first = self.part.first
        if first is None and self.numbered[base] == 1 and base not in self.taken:
            return base
        number = self.names.get(base, 1 if first is None else first)
        while f"{base}{number}" in self.taken:
            number += 1
        self.names[base] = number + 1
        return f"{base}{number}"

    def _bases(self, step: StepSpec) -> tuple[str, ...]:
        """The base names of what a step comes to; the last one may bear the step's own name."""
        if step.kind == "activation":
            return (self.activation(step).kind,)
        if step.kind == "squeeze_excite":
            return (
                "se_pool",
                "se_reduce",
                f"se_{step.settings.activation.kind}",
                "se_expand",
                "se_gate",
                "se",
            )
        if step.kind == "conv" and self.part.drop_rate and self.part.drop_after == "conv":
            return ("drop", "conv")
        return _BASES.get(step.kind, (step.kind,))

    def activate(
        self, step: StepSpec, activation: ActivationSpec, value: int, path: Path, prefix: str = ""
    ) -> int:
        own = dict(activation.own_settings)
        if "channels" in OPERATORS[activation.kind].required:
            own["channels"] = self.width(value)
        base = f"{prefix}{activation.kind}"
        return self.add(step, base, activation.kind, (value,), path, own)

    def activation(self, step: StepSpec) -> ActivationSpec:
        return step.settings or self.part.activation

    def drop(
        self, step: StepSpec, value: int, path: Path, rate: float, kind: str = "dropout"
    ) -> int:
        """A rate of 0 is no operator."""
        row = STEPS[kind].step
        if row is None or not rate:
            return value
        return self.add(step, row.base_name, kind, (value,), path, {"rate": rate})


def _all(steps: tuple[StepSpec, ...]) -> Iterator[StepSpec]:
    for step in steps:
        yield step
        for branch in step.branches.of if step.branches else ():
            yield from _all(branch)


Known = dict[str, int]


def _operator(made: _Expansion, step: StepSpec, value: int, known: Known, path: Path) -> int:
    """A step that is one operator, as its row says."""
    row = STEPS[step.kind]
    assert row.step is not None
    attrs = row.step.attrs(step.settings, made.width(value), known)
    kind = row.step.kinds[step.settings.kind] if row.step.kinds else row.kind
    return made.add(step, row.step.base_name, kind, (value,), path, attrs)


def _conv(made: _Expansion, step: StepSpec, value: int, known: Known, path: Path) -> int:
    value = _operator(made, step, value, known, path)
    part = made.part
    return made.drop(step, value, path, part.drop_rate) if part.drop_after == "conv" else value


def _norm(made: _Expansion, step: StepSpec, value: int, known: Known, path: Path) -> int:
    norm = step.settings or made.part.norm
    if not norm.operator:
        return value
    attrs = {"channels": made.width(value), **norm.own_settings}
    return made.add(step, "norm", norm.operator, (value,), path, attrs)


def _activation(made: _Expansion, step: StepSpec, value: int, known: Known, path: Path) -> int:
    return made.activate(step, made.activation(step), value, path)


def _dropout(made: _Expansion, step: StepSpec, value: int, known: Known, path: Path) -> int:
    usual = made.part.drop_rate if made.part.drop_after == "layer" else 0.0
    return made.drop(step, value, path, usual if step.settings.rate is None else step.settings.rate)


def _dropout2d(made: _Expansion, step: StepSpec, value: int, known: Known, path: Path) -> int:
    return made.drop(step, value, path, step.settings.rate, step.kind)


def _drop_path(made: _Expansion, step: StepSpec, value: int, known: Known, path: Path) -> int:
    depth = made.part.depth if step.settings.over == "depth" else 1.0
    rate = round(step.settings.rate * depth, RATE_DIGITS)
    return made.drop(step, value, path, rate, step.kind)


def _squeeze_excite(made: _Expansion, step: StepSpec, value: int, known: Known, path: Path) -> int:
    gate, channels = step.settings, made.width(value)
    inner = max(1, channels // gate.reduction)
    point = {"kernel": 1, "stride": 1, "padding": 0, "dilation": 1, "groups": 1, "bias": True}
    mean = made.add(step, "se_pool", "global_avg_pool", (value,), path, {"keep": True})
    down = {"in_channels": channels, "out_channels": inner, **point}
    reduced = made.add(step, "se_reduce", "conv", (mean,), path, down)
    active = made.activate(step, gate.activation, reduced, path, "se_")
    up = {"in_channels": inner, "out_channels": channels, **point}
    expanded = made.add(step, "se_expand", "conv", (active,), path, up)
    scale = made.add(step, "se_gate", gate.gate, (expanded,), path)
    return made.add(step, "se", "multiply", (value, scale), path)


def _branches(made: _Expansion, step: StepSpec, value: int, known: Known, path: Path) -> int:
    branches = step.settings
    ends = tuple(
        made.run(branch, value, (*path, "branches", "of", number))
        for number, branch in enumerate(branches.of)
    )
    return made.add(step, "join", branches.join, ends, path)


_MAKERS: Mapping[str, Callable[[_Expansion, StepSpec, int, Known, Path], int]] = {
    **dict.fromkeys(STEPS, _operator),
    "conv": _conv,
    "norm": _norm,
    "activation": _activation,
    "dropout": _dropout,
    "dropout2d": _dropout2d,
    "drop_path": _drop_path,
    "squeeze_excite": _squeeze_excite,
    "branches": _branches,
}
"""What makes the operators of a step; steps that are not one operator have their own."""

# Base names of the operators that a step comes to, where they are not its kind.
_BASES: Mapping[str, tuple[str, ...]] = {
    **{name: (row.step.base_name,) for name, row in STEPS.items() if row.step},
    "branches": ("join",),
}
