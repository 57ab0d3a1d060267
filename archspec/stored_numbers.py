"""Numbers that files store in fewer bits than they were written with."""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import Any


def decimal(stored: float, kind: str = "f") -> float:
    """1e-05 of 9.999999747378752e-06: the shortest decimal that a float32 (`f`), or a float16
    (`e`), stores as it is stored.
    """
    known = struct.pack(kind, stored)
    for digits in range(1, 10):
        shortest = float(f"{stored:.{digits}g}")
        with suppress(OverflowError):  # rounded up, beyond the largest float16
            if struct.pack(kind, shortest) == known:
                return shortest
    return stored


def is_same_number(ours: Any, theirs: Any) -> bool:
    """Return whether both are equal, or are stored as the same float32."""
    if isinstance(ours, float) and isinstance(theirs, float):
        # An eps of 1e-5 comes back as 9.99999974738e-06, and a tiny bound below zero as -0.0, which
        # is the number 0.
        return _round_to_float32(ours) == _round_to_float32(theirs)
    return bool(ours == theirs)


def _round_to_float32(number: float) -> float:
    (rounded,) = struct.unpack("f", struct.pack("f", number))
    return float(rounded)
