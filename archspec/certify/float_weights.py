"""Are a file's weights those that are given, norms folded in and rounded as it says?

A quantised file does not tell what its whole numbers once were. Whoever has the float weights can
ask: each filter, times the scale of the norms that are folded into it, must lie within half a step
of what its whole number stands for; and so the scale and the shift of each other norm.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from archspec.certify.liveness import name_folded
from archspec.certify.norm_weights import find_norm_faults, has_values_of_channels
from archspec.certify.rounding_bounds import SHARE, find_steps, tell_far
from archspec.compare.concat_order import compare_join_orders
from archspec.compare.match import Match
from archspec.compare.row_facts import has_statistics
from archspec.errors import Diagnostic, format_count, name_first
from archspec.graph.ir import Op
from archspec.operators.table import OPERATORS
from archspec.readers.reading import Reading
from archspec.readers.tensors import HALF_STEP, OperatorWeights, Source, Values, values_of

Array = Any


@dataclass(frozen=True, slots=True)
class FloatWeights:
    """What is known of a file's weights beside those that it was made of."""

    compared: int
    """Filters and biases that were compared."""
    norms: int
    """Norms that stand in the file by themselves, and others with a weight for each channel, that
    were compared."""
    differences: tuple[Diagnostic, ...]
    left_out: tuple[str, ...]
    """Operators whose weights could not be compared."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was and what was not compared."""
        within = "within half a step of what they are rounded to, or as near as 16 bits"
        tensors = format_count(self.compared, "tensor")
        lines = [f"filters and biases are those of the given weights, {within}: {tensors}"]
        if self.norms:
            norms = format_count(self.norms, "norm")
            lines.append(f"so are the scales and shifts of norms that stand by themselves: {norms}")
        if self.left_out:
            lines.append(f"not compared with the given weights: {name_first(self.left_out)}")
        return tuple(lines if not self.differences else lines[1 + bool(self.norms) :])


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
    expected = list(_list_expected(match, reading, tensors))
    norms = list(_list_norms(match, reading))
    if compare_join_orders(match).reordered:
        ops = [*map(attrgetter("op"), expected), *map(itemgetter(0), norms)]
        return FloatWeights(0, 0, (), tuple(op.name for op in ops))
    with values_of(path) as values:
        of_filters = [_compare_filters(each, reading, values) for each in expected]
        of_norms = [_compare_norm(*norm, values, tensors) for norm in norms]
    return _sum_up(of_filters, of_norms)


class _Compared(NamedTuple):
    """One operator."""

    name: str
    tensors: int
    """How many were compared."""
    faults: Sequence[Diagnostic] = ()


def _sum_up(of_filters: Sequence[_Compared], of_norms: Sequence[_Compared]) -> FloatWeights:
    both = [*of_filters, *of_norms]
    faults = tuple(chain.from_iterable(each.faults for each in both))
    left_out = tuple(each.name for each in both if not each.tensors)
    filters, norms = (sum(map(attrgetter("tensors"), some)) for some in (of_filters, of_norms))
    return FloatWeights(filters, norms, faults, left_out)


def _compare_filters(each: _Expected, reading: Reading, values: Values) -> _Compared:
    known = reading.weights.get(each.place, OperatorWeights())
    pairs = _pair_tensors(each, known, values)
    if pairs is None:
        return _Compared(each.op.name, 0)
    faults = (_find_fault(each.op, *pair, values) for pair in pairs)
    return _Compared(each.op.name, len(pairs), tuple(filter(None, faults)))


def _compare_norm(
    ours: Op, theirs: Op, known: OperatorWeights, values: Values, tensors: Mapping[str, Array]
) -> _Compared:
    faults = find_norm_faults((ours, theirs), known, values, tensors)
    return _Compared(ours.name, int(faults is not None), faults or ())


def _list_norms(match: Match, reading: Reading) -> Iterator[tuple[Op, Op, OperatorWeights]]:
    """The spec's norms and the file's that are folded into nothing, with what is known of the
    file's; and whatever else has weights of channels alone.

    Of several norms in a row behind a blur, whose filters hold one, the file does not tell which.
    """
    _, held = name_folded(match, reading)
    unnamed = held - reading.graph.ops.keys()
    pairs = chain.from_iterable(
        zip(expected.ops, found.ops, strict=True) for expected, found in match.complete_pairs
    )
    for ours, theirs in pairs:
        if has_values_of_channels(ours) and theirs.name not in held:
            is_told = unnamed.isdisjoint(theirs.inputs)
            yield ours, theirs, reading.weights.get(theirs.name * is_told, OperatorWeights())


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
    others = tuple(at for at in range(wanted.ndim) if at != axis)
    bound = SHARE * np.abs(wanted).max(axis=others if others else None, keepdims=bool(others))
    steps = find_steps(source, values)
    if steps is not None:
        bound = HALF_STEP * _reshape_along(steps, axis, wanted.ndim) + np.abs(wanted) * 1e-4
    return tell_far(op, "filters" if wanted.ndim > 1 else "bias", found - wanted, bound)


def _axis_made(op: Op) -> int:
    return OPERATORS[op.kind].axis_made


def _along(op: Op, scale: Array, dims: int) -> Array:
    return _reshape_along(scale, _axis_made(op), dims)


def _reshape_along(values: Array, axis: int, dims: int) -> Array:
    """Values as an array of so many dimensions, all of which are 1 but the axis."""
    shape = [1] * dims
    shape[axis] = -1
    return values.reshape(shape)
