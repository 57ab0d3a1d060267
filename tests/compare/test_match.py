"""What the user calls the parts of a file:
layers that differ, the stem as a skip, transitions by number.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from archspec.compare.compare import compare
from archspec.graph.build import build_graph
from archspec.graph.ir import Graph
from archspec.readers.mindir.read import read_mindir
from archspec.runtime import prepare
from archspec.spec.load import load_spec
from archspec.writers.mindspore.create_model import create_network
from archspec.writers.mindspore.export_mindir import export_mindir

FILE = Path(__file__).parent / "own_layers.yaml"
POINT = "[conv: {width: k, kernel: 1}, norm, activation]"


def graph_of(*overrides: str) -> Graph:
    return build_graph(load_spec(FILE, overrides))


SPEC = graph_of()
CASES: Sequence[tuple[str, str]] = [
    (
        "blocks.0.layer_at={1: basic, 3: basic}",
        "block 1, layer 3 consists of batch_norm, relu, conv; the spec says conv",
    ),
    (
        "blocks.0.layer_at={1: basic}",
        "block 1, layer 3 consists of batch_norm, relu, conv, batch_norm, relu, conv; the",
    ),
    (
        f"blocks.1.layer_at={{1: {POINT}, 2: {POINT}, 4: {POINT}}}",
        "features.denseblock2.denselayer4.conv1 has ",
    ),
    ("transitions.0={pool: none, channels: 52}", "transition 1 does not read the stem (its skip)"),
    ("blocks.0.layers=5", "block 1 has 5 layers, the spec says 4"),
]


@pytest.mark.parametrize(("override", "words"), CASES)
def test_each_difference_is_told_at_its_layer(override: str, words: str) -> None:
    """The first of them; the file has what the override says."""
    assert compare(SPEC, graph_of(override)).differences[0].message.startswith(words)


def test_a_transition_has_the_specs_number() -> None:
    """Also where one before it does nothing and so is no part of the graph."""
    spec, found = (
        graph_of("transitions.1=none", f"transitions.2={{pool: none{end}}}")
        for end in (", skip: stem", "")
    )
    message = compare(spec, found).differences[0].message
    assert message == "transition 3 does not read the stem (its skip)"


@pytest.fixture(scope="module")
def ms() -> Any:
    prepare()
    import mindspore

    return mindspore


def test_an_exported_network_with_layers_of_their_own_is_the_specs(ms: Any, tmp_path: Path) -> None:
    """MindSpore's own file, read back: equal, and every connection found."""
    file = tmp_path / "own.mindir"
    export_mindir(create_network(SPEC), (3, 32, 32), file)
    found = compare(SPEC, read_mindir(file))
    assert found.differences == ()
    assert [(block.edges, block.expected_edges) for block in found.blocks] == [
        (10, 10),
        (6, 6),
        (3, 3),
    ]
