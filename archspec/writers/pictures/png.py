"""A picture as PNG, drawn by matplotlib without a screen: the same primitives as the SVG has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any

from archspec.writers.pictures.primitives import (
    Arc,
    Box,
    Dot,
    Group,
    Line,
    Picture,
    Primitive,
    Text,
)

PIXELS_PER_UNIT = 2.0
ANCHORS: Mapping[str, Any] = {"start": "left", "middle": "center", "end": "right"}
MOST_PIXELS = 40_000_000
"""A network of 64 blocks would else take gigabytes to draw."""


def to_png(picture: Picture) -> bytes:
    """Return the PNG file's bytes, two pixels a unit of length,
    fewer where the picture is very large.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    scale = min(PIXELS_PER_UNIT, (MOST_PIXELS / (picture.width * picture.height)) ** 0.5)
    # 72 units an inch, so that a font's size in points is its size in units.
    figure = Figure(figsize=(picture.width / 72, picture.height / 72), dpi=72 * scale)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, picture.width), ylim=(picture.height, 0))
    axes.set_axis_off()
    for order, (item, down) in enumerate(_flatten(picture.items, 0)):
        axes.add_artist(ARTISTS[type(item)](item, down, order))
    file = BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None, "Title": picture.title})
    return file.getvalue()


def _flatten(items: tuple[Primitive, ...], down: float) -> list[tuple[Primitive, float]]:
    found: list[tuple[Primitive, float]] = []
    for item in items:
        if isinstance(item, Group):
            found += _flatten(item.items, down + item.down)
        else:
            found.append((item, down))
    return found


def _make_box(box: Box, down: float, order: int) -> Any:
    from matplotlib.patches import FancyBboxPatch, Rectangle

    corner = (box.x, box.y + down)
    shape: Any = Rectangle(corner, box.width, box.height, zorder=order)
    if box.radius:
        rounded = f"round,pad=0,rounding_size={box.radius}"
        shape = FancyBboxPatch(corner, box.width, box.height, rounded, zorder=order)
    shape.set(facecolor=box.fill, edgecolor=box.stroke, linewidth=0 if box.stroke == "none" else 1)
    return shape


def _make_line(line: Line, down: float, order: int) -> Any:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    path = Path([(x, y + down) for x, y in line.points])
    return PathPatch(
        path, edgecolor=line.stroke, facecolor=line.fill, linewidth=line.width, zorder=order
    )


def _make_arc(arc: Arc, down: float, order: int) -> Any:
    from matplotlib.patches import Arc as Ellipse

    centre, width = ((arc.left + arc.right) / 2, arc.y + down), arc.right - arc.left
    # y grows downwards, so the upper half is that from 180 to 360 degrees.
    return Ellipse(
        centre,
        width,
        2 * arc.height,
        theta1=180,
        theta2=360,
        color=arc.stroke,
        lw=arc.width,
        zorder=order,
    )


def _make_dot(dot: Dot, down: float, order: int) -> Any:
    from matplotlib.patches import Circle

    colours = {"facecolor": dot.fill, "edgecolor": dot.stroke}
    return Circle((dot.x, dot.y + down), dot.radius, linewidth=1.5, zorder=order, **colours)


def _make_text(text: Text, down: float, order: int) -> Any:
    from matplotlib.text import Text as Label

    # parse_math: a dollar sign in a name is a dollar sign.
    return Label(
        text.x,
        text.y + down,
        text.text,
        color=text.fill,
        horizontalalignment=ANCHORS[text.anchor],
        fontsize=text.size,
        fontweight="bold" if text.bold else "normal",
        zorder=order,
        parse_math=False,
    )


ARTISTS: Mapping[type[Any], Callable[[Any, float, int], Any]] = {
    Box: _make_box,
    Line: _make_line,
    Arc: _make_arc,
    Dot: _make_dot,
    Text: _make_text,
}
