"""Are a file's filters and biases those of given weights, norms folded in and rounded as it says?

A quantised file does not tell what its whole numbers once were. Whoever has the float weights can
ask: each filter, times the scale of the norms that are folded into it, must lie within half a step
of what its whole number stands for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from archspec.certify.liveness import name_folded
from archspec.compare.concat_order import compare_join_orders
from archspec.compare.match import Match
from archspec.compare.row_facts import has_statistics
from archspec.errors import Diagnostic, format_count, name_first
from archspec.graph.ir import Op
from archspec.operators.table import OPERATORS
from archspec.readers.reading import Reading
from archspec.readers.tensors import Computed, OperatorWeights, Source, Values, values_of

HALF_STEP = 0.51
"""Of whole numbers: what rounding moves a value by, with what float32 leaves of a folding."""
SHARE = 2.0**-7
"""Of the largest value of a filter: what bfloat16 and folding move a value by that is not whole."""

Array = Any


@dataclass(frozen=True, slots=True)
class FloatWeights:
    """What is known of a file's filters and biases beside the weights that it was made of."""

    compared: int
    """Tensors that were compared."""
    differences: tuple[Diagnostic, ...]
    left_out: tuple[str, ...]
    """Operators whose weights could not be compared."""
    norms: tuple[str, ...] = ()
    """Those that stand in the file by themselves, whose values nobody compares."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was and what was not compared."""
        within = "within half a step of what they are rounded to, or as near as 16 bits"
        tensors = format_count(self.compared, "tensor")
        lines = [f"filters and biases are those of the given weights, {within}: {tensors}"]
        if self.left_out:
            lines.append(f"not compared with the given weights: {name_first(self.left_out)}")
        if self.norms:
            norms = name_first(self.norms)
            lines.append(f"not compared, norms that stand in the file by themselves: {norms}")
        return tuple(lines[bool(self.differences) :])


@dataclass(frozen=True)
class _Expected:
    """What an operator of the file should hold."""

    op: Op
    place: str
    """Of its weights, by the reading's name."""
    filters: Array
    bias: Array


def compare_float_weights(
    match: Match, reading: Reading, path: Path, tensors: Mapping[str, Array]
) -> FloatWeights:
    """Return how a file's filters differ from those of tensors by the spec's names.

    Raises:
        ModelFileError: R005, R006, the file cannot be read any more.
    """
    faults, left_out, count = list[Diagnostic](), list[str](), 0
    expected = list(_list_expected(match, reading, tensors))
    norms = tuple(_list_norms(match, reading))
    if compare_join_orders(match).reordered:
        return FloatWeights(0, (), tuple(each.op.name for each in expected), norms)
    with values_of(path) as values:
        for each in expected:
            known = reading.weights.get(each.place, OperatorWeights())
            pairs = _pair_tensors(each, known, values)
            if pairs is None:
                left_out.append(each.op.name)
                continue
            count += len(pairs)
            faults.extend(filter(None, (_find_fault(each.op, *pair, values) for pair in pairs)))
    return FloatWeights(count, tuple(faults), tuple(left_out), norms)


def _list_norms(match: Match, reading: Reading) -> Iterator[str]:
    """Norms that are folded into nothing."""
    _, held = name_folded(match, reading)
    pairs = chain.from_iterable(
        zip(expected.ops, found.ops, strict=True) for expected, found in match.complete_pairs
    )
    for ours, theirs in pairs:
        if OPERATORS[ours.kind].family == "norm" and theirs.name not in held:
            yield ours.name


def _list_expected(
    match: Match, reading: Reading, tensors: Mapping[str, Array]
) -> Iterator[_Expected]:
    """Operators with filters, and what the norms that are folded into each make of these."""
    names = name_folded(match, reading)
    for expected, found in match.complete_pairs:
        yield from _follow_chain([*zip(expected.ops, found.ops, strict=True)], names, tensors)


def _follow_chain(
    pairs: Sequence[tuple[Op, Op]],
    names: tuple[Mapping[str, str], Collection[str]],
    tensors: Mapping[str, Array],
) -> Iterator[_Expected]:
    """Of the spec's operators beside the file's; norms stand behind what they are folded into."""
    folded, held = names
    last: _Expected | None = None
    for ours, theirs in pairs:
        if OPERATORS[ours.kind].has_filters:
            yield from filter(None, [last])
            last = _read_expected(ours, folded.get(theirs.name, theirs.name), tensors)
        elif last is not None and has_statistics(ours) and theirs.name in held:
            last = _fold(last, ours, tensors)
    yield from filter(None, [last])


def _read_expected(op: Op, place: str, tensors: Mapping[str, Array]) -> _Expected | None:
    name = f"{op.attrs.get('weights_of') or op.name}.weight"
    if name not in tensors or OPERATORS[op.kind].standardizes(op.attrs):
        return None
    filters = np.asarray(tensors[name], np.float64)
    bias = tensors.get(f"{op.name}.bias", np.zeros(op.attrs["out_channels"]))
    return _Expected(op, place, filters, np.asarray(bias, np.float64))


def _fold(each: _Expected, norm: Op, tensors: Mapping[str, Array]) -> _Expected:
    # Not by what folds for our own files: that is what is checked here.
    roles = ("gamma", "beta", "moving_mean", "moving_variance")
    held = (np.asarray(tensors[f"{norm.name}.{role}"], np.float64) for role in roles)
    gamma, beta, mean, variance = held
    with np.errstate(invalid="ignore", divide="ignore"):  # of what has overflowed
        scale = gamma / np.sqrt(variance + norm.attrs["eps"])
        shift = beta - scale * mean
    filters = each.filters * _along(each.op, scale, each.filters.ndim)
    return replace(each, filters=filters, bias=each.bias * scale + shift)


def _pair_tensors(
    each: _Expected, known: OperatorWeights, values: Values
) -> list[tuple[Source, Array, Array, int]] | None:
    """The file's filters and bias, what they should be, and the axis of what they make."""
    filters = [values.of(source) for source in known.scales]
    if len(filters) != 1 or filters[0] is None or filters[0].shape != each.filters.shape:
        return None
    axis = _axis_made(each.op)
    pairs = [(known.scales[0], filters[0], each.filters, axis)]
    for source in known.others:
        found = values.of(source)
        if found is None or found.size != each.bias.size or len(known.others) > 1:
            return None
        pairs.append((source, found.reshape(-1), each.bias, 0))
    return pairs


def _find_fault(
    op: Op, source: Source, found: Array, wanted: Array, axis: int, values: Values
) -> Diagnostic | None:
    away = np.abs(found - wanted)
    others = tuple(at for at in range(wanted.ndim) if at != axis)
    bound = SHARE * np.abs(wanted).max(axis=others if others else None, keepdims=bool(others))
    steps = _find_steps(source, values)
    if steps is not None:
        whole = steps.reshape([-1 if at == axis else 1 for at in range(wanted.ndim)])
        bound = HALF_STEP * whole + np.abs(wanted) * 1e-4
    far = int((~(away <= bound)).sum())
    if not far:
        return None
    what = "filters" if wanted.ndim > 1 else "bias"
    told = f"{far:,} of {wanted.size:,} values are further than rounding from the given weights"
    return Diagnostic("R113", f"{op.name}: of its {what} {told}", op.name)


def _find_steps(source: Source, values: Values) -> Array | None:
    """The steps of whole numbers, however they are turned afterwards; None where there are none."""
    while isinstance(source, Computed):
        if source.operator == "DequantizeLinear":
            steps = values.of(source.inputs[1])
            return None if steps is None else np.asarray(steps, np.float64).reshape(-1)
        source = source.inputs[0]
    return None


def _axis_made(op: Op) -> int:
    return 1 - OPERATORS[op.kind].axis_read


def _along(op: Op, scale: Array, dims: int) -> Array:
    return scale.reshape([-1 if at == _axis_made(op) else 1 for at in range(dims)])
