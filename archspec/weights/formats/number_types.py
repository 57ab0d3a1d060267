"""Kinds of numbers in files, by safetensors' codes; networks hold 32-bit floats."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

LAYOUT: Mapping[str, str] = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",  # NumPy has none: the upper half of a 32-bit float
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U8": "|u1",
    "BOOL": "|b1",
}
FLOATS = ("F64", "F32", "F16", "BF16")


def size_of(code: str) -> int:
    """Return the bytes of one number."""
    return np.dtype(LAYOUT[code]).itemsize


def as_floats(numbers: npt.NDArray[Any], code: str) -> Floats:
    """Return numbers that were read as `LAYOUT[code]`,
    one of `FLOATS`, as contiguous 32-bit floats.
    """
    if code == "BF16":
        return (numbers.astype(np.uint32) << 16).view(np.float32)
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused as such
        return np.ascontiguousarray(numbers, dtype=np.float32).reshape(numbers.shape)
