"""What a certificate must say of networks that are equal: what the file does not show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from archspec.compare.concat_order import JoinOrders
from archspec.compare.folded_norms import FoldedNorm
from archspec.compare.match import Match
from archspec.compare.row_facts import has_bias, is_written_out
from archspec.errors import format_count


def write_norm_notes(folds: Sequence[FoldedNorm], match: Match) -> Iterator[str]:
    """Yield what is said of norms that are there but do not stand in the file as such."""
    held = {fold.found.name for fold in folds}
    written = 0
    for op in chain.from_iterable(theirs.ops for _, theirs in match.complete_pairs):
        # Several norms of one convolution were put back under numbered names.
        is_held = op.name.split(" norm ")[0] in held
        written += is_written_out(op) and not is_held
    traceless = sum(not has_bias(fold.found) for fold in folds)
    if len(folds) > traceless:
        yield _write_norm_note(len(folds) - traceless, "folded into the convolution before")
    if traceless:
        yield _write_norm_note(
            traceless,
            "folded into a convolution that has no bias in the file",
            ", and a norm that shifts by zero is not told from none",
        )
    if written:
        yield _write_norm_note(written, "written as a scale and a shift")


def write_scale_notes(number: int) -> Iterator[str]:
    """Yield what is said of so many scales that count as a part of the norm behind them."""
    if number:
        verb = "is" if number == 1 else "are"
        norms = "batch norms that are written as a scale and a shift"
        yield f"{format_count(number, 'scale')} before {norms} {verb} not told from the norms' own"


def _write_norm_note(number: int, how: str, more: str = "") -> str:
    verb = "is" if number == 1 else "are"
    return f"{format_count(number, 'batch norm')} {verb} {how}: eps is not compared there{more}"


def write_order_notes(order: JoinOrders) -> Iterator[str]:
    """Yield what is said of joins in another order."""
    # Where an order makes another network, the note that it does not would be untrue.
    if order.faults or not order.reordered:
        return
    who = f"{order.reordered[0]} joins its"
    if order.reordered[1:]:
        who = f"{order.reordered[0]} and {len(order.reordered) - 1} more join their"
    words = "sources in another order: the same network with the channels of weights permuted"
    yield f"{who} {words}"
