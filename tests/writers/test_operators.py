"""Every operator, rule and template in small networks:
graph mode and PyNative agree with a NumPy forward.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import oracle
import pytest
from operators.examples import READING, together
from writers.operator_networks import CASES, IN_TEST_MODULE, OF_TRAINING, graph_of
from writers.together import (
    assert_each_computes_what_its_graph_says,
    filled,
    images_for,
    in_groups,
    run_compiled,
)

from archspec.operators.table import OPERATORS
from archspec.runtime import prepare
from archspec.writers.mindspore.module import write_module

TOLERANCE = 1e-5
WIRED = (
    "variables called as functions",
    "named steps",
    "residual",
    "uneven growth",
    "shares of the input",
    "skips",
    "layers of two widths",
    "rule edges",
)
"""What the text writes as loops, classes or values of its own: these are compiled in each run."""
OTHERS = [case for case in CASES if case not in WIRED]
SLOW = [pytest.param(cases, marks=pytest.mark.slow) for cases in in_groups(OTHERS, 4)]


@pytest.fixture(scope="module")
def ms() -> Iterator[Any]:
    prepare()
    import mindspore

    yield mindspore
    mindspore.set_context(mode=mindspore.PYNATIVE_MODE)


@pytest.mark.parametrize("cases", in_groups([*CASES], 16), ids=", ".join)
def test_each_network_computes_what_its_graph_says(
    ms: Any, cases: list[str], as_ruff_has_it: Any
) -> None:
    """Near the NumPy forward; parameters by the graph's names; a text as ruff has it."""
    graphs = {case: graph_of(**CASES[case]) for case in cases}
    assert_each_computes_what_its_graph_says(ms, graphs, TOLERANCE, is_compiled=False)
    as_ruff_has_it(*map(write_module, graphs.values()))


@pytest.mark.parametrize("cases", [*in_groups(WIRED, 4), *SLOW], ids=", ".join)
def test_each_network_is_compiled_to_what_its_graph_says(ms: Any, cases: list[str]) -> None:
    """Equal bits in both modes. Operators by themselves the test below has."""
    graphs = {case: graph_of(**CASES[case]) for case in cases}
    assert_each_computes_what_its_graph_says(ms, graphs, TOLERANCE)


def test_each_kind_is_compiled_to_what_its_row_says(ms: Any) -> None:
    """All examples in one network; line by line, test_row_code.py runs them."""
    graph = together(READING)
    (network, parameters), images = filled(ms, graph), images_for(graph)
    (found,) = run_compiled(ms, [network], [images])
    values = oracle.values(graph.ops.values(), parameters, images)
    right = dict(zip(graph.ops, values, strict=True))
    for name, made in zip(graph.outputs, found, strict=True):
        assert oracle.distance(made, right[name]) <= TOLERANCE, graph.ops[name]


def test_every_kind_of_operator_stands_in_one_of_these_networks() -> None:
    """So that an operator that is new cannot be forgotten;
    test_module.py has the activations that are missing.
    """
    kinds = {op.kind for case in CASES.values() for op in graph_of(**case).ops.values()}
    elsewhere = {*IN_TEST_MODULE, *OF_TRAINING, "output"}
    assert kinds | elsewhere == set(OPERATORS)


def test_blocks_that_differ_in_widths_alone_share_a_class() -> None:
    """Also in those of their layers, of a share of the input, and of what is cut out."""
    for case, classes in (("layers of two widths", 1), ("uneven growth", 3), ("skips", 2)):
        text = write_module(graph_of(**CASES[case]))
        assert text.count("\nclass DenseBlock") == classes, text
        assert text.count("\nclass DenseLayer") == 1
