"""The classifier under another name, `fc`, `head.fc`, `class_layers.out`: the one dense layer that
is left in the file is the one that is left in the network.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archspec.graph.parameters import Parameter


def pair_classifier(
    theirs: Mapping[str, str], tensors: Mapping[str, Any], wanted: Mapping[str, Parameter]
) -> tuple[Mapping[str, str], str]:
    """Return the file's name of each of our parameters, a dense layer's that was left over too,
    and what the file calls that layer; "" where none, or several, were left over.

    Args:
        theirs: the file's name of each of our parameters, whether or not the file has it.
        tensors: anything with a `shape`, by the file's names.
        wanted: the parameters of the network.
    """
    used = set(theirs.values())
    left = {name: tensor for name, tensor in tensors.items() if name not in used}
    weights = [name for name, tensor in left.items() if len(tensor.shape) == 2]
    ours = [name for name in wanted if len(wanted[name].shape) == 2 and theirs[name] not in tensors]
    if len(ours) != 1 or len(weights) != 1:
        return theirs, ""
    place = weights[0].rpartition(".")[0]
    bias = f"{wanted[ours[0]].operator}.bias"
    found = {ours[0]: weights[0]}
    if bias in wanted and theirs[bias] not in tensors:
        found[bias] = _find_bias(left, place)
    is_free = used.isdisjoint(found.values())
    return ({**theirs, **found}, place or weights[0]) if is_free else (theirs, "")


def _find_bias(left: Mapping[str, Any], place: str) -> str:
    """The one vector of that place; where there is none, the name that is missed."""
    vectors = [
        name
        for name, tensor in left.items()
        if name.rpartition(".")[0] == place and len(tensor.shape) == 1
    ]
    return vectors[0] if len(vectors) == 1 else f"{place}.bias"
