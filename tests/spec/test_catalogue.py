"""The shipped specs: found by name, right, and equal to the published figures."""

import re
from pathlib import Path

import pytest
import yaml

from archspec.errors import SpecError
from archspec.graph.build import build_graph
from archspec.graph.report import Report, report
from archspec.spec.catalogue import DEFAULT_SPEC, locate, shipped, specs_folder
from archspec.spec.compression import compress
from archspec.spec.load import load_spec
from archspec.spec.spec import Spec
from archspec.verifiers.verify import verify

# params, params with BN stats, GMACs to 3 decimals, edges. Huang et al. 2017 (arXiv 1608.06993),
# tables 1 and 2; torchvision's and MindCV's models; counted layer by layer. None: not published.
IMAGENET = {
    "densenet121": (7_978_856, 8_062_504, "2.834", 535),
    "densenet169": (14_149_480, 14_307_880, "3.360", 1155),
    "densenet201": (20_013_928, 20_242_984, "4.291", 1803),
    "densenet161": (28_681_000, 28_900_936, "7.728", 1065),
    "densenet264": (33_337_704, 33_736_232, "5.752", 3355),
}
CIFAR = {
    "densenet40_k12": 1_019_722,
    "densenet100_k12": 6_979_642,
    "densenet100_k24": 27_249_082,
    "densenetbc100_k12": 769_162,
    "densenetbc250_k24": 15_324_406,
    "densenetbc190_k40": 25_624_430,
}
# params and edges of each block: the papers' rules and the authors' code, counted layer by layer.
RELATIVES = {
    "sparsenet40_k24": (757_252, (37, 37, 37)),
    "hardnet39ds": (3_488_228, (7, 31, 15, 7)),
    "hardnet68": (17_565_348, (15, 31, 31, 31, 7)),
    "vovnet39": (22_600_296, (11,) * 6),
    "peleenet": (2_802_248, (6, 10, 36, 21)),
    "fcdensenet103": (9_322_091, (10, 15, 28, 55, 78, 120, 78, 55, 28, 15, 10)),
    "cspdensenet121": (
        5_921_123,
        (22, 79, 301, 137),
    ),  # no count of it was published: the definition's own
}
UNPUBLISHED = ("cspdensenet121",)
SHARED = Path(__file__).resolve().parents[3] / "shared" / "facts" / "published.md"


@pytest.fixture(scope="module")
def reports() -> dict[str, Report]:
    return {name: report(build_graph(load_spec(name))) for name in shipped()}


@pytest.mark.parametrize("name", IMAGENET)
def test_imagenet_networks_have_the_published_figures(
    name: str, reports: dict[str, Report]
) -> None:
    """Parameters with and without BN statistics, multiply-accumulates, direct connections."""
    found = reports[name]
    gmacs = f"{found.macs / 1e9:.3f}"
    assert (found.params, found.params_with_stats, gmacs, found.edges) == IMAGENET[name]
    assert found.flops == 2 * found.macs


@pytest.mark.parametrize("name", CIFAR)
def test_cifar_networks_have_the_published_parameters(
    name: str, reports: dict[str, Report]
) -> None:
    """The six networks of the paper's table 2 with ten classes."""
    assert reports[name].params == CIFAR[name]


@pytest.mark.parametrize("name", RELATIVES)
def test_relatives_have_the_published_parameters_and_their_rules_connections(
    name: str, reports: dict[str, Report]
) -> None:
    """To the last digit; each block's connections by its rule's formula."""
    found = reports[name]
    assert (found.params, tuple(block.edges for block in found.blocks)) == RELATIVES[name]
    assert all(block.edges == block.expected_edges for block in found.blocks)


def test_the_tables_here_are_those_of_the_published_figures() -> None:
    """The figures are copied right: every number of the tables stands in the collected sources."""
    if not SHARED.is_file():
        pytest.skip("the collected published figures are not beside this checkout")
    text = SHARED.read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    for name, (params, with_stats, gmacs, edges) in IMAGENET.items():
        (row,) = [row for row in rows if row.startswith(f"| {name} |")]
        assert row.endswith(f"| {params:,} | {with_stats:,} | {gmacs} | {edges} |")
    assert [params for params in CIFAR.values() if f" {params:,} " not in text] == []
    known = {name: params for name, (params, _) in RELATIVES.items() if name not in UNPUBLISHED}
    cells = {cell.strip() for row in rows for cell in re.split(r"[|;]", row)}
    assert [name for name, params in known.items() if f"{params:,}" not in cells] == []


def test_every_published_network_is_shipped_and_one_for_the_demo() -> None:
    """Eleven published DenseNets, seven relatives and the default of the demo."""
    assert set(shipped()) == {*IMAGENET, *CIFAR, *RELATIVES, DEFAULT_SPEC}


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_spec_verifies(name: str) -> None:
    """No verifier finds a fault, and each densely connected block has its L(L+1)/2 connections."""
    spec = load_spec(name)
    graph = build_graph(spec)
    assert verify(graph) == ()
    for block, declared in zip(report(graph).blocks, spec.dense_blocks(), strict=True):
        assert block.edges == block.expected_edges
        if declared.connectivity.kind == "dense":
            assert block.edges == block.layers * (block.layers + 1) // 2


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_spec_is_named_after_its_file_and_says_its_source(name: str) -> None:
    """A name on the command line, in the file and in reports is one name."""
    spec = load_spec(name)
    assert spec.name == name
    assert spec.source


@pytest.mark.parametrize("name", shipped())
def test_a_resolved_spec_reads_back_equal(name: str, tmp_path: Path) -> None:
    """The YAML of resolved() needs no parent and no default, and means the same."""
    spec = load_spec(name)
    path = tmp_path / "resolved.yaml"
    path.write_text(yaml.safe_dump(spec.resolved(), sort_keys=False), encoding="utf-8")
    again = load_spec(path)
    assert again == spec
    assert hash(again) == hash(spec)
    assert again.resolved() == spec.resolved()


@pytest.mark.parametrize("name", [*IMAGENET, *CIFAR])
def test_the_number_in_the_name_is_the_depth(name: str, reports: dict[str, Report]) -> None:
    """DenseNet-121 has 121 layers with weights: convolutions and the classifier.

    The paper's DenseNet-264 is misnamed: 2 x (6 + 12 + 64 + 48) + 5 is 265.
    """
    match = re.match(r"densenet(?:bc)?(\d+)", name)
    assert match
    assert reports[name].depth == int(match[1]) + (name == "densenet264")


def test_a_reports_stages_add_up(reports: dict[str, Report]) -> None:
    """Parameters and MACs of the stages are those of the whole; output shapes are densenet121's."""
    for found in reports.values():
        assert sum(stage.params for stage in found.stages) == found.params
        assert sum(stage.macs for stage in found.stages) == found.macs
    outputs = {stage.name: stage.output for stage in reports["densenet121"].stages}
    assert outputs["stem"] == (64, 56, 56)
    assert outputs["features.transition3"] == (512, 7, 7)
    assert outputs["features.denseblock4"] == (1024, 7, 7)
    assert outputs["head"] == (1000,)


def test_compression_is_exact_in_decimals() -> None:
    """0.29 x 100 is 28.999999999999996 in binary floating point; a network has 29 channels."""
    assert compress(100, 0.29) == 29
    assert [compress(n, 0.5) for n in (1, 2, 255)] == [0, 1, 127]
    assert all(compress(1000 * n, 1 / 1000) == n for n in range(1, 200))
    assert compress(100_000, 1e-5) == 1


def test_names_and_paths_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shipped name wins over a file of that name; a path is a path;
    a bare file name works too.
    """
    monkeypatch.chdir(tmp_path)
    (tmp_path / "densenet121").write_text("growth_rate: 1\n", encoding="utf-8")
    (tmp_path / "mine").write_text("growth_rate: 1\nblock_config: [1]\n", encoding="utf-8")
    assert locate("densenet121") == specs_folder() / "densenet121.yaml"
    assert load_spec("mine").name == "mine"
    assert locate("x/y.yaml") == Path("x/y.yaml")
    assert locate("./y", beside=tmp_path / "specs") == tmp_path / "specs" / "y"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("densenet12", "densenet121"),
        ("densnet169", "densenet169"),
        ("DenseNet-121", "densenet121"),
        ("resnet50", f"shipped: {', '.join(shipped())}"),
    ],
)
def test_an_unknown_name_gets_the_nearest_or_the_list(name: str, hint: str) -> None:
    """A typo gets one proposal, anything else all names."""
    with pytest.raises(SpecError, match=f"S010 there is no spec '{name}'") as caught:
        load_spec(name)
    assert hint in caught.value.diagnostics[0].hint


def test_an_absent_file_called_like_a_shipped_spec_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever types the file's name learns that the name alone will do;
    any other absent file gets no guess.
    """
    monkeypatch.chdir(tmp_path)
    hints = []
    for name in ("densenet121.yaml", "nets/DenseNet169.yml", "mine.yaml"):
        with pytest.raises(
            SpecError, match=f"^{name} Y001 cannot be read: No such file or directory"
        ) as caught:
            load_spec(name)
        hints.append(caught.value.diagnostics[0].hint)
    assert hints == [
        "did you mean the shipped spec 'densenet121'?",
        "did you mean the shipped spec 'densenet169'?",
        "",
    ]


def test_shipped_specs_describe_every_key_that_they_use() -> None:
    """The language is small: what the shipped specs say is what a Spec has,
    block_config and extends.
    """
    keys = {
        key
        for path in shipped().values()
        for key in yaml.safe_load(path.read_text(encoding="utf-8"))
    }
    assert keys <= {*Spec.model_fields, "block_config", "extends"}
