"""What the operators of a file compute with here, those that were met,
and one that is about to run.

A value that depends on the image is a `Feature`; a weight is a `Tensor`. What else there is, the
format says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, NoReturn

from archspec.errors import Diagnostic
from archspec.graph.ir import Graph, Op
from archspec.readers.tensors import Computed, OperatorWeights, Source, Tensor
from archspec.stored_numbers import decimal

MAX_CHANNELS = 2**31
MAX_NAME = 200

UNKNOWN = "is no operator of a dense network that is known here"


@dataclass(frozen=True, slots=True)
class Feature:
    """A tensor that depends on the image, (N, C, H, W) or (N, C); a free N is the text "N"."""

    op: str
    shape: tuple[Any, ...]
    pending: tuple[Any, ...] = ()
    """What still has to come before this is an operator's output: a window behind ("padding", (top,
    bottom, left, right)) or ("mirrored padding", the same), channels first again behind ("channels
    last",)."""
    doubtful: bool = False
    """It depends on an operator that is not known: what does not fit it is no fault of its own."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A value that is not followed; whatever needs it is not either."""

    fault: Diagnostic


@dataclass(frozen=True, slots=True)
class Grid:
    """What a feature is rounded and clipped to: `scale * (whole number - zero)`."""

    scale: Any
    """Positive, an array of one, or of one for each place along an axis."""
    zero: Any
    """As many whole numbers, whose type says the least and the largest one."""
    axis: int
    op: str = ""
    """The operator that makes the feature."""
    shape: tuple[Any, ...] = ()
    """Of what that gives."""
    is_last: bool = False
    """The feature's channels stand last in the file."""


class Unsupported(Exception):
    """A node does what the IR cannot say; the message is the predicate."""


@dataclass(slots=True)
class Trace:
    """The operators that were met, in running order, and what is wrong with some of them."""

    ops: dict[str, Op] = field(default_factory=dict)
    shapes: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    """Of their outputs, by the operators' names."""
    faults: dict[str, str] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    """The operator that used a weight first, by the weight."""
    implied: dict[str, float] = field(default_factory=dict)
    """ReLUs for which no node stands, since a quantised value does without them; and the largest
    value that this has."""
    wholes: dict[tuple[Any, ...], str] = field(default_factory=dict)
    """Operators that several nodes come to, by their kind, numbers and what they read."""
    written: dict[str, str] = field(default_factory=dict)
    """The last of the nodes that such an operator was written out in, by the operator's name."""
    grids: dict[str, Grid] = field(default_factory=dict)
    """What features are rounded to, by the whole numbers' name in the file."""
    whole_weights: dict[str, Computed] = field(default_factory=dict)
    """Constants that whole numbers stand for, by their name in the file."""
    shared: set[str] = field(default_factory=set)
    """Scales of channels that several nodes read."""
    taken: dict[str, int] = field(default_factory=dict)
    weights: dict[str, OperatorWeights] = field(default_factory=dict)
    """Where the values of an operator's weights are, by its name;
    operators without any have none."""

    def add(self, op: Op, shape: tuple[Any, ...]) -> str:
        """Add an operator and the shape of its output, and return its name."""
        self.ops[op.name] = op
        self.shapes[op.name] = shape
        return op.name

    def note(self, name: str, weights: Sequence[Tensor]) -> None:
        """Note where an operator's weights are, the filters or scales first."""
        if weights:
            first, *others = (weight.place for weight in weights)
            self.weights[name] = OperatorWeights((first,), tuple(others))

    def varies(self, name: str, variance: Tensor) -> None:
        """Note which of a norm's weights is the variance."""
        self.weights[name] = replace(self.weights[name], variance=variance.place)

    def copy(self, op: str, name: str, *shifts: Tensor) -> None:
        """Note that an operator has the weights of another one, and more that are added."""
        known = self.weights.get(op, OperatorWeights())
        others = (*known.others, *(weight.place for weight in shifts))
        self.weights[name] = replace(known, others=others)

    def weights_of(self, graph: Graph) -> dict[str, OperatorWeights]:
        """Return where the weights of a graph's operators are."""
        return {name: self.weights[name] for name in graph.ops if name in self.weights}

    def rescale(self, op: str, weight: Tensor) -> None:
        """Note that an operator scales its channels once more."""
        known = self.weights.get(op, OperatorWeights())
        self.weights[op] = replace(known, scales=(*known.scales, weight.place))

    def shift_before(self, op: str, shift: Source) -> None:
        """Note what is added to an operator's input before it scales this."""
        self.weights[op] = replace(self.weights[op], before=shift)

    def shares(self, name: str, weights: Sequence[Tensor]) -> dict[str, str]:
        """Return the attribute of an operator some of whose weights another one has already."""
        owners = [self.owners.setdefault(weight.name, name) for weight in weights]
        return next(({"weights_of": owner} for owner in owners if owner != name), {})

    def free(self, name: str) -> str:
        """Return the name itself, or with a number where it is taken:
        functions may run several times.
        """
        number = self.taken[name] = self.taken.get(name, 0) + 1
        free = name if number == 1 else f"{name}#{number}"
        return free if free not in self.ops else self.free(f"{name}#")


@dataclass(frozen=True, slots=True)
class Call:
    """An operator about to run; each format adds what it alone has."""

    trace: Trace
    node: str
    kind: str
    """What the format calls the operator: `Conv`, `com.microsoft::Gelu`, `BiasAdd`."""
    inputs: tuple[Any, ...]
    attrs: Mapping[str, Any]

    def has(self, index: int) -> bool:
        """An input is given."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def is_pending(self, what: str) -> bool:
        """Return whether the first input is a feature of which this is to come."""
        x = self.inputs[0]
        return isinstance(x, Feature) and x.pending[:1] == (what,)

    def feature(self, index: int = 0, dims: int = 0, pending: str = "") -> Feature:
        """Return an input that depends on the image, of so many dims,
        pending as the caller allows.
        """
        value = self.inputs[index] if self.has(index) else None
        if not isinstance(value, Feature):
            raise Unsupported("does not read the image's features where it must")
        if value.pending and value.pending[0] != pending:
            raise Unsupported(f"reads part of a {value.pending[0]}")
        if dims and len(value.shape) != dims:
            raise Unsupported(f"reads a tensor of shape {value.shape}, must have {dims} dimensions")
        return value

    def any_feature(self, index: int = 0) -> Feature:
        """Return an input that depends on the image, wherever its channels stand."""
        return self.feature(index)

    def is_feature(self, value: Any) -> bool:
        """Return whether a value is a feature by itself, and no part of one."""
        return isinstance(value, Feature) and not value.pending

    def is_weight(self, value: Any) -> bool:
        """Return whether a value is a constant that the file has."""
        return isinstance(value, Tensor)

    def maker(self, x: Feature) -> Op:
        """Return the operator that gives a feature."""
        return self.trace.ops[x.op]

    def weight(self, index: int, dims: int) -> Tensor:
        """Return an input that is a weight of so many dims."""
        value = self.inputs[index] if self.has(index) else None
        if (
            not isinstance(value, Tensor)
            or len(value.dims) != dims
            or any(size < 1 for size in value.dims)
        ):
            raise Unsupported("does not read a parameter where it must")
        return value

    def option(self, name: str, index: int, default: Any = None) -> Any:
        """Return a setting: an attribute in older files, a constant input in newer ones."""
        if name in self.attrs:
            return self.attrs[name]
        return self.inputs[index] if index < len(self.inputs) else default

    def number(self, name: str, usual: float, index: int | None = None) -> float:
        """Return a setting that is a number, the shortest decimal that is stored so.

        With `index` it may be an input too.
        """
        value = self.attrs.get(name, usual) if index is None else self.option(name, index, usual)
        return decimal(float(value))

    def decimal(self, value: float) -> float:
        """Return a number as the shortest decimal that is stored so."""
        return decimal(float(value))

    def text(self, name: str, usual: str) -> str:
        """Return an attribute that is a word."""
        return str(self.attrs.get(name, usual))

    def refuse(self, why: str) -> NoReturn:
        """Say that a node does what the IR cannot say; `why` is the predicate."""
        raise Unsupported(why)

    def known(self, name: str) -> Feature:
        """Return the output of an operator that was met before."""
        return Feature(name, self.trace.shapes[name])

    def op(
        self,
        kind: str,
        inputs: Sequence[Feature],
        shape: tuple[Any, ...],
        /,
        weights: Sequence[Tensor] = (),
        **attrs: Any,
    ) -> Feature:
        """Add an operator and return its output;
        it is called after its weights where it has any.
        """
        if shape[1] > MAX_CHANNELS:
            raise Unsupported(f"gives more than {MAX_CHANNELS:,} channels")
        called = self.short(weights[0].name).rpartition(".")[0] if weights else ""
        name = self.trace.free((called or self.short(self.node))[:MAX_NAME])
        attrs |= self.trace.shares(name, self.tell_apart(weights))
        op = Op(name, kind, tuple(x.op for x in inputs), MappingProxyType(attrs))
        self.trace.add(op, shape)
        self.trace.note(name, weights)
        return Feature(name, shape, doubtful=any(x.doubtful for x in inputs))

    def elementwise(self, kind: str, index: int = 0, /, **attrs: Any) -> Feature:
        """Add an operator that changes each value of an input by itself."""
        return self.in_place(kind, self.any_feature(index), **attrs)

    def in_place(
        self, kind: str, x: Feature, /, weights: Sequence[Tensor] = (), **attrs: Any
    ) -> Feature:
        """Add an operator that gives the shape which it reads, channels where they stood."""
        return self.like(x, self.op(kind, [x], x.shape, weights, **attrs))

    def like(self, x: Feature, made: Feature) -> Feature:
        """Return what was made, with its channels where x has them."""
        return replace(made, pending=x.pending)

    def part(
        self, kind: str, inputs: Sequence[Feature], shape: tuple[Any, ...], /, **attrs: Any
    ) -> Feature:
        """Add what is no operator of the IR but may be a part of one; by itself it is a fault."""
        made = self.op(kind, inputs, shape, **attrs)
        self.trace.faults[made.op] = f"{self.kind} {UNKNOWN}"
        return made

    def blame(self, made: Feature, why: str) -> None:
        """Refuse the node if what it gives leads to an output; `why` is the predicate."""
        self.trace.faults[made.op] = f"{self.kind} {why}"

    def add_bias(self, made: Feature, bias: Tensor) -> None:
        """Note that an operator has a bias beside its filters."""
        self.trace.copy(made.op, made.op, bias)

    def note_variance(self, made: Feature, variance: Tensor) -> None:
        """Note which of a norm's weights is the variance."""
        self.trace.varies(made.op, variance)

    def short(self, name: str) -> str:
        """Return what a node or a weight is called in the graph."""
        return name

    def tell_apart(self, weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Return the weights by which an operator that runs a second time is known."""
        return weights


def flatten_tuples(values: Iterable[Any]) -> Iterator[Any]:
    """Yield values, and in place of a tuple its own."""
    for value in values:
        if isinstance(value, tuple):
            yield from value
        else:
            yield value
