"""The parts of a network, from image to classes: stem, blocks, transitions between them, head."""

from __future__ import annotations

from collections.abc import Mapping

from archspec.graph.ir import Graph, Region
from archspec.graph.parameters import list_parameters

_WORDS: Mapping[str, str] = {
    "stem": "stem",
    "dense_block": "block",
    "transition": "transition",
    "head": "head",
}
"""What a person calls each kind of outermost region."""


def list_parts(graph: Graph) -> dict[str, tuple[str, ...]]:
    """Return the names of each part's tensors, moving statistics included, the parts in order.

    The parts are called `stem`, `block 1`, `transition 1`, ..., `head`, as a spec numbers them.
    Those without a tensor, such as a transition that only pools, are left out.
    """
    found: dict[str, list[str]] = {}
    for region in graph.regions.values():
        if not region.parent:
            found[_name_part(region)] = []
    for name, parameter in list_parameters(graph).items():
        region = graph.regions[graph.ops[parameter.operator].region]
        while region.parent:
            region = graph.regions[region.parent]
        found[_name_part(region)].append(name)
    return {part: tuple(names) for part, names in found.items() if names}


def _name_part(region: Region) -> str:
    word = _WORDS[region.kind]
    numbers = [index + 1 for index in region.origin if isinstance(index, int)]
    return f"{word} {numbers[0]}" if numbers else word
