"""What a picture is made of, whatever kind of file it becomes.

Lengths are pixels, y grows downwards.
"""

from __future__ import annotations

from dataclasses import dataclass

Point = tuple[float, float]
Data = tuple[tuple[str, str | int | float], ...]
"""What a reader of the file, or a page's script, may ask of a primitive:
`(("source", 0), ("layer", 3))`."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle with its upper left corner at (x, y)."""

    x: float
    y: float
    width: float
    height: float
    fill: str
    stroke: str = "none"
    radius: float = 0
    data: Data = ()


@dataclass(frozen=True, slots=True)
class Line:
    """Straight strokes from point to point; filled where it is an arrow's head."""

    points: tuple[Point, ...]
    stroke: str
    width: float = 1.2
    fill: str = "none"


@dataclass(frozen=True, slots=True)
class Arc:
    """The upper half of an ellipse, from (left, y) to (right, y)."""

    left: float
    right: float
    y: float
    height: float
    stroke: str
    width: float
    data: Data = ()


@dataclass(frozen=True, slots=True)
class Dot:
    """A circle around (x, y); the title is what a mouse that rests on it shows."""

    x: float
    y: float
    radius: float
    fill: str
    stroke: str
    title: str = ""
    data: Data = ()


@dataclass(frozen=True, slots=True)
class Text:
    """One line of text on the base line y."""

    x: float
    y: float
    text: str
    size: float = 11
    anchor: str = "start"
    """`start`, `middle`, `end`: which part of the text is at x."""
    fill: str = "#3c4450"
    bold: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """Primitives that belong together, moved down by `down`."""

    items: tuple[Primitive, ...]
    down: float = 0
    data: Data = ()


Primitive = Box | Line | Arc | Dot | Text | Group


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture on a white ground."""

    title: str
    width: float
    height: float
    items: tuple[Primitive, ...]
