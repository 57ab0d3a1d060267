"""A picture as SVG text: the same picture gives the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from xml.etree import ElementTree as ET

from archspec.writers.pictures.primitives import (
    Arc,
    Box,
    Data,
    Dot,
    Group,
    Line,
    Picture,
    Primitive,
    Text,
)

FONTS = "Helvetica, Arial, 'DejaVu Sans', sans-serif"


def to_svg(picture: Picture, *, inline: bool = False) -> str:
    """Return a whole SVG file, or with `inline` the element alone, as a page of HTML takes it."""
    size = {
        "viewBox": f"0 0 {_number(picture.width)} {_number(picture.height)}",
        "font-family": FONTS,
    }
    if not inline:
        size |= {"width": _number(picture.width), "height": _number(picture.height)}
    root = ET.Element("svg", size if inline else {"xmlns": "http://www.w3.org/2000/svg", **size})
    ET.SubElement(root, "title").text = picture.title
    ET.SubElement(root, "rect", {"width": "100%", "height": "100%", "fill": "#ffffff"})
    root.extend(map(_element, picture.items))
    ET.indent(root, space="")
    return ET.tostring(root, encoding="unicode") + "\n"


def _element(item: Primitive) -> ET.Element:
    return ELEMENTS[type(item)](item)


def _box(box: Box) -> ET.Element:
    values = {"x": box.x, "y": box.y, "width": box.width, "height": box.height, "rx": box.radius}
    return _new("rect", values, box.data, fill=box.fill, stroke=box.stroke)


def _line(line: Line) -> ET.Element:
    points = " ".join(f"{_number(x)},{_number(y)}" for x, y in line.points)
    return _new(
        "polyline", {"stroke-width": line.width}, points=points, stroke=line.stroke, fill=line.fill
    )


def _arc(arc: Arc) -> ET.Element:
    radii = f"{_number((arc.right - arc.left) / 2)} {_number(arc.height)}"
    path = (
        f"M{_number(arc.left)} {_number(arc.y)}A{radii} 0 0 1 {_number(arc.right)} {_number(arc.y)}"
    )
    return _new(
        "path", {"stroke-width": arc.width}, arc.data, d=path, stroke=arc.stroke, fill="none"
    )


def _dot(dot: Dot) -> ET.Element:
    values = {"cx": dot.x, "cy": dot.y, "r": dot.radius, "stroke-width": 1.5}
    circle = _new("circle", values, dot.data, fill=dot.fill, stroke=dot.stroke)
    if dot.title:
        ET.SubElement(circle, "title").text = dot.title
    return circle


def _text(text: Text) -> ET.Element:
    element = _new("text", {"x": text.x, "y": text.y, "font-size": text.size}, fill=text.fill)
    if text.anchor != "start":
        element.set("text-anchor", text.anchor)
    if text.bold:
        element.set("font-weight", "bold")
    element.text = text.text
    return element


def _group(group: Group) -> ET.Element:
    element = _new("g", {}, group.data, transform=f"translate(0 {_number(group.down)})")
    element.extend(map(_element, group.items))
    return element


ELEMENTS: Mapping[type[Any], Callable[[Any], ET.Element]] = {
    Box: _box,
    Line: _line,
    Arc: _arc,
    Dot: _dot,
    Text: _text,
    Group: _group,
}


def _new(tag: str, values: Mapping[str, float], data: Data = (), **attrs: str) -> ET.Element:
    """An element; SVG's own defaults, no rounding of corners and no stroke, are left out."""
    numbers = {name: _number(value) for name, value in values.items() if name != "rx" or value}
    asked = {
        f"data-{name}": value if isinstance(value, str) else _number(value) for name, value in data
    }
    if attrs.get("stroke") == "none":
        attrs.pop("stroke")
    return ET.Element(tag, {**numbers, **attrs, **asked})


def _number(value: float) -> str:
    """At most three decimals: a block of 1,000 layers has cells below half a pixel."""
    return f"{value:.3f}".rstrip("0").rstrip(".")
