"""A graph written as a Python module of MindSpore cells, the way a person would write it.

One class for each kind of container. Instances of a kind share a class when they have the same operators and
wiring; the widths in which they differ become the class's parameters, called as the spec calls them. A dense
block is a loop over its layers. The text needs mindspore alone; the live network is this very text, imported.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from math import prod

from archspec.errors import Diagnostic, GraphError
from archspec.graph.digest import structure_digest
from archspec.graph.ir import Graph, Op
from archspec.graph.shapes import infer_shapes
from archspec.writers.cells import CELLS, CONV, NORM, call, cell
from archspec.writers.outline import Container, makes, outline, reads
from archspec.writers.widths import PARAMETERS, Widths

HEADER = '''\
"""{title}, written by densenet-archspec.

{shapes}
Structure digest {digest}.
"""

{imports}
'''

LOOP = '''\
class {name}(nn.SequentialCell):
    """Layer i reads the block's input and the outputs of all layers before it.

    (N, in_channels, H, W) -> (N, {outs}, H, W).
    """

    def __init__(self, {parameters}):
        layers = OrderedDict()
        for i in range(num_layers):
{layer}
        super().__init__(layers)

    def construct(self, x):
        for layer in self.cell_list:
            x = ops.concat((x, layer(x)), 1)
        return x
'''

STRAIGHT = '''\
class {name}(nn.Cell):
    """{doc}"""

    def __init__(self{parameters}):
        super().__init__()
{cells}

    def construct(self, x):
{body}
'''

LINE_LENGTH = 88

TITLE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
PLACE = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)*")

# Kinds that are written into the call that reads them: conv(relu(norm(x))) is one line.
FOLDED = frozenset({"batch_norm", "relu", "relu6", "silu", "gelu", "hard_swish", "global_avg_pool"})


@dataclass(frozen=True)
class Class:
    """A class of the emitted module."""

    name: str
    parameters: tuple[str, ...]
    text: str


def write_module(graph: Graph) -> str:
    """Return the module's text; its class `Network` maps images (N, C, H, W) to logits (N, classes).

    Raises:
        GraphError: W003, a name of the graph or of an operator cannot stand in Python text.
    """
    _check_names(graph)
    alike: dict[str, list[Container]] = {}
    for container in _innermost_first(outline(graph)):
        alike.setdefault(_likeness(container), []).append(container)
    classes: dict[str, Class] = {}
    for likeness, containers in alike.items():
        name = _class_name(containers[0].kind, classes)
        write = _loop_class if _is_running_concat(containers[0]) else _straight_class
        classes[likeness] = write(name, containers, classes)
    return _header(graph) + "\n\n".join([*_helpers(graph), *(made.text for made in classes.values())])


def _check_names(graph: Graph) -> None:
    """Names are all that enters the text as it is, so none may say more than a name."""
    faults = [
        Diagnostic("W003", f"{name!r} is no name for Python text", graph.name)
        for name, pattern in ((graph.name, TITLE), *((op, PLACE) for op in graph.ops))
        if not pattern.fullmatch(name)
    ]
    if faults:
        raise GraphError(faults)


def _innermost_first(container: Container) -> Iterator[Container]:
    for child in container.containers:
        yield from _innermost_first(child)
    yield container


def _header(graph: Graph) -> str:
    shapes, _ = infer_shapes(graph)
    before, after = (", ".join(map(str, shapes[names[0]])) for names in (graph.inputs, graph.outputs))
    has_blocks = any(region.kind == "dense_block" for region in graph.regions.values())
    return HEADER.format(
        title=graph.name,
        shapes=f"(N, {before}) -> (N, {after}).",
        digest=structure_digest(graph),
        imports="from collections import OrderedDict\n\n" * has_blocks + "from mindspore import nn, ops\n\n",
    )


def _helpers(graph: Graph) -> list[str]:
    norms = {(op.attrs["eps"], op.attrs["momentum"]) for op in graph.ops.values() if op.kind == "batch_norm"}
    return [CONV, *(NORM.format(eps=eps, momentum=momentum) for eps, momentum in norms)]


def _class_name(kind: str, classes: Mapping[str, Class]) -> str:
    base = "".join(part.capitalize() for part in kind.split("_"))
    base = re.sub(r"\W", "", base)
    taken = {made.name for made in classes.values()}
    names = chain([base], (f"{base}{number}" for number in count(2)))
    return next(name for name in names if name not in taken)


def _likeness(container: Container) -> str:
    """What two containers share when one class can serve both: all but widths and numbers of layers."""
    if _is_running_concat(container):
        return f"{container.kind} of {_likeness(container.containers[0])}"
    made = {value: f"in{n}" for n, value in enumerate(container.entering)}
    lines = [container.kind]
    for item in container.items:
        local = container.local(item)
        made |= {value: f"{local}:{n}" for n, value in enumerate(makes(item))}
        what = f"{item.kind} {_fixed(item)}" if isinstance(item, Op) else f"({_likeness(item)})"
        lines.append(f"{local} = {what} {[made[value] for value in reads(item)]}")
    return "\n".join(lines)


def _fixed(op: Op) -> list[tuple[str, object]]:
    return sorted((k, v) for k, v in op.attrs.items() if k not in ("in_channels", "out_channels", "channels"))


def _is_running_concat(container: Container) -> bool:
    """Each child reads the container's input and the outputs of all before it; so does the output."""
    children = container.containers
    if not children or len({_likeness(child) for child in children}) != 1 or len(container.entering) != 1:
        return False
    joins = {item.name: item for item in container.items if isinstance(item, Op)}
    sources = list(container.entering)
    for child in children:
        if len(child.entering) != 1 or len(child.leaving) != 1:
            return False
        if _joined(child.entering[0], joins) != tuple(sources):
            return False
        sources.append(child.leaving[0])
    return len(container.leaving) == 1 and _joined(container.leaving[0], joins) == tuple(sources)


def _joined(value: str, joins: Mapping[str, Op]) -> tuple[str, ...]:
    op = joins.get(value)
    return op.inputs if op is not None and op.kind == "concat" else (value,)


def _loop_class(name: str, alike: Sequence[Container], classes: Mapping[str, Class]) -> Class:
    """A block: its layers made in a loop, each reading all that came before it."""
    child = classes[_likeness(alike[0].containers[0])]
    arguments = [_per_layer(parameter, alike) for parameter in child.parameters]
    used = {"num_layers", *(p for p in PARAMETERS for a in arguments if re.search(rf"\b{p}\b", a))}
    parameters = tuple(p for p in PARAMETERS if p in used)
    prefix = alike[0].local(alike[0].containers[0]).rstrip("0123456789")
    text = LOOP.format(
        name=name,
        outs="in_channels + num_layers * growth_rate" if "growth_rate" in used else "out_channels",
        parameters=", ".join(parameters),
        layer=_wrapped(f'            layers[f"{prefix}{{i + 1}}"] = {child.name}({", ".join(arguments)})'),
    )
    return Class(name, parameters, text)


def _per_layer(parameter: str, alike: Sequence[Container]) -> str:
    """The argument of layer i as an expression that holds for every layer of every block."""
    rows = [(block.attrs, index, layer) for block in alike for index, layer in enumerate(block.containers)]
    steps = [(layer.attrs[parameter] - attrs[parameter], i * attrs["growth_rate"]) for attrs, i, layer in rows]
    if not any(step for step, _ in steps):
        return parameter
    if all(step == grown for step, grown in steps):
        return f"{parameter} + i * growth_rate"
    raise AssertionError(f"{parameter} of the layers follows no rule")


def _straight_class(name: str, alike: Sequence[Container], classes: Mapping[str, Class]) -> Class:
    """A container whose cells are made one by one and run in order."""
    widths = Widths(alike)
    first = alike[0]
    cells = [
        _wrapped(f"        self.{first.local(item)} = {made}")
        for position, item in enumerate(first.items)
        if (made := _made(position, item, widths, classes))
    ]
    parameters = tuple(p for p in PARAMETERS if p in widths.used)
    text = STRAIGHT.format(
        name=name,
        doc=_doc(first, widths),
        parameters="".join(f", {p}" for p in parameters),
        cells="\n".join(cells),
        body="\n".join(f"        {line}" for line in _body(first)),
    )
    return Class(name, parameters, text)


def _made(position: int, item: Op | Container, widths: Widths, classes: Mapping[str, Class]) -> str:
    """The expression that makes an item's cell, or '' for a function."""
    if isinstance(item, Container):
        made = classes[_likeness(item)]
        arguments = [f"{p}={widths.of_child(position, p)}" for p in made.parameters]
        return f"{made.name}({', '.join(arguments)})"
    if item.kind not in CELLS:
        return ""
    return cell(item, widths.of_value(item.inputs[0]), widths.of_value(item.name))


def _doc(container: Container, widths: Widths) -> str:
    """What a class is made of, and its shapes where its widths have names."""
    parts = [container.local(item) for item in container.items]
    made_of = ", ".join(parts if len(parts) <= 8 else [*parts[:4], "...", parts[-1]])
    before, after = (widths.expressions[names[0]] for names in (container.entering, container.leaving))
    if not before or not after:
        return made_of + "."
    stride = _stride(container)
    size = f"H / {stride}, W / {stride}" if stride > 1 else "H, W"
    return f"{made_of}.\n\n    (N, {before}, H, W) -> (N, {after}, {size}).\n    "


def _stride(container: Container) -> int:
    """By how much a container divides the height and the width, those nested in it too."""
    return prod(item.attrs.get("stride", 1) if isinstance(item, Op) else _stride(item) for item in container.items)


def _wrapped(line: str) -> str:
    """Break an assignment of one call that is too long for a line, as formatters do."""
    if len(line) <= LINE_LENGTH:
        return line
    indent = " " * (len(line) - len(line.lstrip()))
    opening = line.index("(", line.index("="))
    return f"{line[: opening + 1]}\n{indent}    {line[opening + 1 : -1]}\n{indent})"


def _body(container: Container) -> list[str]:
    """The lines of `construct`; a value is called x as long as nothing else is alive."""
    written = dict(zip(container.entering, _names(len(container.entering)), strict=True))
    in_a_row = all(len(reads(item)) == 1 for item in container.items)
    readers = Counter(value for item in container.items for value in reads(item))
    lines: list[str] = []
    for item in container.items:
        local = container.local(item)
        inputs = [written[value] for value in reads(item)]
        run = call(item, local, inputs) if isinstance(item, Op) else f"self.{local}({', '.join(inputs)})"
        (value,) = makes(item)
        if value in container.leaving:
            return [*lines, f"return {run}"]
        if isinstance(item, Op) and item.kind in FOLDED and readers[value] == 1:
            written[value] = run
            continue
        written[value] = "x" if in_a_row else local
        lines.append(f"{written[value]} = {run}")
    return lines


def _names(number: int) -> list[str]:
    return ["x"] if number == 1 else [f"x{n}" for n in range(1, number + 1)]
