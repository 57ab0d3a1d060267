"""Values of weights, read from a file when someone asks for them.

The readers follow weights by shape alone, and note of each where it stands in the file (`Stored`),
or what the file computes it of (`Computed`): a scale that is gamma / sqrt(variance + eps), a
classifier's weight that is transposed. The file is untrusted: what lies outside of it, or outside
its folder, is not read, and no value is larger than what is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from archspec.readers.protobuf import map_file

MAX_STEPS = 256
"""Steps in which a file computes a weight of constants."""
MAX_COMPUTED = 64 * 2**20
"""Values of a weight that is computed."""

MAX_DECIMALS = 6
"""Digits that tell numbers of 16 bits apart, and one more."""

BFLOAT16 = "bfloat16"
KINDS: Mapping[int, str] = {
    1: "<f4",
    10: "<f2",
    11: "<f8",
    16: BFLOAT16,
    2: "|u1",
    3: "|i1",
    4: "<u2",
    5: "<i2",
    6: "<i4",
}
"""What NumPy calls the numbers of a TensorProto.DataType, the same in ONNX and MINDIR."""

Array = Any

HALF_STEP = 0.51
"""Of whole numbers: what rounding moves a value by, with what float32 leaves of a folding."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Values that stand in the model file, or in a file of its folder, as they are."""

    kind: str
    """One of KINDS."""
    dims: tuple[int, ...]
    begin: int
    file: str = ""
    """A path in the model file's folder; empty: the model file itself."""


@dataclass(frozen=True, slots=True)
class Computed:
    """What an operator makes of values."""

    operator: str
    dims: tuple[int, ...]
    inputs: tuple[Source, ...]
    axes: tuple[int, ...] | None = None
    """Of a Transpose: where each dimension comes from; of whole numbers: that of their scales."""
    steps: int = 1


Source = Stored | Computed | Array | None
"""Where a weight's values are had: in a file, of others, or here (an array); None: nowhere."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A constant by its name in the file:
    a weight, or sizes, bounds and the like, whose values are known.
    """

    name: str
    dims: tuple[int, ...]
    source: Source = None
    """Where its values are."""
    values: Array = None
    """Its values where they are few; None: they are not read."""

    @property
    def place(self) -> Source:
        """Where its values are had: of what whole numbers stand for, with their steps."""
        is_whole = find_whole(self.source) is not None
        return self.source if self.values is None or is_whole else self.values

    @property
    def number(self) -> float | None:
        """Its one value."""
        if self.values is None or self.values.size != 1:
            return None
        (number,) = self.values.reshape(-1).tolist()
        return number if isinstance(number, int | float) else None


@dataclass(frozen=True, slots=True)
class OperatorWeights:
    """An operator's weights: the filters, or the scales that its channels are multiplied by,
    and all others.
    """

    scales: tuple[Source, ...] = ()
    others: tuple[Source, ...] = ()
    variance: Source = None
    """Of a batch norm, which takes the root of this and eps; it is one of the others too."""
    before: Source = None
    """What a norm that is written out adds before it scales: the others are added behind."""


def locate_values(
    kind: int, dims: tuple[int, ...], begin: int, end: int | None, file: str = ""
) -> Stored | None:
    """Return where a tensor's values stand; None where their kind or number is another."""
    name = KINDS.get(kind, "")
    if not name or any(size < 0 for size in dims):
        return None
    whole = end is None or end - begin == prod(dims) * _itemsize(name)
    return Stored(name, dims, begin, file) if whole else None


def compute_later(
    operator: str, dims: tuple[int, ...], *inputs: Source, axes: tuple[int, ...] | None = None
) -> Source:
    """Return what an operator makes of values;
    None where one of them is not known, or they are too many.
    """
    steps = 1 + sum(source.steps for source in inputs if isinstance(source, Computed))
    unknown = operator not in _OPERATORS or any(source is None for source in inputs)
    if unknown or steps > MAX_STEPS or prod(dims) > MAX_COMPUTED:
        return None
    return Computed(operator, dims, inputs, axes, steps)


def find_whole(source: Source) -> Computed | None:
    """Return what whole numbers stand for, however it is turned afterwards; None where there are
    none.
    """
    while isinstance(source, Computed) and source.inputs:
        if source.operator == "DequantizeLinear":
            return source
        source = source.inputs[0]
    return None


def transpose_later(source: Source, dims: tuple[int, ...]) -> Source:
    """Return a matrix of `dims` the other way round."""
    return compute_later("Transpose", dims[::-1], source, axes=(1, 0))


def scaled_axis(source: Source) -> int | None:
    """Return along which axis of a weight the scales of its whole numbers are several, None where
    there is one scale, or none, or the file reorders its values in between.
    """
    if not isinstance(source, Computed):
        return None
    if source.operator == "Transpose":
        axis = scaled_axis(source.inputs[0])
        return None if axis is None or source.axes is None else source.axes.index(axis)
    if source.operator != "DequantizeLinear" or source.axes is None:
        return None
    scale: Any = source.inputs[1]
    return source.axes[0] if scale.size > 1 else None


class Values:
    """Reads weights of an open model file."""

    def __init__(self, data: Any, folder: Path) -> None:
        self.data = data
        self.folder = folder

    def of(self, source: Source) -> Array | None:
        """Return values as an array of floats, None where they cannot be had."""
        if isinstance(source, Stored):
            return self._stored(source)
        if not isinstance(source, Computed):
            return None if source is None else _floats(source)
        arrays = [self.of(each) for each in source.inputs]
        return None if any(array is None for array in arrays) else _run_operator(source, *arrays)

    def _stored(self, source: Stored) -> Array | None:
        size = prod(source.dims) * _itemsize(source.kind)
        begin, end = source.begin, source.begin + size
        piece = self._outside(source, size) if source.file else self.data[begin:end]
        if len(piece) != size:
            return None
        if source.kind == BFLOAT16:
            return widen_bfloat16(np.frombuffer(piece, "<u2")).reshape(source.dims)
        return np.frombuffer(piece, source.kind).reshape(source.dims)

    def _outside(self, source: Stored, size: int) -> bytes:
        """Bytes of a file in the model file's folder, none where it is elsewhere or too short."""
        with suppress(OSError, ValueError):
            folder = self.folder.resolve()
            file = (folder / source.file).resolve()
            if (
                file.is_relative_to(folder)
                and file.is_file()
                and file.stat().st_size >= source.begin + size
            ):
                with file.open("rb") as stream:
                    stream.seek(source.begin)
                    return stream.read(size)
        return b""


def evaluate(source: Source) -> Array | None:
    """Return values that are here, or what operators make of such; None where there are none."""
    if isinstance(source, Computed):
        arrays = [evaluate(each) for each in source.inputs]
        return None if any(array is None for array in arrays) else _run_operator(source, *arrays)
    return None if source is None or isinstance(source, Stored) else _floats(source)


def _run_operator(source: Computed, *arrays: Array) -> Array | None:
    with np.errstate(all="ignore"), suppress(ValueError, TypeError):
        made = _OPERATORS[source.operator](source, *arrays)
        return made if made.shape == source.dims else None
    return None


@contextmanager
def values_of(path: Path) -> Iterator[Values]:
    """Give what reads the weights of a model file.

    Raises:
        ModelFileError: R005, the file cannot be read; R006, it is empty or too large.
    """
    with map_file(path, "model file") as data:
        yield Values(data, path.parent)


def widen_bfloat16(bits: Array) -> Array:
    """Return float32 of bfloat16, which is the upper half of its bits."""
    wide = np.atleast_1d(bits.astype("<u4")) << 16
    return wide.view("<f4").reshape(bits.shape)


def find_decimal(value: Array, half: str) -> Array:
    """Return the shortest decimal number that a type of 16 bits holds as this value, as float32.

    So 0.2 is told from a file of float16, which holds 0.19995117.
    """
    for digits in range(1, MAX_DECIMALS):
        short = np.array(float(f"{value.item():.{digits}g}"), "<f4")
        if _round_to(short, half) == value.item():
            return short.reshape(value.shape)
    return value.astype("<f4")


def _round_to(value: Array, half: str) -> float:
    if half != BFLOAT16:
        with np.errstate(over="ignore"):
            return float(value.astype(half))
    bits = int(value.view("<u4"))
    return float(widen_bfloat16(np.array((bits + 0x7FFF + (bits >> 16 & 1)) >> 16)))


def _itemsize(kind: str) -> int:
    return 2 if kind == BFLOAT16 else np.dtype(kind).itemsize


def _floats(values: Array) -> Array | None:
    with suppress(ValueError, TypeError):
        array = np.asarray(values)
        return array if array.dtype.kind == "f" else array.astype(np.float64)
    return None


def _quantise(source: Computed, values: Array, scale: Array, zero: Array, bounds: Array) -> Array:
    whole = np.rint(values / _along(source, scale)) + _along(source, zero)
    return np.clip(whole, *bounds)


def _dequantise(source: Computed, values: Array, scale: Array, zero: Array) -> Array:
    made: Array = (values - _along(source, zero).astype(float)) * _along(source, scale)
    return made


def _along(source: Computed, values: Array) -> Array:
    """One number for all, or one for each place along an axis."""
    if values.size == 1:
        return values.reshape(())
    (axis,) = source.axes or (0,)
    return values.reshape(-1, *[1] * (len(source.dims) - 1 - axis))


_OPERATORS: Mapping[str, Callable[..., Array]] = {
    "Reshape": lambda source, values: values.reshape(source.dims),
    "Transpose": lambda source, values: np.transpose(values, source.axes),
    "Expand": lambda source, values: np.broadcast_to(values, source.dims),
    "QuantizeLinear": _quantise,
    "DequantizeLinear": _dequantise,
    "Add": lambda source, a, b: a + b,
    "Sub": lambda source, a, b: a - b,
    "Mul": lambda source, a, b: a * b,
    "Div": lambda source, a, b: a / b,
    "Pow": lambda source, a, b: a**b,
    "Neg": lambda source, values: -values,
    "Sqrt": lambda source, values: np.sqrt(values),
    "Reciprocal": lambda source, values: 1 / values,
}
