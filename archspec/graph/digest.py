"""Two digests of a graph: of its structure alone, and of its structure with its names.

Equal structure digests mean the same operators wired in the same way, whatever they are called and in
whatever order they are listed. Two operators that compute the same from the same input count twice: they
hold different weights.
"""

from __future__ import annotations

import json
from hashlib import sha256

from archspec.graph.ir import Graph, Op
from archspec.graph.shapes import running_order


def structure_digest(graph: Graph) -> str:
    """Return 64 hex digits that depend on kinds, attributes and wiring, and on no name.

    Every operator's own digest covers all that leads to it; the graph's is that of the sorted digests.
    """
    own: dict[str, bytes] = {}
    for name in running_order(graph):
        op = graph.ops[name]
        digest = sha256(_kind_and_attrs(op).encode())
        for source in op.inputs:
            digest.update(own[source])
        own[name] = digest.digest()
    return sha256(b"".join(sorted(own.values()))).hexdigest()


def named_digest(graph: Graph) -> str:
    """Return 64 hex digits that depend on the names of operators and regions as well, but not on the order."""
    ops = sorted(f"{op.name} {op.region} {_kind_and_attrs(op)} {op.inputs}" for op in graph.ops.values())
    regions = sorted(
        f"{r.name} {r.kind} {r.parent} {sorted(r.attrs.items())}" for r in graph.regions.values()
    )
    return sha256("\n".join([*ops, *regions]).encode()).hexdigest()


def _kind_and_attrs(op: Op) -> str:
    return json.dumps([op.kind, sorted(op.attrs.items())])
