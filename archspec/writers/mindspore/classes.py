"""The classes of an emitted module: one for all containers that are alike but for their widths."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from archspec.graph.ir import Op
from archspec.operators.table import OPERATORS
from archspec.writers.mindspore.cells import (
    TAKEN,
    fixed_attributes,
    is_cell,
    write_cell,
)
from archspec.writers.mindspore.class_docs import write_doc
from archspec.writers.mindspore.construct import (
    count_items_before,
    inputs_of,
    write_loop,
    write_straight,
)
from archspec.writers.mindspore.containers import (
    Container,
    grows_evenly,
    layers_of,
    rates_of,
    values_made,
    values_read,
)
from archspec.writers.mindspore.dense_loop import DenseLoop, find_dense_loop
from archspec.writers.mindspore.formatting import break_line
from archspec.writers.mindspore.width_expressions import (
    PARAMETERS,
    Item,
    Sum,
    Widths,
    format_sum,
)

STRAIGHT = '''\
class {name}(nn.Cell):
    """{doc}"""

    def __init__(self{parameters}):
        super().__init__()
{cells}
    def construct(self, {inputs}):
{body}'''

LOOP = '''\
class {name}(nn.SequentialCell):
    """{doc}"""

    def __init__(self{parameters}):
        layers = OrderedDict()
        for {counting}:
{cells}        super().__init__(layers)
{rest}
    def construct(self, {inputs}):
{body}'''

Norms = Mapping[tuple[str, ...], str]


@dataclass(frozen=True)
class _Growth:
    """How the loop of a block counts its layers and their channels, as it is written."""

    counting: str
    """What stands behind `for`."""
    layers: str
    """How many there are."""
    rate: str
    """What layer i adds."""
    before: str
    """What all layers before layer i add."""
    all: str
    """What all layers of the block add."""


_EVEN = _Growth(
    counting="i in range(num_layers)",
    layers="num_layers",
    rate="growth_rate",
    before="i * growth_rate",
    all="num_layers * growth_rate",
)
_UNEVEN = _Growth(
    counting="i, k in enumerate(growth_rates)",
    layers="len(growth_rates)",
    rate="k",
    before="sum(growth_rates[:i])",
    all="sum(growth_rates)",
)


@dataclass(frozen=True)
class Class:
    """A class of the emitted module."""

    name: str
    parameters: tuple[str, ...]
    text: str
    arguments: Mapping[str, Mapping[str, Any]]
    """By a container's path: what its instance is given for each parameter."""


class Classes:
    """Makes the classes level by level; a container's class stands in `made` once it is written."""

    def __init__(self, norms: Norms, channels: Mapping[str, int]) -> None:
        self.norms = norms
        self.channels = channels
        self.written: list[Class] = []
        self.made: dict[str, Class] = {}

    def write(self, level: Sequence[Container]) -> None:
        """Write the classes of containers that hold none but written ones,
        one for those that are alike.
        """
        alike: dict[str, list[Container]] = {}
        for container in level:
            alike.setdefault(self._describe_likeness(container), []).append(container)
        for containers in alike.values():
            made = self._write_class(self._class_name(containers[0]), containers)
            self.written.append(made)
            self.made |= dict.fromkeys((container.path for container in containers), made)

    def _class_name(self, container: Container) -> str:
        if not container.path:
            return "Network"
        base = "".join(part[:1].upper() + part[1:] for part in container.kind.split("_"))
        taken = {made.name for made in self.written} | TAKEN
        if base not in taken:
            return base
        return next(name for n in count(2) if (name := f"{base}{n}") not in taken)

    def _describe_likeness(self, container: Container) -> str:
        """What two containers share when one class can serve both:
        all but widths and, in a loop, numbers of layers.
        """
        loop = self._find_loop(container)
        values = {value: f"in{n}" for n, value in enumerate(container.entering)}
        lines = [container.kind]
        if loop:
            values[loop.gathered] = f"new alone: {loop.new_alone}, first: {loop.is_newest_first}"
            lines.append(f"{self.made[loop.layers[0].path].name} {[grows_evenly(container)]}")
        for item in loop.others if loop else container.items:
            local = container.local(item)
            values |= {value: f"{local}:{n}" for n, value in enumerate(values_made(item))}
            what = self._describe_item(item)
            lines.append(f"{local} = {what} {[values.get(value) for value in values_read(item)]}")
        if loop:
            lines.append(f"loop {values[loop.source]}")
        return "\n".join([*lines, *(values[value] for value in container.leaving)])

    def _describe_item(self, item: Item) -> str:
        if isinstance(item, Op):
            return f"{item.kind} {fixed_attributes(item)}"
        return self.made[item.path].name

    def _find_loop(self, container: Container) -> DenseLoop | None:
        """The loop of a block whose layers are of one class
        and differ in nothing but what they read and add.
        """
        loop = find_dense_loop(container)
        if loop is None or len({self.made[layer.path].name for layer in loop.layers}) > 1:
            return None
        given = [self.made[layer.path].arguments[layer.path] for layer in loop.layers]
        first, rates = given[0], rates_of(container)
        if "in_channels" not in first or None in rates:
            return None
        for number, arguments in enumerate(given):
            expected = {**first, "in_channels": first["in_channels"] + sum(rates[:number])}
            if "growth_rate" in first:
                expected["growth_rate"] = rates[number]
            if arguments != expected:
                return None
        return loop

    def _write_class(self, name: str, alike: Sequence[Container]) -> Class:
        loops = [self._find_loop(container) for container in alike]
        found = [loop for loop in loops if loop]
        if found:  # the layers are written as one line; what stands beside them is followed
            beside = [loop.others for loop in found]
            widths = Widths(alike, beside, self.made, self.channels)
            written = self._write_loop(alike, found, widths)
        else:
            items = [container.items for container in alike]
            widths = Widths(alike, items, self.made, self.channels)
            written = self._write_straight(alike[0], widths)
        parameters = _parameters_used(widths, written)
        signature = break_line(f"    def __init__(self{''.join(f', {p}' for p in parameters)}):")
        inputs = ", ".join(inputs_of(alike[0]))
        # The signature may take several lines, so it is broken before it is put in.
        template = (LOOP if found else STRAIGHT).replace(
            "    def __init__(self{parameters}):", "{signature}"
        )
        doc = write_doc(alike[0], widths)
        module = template.format(name=name, doc=doc, signature=signature, inputs=inputs, **written)
        arguments = {}
        for number, container in enumerate(alike):
            arguments[container.path] = {p: widths.parameters[p][number] for p in parameters}
        return Class(name, tuple(parameters), module, arguments)

    def _write_straight(self, first: Container, widths: Widths) -> dict[str, str]:
        """A container whose cells are made one by one and run in order."""
        cells = []
        if not all(map(grows_evenly, widths.alike)):
            widths.count_layer_by_layer()
            cells.append("        c = (in_channels, *growth_rates)")
        for local, made in self._write_cells(first, widths, range(len(first.items))):
            cells.append(f"        self.{local} = {made}")
        if not first.path:  # the network itself, once all of it is there
            cells.append("        initialise(self)")
        # Widths are followed while cells are made, so the body, which needs none, comes last.
        body = [f"        {line}" for line in write_straight(first)]
        return {"cells": _join_lines(cells), "body": _join_lines(body)}

    def _write_loop(
        self, alike: Sequence[Container], loops: Sequence[DenseLoop], widths: Widths
    ) -> dict[str, str]:
        """A block whose layers are made in a loop, each reading all that came before it."""
        loop, first = loops[0], alike[0]
        growth = _EVEN if all(map(grows_evenly, alike)) else _UNEVEN
        # In running order, as widths are followed: items before the loop, the loop, items behind.
        behind = count_items_before(loop)
        extra = self._write_cells(first, widths, range(behind))
        if growth is _UNEVEN:
            widths.add_parameter("growth_rates", [rates_of(block) for block in alike])
        start = widths.sums.get(loop.source)
        if not start:
            start = Sum([widths.add_parameter("in_channels", _channels_read(alike))])
        widths.known[growth.all] = [sum(rates_of(block)) for block in alike]
        gathered = {growth.all: 1} if loop.new_alone else {**start, growth.all: 1}
        widths.sums[loop.gathered] = Sum(gathered)
        extra += self._write_cells(first, widths, range(behind, len(loop.others)))
        own = {"in_channels": f"{format_sum(start)} + {growth.before}", "growth_rate": growth.rate}
        made = self.made[loop.layers[0].path]
        given = [own.get(p) or self._argument_of_layers(p, loops, widths) for p in made.parameters]
        prefix = first.local(loop.layers[0]).rstrip("0123456789")
        cells = [f'            layers[f"{prefix}{{i + 1}}"] = {made.name}({", ".join(given)})']
        cells += [f'        layers["{local}"] = {expression}' for local, expression in extra]
        # What stands beside the layers is in the same cell_list, behind them.
        rest = f"        self.num_layers = {growth.layers}\n" if loop.others else ""
        return {
            "counting": growth.counting,
            "cells": _join_lines(cells),
            "rest": rest,
            "body": _join_lines(f"        {line}" for line in write_loop(first, loop)),
        }

    def _argument_of_layers(
        self, parameter: str, loops: Sequence[DenseLoop], widths: Widths
    ) -> str:
        """What all layers of a block are given alike."""
        paths = [loop.layers[0].path for loop in loops]
        values = [self.made[path].arguments[path][parameter] for path in paths]
        if len(set(values)) == 1 and parameter not in widths.parameters:
            return str(values[0])
        return widths.add_parameter(parameter, values)

    def _write_cells(
        self, first: Container, widths: Widths, positions: Sequence[int]
    ) -> list[tuple[str, str]]:
        """Names and expressions of the cells at some positions, in running order."""
        found = []
        for position in positions:
            item = widths.rows[0][position]
            widths.follow(position)
            made = self._write_cell(position, item, widths)
            found += [(first.local(item), made)] if made else []
        return found

    def _write_cell(self, position: int, item: Item, widths: Widths) -> str:
        """The expression that makes an item's cell, or '' for a function."""
        if isinstance(item, Op):
            return self._write_operator(position, item, widths) if is_cell(item) else ""
        made = self.made[item.path]
        arguments = []
        for parameter in made.parameters:
            # The few that a layer takes are known by their order, as a person would write them.
            name = "" if item.kind == "dense_layer" else f"{parameter}="
            arguments.append(f"{name}{widths.write_argument(position, parameter)}")
        return f"{made.name}({', '.join(arguments)})"

    def _write_operator(self, position: int, op: Op, widths: Widths) -> str:
        varying = {}
        for name in OPERATORS[op.kind].mindspore.varying:
            varying[name] = widths.write_attribute(position, name)
        ins, outs = widths.write_width(op.inputs[0]), widths.write_width(op.name)
        return write_cell(op, ins, outs, self.norms, **varying)


def _parameters_used(widths: Widths, written: Mapping[str, str]) -> list[str]:
    """Those that the class's text reads; a region declares more widths than its operators need."""
    text = "\n".join(written.values())
    used = [name for name in widths.parameters if re.search(rf"\b{name}\b", text)]
    known = [name for name in PARAMETERS if name in used]
    return [*known, *(name for name in used if name not in PARAMETERS)]


def _join_lines(lines: Iterable[str]) -> str:
    return "".join(f"{break_line(line)}\n" for line in lines)


def _channels_read(alike: Sequence[Container]) -> list[int]:
    return [layers_of(block)[0].attrs["in_channels"] for block in alike]
