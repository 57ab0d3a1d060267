"""The classifier: how many classes a file's tells apart, and which one it is under another name,
`fc`, `head.fc`, `class_layers.out`: the one dense layer that is left in the file is the one that is
left in the network.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archspec.graph.build import build_graph
from archspec.graph.parameters import Parameter, list_parameters
from archspec.spec.spec import Spec


def find_classifier(spec: Spec) -> tuple[str, Parameter] | None:
    """Return the weights from which a network's classes come, and what they are called; None where
    its last weights give no classes.
    """
    wanted = list_parameters(build_graph(spec))
    filters = [name for name, parameter in wanted.items() if len(parameter.shape) > 1]
    if not filters or wanted[filters[-1]].shape[0] != spec.head.num_classes:
        return None
    return filters[-1], wanted[filters[-1]]


def count_classes(tensors: Mapping[str, Any], spec: Spec) -> int:
    """Return how many classes the classifier in a file tells apart, 0 where nothing tells which of
    its layers that is.

    It is the one dense layer of the file; of a network that tells classes of pixels the convolution
    that is called as the network's last.

    Args:
        tensors: anything with a `shape`, by the file's names.
        spec: the network's, whatever its number of classes.
    """
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    ours = find_classifier(spec)
    if ours is not None and ours[1].kind == "conv":
        found = [shapes[name] for name in shapes if f".{name}".endswith(f".{ours[0]}")]
    else:
        found = [shape for shape in shapes.values() if len(shape) == 2]
    return int(found[0][0]) if len(found) == 1 else 0


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
