"""Commands in words that a shell reads back as they are, on one line that can be copied."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable

from archspec.errors import make_printable

_SHORT = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\", "'": "\\'"}


def join_words(words: Iterable[str]) -> str:
    """Return a command as a line for a shell."""
    return " ".join(map(quote_word, words))


def quote_word(word: str) -> str:
    """Return a word as a shell reads it back.

    One with a line feed, or what else no line may show, is written as $'a\\nb', which bash, zsh and
    POSIX since 2024 know.
    """
    if make_printable(word) == word:
        return shlex.quote(word)
    return f"$'{''.join(map(_write, word))}'"


def _write(sign: str) -> str:
    if sign in _SHORT:
        return _SHORT[sign]
    if make_printable(sign) == sign:
        return sign
    return "".join(f"\\{byte:03o}" for byte in os.fsencode(sign))
