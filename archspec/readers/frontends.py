"""Formats of model files: which reader a file needs.

Another format is a row here, and a folder of readers.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from archspec.file_kinds import HEAD
from archspec.readers.interpreter import FreeSize
from archspec.readers.mindir.read import mindir_reading
from archspec.readers.onnx.checker import refuse_invalid
from archspec.readers.onnx.read import OnnxReading, onnx_reading
from archspec.readers.reading import Reading


@dataclass(frozen=True, slots=True)
class Frontend:
    """A format of model files."""

    suffix: str
    """Of its files, for those whose bytes say nothing."""
    sniff: Callable[[bytes], bool]
    """Whether a file that begins so is of the format, be it cut short or damaged:
    then its reader says that."""
    read: Callable[[Path, FreeSize], Reading]
    """Returns a file's graph and weights, or raises ModelFileError."""
    runs_in_onnx_runtime: bool = False


def _valid_onnx(path: Path, size: FreeSize) -> OnnxReading:
    reading = onnx_reading(path, size)
    refuse_invalid(path, reading.model)
    return reading


# The version of the format comes first in both files: a number in an ONNX, a text in a MINDIR.
ONNX = Frontend(
    ".onnx",
    lambda head: head.startswith(b"\x08"),
    _valid_onnx,
    runs_in_onnx_runtime=True,
)
MINDIR = Frontend(".mindir", lambda head: head.startswith(b"\n"), mindir_reading)

FRONTENDS = (ONNX, MINDIR)
"""All that are known; the last reads what no other claims, and says what is wrong with it."""


def frontend_of(path: Path) -> Frontend:
    """Return the format of a model file, by its first bytes,
    or by its name where these say nothing.
    """
    head = _head_of(path)
    by_bytes = (row for row in FRONTENDS if row.sniff(head))
    by_name = (row for row in FRONTENDS if row.suffix == path.suffix.lower())
    return next(by_bytes, next(by_name, FRONTENDS[-1]))


def read_model_file(path: Path, size: FreeSize = None) -> Reading:
    """Return the graph of a model file of any known format,
    and where the weights of its operators are.

    Images have this size, height and width, where the file leaves theirs free.

    Raises:
        EnvironmentFault: E001, MindSpore, whose protobuf module is used, is not installed.
        ModelFileError: R005, the file cannot be read; R006, it is of no known format, cut short or
            not valid; R007, its operators cannot be followed; R008, operators that dense networks
            do not have.
    """
    return frontend_of(path).read(path, size)


def _head_of(path: Path) -> bytes:
    """The first bytes of a file;
    none of a pipe, which would wait for ever, or of what cannot be read.
    """
    with suppress(OSError):
        if path.is_file():
            with path.open("rb") as file:
                return file.read(HEAD)
    return b""
