"""Are a file's norms those of given weights, as the file says them?

A norm that is folded into nothing multiplies each channel and adds something to it, by weights of
its own: gamma and beta, with the statistics of a batch norm or without; or in a file that writes
norms out, any number of factors and terms. So the scale and the shift that both come to are
compared, and of what has one weight for each channel, such as a PReLU, that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from archspec.certify.rounding_bounds import SHARE, find_steps, tell_far
from archspec.compare.row_facts import has_statistics
from archspec.errors import Diagnostic
from archspec.graph.ir import Op
from archspec.operators.table import OPERATORS
from archspec.readers.tensors import HALF_STEP, OperatorWeights, Source, Values

SMALLEST = 2.0**-24
"""Of float16: what is smaller is rounded to it, or to zero."""

Array = Any


class Affine(NamedTuple):
    """What becomes of each channel: all are (C,)."""

    scale: Array
    shift: Array | None
    """None: nothing is added."""
    bounds: tuple[Array, Array]
    """How far rounding may move the two."""


def has_values_of_channels(op: Op) -> bool:
    """Return whether an operator has weights, and all of them are values of a channel."""
    row = OPERATORS[op.kind]
    return not row.has_filters and bool(row.tensors(op.attrs))


def find_norm_faults(
    pair: tuple[Op, Op], known: OperatorWeights, values: Values, tensors: Mapping[str, Array]
) -> list[Diagnostic] | None:
    """Return how one of the spec's operators differs from the file's, whose weights are known;
    None where nobody can tell.
    """
    ours, theirs = pair
    wanted = _read_wanted(ours, tensors)
    found = _read_found(theirs, known, values)
    if wanted is None or found is None or found.scale.size != wanted.scale.size:
        return None
    return list(_compare(ours, found, wanted))


def _read_wanted(op: Op, tensors: Mapping[str, Array]) -> Affine | None:
    roles = OPERATORS[op.kind].tensors(op.attrs)
    names = {role: f"{op.attrs.get('weights_of') or op.name}.{role}" for role in roles}
    if not {*names.values()} <= tensors.keys():
        return None
    held = {role: np.asarray(tensors[name], np.float64) for role, name in names.items()}
    if "beta" not in held:
        (factor,) = held.values()
        return Affine(factor, None, (SHARE * np.abs(factor) + SMALLEST, np.zeros(1)))
    mean, variance = held.get("moving_mean", 0.0), held.get("moving_variance", 1.0)
    eps = op.attrs["eps"] if has_statistics(op) else 0.0
    return _make_affine(held["gamma"], held["beta"], mean, variance + eps)


def _make_affine(gamma: Array, beta: Array, mean: Array, squared: Array) -> Affine:
    with np.errstate(all="ignore"):  # of what has overflowed
        root = 1 / np.sqrt(squared)
        scale, moved = gamma * root, mean * gamma * root
        bounds = SHARE * np.abs(scale) + SMALLEST * root
        of_shift = SHARE * (np.abs(beta) + np.abs(moved))
        least = SMALLEST * (1 + np.abs(scale) + np.abs(mean) * root)
        return Affine(scale, beta - moved, (bounds, of_shift + least))


class _Rounded(NamedTuple):
    """Values of channels, and by how much rounding to whole numbers may have moved them."""

    values: Array
    bound: Array


def _read_found(op: Op, known: OperatorWeights, values: Values) -> Affine | None:
    before = () if known.before is None else (known.before,)
    read = [_read(source, values) for source in (*known.scales, *known.others, *before)]
    if not known.scales or any(each is None for each in read):
        return None
    whole = [each for each in read if each is not None]
    factors, rest = whole[: len(known.scales)], whole[len(known.scales) :]
    terms, shifts = rest[: len(known.others)], rest[len(known.others) :]
    if known.variance is not None:
        return _join_statistics(op, factors, terms)
    return _join(factors, terms, shifts[0].values if shifts else None)


def _read(source: Source, values: Values) -> _Rounded | None:
    found, steps = values.of(source), find_steps(source, values)
    if found is None:
        return None
    bound = np.zeros(1) if steps is None else HALF_STEP * steps
    return _Rounded(np.asarray(found, np.float64).reshape(-1), bound)


def _join_statistics(
    op: Op, factors: Sequence[_Rounded], terms: Sequence[_Rounded]
) -> Affine | None:
    """Of a batch norm, behind which may stand one more scale and one more shift."""
    beta, mean, variance, *added = terms
    if len(factors) > 2 or len(added) != len(factors) - 1:
        return None
    with np.errstate(all="ignore"):  # of what has overflowed
        root = 1 / np.sqrt(variance.values + op.attrs["eps"])
        moved = _multiply([beta, *factors[1:]])
        return _join([*factors, _Rounded(root, np.zeros(1))], [moved, *added], -mean.values)


def _join(factors: Sequence[_Rounded], terms: Sequence[_Rounded], before: Array | None) -> Affine:
    """What is added before is scaled, too."""
    scale = _multiply(factors)
    shifts = [*terms]
    if before is not None:
        shifts.append(_Rounded(before * scale.values, np.abs(before) * scale.bound))
    shift = sum(each.values for each in shifts) if shifts else None
    bound = sum((each.bound for each in shifts), start=np.zeros(1))
    return Affine(scale.values, shift, (scale.bound, bound))


def _multiply(factors: Sequence[_Rounded]) -> _Rounded:
    made, *others = factors
    for each in others:
        bound = np.abs(made.values) * each.bound + made.bound * np.abs(each.values)
        made = _Rounded(made.values * each.values, bound)
    return made


def _compare(op: Op, found: Affine, wanted: Affine) -> Iterator[Diagnostic]:
    nothing = np.zeros_like(wanted.scale)
    parts = {"scale": (found.scale, wanted.scale)}
    if wanted.shift is not None or found.shift is not None:
        mine = nothing if wanted.shift is None else wanted.shift
        theirs = nothing if found.shift is None else found.shift
        parts["shift"] = (theirs, mine)
    for (what, (theirs, mine)), *bounds in zip(
        parts.items(), wanted.bounds, found.bounds, strict=False
    ):
        fault = tell_far(op, what, theirs - mine, sum(bounds))
        yield from filter(None, [fault])
