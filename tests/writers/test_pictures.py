"""Pictures show what is in the graph, nothing else; whatever its names are; whole files or none."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from browser import BROWSER, ask_browser
from PIL import Image

from archspec.errors import ArchspecError, GraphError
from archspec.graph.build import build_graph
from archspec.graph.connections import derive_connections
from archspec.graph.ir import Graph
from archspec.spec.catalogue import shipped
from archspec.spec.load import load_spec
from archspec.spec.spec import Spec
from archspec.writers.pictures.diagrams import find_runs
from archspec.writers.pictures.draw import draw
from archspec.writers.pictures.layout import lay_out
from archspec.writers.pictures.primitives import Group, Text

GOLDEN = Path(__file__).parent.parent / "golden"
SVG = "{http://www.w3.org/2000/svg}"
BLOCK = "features.denseblock1"
HOSTILE = 'a</title></script><script>alert(1)</script><b onload="x">&amp;\\N"$x$]]>\x00\x1b\ud800{}'


def small(*layers: int, name: str = "small") -> Graph:
    """A network of 4 channels a layer, with dense blocks of so many layers, for 16 x 16 pixels."""
    return build_graph(
        Spec.model_validate(
            {
                "name": name,
                "input": {"channels": 1, "height": 16, "width": 16},
                "stem": {"kernel": 3, "stride": 1, "norm": False, "pool": "none"},
                "growth_rate": 4,
                "blocks": tuple({"layers": count} for count in layers),
                "transitions": tuple({"pool": "none"} for _ in layers[1:]),
                "head": {"num_classes": 10},
            }
        )
    )


def without_edge(graph: Graph, source: int, layer: int) -> Graph:
    """The graph whose layer no longer reads a source in block 1;
    its weights are narrowed to fit.
    """
    join, place = graph.ops[f"{BLOCK}.concat{layer}"], f"{BLOCK}.denselayer{layer}"
    norm, conv = graph.ops[f"{place}.norm1"], graph.ops[f"{place}.conv1"]
    width = norm.attrs["channels"] - (8 if source == 0 else 4)
    inputs = tuple(value for number, value in enumerate(join.inputs) if number != source)
    graph = graph.with_op(replace(join, inputs=inputs))
    graph = graph.with_op(replace(norm, attrs={**norm.attrs, "channels": width}))
    return graph.with_op(replace(conv, attrs={**conv.attrs, "in_channels": width}))


def drawn(graph: Graph, folder: Path, suffix: str) -> Path:
    target = folder / f"graph{suffix}"
    draw(graph, target)
    return target


def blocks_of(file: Path) -> dict[str, ET.Element]:
    groups = ET.parse(file).iter(f"{SVG}g")
    return {group.get("data-block"): group for group in groups if group.get("data-block")}


def arcs_between_nodes(block: ET.Element) -> list[tuple[int, int]]:
    """Source and layer of each arc, told by where its ends lie alone."""
    nodes = {node.get("cx"): int(node.get("data-node")) for node in block.iter(f"{SVG}circle")}
    paths = (re.findall(r"[\d.]+", path.get("d")) for path in block.iter(f"{SVG}path"))
    return [(nodes[left], nodes[right]) for left, _, _, _, _, _, _, right, _ in paths]


def matrix_cells(block: ET.Element) -> list[tuple[int, int]]:
    """Source and layer of each coloured cell, told by where it lies alone."""
    left, top, cell = (float(block.get(f"data-{key}")) for key in ("left", "top", "cell"))
    found = []
    for rect in (r for r in block.iter(f"{SVG}rect") if r.get("data-source")):
        x, y, height = (float(rect.get(key)) for key in ("x", "y", "height"))
        first = round((y - top) / cell) + 1
        found += [
            (round((x - left) / cell), first + n) for n in range(max(1, round(height / cell)))
        ]
    return found


def dense(layers: int) -> set[tuple[int, int]]:
    return {(source, layer) for layer in range(1, layers + 1) for source in range(layer)}


def derived(graph: Graph) -> set[tuple[int, int]]:
    sources = derive_connections(graph)[0].sources
    return {(source, layer) for layer, found in enumerate(sources, start=1) for source in found}


def same_as_golden(text: str, name: str) -> None:
    """RENEW_GOLDEN=1 writes what there is now, to be looked at and committed."""
    file = GOLDEN / name
    if os.environ.get("RENEW_GOLDEN") == "1":
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


@pytest.mark.parametrize("suffix", [".svg", ".dot", ".html"])
def test_a_small_network_is_drawn_as_in_the_golden_file(tmp_path: Path, suffix: str) -> None:
    """Every byte is settled: a change of the picture is seen in review."""
    text = drawn(small(3, 2), tmp_path, suffix).read_text(encoding="utf-8")
    same_as_golden(text, f"picture{suffix}")


def test_each_block_of_densenet121_has_an_arc_for_each_direct_connection(tmp_path: Path) -> None:
    """L(L+1)/2 arcs, one between each source and each later layer, and the sentence says so."""
    blocks = blocks_of(drawn(build_graph(load_spec("densenet121")), tmp_path, ".svg"))
    sizes = dict(zip(blocks, (6, 12, 24, 16), strict=True))
    for name, block in blocks.items():
        arcs, layers = arcs_between_nodes(block), sizes[name]
        assert len(arcs) == layers * (layers + 1) // 2
        assert set(arcs) == dense(layers)
        text = f"{len(arcs)} direct connections = {layers} x {layers + 1} / 2"
        assert text in [element.text for element in block.iter(f"{SVG}text")]


def test_a_dropped_edge_is_not_drawn_and_the_block_says_what_it_lacks(tmp_path: Path) -> None:
    """The picture is that of the graph, not of the rule."""
    graph = without_edge(small(5), 2, 4)
    block = blocks_of(drawn(graph, tmp_path, ".svg"))[BLOCK]
    assert (
        sorted(arcs_between_nodes(block)) == sorted(dense(5) - {(2, 4)}) == sorted(derived(graph))
    )
    texts = [element.text for element in block.iter(f"{SVG}text")]
    assert "14 of 15 expected direct connections: this block breaks its rule" in texts
    assert 'class="wrong">14</td>' in drawn(graph, tmp_path, ".html").read_text()


def test_a_large_block_is_a_matrix_with_the_same_connections(tmp_path: Path) -> None:
    """56 layers have 1,596 connections: cells instead of arcs,
    with a hole where an edge was dropped.
    """
    graph = without_edge(small(56), 30, 40)
    block = blocks_of(drawn(graph, tmp_path, ".svg"))[BLOCK]
    assert not list(block.iter(f"{SVG}path"))
    assert sorted(matrix_cells(block)) == sorted(dense(56) - {(30, 40)}) == sorted(derived(graph))


def test_the_output_gathers_what_the_graph_joins(tmp_path: Path) -> None:
    """The rail below the nodes has one stroke for each joined source,
    and none for one that is left out.
    """
    graph = small(4)
    join = graph.ops[f"{BLOCK}.concat"]
    twice = graph.with_op(
        replace(join, inputs=(*join.inputs[:2], join.inputs[3], *join.inputs[3:]))
    )
    for drawing, joined in ((graph, {0, 1, 2, 3, 4}), (twice, {0, 1, 3, 4})):
        block = blocks_of(drawn(drawing, tmp_path, ".svg"))[BLOCK]
        nodes = {node.get("cx"): int(node.get("data-node")) for node in block.iter(f"{SVG}circle")}
        strokes = [line.get("points").split() for line in block.iter(f"{SVG}polyline")]
        assert {nodes[points[0].split(",")[0]] for points in strokes if len(points) == 2} == joined


def test_dot_names_every_direct_connection(tmp_path: Path) -> None:
    """`s1_0 -> {s1_1 s1_2}` for each source, read back by a pattern."""
    text = drawn(small(3, 5), tmp_path, ".dot").read_text()
    edges = Counter(
        (block, int(source), int(layer.partition("_")[2]))
        for block, source, layers in re.findall(r"(s\d+)_(\d+) -> \{([^{}]*)\}", text)
        for layer in layers.split()
    )
    expected = {("s1", *pair) for pair in dense(3)} | {("s3", *pair) for pair in dense(5)}
    assert edges == Counter(expected)


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
@pytest.mark.parametrize("name", ["small", HOSTILE])
def test_graphviz_reads_the_dot_file(tmp_path: Path, name: str) -> None:
    """Graphviz itself draws it, and finds as many edges as there are."""
    file = drawn(replace(small(3), name=name), tmp_path, ".dot")
    plain = subprocess.run(
        ["dot", "-Tplain", file], capture_output=True, text=True, check=True, timeout=60
    )
    assert (
        len(re.findall("^edge ", plain.stdout, re.MULTILINE)) == 6 + 4 + 3
    )  # dense, joined, stages


def hostile_graph(name: str = HOSTILE) -> Graph:
    graph = small(3)
    ops = (
        replace(op, region=name if op.region == BLOCK else op.region) for op in graph.ops.values()
    )
    named = {BLOCK: name}
    regions = (
        replace(
            region,
            name=named.get(region.name, region.name),
            parent=named.get(region.parent, region.parent),
        )
        for region in graph.regions.values()
    )
    return Graph.of(name, ops, regions)


def visible(text: str) -> str:
    return text.replace("\x00", r"\x00").replace("\x1b", r"\x1b").replace("\ud800", r"\ud800")


def test_hostile_names_are_text_in_svg(tmp_path: Path) -> None:
    """A name with tags, quotes and control characters leaves well-formed XML,
    and is shown as it is.
    """
    file = drawn(hostile_graph(), tmp_path, ".svg")
    assert next(ET.parse(file).iter(f"{SVG}title")).text == visible(HOSTILE)
    assert list(blocks_of(file)) == [visible(HOSTILE)]
    assert {element.tag.removeprefix(SVG) for element in ET.parse(file).iter()} == {
        *("svg", "title", "rect", "text", "polyline", "g", "path", "circle")
    }


def test_hostile_names_are_text_in_html(tmp_path: Path) -> None:
    """They neither end the script nor begin one, and no attribute of theirs gets into a tag."""
    plain, hostile = Tags(), Tags()
    plain.feed(drawn(small(3), tmp_path, ".html").read_text())
    hostile.feed(drawn(hostile_graph(), tmp_path, ".html").read_text())
    assert hostile.tags == plain.tags
    assert hostile.scripts == plain.scripts
    assert visible(HOSTILE) in hostile.texts


class Tags(HTMLParser):
    """Counts tags with the names of their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: Counter[tuple[str, ...]] = Counter()
        self.texts: list[str] = []
        self.scripts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[(tag, *(name for name, _ in attrs))] += 1

    def handle_data(self, data: str) -> None:
        (self.scripts if self.cdata_elem == "script" else self.texts).append(data)


def test_hostile_names_are_text_in_dot(tmp_path: Path) -> None:
    """With its strings taken away, the text is the same as that of a harmless graph."""

    def bare(graph: Graph) -> str:
        text = drawn(graph, tmp_path, ".dot").read_text(encoding="utf-8")
        return re.sub(r'"(?:[^"\\]|\\.)*"', '""', text)

    assert bare(hostile_graph()) == bare(small(3))


def test_the_page_refers_to_nothing_outside(tmp_path: Path) -> None:
    """No address, no source, no import; and its policy forbids them."""
    page = drawn(small(3), tmp_path, ".html").read_text()
    assert not re.search(r"https?:|\bsrc=|\bhref=|url\(|@import", page)
    assert "default-src 'none'" in page


def test_png_is_a_picture_and_not_blank(tmp_path: Path) -> None:
    """Pillow opens it; it has the picture's proportions, a white ground, ink,
    and the sources' colours.
    """
    file, page = drawn(small(3, 2), tmp_path, ".png"), lay_out(small(3, 2))
    with Image.open(file) as image:
        image.load()
        assert image.size == (2 * page.width, pytest.approx(2 * page.height, abs=2))
        colours = {colour: count for count, colour in image.convert("RGB").getcolors(1 << 24)}
    assert max(colours, key=colours.get) == (255, 255, 255)
    assert colours[0x0D, 0x08, 0x87] > 100
    assert colours[0x1D, 0x24, 0x30] > 100


def texts_of(items: tuple[object, ...], down: float = 0) -> list[Text]:
    found = []
    for item in items:
        if isinstance(item, Group):
            found += texts_of(item.items, down + item.down)
        elif isinstance(item, Text):
            found.append(replace(item, y=item.y + down))
    return found


@pytest.mark.parametrize("name", [*shipped(), "one layer", "long names"])
def test_no_text_overlaps_another_or_leaves_the_page(name: str) -> None:
    """Measured by matplotlib with DejaVu Sans, which is wider than the fonts that browsers take."""
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.font_manager import FontProperties

    renderer = RendererAgg(10, 10, 72)
    made = {"one layer": lambda: small(1, 1), "long names": lambda: hostile_graph("W" * 400)}
    picture = lay_out(made[name]() if name in made else build_graph(load_spec(name)))
    boxes = []
    for text in texts_of(picture.items):
        font = FontProperties(
            family="DejaVu Sans", size=text.size, weight="bold" if text.bold else "normal"
        )
        width, _, _ = renderer.get_text_width_height_descent(text.text, font, ismath=False)
        left = text.x - {"start": 0, "middle": width / 2, "end": width}[text.anchor]
        boxes.append(
            (left, text.y - 0.75 * text.size, left + width, text.y + 0.2 * text.size, text.text)
        )
    assert all(
        left >= 0 and right <= picture.width and low <= picture.height
        for left, _, right, low, _ in boxes
    )
    overlapping = [
        (a[4], b[4])
        for a, b in combinations(boxes, 2)
        if a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
    ]
    assert not overlapping


@pytest.mark.parametrize("layers", [(1000,), (20,) * 64])
def test_files_stay_small_however_many_connections(tmp_path: Path, layers: tuple[int, ...]) -> None:
    """Half a million connections, or 64 blocks:
    below a megabyte, and every connection is still in it.
    """
    graph = small(*layers)
    file = drawn(graph, tmp_path, ".svg")
    assert file.stat().st_size < 1_000_000
    for block, count in zip(blocks_of(file).values(), layers, strict=True):
        cells = [rect for rect in block.iter(f"{SVG}rect") if rect.get("data-source")]
        spans = (int(rect.get("data-last")) - int(rect.get("data-first")) + 1 for rect in cells)
        assert sum(spans) == count * (count + 1) // 2


def test_a_run_is_successive_numbers() -> None:
    """The first and last of each run."""
    assert list(find_runs({5, 0, 2, 1, 7, 8})) == [(0, 2), (5, 5), (7, 8)]
    assert list(find_runs(())) == []


@pytest.mark.parametrize("name", ["graph.gif", "graph", "graph.svg.gz", ".svg"])
def test_an_unknown_suffix_is_refused_with_the_known_ones(tmp_path: Path, name: str) -> None:
    """W001, and nothing is written."""
    with pytest.raises(ArchspecError) as caught:
        draw(small(3), tmp_path / name)
    (fault,) = caught.value.diagnostics
    assert (fault.code, fault.where) == ("W001", str(tmp_path / name))
    assert fault.hint == "known: .svg, .png, .dot, .html"
    assert not list(tmp_path.iterdir())


def test_suffixes_may_be_in_capitals(tmp_path: Path) -> None:
    """GRAPH.SVG is an SVG file."""
    draw(small(3), tmp_path / "GRAPH.SVG")
    assert ET.parse(tmp_path / "GRAPH.SVG").getroot().tag == f"{SVG}svg"


def test_a_target_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """W002 for a missing folder, a file taken for a folder,
    a folder of that name, a name too long.
    """
    (tmp_path / "folder.svg").mkdir()
    (tmp_path / "file").touch()
    before = sorted(tmp_path.rglob("*"))
    for name in ("missing/graph.svg", "file/graph.svg", "folder.svg", "n" * 300 + ".svg"):
        with pytest.raises(ArchspecError) as caught:
            draw(small(3), tmp_path / name)
        (fault,) = caught.value.diagnostics
        assert (fault.code, fault.where) == ("W002", str(tmp_path / name))
    assert sorted(tmp_path.rglob("*")) == before


def test_a_graph_whose_channels_do_not_fit_is_refused(tmp_path: Path) -> None:
    """G006 at the operator's place instead of a picture with wrong sizes."""
    graph = small(3)
    conv = graph.ops["features.conv0"]
    with pytest.raises(GraphError) as caught:
        draw(
            graph.with_op(replace(conv, attrs={**conv.attrs, "in_channels": 7})),
            tmp_path / "graph.svg",
        )
    assert [(fault.code, fault.where) for fault in caught.value.diagnostics] == [
        ("G006", "features.conv0")
    ]
    assert not list(tmp_path.iterdir())


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from archspec import ArchspecError, build_graph, load_spec
from archspec.writers.pictures.draw import draw
graph = build_graph(load_spec("densenetbc_digits"))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
try:
    draw(graph, Path(sys.argv[1]))
except ArchspecError as error:
    print(error.diagnostics[0].code)
"""


def test_a_write_that_fails_halfway_leaves_the_old_file(tmp_path: Path) -> None:
    """A real process that may write 500 bytes only:
    W002, the old picture is whole, no remains beside it.
    """
    target = tmp_path / "graph.svg"
    target.write_text("old")
    run = subprocess.run(
        [sys.executable, "-c", FULL_DISK, target],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert run.stdout.strip() == "W002"
    assert [file.name for file in tmp_path.iterdir()] == ["graph.svg"]
    assert target.read_text() == "old"


DRAW_ALL = """
import sys
from pathlib import Path
from archspec import build_graph, load_spec
from archspec.writers.pictures.draw import draw
graph = build_graph(load_spec("densenetbc_digits"))
for suffix in ("svg", "dot", "html"):
    draw(graph, Path(sys.argv[1]) / f"graph.{suffix}")
assert not {"matplotlib", "mindspore", "numpy"} & set(sys.modules)
draw(graph, Path(sys.argv[1]) / "graph.png")
assert "matplotlib.pyplot" not in sys.modules
"""


def test_the_same_graph_gives_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    """Whatever the hash seed; and matplotlib is imported for a PNG alone."""
    for seed in ("1", "2"):
        (tmp_path / seed).mkdir()
        subprocess.run(
            [sys.executable, "-c", DRAW_ALL, tmp_path / seed],
            env={**os.environ, "PYTHONHASHSEED": seed},
            timeout=120,
            check=True,
        )
    for suffix in ("svg", "png", "dot", "html"):
        assert (tmp_path / "1" / f"graph.{suffix}").read_bytes() == (
            tmp_path / "2" / f"graph.{suffix}"
        ).read_bytes()


HOVER = """
const said = () => document.getElementById("readout").textContent;
const marked = name => document.querySelectorAll("path." + name).length;
const [small, large] = document.querySelectorAll("[data-block]");
const node = small.querySelector("[data-node='2']"), hit = large.querySelector(".hit");
const rest = said();
node.dispatchEvent(new PointerEvent("pointerenter"));
const first = [said(), marked("reads"), marked("read")];
node.dispatchEvent(new PointerEvent("pointerleave"));
const back = said() === rest && !small.classList.contains("active");
const area = hit.getBoundingClientRect();
hit.dispatchEvent(new PointerEvent("pointermove", {
  clientX: area.x + area.width / 2, clientY: area.y + area.height * 9.5 / 56}));
const second = [said(), large.querySelectorAll(".frame").length];
document.body.dataset.result = JSON.stringify({first, back, second, faults});
"""


@pytest.mark.skipif(BROWSER is None, reason="no chromium is installed")
def test_pointing_at_a_layer_shows_what_it_reads_and_what_reads_it(tmp_path: Path) -> None:
    """In a real browser: arcs are marked, the line above says it, and the script meets no error."""
    page = drawn(small(4, 56), tmp_path, ".html")
    assert ask_browser(page, HOVER) == {
        "first": ["features.denseblock1, layer 2: reads 0 to 1 (2); is read by 3 to 4 (2)", 2, 2],
        "back": True,
        "second": [
            "features.denseblock2, layer 10: reads 0 to 9 (10); is read by 11 to 56 (46)",
            2,
        ],
        "faults": [],
    }


def relative(**settings: object) -> Graph:
    """Two blocks of three layers on 16 x 16 pixels, as the settings have them."""
    usual = {
        "input": {"channels": 1, "height": 16, "width": 16},
        "stem": {"kernel": 3, "stride": 1, "norm": False, "pool": "none", "channels": 8},
        "growth_rate": 4,
        "blocks": ({"layers": 3}, {"layers": 3}),
        "head": {"num_classes": 10},
    }
    return build_graph(Spec.model_validate(usual | settings))


def texts_in(file: Path) -> list[str | None]:
    return [element.text for element in ET.parse(file).iter(f"{SVG}text")]


def test_other_rules_are_drawn_by_their_connections_and_named(tmp_path: Path) -> None:
    """Arcs as derived from the graph; the sentence has both counts and the rule;
    the layers' growth as a span.
    """
    graph = relative(blocks=({"layers": 5, "growth_rate": [3, 9, 4, 4, 4]},), connectivity="log")
    file = drawn(graph, tmp_path, ".svg")
    assert sorted(arcs_between_nodes(blocks_of(file)[BLOCK])) == sorted(derived(graph))
    assert "11 of 11 direct connections (log)" in texts_in(file)
    assert "layers 5 · growth rate 3 to 9 · channels 8 → 17" in texts_in(file)


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({"connectivity": "one_shot", "aggregate": {"channels": 8}}, "aggregated to 8"),
        ({"connectivity": "cross_stage_partial"}, "a share of the input goes round the layers"),
        ({"aggregate": {"channels": 8}, "residual": True}, "the input is added to the output"),
        ({"layer_at": {2: "basic"}}, "channels 8 → 20 · layer 2 of other steps"),
        ({"layers": 5, "layer_at": {1: "basic", 3: "basic"}}, "layers 1, 3 of other steps"),
    ],
)
def test_what_a_block_does_beside_its_layers_is_seen(
    tmp_path: Path, block: dict[str, object], words: str
) -> None:
    """An aggregation is a box before the output,
    what goes round the layers a second rail; words say the same.
    """
    graph = relative(blocks=({"layers": 3, **block},))
    file = drawn(graph, tmp_path, ".svg")
    assert any(words in (text or "") for text in texts_in(file))
    nodes = [rect.get("data-node") for rect in blocks_of(file)[BLOCK].iter(f"{SVG}rect")]
    assert ("aggregation" in nodes) == ("aggregate" in block)
    rails = [
        line
        for line in blocks_of(file)[BLOCK].iter(f"{SVG}polyline")
        if line.get("stroke-width") == "2"
    ]
    assert len(rails) == ("round" in words or "added" in words)
    dot = drawn(graph, tmp_path, ".dot").read_text()
    assert ("s1_aggregate -> s1_out" in dot) == ("aggregate" in block)
    assert ("s1_0 -> s1_out [style=dotted]" in dot) == bool(rails)


def test_a_skip_and_a_feature_map_are_seen(tmp_path: Path) -> None:
    """A line on the left and a word on the right for the skip,
    the stride in the box of the feature map.
    """
    graph = relative(
        blocks=({"layers": 1}, {"layers": 1}, {"layers": 1}),
        transitions=[
            {},
            {"steps": [{"upsample": {}}], "skip": 1},
            {"steps": "none", "skip": "stem"},
        ],
        features=(2,),
    )
    texts = texts_in(drawn(graph, tmp_path, ".svg"))
    assert f"joins the output of {BLOCK}" in texts
    assert texts.count("a feature map, stride 2") == 1
    assert "joins the output of stem" in texts
    assert "s1_out -> s4 [style=dashed, color=gray]" in drawn(graph, tmp_path, ".dot").read_text()


def test_the_tree_and_the_table_say_it_in_words() -> None:
    """Growth of each layer, aggregation, skips and feature maps."""
    from rich.console import Console

    from archspec.graph.report import report
    from archspec.writers.tables import make_stage_table, make_tree, write_summary

    graph = relative(
        blocks=(
            {"layers": 3, "growth_rate": [4, 6, 5], "aggregate": {"channels": 9}},
            {"layers": 4},
            {"layers": 1},
        ),
        transitions=[{}, {"steps": [{"upsample": {}}], "skip": 1}],
        features=(1, 2),
    )
    console = Console(width=120)
    with console.capture() as captured:
        console.print(
            write_summary(report(graph)), make_stage_table(report(graph), graph), make_tree(graph)
        )
    text = captured.get()
    assert "feature maps: block 1 (9 channels, stride 1), block 2 (20 channels, stride 2)" in text
    assert "layers add 4, 6, 5 channels" in text
    assert "aggregate" in text
    assert f"joins the output of {BLOCK}" in text
    assert "... 1 more, each reads 4 channels more" in text
    assert "4 to 6" in text


def test_the_tree_opens_each_run_of_layers_that_are_alike() -> None:
    """The first two of a run and its last; what lies between them is counted."""
    from rich.console import Console

    from archspec.writers.tables import make_tree

    graph = relative(blocks=({"layers": 9, "layer_at": {1: "basic", 2: "basic"}},))
    console = Console(width=120)
    with console.capture() as captured:
        console.print(make_tree(graph))
    named = [
        line.split()[-1]
        for line in captured.get().splitlines()
        if "denselayer" in line or "more" in line
    ]
    assert named == [*(f"denselayer{number}" for number in (1, 2, 3, 4)), "more", "denselayer9"]
