"""What is said of the differences between a file's network and the spec's, coarse ones first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from archspec.compare.block_count import count_blocks
from archspec.compare.chains import Chain
from archspec.compare.concat_order import JoinOrders
from archspec.compare.match import BlockComparison, Match, find_surplus_layers
from archspec.compare.missing_connections import (
    describe_connection_faults,
    describe_edge_faults,
    name_lost_connection,
)
from archspec.compare.operator_differences import compare_attributes
from archspec.errors import Diagnostic, format_count


def list_differences(match: Match, blocks: Sequence[BlockComparison]) -> Iterator[Diagnostic]:
    """Yield each difference, coarse ones first:
    whoever has a block too many need not read on about its layers.
    """
    unpaired = list(_explain_unpaired(match))
    yield from _compare_counts(match, blocks, bool(unpaired))
    yield from unpaired
    yield from _compare_compositions(match)
    yield from (Diagnostic("R103", line) for line in describe_connection_faults(match))
    for block in blocks:
        # Where layers are missing, edges are counted from another number: each would be a fault.
        if block.layers == block.expected_layers:
            yield from (Diagnostic("R103", line) for line in describe_edge_faults(match, block))
    yield from compare_attributes(match, derived=False)


def find_leftovers(match: Match) -> Iterator[Diagnostic]:
    """Yield what none of these lines says: none is known, and equal means that there is none."""
    yield from compare_attributes(match, derived=True)
    if any(expected is None or found is None for expected, found in match.pairs):
        yield Diagnostic("R102", "the network has other stages than the spec says")


def list_order_faults(order: JoinOrders, ordered: bool) -> Iterator[Diagnostic]:
    """Yield what another order changes, and with `ordered` each join that has one."""
    yield from (Diagnostic("R103", fault) for fault in order.faults)
    if ordered:
        yield from (
            Diagnostic("R103", f"{reader} joins its sources in another order")
            for reader in order.reordered
        )


def _compare_counts(
    match: Match, blocks: Sequence[BlockComparison], is_unpaired: bool
) -> Iterator[Diagnostic]:
    """Numbers of blocks, of outputs, and of the layers of each block."""
    # Where every stage has its partner there are as many blocks, however they could be counted.
    number, expected = count_blocks(match) if is_unpaired else None, len(blocks)
    if number is not None and number != expected:
        message = f"the file has {format_count(number, 'block')}, the spec says {expected}"
        yield Diagnostic("R101", message)
    ours = sum(a is not None and a.is_output for a, _ in match.pairs)
    theirs = sum(b is not None and b.is_output for _, b in match.pairs)
    if ours != theirs:
        message = f"the network has {format_count(theirs, 'output')}, the spec says {ours}"
        yield Diagnostic("R101", message)
    for block in blocks:
        if block.layers != block.expected_layers:
            title = match.titles[block.block]
            message = f"{title} has {block.layers} layers, the spec says {block.expected_layers}"
            yield Diagnostic("R101", message)


def _compare_compositions(match: Match) -> Iterator[Diagnostic]:
    """Pairs of chains with different operators, those that differ alike in one line."""
    alike: dict[str, list[str]] = {}
    for expected, found in match.complete_pairs:
        # Another kind of one family, such as an activation, is told with the attributes.
        if expected.classes != found.classes:
            words = f"{_list_kinds(found)}; the spec says {_list_kinds(expected)}"
            alike.setdefault(words, []).append(match.title_of(expected))
    for words, titles in alike.items():
        who = f"{titles[0]} consists"
        if titles[1:]:
            who = f"{titles[0]} and {len(titles) - 1} more consist"
        yield Diagnostic("R102", f"{who} of {words}")


def _list_kinds(chain: Chain) -> str:
    return ", ".join(op.kind for op in chain.ops)


def _explain_unpaired(match: Match) -> Iterator[Diagnostic]:
    """Chains without a partner that are no layers of a block."""
    after, there = "the input", {expected.region for expected, _ in match.complete_pairs}
    for (expected, found), layer in zip(match.pairs, find_surplus_layers(match), strict=True):
        if (expected and expected.is_output) or (found and found.is_output):
            return  # outputs stand at the end, and are counted
        if expected is None and found is not None and layer is None:
            yield from _explain_surplus(found, after)
        elif found is None and expected is not None:
            yield from _explain_missing(match, expected, expected.region in there)
        after = match.title_of(expected) if expected else after


def _explain_surplus(found: Chain, after: str) -> Iterator[Diagnostic]:
    """A chain of the file that the spec has not, and that is no layer:
    one of those is its block's fault. A join too many is its reader's.
    """
    if found.ops[0].kind != "concat":
        rest = f"{_list_kinds(found)}, which the spec does not have"
        yield Diagnostic("R102", f"{after} is followed by {rest}")


def _explain_missing(match: Match, expected: Chain, in_part: bool) -> Iterator[Diagnostic]:
    """A chain of the spec that the file has not,
    the part that it belongs to otherwise there or not.
    """
    connection = name_lost_connection(match, expected, in_part)
    if connection:
        yield Diagnostic("R103", connection)
        return
    title, is_in_layer = match.title_of(expected), expected.region in match.layers
    if is_in_layer and in_part:
        yield Diagnostic("R102", f"{title} lacks {_list_kinds(expected)}")
    if not is_in_layer and expected.ops[0].kind != "concat":
        yield Diagnostic("R102", f"{title} is missing")
