"""A network cut into stem, dense blocks, what stands between them,
and what stands behind the last.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from itertools import pairwise

from archspec.errors import Diagnostic, ModelFileError, name_first
from archspec.lift.blocks import find_block
from archspec.lift.lifted_block import LiftedBlock
from archspec.lift.network import Network, Node, Unliftable, walk_narrow_nodes
from archspec.lift.operators_to_steps import Step, find_steps
from archspec.operators.table import OPERATORS


@dataclass(frozen=True, slots=True)
class Stages:
    """A network as a spec has it: `between[i]` stands behind block i, counted from 0."""

    image: tuple[int, ...]
    stem: tuple[Step, ...]
    entry: str
    """What the first block reads."""
    blocks: tuple[LiftedBlock, ...]
    between: tuple[tuple[Step, ...], ...]
    features: tuple[int, ...]
    """Numbers of the blocks whose outputs are given too."""


def split_into_stages(network: Network, where: str) -> Stages:
    """Return the stages of a network.

    Raises:
        ModelFileError: R108, each join that no language of dense blocks and steps says.
    """
    last = max(network.outputs, key=network.position.__getitem__)
    # All paths lead through these nodes, so what lies between two of them is a piece by itself.
    nodes = [node for node, _ in walk_narrow_nodes(network, (last,))][::-1]
    # `runs[0]` is the stem, `runs[i]` the steps behind block i, counted from 1.
    runs: list[list[Step]] = [[]]
    blocks: list[LiftedBlock] = []
    faults: list[Diagnostic] = []
    for before, node in pairwise(nodes):
        try:
            piece = _lift_piece(network, before.name, node)
        except Unliftable as fault:
            faults.append(fault.diagnostic(where))
            continue
        if isinstance(piece, LiftedBlock):
            blocks.append(piece)
            runs.append([])
        else:
            runs[-1].extend(piece)
    if faults or not blocks:
        raise ModelFileError(faults or _explain_nothing_dense(runs[0], where))
    given = {*network.outputs} - {last}
    between: list[tuple[Step, ...]] = []
    for number, run in enumerate(runs[1:]):
        blocks[number], rest = _split_aggregate(blocks[number], tuple(run), given)
        between.append(rest)
    features = _find_features(network, last, blocks, where)
    stem, image = tuple(runs[0]), nodes[0]
    entry = stem[-1].op if stem else image.name
    return Stages(image.shape, stem, entry, tuple(blocks), tuple(between), features)


def _lift_piece(network: Network, entry: str, end: Node) -> LiftedBlock | tuple[Step, ...]:
    """What lies between two nodes: an operator, a block, branches."""
    block = None if end.reads == (entry,) else find_block(network, entry, end.name)
    if block is not None and block.is_uniform:
        return block
    # What might be a block of unlike layers is more often branches: those are tried first.
    try:
        return find_steps(network, entry, (end.name,))
    except Unliftable as fault:
        if block is not None:
            return block
        message = f"ends what is neither a dense block nor branches of steps: {fault.op} {fault}"
        raise Unliftable(end.name, message) from None


def _split_aggregate(
    block: LiftedBlock, run: tuple[Step, ...], given: AbstractSet[str]
) -> tuple[LiftedBlock, tuple[Step, ...]]:
    """What stands behind a block's join is the block's too:
    up to what the network gives, or behind a chain of layers.

    A chain, each layer of which reads the one before alone, is aggregated as far as the pixels are
    kept.
    """
    if block.aggregate or block.bypassed_channels or block.residual:
        return block, run
    size = 0
    for number, step in enumerate(run, start=1):
        if step.row is None:
            # What is joined with a skip is a transition's.
            break
        if step.op in given:
            # A feature is a block's output, so the block reaches as far as the feature.
            size = number
            break
    if not size and _is_chain(block):
        size = _measure_aggregate(run)
    if not size:
        return block, run
    aggregate, rest = run[:size], run[size:]
    last = aggregate[-1]
    block = replace(block, op=last.op, aggregate=aggregate, out_channels=last.out_channels)
    return block, rest


def _measure_aggregate(run: tuple[Step, ...]) -> int:
    """How many of the steps behind a chain of layers aggregate it: all that keep the pixels."""
    if not run or not run[0].makes_maps or run[0].attrs["stride"] != 1:
        return 0
    for number, step in enumerate(run[1:], start=1):
        # What stands behind an aggregation is the transition's or the head's.
        if step.row is None or step.row.resizes:
            return number
    return len(run)


def _is_chain(block: LiftedBlock) -> bool:
    chain = all(layer.sources == (number,) for number, layer in enumerate(block.layers))
    return chain and len(block.gathered) > 1


def _explain_nothing_dense(steps: list[Step], where: str) -> list[Diagnostic]:
    alike: dict[str, list[str]] = {}
    for step in steps:
        if step.branches:
            row = OPERATORS.get(step.kind)  # None of a gate with what it scales
            alike.setdefault(row.verb if row else "scales", []).append(step.op)
    if not alike:
        message = "no layers of a dense block, of which a spec has at least one"
        return [Diagnostic("R108", message, where)]
    faults = []
    for verb, ops in alike.items():
        message = (
            f"{name_first(ops)}: {verb} feature maps, and nothing in the file is a dense block"
        )
        faults.append(Diagnostic("R108", message, where))
    return faults


def _find_features(
    network: Network, last: str, blocks: list[LiftedBlock], where: str
) -> tuple[int, ...]:
    """The blocks whose outputs the network gives, in that order;
    its own last output is none where more follows.
    """
    if len(network.outputs) == 1:
        return ()
    numbers = {block.op: number for number, block in enumerate(blocks, start=1)}
    features: list[int] = []
    faults: list[Diagnostic] = []
    for name in network.outputs:
        if name in numbers:
            features.append(numbers[name])
        elif name != last:
            message = f"{name}: is an output of the network, and no block's"
            faults.append(Diagnostic("R108", message, where))
    if faults:
        raise ModelFileError(faults)
    return tuple(features)
