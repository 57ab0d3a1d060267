"""Passes that write batch norms, as they are in evaluation, with less.

One behind a convolution becomes a part of its filters and its bias. Any other is a scale and a
shift of each channel, which the graph has as a batch norm without an eps (`eps` is None, as readers
give it): `gamma` is the scale, `beta` the shift, and there are no moving statistics.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from archspec.graph.ir import Op
from archspec.rewrites.folding import (
    SHIFT,
    Fold,
    Folding,
    find_folds,
    fold_values,
    has_statistics,
    scale_and_shift,
)
from archspec.rewrites.weighted_graph import WeightedGraph

Floats = npt.NDArray[np.float32]


def fold_norms(network: WeightedGraph) -> WeightedGraph:
    """Return the network with batch norms in the filters and biases of convolutions before them
    that nothing else reads.

    One whose values are no finite numbers stays, and so does one that the network gives.
    """
    # Behind a convolution that has taken up one norm there may be another.
    while folds := _choose_folds(network):
        network = _fold(network, folds)
    return network


def _choose_folds(network: WeightedGraph) -> tuple[Fold, ...]:
    graph = network.graph
    behind = (fold for fold in find_folds(graph) if fold.is_behind)
    inner = (fold for fold in behind if fold.norm not in graph.outputs)
    return tuple(fold for fold in inner if _are_finite(_values_of(network, fold).values()))


def _values_of(network: WeightedGraph, fold: Fold) -> dict[str, Floats]:
    """The convolution's filters and bias with a norm in them."""
    bias, shift = f"{fold.conv}.bias", f"{fold.norm}.{SHIFT}"
    with np.errstate(over="ignore", invalid="ignore"):  # of what has overflowed
        made = fold_values(network.graph, Folding((fold,)), network.tensors)
    weight = f"{fold.conv}.weight"
    return {weight: made[weight], bias: made.get(bias, 0) + made[shift]}


def _fold(network: WeightedGraph, folds: Iterable[Fold]) -> WeightedGraph:
    ops, tensors = dict(network.graph.ops), dict[str, Floats]()
    for fold in folds:
        conv = ops[fold.conv]
        ops[fold.conv] = replace(conv, attrs={**conv.attrs, "bias": True})
        tensors |= _values_of(network, fold)
    biased = WeightedGraph(replace(network.graph, ops=ops), {**network.tensors, **tensors})
    return biased.without({fold.norm: fold.conv for fold in folds})


def write_norms_out(network: WeightedGraph) -> WeightedGraph:
    """Return the network with its batch norms as scales and shifts, but for one whose values are no
    finite numbers.
    """
    ops, tensors = list[Op](), dict[str, Floats]()
    for op in network.graph.ops.values():
        if not has_statistics(op):
            ops.append(op)
            continue
        with np.errstate(over="ignore"):
            scale, shift = scale_and_shift(op, network.tensors)
            gamma, beta = scale.astype(np.float32), shift.astype(np.float32)
        is_known = _are_finite((gamma, beta))
        ops.append(replace(op, attrs={**op.attrs, "eps": None}) if is_known else op)
        tensors |= {f"{op.name}.gamma": gamma, f"{op.name}.beta": beta} if is_known else {}
    return network.with_ops(ops, tensors)


def _are_finite(values: Iterable[npt.NDArray[Any]]) -> bool:
    return all(np.isfinite(each).all() for each in values)
