"""Filters of colour images in a network of grey ones give what they gave, and the other way."""

import numpy as np
import oracle
import pytest
from safetensors.numpy import save_file
from weights.networks import own_name, same, weights_of

from archspec.errors import ModelFileError
from archspec.graph.build import build_graph
from archspec.spec.load import load_spec
from archspec.weights.convert import convert_file
from archspec.weights.grey_stem import fit_stem
from archspec.weights.pairing.naming import translate_names

STEM = "features.conv0.weight"
IMAGES = np.random.default_rng(3).normal(size=(2, 1, 8, 8)).astype(np.float32)


def spec_of(channels: int, *more: str):
    return load_spec("densenetbc_digits", [f"input.channels={channels}", *more])


def weights_for(channels: int, *more: str):
    return weights_of("densenetbc_digits", f"input.channels={channels}", *more)


def output(channels: int, weights, images, *more: str):
    return oracle.forward(build_graph(spec_of(channels, *more)).ops.values(), weights, images)


@pytest.mark.parametrize("way", ["names", "by order"])
@pytest.mark.parametrize("bias", ["false", "true"])
def test_a_grey_image_gives_what_it_gave_in_three_channels(bias, way, tmp_path):
    """By the NumPy oracle, with and without a bias; it is said."""
    said = f"stem={{steps: [{{conv: {{width: 24, kernel: 3, bias: {bias}}}}}]}}"
    theirs = weights_for(3, said)
    names = translate_names("torchvision", theirs)
    names = {name: own_name(name) for name in theirs} if way == "by order" else names
    save_file({names[n]: array for n, array in theirs.items()}, tmp_path / "x.safetensors")
    file = tmp_path / "x.safetensors"
    found = convert_file(file, spec_of(1, said), by_order=way == "by order")
    expected = output(3, theirs, np.repeat(IMAGES, 3, axis=1), said)
    assert oracle.distance(output(1, found.tensors, IMAGES, said), expected) < 1e-5
    assert found.adaptations == (
        f"its first filters, {names[STEM]}, were summed over their 3 channels for grey images",
    )


def test_a_colour_image_gives_what_its_mean_gave(tmp_path):
    """Of a grey network's filters each colour has a third."""
    theirs = weights_for(1)
    save_file(theirs, tmp_path / "x.safetensors")
    found = convert_file(tmp_path / "x.safetensors", spec_of(3))
    images = np.random.default_rng(4).normal(size=(2, 3, 8, 8)).astype(np.float32)
    expected = output(1, theirs, images.mean(axis=1, keepdims=True))
    assert oracle.distance(output(3, found.tensors, images), expected) < 1e-5
    assert found.adaptations == (
        f"its first filters, {STEM}, were shared out to 3 channels for colour images",
    )


@pytest.mark.parametrize(("theirs", "ours"), [(3, 3), (1, 1)])
def test_what_fits_is_left_alone(theirs, ours, tmp_path):
    """Bit for bit, without a word."""
    weights = weights_for(theirs)
    save_file(weights, tmp_path / "x.safetensors")
    found = convert_file(tmp_path / "x.safetensors", spec_of(ours))
    assert same(dict(found.tensors), weights)
    assert found.adaptations == ()


@pytest.mark.parametrize(
    ("theirs", "ours", "more"),
    [
        (2, 1, []),
        (4, 3, []),
        (3, 2, []),
        (3, 1, ["stem={steps: [{conv: {width: 24, kernel: 3, standardized: true}}]}"]),
        (3, 1, ["stem={steps: [norm, {conv: {width: 24, kernel: 3}}]}"]),
    ],
)
def test_other_filters_are_refused_as_before(theirs, ours, more, tmp_path):
    """Other counts of channels; what would not give the same: standardized ones; behind a norm."""
    save_file(weights_for(theirs, *more), tmp_path / "x.safetensors")
    with pytest.raises(ModelFileError, match="R003") as caught:
        convert_file(tmp_path / "x.safetensors", spec_of(ours, *more))
    assert "features.conv0.weight as (24, " in str(caught.value)


def test_filters_that_could_be_another_convolutions_are_left_alone():
    """Where two tensors have that shape, it tells nothing."""
    graph = build_graph(spec_of(1))
    tensors = {"a": np.ones((24, 3, 3, 3), np.float32), "b": np.ones((24, 3, 3, 3), np.float32)}
    assert fit_stem(tensors, graph) == (tensors, "")
    fitted, said = fit_stem({"a": tensors["a"]}, graph)
    assert fitted["a"].shape == (24, 1, 3, 3)
    assert said


def test_numbers_that_are_none_are_refused_by_name_as_ever(tmp_path):
    """The sum of opposite infinities is no number, and no warning."""
    theirs = weights_for(3)
    theirs[STEM][0, 0], theirs[STEM][0, 1] = np.inf, -np.inf
    save_file(theirs, tmp_path / "x.safetensors")
    with pytest.raises(ModelFileError, match=rf"R110 {STEM} has 9 values that are NaN"):
        convert_file(tmp_path / "x.safetensors", spec_of(1))
