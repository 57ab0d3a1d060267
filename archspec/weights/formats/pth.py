"""torch's .pth files, without torch and without running what they hold.

Two formats, as `torch/serialization.py` writes them. Since torch 1.6 a zip archive, nothing
compressed:

    NAME/data.pkl     the pickle; a storage is ("storage", type, key, location, count)
    NAME/data/KEY     the bytes of a storage
    NAME/byteorder    "little"

Before, pickles one after the other: a magic number, a version, the machine's sizes, the object, the
list of storage keys; then, for each key, the count as 8 bytes and the storage's bytes. The file is
untrusted: whatever it declares is held against what it has.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from archspec.weights.averages import choose_weights
from archspec.weights.formats.number_types import FLOATS, LAYOUT, Floats, as_floats, size_of
from archspec.weights.formats.pickle_description import PickleRefused, Storage, TensorView
from archspec.weights.formats.pickle_machine import Description, describe_need, describe_pickle
from archspec.weights.formats.state_dict import find_state_dicts, is_special

MAGIC = 0x1950A86A20F9469CFC6C
VERSION = 1001
MAX_PICKLE = 64 * 2**20
MAX_SIDE = 2**31
"""Of a tensor in each dimension; an empty one may claim more than NumPy can say."""
MAX_SHARING = 2
"""Numbers of all tensors for each byte of the file."""

_OF_PROGRAMS = ("/constants.pkl", "/code/__torch__.py", "/model.json")
# What Python's reader raises for archives that are damaged, encrypted or patched (RuntimeError and
# its kin).
_ZIP_FAULTS = (zipfile.BadZipFile, ValueError, EOFError, RuntimeError, struct.error, OSError)

ReadStorage = Callable[[Storage], npt.NDArray[Any]]


@dataclass(frozen=True)
class StateDict:
    """The tensors of floats by name, and the names of what lay beside them."""

    tensors: Mapping[str, Floats]
    beside: tuple[str, ...]
    foreign: tuple[str, ...]
    """Names of classes and functions that the pickle asks for beside the tensors; none was run."""
    remark: str = ""
    """Whether its plain weights were taken or their moving averages, where there is a choice."""


def read_pth(raw: bytes, ema: bool = False) -> StateDict:
    """Return the state dict in the bytes of a .pth file; nothing of the file is run.

    With `ema` it is that of moving averages.

    Raises:
        PickleRefused: it is not whole, holds no state dict that is plain, or asks for what does
            harm.
        NoAverages: it has no EMA weights, which are asked for, or several sets of them.
    """
    pickle, read = _open_zip(raw) if raw.startswith(b"PK\x03\x04") else _open_stream(raw)
    plain, averages = find_state_dicts(pickle.value)
    states = {each.key: each for each in averages}
    chosen = choose_weights(
        _select_tensors(plain.state) if plain else {},
        {key: _select_tensors(each.state) for key, each in states.items()},
        ema,
    )
    views = _check_plain(chosen.tensors)
    if not views:
        raise PickleRefused(_explain_nothing(pickle.foreign))
    _check_sizes(views, len(raw))
    tensors = {name: _make_array(view, read) for name, view in views.items()}
    found = states.get(chosen.key, plain)
    others = [name for name in found.state if name not in tensors] if found else []
    beside = found.beside if found else ()
    return StateDict(tensors, (*beside, *others), pickle.foreign, chosen.remark)


def _explain_nothing(foreign: tuple[str, ...]) -> str:
    if foreign:
        return f"{describe_need(foreign[0])}; outside of it there is no state dict of tensors"
    return "it holds no state dict of tensors"


def _select_tensors(state: Mapping[str, Any]) -> dict[str, Any]:
    """Tensors of floats, special ones too."""
    return {name: entry for name, entry in state.items() if _is_float(entry) or is_special(entry)}


def _is_float(entry: Any) -> bool:
    return type(entry) is TensorView and entry.storage.code in FLOATS


def _check_plain(tensors: Mapping[str, Any]) -> Mapping[str, TensorView]:
    for name, entry in tensors.items():
        if type(entry) is not TensorView:
            made = f"it is made by {entry.name[:100]!r}"
            raise PickleRefused(f"its tensor {name[:100]!r} is not plain: {made}")
    return tensors


def _open_zip(raw: bytes) -> tuple[Description, ReadStorage]:
    try:
        archive = zipfile.ZipFile(io.BytesIO(raw))
        entries = _check_entries(archive, len(raw))
        root = _find_root(entries)
        if f"{root}byteorder" in entries and archive.read(entries[f"{root}byteorder"]) != b"little":
            raise PickleRefused("its numbers are big-endian")
        pickle = archive.read(entries[f"{root}data.pkl"])
    except _ZIP_FAULTS:
        raise PickleRefused("it is no whole zip archive") from None

    def read(storage: Storage) -> npt.NDArray[Any]:
        entry = entries.get(f"{root}data/{storage.key}")
        if entry is None or entry.file_size != storage.count * size_of(storage.code):
            raise PickleRefused(
                f"its storage {storage.key[:20]!r} is missing or of another size than it declares"
            )
        try:
            return np.frombuffer(archive.read(entry), LAYOUT[storage.code])
        except _ZIP_FAULTS:
            raise PickleRefused(f"its storage {storage.key[:20]!r} is damaged") from None

    return describe_pickle(io.BytesIO(pickle)), read


def _check_entries(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    """The archive's entries by name, where they are stored as torch does:
    nothing compressed, none twice.
    """
    # Of two entries of one name, readers differ in which they take.
    entries = {info.filename: info for info in archive.infolist()}
    if len(entries) != len(archive.infolist()):
        raise PickleRefused("its archive has a name twice")
    if any(name.endswith(_OF_PROGRAMS) for name in entries):  # torch compresses programs
        cure = "torch.save(torch.jit.load(FILE).state_dict(), 'weights.pth') writes its weights"
        raise PickleRefused("it is a TorchScript archive, which holds a program", cure)
    if any(
        info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 for info in entries.values()
    ):
        raise PickleRefused("its archive is compressed or encrypted, which torch's are not")
    if sum(info.file_size for info in entries.values()) > size:
        raise PickleRefused("its archive declares more bytes than the file has")
    return entries


def _find_root(entries: Mapping[str, zipfile.ZipInfo]) -> str:
    roots = [
        name.removesuffix("data.pkl")
        for name in entries
        if name.count("/") == 1 and name.endswith("/data.pkl")
    ]
    if entries and all(name.endswith(".npy") for name in entries):
        raise PickleRefused("it is NumPy's archive of arrays", "save the weights as .safetensors")
    if len(roots) != 1:
        raise PickleRefused("its archive is not one of torch's")
    if entries[f"{roots[0]}data.pkl"].file_size > MAX_PICKLE:
        raise PickleRefused(f"its pickle is larger than {MAX_PICKLE // 2**20} MiB")
    return roots[0]


def _open_stream(raw: bytes) -> tuple[Description, ReadStorage]:
    file = io.BytesIO(raw)
    if describe_pickle(file).value != MAGIC or describe_pickle(file).value != VERSION:
        raise PickleRefused("it is a pickle, but none of torch's")
    machine = describe_pickle(file).value
    if type(machine) is not dict or machine.get("little_endian") is not True:
        raise PickleRefused("its numbers are big-endian")
    pickle = describe_pickle(file, has_views=True)
    keys = describe_pickle(file).value
    if (
        type(keys) is not list
        or not all(type(key) is str for key in keys)
        or len(set(keys)) != len(keys)
    ):
        raise PickleRefused("its list of storages is damaged")
    starts = _find_starts(raw, file.tell(), [pickle.storages.get(key) for key in keys])

    def read(storage: Storage) -> npt.NDArray[Any]:
        if storage.key not in starts:
            raise PickleRefused(f"its storage {storage.key[:20]!r} is missing")
        return np.frombuffer(raw, LAYOUT[storage.code], storage.count, starts[storage.key])

    return pickle, read


def _find_starts(raw: bytes, position: int, storages: Sequence[Storage | None]) -> dict[str, int]:
    """Where the numbers of each storage begin: they follow one another, to the end of the file."""
    starts: dict[str, int] = {}
    for storage in storages:
        count = raw[position : position + 8]
        if storage is None or len(count) < 8 or struct.unpack("<q", count)[0] != storage.count:
            raise PickleRefused("its storages are not those that it declares")
        starts[storage.key] = position + 8
        position += 8 + storage.count * size_of(storage.code)
    if position != len(raw):
        raise PickleRefused("it is cut short, or longer than its storages")
    return starts


def _check_sizes(views: Mapping[str, TensorView], size: int) -> None:
    """Tensors may share storages, but not to make far more of them than the file holds."""
    for name, view in views.items():
        last = view.offset + sum(
            (n - 1) * step for n, step in zip(view.shape, view.strides, strict=True)
        )
        if max(view.shape, default=0) > MAX_SIDE:
            raise PickleRefused(f"its tensor {name[:100]!r} is larger than any network's")
        if 0 not in view.shape and (
            last >= view.storage.count or prod(view.shape) > view.storage.count
        ):
            raise PickleRefused(f"its tensor {name[:100]!r} reaches beyond its storage")
    # Shared storages could make a small file fill the memory.
    if sum(prod(view.shape) for view in views.values()) > MAX_SHARING * size:
        raise PickleRefused("its tensors are many times larger than the file")


def _make_array(view: TensorView, read: ReadStorage) -> Floats:
    numbers = read(view.storage)[view.offset :]
    steps = [step * numbers.itemsize for step in view.strides]
    return as_floats(
        np.lib.stride_tricks.as_strided(numbers, view.shape, steps, writeable=False),
        view.storage.code,
    )
