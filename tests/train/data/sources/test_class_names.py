"""What classes are called whose folders have only signs of them."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from archspec import train
from archspec.errors import ArchspecError, DataError
from archspec.train.data.datasets import open_data, open_held_out
from archspec.train.data.inputs import check_classes
from archspec.train.data.sources.class_names import list_names, read_class_list
from archspec.train.data.sources.source import Source

SIGNS = ("n01", "n02", "n03")
NAMES = ("tench", "great shark", "cock, hen")


def listed(folder: Path, name: str, content: object) -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("c.txt", "tench\ngreat shark\ncock, hen\n"),
        ("c.txt", "\ufeffn03 cock, hen\r\nn01 tench\r\nn02 great shark\r\n"),
        ("c.csv", 'tench\ngreat shark\n"cock, hen"\n'),
        ("c.csv", 'sign,name\nn02,great shark\nn01,tench\nn03,"cock, hen"\n'),
        ("c.csv", '0,n01,tench\n1,n02,great shark\n2,n03,"cock, hen"\n'),
        ("c.json", list(NAMES)),
        ("c.json", {"2": "cock, hen", "0": "tench", "1": "great shark"}),
        ("c.json", {"n02": "great shark", "n01": "tench", "n03": "cock, hen"}),
        ("c.json", {"0": ["n01", "tench"], "1": ["n02", "great shark"], "2": ["n03", "cock, hen"]}),
        ("c.json", {"n01": ["", "tench"], "n02": ["x", "great shark"], "n03": ["cock, hen"]}),
    ],
)
def test_every_usual_form_gives_the_same_names(tmp_path, name, content):
    """By signs where the list has them, else by the order of the classes."""
    assert list_names(SIGNS, read_class_list(listed(tmp_path, name, content))) == NAMES


def test_a_list_in_another_order_renames_nothing_where_folders_have_the_names(tmp_path):
    """By place they would be swapped."""
    path = listed(tmp_path, "c.txt", "dog\ncat\n")
    assert list_names(("cat", "dog"), read_class_list(path)) == ("cat", "dog")


def test_equal_names_are_told_apart_by_their_signs(tmp_path):
    """ImageNet has two cranes, a bird and a machine."""
    path = listed(tmp_path, "c.json", {"0": ["n01", "crane"], "1": ["n02", "crane"]})
    assert list_names(("n01", "n02"), read_class_list(path)) == ("crane (n01)", "crane (n02)")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("c.txt", "", "names no classes"),
        ("c.json", "{", "is no JSON"),
        ("c.json", "7", "is neither a list nor an object"),
        ("c.json", {"0": "a", "2": "b"}, "does not number its 2 classes from 0"),
        ("c.json", ["a", 7], "has a name that is no text: 7"),
        ("c.json", {"a": []}, "says nothing of 'a'"),
        ("c.json", "[" * 100_000, ""),
        ("c.csv", "a,b\nc\n", "has not one, two or three columns in every row"),
        ("c.txt", "x\ny\n", "has 2 names for 3 classes, none for n01 and 2 more"),
        ("c.json", {"n01": "a", "n02": "b"}, "has 2 names for 3 classes, none for n03"),
        ("c.txt", "n01\nother\nn03\n", "names some classes as the data do, and not n02"),
        (
            "c.txt",
            "\n\nx\n\n \ny\n\n",
            "has 2 names for 3 classes, none for n01 and 2 more (line 4 is blank, and no name)",
        ),
        ("c.txt", "w\nx\ny\nz\n\n", "has 4 names for 3 classes, none for n01 and 2 more"),
        ("c.csv", "n01,a\nn02,\nn03,c\n", "says no name of class 1"),
        ("c.csv", "n01,a\nn02,b\nn01,c\n", "gives 'n01' two names: a, c"),
        ("c.txt", "a\n" + "b" * 300, "has a name of 300 letters for class 1, more than 200"),
    ],
    ids=range(16),
)
def test_what_is_wrong_with_a_list_is_told(tmp_path, name, content, words):
    """Nothing is named by a list that does not fit."""
    path = listed(tmp_path, name, content)
    with pytest.raises(DataError) as caught:
        list_names(SIGNS, read_class_list(path))
    (fault,) = caught.value.diagnostics
    assert str(fault).startswith(f"{path} D012 {words}")
    assert ("is blank" in str(fault)) == ("is blank" in words)


def test_a_name_of_several_classes_is_told(photos):
    """Where nothing tells them apart; blank lines are no names. Of labels it is a fault."""
    listed(photos, "classes.txt", "\ntench\n\ncrane\ncrane\n\n")
    data = open_data(photos).train
    assert data.classes == ("tench", "crane (1)", "crane (2)")
    said = "'crane' is the name of classes 1 and 2"
    assert data.notes[-1] == f"{photos}/classes.txt: {said}; the number is added to each"
    rows = [f"n0{1 + n % 3}/{n}.png,{('tench', 'crane')[n % 2]}" for n in range(12)]
    listed(photos, "train.csv", "\n".join(["file,label", *rows]))
    with pytest.raises(DataError) as caught:
        open_data(photos)
    (fault,) = caught.value.diagnostics
    rule = f"{said}: labels are told apart by their names"
    assert str(fault) == f"{photos}/classes.txt D012 {rule}"


@pytest.fixture
def photos(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    for number in range(24):
        file = tmp_path / "photos" / SIGNS[number % 3] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(file)
    return tmp_path / "photos"


def test_a_list_beside_the_folders_names_their_classes(photos):
    """Where it fits; one that fits not is left aside with a note."""
    assert open_data(photos).train.classes == SIGNS
    listed(photos, "classes.txt", "n01 tench\nn02 great shark\nn03 cock, hen\n")
    assert open_data(photos).train.classes == NAMES
    assert open_held_out(photos).classes == NAMES
    listed(photos, "classes.txt", "one\ntwo\n")
    data = open_data(photos).train
    assert data.classes == SIGNS
    assert "class names are left aside" in data.notes[-1]


def test_classes_of_a_run_keep_the_names_that_it_began_with(photos):
    """A list that was laid beside the folders later would make another data set of them."""
    listed(photos, "classes.json", list(NAMES))
    for known, names in ((SIGNS, SIGNS), (NAMES, NAMES), (("a", "b", "c"), NAMES)):
        assert open_data(photos, known=known).train.classes == names
        assert open_held_out(photos, known=known).classes == names


def test_the_recipes_list_counts_from_the_recipe_and_is_kept_by_the_run(photos, monkeypatch):
    """However the run is taken up later."""
    folder = photos.parent / "recipes"
    folder.mkdir()
    listed(folder, "names.json", list(NAMES))
    recipe = folder / "mine.yaml"
    recipe.write_text("extends: imagefolder\nbatch_size: 4\ndata: {class_names: names.json}\n")
    plan = train.plan("densenet121", data_dir=photos, recipe_name=recipe)
    assert plan.settings.classes == NAMES
    assert plan.recipe.data.class_names == str(folder / "names.json")
    monkeypatch.chdir(folder)
    settings = ["batch_size=4", "data.class_names=names.json"]
    plan = train.plan("densenet121", data_dir=photos, recipe_overrides=settings)
    assert plan.recipe.data.class_names == str(folder / "names.json")
    with pytest.raises(ArchspecError, match="D001 cannot be read"):
        train.plan("densenet121", data_dir=photos, recipe_overrides=["data.class_names=no.txt"])


@pytest.mark.parametrize(
    ("theirs", "words"),
    [
        (
            ["x", *map(str, range(1, 99)), "y"],
            "100 classes, 2 differ: 0 is 'x', not '0', 99 is 'y'",
        ),
        (
            list(map(str, range(98))),
            "has 98 classes, the checkpoint 100; of the checkpoint alone: 98, 99",
        ),
        (
            [*map(str, range(100)), "new"],
            "has 101 classes, the checkpoint 100; not of the checkpoint: new",
        ),
        (
            ["new", *map(str, range(99))],
            "100 classes, 1 differs: 'new' instead of '99'",
        ),
        (
            [*map(str, range(1, 100)), "0"],
            "the 100 classes of the checkpoint in another order: 1, 2, 3, 4, 5 and 95 more",
        ),
    ],
    ids=["renamed", "fewer", "more", "moved", "reordered"],
)
def test_long_lists_of_classes_are_told_by_what_differs(theirs, words):
    """Two hundred names side by side tell nothing."""
    assert find_difference(theirs, map(str, range(100))).startswith(words)


@pytest.mark.parametrize(
    ("theirs", "words"),
    [
        ("axc", "3 classes, 1 differs: 1 is 'x', not 'b'"),
        ("xya", "3 classes, 2 differ: 'x', 'y' instead of 'b', 'c'"),
        ("ab", "has 2 classes, the checkpoint 3; of the checkpoint alone: c"),
        ("cab", "the 3 classes of the checkpoint in another order: c, a, b instead of a, b, c"),
    ],
)
def test_short_lists_of_classes_are_told_likewise(theirs, words):
    """Nobody has to find what differs in them."""
    assert find_difference(theirs, "abc") == words


def find_difference(theirs, ours):
    source = Source("photos", tuple(theirs), np.zeros(1, np.int32))
    with pytest.raises(DataError) as caught:
        check_classes(source, tuple(ours))
    return caught.value.diagnostics[0].message


def test_folders_that_are_numbers_have_names_by_their_numbers(tmp_path):
    """They are sorted as text: 0, 1, 10, 11, 2, ..."""
    found = read_class_list(
        listed(tmp_path, "classes.txt", "\n".join(f"name{n}" for n in range(12)))
    )
    folders = tuple(sorted(map(str, range(12))))
    assert list_names(folders, found) == tuple(f"name{folder}" for folder in folders)


def test_names_behind_signs_that_are_equal_are_told_apart_too(tmp_path):
    """As ImageNet's synset_words.txt has its two cranes."""
    lines = ["n02012849 crane", "n03126707 crane", "n01440764 tench"]
    found = read_class_list(listed(tmp_path, "classes.txt", "\n".join(lines)))
    names = list_names(("n01440764", "n02012849", "n03126707"), found)
    assert names == ("tench", "crane (n02012849)", "crane (n03126707)")
