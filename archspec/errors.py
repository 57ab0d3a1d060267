"""One tree of errors. Each error carries diagnostics: code, place, message, and the likely cure.

Codes are stable and documented in docs/errors.md:
Y reading YAML, S the spec or recipe, G the graph, W writing, R reading a model file, D data, T
training, E the environment, N published weights and the network.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from typing_extensions import Self

# What moves a cursor or a text's direction, breaks a line, or is no character at all.
_UNSHOWN = re.compile("[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def make_printable(text: str) -> str:
    """Return text of others, such as a file's name, as one line that a terminal, a log or a page
    may show: a control character, or a byte that is no UTF-8, is written `\\x1b`, `\\udcff`.
    """
    return _UNSHOWN.sub(lambda found: repr(found.group())[1:-1], text)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value was written; its text is for people, and nothing reads it back."""

    source: str
    """The path of a file, or the words that were typed: `--set growth_rate=24`."""
    origin: Literal["file", "command line", "python", "found"] = "file"
    """What `source` is: a file, a setting that was typed or came from Python, or what a value was
    found from, such as the data that say the number of classes."""
    line: int = 0
    """Of a file, counted from 1; 0 is no line."""
    column: int = 0
    """Likewise."""

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One fault: `where` is `file:line:column`, a file, or the name of an operator or region."""

    code: str
    message: str
    where: str = ""
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.where} " if self.where else ""
        cure = f" ({self.hint})" if self.hint else ""
        return make_printable(f"{place}{self.code} {self.message}{cure}")


class ArchspecError(Exception):
    """The user's input is wrong.

    Holds every fault found, not only the first; the CLI exits with 1.
    """

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__("\n".join(map(str, self.diagnostics)))

    @classmethod
    def one(cls, code: str, message: str, where: str | Place = "", hint: str = "") -> Self:
        """Return an error with a single diagnostic."""
        return cls([Diagnostic(code, message, str(where), hint)])


class SpecError(ArchspecError):
    """A spec or a recipe cannot be read or breaks a rule (codes Y and S)."""


class GraphError(ArchspecError):
    """A graph breaks a rule of the IR, of its connectivity or of its channels (codes G)."""


class ModelFileError(ArchspecError):
    """A MINDIR or checkpoint file cannot be read or does not fit (codes R)."""


class DataError(ArchspecError):
    """Images or labels cannot be used (codes D)."""


class TrainingError(ArchspecError):
    """A run cannot start, go on or end well (codes T)."""


class DownloadError(ArchspecError):
    """Published weights cannot be fetched, trusted or kept (codes N)."""


class EnvironmentFault(ArchspecError):
    """The installation or the machine lacks something (codes E)."""


def name_first(names: Sequence[str]) -> str:
    """Return `conv1`, or of several `conv1 and 2 more`."""
    return f"{names[0]} and {len(names) - 1:,} more" if names[1:] else names[0]


def format_count(number: int, noun: str) -> str:
    """Return `1 layer`, `2 layers`, `1,024 layers`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
