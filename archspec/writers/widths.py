"""The widths inside alike containers, written as expressions that hold for all of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from archspec.graph.ir import Op
from archspec.writers.outline import Container, makes

# Widths that a region may declare, in the order in which a class takes them.
PARAMETERS = ("num_layers", "in_channels", "out_channels", "growth_rate", "bottleneck")


class Widths:
    """Channels of the values in alike containers, written as expressions that hold for all of them.

    A width is a parameter where the region declares it, a product of two, or else the number itself.
    """

    def __init__(self, alike: Sequence[Container]) -> None:
        self.alike = alike
        declared = {p: [c.attrs.get(p) for c in alike] for p in PARAMETERS}
        self.known = _known({p: values for p, values in declared.items() if None not in values})
        self.expressions: dict[str, str] = {}
        self.used: set[str] = set()
        for value in alike[0].entering:
            self.expressions[value] = "in_channels" if "in_channels" in self.known else ""
        for position, item in enumerate(alike[0].items):
            self._follow(position, item)

    def of_value(self, value: str) -> str:
        """Return the width of a value that an operator reads or makes."""
        return self._noted(self.expressions[value])

    def of_child(self, position: int, parameter: str) -> str:
        """Return a parameter of the nested container at a position, as its parent passes it on."""
        return self._noted(self._expression([_child(c, position).attrs[parameter] for c in self.alike]))

    def _noted(self, expression: str) -> str:
        self.used.update(re.findall(r"[a-z_]+", expression))
        return expression

    def _follow(self, position: int, item: Op | Container) -> None:
        """Note the width of what an item reads and gives; what makes no channels keeps that of its input."""
        if isinstance(item, Container) or item.kind == "concat":
            self.expressions |= dict.fromkeys(makes(item), "")
            return
        (source,) = item.inputs
        for name in ("in_channels", "channels"):
            if name in item.attrs and not self.expressions[source]:
                self.expressions[source] = self._attribute(position, name)
        makes_channels = "out_channels" in item.attrs
        self.expressions[item.name] = (
            self._attribute(position, "out_channels") if makes_channels else self.expressions[source]
        )

    def _attribute(self, position: int, name: str) -> str:
        ops = [container.items[position] for container in self.alike]
        return self._expression([op.attrs[name] for op in ops])

    def _expression(self, values: Sequence[int]) -> str:
        for expression, widths in self.known.items():
            if widths == list(values):
                return expression
        if len(set(values)) == 1:
            return str(values[0])
        raise AssertionError(f"the widths {values} follow no declared parameter")


def _known(declared: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    """Expressions with their values in each of the alike containers, the likeliest to be meant first."""
    known = dict(declared)
    if "growth_rate" in declared and "bottleneck" in declared:
        pairs = zip(declared["bottleneck"], declared["growth_rate"], strict=True)
        known["bottleneck * growth_rate"] = [factor * growth for factor, growth in pairs]
    order = ("out_channels", "growth_rate", "bottleneck * growth_rate", "in_channels", "bottleneck")
    return {expression: known[expression] for expression in order if expression in known}


def _child(container: Container, position: int) -> Container:
    child = container.items[position]
    assert isinstance(child, Container)
    return child
