"""Norms of an ONNX: nodes of their own, or a scale and a shift
of each channel in any number of steps.

A scale and a shift behind a convolution may also be its bias, and what stands behind them a norm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from archspec.graph.ir import Op
from archspec.operators.table import NORMS, OPERATORS
from archspec.readers.onnx.call import GROUPED, Call, axis_of
from archspec.readers.tensors import OperatorWeights, Source, Tensor, compute_later
from archspec.readers.trace import UNKNOWN, Feature, Unsupported, decimal

SCALE, SHIFT = "norm's scale", "norm's shift"
"""Parts that a norm is written in; a scale to which no shift comes is one by itself."""
BARE = "bare"
"""Suffix of the bias that is added to a convolution in a node of its own."""


def batch_norm(call: Call) -> Feature:
    """Return the same shape; training mode is a fault."""
    x = call.feature()
    weights = [call.weight(index, 1) for index in (1, 2, 3, 4)]
    if any(weight.dims != (x.shape[1],) for weight in weights):
        raise Unsupported(f"is made for {weights[0].dims[0]} channels, reads {x.shape[1]}")
    eps = decimal(call.attrs.get("epsilon", 1e-5))
    made = call.op("batch_norm", [x], x.shape, weights=weights, channels=x.shape[1], eps=eps)
    call.trace.varies(made.op, weights[3])
    if call.attrs.get("training_mode") or call.outputs > 1:
        call.trace.faults[made.op] = f"{call.kind} was exported in training mode"
    return made


def layer_norm(call: Call) -> Feature:
    """Return the same shape, channels last: each pixel by itself, or a vector."""
    x = call.feature(pending="permuted")
    is_last = bool(x.pending) or len(x.shape) == 2
    if (
        not is_last
        or axis_of(x, call.attrs.get("axis", -1)) != 1
        or call.weight(1, 1).dims != (x.shape[1],)
    ):
        raise Unsupported("does not norm the channels of each pixel")
    eps = decimal(call.attrs.get("epsilon", 1e-5))
    made = call.op(
        "layer_norm", [x], x.shape, weights=_scale_and_shift(call), channels=x.shape[1], eps=eps
    )
    return replace(made, pending=x.pending)


def group_norm(call: Call) -> Feature:
    """Return the same shape."""
    x, groups = call.feature(), call.attrs["num_groups"]
    if call.weight(1, 1).dims != (x.shape[1],) or x.shape[1] % groups:
        raise Unsupported(
            f"has {groups} groups and {call.weight(1, 1).dims[0]} scales for {x.shape[1]} channels"
        )
    attrs = {
        "channels": x.shape[1],
        "groups": groups,
        "eps": decimal(call.attrs.get("epsilon", 1e-5)),
    }
    return call.op("group_norm", [x], x.shape, weights=_scale_and_shift(call), **attrs)


def _scale_and_shift(call: Call) -> list[Tensor]:
    """A norm's weights, of which the second may be left out."""
    return [call.weight(index, 1) for index in (1, 2) if index == 1 or call.has(index)]


def instance_norm(call: Call) -> Feature:
    """Return the same shape; or the part of a group norm
    that norms each group as if it were a channel.
    """
    if not call.is_pending(GROUPED):
        return _of_channels(call, "instance_norm", call.feature(dims=4))
    x = call.feature(pending=GROUPED)
    if (
        x.pending[2:][:1] not in [("NGR",), ("NGKP",), ("NGKHW",)]
        or call.weight(1, 1).dims != (x.pending[1],)
        or not _are_trivial(call)
    ):
        raise Unsupported(UNKNOWN)
    return replace(
        x, pending=("group norm", x.pending[1], decimal(call.attrs.get("epsilon", 1e-5)))
    )


def rms_norm(call: Call) -> Feature:
    """Return the same shape, channels last: each pixel by itself, or a vector;
    its numbers are float32 inside.
    """
    x = call.feature(pending="permuted")
    is_last = bool(x.pending) or len(x.shape) == 2
    if not is_last or axis_of(x, call.attrs.get("axis", -1)) != 1 or call.has(2):
        raise Unsupported("does not norm the channels of each pixel")
    return replace(_of_channels(call, "rms_norm", replace(x, pending=())), pending=x.pending)


def _of_channels(call: Call, kind: str, x: Feature) -> Feature:
    weights = _scale_and_shift(call)
    if any(weight.dims != (x.shape[1],) for weight in weights):
        raise Unsupported(f"is made for {weights[0].dims[0]} channels, reads {x.shape[1]}")
    eps = decimal(call.attrs.get("epsilon", 1e-5))
    return call.op(kind, [x], x.shape, weights=weights, channels=x.shape[1], eps=eps)


def _are_trivial(call: Call) -> bool:
    scale, shift = call.weight(1, 1).values, call.weight(2, 1).values
    return (
        scale is not None and shift is not None and bool((scale == 1).all() and (shift == 0).all())
    )


def shift(call: Call, x: Feature, weight: Tensor) -> Feature:
    """Add a value to each channel: a bias, or a part of a norm."""
    op = call.trace.ops[x.op]
    if op.kind in NORMS and _shifts(op):
        made = _again(call, x)
        call.trace.copy(made.op, made.op, weight)
        return made
    if op.kind == SCALE:
        return _with_its_scales(call, op, weight)
    row = OPERATORS.get(op.kind)  # None of a part of an operator
    if row and row.has_filters and not op.attrs.get("bias", op.kind == "dense"):
        name = call.trace.free(f"{op.name}+{BARE}")
        attrs = {**op.attrs, "bias": True}
        call.trace.add(Op(name, op.kind, op.inputs, MappingProxyType(attrs)), x.shape)
        call.trace.copy(op.name, name, weight)
        return Feature(name, x.shape, doubtful=x.doubtful)
    return _part_of_norm(call, SHIFT, x, weight)


def _with_its_scales(call: Call, op: Op, weight: Tensor) -> Feature:
    """A norm that is written as scales, of which this is the last, and a shift.

    What they scale may be a norm already, which has no shift yet. An earlier scale that others read
    too is none of the norm's.
    """
    scales = call.trace.weights[op.name].scales
    before = call.trace.ops[op.inputs[0]]
    while before.kind == SCALE and before.name not in call.trace.shared:
        scales = (*call.trace.weights[before.name].scales, *scales)
        before = call.trace.ops[before.inputs[0]]
    x, known = call.known(before.name), OperatorWeights()
    if before.kind in NORMS and not _is_complete(call, before):
        made, known = _again(call, x), call.trace.weights[before.name]
    else:
        made = _affine(call, x, weight)
    others = (*known.others, weight.place)
    call.trace.weights[made.op] = replace(known, scales=(*known.scales, *scales), others=others)
    return made


def scale(call: Call, x: Feature, weight: Tensor) -> Feature:
    """Multiply each channel by a value: a part of a norm, or a scale by itself."""
    op = call.trace.ops[x.op]
    if call.kind == "Div":
        weight = replace(
            weight, values=None, source=compute_later("Reciprocal", weight.dims, weight.place)
        )
    if op.kind in NORMS and not _is_complete(call, op) and not _has_ones(call, op):
        made = _again(call, x)
        call.trace.rescale(made.op, weight)
        return made
    if op.kind == SHIFT:
        return _affine(call, call.known(op.inputs[0]), weight)
    bare = op.name.rpartition(f"+{BARE}")[0]
    if bare in call.trace.ops:
        return _affine(call, call.known(bare), weight)
    return _part_of_norm(call, SCALE, x, weight)


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


def _are_all(values: Source, number: int) -> bool:
    return isinstance(values, np.ndarray) and bool((values == number).all())


def _part_of_norm(call: Call, kind: str, x: Feature, weight: Tensor) -> Feature:
    attrs = {"channels": x.shape[1], "initial": None} if kind == SCALE else {}
    made = call.part(kind, [x], x.shape, weights=[weight], **attrs)
    if call.readers > 1:
        call.trace.shared.add(made.op)
    call.trace.faults[made.op] = f"{call.kind} shifts each channel, without a scale beside it"
    return made


def _affine(call: Call, x: Feature, weight: Tensor) -> Feature:
    """A batch norm written out: its eps is part of the scale."""
    return call.op("batch_norm", [x], x.shape, weights=[weight], channels=x.shape[1], eps=None)


BY_CHANNEL: Mapping[str, Callable[[Call, Feature, Tensor], Feature]] = {
    **dict.fromkeys(("Add", "Sub", "Sum"), shift),
    **dict.fromkeys(("Mul", "Div"), scale),
}
