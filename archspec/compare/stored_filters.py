"""Filters that were standardized before a file stored them: a plain convolution computes the same.

PyTorch's dynamo exporter, and optimisers, compute once and for all what a spec computes of a weight
wherever it is used. A filter has mean 0 then, and a variance of v / (v + weight_eps), where v was
the weight's: any below 1, each from weights of one variance v. A norm that was folded in has scaled
it. So the file's network is the spec's with some weights, and with which ones it does not tell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from archspec.compare.chains import Pair
from archspec.compare.folded_norms import holder_of
from archspec.compare.row_facts import standardizes_filters
from archspec.compare.zero_biases import pair_filter_ops, with_attrs
from archspec.errors import name_first
from archspec.operators.convolutions import standardized

FiltersOf = Callable[[str], Any]
"""What gives the filters of a file's operator by its name, (O, I, H, W), or None."""

MEAN = {"float16": 1e-3}
"""How far from 0 the mean of a filter may be that is stored in so many bits, in its deviations; an
ordinary filter of n values is about 1 / sqrt(n) away."""
USUAL_MEAN = 1e-4
VARIANCE = 1 + 1e-3
_STORED = standardized(weight_eps=None)


@dataclass(frozen=True, slots=True)
class AgreedFilters:
    """Pairs of chains in which the file's convolutions are standardized where the spec's are."""

    pairs: tuple[Pair, ...]
    stored: tuple[str, ...] = ()
    """The spec's convolutions of which the file stores the standardized filters."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a certificate must say of it."""
        if not self.stored:
            return ()
        verb = "have" if self.stored[1:] else "has"
        who = f"{name_first(self.stored)} {verb} filters that were standardized before"
        untold = "from which weights, by which deviation and with which weight_eps"
        return (f"{who} they were stored, of mean 0: {untold}, the file does not tell",)


def agree_on_filters(pairs: Sequence[Pair], filters_of: FiltersOf) -> AgreedFilters:
    """Return pairs in which stored filters count as standardized ones, where they may be such."""
    stored = dict[str, str]()
    for ours, theirs in pair_filter_ops(pairs):
        if not standardizes_filters(ours) or standardizes_filters(theirs):
            continue
        name, is_scaled = holder_of(theirs.name)
        if _are_standardized(filters_of(name), is_scaled):
            stored[theirs.name] = ours.name
    agreed = with_attrs(pairs, dict.fromkeys(stored, _STORED)) if stored else tuple(pairs)
    return AgreedFilters(agreed, tuple(stored.values()))


def _are_standardized(filters: Any, is_scaled: bool) -> bool:
    """Whether some weights give these filters; with a norm folded in they have any variance."""
    if filters is None:
        return False
    rows = filters.reshape(len(filters), -1).astype(float)
    furthest = MEAN.get(str(filters.dtype), USUAL_MEAN)
    # A filter of zeros is that of a weight that is constant.
    is_centred = bool((abs(rows.mean(1)) <= furthest * rows.std(1)).all())
    return is_centred and (is_scaled or bool((rows.var(1) <= VARIANCE).all()))
