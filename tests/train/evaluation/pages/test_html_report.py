"""The page of an evaluation: whole, quiet, readable, and safe whatever names stand in it."""

import io
import re
from base64 import b64decode
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from browser import BROWSER, ask_browser
from PIL import Image

from archspec.errors import ArchspecError
from archspec.train.data.sources.source import Source
from archspec.train.evaluation.class_evaluation import ClassExamination
from archspec.train.evaluation.evaluation import Evaluation
from archspec.train.evaluation.label_evaluation import LabelExamination
from archspec.train.evaluation.measures import describe_figures
from archspec.train.evaluation.pages.confusion_table import choose_confused
from archspec.train.evaluation.pages.html_report import to_page, write_report
from archspec.train.trained.judging import _name

VOID = {"meta", "br", "img"}
HOSTILE = '<script>alert("1")</script>'


class Page(HTMLParser):
    """What stands in a page: tags with attributes, texts, and that each tag is closed."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.open = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID and not self.get_starttag_text().endswith("/>"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data.strip())

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def examined(classes=4, images=60, names=None, **where):
    """An evaluation of a network that is often wrong, and its images."""
    rng = np.random.default_rng(0)
    labels = np.arange(images, dtype=np.int32) % classes
    measure = ClassExamination(classes)
    measure.add(rng.normal(size=(images, classes)) * 2 + np.eye(classes)[labels], labels)
    names = names or tuple(f"kind {number}" for number in range(classes))
    if not where:
        where = {"arrays": rng.integers(256, size=(images, 9, 12, 1), dtype=np.uint8)}
    source = Source("numbers", names, labels, **where)
    return _name(measure.examine(), source), source


def test_the_page_has_figures_confusions_reliability_classes_and_mistakes():
    """A cell of the matrix for each pair that was met; a bar for each bin that has images."""
    found, source = examined()
    page = Page(to_page(found, source, "best.ckpt on numbers"))
    assert describe_figures(found.figures) in page.texts
    assert "best.ckpt on numbers" in page.texts
    cells = [attrs["title"] for attrs in page.all("td") if "title" in attrs]
    assert len(cells) == (found.confusion > 0).sum()
    assert f"taken for kind 1: {found.confusion[0, 1]} of 15" in cells
    assert len(page.all("rect")) == (found.calibration.images > 0).sum()
    assert len(page.all("img")) == len(found.mistakes) == 24
    surest = found.mistakes[0]
    caption = f"kind {surest.said} {surest.probability:.1%}, but is kind {surest.right}"
    assert caption in page.texts
    assert f"image {surest.number} of numbers" in page.texts
    for number in range(4):
        assert f"{found.per_class['f1'][number]:.2%}" in page.texts


def test_pictures_of_mistakes_are_the_images_that_were_mistaken():
    """Within the page, which loads nothing."""
    found, source = examined()
    text = to_page(found, source)
    pictures = [attrs["src"] for attrs in Page(text).all("img")]
    for mistake, picture in zip(found.mistakes, pictures, strict=True):
        head, _, data = picture.partition(",")
        assert head == "data:image/png;base64"
        pixels = np.asarray(Image.open(io.BytesIO(b64decode(data))))
        assert (pixels[:, :, 0] == source.arrays[mistake.number, :, :, 0]).all()
    assert "default-src 'none'" in text
    assert not re.findall(r"(?:src|href)=\"(?!data:)", text)
    assert "<script" not in text


@pytest.mark.parametrize(("channels", "level"), [(1, 4095), (3, 4095), (1, 65535), (1, 900)])
def test_pictures_are_what_the_network_saw(tmp_path, channels, level):
    """Of 16 bits as its recipe scales them, in its colours; NumPy scales them likewise."""
    values = np.arange(60, dtype=np.uint16).reshape(6, 10) * 69
    file = tmp_path / "deep.png"
    Image.fromarray(values).save(file)
    found, source = examined(3, 3, files=(file,) * 3)
    page = Page(to_page(found, source, channels=channels, white_level=level))
    (data, *_) = [attrs["src"].partition(",")[2] for attrs in page.all("img")]
    shown = Image.open(io.BytesIO(b64decode(data)))
    assert shown.mode == ("L" if channels == 1 else "RGB")
    wanted = np.rint(np.minimum(values, level) * (255 / level))
    assert np.array_equal(np.asarray(shown.convert("L")), wanted)


def test_images_that_were_left_out_are_counted_and_named(tmp_path):
    """Where there are none, nothing is said."""
    found, source = examined()
    assert "left out" not in to_page(found, source)
    found = replace(found, skipped=("<a>.png", "b.png", "c.png"))
    said = "3 images left out that cannot be read: &lt;a&gt;.png and 2 more"
    assert said in to_page(found, source)


def test_large_images_become_thumbnails(tmp_path):
    """The page stays small."""
    file = tmp_path / "large.jpg"
    Image.new("RGB", (2000, 1000), (255, 0, 0)).save(file)
    found, source = examined(3, 3, files=(file,) * 3)
    (data, *_) = [
        attrs["src"].partition(",")[2] for attrs in Page(to_page(found, source)).all("img")
    ]
    assert Image.open(io.BytesIO(b64decode(data))).size == (160, 80)


def test_an_image_that_is_gone_by_now_is_said_to_be(tmp_path):
    """The rest of the page is whole."""
    found, source = examined(3, 3, files=(tmp_path / "gone.jpg",) * 3)
    page = Page(to_page(found, source))
    assert page.all("img") == []
    assert "The image cannot be read any more." in page.texts


@pytest.mark.parametrize(
    "name", [HOSTILE, '" onload="x', "a&amp;b", "\udcff \u2713", "]]>", "\x1b[2J\x9b\0"]
)
def test_names_of_classes_and_files_are_text(tmp_path, name):
    """Whatever stands in them; letters that are no UTF-8 do not stop the page."""
    files = tuple(tmp_path / f"{name.replace('/', '_')}{number}.png" for number in range(3))
    found, source = examined(3, 3, names=(name, "b", name + "c"), files=files)
    text = to_page(found, source, name)
    text.encode("ascii")
    assert not re.search(r"[^\n -~]|&#(27|155|56575);", text)
    page = Page(text)
    assert page.all("script") == []
    assert not [attrs for _, attrs in page.tags if "onload" in attrs]
    if name.isascii():
        assert name.replace("\x1b[2J\x9b\0", r"\x1b[2J\x9b\x00") in page.texts


@pytest.mark.parametrize(("classes", "shown"), [(10, 10), (50, 50), (51, 50), (1_000, 50)])
def test_of_very_many_classes_the_most_confused_are_shown_and_it_is_said(classes, shown):
    """A table of a million cells could not be read; the classes' own table has all."""
    found, source = examined(classes, 2 * classes)
    page = Page(to_page(found, source))
    said = f"Of {classes:,} classes, the {shown} that are confused most often."
    assert (said in " ".join(page.texts)) == (classes > shown)
    matrix = page.texts.count("kind 0")
    assert matrix >= 1
    assert len(page.all("tr")) == 1 + shown + 1 + classes


def test_the_most_confused_classes_are_those_with_most_mistakes():
    """Whether their images are taken for others, or others for them; in their own order."""
    confusion = np.diag([9, 9, 9, 9])
    confusion[2, 0], confusion[3, 1] = 5, 1
    assert choose_confused(confusion, 2) == [0, 2]
    assert choose_confused(confusion, 3) == [0, 1, 2]
    assert choose_confused(confusion) == [0, 1, 2, 3]


def test_several_labels_and_figures_alone_have_a_page_too():
    """Without what they do not have."""
    rng = np.random.default_rng(0)
    measure = LabelExamination(3)
    measure.add(rng.normal(size=(20, 3)), (rng.random((20, 3)) < 0.5).astype(np.float32))
    source = Source("many", ("a", "b", "c"), np.zeros(20, np.int32))
    found = _name(measure.examine(), source)
    page = Page(to_page(found, source))
    assert {"AUC", "AP", "a", "b", "c"} <= {*page.texts}
    alone = Page(to_page(Evaluation(found.figures, {}, {}), source))
    assert (page.all("svg"), alone.all("table")) == ([], [])


def test_folders_are_made_and_nothing_is_left_of_a_page_that_cannot_be_written(tmp_path):
    """Where a file stands in the way of a folder."""
    found, source = examined()
    write_report(found, source, tmp_path / "new/deep/report.html")
    assert [file.name for file in (tmp_path / "new/deep").iterdir()] == ["report.html"]
    (tmp_path / "file").touch()
    with pytest.raises(ArchspecError, match="W002 cannot be written: "):
        write_report(found, source, tmp_path / "file/report.html")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "new"]


LOOK = """
const pictures = [...document.images].map(picture => [picture.complete, picture.naturalWidth]);
const texts = [...document.querySelectorAll("figcaption small")].map(each => each.textContent);
const wide = document.documentElement.scrollWidth > innerWidth;
document.body.dataset.result = JSON.stringify({pictures, texts, wide, faults});
"""


@pytest.mark.skipif(BROWSER is None, reason="no chromium is installed")
def test_a_browser_shows_all_pictures_and_meets_no_fault(tmp_path):
    """The policy allows what the page has, names run nothing, and it is no wider than the window,
    with a table of very many classes too.
    """
    files = tuple(tmp_path / f"{HOSTILE.replace('/', '_')}{number}.png" for number in range(60))
    for number, file in enumerate(files):
        Image.new("RGB", (40 + number, 30), (number, 0, 0)).save(file)
    found, source = examined(60, 60, names=(HOSTILE, *map(str, range(59))), files=files)
    page = tmp_path / "report.html"
    write_report(found, source, page, HOSTILE)
    shown = ask_browser(page, LOOK)
    widths = [40 + mistake.number for mistake in found.mistakes]
    assert shown == {
        "pictures": [[True, width] for width in widths],
        "texts": [mistake.image for mistake in found.mistakes],
        "wide": False,
        "faults": [],
    }
