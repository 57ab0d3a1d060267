"""What lies between two nodes as a dense block:
its layers, what each reads, what the output joins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any

from archspec.lift.lifted_block import LiftedBlock, LiftedLayer
from archspec.lift.network import Network, Node, Unliftable, walk_narrow_nodes
from archspec.lift.operators_to_steps import find_steps, walk_steps
from archspec.lift.repeated_steps import divide_layers, split_chain


@dataclass(frozen=True, slots=True)
class _FoundLayer:
    """Values that are one layer's output, and the node that the layer reads."""

    ends: tuple[str, ...]
    start: Node


def find_block(network: Network, entry: str, end: str) -> LiftedBlock | None:
    """Return the dense block between two nodes, or None where it is none.

    Raises:
        Unliftable: a layer consists of what no steps say.
    """
    node, residual = network.nodes[end], False
    # A residual block adds its input to its output: the block itself ends before that sum.
    if node.kind == "add" and len(node.reads) == 2 and entry in node.reads:
        inner = node.reads[1] if node.reads[0] == entry else node.reads[0]
        node, residual = network.nodes[inner], True
    bypass, enters, leaves = _split_bypass(network, entry, node)
    whole = LiftedBlock(
        op=end,
        in_channels=network.channels(entry),
        bypassed_channels=network.channels(*bypass),
        is_bypass_last=bool(bypass) and bypass[0] == node.reads[-1],
        layers=(),
        gathered=(),
        aggregate=(),
        residual=residual,
        out_channels=network.channels(end),
    )
    if len(leaves) > 1:
        return _find_block_of(network, whole, enters, leaves)
    # One value leaves: behind the join stand operators, the block's aggregation.
    gather = _find_join_before(network, enters, leaves)
    if gather is None:
        # Without a join and without a bypass, a chain is no block: plain steps say it.
        return split_chain(whole, find_steps(network, enters, leaves)) if bypass else None
    whole = replace(whole, aggregate=find_steps(network, gather.name, leaves))
    return _find_block_of(network, whole, enters, gather.reads)


def _find_block_of(
    network: Network, whole: LiftedBlock, enters: str, gathers: Sequence[str]
) -> LiftedBlock | None:
    tries = (_find_with_key(network, whole, enters, gathers, key) for key in _GROUPINGS)
    return _choose_block(tries)


def _choose_block(tries: Iterable[LiftedBlock | None]) -> LiftedBlock | None:
    """The first block whose layers have the same steps, else the first."""
    first = None
    for block in tries:
        if block is not None and block.is_uniform:
            return block
        first = first or block
    return first


def _find_with_key(
    network: Network, whole: LiftedBlock, enters: str, gathers: Sequence[str], key: GroupKey
) -> LiftedBlock | None:
    """The block with its layers; values of one key are one layer's."""
    found = _find_layers(network, enters, gathers, key)
    if not found or not _is_dense(network, enters, gathers, found):
        return None
    numbers: dict[str, int] = {}
    for number, layer in enumerate(found, start=1):
        numbers |= dict.fromkeys(layer.ends, number)
    numbers[enters] = 0
    try:
        layers = tuple(_make_layer(network, layer, numbers, enters) for layer in found)
    except Unliftable:
        return None  # another grouping may have layers that steps say
    if not _are_layers(layers):
        return None
    gathered = tuple(dict.fromkeys(numbers[name] for name in gathers))
    return divide_layers(replace(whole, layers=layers, gathered=gathered))


def _are_layers(layers: Sequence[LiftedLayer]) -> bool:
    """Each makes new maps, by operators of its own."""
    taken: set[str] = set()
    for layer in layers:
        # A join of branches makes nothing: only what is between counts as the layer's own.
        own = [step for step in walk_steps(layer.steps) if not step.branches]
        names = {step.op for step in own}
        if len(names) < len(own) or names & taken:
            return False
        if not any(step.makes_maps for step in own):
            return False
        taken |= names
    return True


def _split_bypass(
    network: Network, entry: str, node: Node
) -> tuple[tuple[str, ...], str, tuple[str, ...]]:
    """What goes round the layers, what enters them, and what is joined of them."""
    leaves = node.reads if node.is_join else (node.name,)
    readers = network.readers[entry]
    slices = [name for name in readers if network.nodes[name].kind == "slice"]
    # A block that slices its input reads all of it in two slices, and in nothing else.
    if len(slices) != 2 or len(readers) != 2 or len(leaves) < 2:
        return (), entry, leaves
    for around, rest in ((leaves[0], leaves[1:]), (leaves[-1], leaves[:-1])):
        if around not in slices:
            continue
        enters = slices[1] if slices[0] == around else slices[0]
        if _are_halves(network, entry, around, enters):
            return (around,), enters, rest
    return (), entry, leaves


def _are_halves(network: Network, entry: str, around: str, enters: str) -> bool:
    """The first channels go round, all others enter the layers."""
    first, second = (network.nodes[name].op.attrs for name in (around, enters))
    borders = (first["start"], first["stop"], second["stop"])
    return borders == (0, second["start"], network.channels(entry))


def _find_join_before(network: Network, enters: str, leaves: Sequence[str]) -> Node | None:
    """The join that a chain of operators reads."""
    for node, _ in walk_narrow_nodes(network, leaves):
        if node.is_join:
            return node
        # Nodes come last to first: from here on they stand before the block.
        if network.position[node.name] <= network.position[enters]:
            return None
    return None


def _find_layers(
    network: Network, enters: str, gathers: Sequence[str], key: GroupKey
) -> list[_FoundLayer]:
    """What is joined, walked back to what it is made of."""
    found: dict[tuple[str, ...], _FoundLayer] = {}
    met = {enters}
    waiting = [*_group_values(network, gathers, met, key)]
    while waiting:
        ends = waiting.pop()
        if met.issuperset(ends):
            continue
        met.update(ends)
        start = _find_start(network, enters, ends)
        if start is None:
            return []  # something before the block's input is read: it is no block
        found[ends] = _FoundLayer(ends, start)
        waiting.extend(_group_values(network, _list_sources(start, enters), met, key))
    # A layer reads those before it, so running order is the order of their numbers.
    return sorted(found.values(), key=lambda layer: network.position[layer.ends[-1]])


def _group_values(
    network: Network, names: Iterable[str], met: AbstractSet[str], key: GroupKey
) -> Iterable[tuple[str, ...]]:
    groups: dict[Any, list[str]] = {}
    for name in names:
        if name not in met:
            groups.setdefault(key(network, name), []).append(name)
    return (tuple(group) for group in groups.values())


def _joins_reading(network: Network, name: str) -> tuple[str, ...]:
    return tuple(reader for reader in network.readers[name] if network.nodes[reader].is_join)


GroupKey = Callable[[Network, str], Any]

_GROUPINGS: tuple[GroupKey, ...] = (
    lambda network, name: network.readers[name],
    lambda network, name: name,
    _joins_reading,
)
"""Which values are one layer's: those that the same operators read, else each by itself,
else those of the same joins, some of which are made of others."""


def _find_start(network: Network, enters: str, ends: tuple[str, ...]) -> Node | None:
    """The nearest node before a layer's ends that others read as well,
    or whose parts others read.
    """
    for node, behind in walk_narrow_nodes(network, ends):
        if node.name in ends:
            continue
        if node.name == enters or _is_read_elsewhere(network, node, behind):
            return node
        if network.position[node.name] <= network.position[enters]:
            return None
    return None


def _list_sources(start: Node, enters: str) -> tuple[str, ...]:
    """What a layer reads; a join that enters the block is one value."""
    return start.reads if start.is_join and start.name != enters else (start.name,)


def _is_read_elsewhere(network: Network, node: Node, behind: AbstractSet[str]) -> bool:
    """Whether others than the nodes behind it read a node, or a part of the join that it is."""
    inside = {*behind, node.name}
    parts = node.reads if node.is_join else (node.name,)
    return not all(inside.issuperset(network.readers[part]) for part in parts)


def _is_dense(
    network: Network, enters: str, gathers: Sequence[str], found: Sequence[_FoundLayer]
) -> bool:
    """Layers keep the pixels, and something joins what several of them,
    or the input and one behind it, give.
    """
    known = {enters}.union(*(layer.ends for layer in found))
    size = network.nodes[enters].shape[1:]
    if not size or any(network.nodes[name].shape[1:] != size for name in known):
        return False
    for layer in found:
        if not known.issuperset(_list_sources(layer.start, enters)):
            return False
    # A value that is joined twice is none that a list of sources says.
    if not known.issuperset(gathers) or len({*gathers}) < len(gathers):
        return False
    return len(found) > 1 or gathers[0] == enters


def _make_layer(
    network: Network, found: _FoundLayer, numbers: Mapping[str, int], enters: str
) -> LiftedLayer:
    start = found.start
    sources = dict.fromkeys(numbers[name] for name in _list_sources(start, enters))
    steps = find_steps(network, start.name, found.ends)
    widths = network.channels(start.name), network.channels(*found.ends)
    return LiftedLayer(found.ends[-1], tuple(sources), steps, *widths)
