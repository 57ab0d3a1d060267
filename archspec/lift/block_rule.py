"""What the layers of blocks read as rules of connectivity, else as lists of edges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import chain, product
from typing import Any

from archspec.connectivity_rules import (
    HALF,
    RULES,
    Order,
    count_bypassing,
    sources_of_layer,
    sources_of_output,
)
from archspec.lift.lifted_block import LiftedBlock
from archspec.spec.connectivity import ConnectivitySpec

Wiring = Mapping[str, Any]

_OUTPUTS = (None, "all", "new", "last")
_ORDERS: tuple[Order, ...] = ("oldest_first", "newest_first")
_DIGITS = 6
"""Of a share: enough for any number of channels."""


def find_wirings(blocks: Sequence[LiftedBlock]) -> list[Wiring]:
    """Return what `connectivity` says of each block; as many blocks as can have the same."""
    # A share is read off rounded channels: several blocks together tell which one was meant.
    share = _find_common_share([block for block in blocks if block.bypassed_channels])
    fits = [list(_find_fitting(block, share)) for block in blocks]
    # By text, as dicts cannot be keys; in the order of the blocks, so the first of equals wins.
    known: dict[str, Wiring] = {}
    for wiring in chain.from_iterable(fits):
        known.setdefault(str(wiring), wiring)
    found: dict[int, Wiring] = {}
    while len(found) < len(blocks):
        # Greedily: what blocks have in common is said once for all of them.
        left = [number for number in range(len(blocks)) if number not in found]
        best = _find_most_fitting(known.values(), [fits[number] for number in left])
        found |= {number: best for number in left if best in fits[number]}
    return [found[number] for number in range(len(blocks))]


def _find_most_fitting(wirings: Iterable[Wiring], fits: Sequence[Sequence[Wiring]]) -> Wiring:
    return max(wirings, key=lambda wiring: sum(wiring in own for own in fits))


def _find_fitting(block: LiftedBlock, common: float | None) -> Iterator[Wiring]:
    """The wirings that say what a block's layers read and what its output joins,
    the plainest first.
    """
    share = _describe_share(block, common) if block.bypassed_channels else {}
    edges: Wiring = {"edges": [list(layer.sources) for layer in block.layers]}
    rules = [rule for rule in _list_rules(block) if _is_read_by(rule, block)]
    # A list of edges says any connections at all, so it is taken where no rule does.
    for rule, output in product(rules or [edges], list(_list_outputs(block))):
        wiring = {**rule, **share, **output}
        # By the language's own rules: what is meant here is what the builder will make of it.
        said = ConnectivitySpec.model_validate(wiring)
        if sources_of_output(said, len(block.layers)) == block.gathered:
            yield _name_bypass(wiring)


def _describe_share(block: LiftedBlock, common: float | None) -> Wiring:
    """How many of the input's channels enter the layers,
    and at which end of the output the others stand.
    """
    end = {"bypass": "last"} if block.is_bypass_last else {}
    return {"share": common or _find_shortest_share(block), **end}


def _list_outputs(block: LiftedBlock) -> Iterator[Wiring]:
    """What the output may join, in either order; a list says any."""
    for output in _OUTPUTS:
        said = {} if output is None else {"output": output}
        yield said
        # One value has no order.
        if output != "last":
            yield from ({**said, "output_order": order} for order in _ORDERS)
    yield {"output": list(block.gathered)}


def _name_bypass(wiring: Wiring) -> Wiring:
    """Half of the channels on the way of one rule is what another says."""
    if wiring.get("share") != HALF or "rule" not in wiring:
        return wiring
    rest = {key: value for key, value in wiring.items() if key not in ("rule", "share")}
    plain = RULES[wiring["rule"]]
    names = (name for name, rule in RULES.items() if rule.is_as_plain(plain))
    return next(({"rule": name, **rest} for name in names), wiring)


def _list_rules(block: LiftedBlock) -> Iterator[Wiring]:
    """Each rule in either order."""
    rules: list[Wiring] = []
    for name, rule in RULES.items():
        # What needs a window or edges is listed otherwise, and a share is found by itself.
        if not rule.needs and not rule.bypass:
            rules.append({"rule": name})
    # The last layer reads a full window, if any does.
    rules.append({"window": len(block.layers[-1].sources)})
    yield from rules
    yield from ({**rule, "order": "newest_first"} for rule in rules)


def _is_read_by(rule: Wiring, block: LiftedBlock) -> bool:
    """Whether all layers of a block read what a rule says."""
    wiring = ConnectivitySpec.model_validate(rule)
    numbered = enumerate(block.layers, start=1)
    return all(sources_of_layer(wiring, number) == layer.sources for number, layer in numbered)


def _find_common_share(blocks: Sequence[LiftedBlock]) -> float | None:
    """The shortest share of the channels that enters the layers of all blocks, if there is one."""
    # Quarters, tenths, hundredths: what a person would write. A half is the published share.
    shares = [HALF]
    for whole in (4, 10, 100):
        shares.extend(parts / whole for parts in range(1, whole))
    for share in shares:
        if all(_is_share_of(block, share) for block in blocks):
            return share
    return None


def _find_shortest_share(block: LiftedBlock) -> float:
    exact = Fraction(block.in_channels - block.bypassed_channels, block.in_channels)
    shares: list[float] = [int(exact * 10**digits) / 10**digits for digits in range(1, _DIGITS + 1)]
    return min(share for share in shares if share > 0 and _is_share_of(block, share))


def _is_share_of(block: LiftedBlock, share: float) -> bool:
    return (
        count_bypassing(ConnectivitySpec(share=share), block.in_channels) == block.bypassed_channels
    )
