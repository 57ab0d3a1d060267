"""The digest that a checkpoint of ours ends with: are these the bytes that were written?

MindSpore's format is one protobuf message, and such messages may be put one behind another. So the
digest is an entry of its own behind all others, a tensor that MindSpore reads like any, and covers
every byte before it. The first entry promises it, so that a file that was cut is known, too.
"""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

PROMISE = "archspec.has_digest"
"""The name of the first entry of a file that ends with a digest."""
DIGEST = "archspec.digest"
DAMAGED = "is damaged: its bytes are not those that were written"
_TAG = DIGEST.encode()
_BYTES = 32
_TENSOR = b"\x08\x20" + b"\x12\x05UInt8" + b"\x1a\x20"
"""Dimensions [32], the kind of number, and the head of the content (`TensorProto`)."""
_VALUE = bytes([0x0A, len(_TAG)]) + _TAG + bytes([0x12, len(_TENSOR) + _BYTES]) + _TENSOR
"""The name, and the head of the tensor (`Checkpoint.Value`)."""
_HEAD = bytes([0x0A, len(_VALUE) + _BYTES]) + _VALUE
_ENTRY_BYTES = len(_HEAD) + _BYTES
_FIRST_BYTES = 64
"""In which the first entry's name stands."""
_CHUNK = 1 << 20


def append_digest(path: Path) -> None:
    """Add the digest of a file's bytes at its end.

    Raises OSError.
    """
    with path.open("rb+") as file:
        digest = _digest_up_to(file, file.seek(0, os.SEEK_END))
        file.seek(0, os.SEEK_END)
        file.write(_HEAD + digest)


def is_known(path: Path) -> bool:
    """Return whether `is_damaged` knows of a file: files of others promise no digest.

    Raises OSError.
    """
    with path.open("rb") as file:
        return PROMISE.encode() in file.read(_FIRST_BYTES)


def is_damaged(path: Path) -> bool:
    """Return whether a file has lost the digest that it promises,
    or holds other bytes than the digest was made of. Raises OSError.
    """
    is_promised = is_known(path)
    with path.open("rb") as file:
        is_there, kept, size = _read_entry(file)
        is_right = kept == _digest_up_to(file, size)
    # A right digest behind a head that is none: it is the head that was damaged.
    return not (is_there and is_right) if is_promised else is_there or is_right


def _read_entry(file: BinaryIO) -> tuple[bool, bytes, int]:
    """Whether a digest's entry stands at the end, what it holds, and the bytes before it."""
    size = max(0, file.seek(0, os.SEEK_END) - _ENTRY_BYTES)
    file.seek(size)
    entry = file.read()
    return entry.startswith(_HEAD), entry[len(_HEAD) :], size


def _digest_up_to(file: BinaryIO, size: int) -> bytes:
    digest = sha256()
    file.seek(0)
    while size > 0:
        chunk = file.read(min(size, _CHUNK))
        if not chunk:
            break
        digest.update(chunk)
        size -= len(chunk)
    return digest.digest()
