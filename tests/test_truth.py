"""certify is right about random networks and random rewrites of their files:
thirty here, many in benchmarks/.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
FEW, MANY = 3, 10
"""Specs of a seed."""
CHUNKS = (
    (1_001, FEW),
    *(pytest.param(number, MANY, marks=pytest.mark.slow) for number in (1_001, 1_002, 1_003)),
)


def benchmark() -> Any:
    """The benchmark's module, which is no part of a package."""
    name = "truth_benchmark"
    if name not in sys.modules:
        path = ROOT / "benchmarks" / "truth.py"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.mark.parametrize(("number", "count"), CHUNKS)
def test_files_that_compute_the_spec_are_accepted_and_no_others(number: int, count: int) -> None:
    """MINDIR by MindSpore, ONNX in several styles, shuffled, optimised;
    changed ones and other specs' files.
    """
    truth = benchmark()
    lines = list(truth.judged(number, count))
    assert [wrong for line in lines for wrong in line["wrong"]] == []
    row = truth.summed(lines)["all"]
    assert row["accepted"] == 4 * count
    assert row["told apart"] >= 2 * count


@pytest.mark.slow
def test_every_setting_of_the_language_is_drawn() -> None:
    """So that none of them escapes: over thirty seeds, whatever else is drawn."""
    truth = benchmark()
    drawn = [values for number in range(30) for values in truth.drawn(number)]
    lines = [{"drawn": truth.drawn_settings(values)} for values in drawn]
    assert truth.never_drawn(lines) == []


def test_the_table_counts_each_file_once() -> None:
    """Of equal outputs accepted and accused, of others told apart and accepted."""
    truth = benchmark()
    lines = [
        {"files": {"MINDIR: accepted": 2, "ONNX, a: b: accused wrongly": 1}},
        {"files": {"MINDIR: accepted wrongly": 1, "MINDIR: told apart": 3}},
    ]
    table = truth.summed(lines)
    assert table["MINDIR"] == dict(zip(truth.COLUMNS, (2, 2, 0, 4, 3, 1), strict=True))
    assert table["ONNX, a: b"] == dict(zip(truth.COLUMNS, (1, 0, 1, 0, 0, 0), strict=True))
    assert table["all"] == dict(zip(truth.COLUMNS, (3, 2, 1, 4, 3, 1), strict=True))


def test_specs_that_were_judged_wrongly_are_shown() -> None:
    """By the call that draws them, counted in their seed, with each file and the spec itself."""
    truth = benchmark()
    wrong = {"file": "MINDIR", "column": "accused wrongly", "verdict": "R102 the stem"}
    lines = [
        {"seed": 4, "wrong": [], "spec": {"growth_rate": 2}},
        {"seed": 5, "wrong": [], "spec": {"growth_rate": 3}},
        {"seed": 5, "wrong": [wrong, {**wrong, "file": "ONNX"}], "spec": {"growth_rate": 4}},
    ]
    assert list(truth.judged_wrongly(lines)) == [
        "drawn(5)[1]: MINDIR accused wrongly: R102 the stem\n"
        "drawn(5)[1]: ONNX accused wrongly: R102 the stem\n"
        "growth_rate: 4\n"
    ]
