"""An evaluation as one page of HTML that needs nothing else: figures, confusions, mistakes."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from archspec.errors import ArchspecError, DataError
from archspec.files import write_atomic
from archspec.train.data.images.bit_depth import WHITE
from archspec.train.data.sources.source import Source
from archspec.train.evaluation.evaluation import Evaluation, Mistake
from archspec.train.evaluation.measures import describe_figures
from archspec.train.evaluation.pages.confusion_table import draw_confusions
from archspec.train.evaluation.pages.reliability import draw_reliability
from archspec.train.evaluation.words import (
    describe_averages,
    describe_skipped,
    format_figure,
    head,
    list_confusions,
)
from archspec.writers.page import escape_text, write_page, write_row
from archspec.writers.pictures.html import STYLE

MOST_CONFUSIONS = 20
THUMBNAIL = 160
"""Pixels of the longer side of a picture of a mistake."""
# The page runs nothing, loads nothing and sends nothing.
OWN_PICTURES = "img-src data:"
OWN_STYLE = """
h2 { font-size: 17px; margin: 28px 0 6px; }
svg.reliability { min-width: 0; max-width: 460px; }
.matrix { width: auto; }
.matrix th, .matrix td { padding: 3px 6px; border: 1px solid #fff; min-width: 1.6em; }
.matrix thead th { vertical-align: bottom; }
.matrix thead span { writing-mode: vertical-rl; transform: rotate(180deg); max-height: 12em;
  overflow: hidden; text-overflow: ellipsis; display: inline-block; }
.mistakes { display: flex; flex-wrap: wrap; gap: 16px; }
figure { margin: 0; width: 170px; overflow-wrap: anywhere; }
figure img { width: 160px; height: 160px; object-fit: contain; background: #eef1f5;
  image-rendering: pixelated; }
figcaption small { color: #5b6675; }
"""


def write_report(
    found: Evaluation,
    source: Source,
    file: Path,
    about: str = "",
    *,
    channels: int = 3,
    white_level: int = WHITE,
) -> None:
    """Write an evaluation of a data set as a page, whole or not at all; folders are made.

    Args:
        found: what `examine` returned.
        source: the images, of which mistakes are shown.
        file: the page.
        about: a line that says what was judged.
        channels: 1 or 3, of the pictures, as the network read them.
        white_level: likewise; see `read_image`.

    Raises:
        ArchspecError: W002, it cannot be written.
    """
    page = to_page(found, source, about, channels=channels, white_level=white_level)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, page)
    except OSError as error:
        raise ArchspecError.one("W002", f"cannot be written: {error.strerror}", str(file)) from None


def to_page(
    found: Evaluation,
    source: Source,
    about: str = "",
    *,
    channels: int = 3,
    white_level: int = WHITE,
) -> str:
    """Return the page, in ASCII: names are escaped, whatever stands in them; see `write_report`."""
    draw = partial(_draw_thumbnail, source, channels=channels, white_level=white_level)
    parts = [
        f"<h1>{escape_text(describe_figures(found.figures))}</h1>",
        f"<p>{escape_text(about)}</p>",
        f"<p>{escape_text(describe_averages(found))}</p>",
        f"<p>{escape_text(describe_skipped(found))}</p>",
        *_write_confusions(found),
        *_write_calibration(found),
        *_write_mistakes(found, draw),
        *_write_classes(found),
    ]
    body = "\n".join(parts)
    page = write_page(source.name, body, STYLE + OWN_STYLE, OWN_PICTURES)
    return page.encode("ascii", "xmlcharrefreplace").decode("ascii")


def _write_confusions(found: Evaluation) -> Iterator[str]:
    if found.confusion is None:
        return
    yield "<h2>What is taken for what</h2>"
    yield draw_confusions(found)
    lines = list_confusions(found, MOST_CONFUSIONS)
    if lines:
        yield "<h2>Most often confused</h2>"
        yield "<ol>" + "".join(f"<li>{escape_text(line)}</li>" for line in lines) + "</ol>"


def _write_calibration(found: Evaluation) -> Iterator[str]:
    if found.calibration is None:
        return
    yield "<h2>Is it right as often as it is sure?</h2>"
    error = format_figure("", found.calibration.error)
    yield f"<p>Expected calibration error {error}: the mean distance from the line.</p>"
    yield draw_reliability(found.calibration)


def _write_mistakes(found: Evaluation, draw: Callable[[int], str]) -> Iterator[str]:
    if not found.mistakes:
        return
    yield "<h2>The mistakes of which it was surest</h2>"
    pictures = [_write_mistake(mistake, found, draw(mistake.number)) for mistake in found.mistakes]
    yield '<div class="mistakes">' + "\n".join(pictures) + "</div>"


def _write_mistake(mistake: Mistake, found: Evaluation, picture: str) -> str:
    said, right = (escape_text(found.classes[number]) for number in (mistake.said, mistake.right))
    caption = f"{said} {mistake.probability:.1%}, but is {right}"
    name = escape_text(mistake.image)
    return f"<figure>{picture}<figcaption>{caption}<br><small>{name}</small></figcaption></figure>"


def _draw_thumbnail(source: Source, number: int, *, channels: int, white_level: int) -> str:
    try:
        image = source.image(number, channels, white_level)
    except DataError:  # it was taken away since
        return "<p>The image cannot be read any more.</p>"
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    data = io.BytesIO()
    image.save(data, "PNG")
    return f'<img alt="" src="data:image/png;base64,{b64encode(data.getvalue()).decode()}">'


def _write_classes(found: Evaluation) -> Iterator[str]:
    if not found.classes:
        return
    yield "<h2>Classes</h2>"
    rows = [write_row(["class", *map(head, found.per_class)], "th")]
    for number, name in enumerate(found.classes):
        cells = [format_figure(*figure) for figure in found.figures_of(number).items()]
        rows.append(write_row([name, *cells], "td"))
    body = "\n".join(rows[1:])
    table = f"<table><thead>{rows[0]}</thead><tbody>\n{body}\n</tbody></table>"
    yield f'<div class="wide">{table}</div>'
