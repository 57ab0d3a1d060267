"""Pairing by order takes what can be meant in one way alone."""

import re

import numpy as np
import pytest
from weights.networks import own_name, parameters_of

from archspec.errors import ModelFileError
from archspec.graph.parameters import Parameter
from archspec.weights.pairing.by_order import pair_by_order

WANTED = parameters_of("densenetbc_digits")
NO_ORDER = " (in no order do the tensors fit: is it the spec's network? If so, write a --map)"


def zeros(**shapes):
    return {name.replace("__", "."): np.zeros(shape, np.float32) for name, shape in shapes.items()}


def faults(tensors, wanted=None):
    with pytest.raises(ModelFileError) as caught:
        pair_by_order(tensors, WANTED if wanted is None else wanted, "FILE")
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
    assert pair_by_order(of(own_name), WANTED, "FILE").pairs == {
        own_name(name): name for name in WANTED
    }


def test_single_vectors_are_paired_whatever_they_are_called():
    """The slopes of a PReLU, the factors of a scale or of an RMS norm: `w` and `gamma` here."""
    wanted = {
        "first.w": Parameter("prelu", "w", (4,), "first"),
        "second.gamma": Parameter("scale", "gamma", (4,), "second"),
        "third.gamma": Parameter("rms_norm", "gamma", (4,), "third"),
    }
    tensors = {name: np.zeros(4) for name in ("act.weight", "layer_scale.lambda", "norm.weight")}
    assert pair_by_order(tensors, wanted, "FILE").pairs == dict(zip(tensors, wanted, strict=True))


def test_convolutions_may_be_defined_before_their_norms():
    """Order counts within a kind alone."""
    tensors = of(own_name)
    norms_last = dict(sorted(tensors.items(), key=lambda item: item[1].ndim == 1))
    assert pair_by_order(norms_last, WANTED, "FILE").pairs == {
        own_name(name): name for name in WANTED
    }


def test_numbers_in_names_put_a_sorted_file_in_order():
    """`layer10` comes before `layer2` in a file that is sorted by name."""
    wanted = {
        f"conv{k}.weight": Parameter("conv", "weight", (k, 1, 1, 1), f"conv{k}")
        for k in range(1, 13)
    }
    tensors = {f"layer{k}.w": np.zeros((k, 1, 1, 1)) for k in sorted(range(1, 13), key=str)}
    assert pair_by_order(tensors, wanted, "FILE").pairs["layer10.w"] == "conv10.weight"


def test_two_orders_that_fit_are_refused():
    """Equal shapes, the second first: its place says one thing, its number another."""
    tensors, wanted = two_norms("bn2", "bn1")
    assert faults(tensors, wanted) == [
        "FILE R012 two orders fit: bn2.running_mean is one.moving_mean by its place, "
        "two.moving_mean by the numbers "
        "in the names (write a --map)"
    ]
    tensors, wanted = two_norms("bn1", "bn2")
    assert pair_by_order(tensors, wanted, "FILE").pairs["bn2.bias"] == "two.beta"


def test_the_files_own_order_goes_before_the_alphabet():
    """Words that sort the other way say nothing: second and first, norm_out and norm_in."""
    for names in (("second", "first"), ("norm_out.bn", "norm_in.bn")):
        tensors, wanted = two_norms(*names)
        found = pair_by_order(tensors, wanted, "FILE").pairs
        assert found[f"{names[0]}.bias"] == "one.beta"


LISTS_APART = {
    "lists": (r"dense(\d+)", lambda f: f"blocks.{int(f[1]) - 1}"),
    "attributes": (r"dense(\d+)", r"block\1"),
    "below a prefix": (r"^", "module.net."),
    "below a number": (r"^", "0.net."),
    "below a number that is not shared": (r"^(?!fc)", "0."),
}


@pytest.mark.parametrize("is_sorted", [False, True])
@pytest.mark.parametrize("way", LISTS_APART)
def test_lists_that_stand_apart_are_joined_by_shape(way, is_sorted):
    """First all blocks, then all transitions, whatever they are called; in a sorted file too."""
    names = {re.sub(*LISTS_APART[way], own_name(name)): name for name in WANTED}
    apart = sorted(names, key=str if is_sorted else lambda name: "trans" in name)
    tensors = {name: np.zeros(WANTED[names[name]].shape) for name in apart}
    found = pair_by_order(tensors, WANTED, "FILE")
    assert found.pairs == names
    assert found.remark.startswith("the file's lists stand apart")


def test_lists_that_fit_in_several_ways_are_refused():
    """Two lists of equal norms, either of which could come first; convolutions out of order."""
    shapes = {"a": (4, 4, 1, 1), "b": (8, 4, 1, 1)}
    wanted = {
        f"{name}.weight": Parameter("conv", "weight", shape, name) for name, shape in shapes.items()
    }
    norms, of_norms = two_norms("left.0", "right.0")
    tensors = {**norms, "x.0.weight": np.zeros(shapes["b"]), "y.0.weight": np.zeros(shapes["a"])}
    (fault,) = faults(tensors, {**wanted, **of_norms})
    assert fault.startswith("FILE R012 has lists that fit in several ways: left.0.running_mean is ")
    assert "one.moving_mean" in fault
    assert fault.endswith("(write a --map)")


def test_more_ways_than_can_be_walked_are_refused():
    """Twenty lists of twenty equal norms, and a convolution of another shape."""
    of_norms = {
        f"n{k}.{role}": Parameter("batch_norm", role, (4,), f"n{k}")
        for k in range(400)
        for role in ("gamma", "beta")
    }
    wanted = {**of_norms, "c.weight": Parameter("conv", "weight", (1, 1, 1, 1), "c")}
    tensors = {
        f"{chr(97 + a)}.{b}.{role}": np.zeros(4)
        for a in range(20)
        for b in range(20)
        for role in ("weight", "bias")
    }
    found = faults({**tensors, "conv.weight": np.zeros((2, 1, 1, 1))}, wanted)
    assert "R012 has conv.weight as (2, 1, 1, 1)" in found[0]
    assert found[0].endswith(NO_ORDER)


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
        + NO_ORDER
    ]
    plain = {
        name: value for name, value in of(own_name).items() if not name.startswith("last.running")
    }
    assert faults(plain) == [
        "FILE R012 has last.weight, last.bias where the network has features.norm5.moving_mean, "
        "features.norm5.moving_variance, features.norm5.gamma, features.norm5.beta" + NO_ORDER
    ]
    assert "odd (w)" in faults({**of(own_name), "odd.w": np.zeros((2, 2, 2))})[0]
    assert faults({**of(own_name), "x.0": np.zeros(4)}) == [
        "FILE R012 has 1 of 0 vector operators" + NO_ORDER
    ]


def test_numbers_and_shapes_that_differ_are_told():
    """One convolution too many; another growth rate, twenty lines and a count."""
    more = {**of(own_name), "extra.weight": np.zeros((1, 1, 1, 1))}
    assert faults(more) == ["FILE R012 has 19 of 18 conv operators" + NO_ORDER]
    other = {
        own_name(n): np.zeros(p.shape)
        for n, p in parameters_of("densenetbc_digits", "growth_rate=8").items()
    }
    found = faults(other)
    assert found[0] == (
        (
            "FILE R012 has stem.conv.weight as (16, 1, 3, 3) where the network has "
            "features.conv0.weight as (24, 1, 3, 3)"
        )
        + NO_ORDER
    )
    assert (len(found), found[-1][:14]) == (21, "FILE R012 and ")
