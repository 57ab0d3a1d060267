"""Do a file's weights have the names that the spec's operators have?

Asked by `certify --names` alone.

An operator of a file is called after its weights, `features.conv0` where these are
`features.conv0.weight` and so on; where they have no such names, after its node:
`/features/conv0/Conv`, as PyTorch writes, tells the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet

from archspec.compare.match import Match
from archspec.compare.row_facts import is_written_out
from archspec.errors import Diagnostic, format_count
from archspec.graph.ir import Op
from archspec.operators.table import OPERATORS

# What the readers and `folding` add to the name of an operator that they put together of two, or
# take apart.
_MADE_OF_TWO = re.compile(r"\+bias|\+bare| without its norm")
_NUMBERED = re.compile(r"\w*Node_\d+")


def find_other_names(match: Match, copies: AbstractSet[str]) -> Iterator[Diagnostic]:
    """Yield each operator with weights that the file calls otherwise than the spec; of `copies` it
    has but the originals.
    """
    for name, called in _pair_names(match, copies):
        # Without a name there is nothing to compare: a note says so.
        if called and called != name:
            yield Diagnostic("R112", f"{name} is called {called} in the file", name)


def note_nameless(match: Match, copies: AbstractSet[str]) -> Iterator[str]:
    """Yield a note, where the file has no names for some operators with weights."""
    count = sum(not called for _, called in _pair_names(match, copies))
    if count:
        yield (
            f"the file has no names for the weights of {format_count(count, 'operator')}: not "
            "compared there"
        )


def _pair_names(match: Match, copies: AbstractSet[str]) -> Iterator[tuple[str, str]]:
    """What the spec and the file call each operator with weights,
    but for norms that are folded in the file.
    """
    for expected, found in match.complete_pairs:
        pairs = zip(expected.ops, found.ops, strict=True)
        for ours, theirs in [pair for pair in pairs if _are_named(*pair)]:
            name = _MADE_OF_TWO.sub("", theirs.name)
            yield ours.name, "" if name in copies else _name_to_place(name)


def _are_named(ours: Op, theirs: Op) -> bool:
    # A folded norm has no weights of its own in the file, so nothing there names it.
    return OPERATORS[ours.kind].params(ours.attrs) > 0 and not is_written_out(theirs)


def _name_to_place(name: str) -> str:
    """The place that a name tells; none where nodes are just numbered."""
    if name.startswith("/"):
        return ".".join(name.split("/")[1:-1])
    return "" if _NUMBERED.fullmatch(name) else name
