"""Which images words mean: files, folders with all in them, patterns."""

import os
from pathlib import Path

import pytest
from PIL import Image

from archspec.errors import DataError
from archspec.train.trained.image_paths import find_images


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Folders of images, with what is none between them; the working directory."""
    for name in ("b.png", "a.jpg", "note.txt", ".hidden.png", "sub/c.JPG", "sub/deep/d.bmp"):
        file = tmp_path / "photos" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def named(*words):
    return [str(path) for path in find_images(words)]


@pytest.mark.parametrize(
    ("word", "wanted"),
    [
        ("photos", ["photos/a.jpg", "photos/b.png", "photos/sub/c.JPG", "photos/sub/deep/d.bmp"]),
        ("photos/sub/", ["photos/sub/c.JPG", "photos/sub/deep/d.bmp"]),
        ("photos/*", ["photos/a.jpg", "photos/b.png"]),
        ("photos/*.png", ["photos/b.png"]),
        ("photos/[ab].*", ["photos/a.jpg", "photos/b.png"]),
        ("photos/**/*.bmp", ["photos/sub/deep/d.bmp"]),
        (
            "photos/**",
            ["photos/a.jpg", "photos/b.png", "photos/sub/c.JPG", "photos/sub/deep/d.bmp"],
        ),
        ("photos/note.txt", ["photos/note.txt"]),
        ("absent.png", ["absent.png"]),
    ],
)
def test_a_word_means_these_images_in_this_order(photos, word, wanted):
    """What is named as a file is taken for one, so that its reader says what is wrong with it."""
    assert named(word) == wanted


def test_an_image_that_two_words_mean_is_asked_of_once(photos):
    """In the order of the words."""
    assert named("photos/sub", "photos/b.png", "photos")[:3] == [
        "photos/sub/c.JPG",
        "photos/sub/deep/d.bmp",
        "photos/b.png",
    ]
    assert len(named("photos", "photos/*", Path("photos/a.jpg"))) == 4


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(photos):
    """Before it is taken for one."""
    (photos / "d[1].png").write_text("")
    assert named("d[1].png") == ["d[1].png"]


def test_a_link_that_leads_round_ends(photos):
    """Links to folders are not followed, links to files are."""
    os.symlink(photos / "photos", photos / "photos/sub/round")
    os.symlink(photos / "photos/a.jpg", photos / "photos/sub/link.jpg")
    assert named("photos/sub") == [
        "photos/sub/c.JPG",
        "photos/sub/link.jpg",
        "photos/sub/deep/d.bmp",
    ]


def test_all_that_means_no_image_is_told_at_once(photos):
    """An empty folder, one of texts, patterns that match nothing or no image."""
    (photos / "empty").mkdir()
    (photos / "texts").mkdir()
    (photos / "texts/a.txt").write_text("")
    with pytest.raises(DataError) as caught:
        find_images(["empty", "texts", "no*.png", "texts/*", "photos/a.jpg"])
    assert [(fault.where, fault.code, fault.message) for fault in caught.value.diagnostics] == [
        ("empty", "D003", "holds no image, nor do its folders"),
        ("texts", "D003", "holds no image, nor do its folders"),
        ("no*.png", "D001", "matches no file"),
        ("texts/*", "D001", "matches no image"),
    ]


def test_a_name_that_is_no_utf_8_is_found(photos):
    """As Python writes it."""
    try:
        Image.new("L", (2, 2)).save(os.fsencode(photos) + b"/photos/sub/\xff.png", "PNG")
    except OSError:
        pytest.skip("this file system takes no such names")
    assert named("photos/sub")[-1] in ("photos/sub/\udcff.png", "photos/sub/deep/d.bmp")
    assert "photos/sub/\udcff.png" in named("photos/sub")


@pytest.mark.parametrize("word", ["packed", "packed/train.mindrecord", "packed/val.mindrecord3"])
def test_packed_images_are_refused_with_what_judges_by_them(tmp_path, monkeypatch, word):
    """They are no broken images; an image that has a `.db` beside it is one all the same."""
    monkeypatch.chdir(tmp_path)
    Path("packed").mkdir()
    for name in ("train.mindrecord", "val.mindrecord3", "train.mindrecord.db"):
        Path("packed", name).write_bytes(b"")
    with pytest.raises(DataError, match=rf"{word} D00[35] .*validate --data-dir judges"):
        find_images([word])
    for name in ("a.png", "a.png.db"):
        Path(name).write_bytes(b"")
    assert find_images(["a.png"]) == [Path("a.png")]
