"""Are a file's norms those of given weights, as the file says them?

A norm that is folded into nothing multiplies each channel and adds something to it, by weights of
its own: gamma and beta, with the statistics of a batch norm or without; or in a file that writes
norms out, any number of factors and terms. So the scale and the shift that both come to are
compared, and of what has one weight for each channel, such as a PReLU, that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np

from archspec.certify.rounding_bounds import HALF_STEP, SHARE, find_steps, tell_far
from archspec.compare.row_facts import has_statistics
from archspec.errors import Diagnostic
from archspec.graph.ir import Op
from archspec.operators.table import OPERATORS
from archspec.readers.tensors import OperatorWeights, Source, Values

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


def _read_found(op: Op, known: OperatorWeights, values: Values) -> Affine | None:
    scales = [values.of(source) for source in known.scales]
    others = [values.of(source) for source in known.others]
    before = values.of(known.before)
    unread = known.before is not None and before is None
    if not scales or unread or any(each is None for each in (*scales, *others)):
        return None
    steps = _sum_steps(known.scales, values), _sum_steps(known.others, values)
    factors = [np.asarray(each, np.float64).reshape(-1) for each in scales]
    terms = [np.asarray(each, np.float64).reshape(-1) for each in others]
    if before is not None:
        terms.append(np.asarray(before, np.float64).reshape(-1) * prod(factors))
    if known.variance is None:
        return Affine(prod(factors), sum(terms) if terms else None, steps)
    return _join_statistics(op, factors, terms, steps)


def _join_statistics(
    op: Op, factors: Sequence[Array], terms: Sequence[Array], steps: tuple[Array, Array]
) -> Affine | None:
    """Of a batch norm, behind which may stand one more scale and one more shift."""
    beta, mean, variance, *added = terms
    if len(factors) > 2 or len(added) != len(factors) - 1:
        return None
    made = _make_affine(factors[0], beta, mean, variance + op.attrs["eps"])
    scale, shift = made.scale, made.shift
    for factor, term in zip(factors[1:], added, strict=True):
        scale, shift = scale * factor, shift * factor + term
    return Affine(scale, shift, steps)


def _sum_steps(sources: Sequence[Source], values: Values) -> Array:
    """By how much rounding to whole numbers moves what several values come to."""
    found = (find_steps(source, values) for source in sources)
    steps = [each for each in found if each is not None]
    return HALF_STEP * sum(steps, start=np.zeros(1))


def _compare(op: Op, found: Affine, wanted: Affine) -> Iterator[Diagnostic]:
    shifts = wanted.shift, found.shift
    nothing = np.zeros_like(wanted.scale)
    parts = {"scale": (found.scale, wanted.scale)}
    if any(shift is not None for shift in shifts):
        mine, theirs = (nothing if shift is None else shift for shift in shifts)
        parts["shift"] = (theirs, mine)
    for (what, (theirs, mine)), *bounds in zip(
        parts.items(), wanted.bounds, found.bounds, strict=False
    ):
        fault = tell_far(op, what, theirs - mine, sum(bounds))
        yield from filter(None, [fault])
