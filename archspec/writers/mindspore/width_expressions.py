"""The widths inside alike containers, written as expressions that hold for all of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from archspec.graph.ir import Op
from archspec.operators.operator import made_or_same
from archspec.operators.table import OPERATORS
from archspec.writers.mindspore.containers import Container, makes, path_of, reads

# Widths that a region may declare, in the order in which a class takes them.
PARAMETERS = (
    "num_layers",
    "in_channels",
    "out_channels",
    "growth_rate",
    "growth_rates",
    "bottleneck",
)

Item = Op | Container
Values = Sequence[Any]
"""A value for each of the alike containers."""
Sum = Counter[str]
"""A width as a sum of expressions, each with how often it counts; `1` is the number one."""

_LIKELIEST_OF = {**dict.fromkeys(("start", "stop", "size"), ("in_channels",)), "rate": ()}
LIKELIEST = ("out_channels", "growth_rate", "bottleneck * growth_rate", "in_channels", "bottleneck")


class Written(Protocol):
    """A class that is written already, with the arguments that each of its instances takes."""

    @property
    def arguments(self) -> Mapping[str, Mapping[str, Any]]:
        """By a container's path: what its instance is given for each parameter."""


class Widths:
    """Channels of the values in alike containers, written as expressions that hold for all of them.

    A width is what the region declares, a product of two, a sum, a multiple or part of these, a number that is the
    same for all, or else a parameter of its own. Items are followed in running order.
    """

    def __init__(
        self,
        alike: Sequence[Container],
        rows: Sequence[Sequence[Item]],
        made: Mapping[str, Written],
        channels: Mapping[str, int],
    ) -> None:
        """Begin with what the regions declare.

        Args:
            alike: containers of one class.
            rows: the items of each that stand in the class one by one; those at one place are alike.
            made: the classes of nested containers, by path.
            channels: of every value of the graph.
        """
        self.alike, self.rows, self.made, self.channels = alike, rows, made, channels
        declared = {p: [container.attrs.get(p) for container in alike] for p in PARAMETERS}
        self.known: dict[str, Values] = {
            p: values for p, values in declared.items() if None not in values
        }
        self.parameters = dict(self.known)
        if "growth_rate" in self.known and "bottleneck" in self.known:
            pairs = zip(self.known["bottleneck"], self.known["growth_rate"], strict=True)
            self.known["bottleneck * growth_rate"] = [factor * growth for factor, growth in pairs]
        self.sums: dict[str, Sum | None] = {}
        if "in_channels" in self.known:
            self.sums |= dict.fromkeys(alike[0].entering[:1], Sum(["in_channels"]))
        self.layers: tuple[str, ...] = ()

    def add(self, parameter: str, values: Values) -> str:
        """Return the name of a parameter of the class that has these values."""
        while parameter in self.known and self.known[parameter] != list(values):
            parameter += "_"
        self.known[parameter] = self.parameters[parameter] = list(values)
        return parameter

    def count_layer_by_layer(self) -> None:
        """Let `c` hold the channels of each source of a block, whose layers differ in what they add."""
        layers = [layers_of(block) for block in self.alike]
        self.layers = tuple(layer.path for layer in layers[0])
        self.add("growth_rates", [rates_of(block) for block in self.alike])
        for number, same in enumerate(zip(*layers, strict=True), start=1):
            self.known[f"c[{number}]"] = [layer.attrs["growth_rate"] for layer in same]
        self.known["c[0]"] = self.known["in_channels"]
        self.sums |= dict.fromkeys(self.alike[0].entering[:1], Sum(["c[0]"]))

    def follow(self, position: int) -> None:
        """Note the width of what the items at a position read and give."""
        item = self.rows[0][position]
        if isinstance(item, Container):
            self.sums |= dict.fromkeys(makes(item), self._given_by(position, item))
        elif item.kind == "concat":
            self.sums[item.name] = self._joined(item.inputs)
        elif item.kind == "slice":
            width = self._attribute(position, "stop")
            width.subtract(self._attribute(position, "start"))
            self.sums[item.name] = width
        else:
            self._follow_operator(position, item)

    def of_value(self, value: str) -> str:
        """Return the width of a value that an operator reads or makes; '' where nothing says it."""
        found = self.sums.get(value)
        return "" if found is None else text(found)

    def of_attribute(self, position: int, name: str) -> str:
        """Return an attribute of the operators at a position, which may differ between alike containers."""
        return text(self._attribute(position, name))

    def of_child(self, position: int, parameter: str) -> str:
        """Return a parameter of the nested containers at a position, as their parent passes it on."""
        return text(self._child(position, parameter))

    def holds(self, width: Sum | None, values: Values) -> bool:
        """Return whether a width comes to these values in the alike containers."""
        return width is not None and self._values(width) == list(values)

    def _growth(self, layer: Container) -> Sum | None:
        if self.layers:
            return Sum([f"c[{self.layers.index(layer.path) + 1}]"])
        return Sum(["growth_rate"]) if "growth_rate" in self.known else None

    def _follow_operator(self, position: int, op: Op) -> None:
        source = op.inputs[0]
        for name in {"in_channels", "channels"} & op.attrs.keys():
            if not self.holds(self.sums.get(source), self._of_all(position, name)):
                self.sums[source] = self._attribute(position, name)
        is_written = "{ins}" in OPERATORS[op.kind].mindspore.cell
        if is_written and self.sums.get(source) is None:  # it declares no channels
            read = [self.channels[reads(row[position])[0]] for row in self.rows]
            self.sums[source] = self._wording(position, "in_channels", read)
        if OPERATORS[op.kind].channels is not made_or_same:
            self._follow_changed(position, op)
            return
        makes_channels = "out_channels" in op.attrs
        self.sums[op.name] = (
            self._attribute(position, "out_channels") if makes_channels else self.sums.get(source)
        )

    def _follow_changed(self, position: int, op: Op) -> None:
        """Of what gives other channels than it reads and declares none: a multiple or a part of these."""
        made = [self.channels[makes(row[position])[0]] for row in self.rows]
        self.sums[op.name] = self._wording(position, "out_channels", made)

    def _given_by(self, position: int, child: Container) -> Sum | None:
        if len(child.leaving) != 1:
            return None
        if child.kind == "dense_layer":
            return self._growth(child)
        return (
            self._child(position, "out_channels")
            if "out_channels" in self._arguments(position)[0]
            else None
        )

    def _joined(self, inputs: Sequence[str]) -> Sum | None:
        parts = [self.sums.get(value) for value in inputs]
        joined: Sum = Counter()
        for part in parts:
            if part is None:
                return None
            joined.update(part)
        if self.alike[0].kind == "dense_block":
            return joined
        return next(
            (Sum([name]) for name in LIKELIEST if self.known.get(name) == self._values(joined)),
            joined,
        )

    def _arguments(self, position: int) -> list[Mapping[str, Any]]:
        paths = [path_of(row[position]) for row in self.rows]
        return [self.made[path].arguments[path] for path in paths]

    def _child(self, position: int, parameter: str) -> Sum:
        child, values = (
            self.rows[0][position],
            [given[parameter] for given in self._arguments(position)],
        )
        assert isinstance(child, Container)
        guesses = [Sum([parameter])] if parameter in self.parameters else []
        if parameter == "in_channels" and child.entering:
            guesses.insert(0, self.sums.get(child.entering[0]) or Sum(["1"]))
        if (
            parameter == "growth_rate"
            and child.kind == "dense_layer"
            and (growth := self._growth(child))
        ):
            guesses.insert(0, growth)
        found = next((guess for guess in guesses if self.holds(guess, values)), None)
        return (
            found
            or _constant(values)
            or Sum([self.add(_named(self.alike[0].local(child), parameter), values)])
        )

    def _attribute(self, position: int, name: str) -> Sum:
        return self._wording(position, name, self._of_all(position, name))

    def _wording(self, position: int, name: str, values: list[Any]) -> Sum:
        """Values of an attribute, or of what could be one, as an expression or a parameter."""
        local = self.alike[0].local(self.rows[0][position])
        likeliest = _LIKELIEST_OF.get(name, LIKELIEST)
        known = [expression for expression in likeliest if expression in self.known]
        same = next(
            (Sum([expression]) for expression in known if self.known[expression] == values), None
        )
        found = same or _constant(values)
        if found is not None:
            return found
        multiples = (
            pair for expression in known for pair in _multiples(expression, self.known[expression])
        )
        wording = next((wording for wording, multiple in multiples if multiple == values), "")
        if wording:
            self.known[wording] = values
            return Sum([wording])
        return Sum([self.add(_named(local, name), values)])

    def _of_all(self, position: int, name: str) -> list[Any]:
        return [row[position].attrs[name] for row in self.rows]

    def _values(self, width: Sum) -> list[Any]:
        rows = range(len(self.alike))
        return [
            sum(
                times * (1 if atom == "1" else self.known[atom][n]) for atom, times in width.items()
            )
            for n in rows
        ]


def layers_of(block: Container) -> tuple[Container, ...]:
    """Return the dense layers of a block."""
    return tuple(child for child in block.containers if child.kind == "dense_layer")


def rates_of(block: Container) -> tuple[Any, ...]:
    """Return what each layer of a block adds."""
    return tuple(layer.attrs.get("growth_rate") for layer in layers_of(block))


def grows_evenly(block: Container) -> bool:
    """Return whether each of a block's layers adds what the block says."""
    return {*rates_of(block)} <= {block.attrs.get("growth_rate")}


def text(width: Sum) -> str:
    """Return a sum as Python text."""
    terms = []
    for atom, times in width.items():
        term = str(abs(times)) if atom == "1" else _times(atom, abs(times))
        if times or len(width) == 1:
            terms.append(f"{'-' if times < 0 else '+'} {term}")
    return " ".join(terms).removeprefix("+ ")


def _times(atom: str, times: int) -> str:
    if times == 1:
        return atom
    return f"{times} * ({atom})" if " " in atom else f"{times} * {atom}"


def _constant(values: Values) -> Sum | None:
    """What all have in common."""
    if any(value != values[0] for value in values):
        return None
    value = values[0]
    if isinstance(value, int):
        return Sum({"1": value})
    return Sum([_tuple(value) if isinstance(value, tuple) else str(value)])


def _tuple(values: tuple[int, ...]) -> str:
    """A tuple, a long one as a sum of short ones: formatters would give each number a line of its own."""
    return " + ".join(str(values[start : start + 8]) for start in range(0, len(values), 8))


def _named(local: str, attribute: str) -> str:
    suffix = "channels" if attribute == "out_channels" else attribute
    return f"{re.sub(r'[^A-Za-z0-9_]', '_', local)}_{suffix}"


def _multiples(expression: str, widths: Values) -> Iterator[tuple[str, list[int]]]:
    for number in range(2, 17):
        yield f"{number} * {expression}", [number * width for width in widths]
        yield f"{expression} // {number}", [width // number for width in widths]
