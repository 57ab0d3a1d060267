"""MindRecord files that others wrote, and files that are damaged."""

import random
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mindrecord_sets import edit_header, foreign_rows, photos, picture, write_records

from archspec.errors import DataError
from archspec.train.data.check import check_data
from archspec.train.data.datasets import open_data
from archspec.train.data.packing import pack_data

BYTES, INT, WORD = {"type": "bytes"}, {"type": "int32"}, {"type": "string"}
WANTED = (
    "wanted are one column of bytes, image or data, and a column label of whole numbers or words"
)


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> Path:
    """A set that `data pack` wrote, in two files a part; nobody may change it."""
    root = tmp_path_factory.mktemp("records")
    pack_data(photos(root / "photos", each=4), root / "packed", shards=2)
    return root / "packed"


@pytest.fixture
def copied(packed, tmp_path) -> Path:
    return shutil.copytree(packed, tmp_path / "copied")


def faults(root: Path) -> list[str]:
    with pytest.raises(DataError) as caught:
        open_data(root).split()
    return [str(fault) for fault in caught.value.diagnostics]


def contents(root: Path) -> list[bytes]:
    return [file.open("rb").read() for file in open_data(root).train.files]


# ---- files of others


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("index", [(), ("label",), ("file_name",)])
def test_records_of_others_are_read_where_their_columns_are_clear(tmp_path, shards, index):
    """Whatever they put into the index."""
    rows = foreign_rows(23)
    path = write_records(tmp_path / "flowers.mindrecord", rows, shards=shards, index=index)
    source = open_data(path).train
    assert source.classes == ("0", "1", "2")
    by_content = {file.open("rb").read(): number for number, file in enumerate(source.files)}
    assert len(by_content) == 23
    for row in rows:
        number = by_content[row["data"]]
        assert source.labels[number] == row["label"]
        assert source.files[number].name == row["file_name"]


def test_an_image_without_a_name_has_a_number(tmp_path):
    """In its file."""
    rows = [{"data": row["data"], "label": row["label"]} for row in foreign_rows(6)]
    path = write_records(tmp_path / "x.mindrecord", rows, {"data": BYTES, "label": INT})
    source = open_data(path).train
    assert source.name_of(3) == f"{path}:image 3"
    assert check_data(path).odd == ()


COLUMNS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("words", {"image": BYTES, "category": WORD}, {"category": "b"}),
    ("a mask too", {"image": BYTES, "mask": BYTES, "label": INT}, {"mask": b"xyz", "label": 1}),
    ("before it", {"a": BYTES, "image": BYTES, "label": INT}, {"a": b"", "label": 1}),
    (
        "an array before it",
        {"image": BYTES, "box": {"type": "int32", "shape": [-1]}, "label": INT},
        {"box": np.arange(4, dtype=np.int32), "label": 1},
    ),
    ("another name", {"photo": BYTES, "label": INT}, {"label": 1}),
    (
        "as cifar100_to_mr",
        {"id": INT, "fine_label": INT, "data": BYTES},
        {"id": 7, "fine_label": 1},
    ),
    (
        "a number of theirs",
        {"image": BYTES, "label": INT, "number": INT},
        {"label": 1, "number": 0},
    ),
]


@pytest.mark.parametrize(
    ("schema", "values"), [row[1:] for row in COLUMNS], ids=[r[0] for r in COLUMNS]
)
def test_images_are_found_among_other_columns(tmp_path, schema, values):
    """Several columns of bytes have their lengths before each."""
    image = next(name for name in ("image", "data", "photo") if name in schema)
    label = next(name for name in ("label", "fine_label", "category") if name in schema)
    other = {"b": "a", 1: 0}[values[label]]
    rows = [{**values, image: picture(n), label: (other, values[label])[n % 2]} for n in range(5)]
    path = write_records(tmp_path / "x.mindrecord", rows, schema)
    assert contents(path) == [row[image] for row in rows]
    source = open_data(path).train
    assert source.labels.tolist() == [0, 1, 0, 1, 0]
    assert source.classes == (("a", "b") if label == "category" else ("0", "1"))


UNCLEAR: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    (
        {"a": BYTES, "b": BYTES, "label": INT},
        {"label": 1},
        "a (bytes), b (bytes), label (int32)",
    ),
    ({"image": WORD, "label": INT}, {"label": 1}, "image (string), label (int32)"),
    ({"image": BYTES, "size": INT}, {"size": 1}, "image (bytes), size (int32)"),
    (
        {"image": BYTES, "label": INT, "class": INT},
        {"label": 1, "class": 1},
        "class (int32), image (bytes), label (int32)",
    ),
    (
        {"image": BYTES, "label": {"type": "int32", "shape": [-1]}, "id": INT},
        {"label": np.ones(1, np.int32), "id": 1},
        "id (int32), image (bytes), label (array of int32)",
    ),
    (
        {"image": BYTES, "label": {"type": "float32"}},
        {"label": 0.5},
        "image (bytes), label (float32)",
    ),
]


@pytest.mark.parametrize(("schema", "values", "found"), UNCLEAR)
def test_columns_that_are_not_clear_are_named(tmp_path, schema, values, found):
    """And what is wanted."""
    rest = {name: b"xyz" for name, column in schema.items() if column == BYTES}
    rest |= {name: "word" for name, column in schema.items() if column == WORD}
    path = write_records(tmp_path / "x.mindrecord", [{**rest, **values}], schema)
    (fault,) = faults(path)
    assert fault == f"{path} D014 has the columns {found}; {WANTED}"


def test_a_file_of_a_set_without_a_row_is_one_of_its_files(tmp_path):
    """MindSpore leaves some empty where there are few rows."""
    path = write_records(tmp_path / "x.mindrecord", foreign_rows(3, 2), shards=5)
    assert sorted(contents(path)) == sorted(row["data"] for row in foreign_rows(3, 2))
    write_records(tmp_path / "none.mindrecord", foreign_rows(3)[:1], shards=3)
    assert "holds one class only" in faults(tmp_path / "none.mindrecord0")[0]


def test_parts_are_known_by_their_names_and_one_set_alone_by_any(tmp_path):
    """Of several sets none may be meant by chance."""
    write_records(tmp_path / "flowers.mindrecord", foreign_rows(6), shards=2)
    assert len(open_data(tmp_path).train) == 6
    write_records(tmp_path / "trees.mindrecord", foreign_rows(5))
    (fault,) = faults(tmp_path)
    assert "D014 holds the MindRecord sets flowers, trees, none of them train" in fault
    write_records(tmp_path / "train.mindrecord", foreign_rows(9))
    write_records(
        tmp_path / "valid.mindrecord",
        [{**row, "data": picture(100 + number)} for number, row in enumerate(foreign_rows(4))],
    )
    data = open_data(tmp_path)
    assert data.val is not None
    assert (len(data.train), len(data.val)) == (9, 4)


def test_a_file_of_another_suffix_is_known_by_its_index(tmp_path):
    """MindSpore asks for no suffix."""
    path = write_records(tmp_path / "flowers.mr", foreign_rows(6))
    assert len(open_data(path).train) == 6


def test_names_of_classes_beside_records_are_taken(tmp_path):
    """Labels are their numbers."""
    write_records(tmp_path / "train.mindrecord", foreign_rows(6))
    (tmp_path / "classes.txt").write_text("rose\ntulip\nlily\n")
    assert open_data(tmp_path).train.classes == ("rose", "tulip", "lily")


@pytest.mark.parametrize(("label", "rule"), [(-1, "label -1 is none"), (9, "label 9 is none")])
def test_a_label_that_is_no_class_of_the_training_images_is_refused(tmp_path, label, rule):
    """By its image's name."""
    write_records(tmp_path / "train.mindrecord", foreign_rows(9))
    rows = [{**foreign_rows(1)[0], "label": label, "data": picture(99)}]
    path = write_records(tmp_path / "val.mindrecord", rows)
    (fault,) = faults(tmp_path)
    assert fault.startswith(f"{path}:0.png D007 {rule} of the 3 classes of")


@pytest.mark.parametrize("kinds", [("string", "int32"), ("int32", "string")])
def test_words_and_numbers_are_one_label_where_they_read_alike(tmp_path, kinds):
    """Parts may have been written by two programs."""
    for number, (part, kind) in enumerate(zip(("train", "val"), kinds, strict=True)):
        schema = {"image": BYTES, "label": {"type": kind}}
        rows = [
            {"image": picture(20 * number + n), "label": str(n % 3) if kind == "string" else n % 3}
            for n in range(6)
        ]
        write_records(tmp_path / f"{part}.mindrecord", rows, schema)
    data = open_data(tmp_path)
    assert data.val is not None
    assert data.val.labels.tolist() == data.train.labels.tolist() == [0, 1, 2, 0, 1, 2]


def test_a_label_beyond_reason_is_refused(tmp_path):
    """There would be two thousand million classes."""
    rows = [*foreign_rows(3), {**foreign_rows(1)[0], "label": 2**31 - 1}]
    path = write_records(tmp_path / "x.mindrecord", rows)
    assert f"{path} D007 has the label 2,147,483,647" in faults(path)[0]


def test_classes_without_an_image_are_told(tmp_path):
    """Labels that count from 1 leave class 0 empty."""
    rows = [{**row, "label": row["label"] + 1} for row in foreign_rows(9)]
    data = open_data(write_records(tmp_path / "x.mindrecord", rows))
    assert data.train.classes == ("0", "1", "2", "3")
    assert data.train.notes == (f"{tmp_path / 'x.mindrecord'}: no image has the label 0",)


# ---- what is checked of images


def test_broken_duplicate_and_odd_images_are_named_as_those_of_a_folder(tmp_path):
    """By the names that they have in the file."""
    rows = foreign_rows(12)
    rows[4]["data"] = rows[4]["data"][:90]
    rows[7]["data"] = rows[1]["data"]
    rows[8]["file_name"] = "8.jpg"
    path = write_records(tmp_path / "x.mindrecord", rows)
    report = check_data(path)
    assert [name for name, _ in report.broken] == [f"{path}:4.png"]
    assert report.duplicates == ((f"{path}:1.png", f"{path}:7.png"),)
    assert report.odd == ((f"{path}:8.jpg", "is a PNG image with the suffix .jpg"),)
    assert f"{path}:4.png D005" in faults(path)[0]


def test_images_to_judge_with_that_are_training_images_are_refused(tmp_path):
    """However many files there are."""
    write_records(tmp_path / "train.mindrecord", foreign_rows(9), shards=2)
    write_records(tmp_path / "val.mindrecord", foreign_rows(6), shards=3)
    assert {fault.split()[1] for fault in faults(tmp_path)} == {"D011"}


# ---- files that are not whole


def test_a_file_that_was_left_behind_is_named(copied):
    """Its own, its index, or one of the others of its set."""
    (copied / "val.mindrecord1.db").rename(copied / "elsewhere")
    assert faults(copied)[0].startswith(
        f"{copied / 'val.mindrecord1'} D001 lacks its index val.mindrecord1.db"
    )
    (copied / "elsewhere").rename(copied / "val.mindrecord1.db")
    (copied / "val.mindrecord1").unlink()
    assert faults(copied)[0].startswith(f"{copied / 'val.mindrecord1'} D001 does not exist")


def test_a_file_of_several_that_was_renamed_says_what_it_was_called(copied):
    """Its header names the others."""
    (copied / "train.mindrecord0").rename(copied / "first.mindrecord0")
    (copied / "train.mindrecord0.db").rename(copied / "first.mindrecord0.db")
    (fault,) = faults(copied / "first.mindrecord0")
    assert "D014 is one of 2 files that its header calls train.mindrecord0 to" in fault


def test_a_single_file_may_be_renamed(tmp_path):
    """Nothing else names it."""
    path = write_records(tmp_path / "x.mindrecord", foreign_rows(6))
    for name in (path.name, f"{path.name}.db"):
        (tmp_path / name).rename(tmp_path / name.replace("x", "y"))
    assert len(open_data(tmp_path / "y.mindrecord").train) == 6


def test_parts_that_were_packed_apart_do_not_fit(copied, tmp_path):
    """Their numbers may stand for other classes."""
    other = photos(tmp_path / "other", each=2)
    (other / "train" / "dog").rename(other / "train" / "wolf")
    (other / "val" / "dog").rename(other / "val" / "wolf")
    pack_data(other, tmp_path / "packed")
    for file in copied.glob("val.*"):
        file.unlink()
    for file in (tmp_path / "packed").glob("val.*"):
        shutil.copy(file, copied)
    (fault,) = faults(copied)
    assert f"{copied / 'val.mindrecord'} D004 does not say the same classes as" in fault


HEADERS: list[tuple[str, Any]] = [
    ("header_size", -1),
    ("header_size", 1 << 40),
    ("page_size", 0),
    ("page_size", "1048576"),
    ("page", [{"end_row_id": 1 << 62, "page_type": "BLOB_DATA"}]),
    ("page", []),
    ("schema", []),
    ("schema.0.blob_fields", ["image; DROP TABLE INDEXES"]),
    ("schema.0.schema", {}),
    ("index_fields", [{"index_field": "label_0] FROM INDEXES--"}]),
    ("shard_addresses", []),
    ("shard_addresses", ["x"] * 1001),
    ("shard_addresses", ["../../train.mindrecord0", "/etc/passwd"]),
    ("shard_addresses", ["train.mindrecord0", "train.mindrecord0"]),
    ("shard_addresses", ["train.mindrecord0", ".."]),
    ("shard_addresses", ["train.mindrecord0", "a\0b"]),
]


@pytest.mark.parametrize(("place", "value"), HEADERS)
def test_a_header_that_cannot_be_true_is_refused(copied, place, value):
    """Nothing that it says leads out of its folder, or to an endless read."""
    edit_header(copied / "train.mindrecord0", (place, value))
    (fault,) = faults(copied)
    assert fault.split(" ")[1] in ("D001", "D006", "D014")
    assert fault.startswith(str(copied))


@pytest.mark.parametrize("start", [b"", b"\0" * 8, b"\xff" * 8, b"\x10" + b"\0" * 7 + b"[" * 16])
def test_what_does_not_begin_as_a_mindrecord_is_refused(copied, start):
    """Whatever follows."""
    (copied / "train.mindrecord0").write_bytes(start)
    (fault,) = faults(copied)
    assert fault.startswith(f"{copied / 'train.mindrecord0'} D006 is no whole MindRecord file: ")


INDEXES = [
    "UPDATE INDEXES SET PAGE_ID_BLOB = -1",
    "UPDATE INDEXES SET PAGE_ID_BLOB = 9223372036854775807",
    "UPDATE INDEXES SET PAGE_OFFSET_BLOB_END = 9223372036854775807",
    "UPDATE INDEXES SET PAGE_OFFSET_BLOB = PAGE_OFFSET_BLOB_END",
    "UPDATE INDEXES SET PAGE_OFFSET_BLOB = 'word'",
    "UPDATE INDEXES SET label_0 = 0.5",
    "UPDATE INDEXES SET label_0 = 2",
    "UPDATE INDEXES SET file_name_0 = 7",
    "UPDATE INDEXES SET file_name_0 = CAST(x'ff' AS TEXT)",
    "UPDATE INDEXES SET number_0 = -number_0",
    "DELETE FROM INDEXES WHERE ROW_ID = 1",
    "INSERT INTO INDEXES SELECT * FROM (SELECT * FROM INDEXES LIMIT 1) WHERE 0; DROP TABLE INDEXES",
    "ALTER TABLE INDEXES RENAME TO OTHER; CREATE VIEW INDEXES AS SELECT * FROM OTHER",
    "ALTER TABLE INDEXES DROP COLUMN file_name_0",
    "ALTER TABLE INDEXES RENAME COLUMN label_0 TO label_1;"
    "ALTER TABLE INDEXES ADD COLUMN label_0 AS (abs(-9223372036854775808))",
]


@pytest.mark.parametrize("change", INDEXES)
def test_an_index_that_cannot_be_true_is_refused(copied, change):
    """It is read as data: no view and no computed column is run."""
    with sqlite3.connect(copied / "train.mindrecord1.db") as database:
        if "DROP COLUMN" in change or "RENAME COLUMN" in change:
            # The primary key keeps columns from being dropped.
            database.executescript(
                "CREATE TABLE PLAIN AS SELECT * FROM INDEXES; DROP TABLE INDEXES;"
                "ALTER TABLE PLAIN RENAME TO INDEXES"
            )
        database.executescript(change)
    database.close()
    (fault,) = faults(copied)
    assert " D006 " in fault


def test_an_image_that_does_not_lie_where_the_index_says_is_named(tmp_path):
    """The index may be another's of the same size."""
    path = write_records(tmp_path / "x.mindrecord", foreign_rows(6))
    with sqlite3.connect(f"{path}.db") as database:
        database.execute(
            "UPDATE INDEXES SET PAGE_OFFSET_BLOB = PAGE_OFFSET_BLOB + 1 WHERE ROW_ID = 3"
        )
    database.close()
    (fault,) = faults(path)
    assert fault.startswith(f"{path}:3.png D005 cannot be read: no image lies where")


def test_damaged_files_are_refused_or_read_as_they_were(copied):
    """A few bytes, a cut, or figures that are others: an error with a code, or the same data."""
    rng = random.Random(0)
    digest = open_data(copied).split().digest
    files = sorted(copied.iterdir())
    refused = 0
    for _ in range(150):
        path = rng.choice(files)
        former = path.read_bytes()
        content = bytearray(former)
        most = len(content) if path.suffix == ".db" else 1_000
        for _ in range(rng.randint(1, 4)):
            content[rng.randrange(most)] = rng.choice((0, 255, 45, 48, 57, rng.randrange(256)))
        path.write_bytes(content[: rng.choice((len(content), len(content), rng.randrange(most)))])
        try:
            found = open_data(copied).split().digest
        except DataError:
            refused += 1
        else:
            assert found == digest
        path.write_bytes(former)
    assert 30 < refused < 150


def test_records_in_a_folder_of_any_name_are_read(tmp_path):
    """SQLite is given an address, in which `?`, `#` and `%` mean something."""
    root = tmp_path / "a?b#c%20d'e"
    write_records(tmp_path / "x.mindrecord", foreign_rows(6))
    root.mkdir()
    for file in tmp_path.glob("x.*"):
        file.rename(root / file.name)
    assert len(open_data(root).train) == 6


def test_an_index_is_left_as_it_is_and_may_lie_where_nothing_can_be_written(copied):
    """SQLite makes no journal beside it."""
    before = {file.name: file.stat().st_mtime_ns for file in copied.iterdir()}
    copied.chmod(0o500)
    open_data(copied).split()
    copied.chmod(0o700)
    assert {file.name: file.stat().st_mtime_ns for file in copied.iterdir()} == before
