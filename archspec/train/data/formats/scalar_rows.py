"""Numbers and words of a row in MessagePack (msgpack.org), as far as MindRecord has them."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

_NUMBERS: Mapping[int, str] = {
    0xCA: ">f",
    0xCB: ">d",
    0xCC: ">B",
    0xCD: ">H",
    0xCE: ">I",
    0xCF: ">Q",
    0xD0: ">b",
    0xD1: ">h",
    0xD2: ">i",
    0xD3: ">q",
}
_LENGTHS_OF_WORDS: Mapping[int, str] = {0xD9: ">B", 0xDA: ">H", 0xDB: ">I"}
_LENGTHS_OF_MAPS: Mapping[int, str] = {0xDE: ">H", 0xDF: ">I"}
_CONSTANTS: Mapping[int, bool | None] = {0xC0: None, 0xC2: False, 0xC3: True}


def decode_row(content: bytes) -> dict[str, Any]:
    """Return the values of a row by column.

    Raises ValueError: it is no map of words to numbers and words, or it is cut.
    """
    kind, at = _read(content, 0, ">B")
    length = kind & 0x0F
    if kind in _LENGTHS_OF_MAPS:
        length, at = _read(content, at, _LENGTHS_OF_MAPS[kind])
    elif kind >> 4 != 0x8:
        raise ValueError("a row of values is no map")
    row = {}
    for _ in range(length):
        name, at = _decode(content, at)
        row[str(name)], at = _decode(content, at)
    return row


def _decode(content: bytes, at: int) -> tuple[Any, int]:
    """A number or word, and where the next begins."""
    kind, at = _read(content, at, ">B")
    if kind < 0x80 or kind >= 0xE0:  # a small number
        return (kind if kind < 0x80 else kind - 0x100), at
    if kind in _CONSTANTS:
        return _CONSTANTS[kind], at
    if kind in _NUMBERS:
        return _read(content, at, _NUMBERS[kind])
    length = kind & 0x1F
    if kind in _LENGTHS_OF_WORDS:
        length, at = _read(content, at, _LENGTHS_OF_WORDS[kind])
    elif kind >> 5 != 0b101:
        raise ValueError("a row of values holds what is no number or word")
    if at + length > len(content):
        raise ValueError("a row of values is cut")
    return content[at : at + length].decode(), at + length


def _read(content: bytes, at: int, layout: str) -> tuple[Any, int]:
    end = at + struct.calcsize(layout)
    if end > len(content):
        raise ValueError("a row of values is cut")
    return struct.unpack_from(layout, content, at)[0], end
