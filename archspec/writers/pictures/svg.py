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
        "viewBox": f"0 0 {_format_number(picture.width)} {_format_number(picture.height)}",
        "font-family": FONTS,
    }
    if not inline:
        size |= {"width": _format_number(picture.width), "height": _format_number(picture.height)}
    root = ET.Element("svg", size if inline else {"xmlns": "http://www.w3.org/2000/svg", **size})
    ET.SubElement(root, "title").text = picture.title
    ET.SubElement(root, "rect", {"width": "100%", "height": "100%", "fill": "#ffffff"})
    root.extend(map(_make_element, picture.items))
    ET.indent(root, space="")  # an element a line, so that two pictures can be compared
    return ET.tostring(root, encoding="unicode") + "\n"


def _make_element(item: Primitive) -> ET.Element:
    return ELEMENTS[type(item)](item)


def _make_box(box: Box) -> ET.Element:
    values = {"x": box.x, "y": box.y, "width": box.width, "height": box.height, "rx": box.radius}
    return _new_element("rect", values, box.data, fill=box.fill, stroke=box.stroke)


def _make_line(line: Line) -> ET.Element:
    points = " ".join(f"{_format_number(x)},{_format_number(y)}" for x, y in line.points)
    return _new_element(
        "polyline", {"stroke-width": line.width}, points=points, stroke=line.stroke, fill=line.fill
    )


def _make_arc(arc: Arc) -> ET.Element:
    radii = f"{_format_number((arc.right - arc.left) / 2)} {_format_number(arc.height)}"
    start = f"{_format_number(arc.left)} {_format_number(arc.y)}"
    end = f"{_format_number(arc.right)} {_format_number(arc.y)}"
    path = f"M{start}A{radii} 0 0 1 {end}"
    return _new_element(
        "path", {"stroke-width": arc.width}, arc.data, d=path, stroke=arc.stroke, fill="none"
    )


def _make_dot(dot: Dot) -> ET.Element:
    values = {"cx": dot.x, "cy": dot.y, "r": dot.radius, "stroke-width": 1.5}
    circle = _new_element("circle", values, dot.data, fill=dot.fill, stroke=dot.stroke)
    if dot.title:
        ET.SubElement(circle, "title").text = dot.title
    return circle


def _make_text(text: Text) -> ET.Element:
    element = _new_element(
        "text", {"x": text.x, "y": text.y, "font-size": text.size}, fill=text.fill
    )
    if text.anchor != "start":
        element.set("text-anchor", text.anchor)
    if text.bold:
        element.set("font-weight", "bold")
    element.text = text.text
    return element


def _make_group(group: Group) -> ET.Element:
    element = _new_element(
        "g", {}, group.data, transform=f"translate(0 {_format_number(group.down)})"
    )
    element.extend(map(_make_element, group.items))
    return element


ELEMENTS: Mapping[type[Any], Callable[[Any], ET.Element]] = {
    Box: _make_box,
    Line: _make_line,
    Arc: _make_arc,
    Dot: _make_dot,
    Text: _make_text,
    Group: _make_group,
}


def _new_element(
    tag: str, values: Mapping[str, float], data: Data = (), **attrs: str
) -> ET.Element:
    """An element; SVG's own defaults, no rounding of corners and no stroke, are left out."""
    numbers = {
        name: _format_number(value) for name, value in values.items() if name != "rx" or value
    }
    asked = {}
    for name, value in data:
        asked[f"data-{name}"] = value if isinstance(value, str) else _format_number(value)
    if attrs.get("stroke") == "none":
        attrs.pop("stroke")
    return ET.Element(tag, {**numbers, **attrs, **asked})


def _format_number(value: float) -> str:
    """At most three decimals: a block of 1,000 layers has cells below half a pixel."""
    return f"{value:.3f}".rstrip("0").rstrip(".")
