"""Batch norms that a framework folded into the convolutions before them, put back where the spec has them.

A folded norm leaves a convolution with a bias and nothing else behind, so only the spec tells that
there was one: what it has as conv, batch_norm is a conv with a bias in the file. Exporters that
drop biases of zeros leave less: of a network that was never trained, each norm shifts by zero, and
its convolution has no bias either.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from types import MappingProxyType

from archspec.graph.ir import Graph, Op
from archspec.passes.chains import Chain, paired

_CONVS = ("conv", "conv_transpose")


@dataclass(frozen=True, slots=True)
class Folded:
    """A convolution of a file that holds a norm, and the spec's convolution."""

    found: Op
    expected: Op


def folded_norms(
    expected: Sequence[Chain], found: Sequence[Chain], zero_biases: bool = False
) -> tuple[Folded, ...]:
    """Return the convolutions of a file that must hold the norm that the spec has behind them.

    With `zero_biases` a bias that is absent is one of zeros: norms may be folded without a trace.
    What folds them folds all, and the norms of a trained network all shift: so no norm may stand
    behind a convolution of the file, and none of those that hold one may have a bias that the spec
    does not tell.
    """
    biased = any(_biased(op) for chain in found for op in chain.ops)
    traceless = zero_biases and not any(
        is_normed for chain in found for _, is_normed in _convs(chain)
    )
    if not (biased or traceless):
        return ()
    bare = _bare(expected, found)
    is_trained = any(_biased(fold.found) and not _biased(fold.expected) for fold in bare)
    if traceless and not is_trained:
        return bare
    return tuple(fold for fold in bare if _biased(fold.found))


def _bare(expected: Sequence[Chain], found: Sequence[Chain]) -> tuple[Folded, ...]:
    """Convolutions behind which the spec has a norm and the file none.

    A chain that the spec does not have, such as a layer too many, is taken for one like the last of
    its kind.
    """
    pairs = paired(*([_without_norms(chain) for chain in chains] for chains in (expected, found)))
    ours, theirs = ({chain.ops[0].name: chain for chain in chains} for chains in (expected, found))
    folds, last = list[Folded](), dict[tuple[str, ...], Chain]()
    for a, b in pairs:
        if a is not None:
            last[a.classes] = ours[a.ops[0].name]
        like = (
            ours[a.ops[0].name] if a is not None else last.get(b.classes) if b is not None else None
        )
        if b is not None and like is not None:
            folds.extend(_in_chain(like, theirs[b.ops[0].name]))
    return tuple(folds)


def unfolded(graph: Graph, folds: Sequence[Folded]) -> Graph:
    """Return a file's graph with the norms behind their convolutions, whose readers read the norms; eps is None."""
    by_name = {fold.found.name: fold for fold in folds}
    return Graph.of(
        graph.name, [made for op in graph.ops.values() for made in _unfolded(op, by_name)]
    )


def _unfolded(op: Op, folds: Mapping[str, Folded]) -> Iterator[Op]:
    if op.name not in folds:
        yield op
        return
    attrs = {**op.attrs, "bias": folds[op.name].expected.attrs.get("bias", False)}
    conv = replace(op, name=f"{op.name} without its norm", attrs=MappingProxyType(attrs))
    yield conv
    yield Op(
        op.name,
        "batch_norm",
        (conv.name,),
        MappingProxyType({"channels": attrs["out_channels"], "eps": None}),
    )


def _biased(op: Op) -> bool:
    return op.kind in _CONVS and bool(op.attrs.get("bias"))


def _without_norms(chain: Chain) -> Chain:
    behind = (
        op
        for before, op in pairwise(chain.ops)
        if not (before.kind in _CONVS and op.kind == "batch_norm")
    )
    return replace(chain, ops=(chain.ops[0], *behind))


def _in_chain(expected: Chain, found: Chain) -> Iterator[Folded]:
    for (ours, normed), (theirs, still_normed) in zip(
        _convs(expected), _convs(found), strict=False
    ):
        if normed and not still_normed and ours.kind == theirs.kind:
            yield Folded(theirs, ours)


def _convs(chain: Chain) -> Iterator[tuple[Op, bool]]:
    """The convolutions of a chain, and whether a batch norm follows."""
    followers = (*(op.kind for op in chain.ops[1:]), "")
    return (
        (op, kind == "batch_norm")
        for op, kind in zip(chain.ops, followers, strict=True)
        if op.kind in _CONVS
    )
