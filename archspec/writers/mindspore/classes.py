"""The classes of an emitted module: one for all containers that are alike but for their widths."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from math import prod
from typing import Any

from archspec.graph.ir import Op
from archspec.writers.mindspore.cells import (
    ARGUMENTS,
    TAKEN,
    VARYING,
    cell,
    is_cell,
    is_of_depthwise_conv,
)
from archspec.writers.mindspore.construct import inputs_of, items_before, looped, straight
from archspec.writers.mindspore.containers import Container, makes, reads
from archspec.writers.mindspore.dense_loop import Running, running
from archspec.writers.mindspore.formatting import LINE_LENGTH, fitted
from archspec.writers.mindspore.width_expressions import (
    PARAMETERS,
    Item,
    Sum,
    Widths,
    grows_evenly,
    layers_of,
    rates_of,
    text,
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
        """Write the classes of containers that hold none but written ones, one for those that are alike."""
        alike: dict[str, list[Container]] = {}
        for container in level:
            alike.setdefault(self._likeness(container), []).append(container)
        for containers in alike.values():
            made = self._class(self._class_name(containers[0]), containers)
            self.written.append(made)
            self.made |= dict.fromkeys((container.path for container in containers), made)

    def _class_name(self, container: Container) -> str:
        if not container.path:
            return "Network"
        base = "".join(part[:1].upper() + part[1:] for part in container.kind.split("_"))
        taken = {made.name for made in self.written} | TAKEN
        names = chain([base], (f"{base}{number}" for number in count(2)))
        return next(name for name in names if name not in taken)

    def _likeness(self, container: Container) -> str:
        """What two containers share when one class can serve both: all but widths and, in a loop, numbers of layers."""
        loop = self._loop(container)
        values = {value: f"in{n}" for n, value in enumerate(container.entering)}
        lines = [container.kind]
        if loop:
            values[loop.gathered] = f"new alone: {loop.new_alone}, first: {loop.is_newest_first}"
            lines.append(f"{self.made[loop.layers[0].path].name} {[grows_evenly(container)]}")
        for item in loop.others if loop else container.items:
            local = container.local(item)
            values |= {value: f"{local}:{n}" for n, value in enumerate(makes(item))}
            what = (
                f"{item.kind} {_fixed(item)}" if isinstance(item, Op) else self.made[item.path].name
            )
            lines.append(f"{local} = {what} {[values.get(value) for value in reads(item)]}")
        if loop:
            lines.append(f"loop {values[loop.source]}")
        return "\n".join([*lines, *(values[value] for value in container.leaving)])

    def _loop(self, container: Container) -> Running | None:
        """The loop of a block whose layers are of one class and differ in nothing but what they read and add."""
        loop = running(container)
        if loop is None or len({self.made[layer.path].name for layer in loop.layers}) > 1:
            return None
        given = [self.made[layer.path].arguments[layer.path] for layer in loop.layers]
        first, rates = given[0], rates_of(container)
        if "in_channels" not in first or None in rates:
            return None
        for number, arguments in enumerate(given):
            counted = {
                "in_channels": first["in_channels"] + sum(rates[:number]),
                "growth_rate": rates[number],
            }
            if arguments != {**first, **{k: v for k, v in counted.items() if k in first}}:
                return None
        return loop

    def _class(self, name: str, alike: Sequence[Container]) -> Class:
        loops = [self._loop(container) for container in alike]
        found = [loop for loop in loops if loop]
        rows = [loop.others for loop in found] or [container.items for container in alike]
        widths = Widths(alike, rows, self.made, self.channels)
        written = self._looped(alike, found, widths) if found else self._straight(alike[0], widths)
        used = [
            p
            for p in widths.parameters
            if any(re.search(rf"\b{p}\b", part) for part in written.values())
        ]
        parameters = sorted(
            used, key=lambda p: PARAMETERS.index(p) if p in PARAMETERS else len(PARAMETERS)
        )
        signature = fitted(f"    def __init__(self{''.join(f', {p}' for p in parameters)}):")
        inputs = ", ".join(inputs_of(alike[0]))
        template = (LOOP if found else STRAIGHT).replace(
            "    def __init__(self{parameters}):", "{signature}"
        )
        doc = _doc(alike[0], widths)
        module = template.format(name=name, doc=doc, signature=signature, inputs=inputs, **written)
        arguments = {
            container.path: {p: widths.parameters[p][number] for p in parameters}
            for number, container in enumerate(alike)
        }
        return Class(name, tuple(parameters), module, arguments)

    def _straight(self, first: Container, widths: Widths) -> dict[str, str]:
        """A container whose cells are made one by one and run in order."""
        uneven = not all(map(grows_evenly, widths.alike))
        if uneven:
            widths.count_layer_by_layer()
        cells = ["        c = (in_channels, *growth_rates)"] * uneven
        every = range(len(first.items))
        cells += [
            f"        self.{local} = {made}" for local, made in self._cells(first, widths, every)
        ]
        if not first.path:  # the network itself, once all of it is there
            cells.append("        initialise(self)")
        body = [f"        {line}" for line in straight(first)]
        return {"cells": _lines(cells), "body": _lines(body)}

    def _looped(
        self, alike: Sequence[Container], loops: Sequence[Running], widths: Widths
    ) -> dict[str, str]:
        """A block whose layers are made in a loop, each reading all that came before it."""
        loop, first, even = loops[0], alike[0], all(map(grows_evenly, alike))
        behind = items_before(loop)
        extra = self._cells(first, widths, range(behind))
        if not even:
            widths.add("growth_rates", [rates_of(block) for block in alike])
        start = widths.sums.get(loop.source) or Sum([widths.add("in_channels", _reads(alike))])
        added = "num_layers * growth_rate" if even else "sum(growth_rates)"
        widths.known[added] = [sum(rates_of(block)) for block in alike]
        widths.sums[loop.gathered] = Sum({added: 1} if loop.new_alone else {**start, added: 1})
        extra += self._cells(first, widths, range(behind, len(loop.others)))
        grown = "i * growth_rate" if even else "sum(growth_rates[:i])"
        arguments = {
            "in_channels": f"{text(start)} + {grown}",
            "growth_rate": "growth_rate" if even else "k",
        }
        made = self.made[loop.layers[0].path]
        given = [arguments.get(p) or self._of_layers(p, loops, widths) for p in made.parameters]
        prefix = first.local(loop.layers[0]).rstrip("0123456789")
        cells = [f'            layers[f"{prefix}{{i + 1}}"] = {made.name}({", ".join(given)})']
        cells += [f'        layers["{local}"] = {expression}' for local, expression in extra]
        number = "num_layers" if even else "len(growth_rates)"
        return {
            "counting": "i in range(num_layers)" if even else "i, k in enumerate(growth_rates)",
            "cells": _lines(cells),
            "rest": f"        self.num_layers = {number}\n" if loop.others else "",
            "body": _lines(f"        {line}" for line in looped(first, loop)),
        }

    def _of_layers(self, parameter: str, loops: Sequence[Running], widths: Widths) -> str:
        """What all layers of a block are given alike."""
        paths = [loop.layers[0].path for loop in loops]
        values = [self.made[path].arguments[path][parameter] for path in paths]
        if len(set(values)) == 1 and parameter not in widths.parameters:
            return str(values[0])
        return widths.add(parameter, values)

    def _cells(
        self, first: Container, widths: Widths, positions: Sequence[int]
    ) -> list[tuple[str, str]]:
        """Names and expressions of the cells at some positions, in running order."""
        found = []
        for position in positions:
            item = widths.rows[0][position]
            widths.follow(position)
            made = self._cell(position, item, widths)
            found += [(first.local(item), made)] if made else []
        return found

    def _cell(self, position: int, item: Item, widths: Widths) -> str:
        """The expression that makes an item's cell, or '' for a function."""
        if isinstance(item, Op):
            return self._own(position, item, widths) if is_cell(item) else ""
        made = self.made[item.path]
        named = item.kind != "dense_layer"
        arguments = [f"{p}=" * named + widths.of_child(position, p) for p in made.parameters]
        return f"{made.name}({', '.join(arguments)})"

    def _own(self, position: int, op: Op, widths: Widths) -> str:
        varying = {
            name: widths.of_attribute(position, name) for name in ARGUMENTS if name in op.attrs
        }
        return cell(
            op, widths.of_value(op.inputs[0]), widths.of_value(op.name), self.norms, **varying
        )


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{fitted(line)}\n" for line in lines)


def _reads(alike: Sequence[Container]) -> list[int]:
    return [layers_of(block)[0].attrs["in_channels"] for block in alike]


def _fixed(op: Op) -> list[tuple[str, object]]:
    """The attributes that a class has in common; groups that are as many as the channels may differ."""
    own = (*VARYING, *(["groups"] if is_of_depthwise_conv(op) else []))
    return sorted((k, v) for k, v in op.attrs.items() if k not in own)


def _doc(container: Container, widths: Widths) -> str:
    """What a class is made of, and its shapes where its widths have names."""
    made_of = _made_of(container)
    before, after = (widths.of_value(names[0]) for names in (container.entering, container.leaving))
    stride = _stride(container)
    size = f"H / {stride}, W / {stride}" if stride > 1 else "H, W"
    shapes = f"    (N, {before}, H, W) -> (N, {after}, {size})."
    if not before or not after or "c[" in shapes or len(shapes) > LINE_LENGTH:
        return made_of
    return f"{made_of}\n\n{shapes}\n    "


def _made_of(container: Container) -> str:
    if running(container):
        return "Layer i reads the block's input and the outputs of all layers before it."
    if layers := layers_of(container):
        return f"{len(layers)} layers; what each of them reads stands in `construct`."
    parts = [container.local(item) for item in container.items]
    made_of = ", ".join(parts if len(parts) <= 8 else [*parts[:4], "...", parts[-1]])
    return f"{made_of if len(made_of) <= 78 else f'{parts[0]}, ..., {parts[-1]}'}."


def _stride(container: Container) -> int:
    """By how much a container divides the height and the width, those nested in it too."""
    return prod(
        item.attrs.get("stride", 1) if isinstance(item, Op) else _stride(item)
        for item in container.items
    )
