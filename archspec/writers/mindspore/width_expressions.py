"""The widths inside alike containers, written as expressions that hold for all of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from archspec.graph.ir import Op
from archspec.operators.attributes import DERIVED
from archspec.operators.operator import declared_or_same
from archspec.operators.table import OPERATORS
from archspec.writers.mindspore.containers import (
    Container,
    layers_of,
    path_of,
    rates_of,
    values_made,
    values_read,
)

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

# Where several widths have the same value, the one that a person would mean; the order decides.
LIKELIEST = ("out_channels", "growth_rate", "bottleneck * growth_rate", "in_channels", "bottleneck")


class WrittenClass(Protocol):
    """A class that is written already, with the arguments that each of its instances takes."""

    @property
    def arguments(self) -> Mapping[str, Mapping[str, Any]]:
        """By a container's path: what its instance is given for each parameter."""


class Widths:
    """Channels of the values in alike containers, written as expressions that hold for all of them.

    A width is what the region declares, a product of two, a sum, a multiple or part of these, a
    number that is the same for all, or else a parameter of its own. Items are followed in running
    order.

    One container alone would fit many expressions (64 is 2 * 32 and in_channels - 192); each one
    is tried on all containers of the class at once, so that chance agreement is rare, and is
    harmless where it happens: the numbers that the class is given stay right.
    """

    def __init__(
        self,
        alike: Sequence[Container],
        rows: Sequence[Sequence[Item]],
        made: Mapping[str, WrittenClass],
        channels: Mapping[str, int],
    ) -> None:
        """Begin with what the regions declare.

        Args:
            alike: containers of one class.
            rows: the items of each that stand in the class one by one;
                those at one place are alike.
            made: the classes of nested containers, by path.
            channels: of every value of the graph.
        """
        self.alike, self.rows, self.made, self.channels = alike, rows, made, channels
        self.known: dict[str, Values] = {}
        for parameter in PARAMETERS:
            values = [container.attrs.get(parameter) for container in alike]
            if None not in values:
                self.known[parameter] = values
        self.parameters = dict(self.known)
        if "growth_rate" in self.known and "bottleneck" in self.known:
            pairs = zip(self.known["bottleneck"], self.known["growth_rate"], strict=True)
            self.known["bottleneck * growth_rate"] = [factor * growth for factor, growth in pairs]
        self.sums: dict[str, Sum | None] = {}
        if "in_channels" in self.known:
            # A region declares the width of its first input; of others its operators tell.
            self.sums |= dict.fromkeys(alike[0].entering[:1], Sum(["in_channels"]))
        # Empty while all layers add `growth_rate`: see `count_layer_by_layer`.
        self.layers: tuple[str, ...] = ()

    def add_parameter(self, parameter: str, values: Values) -> str:
        """Return the name of a parameter of the class that has these values."""
        # The same name with other values is another parameter: `width`, `width_`.
        while parameter in self.known and self.known[parameter] != list(values):
            parameter += "_"
        self.known[parameter] = self.parameters[parameter] = list(values)
        return parameter

    def count_layer_by_layer(self) -> None:
        """Let `c` hold the channels of each source of a block,
        whose layers differ in what they add.
        """
        layers = [layers_of(block) for block in self.alike]
        self.layers = tuple(layer.path for layer in layers[0])
        self.add_parameter("growth_rates", [rates_of(block) for block in self.alike])
        for number, same in enumerate(zip(*layers, strict=True), start=1):
            self.known[f"c[{number}]"] = [layer.attrs["growth_rate"] for layer in same]
        self.known["c[0]"] = self.known["in_channels"]
        self.sums |= dict.fromkeys(self.alike[0].entering[:1], Sum(["c[0]"]))

    def follow(self, position: int) -> None:
        """Note the width of what the items at a position read and give."""
        item = self.rows[0][position]
        if isinstance(item, Container):
            self.sums |= dict.fromkeys(values_made(item), self._width_given_by(position, item))
        elif item.kind == "concat":
            self.sums[item.name] = self._join_widths(item.inputs)
        elif item.kind == "slice":
            width = self._express_attribute(position, "stop")
            width.subtract(self._express_attribute(position, "start"))
            self.sums[item.name] = width
        else:
            self._follow_operator(position, item)

    def write_width(self, value: str) -> str:
        """Return the width of a value that an operator reads or makes; '' where nothing says it."""
        found = self.sums.get(value)
        return "" if found is None else format_sum(found)

    def write_attribute(self, position: int, name: str) -> str:
        """Return an attribute of the operators at a position,
        which may differ between alike containers.
        """
        return format_sum(self._express_attribute(position, name))

    def write_argument(self, position: int, parameter: str) -> str:
        """Return a parameter of the nested containers at a position,
        as their parent passes it on.
        """
        return format_sum(self._parameter_of_child(position, parameter))

    def holds(self, width: Sum | None, values: Values) -> bool:
        """Return whether a width comes to these values in the alike containers."""
        return width is not None and self._evaluate(width) == list(values)

    def _growth_of(self, layer: Container) -> Sum | None:
        if self.layers:
            return Sum([f"c[{self.layers.index(layer.path) + 1}]"])
        return Sum(["growth_rate"]) if "growth_rate" in self.known else None

    def _follow_operator(self, position: int, op: Op) -> None:
        source = op.inputs[0]
        for name in DERIVED & op.attrs.keys():
            # An expression that came about upstream stays where it is right here too.
            if not self.holds(self.sums.get(source), self._values_of(position, name)):
                self.sums[source] = self._express_attribute(position, name)
        is_written = "{ins}" in OPERATORS[op.kind].mindspore.cell
        if is_written and self.sums.get(source) is None:  # it declares no channels
            read = [self.channels[values_read(row[position])[0]] for row in self.rows]
            self.sums[source] = self._express(position, "in_channels", read)
        if OPERATORS[op.kind].channels is not declared_or_same:
            self._follow_changed(position, op)
        elif "out_channels" in op.attrs:
            self.sums[op.name] = self._express_attribute(position, "out_channels")
        else:
            self.sums[op.name] = self.sums.get(source)

    def _follow_changed(self, position: int, op: Op) -> None:
        """Of what gives other channels than it reads and declares none:
        a multiple or a part of these.
        """
        made = [self.channels[values_made(row[position])[0]] for row in self.rows]
        self.sums[op.name] = self._express(position, "out_channels", made)

    def _width_given_by(self, position: int, child: Container) -> Sum | None:
        # A class has one `out_channels`: of several outputs it does not tell whose that is.
        if len(child.leaving) != 1:
            return None
        if child.kind == "dense_layer":
            return self._growth_of(child)
        if "out_channels" not in self._arguments(position)[0]:
            return None
        return self._parameter_of_child(position, "out_channels")

    def _join_widths(self, inputs: Sequence[str]) -> Sum | None:
        joined: Sum = Counter()
        for value in inputs:
            part = self.sums.get(value)
            if part is None:
                return None
            joined.update(part)
        if self.alike[0].kind == "dense_block":
            # What a layer reads is written as the sum that it is, in_channels + 2 * growth_rate.
            return joined
        widths = self._evaluate(joined)
        for name in LIKELIEST:
            if self.known.get(name) == widths:
                return Sum([name])
        return joined

    def _arguments(self, position: int) -> list[Mapping[str, Any]]:
        paths = [path_of(row[position]) for row in self.rows]
        return [self.made[path].arguments[path] for path in paths]

    def _parameter_of_child(self, position: int, parameter: str) -> Sum:
        child = self.rows[0][position]
        assert isinstance(child, Container)
        values = [given[parameter] for given in self._arguments(position)]
        for guess in self._guess_argument(child, parameter):
            if guess is not None and self.holds(guess, values):
                return guess
        constant = _find_constant(values)
        if constant is not None:
            return constant
        return Sum(
            [self.add_parameter(_name_parameter(self.alike[0].local(child), parameter), values)]
        )

    def _guess_argument(self, child: Container, parameter: str) -> Iterator[Sum | None]:
        """What a parent passes on as a rule: the width that it follows, then its own parameter."""
        if parameter == "in_channels" and child.entering:
            yield self.sums.get(child.entering[0])
        if parameter == "growth_rate" and child.kind == "dense_layer":
            yield self._growth_of(child)
        if parameter in self.parameters:
            yield Sum([parameter])

    def _express_attribute(self, position: int, name: str) -> Sum:
        return self._express(position, name, self._values_of(position, name))

    def _express(self, position: int, name: str, values: list[Any]) -> Sum:
        """Values of an attribute, or of what could be one, as an expression or a parameter."""
        likeliest = _list_likeliest(self.rows[0][position], name)
        known = [expression for expression in likeliest if expression in self.known]
        for expression in known:
            if self.known[expression] == values:
                return Sum([expression])
        # A name says more than a number, and a number more than a multiple that happens to fit.
        constant = _find_constant(values)
        if constant is not None:
            return constant
        wording = self._find_multiple(known, values)
        if wording:
            # A sum is evaluated by its parts, so this wording is one from here on.
            self.known[wording] = values
            return Sum([wording])
        local = self.alike[0].local(self.rows[0][position])
        return Sum([self.add_parameter(_name_parameter(local, name), values)])

    def _find_multiple(self, known: Sequence[str], values: list[Any]) -> str:
        for expression in known:
            multiples = _iterate_multiples(expression, self.known[expression])
            found = next((wording for wording, multiple in multiples if multiple == values), "")
            if found:
                return found
        return ""

    def _values_of(self, position: int, name: str) -> list[Any]:
        return [row[position].attrs[name] for row in self.rows]

    def _evaluate(self, width: Sum) -> list[Any]:
        totals = [0] * len(self.alike)
        for atom, times in width.items():
            values = [1] * len(totals) if atom == "1" else self.known[atom]
            for number, value in enumerate(values):
                totals[number] += times * value
        return totals


def _list_likeliest(item: Item, name: str) -> Sequence[str]:
    row = OPERATORS[item.kind] if isinstance(item, Op) else None
    if row is None or name not in row.mindspore.varying:
        return LIKELIEST
    # A border between channels cuts what enters; that it equals another width is chance. What is
    # no width, such as a rate, is none by chance alone.
    is_border = row.step is not None and name in row.step.widths.values()
    return ("in_channels",) if is_border else ()


def format_sum(width: Sum) -> str:
    """Return a sum as Python text."""
    terms = []
    for atom, times in width.items():
        # What a slice took away again counts 0 times; alone it is the width 0.
        term = str(abs(times)) if atom == "1" else _format_multiple(atom, abs(times))
        if times or len(width) == 1:
            terms.append(f"{'-' if times < 0 else '+'} {term}")
    return " ".join(terms).removeprefix("+ ")


def _format_multiple(atom: str, times: int) -> str:
    if times == 1:
        return atom
    return f"{times} * ({atom})" if " " in atom else f"{times} * {atom}"


def _find_constant(values: Values) -> Sum | None:
    """What all have in common."""
    if any(value != values[0] for value in values):
        return None
    value = values[0]
    if isinstance(value, int):
        return Sum({"1": value})
    return Sum([_format_tuple(value) if isinstance(value, tuple) else str(value)])


def _format_tuple(values: tuple[int, ...]) -> str:
    """A tuple, a long one as a sum of short ones:
    formatters would give each number a line of its own.
    """
    return " + ".join(str(values[start : start + 8]) for start in range(0, len(values), 8))


def _name_parameter(local: str, attribute: str) -> str:
    suffix = "channels" if attribute == "out_channels" else attribute
    return f"{re.sub(r'[^A-Za-z0-9_]', '_', local)}_{suffix}"


def _iterate_multiples(expression: str, widths: Values) -> Iterator[tuple[str, list[int]]]:
    # Up to 16: a larger factor is no longer what anybody means by it.
    for number in range(2, 17):
        yield f"{number} * {expression}", [number * width for width in widths]
        yield f"{expression} // {number}", [width // number for width in widths]
