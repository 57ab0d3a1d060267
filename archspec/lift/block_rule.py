"""What the layers of blocks read as rules of connectivity, else as lists of edges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

from archspec.connectivity_rules import RULES, count_bypassing, sources_of_layer, sources_of_output
from archspec.lift.blocks import Block
from archspec.spec.connectivity import ConnectivitySpec, Order

Wiring = Mapping[str, Any]

_OUTPUTS = (None, "all", "new", "last")
_ORDERS: tuple[Order, ...] = ("oldest_first", "newest_first")
_DIGITS = 6
"""Of a share: enough for any number of channels."""


def wirings_of(blocks: Sequence[Block]) -> list[Wiring]:
    """Return what `connectivity` says of each block; as many blocks as can have the same."""
    share = _common_share([block for block in blocks if block.around])
    fits = [list(_fits(block, share)) for block in blocks]
    known: dict[str, Wiring] = {str(wiring): wiring for block in fits for wiring in block}
    found: dict[int, Wiring] = {}
    while len(found) < len(blocks):
        left = [number for number in range(len(blocks)) if number not in found]
        best = max(known, key=lambda text: sum(known[text] in fits[number] for number in left))
        found |= {number: known[best] for number in left if known[best] in fits[number]}
    return [found[number] for number in range(len(blocks))]


def _fits(block: Block, common: float | None) -> Iterator[Wiring]:
    """The wirings that say what a block's layers read and what its output joins, the plainest first."""
    share = _shared(block, common) if block.around else {}
    edges: Wiring = {"edges": [list(layer.sources) for layer in block.layers]}
    rules = [rule for rule in _rules(block) if _reads(ConnectivitySpec.model_validate(rule), block)]
    for rule in rules or [edges]:
        for output in _outputs(block):
            wiring = {**rule, **share, **output}
            said = ConnectivitySpec.model_validate(wiring)
            if sources_of_output(said, len(block.layers)) == block.gathered:
                yield _named(wiring)


def _shared(block: Block, common: float | None) -> Wiring:
    """How many of the input's channels enter the layers, and at which end of the output the others stand."""
    end = {"bypass": "last"} if block.is_around_last else {}
    return {"share": common or _share_of(block), **end}


def _outputs(block: Block) -> Iterator[Wiring]:
    """What the output may join, in either order; a list says any."""
    for output in _OUTPUTS:
        said = {} if output is None else {"output": output}
        yield said
        if output != "last":
            yield from ({**said, "output_order": order} for order in _ORDERS)
    yield {"output": list(block.gathered)}


def _named(wiring: Wiring) -> Wiring:
    """Half of the channels on a dense way is what cross_stage_partial says."""
    partial = {"rule": "dense", "share": 0.5}
    if partial.items() <= wiring.items():
        rest = {key: value for key, value in wiring.items() if key not in partial}
        return {"rule": "cross_stage_partial", **rest}
    return wiring


def _rules(block: Block) -> Iterator[Wiring]:
    """Each rule in either order."""
    plain = [rule for rule in RULES if rule not in ("window", "edges", "cross_stage_partial")]
    rules: list[Wiring] = [{"rule": rule} for rule in plain]
    rules.append({"window": len(block.layers[-1].sources)})
    yield from rules
    yield from ({**rule, "order": "newest_first"} for rule in rules)


def _reads(wiring: ConnectivitySpec, block: Block) -> bool:
    return all(
        sources_of_layer(wiring, number) == layer.sources
        for number, layer in enumerate(block.layers, start=1)
    )


def _common_share(blocks: Sequence[Block]) -> float | None:
    """The shortest share of the channels that enters the layers of all blocks, if there is one."""
    shares = (0.5, *(parts / whole for whole in (4, 10, 100) for parts in range(1, whole)))
    return next((share for share in shares if all(_enters(block, share) for block in blocks)), None)


def _share_of(block: Block) -> float:
    exact = Fraction(block.ins - block.around, block.ins)
    shares: list[float] = [int(exact * 10**digits) / 10**digits for digits in range(1, _DIGITS + 1)]
    return min(share for share in shares if share > 0 and _enters(block, share))


def _enters(block: Block, share: float) -> bool:
    return count_bypassing(ConnectivitySpec(share=share), block.ins) == block.around
