"""What the docstring of an emitted class says."""

from __future__ import annotations

from math import prod

from archspec.graph.ir import Op
from archspec.writers.mindspore.containers import Container, layers_of
from archspec.writers.mindspore.dense_loop import find_dense_loop
from archspec.writers.mindspore.formatting import LINE_LENGTH
from archspec.writers.mindspore.width_expressions import Widths


def write_doc(container: Container, widths: Widths) -> str:
    """Return what a class is made of, and its shapes where its widths have names."""
    made_of = _describe_items(container)
    before = widths.write_width(container.entering[0])
    after = widths.write_width(container.leaving[0])
    stride = _stride_of(container)
    size = f"H / {stride}, W / {stride}" if stride > 1 else "H, W"
    shapes = f"    (N, {before}, H, W) -> (N, {after}, {size})."
    if not before or not after or "c[" in shapes or len(shapes) > LINE_LENGTH:
        return made_of
    return f"{made_of}\n\n{shapes}\n    "


def _describe_items(container: Container) -> str:
    if find_dense_loop(container):
        return "Layer i reads the block's input and the outputs of all layers before it."
    if layers := layers_of(container):
        return f"{len(layers)} layers; what each of them reads stands in `construct`."
    parts = [container.local(item) for item in container.items]
    if len(parts) > 8:
        parts = [*parts[:4], "...", parts[-1]]
    made_of = ", ".join(parts)
    if len(made_of) > 78:  # with quotes and indentation, the length of a line
        made_of = f"{parts[0]}, ..., {parts[-1]}"
    return f"{made_of}."


def _stride_of(container: Container) -> int:
    """By how much a container divides the height and the width, those nested in it too."""
    ops = (item for item in container.items if isinstance(item, Op))
    strides: int = prod(op.attrs["stride"] for op in ops if "stride" in op.attrs)
    return strides * prod(map(_stride_of, container.containers))
