"""Two digests of a graph: of its structure alone, and of its structure with its names.

Equal structure digests mean the same operators wired in the same way, whatever they are called and
in whatever order they are listed. Two operators that compute the same from the same input are still
two: they hold different weights.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from hashlib import sha256

from archspec.graph.ir import Graph, Op, once_per_graph


@once_per_graph
def structure_digest(graph: Graph) -> str:
    """Return 64 hex digits that depend on kinds, attributes and wiring, and on no name.

    A walk from the output, inputs in their order, meets the operators in an order that is the same
    for equal structures; the digest is that of all of them, each with the numbers of its inputs. Of
    several outputs, those with the smaller digests of their own come first.
    """
    outputs: Sequence[str] = graph.outputs
    if len(outputs) > 1:
        outputs = sorted(outputs, key=lambda output: _digest_from(graph, [output]))
    return _digest_from(graph, outputs)


def _digest_from(graph: Graph, outputs: Sequence[str]) -> str:
    digest, numbers = sha256(), dict[str, int]()
    for name in _walk_inputs_first(graph, outputs):
        op = graph.ops[name]
        digest.update(
            f"{_format_kind_and_attrs(op)} {[numbers[source] for source in op.inputs]}\n".encode()
        )
        numbers[name] = len(numbers)
    return digest.hexdigest()


def _walk_inputs_first(graph: Graph, outputs: Sequence[str]) -> Iterator[str]:
    """Yield every operator that leads to the outputs, its inputs before it."""
    import networkx as nx

    backwards = graph.digraph.reverse(copy=False)
    seen: set[str] = set()
    for output in outputs:
        fresh = [name for name in nx.dfs_postorder_nodes(backwards, output) if name not in seen]
        seen.update(fresh)
        yield from fresh


@once_per_graph
def digest_with_names(graph: Graph) -> str:
    """Return 64 hex digits that depend on the names of operators and regions too,
    but not on the order.
    """
    ops = sorted(
        f"{op.name} {op.region} {_format_kind_and_attrs(op)} {op.inputs}"
        for op in graph.ops.values()
    )
    regions = sorted(
        f"{r.name} {r.kind} {r.parent} {sorted(r.attrs.items())}" for r in graph.regions.values()
    )
    return sha256("\n".join([*ops, *regions]).encode()).hexdigest()


def _format_kind_and_attrs(op: Op) -> str:
    return json.dumps([op.kind, sorted(op.attrs.items())])
