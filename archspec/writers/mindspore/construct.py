"""The lines of `construct`: the items of a container run in order,
or a block's layers in a loop.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from keyword import iskeyword

from archspec.graph.ir import Op
from archspec.operators.table import OPERATORS
from archspec.writers.mindspore.cells import FUNCTIONS, write_call
from archspec.writers.mindspore.containers import Container, layers_of, values_made, values_read
from archspec.writers.mindspore.dense_loop import DenseLoop

FEW = 4
"""Values that are given names of their own; more are elements of one tuple."""

Item = Op | Container


def inputs_of(container: Container) -> list[str]:
    """Return what `construct` calls the values that enter: `x`, or `x1`, `x2`."""
    number = len(container.entering)
    return ["x"] if number == 1 else [f"x{n}" for n in range(1, number + 1)]


def write_straight(container: Container) -> list[str]:
    """Return the lines that run a container's items one by one."""
    written = dict(zip(container.entering, inputs_of(container), strict=True))
    return _write_items(container, container.items, written, in_a_row=_is_in_a_row(container))


def write_loop(container: Container, loop: DenseLoop) -> list[str]:
    """Return the lines that run a block whose layers are a loop."""
    written = dict(zip(container.entering, inputs_of(container), strict=True))
    at = count_items_before(loop)
    before, after = loop.others[:at], loop.others[at:]
    # What only the loop reads is written into its first line; what is read again gets a name.
    inline = "" if _reads_any(after, (loop.source,)) else loop.source
    lines = _write_items(container, before, written, inline=inline)
    x = "maps" if _reads_any(after, (loop.source, container.entering[0])) else "x"
    entered = written[loop.source]
    if entered != x:
        lines.append(f"{x} = {entered}")
    layers = "self.cell_list[: self.num_layers]" if loop.others else "self.cell_list"
    if loop.new_alone:  # a slice of the running join instead costs a sixth of a training step
        lines += ["made = []", f"for layer in {layers}:", f"    new = layer({x})"]
        lines += [f"    {x} = {_write_concat(x, 'new', loop)}", "    made.append(new)"]
        written[loop.gathered] = f"ops.concat(made{'[::-1]' * loop.is_newest_first}, 1)"
    else:
        lines += [f"for layer in {layers}:", f"    {x} = {_write_concat(x, f'layer({x})', loop)}"]
        written[loop.gathered] = x
    if after:
        return [*lines, *_write_items(container, after, written)]
    return [*lines, f"return {', '.join(written[value] for value in container.leaving)}"]


def _write_concat(x: str, new: str, loop: DenseLoop) -> str:
    first, second = (new, x) if loop.is_newest_first else (x, new)
    return f"ops.concat(({first}, {second}), 1)"


def _reads_any(items: Sequence[Item], values: Sequence[str]) -> bool:
    return any(value in values_read(item) for item in items for value in values)


def count_items_before(loop: DenseLoop) -> int:
    """Return how many of the items of a block stand before its loop:
    they do not need what it gives.
    """
    needing = {loop.gathered}
    for number, item in enumerate(loop.others):
        if needing.intersection(values_read(item)):
            return number
    return len(loop.others)


def _write_items(
    container: Container,
    items: Sequence[Item],
    written: dict[str, str],
    in_a_row: bool = False,
    inline: str = "",
) -> list[str]:
    """Lines for items in running order;
    `written` says how each value is written, and learns of new ones.

    Where the items run in a row, each value is called x;
    `inline` is one that is written where it is read.
    """
    # What several items read gets a name, or it would be computed once for each.
    readers = Counter(value for item in container.items for value in values_read(item))
    lines: list[str] = []
    for item in items:
        values, run = values_made(item), _write_call(container, item, written)
        if item is container.items[-1] and values == container.leaving:
            return [*lines, f"return {run}"]
        folds = isinstance(item, Op) and readers[item.name] <= 1 and _is_folded(item, container)
        if folds or inline in values:
            written[values[0]] = run
            continue
        names = ["x"] if in_a_row else _name_variables(container, item)
        target = ", ".join(names) if len(names) <= FEW else _make_safe(container.local(item))
        lines.append(f"{target} = {run}")
        written |= dict(zip(values, names, strict=True))
    if items and items[-1] is container.items[-1]:
        lines.append(f"return {', '.join(written[value] for value in container.leaving)}")
    return lines


def _write_call(container: Container, item: Item, written: Mapping[str, str]) -> str:
    inputs = [written[value] for value in values_read(item)]
    local = container.local(item)
    if isinstance(item, Op):
        return write_call(item, local, inputs)
    return f"self.{local}({', '.join(inputs)})"


def _is_folded(op: Op, container: Container) -> bool:
    """An operator is written into its one reader, but not into a sum,
    nor a join into an operator.
    """
    reader = next((item for item in container.items if op.name in values_read(item)), None)
    if isinstance(reader, Op) and OPERATORS[reader.kind].mindspore.sign:
        return False
    return OPERATORS[op.kind].mindspore.is_inline or (
        op.kind == "concat" and isinstance(reader, Container)
    )


def _is_in_a_row(container: Container) -> bool:
    """Each item reads what the one before it gives, and nothing else is alive."""
    before = [container.entering, *(values_made(item) for item in container.items)]
    return len(container.leaving) == 1 and all(
        len(values_read(item)) == 1 and values_read(item) == given
        for given, item in zip(before, container.items, strict=False)
    )


def _name_variables(container: Container, item: Item) -> list[str]:
    """What the values of an item are called; the outputs of a block's layers x1, x2, ..."""
    number = len(values_made(item))
    if isinstance(item, Container) and item.kind == "dense_layer" and number == 1:
        return [f"x{layers_of(container).index(item) + 1}"]
    local = _make_safe(container.local(item))
    if number == 1:
        return [local]
    if number > FEW:
        return [f"{local}[{index}]" for index in range(number)]
    return [f"{local}_{n}" for n in range(1, number + 1)]


def _make_safe(local: str) -> str:
    # Names that the emitted lines use themselves.
    of_the_text = re.fullmatch(r"x\d*|nn|ops|self|layer|maps|made|new", local)
    taken = of_the_text or local in FUNCTIONS or iskeyword(local)
    return f"{local}_" if taken else local
