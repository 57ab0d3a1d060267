"""Filters that were standardized before they were stored: when are plain ones the spec's?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from archspec.compare.compare import Comparison, compare
from archspec.graph.ir import Graph, Op

CONV = {"in_channels": 4, "out_channels": 5, "kernel": 3, "stride": 1, "padding": 1}
EPS = {"standardized": True, "weight_eps": 1e-6}
RANDOM = np.random.default_rng(3)
ORDINARY = RANDOM.normal(0, 0.1, (5, 4, 3, 3)).astype(np.float32)


def network(attrs: Mapping[str, Any], norm: bool = True) -> Graph:
    ops = [
        Op("x", "input", (), {"shape": (4, 8, 8)}),
        Op("c", "conv", ("x",), attrs),
        Op("n", "batch_norm", ("c",), {"channels": 5, "eps": 1e-5, "momentum": 0.9}),
        Op("r", "relu", ("n" if norm else "c",), {}),
    ]
    return Graph.of("made", [op for op in ops if norm or op.name != "n"])


def standard(variance: float = 1.0) -> Any:
    """Filters of mean 0 and a variance."""
    centred = ORDINARY - ORDINARY.mean((1, 2, 3), keepdims=True)
    return centred / centred.std((1, 2, 3), keepdims=True) * np.float32(variance**0.5)


def with_one_filter(values: Any, other: Any) -> Any:
    return np.concatenate([values[:3], other[3:4], values[4:]])


def stored(
    filters: Any, *, norm: bool = False, folded: bool = False, asked: list[str] | None = None
) -> Comparison:
    """A file that has plain filters, beside a spec that standardizes them."""
    spec = network({**CONV, **EPS}, norm or folded)
    found = network({**CONV, "bias": folded}, norm and not folded)

    def filters_of(name: str) -> Any:
        if asked is not None:
            asked.append(name)
        return filters

    return compare(spec, found, zero_biases=frozenset(), filters_of=filters_of)


SCALES = np.array([3.0, -0.2, 7.0, 1.0, 0.0], np.float32)[:, None, None, None]
GOOD = {
    "variance 1": standard(),
    "an eps as large as the variance": standard(0.5),
    "a weight that was nearly constant": standard(1e-4),
    "a weight that was constant": with_one_filter(standard(), np.zeros_like(ORDINARY)),
    "in half precision": standard().astype(np.float16),
}
BAD = {
    "ordinary ones": ORDINARY,
    "one ordinary one": with_one_filter(standard(), ORDINARY),
    "a mean that is not quite 0": standard() + np.float32(1e-3),
    "variance above 1": standard(1.1),
    "one of variance above 1": with_one_filter(standard(), standard(4)),
    "not a number": standard() * np.float32(np.nan),
    "values that cannot be read": None,
}


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("name", GOOD)
def test_filters_that_some_weights_give_are_accepted_with_a_note(name: str, norm: bool) -> None:
    """A filter of variance s is that of weights of variance eps s / (1 - s)."""
    found = stored(GOOD[name], norm=norm)
    assert found.differences == ()
    (note,) = (note for note in found.notes if "standardized" in note)
    assert note.startswith("c has filters that were standardized before they were stored")


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("name", BAD)
def test_other_filters_are_told_apart(name: str, norm: bool) -> None:
    found = stored(BAD[name], norm=norm)
    assert "c has standardized False, the spec says True" in {
        fault.message for fault in found.differences
    }
    assert not any("standardized" in note for note in found.notes)


@pytest.mark.parametrize("variance", [0.1, 1.0, 30.0])
def test_a_norm_that_was_folded_in_gives_them_any_variance(variance: float) -> None:
    """Its scales may be negative, or zero; a mean of 0 they leave."""
    asked = list[str]()
    assert stored(standard(variance) * SCALES, folded=True, asked=asked).differences == ()
    assert {*asked} == {"c"}
    assert stored(ORDINARY * SCALES, folded=True).differences != ()


def test_a_mean_of_zero_proves_the_weights_that_give_them() -> None:
    """By the definition: such weights, standardized with the spec's eps, are the stored filters."""
    for variance in (0.9, 0.3, 1e-3):
        filters = standard(variance).astype(float)
        weights = filters * np.sqrt(EPS["weight_eps"] / (1 - variance))
        spread = weights.var((1, 2, 3), keepdims=True) + EPS["weight_eps"]
        again = (weights - weights.mean((1, 2, 3), keepdims=True)) / np.sqrt(spread)
        assert np.allclose(again, filters, rtol=1e-5, atol=1e-7)


def test_files_are_asked_for_values_only_where_the_spec_standardizes() -> None:
    asked = list[str]()

    def filters_of(name: str) -> Any:
        asked.append(name)
        return standard()

    plain = network(CONV)
    assert compare(plain, network({**CONV, "bias": False}), filters_of=filters_of).is_equal
    both = network({**CONV, **EPS})
    assert compare(both, both, filters_of=filters_of).is_equal
    assert not compare(plain, both, filters_of=filters_of).is_equal
    assert asked == []
