"""Which reader a file needs, its first bytes say; and no reader leans on another format's."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from readers.onnx_styles import STYLES, densenet, written

from archspec import file_kinds, readers
from archspec.errors import ModelFileError
from archspec.readers.frontends import FRONTENDS, MINDIR, ONNX, frontend_of, read_model_file
from archspec.readers.onnx.read import onnx_reading

ROOM = Path(readers.__file__).parent
STEPS = densenet([4, 4], 12, (1, 8, 8), 10, imagenet=False)
HEADS = {
    ".onnx": written(STEPS, STYLES["torch"])[0].SerializeToString(),
    ".mindir": b"\n\x031.1\x12\tMindSpore*\x062.10.0:\xce\xb9\x18\n",
}


@pytest.mark.parametrize("row", FRONTENDS, ids=lambda row: row.suffix)
def test_each_format_knows_its_own_files_and_no_others(row):
    """Those of other programs too."""
    claimed = [suffix for suffix, head in HEADS.items() if row.sniff(head[: file_kinds.HEAD])]
    assert claimed == [row.suffix]
    assert not any(row.sniff(head) for head in (b"", b"PK\x03\x04", b"\x80\x02}", b"name: x\n"))


@pytest.mark.parametrize("name", ["model.onnx", "model.mindir", "model", "MODEL.ONNX", "x.ckpt"])
@pytest.mark.parametrize("row", FRONTENDS, ids=lambda row: row.suffix)
def test_what_a_file_is_says_its_content_and_not_its_name(row, name, tmp_path):
    """Whole, or nothing but the first byte left."""
    for length in (None, 1):
        (tmp_path / name).write_bytes(HEADS[row.suffix][:length])
        assert frontend_of(tmp_path / name) is row


@pytest.mark.parametrize(
    ("name", "row"), [("x.onnx", ONNX), ("x.ONNX", ONNX), ("x.mindir", MINDIR), ("x.txt", MINDIR)]
)
def test_a_name_decides_where_the_content_says_nothing(name, row, tmp_path):
    """A text, an empty file, none at all, a folder, and a pipe that would wait for ever."""
    path = tmp_path / name
    assert frontend_of(path) is row
    for content in (b"", b"name: densenet121\n", bytes(100)):
        path.write_bytes(content)
        assert frontend_of(path) is row
    path.unlink()
    path.mkdir()
    assert frontend_of(path) is row
    path.rmdir()
    os.mkfifo(path)
    assert frontend_of(path) is row


def test_an_onnx_is_read_whatever_it_is_called(tmp_path):
    """Its graph is called as the file."""
    (tmp_path / "theirs.mindir").write_bytes(HEADS[".onnx"])
    graph = read_model_file(tmp_path / "theirs.mindir").graph
    assert graph.name == "theirs"
    assert [op.kind for op in graph.ops.values()].count("concat") == 8


def test_an_onnx_that_is_not_valid_is_refused(tmp_path):
    """Though its graph could be followed."""
    model = written(STEPS, STYLES["torch"])[0]
    for node in model.graph.node:
        node.name = "same"
    (tmp_path / "theirs.onnx").write_bytes(model.SerializeToString())
    assert onnx_reading(tmp_path / "theirs.onnx").graph.ops
    with pytest.raises(ModelFileError, match=r"R006 .* nodes are called same"):
        read_model_file(tmp_path / "theirs.onnx")


FORMATS = [folder.name for folder in sorted(ROOM.iterdir()) if (folder / "read.py").is_file()]


def test_each_format_has_a_row():
    """Its folder is called as the suffix."""
    assert sorted(row.suffix for row in FRONTENDS) == [f".{name}" for name in FORMATS]


@pytest.mark.parametrize("name", FORMATS)
def test_no_format_imports_another(name):
    """What two of them use stands beside their folders;
    what stands there imports none of them but the list does.
    """
    others = "|".join(other for other in FORMATS if other != name)
    for file in (ROOM / name).glob("*.py"):
        assert not re.search(rf"archspec\.readers\.({others})\b", file.read_text()), file
    for file in ROOM.glob("*.py"):
        has_any = re.search(rf"archspec\.readers\.{name}\b", file.read_text())
        assert bool(has_any) == (file.name == "frontends.py"), file


@pytest.mark.parametrize("name", ["net.yaml", "net.YML"])
@pytest.mark.parametrize("text", ["name: net\n", "\n# a network\ngrowth_rate: 12\n"])
def test_a_spec_in_a_models_place_is_called_one(name, text, tmp_path):
    """As when certify is given its arguments the other way round."""
    (tmp_path / name).write_text(text)
    with pytest.raises(ModelFileError, match=r"R006 is a spec, no model \(a model is a .mindir"):
        read_model_file(tmp_path / name)
    (tmp_path / name).write_bytes(HEADS[".mindir"])
    with pytest.raises(ModelFileError, match="no MINDIR, or is cut short"):
        read_model_file(tmp_path / name)
