r"""Rules from somebody's own names to ours,
as a YAML list that `--map` reads and `--suggest` writes.

    - 'stem\.conv\.weight': features.conv0.weight
    - 'dense(\d+)\.(\d+)\.bn1\.(weight|bias)': 'features.denseblock{1}.denselayer{2+1}.norm1.{3}'

The first rule whose pattern is a whole name gives the new one; `{2+1}` is the second group, a
number, plus one. The new names may be ours or those of any naming that is known. Rules may come
from a stranger, so patterns are a part of regular expressions that cannot run away: no repeated
group, and few repeats that could take from another.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archspec.errors import Diagnostic, ModelFileError, SpecError
from archspec.spec.reading.document import Document, shorten_value
from archspec.spec.reading.yaml_reader import read_file

MAX_PATTERN = 200
MAX_WILD = 2
"""Repeats that could take from one another: each multiplies the time by the length of a name."""
MAX_CHOICES = 8
MAX_LISTED = 20

_PIECE = re.compile(
    r"(?P<digits>\\d\+)|(?P<wild>(?:\\w|\[\^\.\]|\.)[+*])|(?P<one>\\[dw]|\[[A-Za-z0-9_]+\]|\.)"
    r"|(?P<letter>\\[^\w\n]|[^\\\[\](){}|*+?^$.\n])|(?P<bracket>\(\?:|[()])|(?P<choice>\|)"
)
_HOLE = re.compile(r"\{(\d)(?:([+-])(\d{1,4}))?\}")
_SYNTAX = r"letters, \. for a dot, \d, \d+, \w, \w+, [^.]+, ., .*, [12], groups and |"


@dataclass(frozen=True, slots=True)
class NameRule:
    """A pattern for whole names and what a name that it matches becomes."""

    pattern: re.Pattern[str]
    replacement: str
    place: str


def load_rules(path: Path) -> tuple[NameRule, ...]:
    """Return the rules in a YAML file.

    Raises:
        SpecError: Y..., the YAML; S003, it is no list of `pattern: replacement`; R013, every bad
            rule; with places.
    """
    document = read_file(path)
    if not isinstance(document.value, list):
        raise SpecError.one(
            "S003", "rules are a list of `- pattern: replacement`", document.place(())
        )
    faults: list[Diagnostic] = []
    rules = []
    for index, item in enumerate(document.value):
        fault = _find_fault(item, str(document.place((index,))))
        if fault:
            faults.append(fault)
        else:
            rules.append(_make_rule(document, index))
    if faults:
        raise SpecError(faults)
    return tuple(rules)


def _make_rule(document: Document, index: int) -> NameRule:
    ((pattern, replacement),) = document.value[index].items()
    return NameRule(re.compile(pattern), replacement, str(document.place((index,))))


def _find_fault(item: Any, place: str) -> Diagnostic | None:
    if not (
        isinstance(item, dict)
        and len(item) == 1
        and all(isinstance(part, str) for part in item.values())
    ):
        return Diagnostic(
            "S003",
            f"a rule (={shorten_value(item)}) must be `pattern: replacement`, one of each",
            place,
        )
    ((pattern, replacement),) = item.items()
    wrong = _find_pattern_fault(pattern)
    if wrong:
        return Diagnostic("R013", f"the pattern {shorten_value(pattern)} {wrong}", place)
    groups = re.compile(pattern).groups
    beyond = [hole[0] for hole in _HOLE.finditer(replacement) if not 1 <= int(hole[1]) <= groups]
    if beyond or re.search(r"[{}]", _HOLE.sub("", replacement)):
        what = f"{beyond[0] if beyond else shorten_value(replacement)} stands for no group"
        return Diagnostic(
            "R013", f"{what}; the pattern has {groups}", place, "{1}, {2+1}: groups count from 1"
        )
    return None


def _find_pattern_fault(pattern: str) -> str:
    """Why a pattern is refused: its words, its brackets, or the time that it could take."""
    if len(pattern) > MAX_PATTERN:
        return f"is longer than {MAX_PATTERN} characters"
    pieces, end = [], 0
    while end < len(pattern):
        found = _PIECE.match(pattern, end)
        if found is None:
            return f"has {pattern[end]!r} at {end + 1}; it may hold {_SYNTAX}"
        pieces.append((str(found.lastgroup), found[0]))
        end = found.end()
    if _count_wild(pieces) > MAX_WILD or sum(kind == "choice" for kind, _ in pieces) > MAX_CHOICES:
        return (
            f"could take very long: at most {MAX_WILD} repeats beside \\d+, and {MAX_CHOICES} "
            "choices"
        )
    try:
        re.compile(pattern)
    except re.error as error:
        return f"is no regular expression: {error.msg}"
    return ""


def _count_wild(pieces: list[tuple[str, str]]) -> int:
    """Repeats that could share a text with their neighbour;
    `\\d+` is none where a sign or a letter follows.
    """
    plain = [piece for piece in pieces if piece[0] != "bracket"]
    followers = [*plain[1:], ("end", "")]
    ends = [kind == "end" or (kind == "letter" and not text.isdigit()) for kind, text in followers]
    counted = [
        kind == "wild" or (kind == "digits" and not end)
        for (kind, _), end in zip(plain, ends, strict=True)
    ]
    return sum(counted)


def rename_by_rules(names: Iterable[str], rules: Iterable[NameRule], where: str) -> dict[str, str]:
    """Return the new name of each name.

    Raises:
        ModelFileError: R013, names that no rule matches, that two of them share, or whose group is
            no number.
    """
    rules = tuple(rules)
    faults: list[Diagnostic] = []
    new: dict[str, str] = {}
    owners: dict[str, str] = {}
    for name in names:
        try:
            made, place = _apply_rules(name, rules)
        except ValueError as fault:
            faults.append(Diagnostic("R013", str(fault), where))
            continue
        if made in owners:
            faults.append(Diagnostic("R013", f"names both {owners[made]} and {name} {made}", place))
        new[name] = made
        owners.setdefault(made, name)
    if faults:
        rest = len(faults) - MAX_LISTED
        more = [Diagnostic("R013", f"and {rest} more names", where)] if rest > 0 else []
        raise ModelFileError([*faults[:MAX_LISTED], *more])
    return new


def _apply_rules(name: str, rules: tuple[NameRule, ...]) -> tuple[str, str]:
    """The new name of one name, and the place of its rule."""
    matches = ((rule, rule.pattern.fullmatch(name)) for rule in rules)
    rule, found = next(((rule, found) for rule, found in matches if found), (None, None))
    if rule is None or found is None:
        raise ValueError(f"no rule matches {name}")
    return _HOLE.sub(lambda hole: _fill_hole(hole, found, rule.place), rule.replacement), rule.place


def _fill_hole(hole: re.Match[str], found: re.Match[str], place: str) -> str:
    text = found[int(hole[1])] or ""
    if hole[2] is None:
        return text
    if not text.isdecimal():
        raise ValueError(f"{hole[0]} needs a number, group {hole[1]} is {text!r} (rule at {place})")
    return str(int(text) + int(hole[2] + hole[3]))
