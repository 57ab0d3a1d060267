"""Walks a protobuf message field by field, without parsing the whole of it.

Model files are untrusted, and nearly all of their bytes are weights. Walked, the weights' values
stay on the disk, each piece that protobuf itself parses is small, and all is bounded before it is
done.
"""

from __future__ import annotations

import mmap
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from archspec.errors import ModelFileError
from archspec.file_kinds import HEAD, MINDIR, ONNX, TEXT, identify_kind

MAX_BYTES = 2 * 2**30
MAX_PIECE = 2 * 2**20
"""Bytes of one node, primitive or parameter without its values."""
MAX_PIECES = 256 * 2**20
MAX_FIELDS = 2_500_000

SPECS = (".yaml", ".yml")


class Broken(Exception):
    """The bytes are no file of the format."""


@contextmanager
def map_file(path: Path, what: str) -> Iterator[mmap.mmap]:
    """Give a file's bytes, which stay on the disk; `what` the file should be: `MINDIR`.

    Raises:
        ModelFileError: R005, the file cannot be read; R006, it is empty, too large, or not what it
            should be.
    """
    # It comes with MindSpore.
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        if path.exists() and not path.is_file():
            raise ModelFileError.one("R005", "is no file", str(path))
        with path.open("rb") as file:
            size = file.seek(0, 2)
            if not 0 < size <= MAX_BYTES:
                message = "is empty" if not size else f"has {size:,} bytes, more than {MAX_BYTES:,}"
                raise ModelFileError.one("R006", message, str(path))
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                _check_kind(data[:HEAD], what, path)
                yield data
    except OSError as error:
        raise ModelFileError.one("R005", f"cannot be read: {error.strerror}", str(path)) from None
    except (Broken, DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ModelFileError.one(
            "R006", f"is no {what}, or is cut short: {error}", str(path)
        ) from None


def _check_kind(head: bytes, what: str, path: Path) -> None:
    """A file of another kind is called by its name; what is not known may be damaged."""
    kind = identify_kind(head)
    if kind == TEXT and path.suffix.lower() in SPECS:
        hint = "a model is a .mindir or .onnx file; certify takes it first, then the spec"
        raise ModelFileError.one("R006", "is a spec, no model", str(path), hint)
    if kind not in ("", TEXT, MINDIR, ONNX):
        raise ModelFileError.one("R006", f"is no {what}, but {kind}", str(path))


class Wire:
    """Counts what it reads of a file's bytes against the bounds."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.fields_read = 0
        self.piece_bytes = 0

    def parsed(self, proto: Any, begin: int, end: int) -> Any:
        """Return a part of the file as a message of a class."""
        return proto.FromString(self.piece(self.data[begin:end]))

    def piece(self, piece: bytes) -> bytes:
        """Count a part of the file before it is parsed:
        parsing small fields takes many times their size.
        """
        self.piece_bytes += len(piece)
        if len(piece) > MAX_PIECE or self.piece_bytes > MAX_PIECES:
            raise Broken(
                f"a node of more than {MAX_PIECE:,} bytes, or {MAX_PIECES:,} in all, weights aside"
            )
        return piece

    def fields(self, proto: Any, at: int, end: int) -> Iterator[tuple[str, int, int, int]]:
        """Yield each field of a message:
        its name, where it begins, where its value begins, where it ends.
        """
        known = proto.DESCRIPTOR.fields_by_number
        while at < end:
            self.fields_read += 1
            if self.fields_read > MAX_FIELDS:
                raise Broken(f"it has more than {MAX_FIELDS:,} fields")
            tag, begin = self.varint(at, end)
            begin, stop = self.extent(tag & 7, at, begin, end)
            if stop > end:
                raise Broken(f"the field at byte {at:,} goes on beyond the end")
            number = tag >> 3
            yield known[number].name if number in known else "", at, begin, stop
            at = stop

    def extent(self, kind: int, at: int, begin: int, end: int) -> tuple[int, int]:
        """Where the value of a field of a protobuf wire type begins and ends."""
        if kind == 0:
            return begin, self.varint(begin, end)[1]
        if kind == 2:
            length, begin = self.varint(begin, end)
            return begin, begin + length
        if kind in (1, 5):
            return begin, begin + (8 if kind == 1 else 4)
        raise Broken(f"a field of unknown type at byte {at:,}")

    def varint(self, at: int, end: int) -> tuple[int, int]:
        """A number of seven bits a byte, the lowest first, and where it ends."""
        value = 0
        for shift in range(0, 70, 7):
            if at >= end:
                break
            byte = self.data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, at
        raise Broken(f"a number that does not end at byte {at:,}")


def text_of(text: str | bytes) -> str:
    """A name, stored once however often it is used; protobuf gives bytes where it is not UTF-8."""
    return sys.intern(text if isinstance(text, str) else text.decode())
