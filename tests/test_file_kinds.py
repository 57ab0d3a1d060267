"""What a file is, its first bytes tell: files of other programs, and texts that look like them."""

import gzip
import io
import lzma
import os
import pickle
import socket
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from onnx import helper
from safetensors.numpy import save

from archspec import file_kinds


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("x/data.pkl", b".")
    return file.getvalue()


def tarred() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as made:
        made.addfile(tarfile.TarInfo("pickle"))
    return file.getvalue()


def array() -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


def model() -> bytes:
    graph = helper.make_graph([], "g", [], [])
    made: bytes = helper.make_model(graph, producer_name="pytorch").SerializeToString()
    return made


WRITTEN = {
    file_kinds.ZIP: zipped(),
    file_kinds.TORCH: pickle.dumps({}, protocol=2),
    file_kinds.ONNX: model(),
    file_kinds.SAFETENSORS: save({"w": np.zeros(3, np.float32)}),
    file_kinds.NUMPY: array(),
    file_kinds.TAR: tarred(),
    file_kinds.PACKED: gzip.compress(b"x"),
    file_kinds.PAGE: b"\n<!DOCTYPE html><html>404",
    file_kinds.LFS: b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\n",
    file_kinds.HDF5: b"\x89HDF\r\n\x1a\n",
    file_kinds.MINDIR: b"\n\x031.1\x12\tMindSpore*\x062.10.0:\xce\xb9\x18\n",
    file_kinds.CHECKPOINT: b"\n\xee\r\n\x15features.conv0.weight\x12\xd4\r\x08\x10",
    file_kinds.TEXT: b"growth_rate: 8\n# gr\xc3\xb6\xc3\x9fer\n",
    "": bytes(100),
}


@pytest.mark.parametrize("kind", WRITTEN)
def test_each_kind_is_known_by_its_first_bytes(kind: str) -> None:
    """Whole files, and no more of them than the head."""
    assert file_kinds.identify_kind(WRITTEN[kind]) == kind
    assert file_kinds.identify_kind(WRITTEN[kind][: file_kinds.HEAD]) == kind


def test_other_compressions_are_archives_too() -> None:
    """xz; a text that begins with bzip2's letters is none."""
    assert file_kinds.identify_kind(lzma.compress(b"x")) == file_kinds.PACKED
    assert file_kinds.identify_kind(b"BZhang: 1\n") == file_kinds.TEXT


@pytest.mark.parametrize(
    "text", [b"", b"name: PK\n", b"version: 1\n", b"<net>\n", b"\xef\xbb\xbfa: 1\n"]
)
def test_texts_are_texts(text: bytes) -> None:
    """Empty ones have no kind."""
    assert file_kinds.identify_kind(text) == (file_kinds.TEXT if text else "")


def test_an_onnx_model_of_every_version_is_known() -> None:
    """With and without a producer."""
    for version in range(3, 13):
        made = helper.make_model(helper.make_graph([], "g", [], []))
        made.ir_version = version
        assert file_kinds.identify_kind(made.SerializeToString()) == file_kinds.ONNX


def test_what_is_no_file_is_called_by_its_name(tmp_path: Path) -> None:
    """Files, folders, and what is not there, are nothing special."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        found = {path.name: file_kinds.identify_special(path) for path in tmp_path.iterdir()}
    assert found == {"pipe": "a pipe", "socket": "a socket", "file": ""}
    assert file_kinds.identify_special(Path("/dev/zero")) == "a device"
    assert (
        file_kinds.identify_special(tmp_path)
        == file_kinds.identify_special(tmp_path / "none")
        == ""
    )
