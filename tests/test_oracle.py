"""The NumPy forward gives what PyTorch was seen to give, and its slope is PyTorch's gradient.

`operators.npz` holds for each case `x`, `y` and the weights in float64, each stacked on its
gradient; that of `y` is what was sent back. PyTorch 2.13 computed it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import oracle
import pytest

from archspec.operators.table import OPERATORS

RECORDED = np.load(Path(__file__).parent / "cases" / "operators.npz")
CASES: Mapping[str, Any] = json.loads(str(RECORDED["cases"]))


def recorded(case: str) -> dict[str, Any]:
    """Return `x`, `y` and the weights of a case, each with its gradient."""
    return {role: RECORDED[f"{case}/{role}"] for role in ("x", "y", *CASES[case]["roles"])}


def computed(case: str, values: Mapping[str, Any]) -> Any:
    op = SimpleNamespace(name="op", inputs=(), kind=CASES[case]["kind"], attrs=CASES[case]["attrs"])
    weights = {f"op.{role}": values[role] for role in CASES[case]["roles"]}
    return oracle.forward([op], weights, values["x"])


@pytest.mark.parametrize("case", CASES)
def test_an_operator_gives_what_pytorch_gives(case: str) -> None:
    """In float64, of inputs and weights that are not trivial."""
    values = {role: both[0] for role, both in recorded(case).items()}
    assert oracle.distance(computed(case, values), values["y"]) < 1e-12


@pytest.mark.parametrize("case", CASES)
def test_its_slope_is_the_gradient_of_pytorch(case: str) -> None:
    """Along a random direction, for the input and each weight by itself;
    no value lies at a kink.
    """
    both = recorded(case)
    values = {role: pair[0] for role, pair in both.items()}
    sent_back, random = both["y"][1], np.random.default_rng(0)
    for role in ("x", *CASES[case]["roles"]):
        step = 1e-6 * random.normal(size=values[role].shape)
        ahead, behind = (
            computed(case, {**values, role: values[role] + sign * step}) for sign in (1, -1)
        )
        slope = ((ahead - behind) * sent_back).sum() / 2
        assert slope == pytest.approx((both[role][1] * step).sum(), rel=1e-6, abs=1e-14)


@pytest.mark.parametrize("case", CASES)
def test_parameters_have_the_shapes_of_pytorch(case: str) -> None:
    """Those that a test draws at random."""
    op = SimpleNamespace(name="op", inputs=(), kind=CASES[case]["kind"], attrs=CASES[case]["attrs"])
    shapes = {f"op.{role}": recorded(case)[role][0].shape for role in CASES[case]["roles"]}
    assert oracle.shapes([op]) == shapes


def test_every_kind_of_operator_has_its_forward() -> None:
    """A row without one would be compared with nothing; it is added to KINDS in oracle.py."""
    assert {*OPERATORS} - {*oracle.KINDS} == set()


@pytest.mark.parametrize("kind", ["dropout", "dropout2d", "drop_path"])
def test_what_drops_at_random_does_nothing_in_evaluation(kind: str) -> None:
    """Whatever its rate."""
    op = SimpleNamespace(name="op", inputs=(), kind=kind, attrs={"rate": 0.9})
    x = np.arange(24.0).reshape(2, 3, 2, 2)
    assert (oracle.forward([op], {}, x) == x).all()
