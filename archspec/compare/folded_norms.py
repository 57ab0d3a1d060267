"""Batch norms that a framework folded into the convolutions before them,
put back where the spec has them.

A folded norm leaves a convolution with a bias and nothing else behind, so only the spec tells that
there was one: what it has as conv, batch_norm is a conv with a bias in the file. Exporters that
drop biases of zeros leave less: of a network that was never trained, each norm shifts by zero, and
its convolution has no bias either.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from types import MappingProxyType

from archspec.compare.chains import Chain, pair_chains
from archspec.graph.ir import Graph, Op
from archspec.operators.table import OPERATORS


@dataclass(frozen=True, slots=True)
class FoldedNorm:
    """A convolution of a file that holds a norm, and the spec's convolution."""

    found: Op
    expected: Op
    norms: int
    """How many of the spec's it holds: several may stand in a row."""


def find_folded_norms(
    expected: Sequence[Chain], found: Sequence[Chain], zero_biases: bool = False
) -> tuple[FoldedNorm, ...]:
    """Return the convolutions of a file that must hold the norm that the spec has behind them.

    With `zero_biases` a bias that is absent is one of zeros: norms may be folded without a trace.
    What folds them folds all, and the norms of a trained network all shift: so no norm may stand
    behind a convolution of the file, and none of those that hold one may have a bias that the spec
    does not tell.
    """
    biased = any(_is_biased_conv(op) for chain in found for op in chain.ops)
    traceless = zero_biases and not any(norms for chain in found for _, norms in _walk_convs(chain))
    if not (biased or traceless):
        return ()
    bare = _find_bare_convs(expected, found)
    is_trained = any(
        _is_biased_conv(fold.found) and not _is_biased_conv(fold.expected) for fold in bare
    )
    if traceless and not is_trained:
        return bare
    return tuple(fold for fold in bare if _is_biased_conv(fold.found))


def _find_bare_convs(expected: Sequence[Chain], found: Sequence[Chain]) -> tuple[FoldedNorm, ...]:
    """Convolutions behind which the spec has a norm and the file none.

    A chain that the spec does not have, such as a layer too many, is taken for one like the last of
    its kind.
    """
    # Without norms both networks have the same chains, so that these are paired as they should be.
    pairs = pair_chains(list(map(_drop_norms, expected)), list(map(_drop_norms, found)))
    ours = {chain.ops[0].name: chain for chain in expected}
    theirs = {chain.ops[0].name: chain for chain in found}
    folds, last = list[FoldedNorm](), dict[tuple[str, ...], Chain]()
    for a, b in pairs:
        like = None
        if a is not None:
            like = last[a.classes] = ours[a.ops[0].name]
        elif b is not None:
            like = last.get(b.classes)
        if b is not None and like is not None:
            folds.extend(_find_in_chain(like, theirs[b.ops[0].name]))
    return tuple(folds)


def unfold_norms(graph: Graph, folds: Sequence[FoldedNorm]) -> Graph:
    """Return a file's graph with the norms behind their convolutions,
    whose readers read the norms; eps is None.
    """
    by_name = {fold.found.name: fold for fold in folds}
    return Graph.of(
        graph.name, [made for op in graph.ops.values() for made in _unfold(op, by_name)]
    )


def _unfold(op: Op, folds: Mapping[str, FoldedNorm]) -> Iterator[Op]:
    if op.name not in folds:
        yield op
        return
    fold = folds[op.name]
    attrs = {**op.attrs, "bias": fold.expected.attrs.get("bias", False)}
    conv = replace(op, name=f"{op.name} without its norm", attrs=MappingProxyType(attrs))
    yield conv
    norm, source = MappingProxyType({"channels": attrs["out_channels"], "eps": None}), conv.name
    for number in range(1, fold.norms):
        inner = Op(f"{op.name} norm {number}", "batch_norm", (source,), norm)
        yield inner
        source = inner.name
    yield Op(op.name, "batch_norm", (source,), norm)


def _is_biased_conv(op: Op) -> bool:
    return OPERATORS[op.kind].folds_norm and bool(op.attrs.get("bias"))


def _drop_norms(chain: Chain) -> Chain:
    """A chain without the norms behind its convolutions, in a row or alone."""
    ops: list[Op] = []
    for op in chain.ops:
        if op.kind != "batch_norm" or not ops or not OPERATORS[ops[-1].kind].folds_norm:
            ops.append(op)
    return replace(chain, ops=tuple(ops))


def _find_in_chain(expected: Chain, found: Chain) -> Iterator[FoldedNorm]:
    pairs = zip(_walk_convs(expected), _walk_convs(found), strict=False)
    for (ours, norms), (theirs, norms_left) in pairs:
        if norms > norms_left and ours.kind == theirs.kind:
            yield FoldedNorm(theirs, ours, norms - norms_left)


def _walk_convs(chain: Chain) -> Iterator[tuple[Op, int]]:
    """The convolutions of a chain, and how many batch norms follow in a row."""
    for at, op in enumerate(chain.ops):
        if OPERATORS[op.kind].folds_norm:
            behind = takewhile(lambda each: each.kind == "batch_norm", chain.ops[at + 1 :])
            yield op, len(list(behind))
