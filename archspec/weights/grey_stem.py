"""Filters of colour images for a network of grey ones, and the other way round.

Summed over its input channels a filter gives for a grey image what it gave for that image in all
three. A third of a filter of grey images, three times, gives for colours what it gave for their
mean.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from archspec.graph.ir import Graph, Op
from archspec.graph.parameters import list_parameters
from archspec.operators.table import OPERATORS
from archspec.weights.formats.number_types import Floats

COLOURS = 3


def fit_stem(tensors: Mapping[str, Floats], graph: Graph) -> tuple[Mapping[str, Floats], str]:
    """Return a file's tensors, its first filters fitted to the network's images, and a line on it.

    They are returned as they are, with "", where nothing needs to be fitted, or where shapes do not
    tell which filters are the first.

    Args:
        tensors: by the file's names, (out_channels, in_channels, height, width).
        graph: the network.
    """
    first = [op for op in graph.ops.values() if _reads_image(op, graph)]
    if len(first) != 1:
        return tensors, ""
    wanted = {name: parameter.shape for name, parameter in list_parameters(graph).items()}
    out, channels, *kernel = wanted[f"{first[0].name}.weight"]
    theirs = (out, COLOURS if channels == 1 else 1, *kernel)
    found = [name for name, tensor in tensors.items() if tensor.shape == theirs]
    if len(found) != 1 or theirs in wanted.values():
        return tensors, ""
    filters = tensors[found[0]]
    if channels == 1:
        fitted, how = _sum_colours(filters), f"summed over their {COLOURS} channels for grey images"
    else:
        fitted, how = _spread_grey(filters), f"shared out to {COLOURS} channels for colour images"
    return {**tensors, found[0]: fitted}, f"its first filters, {found[0]}, were {how}"


def _reads_image(op: Op, graph: Graph) -> bool:
    """Is it a convolution of the image, linear in its filters?

    A standardized one is not: the sum of filters is standardized anew.
    """
    return (
        op.kind == "conv"
        and op.inputs == graph.inputs
        and op.attrs["groups"] == 1
        and op.attrs["in_channels"] in (1, COLOURS)
        and not OPERATORS[op.kind].standardizes(op.attrs)
    )


def _sum_colours(filters: Floats) -> Floats:
    # NaN and infinite values are refused later, by name.
    with np.errstate(invalid="ignore", over="ignore"):
        total = np.sum(filters, axis=1, keepdims=True, dtype=np.float64)
        return np.asarray(total, np.float32)


def _spread_grey(filters: Floats) -> Floats:
    return np.repeat(filters / np.float32(COLOURS), COLOURS, axis=1)
