"""A pairing of names as rules for a person to read: `--map` reads back what this writes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

Pair = tuple[str, str]
"""Their name and ours."""

MAX_GROUPS = 9
_NUMBER = re.compile(r"\d+")


def suggest_rules(ours: Mapping[str, str]) -> str:
    """Return rules, as YAML, that give each of their names ours:
    one rule for names that differ in numbers alone.

    Their names are the keys. Where our numbers do not follow from theirs, each name has a rule of
    its own.
    """
    families: dict[str, list[Pair]] = {}
    for pair in ours.items():
        families.setdefault(_NUMBER.sub("#", pair[0]), []).append(pair)
    lines = [line for pairs in families.values() for line in _write_rules(pairs)]
    return "\n".join(
        ["# Their names and ours: the first pattern that is the whole name counts.", *lines, ""]
    )


def _write_rules(pairs: Sequence[Pair]) -> Iterator[str]:
    general = _generalise(pairs) if len(pairs) > 1 else None
    rules = [(re.escape(theirs), name) for theirs, name in pairs] if general is None else [general]
    for pattern, replacement in rules:
        yield f"- {_quote(pattern)}: {_quote(replacement)}"


def _generalise(pairs: Sequence[Pair]) -> Pair | None:
    """One rule for pairs that differ in their numbers alone, if ours follow from theirs."""
    if len({_NUMBER.sub("#", name) for _, name in pairs}) > 1:
        return None
    # A column is one number of the name, in all pairs.
    theirs = list(zip(*(_NUMBER.findall(name) for name, _ in pairs), strict=True))
    ours = list(zip(*(_NUMBER.findall(name) for _, name in pairs), strict=True))
    varying = [column for column in theirs if len(set(column)) > 1]
    holes = [_find_hole(varying, column) for column in ours]
    if len(varying) > MAX_GROUPS or "" in holes:
        return None
    their_name, our_name = pairs[0]
    return _write_pattern(their_name, theirs), _insert_holes(our_name, holes)


def _find_hole(varying: Sequence[Sequence[str]], ours: Sequence[str]) -> str:
    """How a number of ours comes from theirs:
    always the same, or a group and a constant; empty if neither.
    """
    if len(set(ours)) == 1:
        return ours[0]
    for group, column in enumerate(varying, start=1):
        offsets = {int(our) - int(their) for our, their in zip(ours, column, strict=True)}
        if list(column) == list(ours):
            return f"{{{group}}}"
        if len(offsets) == 1:  # an offset of 0: theirs have leading zeros
            return f"{{{group}{offsets.pop():+d}}}"
    return ""


def _write_pattern(name: str, columns: Sequence[Sequence[str]]) -> str:
    pieces = []
    for column in columns:
        pieces.append(r"(\d+)" if len(set(column)) > 1 else column[0])
    return _insert_holes(re.escape(name), pieces)


def _insert_holes(name: str, holes: Sequence[str]) -> str:
    pieces = iter(holes)
    return _NUMBER.sub(lambda _: next(pieces), name)


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
