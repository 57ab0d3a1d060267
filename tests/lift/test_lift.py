"""Lifting: the spec that a file's graph comes to is the one
that a person would have written, or none.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import oracle
import pytest
from hypothesis import HealthCheck, given, settings
from readers.onnx_styles import STYLES, Step, densenet, run, written
from spec.language import specs

from archspec.compare.whole_map_pools import as_it_is_read
from archspec.errors import ArchspecError, ModelFileError
from archspec.graph.build import build_graph
from archspec.graph.ir import Graph, Op
from archspec.graph.report import report
from archspec.lift import network
from archspec.lift.lift import MAX_OPERATORS, lift
from archspec.operators.table import OPERATORS
from archspec.readers.mindir.read import read_mindir
from archspec.readers.onnx.read import read_onnx
from archspec.runtime import prepare
from archspec.spec.catalogue import shipped
from archspec.spec.load import load_spec, validate
from archspec.spec.reading.document import Document
from archspec.spec.reading.shorthand import expand_short_forms
from archspec.spec.reading.yaml_reader import read_text
from archspec.spec.spec import Spec

prepare()

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests/golden"
RELATIVES = ROOT / "tests/spec/relatives"
CHAINS = ("unet",)
"""Networks of the language that join nothing inside of any block."""


def in_a_file(graph: Graph) -> Graph:
    """The graph as a reader returns it: no regions, no dropout, no momentum, no crop of nothing."""
    passed: dict[str, str] = {}
    ops = []
    for op in as_it_is_read(graph).ops.values():
        inputs = tuple(passed.get(source, source) for source in op.inputs)
        if OPERATORS[op.kind].is_of_training:
            passed[op.name] = inputs[0]
        else:
            attrs = {key: value for key, value in op.attrs.items() if key != "momentum"}
            ops.append(Op(op.name, op.kind, inputs, attrs))
    return Graph.of("file", ops)


def spec_of(text: str) -> Spec:
    return validate(Spec, expand_short_forms(read_text(text, "spec.yaml")))


def lifted(spec: Spec, name: str = "lifted") -> str:
    return lift(in_a_file(build_graph(spec)), name, "model.onnx").text


def read(steps: Any, style: str, folder: Path, **others: Any) -> Graph:
    file = folder / "model.onnx"
    file.write_bytes(written(steps, replace(STYLES[style], **others))[0].SerializeToString())
    return read_onnx(file)


def refusals(graph: Graph) -> list[str]:
    with pytest.raises(ModelFileError) as caught:
        lift(graph, "lifted", "model.onnx")
    assert {(fault.code, fault.where) for fault in caught.value.diagnostics} == {
        ("R108", "model.onnx")
    }
    return [fault.message for fault in caught.value.diagnostics]


# ---- files of other frameworks


@pytest.mark.parametrize(
    ("blocks", "style"),
    [
        ([6, 12, 24, 16], "torch"),
        ([6, 12, 32, 32], "scale and shift"),
        ([6, 12, 48, 32], "running"),
    ],
)
def test_densenets_for_imagenet_come_out_in_three_lines(
    blocks: list[int], style: str, tmp_path: Path
) -> None:
    """121, 169 and 201 layers, in the ways in which frameworks write them."""
    found = read(densenet(blocks, 32, (3, 224, 224), 1000), style, tmp_path)
    assert (
        lift(found, "theirs", "model.onnx").text
        == f"name: theirs\ngrowth_rate: 32\nblock_config: {blocks}\n"
    )


@pytest.mark.parametrize("style", STYLES)
def test_a_lifted_network_computes_what_the_file_computes(style: str, tmp_path: Path) -> None:
    """ONNX Runtime runs the file, the NumPy oracle the lifted spec with the file's weights."""
    steps = densenet([4, 4], 12, (1, 8, 8), 10, imagenet=False)
    text = lift(read(steps, style, tmp_path), "digits", "model.onnx").text
    if STYLES[style].norm == "folded":
        assert "- conv: {width: 4k, kernel: 1, bias: true}\n- activation\n" in text
        return
    assert text.splitlines()[1:] == [
        "input: {channels: 1, height: 8, width: 8}",
        "stem: {kernel: 3, stride: 1, norm: false, pool: none}",
        "growth_rate: 12",
        "block_config: [4, 4]",
        "head: {num_classes: 10}",
    ]
    model, weights = written(steps, STYLES[style])
    images = (
        np.random.default_rng(3)
        .normal(size=(3 if style == "mindcv" else 2, 1, 8, 8))
        .astype(np.float32)
    )
    ours = oracle.forward(build_graph(spec_of(text)).ops.values(), weights, images)
    assert oracle.distance(run(model, images), ours) < 1e-5


def test_a_mindir_is_lifted_too(tmp_path: Path) -> None:
    """What MindSpore compiled of a small network with two features and other norms."""
    from archspec.writers.mindspore.create_model import import_text
    from archspec.writers.mindspore.export_mindir import export_mindir
    from archspec.writers.mindspore.module import write_module

    text = (
        "name: small\n"
        "input: {height: 32, width: 32}\n"
        "norm: {eps: 0.001}\n"
        "activation: silu\n"
        "stem: {channels: 12, kernel: 3, stride: 1, pool: none}\n"
        "growth_rate: 4\n"
        "connectivity: log\n"
        "block_config: [3, 2]\n"
        "head: {num_classes: 7}\n"
        "features: [1, 2]\n"
    )
    network = import_text(write_module(build_graph(spec_of(text))), "small").Network()
    export_mindir(network, (3, 32, 32), tmp_path / "small.mindir", batch=1)
    assert lift(read_mindir(tmp_path / "small.mindir"), "small", "small.mindir").text == text


def test_norms_that_a_file_does_not_tell_are_noted(tmp_path: Path) -> None:
    """A folded one is a bias; the eps of one that is written out is the language's default."""
    steps = densenet([2, 2], 4, (1, 8, 8), 10, imagenet=False)
    folded, affine, plain = (
        lift(read(steps, style, tmp_path), "digits", "model.onnx").notes
        for style in ("torch folded", "scale and shift", "torch")
    )
    words = (
        "have a bias: a batch norm that was folded into one is not told from it, so the spec "
        "says the bias"
    )
    assert folded == (f"4 convolutions {words}",)
    assert affine == (
        "10 batch norms are written as a scale and a shift: eps is not compared there",
    )
    assert plain == ()


# ---- the whole language


QUICK = ("densenet40_k12", "peleenet", "sparsenet40_k24")


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in shipped()]
)
def test_a_shipped_spec_is_lifted_from_its_own_graph(name: str) -> None:
    """Lifting what was lifted changes nothing,
    and both have as many parameters as the shipped spec.
    """
    text = lifted(load_spec(name))
    again = spec_of(text)
    assert lifted(again) == text
    ours, theirs = (report(build_graph(spec)) for spec in (again, load_spec(name)))
    assert (ours.params, ours.macs) == (theirs.params, theirs.macs)


@pytest.mark.parametrize("name", ["cspdensenet121", "fcdensenet103", "hardnet39ds", "vovnet39"])
def test_lifted_relatives_read_as_a_person_writes_them(name: str) -> None:
    """Every byte is settled (RENEW_GOLDEN=1 renews)."""
    text, file = lifted(load_spec(name), name), GOLDEN / f"lift_{name}.yaml"
    if os.environ.get("RENEW_GOLDEN") == "1":
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


WRITTEN = dict(
    re.findall(
        r"^# (.*)\n((?:[^#\n].*\n)+)",
        (Path(__file__).parent / "as_written.yaml.txt").read_text(),
        re.M,
    )
)
"""Specs that come back letter by letter, by what they are of."""
DENSE = WRITTEN["another bottleneck"]


@pytest.mark.parametrize("name", WRITTEN)
def test_a_short_spec_comes_back_letter_by_letter(name: str) -> None:
    """Each key of the language that shows in a file, and no more keys than were said."""
    assert lifted(spec_of(WRITTEN[name]), "small") == WRITTEN[name]


def check(values: dict[str, Any]) -> None:
    try:
        graph = build_graph(validate(Spec, expand_short_forms(Document(values))))
    except ArchspecError:
        return
    try:
        text = lift(in_a_file(graph), "random", "model.onnx").text
    except ModelFileError as refused:
        codes = {fault.code for fault in refused.diagnostics}
    else:
        codes = {"R108"}
        assert report(build_graph(spec_of(text))).params == report(graph).params
    assert codes <= {"R108", "R009"}


RANDOM = settings(
    deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


@given(specs())
@settings(RANDOM, max_examples=15)
def test_a_random_network_is_lifted_or_refused(values: dict[str, Any]) -> None:
    """Over the whole language;
    nothing ends in another way, and what is lifted has as many parameters.
    """
    check(values)


@pytest.mark.slow
@given(specs())
@settings(RANDOM, max_examples=2_000)
def test_many_random_networks_are_lifted_or_refused(values: dict[str, Any]) -> None:
    check(values)


@pytest.mark.slow
@pytest.mark.parametrize("file", sorted(RELATIVES.glob("*.yaml")), ids=lambda file: file.stem)
def test_every_relative_is_lifted(file: Path) -> None:
    """But those in whose blocks nothing is joined."""
    spec = load_spec(file)
    if file.stem in CHAINS:
        assert refusals(in_a_file(build_graph(spec)))
        return
    text = lifted(spec)
    assert lifted(spec_of(text)) == text
    assert report(build_graph(spec_of(text))).params == report(build_graph(spec)).params


@pytest.mark.slow
@pytest.mark.parametrize("style", ["torch", "running", "torch folded", "scale and shift"])
@pytest.mark.parametrize("name", shipped())
def test_every_shipped_spec_is_lifted_from_onnx(name: str, style: str, tmp_path: Path) -> None:
    """In four styles; but where norms are folded, the text is the one of the spec's own graph."""
    spec = load_spec(
        name, {"input.height": 64, "input.width": 64} if load_spec(name).input.height > 64 else {}
    )
    found = lift(
        read(build_graph(spec).ops.values(), style, tmp_path, opset=13), "lifted", "model.onnx"
    )
    if style != "torch folded" and name != "fcdensenet103":
        assert found.text == lifted(spec)


def test_a_norm_of_as_many_groups_as_channels_is_called_as_its_neighbours() -> None:
    """It is an instance norm as well, and where no other norm has groups it is one."""
    head = "growth_rate: 16\nblock_config: [3]\nstem: {channels: 16}\n"
    grouped = lifted(spec_of(f"{head}norm: {{kind: group, groups: 16}}\n"))
    assert "groups: 16" in grouped
    assert "instance" not in grouped
    by_channel = lifted(spec_of(f"{head}norm: instance\n"))
    assert "norm: instance" in by_channel
    assert "group" not in by_channel


def test_a_transition_behind_the_last_block_of_a_backbone_is_its_head() -> None:
    """The network gives what it makes of the last block, which is a feature itself."""
    start = "name: lifted\ninput: {height: 8, width: 8}\nstem: {kernel: 3, stride: 1}\n"
    backbone = f"{start}growth_rate: 4\nblocks: [{{layers: 1}}, {{layers: 2}}]\nfeatures: [1, 2]\n"
    text = lifted(spec_of(f"{backbone}transitions: [[norm], [norm]]\nhead: none\n"))
    assert "head:\n  steps: [norm]\n" in text
    assert lifted(spec_of(text)) == text


# ---- what cannot be lifted


def changed(name: str, **attrs: Any) -> Graph:
    graph = in_a_file(build_graph(spec_of(DENSE)))
    op = graph.ops[name]
    return graph.with_op(replace(op, attrs={**op.attrs, **attrs}))


def conv(name: str, source: str, ins: int = 8, outs: int = 8) -> Op:
    attrs = {"in_channels": ins, "out_channels": outs, "kernel": 3, "stride": 1, "padding": 1}
    return Op(name, "conv", (source,), attrs)


IMAGE = Op("x", "input", (), {"shape": (8, 8, 8)})


def test_a_residual_network_is_refused_by_its_sums(tmp_path: Path) -> None:
    """The sums are called as in the file."""
    steps = [Step("x", "input", (), {"shape": (8, 8, 8)})]
    for number in (1, 2, 3):
        before, layer = steps[-1].name, f"layer{number}"
        steps.append(Step(f"{layer}.conv", "conv", (before,), {**conv("", "").attrs}))
        steps.append(Step(f"{layer}.relu", "relu", (f"{layer}.conv",), {}))
        steps.append(Step(f"{layer}.add", "add", (f"{layer}.relu", before), {}))
    (line,) = refusals(read(steps, "torch", tmp_path))
    assert line == "/Add_2 and 2 more: adds feature maps, and nothing in the file is a dense block"


def test_a_feature_behind_a_skip_is_no_aggregation() -> None:
    """A block of one layer is but a join, which stands in a transition's steps here."""
    head = "growth_rate: 8\nblock_config: [2, 2, 1]\nfeatures: [3]\n"
    rule = "connectivity: {rule: dense, order: newest_first}\n"
    way_up = "transitions: [{}, {steps: [upsample], skip: stem}]\n"
    (line,) = refusals(in_a_file(build_graph(spec_of(f"{head}{rule}{way_up}"))))
    assert line == "features.denseblock3.concat: is an output of the network, and no block's"


def test_a_plain_network_is_refused() -> None:
    chain = [IMAGE, conv("a", "x"), Op("b", "relu", ("a",)), conv("c", "b")]
    assert refusals(Graph.of("file", chain)) == [
        "no layers of a dense block, of which a spec has at least one"
    ]


CONV = "features.denseblock1.denselayer2.conv2"


@pytest.mark.parametrize(
    ("attrs", "words"),
    [
        (
            {"padding": (0, 2, 1, 1)},
            "has a padding of 0 x 2 x 1 x 1; steps have the same on all sides",
        ),
        ({"weights_of": "conv1"}, "uses another operator's weights; each step has its own"),
    ],
)
def test_settings_that_no_step_has_are_refused(attrs: dict[str, Any], words: str) -> None:
    assert refusals(changed(CONV, **attrs)) == [f"{CONV}: {words}"]


BEYOND: list[tuple[str, dict[str, Any], str]] = [
    ("norm1", {"eps": 0.0}, "norm.eps (=0.0) must be in (0, 1]"),
    ("norm1", {"eps": 1.5}, "norm.eps (=1.5) must be in (0, 1]"),
    ("norm1", {"eps": -1e-5}, "norm.eps (=-1e-05) must be in (0, 1]"),
    ("norm1", {"eps": float("nan")}, "norm.eps (=nan) must be a finite number in (0, 1]"),
    ("norm1", {"eps": float("inf")}, "norm.eps (=inf) must be a finite number in (0, 1]"),
    ("conv2", {"kernel": 33}, "conv.kernel (=33) must be in [1, 31]"),
    ("conv2", {"stride": 9}, "conv.stride (=9) must be in [1, 8]"),
    ("conv2", {"padding": 32}, "conv.padding (=32) must be in [0, 31]"),
    ("conv2", {"dilation": 65}, "conv.dilation (=65) must be in [1, 64]"),
    ("conv2", {"out_channels": 65_537}, "conv.width (=65537) must be in [1, 65536]"),
]


OF_OTHER_KINDS: list[tuple[str, dict[str, Any], str]] = [
    ("elu", {"alpha": 0.0}, "activation.alpha (=0.0) must be in (0, 100]"),
    ("softplus", {"beta": 101.0}, "activation.beta (=101.0) must be in (0, 100]"),
    ("hard_tanh", {"low": 1.0, "high": 1.0}, "low (=1.0) must be less than high (=1.0)"),
    ("hard_tanh", {"low": -2e3, "high": 1.0}, "activation.low (=-2000.0) must be in [-1000, 1000]"),
    ("scale", {"value": 0.0}, "scale.value (=0.0) must be in (0, 1000]"),
    ("scale", {"value": -1.0}, "scale.value (=-1.0) must be in (0, 1000]"),
]


@pytest.mark.parametrize(("kind", "attrs", "words"), OF_OTHER_KINDS)
def test_settings_of_other_kinds_beyond_the_bounds_are_refused_by_name(
    kind: str, attrs: dict[str, Any], words: str
) -> None:
    name = "features.denseblock1.denselayer2.relu1"
    graph = changed(name)
    assert refusals(graph.with_op(replace(graph.ops[name], kind=kind, attrs=attrs))) == [
        f"{name}: {words}"
    ]


@pytest.mark.parametrize(("name", "attrs", "words"), BEYOND)
def test_settings_beyond_the_bounds_of_steps_are_refused_by_name(
    name: str, attrs: dict[str, Any], words: str
) -> None:
    """Whatever a file says: its reader has no such bounds."""
    name = f"features.denseblock1.denselayer2.{name}"
    assert refusals(changed(name, **attrs)) == [f"{name}: {words}"]


def test_every_number_of_a_file_is_lifted_or_refused() -> None:
    """Of every kind of operator, every setting, far below and above what the language allows."""
    graph = in_a_file(build_graph(load_spec("peleenet", ["input.height=64", "input.width=64"])))
    first = {op.kind: op for op in reversed(graph.ops.values())}
    for op in first.values():
        for key, value in op.attrs.items():
            numbers = (-1, 0, 2**31) if type(value) is int else (0.0, -1.0, 1e30, float("nan"))
            for number in numbers if type(value) in (int, float) else ():
                other = graph.with_op(replace(op, attrs={**op.attrs, key: number}))
                with suppress(ModelFileError):
                    lift(other, "small", "model.onnx")


@pytest.mark.parametrize(("eps", "shown"), [(0.0, "0.0"), (2.0, "2.0"), (-0.5, "-0.5")])
def test_an_eps_of_a_file_beyond_the_bounds_is_refused(
    eps: float, shown: str, tmp_path: Path
) -> None:
    """All norms in one line."""
    steps = [
        step._replace(attrs={"eps": eps}) if step.kind == "batch_norm" else step
        for step in densenet([2, 2], 4, (1, 8, 8), 10, imagenet=False)
    ]
    (line,) = refusals(read(steps, "torch", tmp_path))
    assert line.endswith(f" and 9 more: norm.eps (={shown}) must be in (0, 1]")


def test_an_image_beyond_the_bounds_is_refused() -> None:
    graph = in_a_file(build_graph(spec_of(DENSE)))
    image = replace(graph.ops["input"], attrs={"shape": (3, 16_384, 32)})
    assert "input.height (=16384) must be in [1, 8192]" in refusals(graph.with_op(image))[0]


def test_all_that_is_wrong_is_said_at_once() -> None:
    """One line for each thing, those of several operators in one."""
    graph = changed(CONV, weights_of="conv1")
    gelus = [
        replace(op, kind="gelu", attrs={"approximate": "tanh"})
        for op in graph.ops.values()
        if op.kind == "relu"
    ]
    for op in gelus:
        graph = graph.with_op(op)
    first = "features.denseblock1.denselayer1.relu1"
    assert refusals(graph) == [
        f"{first} and {len(gelus) - 1} more: is approximated by tanh; the language's gelu is exact",
        f"{CONV}: uses another operator's weights; each step has its own",
    ]


def test_a_setting_out_of_the_languages_range_is_refused_at_its_operator() -> None:
    graph = in_a_file(build_graph(spec_of(DENSE)))
    wide = replace(
        graph.ops["features.conv0"],
        attrs={**graph.ops["features.conv0"].attrs, "kernel": 33, "padding": 16},
    )
    (line,) = refusals(graph.with_op(wide))
    assert line == "features.conv0: conv.kernel (=33) must be in [1, 31]"


def test_a_layer_that_reads_another_block_is_refused() -> None:
    """A spec has sources in one block alone; what ties the two blocks together is named."""
    graph = in_a_file(build_graph(spec_of(DENSE)))
    join, norm, conv = (
        graph.ops[f"features.denseblock2.{name}"]
        for name in ("concat2", "denselayer2.norm1", "denselayer2.conv1")
    )
    channels = norm.attrs["channels"] + 8
    pool = Op(
        "pooled",
        "avg_pool",
        ("features.denseblock1.denselayer1.conv2",),
        {"kernel": 2, "stride": 2, "padding": 0},
    )
    graph = graph.with_op(pool).with_op(replace(join, inputs=(*join.inputs, "pooled")))
    graph = graph.with_op(replace(norm, attrs={**norm.attrs, "channels": channels}))
    graph = graph.with_op(replace(conv, attrs={**conv.attrs, "in_channels": channels}))
    ordered = Graph.of(
        "file", [graph.ops[name] for name in nx.lexicographical_topological_sort(graph.digraph)]
    )
    (line,) = refusals(ordered)
    words = "ends what is neither a dense block nor branches of steps"
    first = "features.denseblock1.denselayer1.norm1 is read by several branches that are joined"
    assert line == f"features.denseblock2.concat: {words}: {first}"


def test_an_output_that_is_no_blocks_is_refused() -> None:
    graph = in_a_file(build_graph(spec_of(DENSE)))
    graph = graph.with_op(Op("output 1", "output", ("features.denseblock1.denselayer2.relu2",)))
    assert refusals(graph) == [
        "features.denseblock1.denselayer2.relu2: is an output of the network, and no block's"
    ]


def test_files_beyond_any_network_are_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Operators, what they join, and what a concatenation of concatenations comes to."""
    monkeypatch.setattr(network, "MAX_JOINED", 400_000)  # else it takes as long as what is lifted
    chain = [
        IMAGE,
        *(Op(f"r{n}", "relu", (f"r{n - 1}" if n else "x",)) for n in range(MAX_OPERATORS)),
    ]
    assert refusals(Graph.of("file", chain)) == [
        f"has {MAX_OPERATORS + 1:,} operators; at most {MAX_OPERATORS:,} are lifted"
    ]
    layers = [conv(f"c{n}", "x", outs=1) for n in range(1_000)]
    joins = [Op(f"j{n}", "concat", ("x", *(f"c{i}" for i in range(n)))) for n in range(1, 1_000)]
    (line,) = refusals(
        Graph.of(
            "file", [IMAGE, *layers, *joins, Op("end", "concat", tuple(op.name for op in joins))]
        )
    )
    assert line.endswith("values in all; at most 400,000 are lifted")
    doubled = [IMAGE, *(Op(f"j{n}", "concat", (f"j{n - 1}" if n else "x",) * 2) for n in range(60))]
    with pytest.raises(ModelFileError, match="R009"):
        lift(Graph.of("file", doubled), "lifted", "model.onnx")


def test_branches_without_end_are_refused() -> None:
    """Nothing is walked twice."""
    ops = [IMAGE]
    for number in range(200):
        source = ops[-1].name
        ops += [conv(f"a{number}", source), conv(f"b{number}", f"a{number}")]
        ops.append(Op(f"s{number}", "add", (f"a{number}", f"b{number}", source)))
    assert refusals(Graph.of("file", ops))
