"""Norms that an ONNX writes as a scale and a shift of each channel, in any number of nodes.

A scale and a shift behind a convolution may also be its bias, and what stands behind them a norm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from archspec.graph.ir import Op
from archspec.operators.file_node import CHANNEL_SCALE, CHANNEL_SHIFT
from archspec.operators.norm_nodes import EPS
from archspec.operators.norms import norm_of_scale_and_shift
from archspec.operators.table import NORMS, OPERATORS, attribute
from archspec.readers.onnx.call import GROUPED, Call
from archspec.readers.tensors import (
    OperatorWeights,
    Source,
    Tensor,
    compute_later,
    evaluate,
)
from archspec.readers.trace import UNKNOWN, Feature, Unsupported

BARE = "bare"
"""Suffix of the bias that is added to a convolution in a node of its own."""


def part_of_group_norm(call: Call) -> Feature:
    """An instance norm that norms each group as if it were a channel."""
    x = call.feature(pending=GROUPED)
    known = [("NGR",), ("NGKP",), ("NGKHW",)]
    is_of_groups = call.weight(1, 1).dims == (x.pending[1],) and _are_trivial(call)
    if x.pending[2:][:1] not in known or not is_of_groups:
        raise Unsupported(UNKNOWN)
    return replace(x, pending=("group norm", x.pending[1], call.number("epsilon", EPS)))


def _are_trivial(call: Call) -> bool:
    scale, shift = call.weight(1, 1).values, call.weight(2, 1).values
    if scale is None or shift is None:
        return False
    # Of whole numbers their scale is rounded.
    return bool(np.allclose(scale, 1, rtol=1e-6, atol=0) and (shift == 0).all())


def shift(call: Call, x: Feature, weight: Tensor) -> Feature:
    """Add a value to each channel: a bias, or a part of a norm."""
    op = call.trace.ops[x.op]
    if call.kind == "Sub":
        weight = _computed(weight, "Neg")
    if op.kind in NORMS and _shifts(op):
        made = _again(call, x)
        call.trace.copy(made.op, made.op, weight)
        return made
    if op.kind == CHANNEL_SCALE:
        return _with_its_scales(call, op, weight)
    row = OPERATORS.get(op.kind)  # None of a part of an operator
    if row and row.has_filters and not attribute(op.kind, op.attrs, "bias"):
        name = call.trace.free(f"{op.name}+{BARE}")
        attrs = {**op.attrs, "bias": True}
        call.trace.add(Op(name, op.kind, op.inputs, MappingProxyType(attrs)), x.shape)
        call.trace.copy(op.name, name, weight)
        return Feature(name, x.shape, doubtful=x.doubtful)
    return _part_of_norm(call, CHANNEL_SHIFT, x, weight)


def _with_its_scales(call: Call, op: Op, weight: Tensor) -> Feature:
    """A norm that is written as scales, of which this is the last, and a shift.

    What they scale may be a norm already, which has no shift yet. An earlier scale that others read
    too is none of the norm's.
    """
    scales = call.trace.weights[op.name].scales
    before = call.trace.ops[op.inputs[0]]
    while before.kind == CHANNEL_SCALE and before.name not in call.trace.shared:
        scales = (*call.trace.weights[before.name].scales, *scales)
        before = call.trace.ops[before.inputs[0]]
    x, known = call.known(before.name), OperatorWeights()
    if before.kind in NORMS and not _is_complete(call, before):
        made, known = _again(call, x), call.trace.weights[before.name]
    else:
        made = add_affine(call, x, weight)
    others = (*known.others, weight.place)
    call.trace.weights[made.op] = replace(known, scales=(*known.scales, *scales), others=others)
    return made


def scale(call: Call, x: Feature, weight: Tensor) -> Feature:
    """Multiply each channel by a value: a part of a norm, or a scale by itself."""
    op = call.trace.ops[x.op]
    if call.kind == "Div":
        weight = _computed(weight, "Reciprocal")
    if op.kind in NORMS and not _is_complete(call, op) and not _has_ones(call, op):
        made = _again(call, x)
        call.trace.rescale(made.op, weight)
        return made
    if op.kind == CHANNEL_SHIFT:
        (before,) = call.trace.weights[op.name].scales
        return _scale_shifted(call, op.inputs[0], before, weight)
    bare = op.name.rpartition(f"+{BARE}")[0]
    if bare in call.trace.ops:
        return _scale_shifted(call, bare, call.trace.weights[op.name].others[-1], weight)
    return _part_of_norm(call, CHANNEL_SCALE, x, weight)


def _scale_shifted(call: Call, name: str, before: Source, weight: Tensor) -> Feature:
    """A norm of what was shifted first, as a mean is taken off."""
    made = add_affine(call, call.known(name), weight)
    call.trace.shift_before(made.op, before)
    return made


def _computed(weight: Tensor, operator: str) -> Tensor:
    made = compute_later(operator, weight.dims, weight.place)
    few = None if weight.values is None else evaluate(made)
    return replace(weight, values=few, source=made)


def _again(call: Call, x: Feature) -> Feature:
    """The operator that gives x once more, with the same weights, to be scaled or shifted further.

    Another node may read x as it is, or scale it otherwise: optimisers merge what norms have in
    common.
    """
    op = call.trace.ops[x.op]
    made = call.op(op.kind, [call.known(name) for name in op.inputs], x.shape, **op.attrs)
    call.trace.copy(op.name, made.op)
    if op.name in call.trace.faults:
        call.trace.faults[made.op] = call.trace.faults[op.name]
    return replace(made, doubtful=x.doubtful)


def _shifts(norm: Op) -> bool:
    """A norm has a shift beside its scale, as all have but for an RMS norm."""
    return "beta" in OPERATORS[norm.kind].tensors(norm.attrs)


def _is_complete(call: Call, norm: Op) -> bool:
    """A norm has its shift, which comes last, or the scale that is all it has:
    what scales behind it is the next one.

    Caffe's batch norms have none, and leave ones and zeros: a scale and a shift in nodes of their
    own follow.
    """
    known = call.trace.weights.get(norm.name, OperatorWeights())
    if not _shifts(norm):
        return bool(known.scales)
    if known.variance is None:
        return bool(known.others)
    beta = known.others[0]
    return len(known.scales) > 1 or not (_are_all(known.scales[0], 1) and _are_all(beta, 0))


def _has_ones(call: Call, norm: Op) -> bool:
    """A norm of ones and zeros is Caffe's, or one before training: a shift to come will tell."""
    return call.trace.weights.get(norm.name, OperatorWeights()).variance is not None


def _are_all(source: Source, number: int) -> bool:
    values = evaluate(source)
    return values is not None and bool((values == number).all())


def _part_of_norm(call: Call, kind: str, x: Feature, weight: Tensor) -> Feature:
    made = call.part(kind, [x], x.shape, weights=[weight], channels=x.shape[1])
    if call.readers > 1:
        call.trace.shared.add(made.op)
    call.trace.faults[made.op] = f"{call.kind} shifts each channel, without a scale beside it"
    return made


def add_affine(call: Call, x: Feature, scale: Tensor, *shifts: Tensor) -> Feature:
    """Add a batch norm that is written as a scale and a shift: its eps is part of the scale."""
    kind, attrs = norm_of_scale_and_shift(x.shape[1])
    return call.op(kind, [x], x.shape, [scale, *shifts], **attrs)


BY_CHANNEL: Mapping[str, Callable[[Call, Feature, Tensor], Feature]] = {
    **dict.fromkeys(("Add", "Sub", "Sum"), shift),
    **dict.fromkeys(("Mul", "Div"), scale),
}
