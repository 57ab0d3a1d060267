"""Lines of Python broken as formatters break them:
at most 88 signs, one item a line where not all fit on one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

LINE_LENGTH = 88  # Black's and ruff's own: the emitted module passes an unset formatter


def break_line(line: str) -> str:
    """Return a statement of one line, broken where it is too long."""
    text = line.lstrip()
    indent = len(line) - len(text)
    if len(line) <= LINE_LENGTH:
        return line
    return "\n".join(_break_statement(text, indent))


def _break_statement(text: str, indent: int) -> list[str]:
    if text.endswith(":"):
        return _break_brackets(text[:-1], indent, ":")
    found = re.match(r"(return |.*? = )", text)
    start = found[0] if found else ""
    if len(_split_outside(text[len(start) :], ", ")) == 1 and text.endswith(")"):
        return _break_brackets(text, indent, "")
    return _break_brackets(f"{start}({text[len(start) :]})", indent, "")


def _break_brackets(text: str, indent: int, tail: str) -> list[str]:
    """What stands in the outermost brackets that end the text on lines of its own."""
    opening = _find_last_opening(text)
    inside, items = text[opening + 1 : -1], _split_outside(text[opening + 1 : -1], ", ")
    before, after = " " * indent + text[: opening + 1], " " * indent + text[-1] + tail
    if indent + 4 + len(inside) <= LINE_LENGTH:
        return [before, " " * (indent + 4) + inside, after]
    if len(items) == 1:
        return [before, *_break_item(inside, indent + 4, ""), after]
    return [before, *(line for item in items for line in _break_item(item, indent + 4, ",")), after]


def _break_item(text: str, indent: int, tail: str) -> list[str]:
    if indent + len(text) + len(tail) <= LINE_LENGTH:
        return [" " * indent + text + tail]
    first, *others = _split_outside(text, " + ")
    if others:
        lines = [first, *(f"+ {term}" for term in others)]
        return [f"{' ' * indent}{line}" for line in (*lines[:-1], lines[-1] + tail)]
    return (
        _break_brackets(text, indent, tail) if text.endswith(")") else [" " * indent + text + tail]
    )


def _find_last_opening(text: str) -> int:
    depth = 0
    for position in reversed(range(len(text))):
        depth += (text[position] in ")]}") - (text[position] in "([{")
        if depth == 0:
            return position
    raise ValueError(text)


def _split_outside(text: str, separator: str) -> list[str]:
    """The text split at separators outside of all brackets."""
    return [text[start:end] for start, end in _find_cuts(text, separator)]


def _find_cuts(text: str, separator: str) -> Iterator[tuple[int, int]]:
    depth, start = 0, 0
    for position, sign in enumerate(text):
        depth += (sign in "([{") - (sign in ")]}")
        if depth == 0 and text.startswith(separator, position):
            yield start, position
            start = position + len(separator)
    yield start, len(text)
