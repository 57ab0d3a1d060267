"""Biases of zeros change nothing: a file may lack one of the spec's, or have one of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from types import MappingProxyType

from archspec.compare.chains import Chain, Pair
from archspec.compare.row_facts import has_bias
from archspec.errors import name_first
from archspec.graph.ir import Op
from archspec.operators.attributes import Attrs
from archspec.operators.table import OPERATORS

_BIASED: Attrs = {"bias": True}
_BARE: Attrs = {"bias": False}


@dataclass(frozen=True, slots=True)
class AgreedBiases:
    """Pairs of chains in which the file's operators have a bias where the spec's have one."""

    pairs: tuple[Pair, ...]
    dropped: tuple[str, ...] = ()
    """The spec's operators of which the file has no bias."""
    idle: tuple[str, ...] = ()
    """Those of which it has a bias of zeros that the spec does not have."""

    @property
    def notes(self) -> Iterator[str]:
        """What a certificate must say of it."""
        if self.dropped:
            who = f"{name_first(self.dropped)} {'have' if self.dropped[1:] else 'has'}"
            yield f"{who} no bias in the file: it counts as one of zeros"
        if self.idle:
            who = f"{name_first(self.idle)} {'have' if self.idle[1:] else 'has'}"
            yield f"{who} a bias of zeros in the file and none in the spec: it counts as none"


def agree_on_biases(pairs: Sequence[Pair], zeros: AbstractSet[str]) -> AgreedBiases:
    """Return pairs with the spec's biases; `zeros` are the file's operators whose bias is zero."""
    # By the file's names, as it is the file's operators that get other attributes.
    dropped, idle = dict[str, str](), dict[str, str]()
    for ours, theirs in pair_filter_ops(pairs):
        if has_bias(ours) and not has_bias(theirs):
            dropped[theirs.name] = ours.name
        elif theirs.name in zeros and not has_bias(ours):
            idle[theirs.name] = ours.name
    agreed = with_attrs(pairs, {**dict.fromkeys(dropped, _BIASED), **dict.fromkeys(idle, _BARE)})
    return AgreedBiases(agreed, tuple(dropped.values()), tuple(idle.values()))


def pair_filter_ops(pairs: Sequence[Pair]) -> Iterator[tuple[Op, Op]]:
    """Yield operators that have filters, and may have a bias, in pairs;
    a folded norm is called as its convolution.
    """
    for expected, found in pairs:
        # Chains of different operators are paired as far as they go: other lines say the rest.
        both = zip(expected.ops, found.ops, strict=False) if expected and found else ()
        alike = (pair for pair in both if pair[0].kind == pair[1].kind)
        yield from (pair for pair in alike if OPERATORS[pair[0].kind].has_filters)


def with_attrs(pairs: Sequence[Pair], said: Mapping[str, Attrs]) -> tuple[Pair, ...]:
    """Return pairs in which some of the file's operators, by name, have other attributes."""
    made: list[Pair] = []
    for expected, found in pairs:
        made.append((expected, found and _set_attrs_in(found, said)))
    return tuple(made)


def _set_attrs_in(chain: Chain, said: Mapping[str, Attrs]) -> Chain:
    return replace(chain, ops=tuple(_set_attrs(op, said) for op in chain.ops))


def _set_attrs(op: Op, said: Mapping[str, Attrs]) -> Op:
    if op.name not in said:
        return op
    return replace(op, attrs=MappingProxyType({**op.attrs, **said[op.name]}))
