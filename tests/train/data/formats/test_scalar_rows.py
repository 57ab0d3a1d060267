"""Rows of numbers and words that are not in an index."""

import random

import pytest
from mindrecord_sets import FOREIGN, foreign_rows, write_records

from archspec.errors import DataError
from archspec.train.data.datasets import open_data
from archspec.train.data.formats.mindrecord_files import read_header
from archspec.train.data.formats.mindrecord_index import read_rows
from archspec.train.data.formats.scalar_rows import decode_row

EDGES = [0, 31, 32, 127, 128, 255, 256, 65_535, 65_536, 2**31 - 1, 2**31, 2**32, 2**63 - 1]
NUMBERS = [*EDGES, *(-number - 1 for number in EDGES)]
WORDS = ["", "é" * 15, "x" * 31, "x" * 32, "x" * 255, "x" * 256, "x" * 9_000, "a\tb'"]


def test_numbers_and_words_of_every_length_are_those_that_mindspore_wrote(tmp_path):
    """MessagePack writes each as short as it can."""
    values = [(NUMBERS[i], WORDS[i % len(WORDS)]) for i in range(len(NUMBERS))]
    rows = [
        {"data": b"x", "label": label, "file_name": word, "more": label / 3, "id": 1}
        for label, word in values
    ]
    schema = {**FOREIGN, "more": {"type": "float64"}, "id": {"type": "int32"}}
    path = write_records(tmp_path / "x.mindrecord", rows, schema, index=("id",))
    found = read_rows(path, read_header(path), ["label", "file_name"]).values
    assert list(zip(found["label"], found["file_name"], strict=True)) == values


@pytest.mark.parametrize(
    ("content", "row"),
    [
        (b"\x80", {}),
        (b"\x83\xa1a\xc0\xa1b\xc2\xa1c\xc3", {"a": None, "b": False, "c": True}),
        (b"\xde\x00\x01\xa1a\xca\x3f\xc0\x00\x00", {"a": 1.5}),
        (b"\xdf\x00\x00\x00\x01\xd9\x01a\xdb\x00\x00\x00\x01b", {"a": "b"}),
    ],
)
def test_the_specification_s_other_ways_to_say_it_are_read(content, row):
    """msgpack.org: nil, false, true, float 32, map 16 and 32, str 8 and 32."""
    assert decode_row(content) == row


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x01",
        b"\x81",
        b"\x81\xa1",
        b"\x81\xa1a",
        b"\x81\xa1a\xcd\x01",
        b"\x81\xa1a\x91\x01",
        b"\x81\xa1a\xc4\x01x",
        b"\x81\xa1a\xdb\xff\xff\xff\xff",
        b"\x81\xa1\xff\x01",
        b"\xdf\xff\xff\xff\xff",
    ],
)
def test_what_is_cut_or_no_row_is_refused(content):
    """Lists and bytes stand elsewhere."""
    with pytest.raises(ValueError):  # noqa: PT011  of any words: its caller names the file
        decode_row(content)


def test_any_bytes_are_a_row_or_refused():
    """Nothing else is raised, and no length is believed."""
    rng = random.Random(0)
    read = 0
    for _ in range(3_000):
        content = bytearray(b"\x82\xa4file\xa7c/0.jpg\xa5label\xcd\x01\x00")
        for _ in range(rng.randint(0, 3)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        try:
            decode_row(bytes(content[: rng.randint(1, len(content))]))
        except ValueError:
            continue
        read += 1
    assert read > 10


def test_a_label_that_is_not_in_the_index_and_is_no_number_is_refused(tmp_path):
    """The header says that it is one."""

    path = write_records(tmp_path / "x.mindrecord", foreign_rows(6), index=("file_name",))
    content = path.read_bytes()
    assert content.count(b"\xa5label\x02") == 2
    path.write_bytes(content.replace(b"\xa5label\x02", b"\xa5label\xc0"))
    with pytest.raises(DataError, match="D006 is no whole MindRecord file: label has values that"):
        open_data(path)
