"""Weights that no network can work with: numbers that are none, and variances below zero."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice

import numpy as np

from archspec.errors import Diagnostic, counted
from archspec.weights.numbers import Floats

LISTED = 20
CURE = (
    "training went wrong, or the file is damaged; densenet convert --force takes them as they are"
)


def faults_of(
    tensors: Mapping[str, Floats], ours: Mapping[str, str], where: str
) -> list[Diagnostic]:
    """Return for each tensor, by the file's names, what is wrong with its numbers (R110).

    Args:
        tensors: by the file's names.
        ours: our name of each that belongs to the network.
        where: the file.
    """
    found = _faults({name: tensors[name] for name in ours}, ours)
    faults = [Diagnostic("R110", message, where, CURE) for message in islice(found, LISTED)]
    rest = sum(1 for _ in found)
    return [*faults, *([Diagnostic("R110", f"and {rest} more", where)] if rest else [])]


def _faults(tensors: Mapping[str, Floats], ours: Mapping[str, str]) -> Iterator[str]:
    for name, tensor in tensors.items():
        strange = tensor.size - int(np.isfinite(tensor).sum())
        if strange:
            verb = "is" if strange == 1 else "are"
            yield f"{name} has {counted(strange, 'value')} that {verb} NaN or infinite"
        below = int((tensor < 0).sum()) if ours[name].endswith(".moving_variance") else 0
        if below:
            yield f"{name} has {counted(below, 'value')} below zero, and is a variance"
