"""What a file is, by its first bytes: so that one in the wrong place is called by its name."""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from pathlib import Path

HEAD = 512
"""Bytes that tell a kind."""

LFS = "a Git LFS pointer instead of a file"
ZIP = "a zip archive, as torch's .pth files are"
TORCH = "a pickle, as older torch files are"
ONNX = "an ONNX model"
MINDIR = "a MINDIR model"
CHECKPOINT = "a MindSpore checkpoint"
SAFETENSORS = "a .safetensors file"
HDF5 = "Keras's HDF5"
NUMPY = "a NumPy array"
TAR = "torch's format of 2016"
PACKED = "a compressed archive"
PAGE = "a web page"
TEXT = "text"

# In this order: the length that begins a .safetensors file may look like the head of another kind.
_PATTERNS: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (re.compile(rb".{6}\0\0\{", re.DOTALL), SAFETENSORS),  # its length first
    (re.compile(rb"version https://git-lfs"), LFS),
    (re.compile(rb"PK\x03\x04"), ZIP),
    (re.compile(rb"\x80[\x02-\x05]"), TORCH),
    (re.compile(rb"\x08[\x01-\x20][\x12\x1a\x22\x3a\x42]"), ONNX),  # version, then its producer
    (re.compile(rb"\n[\x01-\x10][0-9.]+\x12\x09MindSpore"), MINDIR),
    (re.compile(rb"\n[\x80-\xff]{1,4}[\x01-\x7f]\n.[\w.]+\x12"), CHECKPOINT),  # a value, its name
    (re.compile(rb"\x89HDF"), HDF5),
    (re.compile(rb"\x93NUMPY"), NUMPY),
    (re.compile(rb".{257}ustar", re.DOTALL), TAR),
    (re.compile(rb"\x1f\x8b|BZh[1-9]1AY|\xfd7zXZ|7z\xbc\xaf|\x28\xb5\x2f\xfd"), PACKED),
    (re.compile(rb"\s*<(!doctype html|html)", re.IGNORECASE), PAGE),
)
_TEXT = re.compile(rb"[\t\n\r\x20-\x7e\x80-\xff]+")

_SPECIAL: Mapping[int, str] = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def identify_kind(head: bytes) -> str:
    """Return what the file that begins so is, one of the kinds above; "" for one not known."""
    for pattern, kind in _PATTERNS:
        if pattern.match(head):
            return kind
    return TEXT if _TEXT.fullmatch(head[:HEAD]) else ""


def identify_special(path: Path) -> str:
    """Return `a pipe`, `a socket`, `a device`: what waits or has no end; "" for anything else.

    Raises:
        OSError: as os.stat does, but for what is not there.
    """
    try:
        return _SPECIAL.get(stat.S_IFMT(path.stat().st_mode), "")
    except FileNotFoundError:
        return ""
