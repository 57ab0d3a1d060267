"""A lone vector of a file is a PReLU's slopes, a scale's or an RMS norm's factors, whatever the file calls it."""

import pytest

from archspec.weights.pairing.grouping import VECTOR, by_kind, of_file, side_by_side


@pytest.mark.parametrize("role", ["w", "gamma"])
@pytest.mark.parametrize("name", ["norm.weight", "norm.gamma", "norm.slope", "norm.w"])
def test_a_lone_vector_stands_beside_ours(role: str, name: str) -> None:
    (theirs,) = of_file({name: (4,)}, "file.pth").values()
    (own,) = by_kind([{role: ("op", (4,))}])[VECTOR]
    assert list(side_by_side(theirs, own)) == [(name, (4,), "op", (4,))]


def test_several_vectors_are_told_apart_by_their_roles() -> None:
    shapes = {"norm.bias": (4,), "norm.weight": (4,)}
    (theirs,) = of_file(shapes, "file.pth").values()
    own = {"gamma": ("ours.gamma", (4,)), "beta": ("ours.beta", (4,))}
    pairs = [(found, wanted) for found, _, wanted, _ in side_by_side(theirs, own)]
    assert pairs == [("norm.weight", "ours.gamma"), ("norm.bias", "ours.beta")]
