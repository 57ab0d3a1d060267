"""Which channels depend on which sources, held to numbers: a source is moved, and channels move or do not."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import oracle
import pytest

from archspec.certify.reach import CARRIED, FILTERS, JOINS, Reach, added, filtered, joined
from archspec.graph.ir import Op
from archspec.graph.operators import OPERATORS

SOURCES, EACH = 4, 3
WIDTH = SOURCES * EACH
READ = Reach(np.eye(SOURCES + 1, SOURCES, -1, bool), np.repeat(np.arange(1, SOURCES + 1), EACH))
"""Three channels of each source, one after another."""

CONVS: Mapping[str, Mapping[str, Any]] = {
    "whole": {"out_channels": 10, "kernel": 3, "groups": 1},
    "grouped": {"out_channels": 8, "kernel": 1, "groups": 4},
    "one by one": {"out_channels": 24, "kernel": 3, "groups": 12},
}
OTHERS: Mapping[str, Mapping[str, Any]] = {
    "shuffle": {"groups": 4},
    "slice": {"start": 2, "stop": 8},
    "layer_norm": {"channels": WIDTH, "eps": 1e-5},
    "group_norm": {"channels": WIDTH, "groups": 6, "eps": 1e-5},
    "silu": {},
    "upsample": {"factor": 2, "mode": "nearest"},
    "max_pool": {"kernel": 2, "stride": 2, "padding": 0},
}


def test_every_kind_of_operator_has_a_row() -> None:
    """A new one without would be alive in silence."""
    assert {*CARRIED, *FILTERS, *JOINS, "input"} == {*OPERATORS}


def moved(ops: list[Op], weights: Mapping[str, Any]) -> Any:
    """Which channel moves with which source, (channels, sources), by the oracle's arithmetic."""
    draw, seen = np.random.default_rng(1), []
    images = draw.normal(size=(1, WIDTH, 4, 4))
    ops = [Op("image", "input", ()), *ops]
    before = oracle.forward(ops, weights, images)
    for source in range(SOURCES):
        other = images.copy()
        other[:, source * EACH : (source + 1) * EACH] += draw.normal(size=(1, EACH, 4, 4))
        seen.append(
            (np.abs(oracle.forward(ops, weights, other) - before) > 1e-9).any(axis=(0, 2, 3))
        )
    return np.stack(seen, axis=1)


@pytest.mark.parametrize("name", CONVS)
@pytest.mark.parametrize("seed", range(3))
def test_a_convolution_passes_what_its_weights_read(name: str, seed: int) -> None:
    draw, own = np.random.default_rng(seed), CONVS[name]
    attrs = {"stride": 1, "padding": 1, "in_channels": WIDTH, **own}
    filters = draw.random((own["out_channels"], WIDTH // own["groups"])) < 0.3
    weight = filters[:, :, None, None] * draw.normal(
        size=(*filters.shape, own["kernel"], own["kernel"])
    )
    expected = moved([Op("x", "conv", ("image",), attrs)], {"x.weight": weight})
    assert (filtered(READ, filters, own["groups"]).table == expected).all()
    assert 0 < expected.sum() < expected.size


@pytest.mark.parametrize("kind", OTHERS)
def test_other_operators_carry_channels_as_they_compute_them(kind: str) -> None:
    op = Op("x", kind, ("image",), OTHERS[kind])
    weights = (
        {"x.gamma": np.ones(WIDTH), "x.beta": np.zeros(WIDTH)} if kind.endswith("norm") else {}
    )
    assert (CARRIED[kind](op, READ).table == moved([op], weights)).all()


def test_joins_keep_the_order_and_sums_the_union() -> None:
    """Tables that are the same are not written twice, others stand below one another."""
    first = Reach(READ.rows, READ.at[:4])
    made = filtered(READ, np.eye(4, WIDTH, 5, dtype=bool))
    assert (
        joined([first, made, first]).table == np.vstack([first.table, made.table, first.table])
    ).all()
    assert joined([first, first]).rows is READ.rows
    assert (added([first, made]).table == first.table | made.table).all()


def test_what_does_not_pass_depends_on_nothing() -> None:
    passes = np.arange(WIDTH) >= EACH
    kept = READ.where(passes)
    assert (kept.live == passes).all()
    assert kept.sources.tolist() == [False, True, True, True]
    assert not filtered(kept, np.eye(2, WIDTH, dtype=bool)).live.any()
