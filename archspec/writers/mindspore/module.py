"""A graph written as a Python module of MindSpore cells, the way a person would write it.

One class for each kind of container. Instances of a kind share a class when they have the same
operators and wiring; the widths in which they differ become the class's parameters, called as the
spec calls them. A dense block is a loop over its layers. The text needs mindspore alone; the live
network is this very text, imported.
"""

from __future__ import annotations

from collections.abc import Iterator

from archspec.errors import GraphError
from archspec.graph.digest import structure_digest
from archspec.graph.ir import Graph
from archspec.graph.shapes import infer_shapes
from archspec.writers.mindspore.cells import write_definitions
from archspec.writers.mindspore.classes import Classes
from archspec.writers.mindspore.containers import Container, nest_containers
from archspec.writers.mindspore.initial_values import INITIALISE
from archspec.writers.mindspore.names import find_name_faults

MAKER = "written by densenet-archspec"
"""By which a module of ours is known: in its first line."""
HEADER = '''\
"""{title}, {maker}.

{before} -> {after}.
Structure digest {digest}.
On an x86 CPU start Python with ONEDNN_MAX_CPU_ISA=AVX2: convolutions are slow without.
"""

{imports}
'''


def write_module(graph: Graph) -> str:
    """Return the module's text; its class `Network` maps images (N, C, H,
    W) to what the graph gives.

    That is one tensor, or a tuple of several in the order of `graph.outputs`.

    Raises:
        GraphError: W003, a name of the graph or of an operator cannot stand in Python text.
    """
    if faults := find_name_faults(graph):
        raise GraphError(faults)
    texts, norms = write_definitions(graph.ops.values())
    shapes, _ = infer_shapes(graph)
    classes = Classes(norms, {name: shape[0] for name, shape in shapes.items()})
    network = nest_containers(graph)
    # Level by level, so that all of a kind are at hand when their one class is written.
    for level in _group_by_depth(network):
        classes.write(level)
    in_order = dict.fromkeys(
        classes.made[container.path].text for container in _walk_nested_first(network)
    )
    body = "\n\n".join([*texts, INITIALISE, *in_order])
    return _write_header(graph, body) + body


def _group_by_depth(container: Container) -> list[list[Container]]:
    """The containers by how deep others are nested in them, the innermost first."""
    levels: dict[int, list[Container]] = {}

    def visit(container: Container) -> int:
        height = 1 + max(map(visit, container.containers), default=-1)
        levels.setdefault(height, []).append(container)
        return height

    visit(container)
    return [levels[height] for height in sorted(levels)]


def _walk_nested_first(container: Container) -> Iterator[Container]:
    for child in container.containers:
        yield from _walk_nested_first(child)
    yield container


def _write_header(graph: Graph, body: str) -> str:
    shapes, _ = infer_shapes(graph)
    written = {name: f"(N, {', '.join(map(str, shape))})" for name, shape in shapes.items()}
    return HEADER.format(
        title=graph.name,
        maker=MAKER,
        before=", ".join(map(written.__getitem__, graph.inputs)),
        after=", ".join(map(written.__getitem__, graph.outputs)),
        digest=structure_digest(graph),
        imports=_write_imports(body),
    )


def _write_imports(body: str) -> str:
    """The lines that fetch what the text uses, sorted as formatters sort them."""
    lines = ["import math"]
    if "OrderedDict" in body:
        lines.append("from collections import OrderedDict")
    lines.append("")
    names = [name for name, use in _USES.items() if use in body]
    if "Tensor" in names:
        lines.append("import mindspore")
    lines.append(f"from mindspore import {', '.join(names)}")
    lines.append("from mindspore.common.initializer import HeUniform, Normal, initializer")
    return "\n".join([*lines, "", ""])


_USES = {"Parameter": "Parameter(", "Tensor": "Tensor(", "nn": "nn.", "ops": "ops."}
"""Names of MindSpore, and what tells that a text uses them."""
