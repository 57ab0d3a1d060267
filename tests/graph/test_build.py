"""Graphs built from any spec: proved right, and equal to counts made without the builder."""

import re
from pathlib import Path
from typing import Any

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archspec.errors import Diagnostic, GraphError, Place
from archspec.graph.build import build_graph
from archspec.graph.ir import Graph, Op, Region
from archspec.graph.report import report
from archspec.graph.shape_causes import find_causes
from archspec.graph.shapes import infer_shapes
from archspec.operators.table import OPERATORS
from archspec.spec.load import load_spec
from archspec.spec.override import Override
from archspec.spec.spec import Spec
from archspec.verifiers.verify import verify

blocks = st.fixed_dictionaries(
    {"layers": st.integers(1, 8)},
    optional={
        "growth_rate": st.integers(1, 12),
        "layer": st.sampled_from(["basic", "bottleneck"]),
        "bottleneck": st.integers(1, 4),
        "drop_rate": st.sampled_from([0.0, 0.2]),
    },
)
transitions = st.fixed_dictionaries(
    {},
    optional={
        "compression": st.sampled_from([1.0, 0.5, 0.7, 0.25]),
        "pool": st.sampled_from(["avg", "max", "none"]),
    },
)


@st.composite
def specs(draw: st.DrawFn) -> Spec:
    """Small networks of every shape that the language can say."""
    listed = draw(st.lists(blocks, min_size=1, max_size=4))
    between = st.lists(transitions, min_size=len(listed) - 1, max_size=len(listed) - 1)
    stem = st.fixed_dictionaries(
        {"channels": st.integers(4, 20)},
        optional={
            "kernel": st.sampled_from([1, 3, 5, 7]),
            "stride": st.integers(1, 3),
            "norm": st.booleans(),
            "pool": st.sampled_from(["max", "avg", "none"]),
        },
    )
    optional: dict[str, st.SearchStrategy[Any]] = {
        "transitions": between,
        "layer": st.sampled_from(["basic", "bottleneck"]),
        "activation": st.sampled_from(["relu", "silu", "gelu"]),
        "drop_rate": st.sampled_from([0.0, 0.1]),
        "head": st.fixed_dictionaries(
            {"num_classes": st.integers(1, 20), "dropout": st.sampled_from([0.0, 0.5])}
        ),
    }
    fixed = {
        "growth_rate": st.integers(1, 12),
        "stem": stem,
        "input": st.fixed_dictionaries(
            {
                "channels": st.integers(1, 4),
                "height": st.integers(64, 90),
                "width": st.integers(64, 90),
            }
        ),
    }
    return Spec.model_validate(
        {**draw(st.fixed_dictionaries(fixed, optional=optional)), "blocks": listed}
    )


def halved(size: int) -> int:
    return size // 2


def counted(spec: Spec) -> tuple[int, int, list[tuple[int, ...]]]:
    """Parameters, BN statistics, and the shape behind each block:
    the paper's arithmetic in a plain loop.
    """
    stem = spec.stem
    channels = stem.channels or 2 * spec.growth_rate
    params = spec.input.channels * channels * stem.kernel**2 + (2 * channels if stem.norm else 0)
    norms = channels if stem.norm else 0
    # A window of odd size with padding of half its size keeps ceil(size / stride) pixels.
    sizes = [-(-size // stem.stride) for size in (spec.input.height, spec.input.width)]
    sizes = [-(-size // 2) for size in sizes] if stem.pool != "none" else sizes
    shapes: list[tuple[int, ...]] = []
    for number, block in enumerate(spec.blocks):
        k = block.growth_rate or spec.growth_rate
        wide = (block.bottleneck or spec.bottleneck) * k
        for _ in range(block.layers):
            if (block.layer or spec.layer) == "basic":
                params += 2 * channels + 9 * channels * k
                norms += channels
            else:
                params += 2 * channels + channels * wide + 2 * wide + 9 * wide * k
                norms += channels + wide
            channels += k
        shapes.append((channels, *sizes))
        if number == len(spec.blocks) - 1:
            break
        transition = spec.transitions[number] if spec.transitions else None
        share = (transition.compression if transition else None) or spec.compression
        kept = channels * round(share * 100) // 100
        params += 2 * channels + channels * kept
        norms += channels
        channels = kept
        if transition is None or transition.pool != "none":
            sizes = [halved(size) for size in sizes]
    params += 2 * channels + (channels + 1) * spec.head.num_classes
    return params, 2 * (norms + channels), shapes


@settings(max_examples=100)
@given(specs())
def test_any_spec_gives_a_graph_that_is_proved_right(spec: Spec) -> None:
    """No verifier finds a fault in what the builder makes."""
    assert verify(build_graph(spec)) == ()


@settings(max_examples=100)
@given(specs())
def test_any_graph_has_the_papers_counts_and_shapes(spec: Spec) -> None:
    """Parameters, BN statistics and the shape behind each block
    equal a count from the spec alone.
    """
    found = report(build_graph(spec))
    params, stats, shapes = counted(spec)
    assert (found.params, found.params_with_stats) == (params, params + stats)
    outputs = [stage.output for stage in found.stages if stage.kind == "dense_block"]
    assert outputs == shapes
    assert found.output == (spec.head.num_classes,)


@settings(max_examples=50)
@given(specs())
def test_any_graph_is_one_flow_in_running_order(spec: Spec) -> None:
    """One source, one sink, acyclic, each operator behind its inputs,
    every name unlike all others.
    """
    graph = build_graph(spec)
    assert nx.is_directed_acyclic_graph(graph.digraph)
    assert (
        [n for n, degree in graph.digraph.in_degree() if not degree]
        == list(graph.inputs)
        == ["input"]
    )
    assert [n for n, degree in graph.digraph.out_degree() if not degree] == list(graph.outputs)
    order = {name: index for index, name in enumerate(graph.ops)}
    assert all(order[source] < order[op.name] for op in graph.ops.values() for source in op.inputs)
    assert {op.kind for op in graph.ops.values()} <= set(OPERATORS)


@pytest.mark.parametrize(
    ("head", "last"),
    [("none", "features.transition2.pool"), ("classifier", "classifier")],
)
def test_features_come_in_their_order_and_before_what_the_network_gives(
    head: str, last: str
) -> None:
    """A transition behind the last block gives an output itself where no head follows."""
    spec = Spec.model_validate(
        {
            "name": "net",
            "growth_rate": 4,
            "blocks": [{"layers": 2}, {"layers": 2}],
            "transitions": [{}, {}],
            "head": {"steps": head},
            "features": [2, 1],
        }
    )
    assert build_graph(spec).outputs == ("feature2", "feature1", last)


def test_operators_are_named_after_torchvisions_places() -> None:
    """So that weights find theirs: the places of densenet121 in torchvision."""
    graph = build_graph(load_spec("densenet121"))
    layers = [6, 12, 24, 16]
    expected = {"features.conv0", "features.norm0", "features.norm5", "classifier"}
    for block, count in enumerate(layers, start=1):
        for layer in range(1, count + 1):
            place = f"features.denseblock{block}.denselayer{layer}"
            expected |= {f"{place}.{part}" for part in ("norm1", "conv1", "norm2", "conv2")}
        if block < len(layers):
            expected |= {f"features.transition{block}.{part}" for part in ("norm", "conv")}
    weighty = {"conv", "batch_norm", "dense"}
    assert {op.name for op in graph.ops.values() if op.kind in weighty} == expected


def test_a_longer_block_renames_nothing_elsewhere() -> None:
    """Names depend on the place in a block, never on the number of layers before it."""
    short = set(build_graph(load_spec("densenet121", ["block_config=[2, 2, 2]"])).ops)
    long = set(build_graph(load_spec("densenet121", ["block_config=[2, 5, 2]"])).ops)
    assert short < long
    assert all(name.startswith("features.denseblock2.") for name in long - short)


def faults_of(*overrides: str | Override, spec: str | Path = "densenetbc_digits") -> list[str]:
    with pytest.raises(GraphError) as caught:
        build_graph(load_spec(spec, overrides))
    assert {fault.code for fault in caught.value.diagnostics} == {"G006"}
    return [f"{fault.where} {fault.message}" for fault in caught.value.diagnostics]


@pytest.mark.parametrize(
    ("name", "convolutions"), [("densenet40_k12", 39), ("densenetbc100_k12", 99)]
)
def test_dropout_stands_behind_every_convolution_but_the_first(
    name: str, convolutions: int
) -> None:
    """Huang et al. 2017, section 4.2, where a network of depth L has L - 1 convolutions;
    else at each layer's end.
    """
    graph = build_graph(load_spec(name, {"drop_rate": 0.2, "drop_after": "conv"}))
    dropped = [graph.ops[op.inputs[0]].name for op in graph.ops.values() if op.kind == "dropout"]
    convs = [op.name for op in graph.ops.values() if op.kind == "conv"]
    assert len(convs) == convolutions
    assert dropped == convs[1:]
    usual = build_graph(load_spec(name, {"drop_rate": 0.2}))
    ends = [op.name for op in usual.ops.values() if op.kind == "dropout"]
    assert ends == [
        f"{region.name}.drop" for region in usual.regions.values() if region.kind == "dense_layer"
    ]


@pytest.mark.parametrize(("layers", "rates"), [((2, 3), (0.1, 0.2, 0.3, 0.4)), ((1,), ())])
def test_a_rate_over_depth_grows_evenly_from_the_first_layer_to_the_last(
    layers: tuple[int, ...], rates: tuple[float, ...]
) -> None:
    """As ConvNeXt and Swin have it, over the layers of all blocks; a rate of 0 is no operator."""
    path = {"drop_path": {"rate": 0.4, "over": "depth"}}
    spec = Spec.model_validate(
        {
            "growth_rate": 4,
            "blocks": [{"layers": count} for count in layers],
            "layer": [{"conv": {"width": "k", "kernel": 3}}, path, {"drop_path": {"rate": 0.0}}],
        }
    )
    graph = build_graph(spec)
    found = [op.attrs["rate"] for op in graph.ops.values() if op.kind == "drop_path"]
    assert tuple(found) == rates
    assert verify(graph) == ()


def test_an_image_that_is_too_small_is_told_at_its_height_and_width() -> None:
    """An image of 8 x 8 has no pixel left for densenet121's second transition;
    29 is the least, as building shows.
    """
    why = (
        "(=8) must be at least 29: features.transition2.pool has no pixel left for its 2-pixel "
        "window"
    )
    assert faults_of("input.height=8", "input.width=8", spec="densenet121") == [
        f"--set input.height=8 input.height {why}",
        f"--set input.width=8 input.width {why}",
    ]
    (one,) = faults_of("input.width=28", spec="densenet121")
    assert "features.transition3.pool" in one
    build_graph(load_spec("densenet121", ["input.height=29", "input.width=29"]))


def test_an_image_is_followed_through_operators_of_many_channels() -> None:
    """Filters of one weight each cannot be standardized: of one channel they are not."""
    conv = "{conv: {kernel: 1, width: k, standardized: true}}"
    found = faults_of("input.height=8", f"layer=[norm, {conv}]", spec="densenet121")
    (one,) = (fault for fault in found if "input.height (=8)" in fault)
    assert "must be at least 29: features.transition2.pool" in one


def test_a_norm_that_fits_nowhere_is_told_at_its_step() -> None:
    """The spec's own norm is blamed where its settings are: a vector has no groups of pixels."""
    head = "head=[{global_pool: {}}, norm, dense]"
    (found,) = faults_of("norm={kind: group, groups: 4}", head)
    assert found.startswith("--set head=")
    assert "needs a feature map" in found
    (found, *_) = faults_of("norm={kind: group, groups: 5}")
    assert found.startswith("--set norm=")
    assert "groups (=5) of the norm must divide" in found


def test_one_flag_that_makes_an_image_too_small_is_one_fault() -> None:
    """Height and width that were written in one place, and those that nobody wrote:
    then it is the blocks.
    """
    flag = [
        Override((f"input.{side}", 1), Place("--image-size 1", "command line"))
        for side in ("height", "width")
    ]
    (found,) = faults_of(*flag)
    assert found.startswith("--image-size 1 input.height and input.width (=1) must be at least 2: ")
    (found,) = faults_of(f"block_config={[1] * 9}", spec="densenet121")
    assert found.startswith(f"--set block_config={[1] * 9}"[:40])
    assert "input.height and input.width (=224) must be at least 1021: " in found


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        (
            "compression: 0.001",
            ["3:14 compression (=0.001) leaves features.transition1 no channel of its 48"],
        ),
        (
            "transitions: [{pool: max}, {compression: 0.01}]\ncompression: 0.02",
            [
                "4:14 compression (=0.02) leaves features.transition1 no channel of its 48",
                (
                    "3:42 transitions[1].compression (=0.01) leaves features.transition2 no "
                    "channel of its 24"
                ),
            ],
        ),
        (
            "transitions: [{compression: 0.02}, {compression: 0.01}]\ninput: {width: 1}",
            [
                (
                    "3:29 transitions[0].compression (=0.02) leaves features.transition1 no "
                    "channel of its 48"
                ),
                (
                    "3:50 transitions[1].compression (=0.01) leaves features.transition2 no "
                    "channel of its 24"
                ),
                "4:16 input.width (=1) must be at least 13: features.transition1.pool has no "
                "pixel left for its "
                "2-pixel window",
            ],
        ),
    ],
    ids=["one key for all", "one key and one transition", "each its own, and the image"],
)
def test_what_leaves_no_channel_is_told_at_the_key_that_says_it(
    tmp_path: Path, text: str, faults: list[str]
) -> None:
    """All causes at once, each once, however many transitions follow it."""
    path = tmp_path / "net.yaml"
    path.write_text(f"growth_rate: 12\nblock_config: [2, 2, 2]\n{text}\n", encoding="utf-8")
    assert faults_of(spec=path) == [f"{path}:{fault}" for fault in faults]


def test_the_proposed_compression_leaves_one_channel() -> None:
    """What the hint says builds, and a network of one channel in that place is found."""
    with pytest.raises(GraphError) as caught:
        build_graph(load_spec("densenetbc_digits", ["transitions.0.compression=0.001"]))
    (fault,) = caught.value.diagnostics
    assert (fault.where, fault.hint) == ("--set transitions.0.compression=0.001", "0.014 or more")
    graph = build_graph(load_spec("densenetbc_digits", ["transitions.0.compression=0.014"]))
    assert graph.ops["features.transition1.conv"].attrs["out_channels"] == 1


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from(["avg", "none"]), max_size=5),
    st.fixed_dictionaries(
        {
            "kernel": st.sampled_from([1, 3, 5, 7]),
            "stride": st.integers(1, 4),
            "pool": st.sampled_from(["max", "none"]),
        }
    ),
)
def test_the_proposed_image_size_is_the_least_that_builds(
    pools: list[str], stem: dict[str, Any]
) -> None:
    """Of any strides: the size in the message builds, one pixel less does not."""

    def spec(size: int) -> Spec:
        sizes = {"channels": 1, "height": size, "width": size}
        listed = [{"pool": pool} for pool in pools]
        blocks = [{"layers": 1}] * (len(pools) + 1)
        return Spec.model_validate(
            {
                "growth_rate": 2,
                "input": sizes,
                "stem": stem,
                "blocks": blocks,
                "transitions": listed,
            }
        )

    if "avg" not in pools:
        build_graph(spec(1))
        return
    with pytest.raises(
        GraphError, match=r"net.* G006 input.height and input.width \(=1\) must be at least"
    ) as caught:
        build_graph(spec(1))
    least = int(re.findall(r"at least (\d+)", str(caught.value))[0])
    build_graph(spec(least))
    with pytest.raises(GraphError):
        build_graph(spec(least - 1))


def test_two_operators_of_one_name_are_refused() -> None:
    """A graph never drops an operator silently."""
    op = Op("a", "input", (), {"shape": (1, 2, 2)})
    with pytest.raises(GraphError, match="a G001 the name stands for two things"):
        Graph.of("net", [op, op])
    with pytest.raises(GraphError, match="r G001"):
        Graph.of("net", [op], [Region("r", "stem"), Region("r", "head")])


def test_a_graph_is_a_value() -> None:
    """Changing a graph gives another; operators, attributes and edges cannot be written to."""
    graph = build_graph(load_spec("densenetbc_digits"))
    conv = graph.ops["features.conv0"]
    with pytest.raises(TypeError):
        graph.ops["x"] = conv  # type: ignore[index]
    with pytest.raises(TypeError):
        conv.attrs["kernel"] = 5  # type: ignore[index]
    with pytest.raises(nx.NetworkXError):
        graph.digraph.add_edge("a", "b")
    assert "features.conv0" not in graph.without_op("features.conv0").ops
    assert "features.conv0" in graph.ops


def test_shapes_do_not_depend_on_the_order_of_listing() -> None:
    """Listed backwards, the operators still run in a right order."""
    graph = build_graph(load_spec("densenetbc_digits"))
    backwards = Graph.of(graph.name, reversed(list(graph.ops.values())), graph.regions.values())
    assert infer_shapes(backwards) == infer_shapes(graph)
    assert verify(backwards) == ()


def test_one_fault_of_shape_is_reported_once() -> None:
    """What reads an operator without a shape is not blamed for it."""
    graph = build_graph(load_spec("densenetbc_digits"))
    conv = graph.ops["features.conv0"]
    broken = graph.with_op(
        Op(conv.name, "conv", conv.inputs, {**conv.attrs, "kernel": 99}, conv.region)
    )
    (fault,) = infer_shapes(broken)[1]
    assert (fault.where, fault.code) == ("features.conv0", "G006")


def test_a_block_of_a_thousand_layers_is_built_and_proved() -> None:
    """500,500 direct connections."""
    graph = build_graph(load_spec("densenetbc100_k12", ["block_config=[1000]", "growth_rate=1"]))
    assert verify(graph) == ()
    assert report(graph).edges == 500_500


def test_a_fault_of_shape_that_no_setting_explains_is_told_at_its_regions_line() -> None:
    """Though no spec gives one: a fault of a convolution's channels stays what it is."""
    spec = load_spec("densenetbc_digits", ["input.height=1"])
    graph = build_graph(load_spec("densenetbc_digits"))
    graph = graph.with_op(Op("input", "input", (), {"shape": (1, 1, 8)}))
    fault = Diagnostic("G006", "is made for 3 channels, reads 1", "features.conv0")
    small, other = find_causes(graph, spec, [fault], {})
    assert small.where == "--set input.height=1"
    assert (
        str(other)
        == f"{spec.place(('stem',))} G006 features.conv0: is made for 3 channels, reads 1"
    )
