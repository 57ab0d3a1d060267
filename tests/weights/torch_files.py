"""Files as torch writes them, put together by hand:
torch is no dependency of the project or its tests.

The layout is that of `torch/serialization.py`: `_save` for the archive, `_legacy_save` for the
stream.
"""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

KINDS = {
    "float32": "Float",
    "float64": "Double",
    "float16": "Half",
    "int64": "Long",
    "uint16": "BFloat16",
}
ORDERED = b"ccollections\nOrderedDict\n)R"
MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
MACHINE = {
    "protocol_version": 1001,
    "little_endian": True,
    "type_sizes": {"short": 2, "int": 4, "long": 4},
}


def word(text: str) -> bytes:
    raw = text.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def number(value: int) -> bytes:
    raw = value.to_bytes(9, "little", signed=True)
    return b"\x8a\x09" + raw


def numbers(values: Sequence[int]) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def storage(key: str, kind: str, count: int, *, legacy: bool = False) -> bytes:
    parts = (
        word("storage")
        + f"ctorch\n{kind}Storage\n".encode()
        + word(key)
        + word("cpu")
        + number(count)
    )
    return b"(" + parts + (b"N" if legacy else b"") + b"tQ"


def tensor(stored: bytes, shape: Sequence[int], strides: Sequence[int], offset: int = 0) -> bytes:
    rebuild = b"ctorch._utils\n_rebuild_tensor_v2\n("
    return (
        rebuild
        + stored
        + number(offset)
        + numbers(shape)
        + numbers(strides)
        + b"\x89"
        + ORDERED
        + b"tR"
    )


def parameter(made: bytes) -> bytes:
    return b"ctorch._utils\n_rebuild_parameter\n(" + made + b"\x88" + ORDERED + b"tR"


def ordered(items: Mapping[str, bytes]) -> bytes:
    """An ordered dict with the attribute `_metadata`, as a module's state_dict is."""
    pairs = b"".join(word(name) + value for name, value in items.items())
    return ORDERED + b"(" + pairs + b"u" + b"}" + word("_metadata") + ORDERED + b"sb"


def plain(items: Mapping[str, bytes]) -> bytes:
    return b"}(" + b"".join(word(name) + value for name, value in items.items()) + b"u"


def foreign(name: str, arguments: bytes = b")", state: bytes = b"") -> bytes:
    """What `name`, as `pathlib.PosixPath`, makes of a tuple of arguments, and its attributes."""
    module, _, last = name.rpartition(".")
    called = f"c{module}\n{last}\n".encode() + arguments + b"R"
    return called + (state + b"b" if state else b"")


def module(
    parameters: Mapping[str, bytes] | None = None,
    buffers: Mapping[str, bytes] | None = None,
    children: Mapping[str, bytes] | None = None,
    name: str = "my_nets.Net",
    **more: bytes,
) -> bytes:
    """A pickled `torch.nn.Module`."""
    parts = {
        "training": b"\x88",
        "_parameters": plain(parameters or {}),
        "_buffers": plain(buffers or {}),
        "_modules": plain(children or {}),
        **more,
    }
    package, _, last = name.rpartition(".")
    return f"c{package}\n{last}\n".encode() + b")\x81" + plain(parts) + b"b"


def steps_of(array: np.ndarray) -> list[int]:
    return [stride // array.itemsize for stride in np.empty(array.shape, array.dtype).strides]


def state_dict(arrays: Mapping[str, np.ndarray], *, legacy: bool = False) -> bytes:
    """The pickle of a state dict without its first and last opcode;
    storage k is that of the k-th tensor.
    """
    made = {
        name: tensor(
            storage(str(index), KINDS[array.dtype.name], array.size, legacy=legacy),
            array.shape,
            steps_of(array),
        )
        for index, (name, array) in enumerate(arrays.items())
    }
    return ordered(made)


def whole(body: bytes) -> bytes:
    return b"\x80\x02" + body + b"."


def archive(
    body: bytes,
    storages: Sequence[bytes],
    *,
    root: str = "archive",
    compression: int = 0,
    order: str = "little",
) -> bytes:
    """A file since torch 1.6."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as made:
        made.writestr(f"{root}/data.pkl", whole(body))
        made.writestr(f"{root}/byteorder", order)
        for index, raw in enumerate(storages):
            made.writestr(f"{root}/data/{index}", raw)
        made.writestr(f"{root}/version", b"3\n")
    return file.getvalue()


def stream(body: bytes, storages: Sequence[tuple[int, bytes]]) -> bytes:
    """A file before torch 1.6."""
    heads = b"".join(pickle.dumps(value, protocol=2) for value in (MAGIC, VERSION, MACHINE))
    keys = pickle.dumps([str(index) for index in range(len(storages))], protocol=2)
    return (
        heads
        + whole(body)
        + keys
        + b"".join(struct.pack("<q", count) + raw for count, raw in storages)
    )


def save(
    path: Path, arrays: Mapping[str, np.ndarray], *, legacy: bool = False, wrap: str = ""
) -> Path:
    """Write a state dict, inside a dict `{"epoch": 3, wrap: ...}` where `wrap` is given."""
    body = state_dict(arrays, legacy=legacy)
    if wrap:
        body = plain(
            {
                "epoch": number(3),
                wrap: body,
                "optimizer": plain({"lr": b"G?\xb9\x99\x99\x99\x99\x99\x9a"}),
            }
        )
    raws = [np.ascontiguousarray(array).tobytes() for array in arrays.values()]
    if legacy:
        path.write_bytes(
            stream(
                body, [(array.size, raw) for array, raw in zip(arrays.values(), raws, strict=True)]
            )
        )
    else:
        path.write_bytes(archive(body, raws))
    return path


class Storages:
    """The storages of a file that is put together of several dicts."""

    def __init__(self) -> None:
        self.raws: list[bytes] = []

    def tensor(self, array: np.ndarray) -> bytes:
        self.raws.append(np.ascontiguousarray(array).tobytes())
        stored = storage(str(len(self.raws) - 1), KINDS[array.dtype.name], array.size)
        return tensor(stored, array.shape, steps_of(array))

    def tensors(self, arrays: Mapping[str, np.ndarray]) -> dict[str, bytes]:
        return {name: self.tensor(array) for name, array in arrays.items()}

    def save(self, path: Path, body: bytes) -> Path:
        path.write_bytes(archive(body, self.raws))
        return path
