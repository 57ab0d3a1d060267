"""Which channels depend on which sources, held to numbers:
a source is moved, and channels move or do not.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import oracle
import pytest

from archspec.certify.reach import Reach, apply_filters
from archspec.graph.ir import Op
from archspec.operators.table import ACTIVATIONS, OPERATORS

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
    **{kind: OPERATORS[kind].settings for kind in ACTIVATIONS},
    "prelu": {"channels": WIDTH, "slope": 0.25},
    "batch_norm": {"channels": WIDTH, "eps": 1e-5, "momentum": 0.9},
    **{
        kind: {"channels": WIDTH, "eps": 1e-5}
        for kind in ("layer_norm", "rms_norm", "instance_norm")
    },
    "group_norm": {"channels": WIDTH, "groups": 6, "eps": 1e-5},
    "shuffle": {"groups": 4},
    "scale": {"channels": WIDTH, "initial": 0.1},
    "slice": {"start": 2, "stop": 8},
    "upsample": {"factor": 2, "mode": "nearest"},
    "crop": {"size": (2, 2), "corner": (1, 1)},
    **{kind: {"kernel": 2, "stride": 2, "padding": 0} for kind in ("max_pool", "avg_pool")},
    "blur_pool": {"kernel": 3, "stride": 2, "padding": 1},
    **{kind: {"keep": True} for kind in ("global_avg_pool", "global_max_pool")},
    **{kind: {"factor": 2} for kind in ("pixel_shuffle", "pixel_unshuffle")},
    **{kind: {"rate": 0.1} for kind in ("dropout", "dropout2d", "drop_path")},
    "output": {},
}
JOINS = ("concat", "add", "multiply")


def test_every_kind_of_operator_is_held_to_numbers() -> None:
    """A new one whose row says nothing would be taken for one that leaves channels alone."""
    filters = {kind for kind, row in OPERATORS.items() if row.has_filters}
    assert {*OTHERS, *filters, *JOINS, "input"} == {*OPERATORS}


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
    assert (apply_filters(READ, filters, own["groups"]).table == expected).all()
    assert 0 < expected.sum() < expected.size


@pytest.mark.parametrize("kind", OTHERS)
def test_other_operators_carry_channels_as_they_compute_them(kind: str) -> None:
    op = Op("x", kind, ("image",), OTHERS[kind])
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
    for kind in ("add", "multiply"):
        union = OPERATORS[kind].reach({}, [first, made])
        assert (union.table == first.table | made.table).all()


def test_what_does_not_pass_depends_on_nothing() -> None:
    passes = np.arange(WIDTH) >= EACH
    kept = READ.where(passes)
    assert (kept.live == passes).all()
    assert kept.sources.tolist() == [False, True, True, True]
    assert not apply_filters(kept, np.eye(2, WIDTH, dtype=bool)).live.any()
