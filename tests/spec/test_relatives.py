"""Relatives written in the language alone:
their counts are the authors', their connections their rules'.

Each file of tests/spec/relatives opens with `# params:
COUNT`, which the authors published or which their code has.
"""

import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import pytest
import yaml
from spec.dpn import dpn68

from archspec.graph.build import build_graph
from archspec.graph.ir import Graph
from archspec.graph.parameters import list_parameters
from archspec.graph.report import report
from archspec.spec.load import load_spec
from archspec.spec.spec import Spec
from archspec.verifiers.verify import verify

FOLDER = Path(__file__).parent / "relatives"
FILES = {path.stem: path for path in sorted(FOLDER.glob("*.yaml"))}
STATISTICS = ("moving_mean", "moving_variance")


@cache
def spec_of(name: str) -> Spec:
    return load_spec(FILES[name])


@cache
def graph_of(name: str) -> Graph:
    return build_graph(spec_of(name))


@pytest.mark.parametrize("name", FILES)
def test_a_relative_has_its_authors_parameters(name: str) -> None:
    """To the last digit, from the report and from the list of tensors alike;
    no verifier objects.
    """
    graph = graph_of(name)
    found = re.search(r"# params: ([\d_]+)", FILES[name].read_text(encoding="utf-8"))
    assert found
    assert report(graph).params == int(found[1])
    learnt = [tensor for tensor in list_parameters(graph).values() if tensor.role not in STATISTICS]
    assert sum(_size(tensor.shape) for tensor in learnt) == int(found[1])
    assert verify(graph) == ()


def _size(shape: tuple[int, ...]) -> int:
    product = 1
    for length in shape:
        product *= length
    return product


def _of_the_log(layers: int) -> int:
    """The published formula of SparseNet's connections."""
    octave = layers.bit_length() - 1
    return (layers + 1) * (octave + 1) - 2 ** (octave + 1) + 1


FORMULAS: Mapping[str, Callable[[int], int]] = {
    "dense": lambda layers: layers * (layers + 1) // 2,
    "log": _of_the_log,
    "harmonic": lambda layers: 2 * layers - layers.bit_count(),
    "one_shot": lambda layers: 2 * layers + 1,  # with the aggregation's
    "cross_stage_partial": lambda layers: layers * (layers + 1) // 2 + 1,
}


OTHER_ENDS = {
    # L connections, one for what the aggregation reads, one for the half that goes round.
    "cspdarknet53": [3, 4, 10, 10, 6],
    # A chain of two layers, the last of which is the output; and six layers that read one source
    # each.
    "unet": [2] * 8,
    "yolov7_backbone": [6] * 4,
}
"""Connections of the blocks whose output joins other layers than their rule's."""


@pytest.mark.parametrize("name", [name for name in FILES if name not in OTHER_ENDS])
def test_a_relatives_connections_follow_its_formula(name: str) -> None:
    """Block by block, as the table of published figures has them."""
    for block, declared in zip(
        report(graph_of(name)).blocks, spec_of(name).dense_blocks(), strict=True
    ):
        assert (
            block.edges
            == block.expected_edges
            == FORMULAS[declared.connectivity.kind](block.layers)
        )


@pytest.mark.parametrize("name", OTHER_ENDS)
def test_a_chain_with_an_end_of_its_own_has_its_connections(name: str) -> None:
    """Block by block, counted by hand."""
    assert [block.edges for block in report(graph_of(name)).blocks] == OTHER_ENDS[name]


@pytest.mark.parametrize("name", FILES)
def test_a_resolved_relative_reads_back_equal(name: str, tmp_path: Path) -> None:
    """Steps, rules, lists and short forms: the YAML of resolved() means the same."""
    path = tmp_path / "resolved.yaml"
    path.write_text(yaml.safe_dump(spec_of(name).resolved(), sort_keys=False), encoding="utf-8")
    assert load_spec(path) == spec_of(name)


def test_dual_path_networks_are_lists_of_steps(tmp_path: Path) -> None:
    """DPN-68 (Chen et al. 2017):
    each unit adds to some channels and appends others, in slices and branches.
    """
    path = tmp_path / "dpn68.yaml"
    path.write_text(yaml.safe_dump(dpn68()), encoding="utf-8")
    graph = build_graph(load_spec(path))
    assert verify(graph) == ()
    assert report(graph).params == 12_611_602


def test_a_pixels_classes_come_out_at_the_images_size() -> None:
    """The way up doubles as often as the way down halves, cropped or not."""
    assert report(graph_of("fcdensenet56")).output == (11, 224, 224)
    assert report(graph_of("fchardnet70")).output == (19, 256, 256)
    assert report(graph_of("unet")).output == (1, 256, 256)


def test_each_part_has_the_parameters_that_the_authors_program_prints() -> None:
    """YOLOv7, row by row: four convolutions,
    then efficient layer aggregations with poolings between them.
    """
    rows = {
        "stem": [928, 18_560, 36_992, 73_984],
        "features.denseblock1": [8_320, 8_320, *[36_992] * 4, 66_048],
        "features.transition1": [33_024, 33_024, 147_712],
        "features.denseblock2": [33_024, 33_024, *[147_712] * 4, 263_168],
        "features.transition2": [131_584, 131_584, 590_336],
        "features.denseblock3": [131_584, 131_584, *[590_336] * 4, 1_050_624],
        "features.transition3": [525_312, 525_312, 2_360_320],
        "features.denseblock4": [262_656, 262_656, *[590_336] * 4, 1_050_624],
    }
    found = {stage.name: stage.params for stage in report(graph_of("yolov7_backbone")).stages}
    assert found == {name: sum(numbers) for name, numbers in rows.items()}
