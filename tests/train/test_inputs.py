"""How images enter the network: what recipe and spec must agree on."""

import numpy as np
import pytest

from archspec.errors import DataError, TrainingError
from archspec.spec.load import load_spec
from archspec.train.inputs import preprocess_of
from archspec.train.recipe import load_recipe
from archspec.train.start import plan_run


def test_a_network_for_neither_grey_nor_colour_images_is_refused_with_its_place():
    """T008: two channels, say."""
    spec = load_spec("densenetbc_digits", ["input.channels=2"])
    with pytest.raises(TrainingError, match=r"T008 input.channels \(=2\) must be 1 or 3"):
        preprocess_of(spec, load_recipe("digits"))


def test_a_recipe_for_colour_serves_grey_images_with_the_mean_of_its_channels():
    """And one for grey serves colour."""
    grey = preprocess_of(load_spec("densenetbc_digits"), load_recipe("imagefolder"))
    assert grey.mean == pytest.approx((np.mean([123.675, 116.28, 103.53]),))
    colour = preprocess_of(load_spec("densenet121"), load_recipe("digits"))
    assert (colour.mean, colour.std) == ((78.0,) * 3, (96.0,) * 3)


def test_means_of_neither_one_value_nor_three_are_refused_before_a_run_is_made():
    """Both fields at once, each with its value, the rule and what to write."""
    values = ["data.mean=[1, 2]", "data.std=[3, 4, 5, 6]"]
    with pytest.raises(DataError) as caught:
        plan_run(
            "densenet121",
            data_dir=None,
            spec_overrides=["input.channels=1"],
            recipe_overrides=values,
        )
    mean, std = map(str, caught.value.diagnostics)
    rule = "must have one value, or three for red, green and blue"
    assert f"D010 data.mean (=[1.0, 2.0]) {rule} (data.mean: [1], or with three values)" in mean
    assert f"D010 data.std (=[3.0, 4.0, 5.0, 6.0]) {rule}" in std
