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
    rule = _generalise(pairs) if len(pairs) > 1 else None
    for pattern, replacement in (
        [rule] if rule else [(re.escape(theirs), name) for theirs, name in pairs]
    ):
        yield f"- {_quote(pattern)}: {_quote(replacement)}"


def _generalise(pairs: Sequence[Pair]) -> Pair | None:
    """One rule for pairs that differ in their numbers alone, if ours follow from theirs."""
    if len({_NUMBER.sub("#", name) for _, name in pairs}) > 1:
        return None
    theirs, ours = ([_NUMBER.findall(pair[side]) for pair in pairs] for side in (0, 1))
    varying = [column for column in zip(*theirs, strict=True) if len(set(column)) > 1]
    holes = [_find_hole(varying, column) for column in zip(*ours, strict=True)]
    if len(varying) > MAX_GROUPS or "" in holes:
        return None
    return _write_pattern(pairs[0][0], list(zip(*theirs, strict=True))), _insert_holes(
        pairs[0][1], holes
    )


def _find_hole(varying: Sequence[Sequence[str]], ours: Sequence[str]) -> str:
    """How a number of ours comes from theirs: always the same, or a group and a constant;
    empty if neither.
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
    pieces = iter(r"(\d+)" if len(set(column)) > 1 else column[0] for column in columns)
    return _NUMBER.sub(lambda _: next(pieces), re.escape(name))


def _insert_holes(name: str, holes: Sequence[str]) -> str:
    pieces = iter(holes)
    return _NUMBER.sub(lambda _: next(pieces), name)


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
