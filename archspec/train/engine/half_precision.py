"""A network of which a part computes in half precision, as MindSpore's `amp` has it.

Imports mindspore where it changes a network; call `archspec.runtime.prepare` before.
"""

from __future__ import annotations

from typing import Any

from archspec.graph.ir import Graph
from archspec.train.recipe.recipe import Recipe
from archspec.writers.mindspore.cells import is_cell


def describe_kept(recipe: Recipe, graph: Graph) -> str:
    """Return the line that says which kinds to be kept in full precision a network has not; ''
    where there is nothing to say.
    """
    kinds = {op.kind for op in graph.ops.values() if is_cell(op)}
    absent = [kind for kind in recipe.amp_keep_float32 if kind not in kinds]
    named = ", ".join(absent)
    return f"amp_keep_float32: the network has no {named}" if absent else ""


def lower_precision(network: Any, graph: Graph, recipe: Recipe) -> Any:
    """Return what computes as the recipe's `amp` says: in half precision but for what is kept.

    Parameters stay float32, and keep their names. O2 keeps the norms that MindSpore's own list has,
    and what `amp_keep_float32` names beside; O3 the latter alone.
    """
    from mindspore import amp

    kept = recipe.amp_keep_float32
    if not kept:
        return amp.auto_mixed_precision(network, recipe.amp)
    cells = dict(network.cells_and_names())
    classes = {type(cells[op.name]) for op in graph.ops.values() if op.kind in kept and is_cell(op)}
    own = amp.get_black_list() if recipe.amp == "O2" else []
    listed = dict.fromkeys([*own, *sorted(classes, key=lambda one: one.__qualname__)])
    return amp.custom_mixed_precision(network, black_list=[*listed])
