"""The table of operators: shapes, parameters and MACs of each kind against direct counting."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from archspec.operators.shape_rules import Shape, ShapeFault
from archspec.operators.table import ACTIVATIONS, OPERATORS


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


@settings(max_examples=75)
@given(
    windows,
    st.integers(1, 20),
    st.integers(1, 20),
    st.sampled_from(["conv", "max_pool", "avg_pool"]),
)
def test_windows_slide_as_numpy_slides_them(
    attrs: dict[str, int], height: int, width: int, kind: str
) -> None:
    """Kernel, stride, padding and dilation together; where no pixel is left, a fault says so."""
    expected = slid(attrs, height, width)
    attrs = {**attrs, "in_channels": 3, "out_channels": 5}
    if expected == (0, 0):
        with pytest.raises(ShapeFault, match="leaves no pixel"):
            out(kind, attrs, (3, height, width))
        return
    assert out(kind, attrs, (3, height, width)) == (5 if kind == "conv" else 3, *expected)


@settings(max_examples=50)
@given(windows, st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.integers(5, 9))
def test_a_convolutions_weights_and_macs_are_counted_one_by_one(
    attrs: dict[str, int], ins: int, outs: int, groups: int, size: int
) -> None:
    """A weight for each (out, in of its group, row, column);
    a MAC for each weight and output pixel.
    """
    attrs = {**attrs, "in_channels": ins * groups, "out_channels": outs * groups, "groups": groups}
    pixels = slid(attrs, size, size)
    assume(pixels != (0, 0))
    kernel = range(attrs["kernel"])
    weights = sum(1 for _ in product(range(outs * groups), range(ins), kernel, kernel))
    assert OPERATORS["conv"].params(attrs) == weights
    read = (ins * groups, size, size)
    assert (
        OPERATORS["conv"].macs(attrs, [read], out("conv", attrs, read))
        == weights * pixels[0] * pixels[1]
    )


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


OF_EACH_VALUE = [kind for kind in ACTIVATIONS if "channels" not in OPERATORS[kind].required]


@pytest.mark.parametrize("kind", [*OF_EACH_VALUE, "dropout"])
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
        (
            "concat",
            {},
            [(3, 4, 4), (3, 2, 2)],
            "joins feature maps of different size: 2 x 2, 4 x 4",
        ),
        ("batch_norm", {"channels": 4}, [(3, 4, 4)], "is made for 4 channels, reads 3"),
        (
            "dense",
            {"in_channels": 3, "out_channels": 2},
            [(3, 1, 1)],
            "needs a vector (C,), reads (3, 1, 1)",
        ),
        ("dense", {"in_channels": 4, "out_channels": 2}, [(3,)], "is made for 4 channels, reads 3"),
        ("global_avg_pool", {}, [(3,)], "needs a feature map (C, H, W), reads (3,)"),
        (
            "max_pool",
            {"kernel": 2, "stride": 2, "padding": 0},
            [(3,)],
            "needs a feature map (C, H, W)",
        ),
    ],
)
def test_what_does_not_fit_is_said(
    kind: str, attrs: dict[str, int], inputs: list[Shape], message: str
) -> None:
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


# The operators beyond the classifier, each against NumPy that really does it.

small = st.integers(1, 9)


def slid_up(kernel: int, stride: int, padding: int, height: int, width: int) -> Any:
    """How many input pixels add to each output pixel of a transposed convolution,
    counted by adding them.
    """
    counts = np.zeros(((height - 1) * stride + kernel, (width - 1) * stride + kernel), int)
    for row, column in product(range(height), range(width)):
        counts[
            row * stride : row * stride + kernel, column * stride : column * stride + kernel
        ] += 1
    return counts[padding : counts.shape[0] - padding, padding : counts.shape[1] - padding]


@given(st.integers(1, 5), st.integers(1, 3), st.integers(0, 2), small, small)
def test_a_transposed_convolution_adds_a_window_for_each_pixel(
    kernel: int, stride: int, padding: int, height: int, width: int
) -> None:
    """Shape, weights (in, out, rows, columns), and a MAC for each weight and input pixel."""
    attrs = {
        "in_channels": 2,
        "out_channels": 3,
        "kernel": kernel,
        "stride": stride,
        "padding": padding,
    }
    least = (min(height, width) - 1) * stride + kernel - 2 * padding
    if least < 1:
        with pytest.raises(ShapeFault, match=r"padding \(=\d\) leaves no pixel"):
            out("conv_transpose", attrs, (2, height, width))
        return
    made = slid_up(kernel, stride, padding, height, width)
    assert out("conv_transpose", attrs, (2, height, width)) == (3, *made.shape)
    operator = OPERATORS["conv_transpose"]
    assert operator.tensors(attrs)["weight"] == (2, 3, kernel, kernel)
    assert (
        operator.params({**attrs, "bias": True}) == operator.params(attrs) + 3 == 6 * kernel**2 + 3
    )
    whole = slid_up(kernel, stride, 0, height, width)
    assert operator.macs(attrs, [(2, height, width)], (3, *made.shape)) == 2 * 3 * whole.sum()


@given(
    st.integers(1, 5),
    st.integers(1, 4),
    st.sampled_from(["max_pool", "avg_pool"]),
    st.integers(5, 20),
)
def test_a_pool_with_ceil_has_a_window_for_each_pixel_that_is_left(
    kernel: int, stride: int, kind: str, size: int
) -> None:
    """A window more where the last one would leave pixels out,
    unless it would begin behind the image.
    """
    floored = len(range(0, size - kernel + 1, stride))
    left_out = size - ((floored - 1) * stride + kernel)
    attrs = {"kernel": kernel, "stride": stride, "padding": 0}
    assert out(kind, attrs, (3, size, size)) == (3, floored, floored)
    more = floored + (left_out > 0 and floored * stride < size)
    assert out(kind, {**attrs, "ceil": True}, (3, size, size)) == (3, more, more)


@given(st.sampled_from([3, 5]), st.integers(1, 3), st.integers(6, 20), st.integers(6, 20))
def test_a_blur_pool_slides_over_reflected_edges(
    kernel: int, stride: int, height: int, width: int
) -> None:
    """The padding that keeps ceil(size / stride) pixels; no parameters."""
    padding = (stride - 1 + kernel - 1) // 2
    image = np.pad(np.zeros((height, width)), padding, mode="reflect")
    views = sliding_window_view(image, (kernel, kernel))[::stride, ::stride]
    attrs = {"kernel": kernel, "stride": stride, "padding": padding}
    assert out("blur_pool", attrs, (4, height, width)) == (4, *views.shape[:2])
    assert OPERATORS["blur_pool"].params(attrs) == 0


@pytest.mark.parametrize(
    ("kernel", "stride", "least"), [(3, 1, 2), (3, 2, 2), (5, 1, 3), (5, 2, 3)]
)
def test_a_blur_pool_mirrors_fewer_pixels_than_there_are(
    kernel: int, stride: int, least: int
) -> None:
    """NumPy and MindSpore mirror an edge of the others, as often as there are others."""
    attrs = {"kernel": kernel, "stride": stride, "padding": (stride - 1 + kernel - 1) // 2}
    assert out("blur_pool", attrs, (4, least, least))
    for height, width in ((least - 1, 9), (9, least - 1)):
        with pytest.raises(ShapeFault, match=f"mirrors {least - 1} at each edge of {height} x"):
            out("blur_pool", attrs, (4, height, width))


@given(small, small, small, st.integers(2, 4), st.sampled_from(["nearest", "bilinear"]))
def test_upsampling_repeats_rows_and_columns(
    channels: int, height: int, width: int, factor: int, mode: str
) -> None:
    """Nearest or between: the same shape."""
    repeated = np.zeros((channels, height, width)).repeat(factor, 1).repeat(factor, 2)
    assert (
        out("upsample", {"factor": factor, "mode": mode}, (channels, height, width))
        == repeated.shape
    )


@given(small, small, small, small, small)
def test_a_crop_and_a_slice_take_what_numpy_takes(
    channels: int, height: int, width: int, a: int, b: int
) -> None:
    """Never more than there is."""
    image = np.zeros((channels, height, width))
    crop, cut = {"size": (a, b), "corner": (0, 0)}, {"start": a - 1, "stop": b}
    if a <= height and b <= width:
        assert out("crop", crop, image.shape) == image[:, :a, :b].shape
    else:
        with pytest.raises(ShapeFault, match="cannot be cropped from"):
            out("crop", crop, image.shape)
    if a - 1 < b <= channels:
        assert out("slice", cut, image.shape) == image[a - 1 : b].shape
        assert out("slice", cut, (channels,)) == (b - a + 1,)
    else:
        with pytest.raises(ShapeFault, match="takes channels"):
            out("slice", cut, image.shape)


@given(small, small, small)
def test_sums_and_gates_keep_the_first_shape(channels: int, height: int, width: int) -> None:
    """A gate has one value for each channel, or one for each value."""
    image = (channels, height, width)
    assert out("add", {}, image, image, image) == image
    assert (
        out("multiply", {}, image, image) == out("multiply", {}, image, (channels, 1, 1)) == image
    )
    assert np.broadcast_shapes(image, (channels, 1, 1)) == image
    for kind in ("add", "multiply"):
        with pytest.raises(ShapeFault):
            out(kind, {}, image, (channels + 1, height, width))
    with pytest.raises(ShapeFault):
        out("add", {}, image, (channels, height + 1, width))


@given(st.integers(1, 24), st.integers(1, 24))
def test_groups_of_channels_must_come_out_even(channels: int, groups: int) -> None:
    """As NumPy splits them, for a norm of groups and for a shuffle."""
    image = np.zeros((channels, 2, 2))
    attrs = {"channels": channels, "groups": groups}
    for kind in ("group_norm", "shuffle"):
        try:
            np.split(image, groups)
        except ValueError:
            with pytest.raises(ShapeFault, match=r"groups \(=\d+\) of the"):
                out(kind, attrs, image.shape)
        else:
            assert out(kind, attrs, image.shape) == image.shape


@pytest.mark.parametrize("kind", ["layer_norm", "group_norm"])
def test_norms_without_statistics_learn_two_values_for_each_channel(kind: str) -> None:
    """Gamma and beta; nothing moves."""
    attrs = {"channels": 6, "groups": 3, "eps": 1e-5}
    assert (OPERATORS[kind].params(attrs), OPERATORS[kind].stats(attrs)) == (12, 0)
    with pytest.raises(ShapeFault, match="is made for 6 channels, reads 9"):
        out(kind, attrs, (9, 2, 2))


def test_a_prelu_learns_a_slope_for_each_channel() -> None:
    """He et al. 2015, channel-wise."""
    assert OPERATORS["prelu"].params({"channels": 7}) == 7
    assert out("prelu", {"channels": 7}, (7, 3, 3)) == (7, 3, 3)


def test_a_global_pool_gives_a_vector_or_keeps_a_pixel() -> None:
    """A gate multiplies feature maps, a classifier reads vectors."""
    assert out("global_avg_pool", {}, (5, 4, 3)) == (5,)
    assert out("global_avg_pool", {"keep": True}, (5, 4, 3)) == (5, 1, 1)


def test_biases_are_counted_and_groups_divide_weights() -> None:
    """A depthwise convolution has one kernel for each channel."""
    attrs = {
        "in_channels": 8,
        "out_channels": 8,
        "kernel": 3,
        "stride": 1,
        "padding": 1,
        "groups": 8,
    }
    assert OPERATORS["conv"].params(attrs) == 72
    assert OPERATORS["conv"].params({**attrs, "bias": True}) == 80
    assert OPERATORS["dense"].params({"in_channels": 3, "out_channels": 2, "bias": False}) == 6
