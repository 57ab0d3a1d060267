"""Batch norms that a framework folded into convolutions, put back where the spec has them.

A folded norm leaves a convolution with a bias and nothing else behind, so only the spec tells that
there was one: what it has as conv, batch_norm is a conv with a bias in the file. Exporters that
drop biases of zeros leave less: of a network that was never trained, each norm shifts by zero, and
its convolution has no bias either.

In the filters of a blur a norm does leave something, a scale, and the reader has it as a norm.
Several in a row are one scale too, and again only the spec tells how many there were.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from types import MappingProxyType

from archspec.compare.chains import Chain, contract_to_chains, pair_chains
from archspec.compare.concat_sources import FlatGraph
from archspec.compare.row_facts import has_bias, has_statistics, is_written_out
from archspec.graph.ir import Graph, Op
from archspec.operators.norms import norm_of_scale_and_shift
from archspec.operators.table import OPERATORS

_BARE = " without its norm"
"""Behind the name of a convolution of which the norm is its own operator again."""


@dataclass(frozen=True, slots=True)
class FoldedNorm:
    """What holds norms of the spec in a file: a convolution, or a norm in the filters of a blur."""

    found: Op
    expected: Op
    """The spec's convolution; or the first of its norms behind the blur."""
    norms: int
    """How many of the spec's it holds: several may stand in a row."""

    @property
    def is_conv(self) -> bool:
        """Whether it is a convolution, which is no norm itself."""
        return OPERATORS[self.found.kind].folds_norm


def find_folded_norms(
    expected: FlatGraph, found: FlatGraph, zero_biases: bool = False
) -> tuple[FoldedNorm, ...]:
    """Return what must hold norms of the spec: convolutions, and norms in the filters of a blur.

    With `zero_biases` a bias that is absent is one of zeros: norms may be folded without a trace.
    What folds them folds all, and the norms of a trained network all shift: so no norm may stand
    behind a convolution of the file, and none of those that hold one may have a bias that the spec
    does not tell.
    """
    ours, theirs = _Runs(expected), _Runs(found)
    # Of a file that holds none this is known at once, and no chains are paired.
    biased = any(_is_biased_conv(op) for op in theirs.convs)
    traceless = zero_biases and not any(theirs.norms[op.name] for op in theirs.convs)
    if not (biased or traceless or theirs.in_blurs):
        return ()
    folds = tuple(_folds(ours, theirs))
    is_trained = any(
        _is_biased_conv(fold.found) and not _is_biased_conv(fold.expected) for fold in folds
    )
    if traceless and not is_trained:
        return folds
    return tuple(fold for fold in folds if _is_biased_conv(fold.found) or not fold.is_conv)


def unfold_norms(graph: Graph, folds: Sequence[FoldedNorm]) -> Graph:
    """Return a file's graph with the norms behind what holds them, whose readers read the norms.

    Their eps is None.
    """
    by_name = {fold.found.name: fold for fold in folds}
    unfolded = chain.from_iterable(_unfold(op, by_name) for op in graph.ops.values())
    return Graph.of(graph.name, unfolded)


def holder_of(name: str) -> tuple[str, bool]:
    """Return what a convolution is called in the file, and whether it holds a norm there."""
    return name.removesuffix(_BARE), name.endswith(_BARE)


def _unfold(op: Op, folds: Mapping[str, FoldedNorm]) -> Iterator[Op]:
    """An operator and the norms that it holds, of which the last one has its name."""
    if op.name not in folds:
        yield op
        return
    fold, last = folds[op.name], op
    if fold.is_conv:
        # The file's bias is the norm's shift; the spec's own was folded into it, if it has one.
        attrs = {**op.attrs, "bias": has_bias(fold.expected)}
        conv = replace(op, name=f"{op.name}{_BARE}", attrs=MappingProxyType(attrs))
        yield conv
        kind, of_norm = norm_of_scale_and_shift(attrs["out_channels"])
        last = Op(op.name, kind, (conv.name,), MappingProxyType(of_norm))
    for number in range(1, fold.norms):
        inner = replace(last, name=f"{op.name} norm {number}")
        yield inner
        last = replace(last, inputs=(inner.name,))
    yield last


def _is_biased_conv(op: Op) -> bool:
    return OPERATORS[op.kind].folds_norm and has_bias(op)


class _Runs:
    """A graph's batch norms in rows, each counted at the convolution before it or at its first."""

    def __init__(self, flat: FlatGraph) -> None:
        self.flat = flat
        self.norms: dict[str, int] = {}
        self.passed: dict[str, str] = {}
        """Norms that are counted at another operator."""
        for row in contract_to_chains(flat):
            self._count(row)

    def _count(self, row: Chain) -> None:
        holder = ""
        for op in row.ops:
            if not has_statistics(op):
                # Only a norm right behind a convolution can be folded into it.
                holder = op.name if OPERATORS[op.kind].folds_norm else ""
                self.norms |= {holder: 0} if holder else {}
            elif holder:
                self.norms[holder] += 1
                self.passed[op.name] = holder
            else:
                holder = op.name
                self.norms[holder] = 1

    @cached_property
    def convs(self) -> tuple[Op, ...]:
        """Operators into which a norm may be folded."""
        return tuple(op for op in self.flat.ops.values() if OPERATORS[op.kind].folds_norm)

    @cached_property
    def in_blurs(self) -> frozenset[str]:
        """The norms that read a blur."""
        ops = self.flat.ops
        norms = filter(has_statistics, ops.values())
        return frozenset(op.name for op in norms if OPERATORS[ops[op.inputs[0]].kind].folds_scale)

    def chains(self) -> list[Chain]:
        """The graph's chains with no norm but those at which rows are counted.

        So two graphs are alike, and their chains in the same order, whatever is folded in one.
        """
        kept = {
            op.name: self._bare(op) for op in self.flat.ops.values() if op.name not in self.passed
        }
        outputs = tuple(map(self._bare, self.flat.outputs))
        return contract_to_chains(replace(self.flat, ops=kept, outputs=outputs))

    def _bare(self, op: Op) -> Op:
        return replace(op, inputs=tuple(self.passed.get(source, source) for source in op.inputs))


def _folds(ours: _Runs, theirs: _Runs) -> Iterator[FoldedNorm]:
    """Convolutions and blurs behind which the spec has norms that the file has not.

    A chain that the spec does not have, such as a layer too many, is taken for one like the last of
    its kind.
    """
    last = dict[tuple[str, ...], Chain]()
    for expected, found in pair_chains(ours.chains(), theirs.chains()):
        if expected is not None:
            last[expected.classes] = expected
        like = expected
        if like is None and found is not None:
            like = last.get(found.classes)
        if like is not None and found is not None:
            yield from _in_convs(like, found, ours, theirs)
            yield from _in_blurs(like, found, ours, theirs)


def _in_convs(expected: Chain, found: Chain, ours: _Runs, theirs: _Runs) -> Iterator[FoldedNorm]:
    a_convs = [op for op in expected.ops if OPERATORS[op.kind].folds_norm]
    b_convs = [op for op in found.ops if OPERATORS[op.kind].folds_norm]
    # As far as both go: where chains differ, other lines say so.
    for a, b in zip(a_convs, b_convs, strict=False):
        more = ours.norms[a.name] - theirs.norms[b.name]
        if more > 0 and a.kind == b.kind:
            yield FoldedNorm(b, a, more)


def _in_blurs(expected: Chain, found: Chain, ours: _Runs, theirs: _Runs) -> Iterator[FoldedNorm]:
    """Norms in the filters of a blur: they have no eps, and are fewer than the spec's there."""
    a_norms = [op for op in expected.ops if op.name in ours.in_blurs]
    b_norms = [op for op in found.ops if op.name in theirs.in_blurs]
    for a, b in zip(a_norms, b_norms, strict=False):
        more = ours.norms[a.name] - theirs.norms[b.name]
        if more > 0 and is_written_out(b):
            # The file's own norm is one of the row that it holds.
            yield FoldedNorm(b, a, more + 1)
