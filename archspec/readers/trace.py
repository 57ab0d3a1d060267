"""What a MINDIR's functions compute with here: shapes, weights, closures; and an operator about to run.

A weight is a `Parameter` of mindir_file; sizes, texts and tuples are Python's own.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from archspec.errors import Diagnostic
from archspec.graph.ir import Graph, Op
from archspec.readers.mindir.decode import Parameter
from archspec.readers.tensors import Weights

MAX_CHANNELS = 2**31
MAX_NAME = 200

UNKNOWN = "is no operator of a dense network that is known here"


@dataclass(frozen=True, slots=True)
class Feature:
    """A tensor that depends on the image, (N, C, H, W) or (N, C); a free N is the text "N"."""

    op: str
    shape: tuple[Any, ...]
    pending: tuple[Any, ...] = ()
    """What still has to come before this is an operator's output: a window behind ("padding", (top, bottom, left,
    right)) or ("mirrored padding", the same), channels first again behind ("channels last",)."""
    doubtful: bool = False
    """It depends on an operator that is not known: what does not fit it is no fault of its own."""


@dataclass(frozen=True, slots=True)
class Closure:
    """A function with its first arguments."""

    function: str
    bound: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Unknown:
    """A value that is not followed; whatever needs it is not either."""

    fault: Diagnostic


class Strange(Exception):
    """A node does what the IR cannot say; the message is the predicate."""


@dataclass(slots=True)
class Found:
    """The operators that were met, in running order, and what is wrong with some of them."""

    ops: dict[str, Op] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    """The operator that used a weight first, by the weight."""
    implied: set[str] = field(default_factory=set)
    """ReLUs for which no node stands: a quantised value does without them."""
    shared: set[str] = field(default_factory=set)
    """Scales of channels that several nodes read."""
    taken: dict[str, int] = field(default_factory=dict)
    weights: dict[str, Weights] = field(default_factory=dict)
    """Where the values of an operator's weights are, by its name; operators without any have none."""

    def add(self, op: Op) -> str:
        """Add an operator and return its name."""
        self.ops[op.name] = op
        return op.name

    def note(self, name: str, weights: Sequence[Parameter]) -> None:
        """Note where an operator's weights are, the filters or scales first."""
        if weights:
            first, *others = (weight.place for weight in weights)
            self.weights[name] = Weights((first,), tuple(others))

    def varies(self, name: str, variance: Parameter) -> None:
        """Note which of a norm's weights is the variance."""
        self.weights[name] = replace(self.weights[name], variance=variance.place)

    def copy(self, op: str, name: str, *shifts: Parameter) -> None:
        """Note that an operator has the weights of another one, and more that are added."""
        known = self.weights.get(op, Weights())
        others = (*known.others, *(weight.place for weight in shifts))
        self.weights[name] = replace(known, others=others)

    def weights_of(self, graph: Graph) -> dict[str, Weights]:
        """Return where the weights of a graph's operators are."""
        return {name: self.weights[name] for name in graph.ops if name in self.weights}

    def rescale(self, op: str, weight: Parameter) -> None:
        """Note that an operator scales its channels once more."""
        known = self.weights.get(op, Weights())
        self.weights[op] = replace(known, scales=(*known.scales, weight.place))

    def shares(self, name: str, weights: Sequence[Parameter]) -> dict[str, str]:
        """Return the attribute of an operator some of whose weights another one has already."""
        owners = [self.owners.setdefault(weight.name, name) for weight in weights]
        return next(({"weights_of": owner} for owner in owners if owner != name), {})

    def free(self, name: str) -> str:
        """Return the name itself, or with a number where it is taken: functions may run several times."""
        number = self.taken[name] = self.taken.get(name, 0) + 1
        free = name if number == 1 else f"{name}#{number}"
        return free if free not in self.ops else self.free(f"{name}#")


@dataclass(frozen=True, slots=True)
class Call:
    """An operator about to run."""

    found: Found
    node: str
    primitive: str
    inputs: tuple[Any, ...]
    attrs: Mapping[str, Any]

    def feature(self, index: int = 0, dims: int = 0, pending: str = "") -> Feature:
        """Return an input that depends on the image, of so many dims, pending as the caller allows."""
        value = self.inputs[index]
        if not isinstance(value, Feature):
            raise Strange("does not read the image's features where it must")
        if value.pending and value.pending[0] != pending:
            raise Strange(f"reads part of a {value.pending[0]}")
        if dims and len(value.shape) != dims:
            raise Strange(f"reads a tensor of shape {value.shape}, must have {dims} dimensions")
        return value

    def is_pending(self, what: str) -> bool:
        """Return whether the first input is a feature of which this is to come."""
        x = self.inputs[0]
        return isinstance(x, Feature) and x.pending[:1] == (what,)

    def parameter(self, index: int, dims: int) -> Parameter:
        """Return an input that is a weight of so many dims."""
        value = self.inputs[index]
        if not isinstance(value, Parameter) or len(value.dims) != dims or min(value.dims) < 1:
            raise Strange("does not read a parameter where it must")
        return value

    def option(self, name: str, index: int, default: Any = None) -> Any:
        """Return a setting: an attribute in older files, a constant input in newer ones."""
        if name in self.attrs:
            return self.attrs[name]
        return self.inputs[index] if index < len(self.inputs) else default

    def number(self, name: str, index: int, usual: float) -> float:
        """Return a setting that is a number, the shortest decimal that is stored so."""
        return decimal(float(self.option(name, index, usual)))

    def op(
        self, kind: str, inputs: Sequence[Feature], shape: tuple[Any, ...], /, **attrs: Any
    ) -> Feature:
        """Add an operator and return its output; it is called after its weights where it has any."""
        weights = attrs.pop("weights", ())
        if shape[1] > MAX_CHANNELS:
            raise Strange(f"gives more than {MAX_CHANNELS:,} channels")
        called = short_name(weights[0].name).rpartition(".")[0] if weights else ""
        name = self.found.free(called or short_name(self.node))
        attrs |= self.found.shares(name, weights)
        self.found.add(Op(name, kind, tuple(x.op for x in inputs), MappingProxyType(attrs)))
        self.found.note(name, weights)
        return Feature(name, shape, doubtful=any(x.doubtful for x in inputs))

    def elementwise(self, kind: str, **attrs: Any) -> Feature:
        """Add an operator that changes each value by itself."""
        x = self.feature()
        return self.op(kind, [x], x.shape, **attrs)

    def part(
        self, kind: str, inputs: Sequence[Feature], shape: tuple[Any, ...], /, **attrs: Any
    ) -> Feature:
        """Add what is no operator of the IR but may be a part of one; by itself it is a fault."""
        made = self.op(kind, inputs, shape, **attrs)
        self.found.faults[made.op] = f"{self.primitive} {UNKNOWN}"
        return made


UNBOUNDED = 1e30
"""Bounds beyond this are none."""


def between(low: float, high: float) -> tuple[str, dict[str, float]]:
    """Return what cuts off all below and above two bounds, and its attributes."""
    if low == 0 and (high == 6 or high > UNBOUNDED):
        return ("relu6" if high == 6 else "relu"), {}
    low, high = decimal(low), decimal(high)
    if not -UNBOUNDED < low < high < UNBOUNDED:
        raise Strange(
            f"clips to [{low}, {high}]; both must be numbers, the second larger, or [0, inf)"
        )
    return "hard_tanh", {"low": low, "high": high}


def decimal(stored: float) -> float:
    """1e-05 of 9.999999747378752e-06: the shortest decimal that a float32 stores as it is stored."""
    decimals = (float(f"{stored:.{digits}g}") for digits in range(1, 10))
    return next((d for d in decimals if struct.pack("f", d) == struct.pack("f", stored)), stored)


def short_name(name: str) -> str:
    """Return `CNode_47` of `network_construct_35:CNode_47:13`, `conv0.weight` of `Default:conv0.weight`."""
    parts = name.split(":")
    return (parts[1] if len(parts) > 1 and parts[1] else parts[0]).partition("$")[0][:MAX_NAME]
