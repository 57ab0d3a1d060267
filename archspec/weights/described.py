"""What the pickle of a state dict may name: tensors as windows on storages, parameters, ordered dicts.

Each call that a pickle makes of these gives a value of this module, after its arguments are checked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

MAX_COUNT = 2**48

DTYPES: Mapping[str, str] = {
    "DoubleStorage": "F64",
    "FloatStorage": "F32",
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
    "LongStorage": "I64",
    "IntStorage": "I32",
    "ShortStorage": "I16",
    "CharStorage": "I8",
    "ByteStorage": "U8",
    "BoolStorage": "BOOL",
}
"""torch's kinds of storages and the codes of their numbers."""


class Refused(Exception):
    """The pickle does, or needs, what no file of weights has to."""


@dataclass(frozen=True, slots=True)
class Storage:
    """`count` numbers that lie elsewhere in the file, under `key`."""

    key: str
    code: str
    count: int


@dataclass(frozen=True, slots=True)
class TensorView:
    """A tensor as a window on a storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Name:
    """Something that the pickle names, not the thing itself."""

    text: str


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> TensorView:
    whole = type(shape) is tuple and type(strides) is tuple and len(shape) == len(strides) <= 8
    if (
        type(storage) is not Storage
        or not whole
        or not all(map(is_count, (offset, *shape, *strides)))
    ):
        raise Refused("it describes a tensor in a way that torch does not")
    return TensorView(storage, offset, shape, strides)


def is_count(value: Any) -> bool:
    """Is it a whole number that could be a size?"""
    return type(value) is int and 0 <= value < MAX_COUNT


def _parameter(data: Any = None, *rest: Any) -> TensorView:
    if type(data) is not TensorView:
        raise Refused("it describes a parameter in a way that torch does not")
    return data


def _ordered(pairs: Any = (), *rest: Any) -> dict[str, Any]:
    if (
        rest
        or type(pairs) not in (list, tuple)
        or not all(type(p) in (list, tuple) and len(p) == 2 for p in pairs)
    ):
        raise Refused("it fills an ordered dict in an unusual way")
    return {checked_key(key): value for key, value in pairs}


CALLS: Mapping[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
}
STORAGES: Mapping[str, str] = {
    f"{module}.{name}": code for module in ("torch", "torch.cuda") for name, code in DTYPES.items()
}


def checked_key(key: Any) -> Any:
    """Return the key of a dict if it is a word or a number. Raises Refused."""
    if type(key) not in (str, int):  # hashing a deep tuple could exhaust the stack
        raise Refused("it has a key that is no word")
    return key
