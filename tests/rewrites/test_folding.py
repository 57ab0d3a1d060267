"""Which norms are folded for evaluation, and which convolutions turned."""

import numpy as np
import pytest

from archspec.graph.build import build_graph
from archspec.graph.ir import Graph, Op
from archspec.graph.parameters import list_parameters
from archspec.rewrites.folding import choose_folding, find_folds, find_turned, fold_values
from archspec.spec.load import load_spec

ONE = ["block_config=[1,1]", "growth_rate=4", "stem.channels=8"]
LAYER = "features.denseblock1.denselayer1"


def draw_tensors(graph, seed=0):
    """Values as a trained network has them: scales above zero."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for name, parameter in list_parameters(graph).items():
        values = rng.normal(size=parameter.shape)
        if parameter.role in ("gamma", "moving_variance"):
            values = rng.uniform(0.2, 2.0, parameter.shape)
        tensors[name] = values.astype(np.float32)
    return tensors


def digits(overrides=()):
    return build_graph(load_spec("densenetbc_digits", [*ONE, *overrides]))


def test_each_norm_goes_to_the_convolution_beside_it():
    """The first norm of a layer through its ReLU to the convolution behind, the second to the one
    before; the last of the network stands beside none.
    """
    folds = {fold.norm: (fold.conv, fold.is_behind) for fold in find_folds(digits())}
    assert folds[f"{LAYER}.norm1"] == (f"{LAYER}.conv1", False)
    assert folds[f"{LAYER}.norm2"] == (f"{LAYER}.conv1", True)
    assert folds["features.transition1.norm"] == ("features.transition1.conv", False)
    norms = [op.name for op in digits().ops.values() if op.kind == "batch_norm"]
    assert set(norms) - folds.keys() == {"features.norm5"}


def test_a_norm_behind_a_transposed_convolution_goes_to_it():
    """Its filters make the channels of their second dimension."""
    step = "{conv_transpose: {width: 6, kernel: 2, stride: 2}}"
    graph = digits([f"transition=[{step}, norm]", "head=per_pixel"])
    folds = {fold.norm: (fold.conv, fold.is_behind) for fold in find_folds(graph)}
    norm, conv = "features.transition1.norm", "features.transition1.conv"
    assert folds[norm] == (conv, True)
    tensors = draw_tensors(graph)
    values = fold_values(graph, choose_folding(graph, tensors, turns=False), tensors)
    scale = tensors[f"{norm}.gamma"] / np.sqrt(
        tensors[f"{norm}.moving_variance"] + graph.ops[norm].attrs["eps"]
    )
    expected = np.einsum("iohw,o->iohw", tensors[f"{conv}.weight"], scale)
    np.testing.assert_allclose(values[f"{conv}.weight"], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("setting", "folded"),
    [
        ("activation=leaky_relu", {"norm2"}),
        ("activation=relu6", {"norm2"}),
        ("activation=gelu", {"norm2"}),
        ("norm={kind: group, groups: 2}", set()),
        ("norm={kind: layer}", set()),
    ],
)
def test_what_other_activations_and_norms_leave(setting, folded):
    """A scale passes through a ReLU alone; norms that measure the image are never folded."""
    found = {fold.norm for fold in find_folds(digits([setting]))}
    assert {name for name in ("norm1", "norm2") if f"{LAYER}.{name}" in found} == folded


@pytest.mark.parametrize("bad", [0.0, -0.5, 1e-30, np.nan, np.inf])
@pytest.mark.parametrize("role", ["gamma", "moving_variance"])
def test_a_scale_that_is_not_above_zero_stays_in_its_norm(role, bad):
    """One channel is enough. Behind a convolution any scale will do, also one that is no number:
    it is for the figures to say so.
    """
    graph = digits()
    tensors = draw_tensors(graph)
    for norm in ("norm1", "norm2"):
        tensors[f"{LAYER}.{norm}.{role}"][2] = bad
    found = {fold.norm for fold in choose_folding(graph, tensors, turns=False).folds}
    is_scale = role == "moving_variance" and bad in (0.0, 1e-30)  # eps is added to it
    assert (f"{LAYER}.norm1" in found) == is_scale
    assert f"{LAYER}.norm2" in found


def test_convolutions_that_make_fewer_channels_are_turned():
    turned = find_turned(digits())
    assert f"{LAYER}.conv2" in turned  # 16 channels become 4
    assert f"{LAYER}.conv1" not in turned  # a window of one pixel copies nothing
    assert "features.conv0" not in turned


def test_values_of_a_layer_by_hand():
    """Products of one pixel, as the layer computes them."""
    graph = digits()
    tensors = draw_tensors(graph)
    found = fold_values(graph, choose_folding(graph, tensors, turns=True), tensors)
    x = np.random.default_rng(1).normal(size=8)

    def normalise(name, x):
        gamma, beta, mean, variance = (
            tensors[f"{LAYER}.{name}.{role}"].astype(np.float64)
            for role in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        return gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta

    filters = tensors[f"{LAYER}.conv1.weight"][:, :, 0, 0]
    expected = normalise("norm2", filters @ np.maximum(normalise("norm1", x), 0))
    folded = found[f"{LAYER}.conv1.weight"][:, :, 0, 0]
    shifted = np.maximum(x + found[f"{LAYER}.norm1.shift"], 0)
    np.testing.assert_allclose(
        folded @ shifted + found[f"{LAYER}.norm2.shift"], expected, rtol=1e-5, atol=1e-5
    )
    own, turned = (values[f"{LAYER}.conv2.weight"] for values in (tensors, found))
    assert turned.shape == (16, 4, 3, 3)
    assert turned[5, 1, 0, 2] == own[1, 5, 2, 0]


@pytest.mark.parametrize("has_bias", [False, True])
def test_scales_reach_the_filters_of_each_group_and_biases(has_bias):
    """A norm before a convolution of two groups, and one behind it."""
    conv = {"in_channels": 4, "out_channels": 6, "kernel": 3, "stride": 1, "padding": 1}
    norm = {"eps": 1e-5, "momentum": 0.9}
    graph = Graph.of(
        "groups",
        [
            Op("x", "input", ()),
            Op("before", "batch_norm", ("x",), {"channels": 4, **norm}),
            Op("relu", "relu", ("before",)),
            Op("conv", "conv", ("relu",), {**conv, "groups": 2, "bias": has_bias}),
            Op("behind", "batch_norm", ("conv",), {"channels": 6, **norm}),
        ],
    )
    tensors = draw_tensors(graph)
    found = fold_values(graph, choose_folding(graph, tensors, turns=True), tensors)

    def scale(norm):
        return tensors[f"{norm}.gamma"] / np.sqrt(tensors[f"{norm}.moving_variance"] + 1e-5)

    for out in range(6):
        for place in range(2):
            channel = 2 * (out // 3) + place  # of those that the group reads
            factor = scale("before")[channel] * scale("behind")[out]
            expected = tensors["conv.weight"][out, place] * factor
            np.testing.assert_allclose(found["conv.weight"][out, place], expected, rtol=1e-5)
    if has_bias:
        expected = tensors["conv.bias"] * scale("behind")
        np.testing.assert_allclose(found["conv.bias"], expected, rtol=1e-5)


def test_weights_that_are_shared_or_read_twice_are_left_alone():
    """What became of one user would become of all."""
    norm = {"channels": 4, "eps": 1e-5, "momentum": 0.9}
    conv = {"in_channels": 4, "out_channels": 2, "kernel": 3, "stride": 1, "padding": 1}
    ops = [
        Op("x", "input", ()),
        Op("first", "conv", ("x",), {**conv, "out_channels": 4}),
        Op("norm", "batch_norm", ("first",), norm),
        Op("second", "conv", ("norm",), {**conv, "out_channels": 4, "weights_of": "first"}),
        Op("relu", "relu", ("second",)),
        Op("third", "conv", ("relu",), conv),
    ]
    shared = Graph.of("shared", ops)
    assert find_folds(shared) == ()
    assert find_turned(shared) == ("third",)
    twice = Graph.of("twice", [*ops[:3], Op("sum", "add", ("first", "norm"))])
    assert find_folds(twice) == ()
