"""On a way up, what is enlarged joins a block's output from the way down:
such a join becomes one step.

    (up, u, a, b), (up, u, a, b, c)    joins of maps from before an enlargement and from behind it
    skip(up), (skip, c)                where (u, a, b) is a node: a block's output

Without these edges a network is a line of blocks, whichever way it goes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from archspec.lift.network import Network, Node, Unliftable
from archspec.operators.table import OPERATORS


@dataclass(frozen=True, slots=True)
class _Skip:
    """A join of what was enlarged and of an older value."""

    node: Node
    enlarged: frozenset[str]
    """What was enlarged."""
    older: frozenset[str]


def resolve_skips(network: Network) -> Network:
    """Return the network with each join of an older block's output
    as one step that reads the newer value alone.

    Raises:
        Unliftable: a join of more than two values of different age, or of an older one that is no
            single value.
    """
    mixed = [*_find_mixed_joins(network)]
    if not mixed:
        return network
    whole = {frozenset(node.reads): node.name for node in network.nodes.values() if node.is_join}
    firsts: dict[frozenset[str], _Skip] = {}
    # The join that reads least of what was enlarged since is the skip itself; layers behind it
    # join more.
    for skip in sorted(mixed, key=lambda skip: len(skip.enlarged)):
        firsts.setdefault(skip.older, skip)
    nodes = dict(network.nodes)
    for skip in mixed:
        nodes[skip.node.name] = _resolve_skip(skip, firsts[skip.older], whole)
    return replace(network, nodes=nodes)


def _find_mixed_joins(network: Network) -> list[_Skip]:
    """Joins and sums of values with a different number of enlargements behind them."""
    ages: dict[str, int] = {}
    found = []
    for node in network.nodes.values():
        reads = [ages[source] for source in node.reads]
        newest = max(reads, default=0)
        ages[node.name] = newest + OPERATORS[node.kind].enlarges
        if len({*reads}) < 2 or OPERATORS[node.kind].arity is not None:
            continue
        # A skip is a step of two values: a third age would need one skip inside another.
        if len({*reads}) > 2:
            raise Unliftable(node.name, "joins maps of three sizes of a way up")
        older = frozenset(source for source in node.reads if ages[source] < newest)
        found.append(_Skip(node, frozenset(node.reads) - older, older))
    return found


def _resolve_skip(skip: _Skip, first: _Skip, whole: Mapping[frozenset[str], str]) -> Node:
    """The first join of a skip as the step that it is;
    a later one as a join of that step and what is newer.
    """
    node, older = skip.node, skip.older
    if skip is not first:
        return _join_with_first(skip, first)
    source = next(iter(older)) if len(older) == 1 else whole.get(older, "")
    if len(first.enlarged) > 1 or not source:
        raise Unliftable(node.name, "joins an older value that is no block's output")
    is_first = node.kind == "concat" and node.reads[0] in older
    order = "skip_first" if is_first else "skip_last"
    attrs = {"skip": source, "join": node.kind, "order": order}
    enlarged = next(iter(first.enlarged))
    op = replace(node.op, kind="skip", inputs=(enlarged,), attrs=MappingProxyType(attrs))
    return replace(node, op=op, reads=(enlarged,))


def _join_with_first(skip: _Skip, first: _Skip) -> Node:
    """Layers behind a skip join all that was made since, the skip among it:
    read the skip's step.
    """
    node = skip.node
    if node.kind != "concat" or not first.enlarged <= skip.enlarged:
        raise Unliftable(node.name, "joins an older value that others join in another way")
    reads: dict[str, None] = {}
    for name in node.reads:
        is_of_skip = name in first.enlarged or name in skip.older
        reads[first.node.name if is_of_skip else name] = None
    return replace(node, reads=tuple(reads))
