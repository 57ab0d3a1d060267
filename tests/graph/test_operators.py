"""The table of operators: shapes, parameters and MACs of each kind against direct counting."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from archspec.graph.operators import OPERATORS, Shape, ShapeFault


def out(kind: str, attrs: dict[str, Any], *inputs: Shape) -> Shape:
    return OPERATORS[kind].shape(attrs, inputs)


windows = st.fixed_dictionaries(
    {
        "kernel": st.integers(1, 7),
        "stride": st.integers(1, 4),
        "padding": st.integers(0, 3),
        "dilation": st.integers(1, 3),
    }
)


def slid(attrs: dict[str, int], height: int, width: int) -> tuple[int, int]:
    """Output pixels, counted by really sliding a window over a padded image."""
    reach = attrs["dilation"] * (attrs["kernel"] - 1) + 1
    image = np.pad(np.zeros((height, width)), attrs["padding"])
    if min(image.shape) < reach:
        return 0, 0
    views = sliding_window_view(image, (reach, reach))[:: attrs["stride"], :: attrs["stride"]]
    return views.shape[0], views.shape[1]


@settings(max_examples=150, deadline=None)
@given(windows, st.integers(1, 20), st.integers(1, 20), st.sampled_from(["conv", "max_pool", "avg_pool"]))
def test_windows_slide_as_numpy_slides_them(attrs: dict[str, int], height: int, width: int, kind: str) -> None:
    """Kernel, stride, padding and dilation together; where no pixel is left, a fault says so."""
    expected = slid(attrs, height, width)
    attrs = {**attrs, "in_channels": 3, "out_channels": 5}
    if expected == (0, 0):
        with pytest.raises(ShapeFault, match="leaves no pixel"):
            out(kind, attrs, (3, height, width))
        return
    assert out(kind, attrs, (3, height, width)) == (5 if kind == "conv" else 3, *expected)


@settings(max_examples=50, deadline=None)
@given(windows, st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.integers(5, 9))
def test_a_convolutions_weights_and_macs_are_counted_one_by_one(
    attrs: dict[str, int], ins: int, outs: int, groups: int, size: int
) -> None:
    """A weight for each (out, in of its group, row, column); a MAC for each weight and output pixel."""
    attrs = {**attrs, "in_channels": ins * groups, "out_channels": outs * groups, "groups": groups}
    pixels = slid(attrs, size, size)
    assume(pixels != (0, 0))
    kernel = range(attrs["kernel"])
    weights = sum(1 for _ in product(range(outs * groups), range(ins), kernel, kernel))
    assert OPERATORS["conv"].params(attrs) == weights
    read = (ins * groups, size, size)
    assert OPERATORS["conv"].macs(attrs, [read], out("conv", attrs, read)) == weights * pixels[0] * pixels[1]


def test_a_dense_layer_has_a_weight_for_each_pair_and_a_bias() -> None:
    """1024 features to 1000 classes, as at the end of densenet121."""
    attrs = {"in_channels": 1024, "out_channels": 1000}
    assert out("dense", attrs, (1024,)) == (1000,)
    assert OPERATORS["dense"].params(attrs) == 1_025_000
    assert OPERATORS["dense"].macs(attrs, [(1024,)], (1000,)) == 1_024_000


def test_batch_norm_learns_two_values_and_keeps_two_statistics_for_each_channel() -> None:
    """Gamma and beta are learnt, mean and variance are not; no MACs are counted."""
    norm = OPERATORS["batch_norm"]
    assert (norm.params({"channels": 7}), norm.stats({"channels": 7})) == (14, 14)
    assert norm.macs({"channels": 7}, [(7, 2, 2)], (7, 2, 2)) == 0


@pytest.mark.parametrize(
    "kind", ["relu", "relu6", "silu", "gelu", "hard_swish", "leaky_relu", "sigmoid", "hard_sigmoid", "dropout"]
)
def test_pointwise_operators_change_no_shape_and_have_no_parameters(kind: str) -> None:
    """Feature maps and vectors alike."""
    assert out(kind, {}, (3, 4, 5)) == (3, 4, 5)
    assert out(kind, {}, (3,)) == (3,)
    assert OPERATORS[kind].params({}) == OPERATORS[kind].stats({}) == 0


def test_concatenation_adds_channels() -> None:
    """Of feature maps and of vectors."""
    assert out("concat", {}, (3, 4, 4), (5, 4, 4), (1, 4, 4)) == (9, 4, 4)
    assert out("concat", {}, (3,), (5,)) == (8,)


@pytest.mark.parametrize(
    ("kind", "attrs", "inputs", "message"),
    [
        ("concat", {}, [(3, 4, 4), (3, 2, 2)], "joins feature maps of different size: 2 x 2, 4 x 4"),
        ("batch_norm", {"channels": 4}, [(3, 4, 4)], "is made for 4 channels, reads 3"),
        ("dense", {"in_channels": 3, "out_channels": 2}, [(3, 1, 1)], "needs a vector (C,), reads (3, 1, 1)"),
        ("dense", {"in_channels": 4, "out_channels": 2}, [(3,)], "is made for 4 channels, reads 3"),
        ("global_avg_pool", {}, [(3,)], "needs a feature map (C, H, W), reads (3,)"),
        ("max_pool", {"kernel": 2, "stride": 2, "padding": 0}, [(3,)], "needs a feature map (C, H, W)"),
    ],
)
def test_what_does_not_fit_is_said(kind: str, attrs: dict[str, int], inputs: list[Shape], message: str) -> None:
    """The message has the numbers on both sides."""
    with pytest.raises(ShapeFault) as caught:
        out(kind, attrs, *inputs)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"in_channels": 5}, "is made for 5 channels, reads 4"),
        ({"out_channels": 0}, "has 0 output channels; at least 1 is needed"),
        ({"groups": 3}, "groups (=3) must divide 4 and 8"),
        ({"kernel": 9}, "a 9 x 9 window leaves no pixel of 4 x 4"),
    ],
)
def test_a_convolution_that_does_not_fit_is_said(change: dict[str, int], message: str) -> None:
    """Channels, groups and window each have a rule."""
    attrs = {"in_channels": 4, "out_channels": 8, "kernel": 3, "stride": 1, "padding": 1, **change}
    with pytest.raises(ShapeFault) as caught:
        out("conv", attrs, (4, 4, 4))
    assert message in str(caught.value)


def test_only_operators_without_weights_that_mix_carry_a_direct_connection() -> None:
    """Convolutions, dense layers and sums make new features; everything else passes features on."""
    makers = {kind for kind, operator in OPERATORS.items() if not operator.carries}
    assert makers == {"input", "conv", "conv_transpose", "dense", "add"}
