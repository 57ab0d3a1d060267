"""A network cut into stem, dense blocks, what stands between them, and what stands behind the last."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from itertools import pairwise

from archspec.errors import Diagnostic, ModelFileError, name_first
from archspec.lift.blocks import Block, block_between
from archspec.lift.network import Network, Node, Unliftable, narrows
from archspec.lift.operators_to_steps import Step, steps_between
from archspec.operators.table import OPERATORS

_WORDS = {"add": "adds", "multiply": "multiplies", "concat": "joins"}


@dataclass(frozen=True, slots=True)
class Stages:
    """A network as a spec has it: `between[i]` stands behind block i, counted from 0."""

    image: tuple[int, ...]
    stem: tuple[Step, ...]
    entry: str
    """What the first block reads."""
    blocks: tuple[Block, ...]
    between: tuple[tuple[Step, ...], ...]
    features: tuple[int, ...]
    """Numbers of the blocks whose outputs are given too."""


def stages_of(network: Network, where: str) -> Stages:
    """Return the stages of a network.

    Raises:
        ModelFileError: R108, each join that no language of dense blocks and steps says.
    """
    last = max(network.outputs, key=network.position.__getitem__)
    nodes = [node for node, _ in narrows(network, (last,))][::-1]
    runs: list[list[Step]] = [[]]
    blocks: list[Block] = []
    faults: list[Diagnostic] = []
    for before, node in pairwise(nodes):
        try:
            piece = _piece(network, before.name, node)
        except Unliftable as fault:
            faults.append(fault.diagnostic(where))
            continue
        if isinstance(piece, Block):
            blocks.append(piece)
            runs.append([])
        else:
            runs[-1].extend(piece)
    if faults or not blocks:
        raise ModelFileError(faults or _nothing_dense(runs[0], where))
    given = {*network.outputs} - {last}
    pairs = [
        _aggregated(block, tuple(run), given) for block, run in zip(blocks, runs[1:], strict=True)
    ]
    features = _features(network, last, [block for block, _ in pairs], where)
    between = tuple(run for _, run in pairs)
    entry = runs[0][-1].op if runs[0] else nodes[0].name
    return Stages(
        nodes[0].shape, tuple(runs[0]), entry, tuple(block for block, _ in pairs), between, features
    )


def _piece(network: Network, entry: str, end: Node) -> Block | tuple[Step, ...]:
    """What lies between two nodes: an operator, a block, branches."""
    block = None if end.reads == (entry,) else block_between(network, entry, end.name)
    if block is not None and block.is_uniform:
        return block
    try:
        return steps_between(network, entry, (end.name,))
    except Unliftable as fault:
        if block is not None:
            return block
        message = f"ends what is neither a dense block nor branches of steps: {fault.op} {fault}"
        raise Unliftable(end.name, message) from None


def _aggregated(
    block: Block, run: tuple[Step, ...], given: AbstractSet[str]
) -> tuple[Block, tuple[Step, ...]]:
    """What stands behind a block's join is the block's too: up to what the network gives, or behind a chain of layers.

    A chain, each layer of which reads the one before alone, is aggregated as far as the pixels are kept.
    """
    if block.aggregate or block.around or block.residual:
        return block, run
    end = next((number for number, step in enumerate(run, start=1) if step.op in given), 0)
    if (
        not end
        and _is_chain(block)
        and run
        and run[0].kind == "conv"
        and run[0].attrs["stride"] == 1
    ):
        # What stands behind an aggregation is the transition's or the head's.
        behind = enumerate(run[1:], start=1)
        ends = (number for number, step in behind if OPERATORS[step.kind].resizes)
        end = next(ends, len(run))
    if not end:
        return block, run
    return replace(block, op=run[end - 1].op, aggregate=run[:end], outs=run[end - 1].outs), run[
        end:
    ]


def _is_chain(block: Block) -> bool:
    chain = all(layer.sources == (number,) for number, layer in enumerate(block.layers))
    return chain and len(block.gathered) > 1


def _nothing_dense(steps: list[Step], where: str) -> list[Diagnostic]:
    joins = [step for step in steps if step.branches]
    if not joins:
        return [
            Diagnostic(
                "R108", "no layers of a dense block, of which a spec has at least one", where
            )
        ]
    alike: dict[str, list[str]] = {}
    for step in joins:
        alike.setdefault(_WORDS.get(step.kind, "scales"), []).append(step.op)
    outside = "feature maps, and nothing in the file is a dense block"
    return [
        Diagnostic("R108", f"{name_first(ops)}: {verb} {outside}", where)
        for verb, ops in alike.items()
    ]


def _features(network: Network, last: str, blocks: list[Block], where: str) -> tuple[int, ...]:
    """The blocks whose outputs the network gives, in that order; its own last output is none where more follows."""
    numbers = {block.op: number for number, block in enumerate(blocks, start=1)}
    given = network.outputs if len(network.outputs) > 1 else ()
    strange = [name for name in given if name not in numbers and name != last]
    if strange:
        raise ModelFileError(
            Diagnostic("R108", f"{name}: is an output of the network, and no block's", where)
            for name in strange
        )
    return tuple(numbers[name] for name in given if name in numbers)
