"""Published checkpoints: where they are, and the cache folder
in which they are kept with their sha256.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from archspec.errors import DownloadError, ModelFileError
from archspec.files import write_atomic
from archspec.runtime import cache_folder
from archspec.shell_words import quote_word
from archspec.weights.download import (
    LARGEST,
    ShowProgress,
    convert_disk_faults,
    drop_part,
    fetch,
    lock_target,
)

MIRROR = "DENSENET_WEIGHTS_URL"
"""An https folder that has the files of the table under their own names,
instead of the publishers'."""


@dataclass(frozen=True, slots=True)
class PublishedWeights:
    """A checkpoint's address, and whose names its parameters have."""

    address: str
    naming: str

    @property
    def file(self) -> str:
        """The name of the file, in the cache folder as at the publisher's."""
        return self.address.rpartition("/")[2]


# From the table of models in MindCV's configs/densenet/README.md.
PUBLISHED: Mapping[str, PublishedWeights] = {
    "densenet121": PublishedWeights(
        "https://download.mindspore.cn/toolkits/mindcv/densenet/densenet121-120_5004_Ascend.ckpt",
        "mindcv",
    ),
    "densenet161": PublishedWeights(
        "https://download.mindspore.cn/toolkits/mindcv/densenet/densenet161-120_5004_Ascend.ckpt",
        "mindcv",
    ),
    "densenet169": PublishedWeights(
        "https://download.mindspore.cn/toolkits/mindcv/densenet/densenet169-120_5004_Ascend.ckpt",
        "mindcv",
    ),
    "densenet201": PublishedWeights(
        "https://download.mindspore.cn/toolkits/mindcv/densenet/densenet201-120_5004_Ascend.ckpt",
        "mindcv",
    ),
}


@dataclass(frozen=True, slots=True)
class KeptDigest:
    """What is kept of a file when it is first trusted."""

    sha256: str
    bytes: int


def find_published(name: str) -> PublishedWeights:
    """Return the published checkpoint of that name.

    Raises:
        DownloadError: N001, there is none.
    """
    if name in PUBLISHED:
        return PUBLISHED[name]
    near = difflib.get_close_matches(name, PUBLISHED, n=1, cutoff=0.75)
    question = f"did you mean {near[0]!r}? " if near else ""
    cure = f"{question}published: {', '.join(PUBLISHED)}"
    raise DownloadError.one("N001", f"there are no published weights of {name[:60]!r}", hint=cure)


def find_address(name: str) -> str:
    """Return where the weights of that name are downloaded from:
    the publisher's, or the mirror's address.
    """
    found, mirror = find_published(name), os.environ.get(MIRROR)
    return f"{mirror.rstrip('/')}/{found.file}" if mirror else found.address


def find_cached_file(name: str) -> Path:
    """Return where in the cache folder the weights of that name belong,
    whether or not they are there.
    """
    return cache_folder() / find_published(name).file


def fetch_weights(name: str, show: ShowProgress = lambda what, done, total: None) -> Path:
    """Return the published weights of that name as a file in the cache folder,
    downloaded if it is absent.

    The sha256 of the first file is kept, and every later one must have it, whether it is downloaded
    or cached.

    Raises:
        DownloadError: N001, no such name; N002 to N006, the network; N007, another sha256; N008,
            the folder.
        ModelFileError: R002, what was downloaded is no whole checkpoint.
    """
    target, url = find_cached_file(name), find_address(name)
    with convert_disk_faults(target):
        if target.is_file():
            _check_cached(target, name)
            return target
    try:
        return fetch(url, target, show, lambda file: _check_and_keep(file, target, url))
    except DownloadError as error:
        command = f"densenet weights get {name} --from-file {target.name}"
        cure = (
            f"without network: get this address elsewhere, then `{command}` copies it into "
            f"{target.parent}"
        )
        raise DownloadError(
            replace(fault, hint=fault.hint or cure) for fault in error.diagnostics
        ) from None


def keep_local_file(name: str, source: Path) -> Path:
    """Copy a file that was downloaded elsewhere into the cache folder, and return the copy.

    Raises:
        DownloadError: N001, no such name; N007, another sha256 than the one that is kept; N008, the
            folder.
        ModelFileError: R001, no such file; R002, no whole checkpoint.
    """
    target = find_cached_file(name)
    copy = target.with_name(f"{target.name}.copy")
    with _open_source(source) as original, lock_target(target):
        try:
            with copy.open("wb") as file:
                shutil.copyfileobj(original, file)
                file.flush()
                os.fsync(file.fileno())
            _check_and_keep(copy, target, str(source))
            os.replace(copy, target)
        finally:
            copy.unlink(missing_ok=True)
        drop_part(target)
    return target


def read_kept(target: Path) -> KeptDigest | None:
    """Return what is kept of a file in the cache folder, None where nothing is.

    Raises:
        DownloadError: N007, it cannot be understood; N008, it cannot be read.
    """
    note = _note_file(target)
    with convert_disk_faults(note):
        if not note.exists():
            return None
        text = note.read_bytes()
    try:
        values = json.loads(text)
        found = KeptDigest(str(values["sha256"]), int(values["bytes"]))
    except (ValueError, TypeError, KeyError, OverflowError):
        found = KeptDigest("", 0)
    if not re.fullmatch("[0-9a-f]{64}", found.sha256):
        cure = f"to trust the next file: {_write_rm_command(note)}"
        raise DownloadError.one("N007", "holds no sha256", str(note), cure)
    return found


def _check_cached(target: Path, name: str) -> None:
    before = read_kept(target)
    if before is None:
        with lock_target(target):
            _check_and_keep(target, target, str(target))
        return
    found = _measure_file(target)
    if found != before:
        what = f"has changed since it was kept: sha256 {found.sha256}, not {before.sha256}"
        cure = f"{_write_rm_command(target)} && densenet weights get {name}"
        raise DownloadError.one("N007", what, str(target), cure)


def _check_and_keep(file: Path, target: Path, origin: str) -> None:
    """Keep the sha256 of the first file; refuse another one, and what is no whole checkpoint.

    `file` is what is to become `target`, and `origin` where it came from.
    """
    if not _is_checkpoint(file):
        raise ModelFileError.one("R002", "is no whole MindSpore checkpoint", origin)
    before, found = read_kept(target), _measure_file(file)
    if before is None:
        write_atomic(
            _note_file(target), json.dumps({**asdict(found), "from": origin}, indent=2) + "\n"
        )
    elif found != before:
        what = f"has the sha256 {found.sha256}, but {before.sha256} was kept of the first file"
        cure = f"if the publisher has replaced the file: {_write_rm_command(_note_file(target))}"
        raise DownloadError.one("N007", what, origin, cure)


def _is_checkpoint(file: Path) -> bool:
    """Tell whether a file consists of records of a checkpoint,
    each of them a mark, a length and as many bytes.

    MindSpore's checkpoint.proto: a message whose field 1 repeats a message, which begins with a
    field 1 as well.
    """
    size, mark = file.stat().st_size, b"\x0a"
    with file.open("rb") as stream:
        while stream.tell() < size:
            begins = stream.read(1) == mark
            length = _read_length(stream)
            if not begins or not length or stream.read(1) != mark:
                return False
            stream.seek(length - 1, os.SEEK_CUR)
        # A record that was cut short leads beyond the end.
        return 0 < size == stream.tell()


def _read_length(stream: BinaryIO) -> int:
    """Read a whole number of protobuf's:
    seven bits a byte, the lowest first, the eighth set in all but the last.
    """
    value = 0
    for shift in range(0, 35, 7):
        byte = int.from_bytes(stream.read(1), "little")
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value
    return 0


def _measure_file(file: Path) -> KeptDigest:
    digest, size = sha256(), 0
    with file.open("rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
            size += len(piece)
    return KeptDigest(digest.hexdigest(), size)


def _open_source(source: Path) -> BinaryIO:
    try:
        if source.exists() and not (source.is_file() and source.stat().st_size <= LARGEST):
            raise ModelFileError.one(
                "R002", f"is no file of at most {LARGEST:,} bytes", str(source)
            )
        return source.open("rb")
    except OSError as error:
        raise ModelFileError.one("R001", f"cannot be read: {error.strerror}", str(source)) from None


def _note_file(target: Path) -> Path:
    return target.with_name(f"{target.name}.sha256")


def _write_rm_command(file: Path) -> str:
    return f"rm {quote_word(str(file))}"
