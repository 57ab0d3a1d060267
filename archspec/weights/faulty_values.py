"""Weights that no network can work with: numbers that are none, variances without a root."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice

import numpy as np

from archspec.errors import Diagnostic, format_count
from archspec.graph.ir import Graph
from archspec.operators.attributes import MOVING_VARIANCE
from archspec.operators.table import OPERATORS
from archspec.weights.formats.number_types import Floats

MAX_LISTED = 20
CURE = "training went wrong, or the file is damaged; convert --force takes them as they are"


def find_faulty_values(
    tensors: Mapping[str, Floats], ours: Mapping[str, str], graph: Graph, where: str
) -> list[Diagnostic]:
    """Return for each tensor, by the file's names, what is wrong with its numbers (R110).

    Args:
        tensors: by the file's names.
        ours: our name of each that belongs to the network.
        graph: the network, whose norms add an eps to their variance.
        where: the file.
    """
    found = _describe_faults({name: tensors[name] for name in ours}, ours, _eps_by_variance(graph))
    faults = [Diagnostic("R110", message, where, CURE) for message in islice(found, MAX_LISTED)]
    rest = sum(1 for _ in found)
    return [*faults, *([Diagnostic("R110", f"and {rest} more", where)] if rest else [])]


def _eps_by_variance(graph: Graph) -> dict[str, float]:
    """By the names of variances."""
    norms = [op for op in graph.ops.values() if OPERATORS[op.kind].has_statistics]
    return {f"{norm.name}.{MOVING_VARIANCE}": norm.attrs["eps"] for norm in norms}


def _describe_faults(
    tensors: Mapping[str, Floats], ours: Mapping[str, str], eps: Mapping[str, float]
) -> Iterator[str]:
    for name, tensor in tensors.items():
        strange = tensor.size - int(np.isfinite(tensor).sum())
        if strange:
            verb = "is" if strange == 1 else "are"
            yield f"{name} has {format_count(strange, 'value')} that {verb} NaN or infinite"
        added = eps.get(ours[name])
        below = 0 if added is None else int((tensor + np.float32(added) <= 0).sum())
        if below:
            verb = "is" if below == 1 else "are"
            yield (
                f"{name} has {format_count(below, 'variance')} that with eps {verb} not above zero"
            )
