"""Tables of files and labels: what they say, and each fault with its line."""

from pathlib import Path

import pytest

from archspec.errors import DataError
from archspec.train.data.formats.label_tables import read_table


def table(folder: Path, text: str, name: str = "labels.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def rows(path: Path) -> list[tuple[str, tuple[str, ...]]]:
    return [(row.file, row.labels) for row in read_table(path).rows]


def faults(path: Path) -> list[str]:
    try:
        found = read_table(path).faults
    except DataError as error:
        found = error.diagnostics
    return [str(fault).replace(f"{path}", "T") for fault in found]


EXPECTED = [("a.jpg", ("cat",)), ("b c.jpg", ("dog",))]


@pytest.mark.parametrize(
    "text",
    [
        "file,label\na.jpg,cat\nb c.jpg,dog\n",
        "a.jpg,cat\nb c.jpg,dog",
        "file,label\r\na.jpg,cat\r\nb c.jpg,dog\r\n",
        "\ufefffile,label\na.jpg,cat\nb c.jpg,dog\n",
        "\ufeffa.jpg,cat\nb c.jpg,dog\n",
        "Class,id,Filename\ncat,1,a.jpg\ndog,2,b c.jpg\n",
        'image_path,category\n"a.jpg","cat"\n\n "b c.jpg" , dog \n'.replace(
            ' "b c.jpg" ', "b c.jpg"
        ),
        "path,target\n a.jpg , cat \nb c.jpg,dog\n,\n",
    ],
)
def test_csv_is_read_in_its_usual_ways(tmp_path, text):
    """With a header or without, ends of lines of any system, a mark at its beginning, quotes, other
    columns, empty lines.
    """
    found = read_table(table(tmp_path, text))
    assert [(row.file, row.labels) for row in found.rows] == EXPECTED
    assert not found.is_multi_label


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", "file,labels\na.jpg,cat;dog\nb.jpg,\nc.jpg,dog|cat|dog\n"),
        (
            "t.jsonl",
            '{"file": "a.jpg", "labels": ["cat", "dog"]}\n\n{"file": "b.jpg", "labels": []}\n'
            '{"image": "c.jpg", "label": ["dog", "cat"]}\n',
        ),
    ],
)
def test_several_labels_stand_in_a_row_or_none(tmp_path, name, text):
    """Parted by ; or | in CSV, a list in JSON; each counts once."""
    found = read_table(table(tmp_path, text, name))
    assert found.is_multi_label
    assert [row.labels for row in found.rows] == [("cat", "dog"), (), ("dog", "cat")]


def test_a_list_of_one_label_means_that_there_may_be_several(tmp_path):
    """Whoever writes lists knows it; a label alone is one label."""
    several = table(tmp_path, '{"file": "a.jpg", "label": ["cat"]}', "a.jsonl")
    one = table(tmp_path, '{"file": "a.jpg", "label": 7}', "b.jsonl")
    assert read_table(several).is_multi_label
    assert not read_table(one).is_multi_label
    assert rows(one) == [("a.jpg", ("7",))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["T D012 has no rows of files and labels"]),
        ("file,label\n", ["T D012 has no rows of files and labels"]),
        ("name,kind\na.jpg,cat\n", ["T:1 D012 has the columns name, kind: one must be"]),
        ("file,image,label\na.jpg,b.jpg,cat\n", ["T:1 D012 has the columns file, image, label"]),
        ("file\na.jpg\n", ["T:1 D012 has the columns file: one must be"]),
        (
            "file,label\na.jpg,cat,x\nb.jpg\nc.jpg,cat\n",
            ["T:2 D012 has 3 columns, not 2", "T:3 D012 has 1 column, not 2"],
        ),
        (
            "file,label\na.jpg,\n,cat\n",
            ["T:2 D012 gives 'a.jpg' no label", "T:3 D012 names no file"],
        ),
        ("file,label\na.jpg,cat\na.jpg,dog\n", ["T:3 D012 names 'a.jpg' again, after line 2"]),
        ('file,label\na.jpg,"cat\nb.jpg,dog\n', ["T:3 D012 is no CSV: unexpected end of data"]),
    ],
)
def test_what_is_wrong_with_csv_is_told_at_its_line(tmp_path, text, expected):
    """All of it at once."""
    found = faults(table(tmp_path, text))
    assert len(found) == len(expected)
    for fault, start in zip(found, expected, strict=True):
        assert fault.startswith(start)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "is no JSON"),
        ("[1]", "is no JSON object"),
        ("[" * 100_000, ""),
        ('{"file": "a.jpg"}', "has the keys file, not one file and one label"),
        ('{"file": 7, "label": "a"}', "file (=7) must be text"),
        ('{"file": "a.jpg", "label": null}', "label (=None) must be text or a whole number"),
        ('{"file": "a.jpg", "label": true}', "label (=True) must be"),
        ('{"file": "a.jpg", "label": [1.5]}', "label (=1.5) must be"),
    ],
    ids=range(8),
)
def test_what_is_wrong_with_a_line_of_json_is_told_with_what_it_should_be(tmp_path, line, words):
    """The good lines around it do not hide it."""
    text = f'{{"file": "x.jpg", "label": "a"}}\n{line}\n'
    (fault,) = faults(table(tmp_path, text, "t.jsonl"))
    assert fault.startswith(f"T:2 D012 {words}")
    assert fault.endswith(
        '(a line is {"file": "a.jpg", "label": "cat"}, or "labels": ["cat", "dog"])'
    )


def test_a_table_in_another_encoding_is_told_from_a_broken_one(tmp_path):
    """A spreadsheet saves "Unicode text" in two bytes a letter."""
    (fault,) = faults(table(tmp_path, "file,label\na.jpg,cat\n", encoding="utf-16"))
    assert fault == "T:1 D012 is no UTF-8 text (save it as CSV UTF-8)"


def test_names_that_are_no_utf8_are_those_of_files(tmp_path):
    """They come from another system, and the file may well be there."""
    path = tmp_path / "t.csv"
    path.write_bytes(b"file,label\n\xff.jpg,cat\n")
    assert rows(path) == [("\udcff.jpg", ("cat",))]
