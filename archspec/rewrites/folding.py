"""What of a network can be computed otherwise in evaluation, with equal results, and its weights.

A batch norm is then s x + t for each channel. Behind a convolution, transposed or not, s moves into
its filters. Before a ReLU and a convolution it does too where every s is above zero, since
relu(s x + t) = s relu(x + t / s). What is left of the norm is a shift, which costs a third of it.

And a convolution that makes fewer channels than it reads is computed as the transposed one of the
mirrored filters: it sums the products that fall on a pixel instead of copying what is to be
multiplied, `kernel` x `kernel` times, so that what is moved are the fewer channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
import numpy.typing as npt

from archspec.graph.ir import Graph, Op
from archspec.operators.attributes import STATISTICS
from archspec.operators.table import OPERATORS, attribute

Values = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
SHIFT = "shift"
"""What the parameter of a folded norm is called."""
LEAST_SCALE, MOST_SHIFT = 1e-18, 1e18
"""Of a norm before a ReLU: further out products leave the range of float32."""
HOMOGENEOUS = {-inf, 0.0, inf}
"""Bounds between which an activation leaves values as they are: f(s x) = s f(x) for s above 0."""


@dataclass(frozen=True, slots=True)
class Fold:
    """A norm whose scale moves into the filters of a convolution."""

    norm: str
    conv: str
    is_behind: bool
    """Whether the norm stands behind the convolution, which makes what it reads; else before."""


@dataclass(frozen=True, slots=True)
class Folding:
    """What is computed otherwise."""

    folds: tuple[Fold, ...] = ()
    turned: tuple[str, ...] = ()
    """Convolutions that are computed as transposed ones."""


def choose_folding(graph: Graph, tensors: Mapping[str, Floats], *, turns: bool) -> Folding:
    """Return what can be computed otherwise with these weights; with `turns` convolutions too."""
    folds = []
    for fold in find_folds(graph):
        scale, shift = scale_and_shift(graph.ops[fold.norm], tensors)
        if fold.is_behind or _can_pass_relu(scale, shift):
            folds.append(fold)
    return Folding(tuple(folds), find_turned(graph) if turns else ())


def find_folds(graph: Graph) -> tuple[Fold, ...]:
    """Return the norms that can be folded, where their values leave it."""
    shared = _find_shared(graph)
    found = []
    for op in graph.ops.values():
        fold = _find_fold(graph, op) if has_statistics(op) else None
        if fold is not None and not {fold.norm, fold.conv} & shared:
            found.append(fold)
    return tuple(found)


def find_turned(graph: Graph) -> tuple[str, ...]:
    """Return the convolutions that are computed as transposed ones."""
    shared = _find_shared(graph)
    return tuple(name for name, op in graph.ops.items() if _gains(op) and name not in shared)


def fold_values(
    graph: Graph, folding: Folding, tensors: Mapping[str, Floats]
) -> dict[str, npt.NDArray[np.float32]]:
    """Return the tensors that the network then has in place of others, by name."""
    changed: dict[str, Values] = {}
    for fold in folding.folds:
        changed |= _fold(graph, fold, {**tensors, **changed})
    for conv_name in folding.turned:
        name = f"{conv_name}.weight"
        weight = changed.get(name, np.asarray(tensors[name], np.float64))
        changed[name] = weight.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]
    return {name: np.ascontiguousarray(values, np.float32) for name, values in changed.items()}


def _fold(graph: Graph, fold: Fold, tensors: Mapping[str, Any]) -> dict[str, Values]:
    """Return what one norm's folding makes of the filters, of their biases, and of its shift."""
    conv = graph.ops[fold.conv]
    scale, shift = scale_and_shift(graph.ops[fold.norm], tensors)
    name, bias = f"{fold.conv}.weight", f"{fold.conv}.bias"
    weight = np.asarray(tensors[name], np.float64)
    if not fold.is_behind:
        return {name: weight * _spread(scale, conv), f"{fold.norm}.{SHIFT}": shift / scale}
    made = OPERATORS[conv.kind].axis_made
    filters = weight * scale.reshape([-1 if axis == made else 1 for axis in range(weight.ndim)])
    changed = {name: filters, f"{fold.norm}.{SHIFT}": shift}
    if conv.attrs.get("bias"):
        changed[bias] = np.asarray(tensors[bias], np.float64) * scale
    return changed


def scale_and_shift(norm: Op, tensors: Mapping[str, Floats]) -> tuple[Values, Values]:
    """Return s and t (channels,) of a batch norm in evaluation, s x + t."""
    roles = ("gamma", "beta", *STATISTICS)
    values = (np.asarray(tensors[f"{norm.name}.{role}"], np.float64) for role in roles)
    gamma, beta, mean, variance = values
    with np.errstate(invalid="ignore", divide="ignore"):  # of what has overflowed
        scale = gamma / np.sqrt(variance + norm.attrs["eps"])
        return scale, beta - scale * mean


def _can_pass_relu(scale: Values, shift: Values) -> bool:
    if not (np.isfinite(scale) & (scale > LEAST_SCALE)).all():
        return False
    return bool((np.abs(shift / scale) < MOST_SHIFT).all())


def _find_fold(graph: Graph, norm: Op) -> Fold | None:
    before = graph.ops[norm.inputs[0]]
    if _takes_scale(before) and graph.digraph.out_degree(before.name) == 1:
        return Fold(norm.name, before.name, is_behind=True)
    behind = _find_reader(graph, norm)
    if behind is None or not _is_homogeneous(behind):
        return None
    conv = _find_reader(graph, behind)
    if conv is None or not _is_plain(conv):
        return None
    return Fold(norm.name, conv.name, is_behind=False)


def _find_reader(graph: Graph, op: Op) -> Op | None:
    """Return what alone reads an operator."""
    readers = tuple(graph.digraph.successors(op.name))
    return graph.ops[readers[0]] if len(readers) == 1 else None


def has_statistics(op: Op) -> bool:
    """Return whether an operator norms by moving statistics, as a batch norm does."""
    return set(STATISTICS) <= OPERATORS[op.kind].tensors(op.attrs).keys()


def _is_homogeneous(op: Op) -> bool:
    interval = OPERATORS[op.kind].interval
    return interval is not None and set(interval(op.attrs)) <= HOMOGENEOUS


def _takes_scale(op: Op) -> bool:
    """Its filters make maps, and a norm behind it may be folded into them."""
    row = OPERATORS[op.kind]
    if not row.folds_norm or row.standardizes(op.attrs):
        return False
    return len(row.tensors(op.attrs)["weight"]) == 4


def _is_plain(op: Op) -> bool:
    """A convolution whose filters are its weights themselves."""
    return op.kind == "conv" and not OPERATORS[op.kind].standardizes(op.attrs)


def _gains(op: Op) -> bool:
    if not _is_plain(op):
        return False
    known: Mapping[str, int] = {**OPERATORS[op.kind].defaults, **op.attrs}
    kernel, padding = known["kernel"], known["padding"]
    has_windows = kernel > 1 and padding < kernel
    is_usual = known["stride"] == known["dilation"] == known["groups"] == 1
    makes_fewer = known["out_channels"] < known["in_channels"]
    return has_windows and is_usual and makes_fewer and not known["bias"]


def _find_shared(graph: Graph) -> frozenset[str]:
    """Operators that share weights with others: what becomes of one would become of all."""
    found: set[str] = set()
    for op in graph.ops.values():
        if op.attrs.get("weights_of"):
            found |= {op.name, op.attrs["weights_of"]}
    return frozenset(found)


def _spread(scale: Values, conv: Op) -> Values:
    """Return the scales of the channels that a convolution reads, for its filters (O, I, 1, 1)."""
    groups, outs = attribute(conv.kind, conv.attrs, "groups"), conv.attrs["out_channels"]
    rows = scale.reshape(groups, -1).repeat(outs // groups, axis=0)
    return rows[:, :, None, None]
