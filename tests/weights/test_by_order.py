"""Pairing by order takes what can be meant in one way alone."""

import numpy as np
import pytest
from weights.networks import own_name, parameters_of

from archspec.errors import ModelFileError
from archspec.graph.parameters import Parameter
from archspec.weights.by_order import paired_by_order

WANTED = parameters_of("densenetbc_digits")


def zeros(**shapes):
    return {name.replace("__", "."): np.zeros(shape, np.float32) for name, shape in shapes.items()}


def faults(tensors, wanted=None):
    with pytest.raises(ModelFileError) as caught:
        paired_by_order(tensors, WANTED if wanted is None else wanted, "FILE")
    return [str(fault) for fault in caught.value.diagnostics]


def of(names):
    return {
        names(name): np.zeros(parameter.shape, np.float32) for name, parameter in WANTED.items()
    }


def two_norms(*names):
    """Two norms of 4 channels, as a network has them and as a file calls and orders them."""
    roles = {
        "moving_mean": "running_mean",
        "moving_variance": "running_var",
        "gamma": "weight",
        "beta": "bias",
    }
    wanted = {
        f"{op}.{role}": Parameter("batch_norm", role, (4,), op)
        for op in ("one", "two")
        for role in roles
    }
    return {f"{name}.{last}": np.zeros(4) for name in names for last in roles.values()}, wanted


def test_names_that_say_nothing_are_paired():
    """The operators of each kind one after the other; the four vectors of a norm by their names."""
    assert paired_by_order(of(own_name), WANTED, "FILE") == {
        own_name(name): name for name in WANTED
    }


def test_convolutions_may_be_defined_before_their_norms():
    """Order counts within a kind alone."""
    tensors = of(own_name)
    norms_last = dict(sorted(tensors.items(), key=lambda item: item[1].ndim == 1))
    assert paired_by_order(norms_last, WANTED, "FILE") == {own_name(name): name for name in WANTED}


def test_numbers_in_names_put_a_sorted_file_in_order():
    """`layer10` comes before `layer2` in a file that is sorted by name."""
    wanted = {
        f"conv{k}.weight": Parameter("conv", "weight", (k, 1, 1, 1), f"conv{k}")
        for k in range(1, 13)
    }
    tensors = {f"layer{k}.w": np.zeros((k, 1, 1, 1)) for k in sorted(range(1, 13), key=str)}
    assert paired_by_order(tensors, wanted, "FILE")["layer10.w"] == "conv10.weight"


def test_two_orders_that_fit_are_refused():
    """Equal shapes, the second first: its place says one thing, its number another."""
    tensors, wanted = two_norms("bn2", "bn1")
    assert faults(tensors, wanted) == [
        "FILE R012 two orders fit: bn2.running_mean is one.moving_mean by its place, two.moving_mean by the numbers "
        "in the names (write a --map)"
    ]
    tensors, wanted = two_norms("bn1", "bn2")
    assert paired_by_order(tensors, wanted, "FILE")["bn2.bias"] == "two.beta"


def test_norms_whose_vectors_cannot_be_told_apart_are_refused():
    """Four vectors a, b, c, d; two of one role."""
    for last in ("abcd", ("weight", "gamma", "bias", "mean")):
        tensors = {**of(own_name), **{f"odd.{name}": np.zeros(24) for name in last}}
        (fault,) = faults(tensors)
        assert "R012 has tensors that make no conv, dense or norm: odd" in fault
        assert "told apart by names" in fault


def test_what_the_network_has_not_is_refused():
    """A convolution with a bias, a norm without statistics, a 3-D tensor, vectors in pieces."""
    with_bias = {**of(own_name), "stem.conv.bias": np.zeros(24)}
    assert faults(with_bias) == [
        "FILE R012 has stem.conv.weight, stem.conv.bias where the network has features.conv0.weight"
    ]
    plain = {
        name: value for name, value in of(own_name).items() if not name.startswith("last.running")
    }
    assert faults(plain) == [
        "FILE R012 has last.weight, last.bias where the network has features.norm5.moving_mean, "
        "features.norm5.moving_variance, features.norm5.gamma, features.norm5.beta"
    ]
    assert "odd (w)" in faults({**of(own_name), "odd.w": np.zeros((2, 2, 2))})[0]
    assert faults({**of(own_name), "x.0": np.zeros(4)}) == ["FILE R012 has 1 of 0 slope operators"]


def test_numbers_and_shapes_that_differ_are_told():
    """One convolution too many; another growth rate, twenty lines and a count."""
    more = {**of(own_name), "extra.weight": np.zeros((1, 1, 1, 1))}
    assert faults(more) == ["FILE R012 has 19 of 18 conv operators"]
    other = {
        own_name(n): np.zeros(p.shape)
        for n, p in parameters_of("densenetbc_digits", "growth_rate=8").items()
    }
    found = faults(other)
    assert found[0] == (
        "FILE R012 has stem.conv.weight as (16, 1, 3, 3) where the network has features.conv0.weight as (24, 1, 3, 3)"
    )
    assert (len(found), found[-1][:14]) == (21, "FILE R012 and ")
