"""Documents: values that remember where they were written, through merging and setting."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archspec.errors import Place, SpecError
from archspec.settings import Path
from archspec.spec.reading.document import (
    Document,
    drop_key,
    format_path,
    merge,
    set_path,
    shorten_value,
)
from archspec.spec.reading.yaml_reader import read_text

PARENT = read_text("a: {b: 1, c: 2}\nd: [1, 2]\ne: 5\n", "parent")
CHILD = read_text("d: [3]\na: {c: {x: 9}}\nf: 6\n", "child")

scalars = st.sampled_from([0, 1, 2.5, "x", "", True, None])
mappings = st.dictionaries(st.sampled_from("abc"), st.deferred(lambda: trees), max_size=3)
trees: st.SearchStrategy[object] = scalars | st.lists(scalars, max_size=2) | mappings


def plain_merge(parent: object, child: object) -> object:
    """The rule of `extends`, written once more."""
    if not isinstance(parent, dict) or not isinstance(child, dict):
        return child
    keys = [*parent, *(key for key in child if key not in parent)]
    return {
        key: plain_merge(parent[key], child[key])
        if key in parent and key in child
        else {**parent, **child}[key]
        for key in keys
    }


def test_mappings_merge_key_by_key_and_all_else_is_replaced() -> None:
    """A child's list replaces the parent's; keys that only one of them has are kept."""
    assert merge(PARENT, CHILD).value == {"a": {"b": 1, "c": {"x": 9}}, "d": [3], "e": 5, "f": 6}


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (("a", "b"), "parent:1:8"),
        (("a", "c"), "child:2:8"),
        (("a", "c", "x"), "child:2:12"),
        (("d",), "child:1:4"),
        (("d", 0), "child:1:5"),
        (("d", 1), "child:1:4"),  # the parent's second entry is gone
        (("e",), "parent:3:4"),
        (("f",), "child:3:4"),
        (("nothing", "at", "all"), "child:1:1"),
    ],
)
def test_every_value_of_a_merged_document_knows_its_file(path: Path, place: str) -> None:
    """What the child overrides stands in the child's file, the rest in the parent's."""
    assert str(merge(PARENT, CHILD).place(path)) == place


def test_a_key_has_its_own_place() -> None:
    """A typo is underlined at the key, a bad value at the value."""
    assert PARENT.place(("a", "c"), key=True) == Place("parent", "file", 1, 11)
    assert PARENT.place(("a", "c")) == Place("parent", "file", 1, 14)


@given(mappings, mappings)
def test_merging_follows_its_rule_on_any_two_mappings(parent: object, child: object) -> None:
    """An independent spelling of the rule agrees, and neither document changes."""
    before = repr((parent, child))
    assert merge(Document(parent), Document(child)).value == plain_merge(parent, child)
    assert repr((parent, child)) == before


def test_setting_a_value_replaces_it_and_leaves_the_original() -> None:
    """An index into a list, a key into a mapping; places below the old value are forgotten."""
    new = read_text("{y: 1}", "new")
    changed = set_path(PARENT, ("d", 1), new)
    assert changed.value["d"] == [1, {"y": 1}]
    assert changed.place(("d", 1, "y")) == Place("new", "file", 1, 5)
    assert changed.place(("d", 0)) == Place("parent", "file", 2, 5)
    assert PARENT.value["d"] == [1, 2]


def test_mappings_on_the_way_are_made() -> None:
    """Setting a nested key needs no parent key, and a null counts as absent."""
    value = Document(7, {(): Place("here")})
    assert set_path(PARENT, ("g", "h"), value).value["g"] == {"h": 7}
    assert set_path(Document({"g": None}), ("g", "h"), value).value == {"g": {"h": 7}}


@pytest.mark.parametrize("path", [("d", 2), ("d", "x"), ("e", "x"), ("e", 0), ("zzz", 0)])
def test_setting_what_cannot_be_is_an_error_at_the_new_values_place(path: Path) -> None:
    """Beyond a list's end, a word into a list, anything into a number, an index into nothing."""
    with pytest.raises(SpecError, match=r"^here S011 "):
        set_path(PARENT, path, Document(7, {(): Place("here")}))


def test_without_a_key_nothing_of_it_is_left() -> None:
    """Value, places and keys go together."""
    left = drop_key(PARENT, "a")
    assert set(left.value) == {"d", "e"}
    assert all(path[:1] != ("a",) for path in (*left.places, *left.keys))


def test_paths_are_written_as_users_write_them() -> None:
    """Dots for keys, brackets for indices."""
    assert format_path(("blocks", 2, "growth_rate")) == "blocks[2].growth_rate"
    assert format_path(("blocks", 0, "layer_at", "7", 1, "conv")) == "blocks[0].layer_at[7][1].conv"
    assert (format_path(()), format_path(("7",))) == ("", "7")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (1e-4, "0.0001"),
        ("x" * 50, "x" * 37 + "..."),
        ("a\x1b", "'a\\x1b'"),
    ],
)
def test_values_are_shown_short_and_printable(value: object, text: str) -> None:
    """A message stays on one line and cannot steer the terminal."""
    assert shorten_value(value) == text
