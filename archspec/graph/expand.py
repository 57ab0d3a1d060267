"""What a part of a network, a stem, a layer, a transition or a head, comes to: its steps as operators.

The builder makes a region's operators from this, and the verifier expands the region's declaration anew to see
that the graph still has them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from archspec.graph.ir import Attrs
from archspec.spec.reading.document import Path
from archspec.spec.steps import ActivationSpec, NormSpec, StepSpec, same_padding, width_of

NONE: Attrs = MappingProxyType({})


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
        channels: int,
        path: Path,
        attrs: Attrs = NONE,
    ) -> int:
        """Append a piece; its name is the step's own where its kind is the step's, else numbered by `base`."""
        own = step.name if base == self._bases(step)[-1] else ""
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
        channels, own = self.width(value), dict[str, Any]()
        if activation.kind == "leaky_relu":
            own = {"slope": 0.01 if activation.slope is None else activation.slope}
        if activation.kind == "prelu":
            own = {
                "channels": channels,
                "slope": 0.25 if activation.slope is None else activation.slope,
            }
        return self.add(
            step, f"{prefix}{activation.kind}", activation.kind, (value,), channels, path, own
        )

    def activation(self, step: StepSpec) -> ActivationSpec:
        return step.settings or self.part.activation

    def drop(self, step: StepSpec, value: int, path: Path, rate: float) -> int:
        """A rate of 0 is no operator."""
        return (
            self.add(step, "drop", "dropout", (value,), self.width(value), path, {"rate": rate})
            if rate
            else value
        )


def _all(steps: tuple[StepSpec, ...]) -> Iterator[StepSpec]:
    for step in steps:
        yield step
        for branch in step.branches.of if step.branches else ():
            yield from _all(branch)


Known = dict[str, int]


def _set(**flags: bool) -> dict[str, bool]:
    """The flags that are set: an operator's attributes leave the usual unsaid."""
    return {name: True for name, given in flags.items() if given}


def _conv(made: _Expansion, step: StepSpec, value: int, known: Known, path: Path) -> int:
    conv, ins = step.settings, made.width(value)
    outs = ins if conv.width is None else width_of(conv.width, known)
    padding = conv.padding
    if padding is None:
        padding = same_padding(conv.kernel, conv.dilation)
    window = {
        "kernel": conv.kernel,
        "stride": conv.stride,
        "padding": padding,
        "dilation": conv.dilation,
    }
    groups = ins if conv.groups == "depthwise" else conv.groups
    attrs = {
        "in_channels": ins,
        "out_channels": outs,
        **window,
        "groups": groups,
        **_set(bias=conv.bias),
    }
    value = made.add(step, "conv", "conv", (value,), outs, path, attrs)
    return (
        made.drop(step, value, path, made.part.drop_rate)
        if made.part.drop_after == "conv"
        else value
    )


def _conv_transpose(made: _Expansion, step: StepSpec, value: int, known: Known, path: Path) -> int:
    conv, ins = step.settings, made.width(value)
    outs = ins if conv.width is None else width_of(conv.width, known)
    window = {"kernel": conv.kernel, "stride": conv.stride, "padding": conv.padding}
    attrs = {"in_channels": ins, "out_channels": outs, **window, **_set(bias=conv.bias)}
    return made.add(step, "conv", "conv_transpose", (value,), outs, path, attrs)


def _norm(made: _Expansion, step: StepSpec, value: int, known: Known, path: Path) -> int:
    norm, channels = step.settings or made.part.norm, made.width(value)
    if norm.kind == "none":
        return value
    own = {"batch": {"momentum": norm.momentum}, "group": {"groups": norm.groups}}.get(
        norm.kind, {}
    )
    attrs = {"channels": channels, "eps": norm.eps, **own}
    return made.add(step, "norm", f"{norm.kind}_norm", (value,), channels, path, attrs)


def _activation(made: _Expansion, step: StepSpec, value: int, known: Known, path: Path) -> int:
    return made.activate(step, made.activation(step), value, path)


def _pool(made: _Expansion, step: StepSpec, value: int, known: Known, path: Path) -> int:
    pool = step.settings
    attrs = {
        "kernel": pool.kernel,
        "stride": pool.stride,
        "padding": pool.padding,
        **_set(ceil=pool.ceil),
    }
    return made.add(step, "pool", step.kind, (value,), made.width(value), path, attrs)


def _blur_pool(made: _Expansion, step: StepSpec, value: int, known: Known, path: Path) -> int:
    kernel, stride = step.settings.kernel, step.settings.stride
    padding = (stride - 1 + kernel - 1) // 2
    attrs = {"kernel": kernel, "stride": stride, "padding": padding}
    return made.add(step, "pool", "blur_pool", (value,), made.width(value), path, attrs)


def _global_pool(made: _Expansion, step: StepSpec, value: int, known: Known, path: Path) -> int:
    return made.add(
        step,
        "pool",
        "global_avg_pool",
        (value,),
        made.width(value),
        path,
        _set(keep=step.settings.keep),
    )


def _upsample(made: _Expansion, step: StepSpec, value: int, known: Known, path: Path) -> int:
    attrs = {"factor": step.settings.factor, "mode": step.settings.mode}
    return made.add(step, "upsample", "upsample", (value,), made.width(value), path, attrs)


def _dropout(made: _Expansion, step: StepSpec, value: int, known: Known, path: Path) -> int:
    usual = made.part.drop_rate if made.part.drop_after == "layer" else 0.0
    return made.drop(step, value, path, usual if step.settings.rate is None else step.settings.rate)


def _dense(made: _Expansion, step: StepSpec, value: int, known: Known, path: Path) -> int:
    outs = width_of(step.settings.width, known)
    attrs = {
        "in_channels": made.width(value),
        "out_channels": outs,
        **({} if step.settings.bias else {"bias": False}),
    }
    return made.add(step, "dense", "dense", (value,), outs, path, attrs)


def _squeeze_excite(made: _Expansion, step: StepSpec, value: int, known: Known, path: Path) -> int:
    gate, channels = step.settings, made.width(value)
    inner = max(1, channels // gate.reduction)
    point = {"kernel": 1, "stride": 1, "padding": 0, "dilation": 1, "groups": 1, "bias": True}
    mean = made.add(step, "se_pool", "global_avg_pool", (value,), channels, path, {"keep": True})
    down = {"in_channels": channels, "out_channels": inner, **point}
    reduced = made.add(step, "se_reduce", "conv", (mean,), inner, path, down)
    active = made.activate(step, gate.activation, reduced, path, "se_")
    up = {"in_channels": inner, "out_channels": channels, **point}
    expanded = made.add(step, "se_expand", "conv", (active,), channels, path, up)
    scale = made.add(step, "se_gate", gate.gate, (expanded,), channels, path)
    return made.add(step, "se", "multiply", (value, scale), channels, path)


def _slice(made: _Expansion, step: StepSpec, value: int, known: Known, path: Path) -> int:
    start, stop = step.settings.start, step.settings.stop
    first = 0 if start is None else width_of(start, known)
    end = made.width(value) if stop is None else width_of(stop, known)
    return made.add(
        step, "slice", "slice", (value,), end - first, path, {"start": first, "stop": end}
    )


def _shuffle(made: _Expansion, step: StepSpec, value: int, known: Known, path: Path) -> int:
    return made.add(
        step,
        "shuffle",
        "shuffle",
        (value,),
        made.width(value),
        path,
        {"groups": step.settings.groups},
    )


def _branches(made: _Expansion, step: StepSpec, value: int, known: Known, path: Path) -> int:
    branches = step.settings
    ends = tuple(
        made.run(branch, value, (*path, "branches", "of", number))
        for number, branch in enumerate(branches.of)
    )
    widths = [made.width(end) for end in ends]
    channels = sum(widths) if branches.join == "concat" else widths[0]
    return made.add(step, "join", branches.join, ends, channels, path)


_MAKERS = {
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "norm": _norm,
    "activation": _activation,
    "max_pool": _pool,
    "avg_pool": _pool,
    "blur_pool": _blur_pool,
    "global_pool": _global_pool,
    "upsample": _upsample,
    "dropout": _dropout,
    "dense": _dense,
    "squeeze_excite": _squeeze_excite,
    "slice": _slice,
    "shuffle": _shuffle,
    "branches": _branches,
}

# Base names of the operators that a step comes to, where they are not its kind.
_BASES: Mapping[str, tuple[str, ...]] = {
    "conv_transpose": ("conv",),
    "max_pool": ("pool",),
    "avg_pool": ("pool",),
    "blur_pool": ("pool",),
    "global_pool": ("pool",),
    "dropout": ("drop",),
    "branches": ("join",),
}
