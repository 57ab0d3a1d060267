"""Weights of a network that joins in another order give its outputs, or are refused."""

import itertools
from pathlib import Path

import numpy as np
import oracle
import pytest

from archspec.graph.build import build_graph
from archspec.graph.ir import Graph
from archspec.spec.load import load_spec
from archspec.weights.concat_orders.join_order import ORDERS, with_order
from archspec.weights.concat_orders.permute import FixedOrder, permute_weights

SMALL = """
input: {height: 16, width: 16}
growth_rate: 4
stem: {kernel: 3, stride: 1, norm: false, pool: none}
head: {num_classes: 5}
"""
LAYER = "- conv: {width: k, kernel: 3}"
NETWORKS = {
    "bottlenecks": "block_config: [2, 3]",
    "no transitions": "block_config: [2, 2]\ntransitions: [none]",
    "other sources": "block_config: [5, 4]\nconnectivity: log",
    "a list of sources": "block_config: [3]\nconnectivity: {edges: [[0], [1, 0], [0, 2, 1]]}",
    "one order for layers, one for outputs": (
        "block_config: [5, 5]\nconnectivity: {rule: harmonic, order: newest_first,"
        " output_order: oldest_first, output: all}"
    ),
    "one order a block": (
        "blocks: [{layers: 3, connectivity: {rule: dense, order: newest_first}}, {layers: 3}]"
    ),
    "aggregation and sum": (
        "connectivity: one_shot\nlayer: post_activation\n"
        "blocks: [{layers: 3, aggregate: {channels: 8}, residual: true}]"
    ),
    "a bypass": "block_config: [3, 3]\nconnectivity: cross_stage_partial",
    "slopes and filters of each channel": (
        "block_config: [3, 2]\nactivation: prelu\nlayer:\n- norm: layer\n- activation\n"
        "- conv: {kernel: 3, groups: depthwise, bias: true}\n- norm: {kind: group, groups: 1}\n"
        + LAYER
    ),
    "gates on what is joined": (
        "block_config: [3, 2]\nlayer:\n- squeeze_excite: {reduction: 2}\n- norm\n- activation\n"
        + LAYER
        + "\nhead:\n  steps: [norm, squeeze_excite: {reduction: 2}, global_pool, dense]\n"
        "  num_classes: 5"
    ),
    "a way down and up": (
        "blocks: [{layers: 2}, {layers: 3}, {layers: 2}]\ntransitions:\n"
        "- steps: [norm, activation, conv: {width: in, kernel: 1},"
        " max_pool: {kernel: 2, stride: 2}]\n"
        "- {steps: [conv_transpose: {kernel: 2, stride: 2, bias: true}], skip: 1}\n"
    ),
    "branches": (
        "block_config: [3, 2]\nlayer:\n- norm\n- activation\n- branches:\n    of:\n"
        "    - [conv: {width: k/2, kernel: 3}]\n"
        "    - [max_pool: {kernel: 3, stride: 1, padding: 1}, conv: {width: k/2, kernel: 1}]"
    ),
}
FIXED = {
    "groups": (
        "block_config: [3]\nlayer: [norm, conv: {width: k, kernel: 3, groups: 4}]",
        "features.denseblock1.denselayer2.conv1",
    ),
    "group norms": (
        "block_config: [3]\nnorm: {kind: group, groups: 4}",
        "features.denseblock1.denselayer2.norm1",
    ),
    "slices": (
        "block_config: [3]\nlayer: [slice: {stop: in/2}, conv: {width: k, kernel: 3}]",
        "features.denseblock1.denselayer2.slice1",
    ),
    "shuffles": (
        "block_config: [3]\nlayer: [shuffle: {groups: 2}, conv: {width: k, kernel: 3}]",
        "features.denseblock1.denselayer2.shuffle1",
    ),
    "sums of what is joined differently": (
        "blocks: [{layers: 2}, {layers: 4, residual: true, connectivity: {output: new}}]\n"
        "transitions: [none]",
        "features.denseblock2.sum",
    ),
    "outputs": ("block_config: [3]\nhead: [norm, activation]", "the output"),
    "features": ("block_config: [2, 2]\nfeatures: [1]", "feature1"),
}


def graphs(text: str, folder: Path) -> list[Graph]:
    """The spec's network, and those that differ from it in an order."""
    file = folder / "net.yaml"
    small = SMALL if "\nhead:" not in text else SMALL.replace("head: {num_classes: 5}\n", "")
    file.write_text(small + text + "\n")
    spec = load_spec(str(file))
    others = [
        build_graph(with_order(spec, *orders)) for orders in itertools.product(ORDERS, ORDERS)
    ]
    return [build_graph(spec), *others]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_specs_network_gives_what_the_other_one_gives(name, tmp_path):
    """In every order of layers and outputs, in which the weights as they are give another."""
    own, *others = graphs(NETWORKS[name], tmp_path)
    images = np.random.default_rng(1).normal(size=(2, 3, 16, 16))
    matters = 0
    for theirs in others:
        tensors = oracle.random_parameters(theirs.ops.values(), seed=2)
        expected = oracle.forward(theirs.ops.values(), tensors, images)
        found = permute_weights(own, theirs, tensors)
        assert oracle.distance(oracle.forward(own.ops.values(), found, images), expected) < 1e-9
        assert {n: t.shape for n, t in found.items()} == {n: t.shape for n, t in tensors.items()}
        unmoved = oracle.forward(own.ops.values(), tensors, images)
        matters += oracle.distance(unmoved, expected) > 1e-3
    assert matters == sum(theirs.ops != own.ops for theirs in others) > 0


@pytest.mark.parametrize("name", FIXED)
def test_what_tells_channels_apart_by_their_place_is_named(name, tmp_path):
    """Groups, slices, shuffles, and what leaves the network."""
    text, place = FIXED[name]
    own, *_, theirs = graphs(text, tmp_path)
    tensors = oracle.random_parameters(theirs.ops.values(), seed=2)
    with pytest.raises(FixedOrder, match=place):
        permute_weights(own, theirs, tensors)
    assert permute_weights(own, own, tensors) == tensors
