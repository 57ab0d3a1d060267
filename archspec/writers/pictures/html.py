"""A graph as one page of HTML that needs nothing else:
picture, table, and a script that answers the mouse.

The script is the same for every graph:
what it shows it reads from the picture's `data-` attributes, as text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape

from archspec.graph.ir import Graph
from archspec.graph.report import BlockReport, StageReport, report
from archspec.writers.page import write_page
from archspec.writers.pictures.layout import lay_out
from archspec.writers.pictures.svg import to_svg
from archspec.writers.summary import describe_growth, format_dimensions, format_giga, shorten_name

# Where a line of these two ends in a backslash it goes on: the page has the line whole.
STYLE = """
body { margin: 0 auto; max-width: 1180px; padding: 16px; background: #fff; color: #1d2430;
  font: 14px/1.45 Helvetica, Arial, 'DejaVu Sans', sans-serif; }
.wide { overflow-x: auto; }
svg { display: block; width: 100%; min-width: 860px; height: auto; }
#readout { position: sticky; top: 0; margin: 0; padding: 8px 12px; background: #eef1f5; \
border-radius: 6px;
  min-height: 1.45em; z-index: 1; }
table { border-collapse: collapse; width: 100%; margin: 8px 0 24px; white-space: nowrap; }
th, td { padding: 5px 10px; text-align: right; border-bottom: 1px solid #dfe3e8;
  font-variant-numeric: tabular-nums; }
th { border-bottom: 2px solid #8a93a0; font-weight: bold; }
th:first-child, td:first-child { text-align: left; }
.wrong { color: #b23a00; font-weight: bold; }
[data-node] { cursor: pointer; outline: none; }
.active [data-source] { opacity: .07; }
.active .reads, .active .read { opacity: 1; }
.active path.reads { stroke: #0072b2; stroke-width: 2; }
.active path.read { stroke: #d55e00; stroke-width: 2; }
.reads-key { color: #0072b2; } .read-key { color: #b34e00; }
[data-cell].active [data-source] { opacity: .3; }
.frame { pointer-events: none; opacity: .75; }
"""

SCRIPT = """
"use strict";
const NS = document.querySelector("svg").namespaceURI;
const rest = document.getElementById("readout").innerHTML;
const range = (first, last) => Array.from({length: last - first + 1}, (_, step) => first + step);

function words(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b), runs = [];
  for (const number of sorted) {
    const run = runs.at(-1);
    if (run && number === run[1] + 1) run[1] = number; else runs.push([number, number]);
  }
  return runs.map(([a, b]) => a === b ? `${a}` : `${a} to ${b}`).join(", ") || "none";
}

function span(name, text) {
  const element = document.createElement("span");
  element.className = name;
  element.textContent = text;
  return element;
}

function connections(block, number) {
  const reads = [], read = [];
  for (const mark of block.querySelectorAll("[data-source]")) {
    const {source, layer, first = layer, last = layer} = mark.dataset;
    const isRead = +first <= number && number <= +last, reader = +source === number;
    mark.classList.toggle("reads", isRead && layer !== undefined);
    mark.classList.toggle("read", reader && layer !== undefined);
    if (isRead) reads.push(+source);
    if (reader) read.push(...range(+first, +last));
  }
  return [reads, read];
}

function show(block, number) {
  const [reads, read] = connections(block, number);
  const name = number ? `layer ${number}` : "its input (0)";
  document.getElementById("readout").replaceChildren(
    `${block.dataset.block}, ${name}: `,
    span("reads-key", number ? `reads ${words(reads)} (${reads.length}); ` : ""),
    span("read-key", `is read by ${words(read)} (${read.length})`));
}

function clear(block) {
  block.classList.remove("active");
  block.querySelectorAll(".frame").forEach(frame => frame.remove());
  document.getElementById("readout").innerHTML = rest;
}

function rectangle(block, name, x, y, width, height, fill) {
  const rect = document.createElementNS(NS, "rect");
  for (const [key, value] of Object.entries({class: name, x, y, width, height, fill}))
    rect.setAttribute(key, value);
  block.append(rect);
  return rect;
}

function point(block, {left, top, cell, layers}, event) {
  const at = new DOMPoint(event.clientX, event.clientY)\
.matrixTransform(block.getScreenCTM().inverse());
  const number = Math.floor((at.y - top) / cell) + 1;
  clear(block);
  if (number < 1 || number > layers) return;
  block.classList.add("active");
  show(block, number);
  rectangle(block, "frame", left, top + (number - 1) * cell, number * cell, cell, "#0072b2");
  const x = left + number * cell, y = top + number * cell;
  rectangle(block, "frame", x, y, cell, (layers - number) * cell, "#d55e00");
}

function matrix(block) {
  const sizes = Object.fromEntries(["left", "top", "cell", "layers"]\
.map(key => [key, +block.dataset[key]]));
  const side = sizes.layers * sizes.cell;
  const hit = rectangle(block, "hit", sizes.left - 30, sizes.top, side + 30, side, "transparent");
  hit.addEventListener("pointermove", event => point(block, sizes, event));
  hit.addEventListener("pointerleave", () => clear(block));
}

function arcs(block) {
  for (const node of block.querySelectorAll("circle[data-node]")) {
    const enter = () => { block.classList.add("active"); show(block, +node.dataset.node); };
    node.tabIndex = 0;
    for (const kind of ["pointerenter", "focus"]) node.addEventListener(kind, enter);
    for (const kind of ["pointerleave", "blur"]) node.addEventListener(kind, () => clear(block));
  }
}

for (const block of document.querySelectorAll("[data-block]"))
  (block.dataset.cell ? matrix : arcs)(block);
"""

HINT = (
    "Point at a layer of a block (or reach it with the tab key) "
    "to see what it reads and what reads it."
)
COLUMNS = (
    "stage",
    "output",
    "parameters",
    "GMACs",
    "layers",
    "growth rate",
    "channels",
    "connections",
    "expected",
)
OWN_SCRIPT = "script-src 'unsafe-inline'"


def to_html(graph: Graph) -> str:
    """Return the page; it loads nothing, and its policy forbids it to."""
    facts = report(graph)
    blocks = {block.name: block for block in facts.blocks}
    rows = "\n".join(
        _write_row(_cells_of_stage(stage, blocks.get(stage.name), graph)) for stage in facts.stages
    )
    total = (
        "all",
        "",
        f"{facts.params:,}",
        format_giga(facts.macs),
        "",
        "",
        "",
        f"{facts.edges:,}",
    )
    expected = f"{sum(block.expected_edges for block in facts.blocks):,}"
    body = f"""<p id="readout">{HINT}</p>
<div class="wide">
{to_svg(lay_out(graph), inline=True)}</div>
<div class="wide">
<table>
<thead>{_write_row(COLUMNS, "th")}</thead>
<tbody>
{rows}
</tbody>
<tfoot>{_write_row((*total, expected))}</tfoot>
</table>
</div>
<script>{SCRIPT}</script>"""
    return write_page(shorten_name(graph.name), body, STYLE, OWN_SCRIPT)


def _cells_of_stage(stage: StageReport, block: BlockReport | None, graph: Graph) -> Iterator[str]:
    yield from (
        shorten_name(stage.name),
        format_dimensions(stage.output),
        f"{stage.params:,}",
        format_giga(stage.macs),
    )
    if block is None:
        yield from [""] * 5
        return
    yield from (
        f"{block.layers:,}",
        describe_growth(block.name, graph),
        f"{block.in_channels} → {block.out_channels}",
    )
    yield from (f"{block.edges:,}", f"{block.expected_edges:,}")


def _write_row(cells: Iterable[str], tag: str = "td") -> str:
    """A row; its last two cells, connections found and expected, are marked where they differ."""
    *others, found, expected = map(escape, cells)
    mark = ' class="wrong"' if tag == "td" and found != expected else ""
    plain = "".join(f"<{tag}>{cell}</{tag}>" for cell in others)
    return f"<tr>{plain}<{tag}{mark}>{found}</{tag}><{tag}{mark}>{expected}</{tag}></tr>"
