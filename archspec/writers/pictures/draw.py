"""Draw a graph into a file; the name's suffix says what kind of file."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from archspec.errors import ArchspecError, GraphError
from archspec.graph.ir import Graph
from archspec.graph.shapes import infer_shapes
from archspec.writers.pictures.dot import to_dot
from archspec.writers.pictures.html import to_html
from archspec.writers.pictures.layout import lay_out
from archspec.writers.pictures.png import to_png
from archspec.writers.pictures.svg import to_svg

WRITERS: Mapping[str, Callable[[Graph], bytes]] = {
    ".svg": lambda graph: to_svg(lay_out(graph)).encode(),
    ".png": lambda graph: to_png(lay_out(graph)),
    ".dot": lambda graph: to_dot(graph).encode(),
    ".html": lambda graph: to_html(graph).encode(),
}


def draw(graph: Graph, target: Path) -> None:
    """Write a picture of a graph: .svg, .png,
    .dot (Graphviz) or .html (a page that answers to the mouse).

    The file appears whole or not at all.

    Raises:
        ArchspecError: W001, an unknown suffix; W002, the file cannot be written.
        GraphError: G006, channels or sizes do not fit,
            so that there is no size to write into the boxes.
    """
    writer = WRITERS.get(target.suffix.lower())
    if writer is None:
        message = f"{target.suffix or 'no suffix'!r} is no kind of picture"
        raise ArchspecError.one("W001", message, str(target), f"known: {', '.join(WRITERS)}")
    if faults := infer_shapes(graph)[1]:
        raise GraphError(faults)
    _replace_file(target, writer(graph))


def _replace_file(target: Path, content: bytes) -> None:
    # The process's id, since two may draw into one folder at a time.
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        os.replace(part, target)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise ArchspecError.one(
            "W002", f"cannot be written: {error.strerror}", str(target)
        ) from None
