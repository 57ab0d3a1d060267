"""The emitted text computes what the graph says, in both modes,
whatever the spec; and reads well.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import signal
from writers import operator_networks
from writers.together import (
    assert_each_computes_what_its_graph_says,
    filled,
    images_for,
    in_groups,
)

from archspec.errors import GraphError
from archspec.graph.build import build_graph
from archspec.graph.ir import Graph
from archspec.runtime import prepare
from archspec.spec.load import load_spec
from archspec.writers.mindspore.create_model import import_text
from archspec.writers.mindspore.module import write_module

GOLDEN = Path(__file__).parent.parent / "golden"
TOLERANCE = 1e-5
BARE = {"kernel": 3, "stride": 1, "norm": False, "pool": "none"}
ACTIVATIONS = ("relu", "relu6", "silu", "gelu", "hard_swish")


def graph_of(**settings_of_spec: Any) -> Graph:
    """A small verified graph, of five classes where nothing else is said."""
    return operator_networks.graph_of(**({"head": {"num_classes": 5}} | settings_of_spec))


CASES: dict[str, dict[str, Any]] = {
    **{activation: {"activation": activation} for activation in ACTIVATIONS},
    "stem with a max pool": {
        "stem": {"pool": "max", "channels": 4},
        "input": {"height": 30, "width": 37},
    },
    "stem with an avg pool": {"stem": {"kernel": 5, "stride": 1, "norm": False, "pool": "avg"}},
    "stem without a pool": {"stem": {"kernel": 7, "stride": 3, "norm": True, "pool": "none"}},
    "transitions on odd sizes": {
        "input": {"height": 29, "width": 23},
        "blocks": [{"layers": 1}, {"layers": 2}, {"layers": 3}, {"layers": 1}],
        "transitions": [
            {"pool": "avg"},
            {"pool": "max", "compression": 0.7},
            {"pool": "none", "compression": 1.0},
        ],
    },
    "templates mixed": {
        "blocks": [
            {"layers": 2, "layer": "basic", "growth_rate": 5},
            {"layers": 3, "bottleneck": 2},
            {"layers": 1, "layer": "basic"},
            {"layers": 2, "bottleneck": 1, "growth_rate": 2},
        ],
        "transitions": [{"pool": "none"}] * 3,
    },
    "layers of other steps": {
        "blocks": [
            {
                "layers": 4,
                "layer_at": {1: "basic", 3: "depthwise_separable"},
                "growth_rate": [3, 2, 4, 3],
            },
            {"layers": 3, "layer_at": {2: "basic"}, "connectivity": {"output": "new"}},
            {
                "layers": 3,
                "layer_at": {3: "basic"},
                "connectivity": "log",
                "residual": True,
                "aggregate": {"compression": 0.4},
            },
        ],
        "drop_rate": 0.3,
    },
    "the stem's output at the end of transitions": {
        "blocks": [{"layers": 2}, {"layers": 2}, {"layers": 1}],
        "transitions": [
            {"pool": "none", "skip": "stem"},
            {
                "pool": "none",
                "channels": 6,
                "skip": "stem",
                "join": "add",
                "after": "post_activation",
            },
            {"steps": "none", "skip": "stem"},
        ],
    },
    "dropout after each convolution": {"drop_rate": 0.5, "drop_after": "conv"},
    "dropout": {"drop_rate": 0.5, "head": {"num_classes": 3, "dropout": 0.5}},
    "norm": {"norm": {"eps": 0.1, "momentum": 0.5}},
    "one block, one class": {"blocks": [{"layers": 4}], "head": {"num_classes": 1}},
}


@pytest.fixture(scope="module")
def ms() -> Iterator[Any]:
    prepare()
    import mindspore

    yield mindspore
    mindspore.set_context(mode=mindspore.PYNATIVE_MODE)


def run(ms: Any, network: Any, images: Any, mode: int) -> Any:
    ms.set_context(mode=mode)
    return network.set_train(False)(ms.Tensor(images)).asnumpy()


@pytest.mark.parametrize("cases", in_groups([*CASES], 8), ids=", ".join)
def test_small_networks_compute_what_their_graphs_say(ms: Any, cases: list[str]) -> None:
    """With weights and statistics that hide nothing."""
    graphs = {case: graph_of(**CASES[case]) for case in cases}
    assert_each_computes_what_its_graph_says(ms, graphs, TOLERANCE, is_compiled=False)


COMPILED = ("templates mixed", "layers of other steps", "dropout after each convolution")


@pytest.mark.parametrize(
    "cases", [COMPILED, pytest.param([*CASES], marks=pytest.mark.slow)], ids=["some", "all"]
)
def test_small_networks_are_compiled_to_what_their_graphs_say(ms: Any, cases: list[str]) -> None:
    """Graph mode, PyNative and a NumPy forward agree."""
    graphs = {case: graph_of(**CASES[case]) for case in cases}
    assert_each_computes_what_its_graph_says(ms, graphs, TOLERANCE)


def test_the_small_networks_tell_activations_apart() -> None:
    """A wrong one would be far outside the tolerance."""
    graphs_ = [graph_of(**CASES[activation]) for activation in ACTIVATIONS]
    parameters, images = (
        oracle.random_parameters(graphs_[0].ops.values(), 0),
        images_for(graphs_[0]),
    )
    logits = [oracle.forward(graph.ops.values(), parameters, images) for graph in graphs_]
    assert all(oracle.distance(a, b) > 100 * TOLERANCE for a, b in combinations(logits, 2))


@pytest.mark.parametrize("is_compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_densenet121_computes_what_its_graph_says(ms: Any, is_compiled: bool) -> None:
    """The whole network at 64 x 64; compiled too, as one of its relatives is in each run."""
    graph = build_graph(load_spec("densenet121", ["input.height=64", "input.width=64"]))
    graphs = {graph.name: graph}
    assert_each_computes_what_its_graph_says(ms, graphs, TOLERANCE, is_compiled=is_compiled)


def test_the_stems_max_pool_does_not_take_its_padding_for_features(ms: Any) -> None:
    """Where all features are negative, a border of zeros would win every window at the edge."""
    graph = graph_of(stem={"kernel": 1, "stride": 1, "norm": False, "pool": "max"})
    network, parameters = filled(ms, graph)
    parameters["features.conv0.weight"] = -np.abs(parameters["features.conv0.weight"])
    network.parameters_dict()["features.conv0.weight"].set_data(
        ms.Tensor(parameters["features.conv0.weight"])
    )
    images = np.abs(images_for(graph)) + 0.1
    pooled = dict(
        zip(graph.ops, oracle.values(graph.ops.values(), parameters, images), strict=True)
    )
    assert pooled["features.pool0"].max() < 0
    for mode in (ms.PYNATIVE_MODE, ms.GRAPH_MODE):
        found = run(ms, network, images, mode)
        assert oracle.distance(found, pooled["classifier"]) <= TOLERANCE


def test_dropout_is_there_in_training_and_gone_in_evaluation(ms: Any) -> None:
    """Two runs in training differ by what was dropped; two in evaluation do not."""
    graph = graph_of(**CASES["dropout"], norm={"momentum": 1.0})
    network, _ = filled(ms, graph)
    ms.set_context(mode=ms.PYNATIVE_MODE)
    images = ms.Tensor(images_for(graph))
    first, second = (network.set_train(True)(images).asnumpy() for _ in range(2))
    assert not np.array_equal(first, second)
    first, second = (network.set_train(False)(images).asnumpy() for _ in range(2))
    assert np.array_equal(first, second)


def test_the_oracles_convolution_is_scipys() -> None:
    """The im2col of the oracle agrees with scipy.signal, stride and padding included."""
    random = np.random.default_rng(0)
    x, weight = random.normal(size=(2, 3, 9, 8)), random.normal(size=(4, 3, 3, 3))
    attrs = {"kernel": 3, "stride": 2, "padding": 1}
    found = oracle.KINDS["conv"]([x], {"weight": weight}, attrs)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    for image, out in np.ndindex(2, 4):
        whole = signal.correlate(padded[image], weight[out], mode="valid")[0]
        assert np.allclose(found[image, out], whole[::2, ::2])


WIDTHS = st.sampled_from([1, 2, 3, 4, 8])  # few and small, so that widths often coincide by chance
BLOCKS = st.fixed_dictionaries(
    {"layers": st.integers(1, 3)},
    optional={
        "growth_rate": WIDTHS,
        "bottleneck": st.sampled_from([1, 2, 4]),
        "layer": st.sampled_from(["basic", "bottleneck"]),
        "layer_at": st.just({1: "post_activation"}),
        "drop_rate": st.sampled_from([0.0, 0.2, 0.5]),
    },
)
TRANSITIONS = st.fixed_dictionaries(
    {
        "compression": st.sampled_from([0.25, 0.5, 1.0]),
        "pool": st.sampled_from(["avg", "max", "none"]),
    }
)
STEMS = st.fixed_dictionaries(
    {
        "kernel": st.sampled_from([1, 3, 5, 7]),
        "stride": st.integers(1, 2),
        "norm": st.booleans(),
        "pool": st.sampled_from(["max", "avg", "none"]),
    },
    optional={"channels": WIDTHS},
)


@st.composite
def graphs(draw: Any) -> Graph:
    blocks = draw(st.lists(BLOCKS, min_size=1, max_size=4))
    try:
        return graph_of(
            stem=draw(STEMS),
            growth_rate=draw(WIDTHS),
            bottleneck=draw(st.sampled_from([1, 2, 4])),
            blocks=blocks,
            transitions=draw(
                st.lists(TRANSITIONS, min_size=len(blocks) - 1, max_size=len(blocks) - 1)
            ),
            activation=draw(st.sampled_from(ACTIVATIONS)),
            head={
                "num_classes": draw(st.integers(1, 4)),
                "dropout": draw(st.sampled_from([0.0, 0.1])),
            },
            norm={"momentum": draw(st.sampled_from([0.9, 0.25]))},
        )
    except GraphError:  # no pixel or no channel left
        reject()


def test_any_spec_gives_a_right_and_readable_module(ms: Any, as_ruff_has_it: Any) -> None:
    """Parameters are the graph's by name and shape, logits the oracle's,
    the text as ruff would have it.
    """
    texts = list[str]()

    @settings(max_examples=40, derandomize=True, database=None)
    @given(graph=graphs())
    def try_one(graph: Graph) -> None:
        assert_is_right(ms, graph)
        texts.append(write_module(graph))

    try_one()
    as_ruff_has_it(*texts)


def assert_is_right(ms: Any, graph: Graph) -> None:
    network, parameters = filled(ms, graph)
    found = {parameter.name: parameter.shape for parameter in network.get_parameters()}
    assert found == oracle.shapes(graph.ops.values())
    setting = {"dropout": "rate", "batch_norm": "momentum"}
    hidden = {
        op.name: op.attrs[setting[op.kind]] for op in graph.ops.values() if op.kind in setting
    }
    assert hidden_settings(ms, network) == hidden
    images = images_for(graph)
    expected = oracle.forward(graph.ops.values(), parameters, images)
    assert oracle.distance(run(ms, network, images, ms.PYNATIVE_MODE), expected) <= TOLERANCE


def hidden_settings(ms: Any, network: Any) -> dict[str, float]:
    """What evaluation does not show: rates of dropout,
    and how much of the statistics a training step keeps.
    """
    cells = dict(network.cells_and_names())
    rates = {name: cell.p for name, cell in cells.items() if isinstance(cell, ms.nn.Dropout)}
    norms = {
        name: round(1 - cell.momentum, 6)
        for name, cell in cells.items()
        if isinstance(cell, ms.nn.BatchNorm2d)
    }
    return rates | norms


def test_blocks_share_a_class_where_their_layers_are_alike() -> None:
    """Widths are parameters; another template, or dropout, makes another class."""
    widths = [{"layers": 2}, {"layers": 1, "growth_rate": 7}, {"layers": 3, "bottleneck": 2}]
    assert classes(graph_of(blocks=widths)) == [
        "DenseLayer",
        "DenseBlock",
        "Transition",
        "Features",
        "Network",
    ]
    mixed = classes(
        graph_of(blocks=[{"layers": 2}, {"layers": 2, "layer": "basic"}, {"layers": 2}])
    )
    assert mixed == [
        *("DenseLayer", "DenseBlock", "Transition", "DenseLayer2", "DenseBlock2"),
        *("Features", "Network"),
    ]


def test_a_block_is_a_loop_unless_a_layer_of_it_differs() -> None:
    """A class for each kind of layer; blocks whose layers are alike,
    by whatever key, share the loop.
    """
    unlike = {"layers": 3, "layer_at": {2: "basic"}}
    graph = graph_of(
        blocks=[{"layers": 3}, unlike, {"layers": 2, "layer_at": {1: "bottleneck"}}, unlike]
    )
    assert classes(graph) == [
        *("DenseLayer", "DenseBlock", "Transition", "DenseLayer2", "DenseBlock2"),
        *("Features", "Network"),
    ]
    text = write_module(graph)
    assert text.count("for i in range(num_layers)") == 1
    assert "self.denselayer2 = DenseLayer2(in_channels + growth_rate, growth_rate)" in text


def test_widths_that_coincide_are_called_by_what_they_are() -> None:
    """With a growth rate of 1, a bottleneck's width equals its factor;
    it is still their product.
    """
    text = write_module(graph_of(growth_rate=1, blocks=[{"layers": 2}]))
    assert "self.conv1 = conv(in_channels, bottleneck * growth_rate, 1)" in text
    assert "self.conv2 = conv(bottleneck * growth_rate, growth_rate, 3)" in text


def test_a_container_says_by_how_much_it_shrinks_the_image() -> None:
    """The strides of nested cells count: densenet121's features are a 32nd as high."""
    text = write_module(build_graph(load_spec("densenet121")))
    assert "(N, 3, H, W) -> (N, 1024, H / 32, W / 32)." in text
    assert "(N, in_channels, H, W) -> (N, out_channels, H / 2, W / 2)." in text


def test_densenet121s_module_is_the_golden_one_and_of_a_persons_length() -> None:
    """Every byte is settled (RENEW_GOLDEN=1 renews); about a hundred lines, few names repeated."""
    text, file = (
        write_module(build_graph(load_spec("densenet121"))),
        GOLDEN / "network_densenet121.py.txt",
    )
    if os.environ.get("RENEW_GOLDEN") == "1":
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")
    assert 100 <= text.count("\n") <= 165
    assert max(map(len, text.splitlines())) <= 88


@pytest.mark.parametrize("name", ["A" + "-" * 63, "a.b..c", "Z_", "None", "import", "x" * 64])
def test_any_name_that_a_spec_may_have_gives_a_module(
    ms: Any, name: str, as_ruff_has_it: Any
) -> None:
    """It stands in the docstring and in a file's name alone."""
    text = write_module(graph_of(name=name))
    as_ruff_has_it(text)
    assert import_text(text, name).__doc__.startswith(f"{name}, written by")


@pytest.mark.parametrize("name", ['a"""', "a\nimport os", "a\\", "a b", "{0}", "ä", "", "-a"])
def test_no_other_name_comes_as_far_as_the_text(name: str) -> None:
    """The spec refuses it, and so does the writer, for graphs that come from elsewhere."""
    with pytest.raises(ValidationError):
        graph_of(name=name)
    with pytest.raises(GraphError, match="W003"):
        write_module(replace(graph_of(), name=name))


@pytest.mark.parametrize("name", ["features.x = 1", "x)", "a..b", ".a", "a.1", "ä", "a\n"])
def test_no_operator_whose_name_is_not_one_is_written(name: str) -> None:
    """Operators' names become attributes of cells."""
    graph = graph_of()
    last = replace(graph.ops["classifier"], name=name)
    with pytest.raises(GraphError, match="W003"):
        write_module(graph.without_op("classifier").with_op(last))


def test_what_a_spec_says_for_people_does_not_enter_the_text() -> None:
    """Description and source may hold anything."""
    hostile = '"""\nimport os  # {title} %s \\'
    assert write_module(graph_of(description=hostile, source=hostile)) == write_module(graph_of())


def test_one_graph_gives_one_text(ms: Any) -> None:
    """Byte for byte, and one module: what the spec does not say cannot change it."""
    texts = [write_module(graph_of()) for _ in range(3)]
    modules = [import_text(text, "network") for text in texts]
    assert all(a == b for a, b in pairwise(texts))
    assert all(a is b for a, b in pairwise(modules))


def classes(graph: Graph) -> list[str]:
    lines = write_module(graph).splitlines()
    return [line.split()[1].partition("(")[0] for line in lines if line.startswith("class ")]
