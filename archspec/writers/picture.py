"""The picture of a graph as a list of primitives: stages from top to bottom, blocks with their connections.

Lengths are pixels, y grows downwards. Nothing here draws: `svg` and `png` turn the same primitives into
files. Connections are those derived from the graph, never those that the rule would give.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import accumulate, groupby
from math import inf
from string import ascii_lowercase, digits
from typing import NamedTuple

from archspec.errors import counted
from archspec.graph.connections import BlockConnections, block_connections
from archspec.graph.ir import Graph
from archspec.graph.operators import Shape
from archspec.passes.report import BlockReport, Report, StageReport, report
from archspec.writers.primitives import Arc, Box, Data, Dot, Group, Line, Picture, Primitive, Text

INK, FAINT, WRONG, PANEL = "#1d2430", "#7b8592", "#b23a00", "#f6f7f9"
STAGES = {
    "stem": ("#e9ecf1", "#8a93a0"),
    "dense_block": ("#e3eefa", "#3f78b5"),
    "transition": ("#fdf0dc", "#c58a1c"),
    "head": ("#e9ecf1", "#8a93a0"),
}
# Samples of matplotlib's plasma, even for the colour-blind, without its yellow, which white swallows.
PALETTE = ("#0d0887", "#4c02a1", "#7e03a8", "#a92395", "#cc4778", "#e56b5d", "#f38b47")

NARROW = frozenset(ascii_lowercase + digits + "._- ")
WIDTH, MARGIN, GAP, PADDING = 1120.0, 28.0, 20.0, 16.0
STAGE_WIDTH, STAGE_HEIGHT = 190.0, 64.0
DIAGRAM_LEFT = MARGIN + STAGE_WIDTH + 40
DIAGRAM_WIDTH = WIDTH - MARGIN - 28 - DIAGRAM_LEFT
WIDEST_PITCH, NARROWEST_FOR_NUMBERS, FLATNESS = 44.0, 21.0, 0.5
MATRIX_SIDE, LARGEST_CELL = 440.0, 7.0

ARCS_IN_A_BLOCK, ARCS_IN_A_PICTURE = 1_500, 12_000
"""Beyond these a block is drawn as a matrix: arcs would merge into one stain, and the file would swell."""

HOW_TO_READ_ARCS = (
    "An arc is a direct connection: from a source (its left end and colour) to a layer that reads it "
    "(its right end). Source 0 is the block's input."
)


def layout(graph: Graph) -> Picture:
    """Return the picture of a graph whose shapes can be inferred (`archspec.passes.report`)."""
    facts = report(graph)
    found = zip(facts.blocks, block_connections(graph), strict=True)
    blocks = {block.name: _block(block, graph, connections, len(facts.blocks)) for block, connections in found}
    items, y = [*_header(facts)], 132.0
    if not all(diagram.data for diagram in blocks.values()):
        items.append(Text(DIAGRAM_LEFT, 108, HOW_TO_READ_ARCS))
    for index, stage in enumerate(facts.stages):
        diagram = blocks.get(stage.name)
        height = diagram.height + 2 * PADDING if diagram else STAGE_HEIGHT
        items.extend(_arrow(y - (GAP if index else 18), y))
        if diagram:
            items.append(Box(MARGIN, y, WIDTH - 2 * MARGIN, height, PANEL, radius=8))
            items.append(Group(diagram.items, y + PADDING, (("block", shown(stage.name)), *diagram.data)))
        items.extend(_stage(stage, y, height))
        y += height + GAP
    return Picture(shown(graph.name), WIDTH, y - GAP + MARGIN, tuple(items))


def shown(text: str, room: float = inf, size: float = 12) -> str:
    """Return a name without control characters, its end alone where `room` pixels are too few for all."""
    text = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)
    # No font is at hand, so widths are those of a wide one in bold; measured from the end, which is kept.
    widths = list(accumulate(size * (0.7 if sign in NARROW else 1.15) for sign in reversed(text)))
    if not text or widths[-1] <= room:
        return text
    fits = sum(width <= room - size for width in widths)
    return "…" + text[len(text) - fits :]


def dimensions(shape: Shape) -> str:
    """Return `256 x 56 x 56`, or `1000 values` where there are no pixels."""
    sizes = tuple(map(str, shape))
    return " x ".join(sizes) if len(sizes) > 1 else f"{sizes[0]} values"


def giga(count: int) -> str:
    """Return a count in thousand millions, three significant digits, never as a power of ten: `0.00252`."""
    return f"{Decimal(f'{count / 1e9:.3g}'):f}"


def totals(facts: Report) -> str:
    """Return the line of totals."""
    return (
        f"{facts.params:,} parameters · {giga(facts.macs)} GMACs · {counted(facts.edges, 'direct connection')} · "
        f"depth {facts.depth}"
    )


def sentence(block: BlockReport, graph: Graph) -> str:
    """Return the direct connections found in a block beside those that its rule gives."""
    attrs = graph.regions[block.name].attrs
    found, expected, layers = block.edges, block.expected_edges, attrs["num_layers"]
    noun = "direct connection" if expected == 1 else "direct connections"
    if found != expected:
        return f"{found:,} of {expected:,} expected {noun}: this block breaks its rule"
    if attrs["connectivity"] == "dense":
        return f"{found:,} {noun} = {layers:,} x {layers + 1:,} / 2"
    return f"{found:,} of {expected:,} {noun} ({attrs['connectivity']})"


def colour(source: int, layers: int) -> str:
    """Return the colour of a source: its place on the palette, from the block's input to its last layer."""
    place = source / max(layers, 1) * (len(PALETTE) - 1)
    low = min(int(place), len(PALETTE) - 2)
    pairs = zip(_channels(PALETTE[low]), _channels(PALETTE[low + 1]), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * (place - low)):02x}" for a, b in pairs)


def runs(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Return the first and last of each run of successive numbers: 0 1 2 5 -> (0, 2) (5, 5)."""
    for _, run in groupby(enumerate(sorted(numbers)), key=lambda pair: pair[1] - pair[0]):
        members = [number for _, number in run]
        yield members[0], members[-1]


def _channels(code: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(code[1:]))


def _header(facts: Report) -> Iterator[Primitive]:
    yield Text(MARGIN, 42, shown(facts.name, WIDTH - 2 * MARGIN, 22), 22, fill=INK, bold=True)
    yield Text(MARGIN, 66, totals(facts), 13)
    yield Text(MARGIN + STAGE_WIDTH / 2, 108, f"input  {dimensions(facts.input)}", 12, "middle", INK)


def _arrow(top: float, bottom: float) -> Iterator[Primitive]:
    x = MARGIN + STAGE_WIDTH / 2
    yield Line(((x, top), (x, bottom - 5)), INK)
    yield Line(((x - 4, bottom - 7), (x + 4, bottom - 7), (x, bottom - 1), (x - 4, bottom - 7)), INK, 0.5, INK)


def _stage(stage: StageReport, y: float, height: float) -> Iterator[Primitive]:
    fill, stroke = STAGES[stage.kind]
    x, middle = MARGIN + STAGE_WIDTH / 2, y + height / 2
    yield Box(MARGIN, y, STAGE_WIDTH, height, fill, stroke, radius=8)
    yield Text(x, middle - 13, shown(stage.name, STAGE_WIDTH - 10), 12, "middle", INK, bold=True)
    yield Text(x, middle + 5, dimensions(stage.output), 12, "middle")
    yield Text(x, middle + 22, f"{stage.params:,} parameters", 11, "middle")


class _Diagram(NamedTuple):
    """A block's connections; its data say where the cells of a matrix lie, arcs have none."""

    items: tuple[Primitive, ...]
    height: float
    data: Data = ()


def _block(block: BlockReport, graph: Graph, found: BlockConnections, blocks: int) -> _Diagram:
    limit = min(ARCS_IN_A_BLOCK, ARCS_IN_A_PICTURE // blocks)
    below = (_arcs if found.edges <= limit else _matrix)(found, 44)
    fill = INK if block.edges == block.expected_edges else WRONG
    detail = (
        f"layers {block.layers:,} · growth rate {block.growth_rate:,} · "
        f"channels {block.in_channels} → {block.out_channels}"
    )
    texts = (
        Text(DIAGRAM_LEFT, 12, sentence(block, graph), 14, fill=fill, bold=True),
        Text(DIAGRAM_LEFT, 30, detail),
    )
    return below._replace(items=(*texts, *below.items))


def _arcs(found: BlockConnections, top: float) -> _Diagram:
    """Nodes in a row: the block's input, its layers, its output; an arc for each direct connection."""
    layers = len(found.sources)
    pitch = min(WIDEST_PITCH, (DIAGRAM_WIDTH - 20) / (layers + 1))
    radius = 9.0 if pitch >= NARROWEST_FOR_NUMBERS else 4.5
    x = [DIAGRAM_LEFT + 10 + pitch * number for number in range(layers + 2)]
    pairs = [(source, layer) for layer, sources in enumerate(found.sources, start=1) for source in sources]
    rise = max((layer - source for source, layer in pairs), default=0) * pitch / 2 * FLATNESS
    line = top + rise + radius
    arcs = (
        Arc(
            x[source],
            x[layer],
            line - radius,
            (x[layer] - x[source]) / 2 * FLATNESS,
            colour(source, layers),
            1.1 if len(pairs) <= 200 else 0.8 if len(pairs) <= 600 else 0.5,
            (("source", source), ("layer", layer)),
        )
        for source, layer in sorted(pairs)
    )
    nodes = (node for number in range(layers + 1) for node in _node(number, found, x[number], line, radius))
    items = (*arcs, *_rail(found.gathered, x, line, radius), *nodes)
    return _Diagram(items, line + radius + (26 if radius > 5 else 38))


def _node(number: int, found: BlockConnections, x: float, line: float, radius: float) -> Iterator[Primitive]:
    layers = len(found.sources)
    readers = sum(number in sources for sources in found.sources)
    name = f"layer {number}: reads {len(found.sources[number - 1])}" if number else "the block's input"
    title, stroke = f"{name}, is read by {readers}", colour(number, layers)
    yield Dot(x, line, radius, "#ffffff", stroke, title, (("node", number),))
    if radius > 5:
        yield Text(x, line + 3.5, str(number), 10, "middle", INK)
    elif number % 5 == 0 and number < layers:
        yield Text(x, line + radius + 22, str(number), 10, "middle")


def _rail(gathered: frozenset[int], x: list[float], line: float, radius: float) -> Iterator[Primitive]:
    """What the block's output joins: a rail below the nodes, with a stroke up to each that is joined."""
    rail, low = line + radius + 8, line + radius + (22 if radius > 5 else 36)
    for number in sorted(gathered):
        yield Line(((x[number], line), (x[number], rail)), FAINT, 1)
    if gathered:
        yield Line(((x[min(gathered)], rail), (x[-1], rail), (x[-1], line)), FAINT, 1)
    yield Box(x[-1] - radius, line - radius, 2 * radius, 2 * radius, FAINT, radius=2, data=(("node", "output"),))
    yield Text(x[0] - radius, low, "input", 10)
    yield Text(x[-1] + radius, low, "output", 10, "end")


def _matrix(found: BlockConnections, top: float) -> _Diagram:
    """A row for each layer, a column for each source; a column's successive readers are one rectangle."""
    layers = len(found.sources)
    cell = min(LARGEST_CELL, MATRIX_SIDE / (layers + 1))
    left, top, side = DIAGRAM_LEFT + 42, top + 8, layers * cell
    gap = 1 if cell > 4 else 0
    readers = [[n for n in range(1, layers + 1) if j in found.sources[n - 1]] for j in range(layers + 1)]
    cells = tuple(
        Box(
            left + source * cell,
            top + (first - 1) * cell,
            max(cell - gap, 1),
            (last - first + 1) * cell - gap,
            colour(source, layers),
            data=(("source", source), ("first", first), ("last", last)),
        )
        for source, layers_that_read in enumerate(readers)
        for first, last in runs(layers_that_read)
    )
    # Between rows, as between columns, the ground shows, so that single connections can be counted.
    rows = tuple(
        Line(((left, y), (left + side, y)), PANEL, 1)
        for y in (top + layer * cell - 0.5 for layer in range(1, layers))
        if gap
    )
    bottom = top + side + 4
    output = tuple(
        Box(left + first * cell, bottom, (last - first + 1) * cell - gap, max(cell, 4), FAINT)
        for first, last in runs(found.gathered)
    )
    data = (("left", left), ("top", top), ("cell", cell), ("layers", layers))
    texts = _matrix_texts(layers, cell, left, top)
    return _Diagram((*cells, *rows, *output, *texts), bottom + 38, data)


def _matrix_texts(layers: int, cell: float, left: float, top: float) -> Iterator[Primitive]:
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
