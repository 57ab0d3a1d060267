"""Have all workers opened the same images? If not, they would wait for each other for ever."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from archspec.errors import DataError, format_count
from archspec.train.data.sources.source import Source
from archspec.train.distributed.worker_group import all_reduce_sum, get_rank, get_world_size

MAX_NAME = 400
"""Bytes of a file's name that are told."""
_CURE = "the data set must be whole and the same wherever a device reads it"


class _Image(NamedTuple):
    """What is compared of an image."""

    name: bytes
    part: int
    label: bytes


def check_same_images(parts: Sequence[Source]) -> None:
    """Compare what the workers opened with what the first one did; every worker must call it.

    Raises DataError (D009), the same on all of them: a worker has others, or in other parts.
    """
    if get_world_size() == 1:
        return
    digests = _gather(np.frombuffer(_digest(parts), np.uint8))
    if (digests == digests[0]).all():
        return
    # By name, since one file that is missing moves all that follow it, and those held out.
    images = sorted(_list_images(parts))
    counts = _gather(np.array([len(images)])).astype(int).ravel()
    marks = np.zeros(counts.max())
    marks[: len(images)] = [_mark(image) for image in images]
    rows = _gather(marks)
    differs = rows != rows[0]
    rank = int(differs.any(axis=1).argmax())
    names = _share_names(images, int(differs[rank].argmax()))
    message = f"rank {rank} has opened {format_count(counts[rank], 'image')}, rank 0 {counts[0]:,}"
    message += f"; the first that differs is {names[rank]} of rank {rank}, {names[0]} of rank 0"
    if names[rank] == names[0]:
        message = f"rank {rank} has opened {names[0]} as of another part or class than rank 0"
    raise DataError.one("D009", message, parts[0].name, _CURE)


def _digest(parts: Sequence[Source]) -> bytes:
    digest = sha256()
    for part in parts:
        digest.update(f"{len(part)} ".encode())
        digest.update(np.ascontiguousarray(part.labels).data)
        digest.update("/".join(file.name for file in part.files).encode("utf-8", "surrogateescape"))
    return digest.digest()


def _list_images(parts: Sequence[Source]) -> Iterator[_Image]:
    for number, part in enumerate(parts):
        for index in range(len(part)):
            name = part.name_of(index).encode("utf-8", "surrogateescape")
            yield _Image(name, number, part.labels[index].tobytes())


def _mark(image: _Image) -> int:
    """A number that float32 holds exactly, never 0."""
    told = b"\0".join((image.name, str(image.part).encode(), image.label))
    return int.from_bytes(sha256(told).digest()[:3], "big") + 1


def _share_names(images: Sequence[_Image], place: int) -> list[str]:
    """The name of the image that each worker has there."""
    name = images[place].name[:MAX_NAME] if place < len(images) else b""
    rows = _gather(np.frombuffer(name.ljust(MAX_NAME, b"\0"), np.uint8))
    names = [row.astype(np.uint8).tobytes().rstrip(b"\0") for row in rows]
    return [*map(_show_name, names)]


def _show_name(name: bytes) -> str:
    return repr(name.decode("utf-8", "surrogateescape")) if name else "none"


def _gather(values: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
    """The values (N,) of every worker (workers, N): whole numbers up to 2**24."""
    rows = np.zeros((get_world_size(), len(values)), np.float32)
    rows[get_rank()] = values
    return all_reduce_sum(rows)
