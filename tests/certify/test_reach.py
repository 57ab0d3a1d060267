"""Which channels depend on which sources, held to numbers: a source is moved, and channels move or do not."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import oracle
import pytest

from archspec.certify.reach import CARRIED, FILTERS, JOINS, Reach, added, filtered, joined
from archspec.graph.ir import Op
from archspec.graph.operators import OPERATORS

SOURCES = ("a", "b", "c", "d")
CHANNELS = 3

KINDS: Mapping[str, Mapping[str, Any]] = {
    "conv": {"out_channels": 8, "kernel": 3, "stride": 1, "padding": 1, "groups": 1},
    "grouped": {"out_channels": 8, "kernel": 1, "stride": 1, "padding": 0, "groups": 4},
    "depthwise": {"out_channels": 24, "kernel": 3, "stride": 2, "padding": 1, "groups": 12},
    "shuffle": {"groups": 4},
    "slice": {"start": 2, "stop": 9},
    "layer_norm": {"channels": 12, "eps": 1e-5},
    "group_norm": {"channels": 12, "groups": 6, "eps": 1e-5},
    "upsample": {"factor": 2, "mode": "nearest"},
    "max_pool": {"kernel": 2, "stride": 2, "padding": 0},
}


def test_every_kind_of_operator_has_a_row() -> None:
    """A new one would be alive in silence."""
    assert {*CARRIED, *FILTERS, *JOINS, "input"} == {*OPERATORS}


def seen(kind: str, attrs: Mapping[str, Any], weights: Mapping[str, Any]) -> Any:
    """Booleans (channels, sources): which channel moves with which source, by the oracle's arithmetic."""
    ops = [
        *(Op(name, "input", ()) for name in SOURCES),
        Op("joined", "concat", SOURCES),
        Op("x", kind, ("joined",), attrs),
    ]
    draw = np.random.default_rng(1)
    base = {name: draw.normal(size=(1, CHANNELS, 4, 4)) for name in SOURCES}
    before = oracle.values_of(ops, weights, base)["x"]
    moved = []
    for name in SOURCES:
        after = oracle.values_of(ops, weights, {**base, name: draw.normal(size=base[name].shape)})["x"]
        moved.append((before != after).any(axis=(0, 2, 3)))
    return np.stack(moved, axis=1)
