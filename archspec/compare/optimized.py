"""Is a file a spec's network as optimisers write it, and nothing else?

Beside all that `compare` takes for the same (norms in convolutions or as a scale and a shift, joins
of joins, equal operators without weights), a file may have

- one operator for several of the spec's that read the same, with equal weights;
- nothing of what the spec's slices cut off everywhere.
"""

from __future__ import annotations

from archspec.compare.compare import Comparison, compare
from archspec.compare.merged_operators import part_merged
from archspec.compare.sliced_concats import without_unread
from archspec.graph.ir import Graph


def list_forms(spec_graph: Graph) -> tuple[Graph, ...]:
    """Return a spec's graph, and behind it the same without what its slices cut off everywhere, if
    there is such.

    Raises:
        ModelFileError: R009, its concatenations join more values than a file may.
    """
    cut = without_unread(spec_graph)
    return (spec_graph,) if cut is spec_graph else (spec_graph, cut)


def compare_optimized(spec_graph: Graph, found: Graph) -> Comparison:
    """Return how a graph without regions differs from a spec's verified one, however it was
    optimised.

    Raises:
        ModelFileError: R009, concatenations join more values than any spec may.
    """
    forms = list_forms(spec_graph)
    made = [compare(form, part_merged(form, found).graph) for form in forms]
    return min(made, key=lambda comparison: len(comparison.differences))
