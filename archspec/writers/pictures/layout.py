"""The picture of a graph as a list of primitives:
stages from top to bottom, blocks with their connections.

Lengths are pixels, y grows downwards. Nothing here draws: `svg` and `png` turn the same primitives
into files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from archspec.graph.connections import BlockConnections, derive_connections
from archspec.graph.ir import Graph
from archspec.graph.report import BlockReport, Report, StageReport, report
from archspec.writers.pictures.diagrams import (
    DIAGRAM_LEFT,
    FAINT,
    INK,
    PANEL,
    Diagram,
    draw_arcs,
    draw_matrix,
)
from archspec.writers.pictures.primitives import Box, Group, Line, Picture, Primitive, Text
from archspec.writers.summary import (
    adds_input,
    describe_connections,
    describe_extras,
    describe_growth,
    find_skips,
    format_dimensions,
    format_totals,
    shorten_name,
)

WRONG = "#b23a00"
STAGES = {
    "stem": ("#e9ecf1", "#8a93a0"),
    "dense_block": ("#e3eefa", "#3f78b5"),
    "transition": ("#fdf0dc", "#c58a1c"),
    "head": ("#e9ecf1", "#8a93a0"),
}
WIDTH, MARGIN, GAP, PADDING = 1120.0, 28.0, 20.0, 16.0
STAGE_WIDTH, STAGE_HEIGHT = 190.0, 64.0

ARCS_IN_A_BLOCK, ARCS_IN_A_PICTURE = 1_500, 12_000
"""Beyond these a block is drawn as a matrix:
arcs would merge into one stain, and the file would swell."""

HOW_TO_READ_ARCS = (
    "An arc is a direct connection: from a source (its left end and colour) to a layer that reads "
    "it (its right end). Source 0 is the block's input."
)


def lay_out(graph: Graph) -> Picture:
    """Return the picture of a graph whose shapes can be inferred (`archspec.graph.report`)."""
    facts = report(graph)
    found = zip(facts.blocks, derive_connections(graph), strict=True)
    blocks = {
        block.name: _draw_block(block, graph, connections, len(facts.blocks))
        for block, connections in found
    }
    strides = {facts.blocks[feature.block - 1].name: feature.stride for feature in facts.features}
    items, y, middles = [*_draw_header(facts)], 132.0, dict[str, float]()
    if not all(diagram.data for diagram in blocks.values()):
        items.append(Text(DIAGRAM_LEFT, 108, HOW_TO_READ_ARCS))
    for index, stage in enumerate(facts.stages):
        diagram = blocks.get(stage.name)
        height = diagram.height + 2 * PADDING if diagram else STAGE_HEIGHT
        items.extend(_draw_arrow(y - (GAP if index else 18), y))
        if diagram:
            items.append(Box(MARGIN, y, WIDTH - 2 * MARGIN, height, PANEL, radius=8))
            items.append(
                Group(
                    diagram.items, y + PADDING, (("block", shorten_name(stage.name)), *diagram.data)
                )
            )
        items.extend(_draw_stage(stage, y, height, strides.get(stage.name)))
        middles[stage.name] = y + height / 2
        y += height + GAP
    items.extend(_draw_skips(find_skips(graph), middles))
    return Picture(shorten_name(graph.name), WIDTH, y - GAP + MARGIN, tuple(items))


def _draw_header(facts: Report) -> Iterator[Primitive]:
    yield Text(
        MARGIN, 42, shorten_name(facts.name, WIDTH - 2 * MARGIN, 22), 22, fill=INK, bold=True
    )
    yield Text(MARGIN, 66, format_totals(facts), 13)
    yield Text(
        MARGIN + STAGE_WIDTH / 2, 108, f"input  {format_dimensions(facts.input)}", 12, "middle", INK
    )


def _draw_arrow(top: float, bottom: float) -> Iterator[Primitive]:
    x = MARGIN + STAGE_WIDTH / 2
    yield Line(((x, top), (x, bottom - 5)), INK)
    yield Line(
        ((x - 4, bottom - 7), (x + 4, bottom - 7), (x, bottom - 1), (x - 4, bottom - 7)),
        INK,
        0.5,
        INK,
    )


def _draw_stage(
    stage: StageReport, y: float, height: float, stride: int | None
) -> Iterator[Primitive]:
    fill, stroke = STAGES[stage.kind]
    x, middle = MARGIN + STAGE_WIDTH / 2, y + height / 2
    yield Box(MARGIN, y, STAGE_WIDTH, height, fill, stroke, radius=8)
    yield Text(
        x, middle - 13, shorten_name(stage.name, STAGE_WIDTH - 10), 12, "middle", INK, bold=True
    )
    yield Text(x, middle + 5, format_dimensions(stage.output), 12, "middle")
    yield Text(x, middle + 22, f"{stage.params:,} parameters", 11, "middle")
    if stride is not None:
        yield Text(x, middle + 39, f"a feature map, stride {stride}", 11, "middle")


def _draw_skips(pairs: list[tuple[str, str]], middles: Mapping[str, float]) -> Iterator[Primitive]:
    """A line on the left for each stage that also reads an earlier one, and a word on the right."""
    # The shortest next to the stages, so that lines do not cross.
    by_length = sorted(pairs, key=lambda pair: middles[pair[1]] - middles[pair[0]])
    for number, (source, target) in enumerate(by_length):
        x = MARGIN - 6 - (number + 1) * 16 / len(pairs)
        top, bottom = middles[source], middles[target]
        yield Line(((MARGIN, top), (x, top), (x, bottom), (MARGIN - 5, bottom)), FAINT, 1.2)
        head = (
            (MARGIN - 7, bottom - 4),
            (MARGIN - 7, bottom + 4),
            (MARGIN - 1, bottom),
            (MARGIN - 7, bottom - 4),
        )
        yield Line(head, FAINT, 0.5, FAINT)
        yield Text(DIAGRAM_LEFT, bottom + 4, f"joins the output of {shorten_name(source, 500)}", 12)


def _draw_block(block: BlockReport, graph: Graph, found: BlockConnections, blocks: int) -> Diagram:
    limit = min(ARCS_IN_A_BLOCK, ARCS_IN_A_PICTURE // blocks)
    if found.edges <= limit:
        aggregates = bool(graph.regions_of("aggregation", block.name))
        below = draw_arcs(found, 44, aggregates, found.bypassed or adds_input(block.name, graph))
    else:
        below = draw_matrix(found, 44)
    fill = INK if block.edges == block.expected_edges else WRONG
    detail = (
        f"layers {block.layers:,}",
        f"growth rate {describe_growth(block.name, graph)}",
        f"channels {block.in_channels} → {block.out_channels}",
        *describe_extras(block.name, graph, found.bypassed),
    )
    texts = (
        Text(DIAGRAM_LEFT, 12, describe_connections(block, graph), 14, fill=fill, bold=True),
        Text(DIAGRAM_LEFT, 30, " · ".join(detail)),
    )
    return below._replace(items=(*texts, *below.items))
