"""Which channels depend on which sources, held to numbers:
a source is moved, and channels move or do not.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import oracle
import pytest
from operators.examples import ALL, MAP

from archspec.certify.reach import Reach, apply_filters
from archspec.graph.ir import Op
from archspec.operators.table import COMMUTATIVE, JOINS, OPERATORS

EACH = (3, 5, 2, 6)
"""Channels of each source, one after another: as many as examples read, and in no even parts, so
that groups of channels have several sources.
"""
SOURCES, WIDTH = len(EACH), sum(EACH)
BEGINS = [0, *np.cumsum(EACH)]
READ = Reach(np.eye(SOURCES + 1, SOURCES, -1, bool), np.repeat(np.arange(1, SOURCES + 1), EACH))

CONVS: Mapping[str, Mapping[str, Any]] = {
    "whole": {"out_channels": 10, "kernel": 3, "groups": 1},
    "grouped": {"out_channels": 8, "kernel": 1, "groups": 4},
    "one by one": {"out_channels": 32, "kernel": 3, "groups": WIDTH},
}
FILTERS = {kind for kind, row in OPERATORS.items() if row.has_filters}
OTHERS = [(kind, attrs) for kind, attrs in ALL if kind not in {*FILTERS, *JOINS, "input"}]


def moved(ops: list[Op], weights: Mapping[str, Any]) -> Any:
    """Which channel moves with which source, (channels, sources), by the oracle's arithmetic."""
    draw, seen = np.random.default_rng(1), []
    images = draw.normal(size=(1, *MAP))
    ops = [Op("image", "input", ()), *ops]
    before = oracle.forward(ops, weights, images)
    for source in range(SOURCES):
        other = images.copy()
        own = slice(BEGINS[source], BEGINS[source + 1])
        other[:, own] += draw.normal(size=other[:, own].shape)
        changed = np.abs(oracle.forward(ops, weights, other) - before) > 1e-9
        seen.append(changed.reshape(len(changed[0]), -1).any(axis=1))
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
    assert (apply_filters(READ, filters, own["groups"]).table == expected).all()
    assert 0 < expected.sum() < expected.size


@pytest.mark.parametrize(("kind", "attrs"), OTHERS, ids=[kind for kind, _ in OTHERS])
def test_other_operators_carry_channels_as_they_compute_them(kind: str, attrs: Any) -> None:
    """A new one whose row says nothing would be taken for one that leaves channels alone."""
    op = Op("x", kind, ("image",), attrs)
    shapes = OPERATORS[kind].tensors(op.attrs)
    weights = {f"x.{role}": np.full(shape, 0.5) for role, shape in shapes.items()}
    assert (OPERATORS[kind].reach(op.attrs, [READ]).table == moved([op], weights)).all()


def test_joins_keep_the_order_and_sums_the_union() -> None:
    """Tables that are the same are not written twice, others stand below one another."""
    first = Reach(READ.rows, READ.at[:4])
    made = apply_filters(READ, np.eye(4, WIDTH, 5, dtype=bool))
    joined = OPERATORS["concat"].reach({}, [first, made, first])
    assert (joined.table == np.vstack([first.table, made.table, first.table])).all()
    assert OPERATORS["concat"].reach({}, [first, first]).rows is READ.rows
    for kind in COMMUTATIVE:
        union = OPERATORS[kind].reach({}, [first, made])
        assert (union.table == first.table | made.table).all()


def test_what_does_not_pass_depends_on_nothing() -> None:
    passes = np.arange(WIDTH) >= EACH[0]
    kept = READ.where(passes)
    assert (kept.live == passes).all()
    assert kept.sources.tolist() == [False, True, True, True]
    assert not apply_filters(kept, np.eye(2, WIDTH, dtype=bool)).live.any()
