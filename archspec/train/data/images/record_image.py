"""Images that lie in a file of many, each a window on it."""

from __future__ import annotations

import os
import weakref
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Literal

LENGTH_BYTES = 8
"""An image follows its length."""


class RecordFile:
    """A file of many images; `stays_open`, once it was read: on a network's disk opening takes
    longer than reading an image, but a process may have no more than a thousand files open.
    """

    def __init__(self, path: Path, *, stays_open: bool = True) -> None:
        self.path = path
        self.stays_open = stays_open

    @cached_property
    def _descriptor(self) -> int:
        descriptor = _open(self.path)
        weakref.finalize(self, os.close, descriptor)
        return descriptor

    def read(self, offset: int, size: int) -> bytes:
        """Return so many bytes from an offset on, fewer at the file's end; any thread may ask.

        Raises OSError.
        """
        if self.stays_open:
            return _read(self._descriptor, offset, size)
        descriptor = _open(self.path)
        try:
            return _read(descriptor, offset, size)
        finally:
            os.close(descriptor)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def _read(descriptor: int, offset: int, size: int) -> bytes:
    blocks = []
    while size > 0 and (block := os.pread(descriptor, size, offset)):
        blocks.append(block)
        offset += len(block)
        size -= len(block)
    return b"".join(blocks)


@dataclass(frozen=True, slots=True)
class RecordImage:
    """One image of such a file; of `Path` it has what a reader of images needs."""

    file: RecordFile
    path: str
    """The name that it has in the file; nothing is opened by it."""
    offset: int
    size: int
    byte_order: Literal["little", "big"]
    """Of the length in front of it."""

    def __str__(self) -> str:
        return f"{self.file.path}:{self.path}"

    @property
    def name(self) -> str:
        """The last part of its name."""
        return PurePosixPath(self.path).name

    @property
    def suffix(self) -> str:
        """`.jpg`, or nothing where it has no name."""
        return PurePosixPath(self.path).suffix

    def open(self, _: Literal["rb"]) -> BytesIO:
        """Return its bytes. Raises OSError; ValueError, it does not lie where the index says."""
        content = self.file.read(self.offset - LENGTH_BYTES, self.size + LENGTH_BYTES)
        length = int.from_bytes(content[:LENGTH_BYTES], self.byte_order)
        if length != self.size or len(content) != self.size + LENGTH_BYTES:
            raise ValueError("no image lies where the file's index says")
        return BytesIO(content[LENGTH_BYTES:])
