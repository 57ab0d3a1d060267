"""A block's connections as primitives:
arcs between its layers, or a matrix where arcs would merge into a stain.

Connections are those derived from the graph, never those that the rule would give.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from archspec.graph.connections import BlockConnections
from archspec.writers.pictures.primitives import Arc, Box, Data, Dot, Line, Primitive, Text

FAINT, INK, PANEL, AGGREGATION = "#7b8592", "#1d2430", "#f6f7f9", ("#fdf0dc", "#c58a1c")
# Samples of matplotlib's plasma, even for the colour-blind, without its yellow, which white
# swallows.
PALETTE = ("#0d0887", "#4c02a1", "#7e03a8", "#a92395", "#cc4778", "#e56b5d", "#f38b47")
DIAGRAM_LEFT, DIAGRAM_WIDTH = 258.0, 806.0
WIDEST_PITCH, NARROWEST_FOR_NUMBERS, FLATNESS = 44.0, 21.0, 0.5
MATRIX_SIDE, LARGEST_CELL = 440.0, 7.0


def colour_of_source(source: int, layers: int) -> str:
    """Return the colour of a source: its place on the palette,
    from the block's input to its last layer.
    """
    place = source / max(layers, 1) * (len(PALETTE) - 1)
    low = min(int(place), len(PALETTE) - 2)
    pairs = zip(_rgb_of(PALETTE[low]), _rgb_of(PALETTE[low + 1]), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * (place - low)):02x}" for a, b in pairs)


def find_runs(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Return the first and last of each run of successive numbers: 0 1 2 5 -> (0, 2) (5, 5)."""
    for _, run in groupby(enumerate(sorted(numbers)), key=lambda pair: pair[1] - pair[0]):
        members = [number for _, number in run]
        yield members[0], members[-1]


def _rgb_of(code: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(code[1:]))


class Diagram(NamedTuple):
    """A block's connections; its data say where the cells of a matrix lie, arcs have none."""

    items: tuple[Primitive, ...]
    height: float
    data: Data = ()


def draw_arcs(
    found: BlockConnections, top: float, aggregates: bool = False, goes_round: bool = False
) -> Diagram:
    """Nodes in a row: the block's input, its layers, its output; an arc for each direct connection.

    An aggregation stands before the output;
    a second rail is what of the input goes round the layers.
    """
    layers, behind = len(found.sources), WIDEST_PITCH * aggregates
    pitch = min(WIDEST_PITCH, (DIAGRAM_WIDTH - 20 - behind) / (layers + 1))
    radius = 9.0 if pitch >= NARROWEST_FOR_NUMBERS else 4.5
    x = [DIAGRAM_LEFT + 10 + pitch * number for number in range(layers + 2)]
    pairs = [
        (source, layer)
        for layer, sources in enumerate(found.sources, start=1)
        for source in sources
    ]
    rise = max((layer - source for source, layer in pairs), default=0) * pitch / 2 * FLATNESS
    line = top + rise + radius
    # Thinner where there are many, or they would merge.
    stroke = 1.1 if len(pairs) <= 200 else 0.8
    if len(pairs) > 600:
        stroke = 0.5
    curves = []
    for source, layer in sorted(pairs):
        height = (x[layer] - x[source]) / 2 * FLATNESS
        data = (("source", source), ("layer", layer))
        ends = (x[source], x[layer], line - radius)
        curves.append(Arc(*ends, height, colour_of_source(source, layers), stroke, data))
    nodes = [
        node
        for number in range(layers + 1)
        for node in _draw_node(number, found, x[number], line, radius)
    ]
    low = 14 if radius > 5 else 28
    rail = line + radius + 8
    items: list[Primitive] = [*curves, *_draw_rail(found.gathered, x, line, rail)]
    if goes_round:
        left, right, below = x[0] - 3, x[-1] + behind + 3, rail + 6
        items.append(Line(((left, line), (left, below), (right, below), (right, line)), FAINT, 2))
        low += 6
    items += _draw_ends(x, line, radius, rail + low, aggregates)
    return Diagram((*items, *nodes), rail + low + 4)  # nodes last: they lie above all lines


def _draw_node(
    number: int, found: BlockConnections, x: float, line: float, radius: float
) -> Iterator[Primitive]:
    layers = len(found.sources)
    readers = sum(number in sources for sources in found.sources)
    name = (
        f"layer {number}: reads {len(found.sources[number - 1])}" if number else "the block's input"
    )
    title, stroke = f"{name}, is read by {readers}", colour_of_source(number, layers)
    yield Dot(x, line, radius, "#ffffff", stroke, title, (("node", number),))
    if radius > 5:
        yield Text(x, line + 3.5, str(number), 10, "middle", INK)
    elif number % 5 == 0 and number < layers:
        yield Text(x, line + radius + 22, str(number), 10, "middle")


def _draw_rail(
    gathered: Sequence[int], x: list[float], line: float, rail: float
) -> Iterator[Primitive]:
    """What the block's output joins: a rail below the nodes,
    with a stroke up to each that is joined.
    """
    for number in sorted(gathered):
        yield Line(((x[number], line), (x[number], rail)), FAINT, 1)
    if gathered:
        yield Line(((x[min(gathered)], rail), (x[-1], rail), (x[-1], line)), FAINT, 1)


def _draw_ends(
    x: list[float], line: float, radius: float, low: float, aggregates: bool
) -> Iterator[Primitive]:
    """The output behind the layers, and the aggregation before it."""
    side, output = 2 * radius, x[-1] + WIDEST_PITCH * aggregates
    if aggregates:
        yield Line(((x[-1], line), (output, line)), FAINT, 1)
        data = (("node", "aggregation"),)
        corner = (x[-1] - radius, line - radius)
        yield Box(*corner, side, side, *AGGREGATION, radius=2, data=data)
        yield Text(x[-1], low, "aggregate", 10, "middle")
    yield Box(
        output - radius, line - radius, side, side, FAINT, radius=2, data=(("node", "output"),)
    )
    yield Text(x[0] - radius, low, "input", 10)
    if aggregates:  # which leaves no room to its left
        yield Text(output - radius, low, "output", 10)
    else:
        yield Text(output + radius, low, "output", 10, "end")


def draw_matrix(found: BlockConnections, top: float) -> Diagram:
    """A row for each layer, a column for each source;
    a column's successive readers are one rectangle.
    """
    layers = len(found.sources)
    cell = min(LARGEST_CELL, MATRIX_SIDE / (layers + 1))
    left, top, side = DIAGRAM_LEFT + 42, top + 8, layers * cell
    gap = 1 if cell > 4 else 0
    readers: list[list[int]] = [[] for _ in range(layers + 1)]
    for layer, sources in enumerate(found.sources, start=1):
        for source in {*sources}:
            readers[source].append(layer)
    cells = tuple(
        Box(
            left + source * cell,
            top + (first - 1) * cell,
            max(cell - gap, 1),
            (last - first + 1) * cell - gap,
            colour_of_source(source, layers),
            data=(("source", source), ("first", first), ("last", last)),
        )
        for source, layers_that_read in enumerate(readers)
        for first, last in find_runs(layers_that_read)
    )
    # Between rows, as between columns, the ground shows, so that single connections can be counted.
    rows = []
    for layer in range(1, layers if gap else 0):
        y = top + layer * cell - 0.5
        rows.append(Line(((left, y), (left + side, y)), PANEL, 1))
    bottom = top + side + 4
    output = tuple(
        Box(left + first * cell, bottom, (last - first + 1) * cell - gap, max(cell, 4), FAINT)
        for first, last in find_runs(found.gathered)
    )
    data = (("left", left), ("top", top), ("cell", cell), ("layers", layers))
    texts = _label_matrix(layers, cell, left, top)
    return Diagram((*cells, *rows, *output, *texts), bottom + 38, data)


def _label_matrix(layers: int, cell: float, left: float, top: float) -> Iterator[Primitive]:
    bottom = top + layers * cell + 4
    step = next(step for step in (5, 10, 20, 50, 100, 200, 500, 1_000) if step * cell >= 30)
    for number in range(0, layers, step):
        yield Text(left + (number + 0.5) * cell, bottom + 18, str(number), 10, "middle")
        if number:
            yield Text(left - 6, top + (number - 0.5) * cell + 3.5, str(number), 10, "end")
    yield Text(left - 6, top + 8, "layer", 11, "end")
    yield Text(left - 6, bottom + 7, "output", 10, "end")
    yield Text(left + (layers + 1) * cell / 2, bottom + 33, "source", 11, "middle")
    notes = (
        f"Rows are layers 1 to {layers:,}, columns are sources:",
        "a coloured cell is a direct connection.",
        "In grey: what the block's output joins.",
    )
    for index, note in enumerate(notes):
        yield Text(left + layers * cell * 0.6, top + 10 + 16 * index, note)
