"""The table of connectivity rules: sources as the papers define them,
counts as their formulas say.
"""

from collections.abc import Callable
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archspec.connectivity_rules import (
    RULES,
    count_connections,
    sources_of_layer,
    sources_of_output,
)
from archspec.graph.build import build_graph
from archspec.graph.connections import derive_connections
from archspec.spec.connectivity import ConnectivitySpec, Order, RuleName
from archspec.spec.spec import Spec
from archspec.verifiers.verify import verify

Feeds = Callable[[int, int], bool]
FEEDS: dict[str, Feeds] = {
    "dense": lambda i, j: True,
    "cross_stage_partial": lambda i, j: True,
    "one_shot": lambda i, j: j == i - 1,
    "log": lambda i, j: (i - j) in {2**n for n in range(20)},
    "harmonic": lambda i, j: any(i - j == 2**n and i % 2**n == 0 for n in range(20)),
}
"""Does source j < i feed layer i? Asked for every pair, as the papers put it."""
OUTPUTS: dict[str, Callable[[int], list[int]]] = {
    "dense": lambda layers: list(range(layers + 1)),
    "cross_stage_partial": lambda layers: list(range(layers + 1)),
    "one_shot": lambda layers: list(range(layers + 1)),
    "log": lambda layers: [j for j in range(layers + 1) if FEEDS["log"](layers + 1, j)],
    "harmonic": lambda layers: [j for j in range(1, layers + 1) if j % 2 or j == layers],
}
named = st.sampled_from(sorted(FEEDS))


def brute(feeds: Feeds, layer: int) -> tuple[int, ...]:
    return tuple(j for j in range(layer) if feeds(layer, j))


@st.composite
def listed(draw: st.DrawFn) -> list[list[int]]:
    """Sources of each layer, in any order."""
    layers = draw(st.integers(1, 12))
    return [
        draw(st.lists(st.integers(0, i - 1), min_size=1, unique=True)) for i in range(1, layers + 1)
    ]


def test_the_names_of_the_language_are_those_of_the_table() -> None:
    """No rule can be written that is not there, and none is there that cannot be written."""
    assert set(get_args(RuleName)) == set(RULES)
    assert set(RULES) == {*FEEDS, "window", "edges"}


@given(named, st.integers(1, 300))
def test_sources_are_those_that_the_definition_names(rule: RuleName, layers: int) -> None:
    """Layer by layer, and those of the block's output."""
    wiring = ConnectivitySpec(rule=rule)
    assert [sources_of_layer(wiring, i) for i in range(1, layers + 1)] == [
        brute(FEEDS[rule], i) for i in range(1, layers + 1)
    ]
    assert list(sources_of_output(wiring, layers)) == OUTPUTS[rule](layers)


@given(named, st.integers(1, 300))
def test_the_closed_form_counts_the_sources(rule: RuleName, layers: int) -> None:
    """One for each pair, one more for what goes round the layers."""
    pairs = sum(len(brute(FEEDS[rule], i)) for i in range(1, layers + 1))
    wiring = ConnectivitySpec(rule=rule)
    assert count_connections(wiring, layers) == pairs + (rule == "cross_stage_partial")
    aggregated = len(OUTPUTS[rule](layers)) if rule == "one_shot" else 0
    assert (
        count_connections(wiring, layers, aggregated=True)
        == count_connections(wiring, layers) + aggregated
    )


@given(st.integers(1, 60), st.integers(1, 80))
def test_a_window_holds_the_last_sources(size: int, layers: int) -> None:
    """At the beginning of a block fewer; the output reads as one more layer would."""
    wiring = ConnectivitySpec(window=size)
    read = [list(range(i))[-size:] for i in range(1, layers + 2)]
    assert [list(sources_of_layer(wiring, i)) for i in range(1, layers + 1)] == read[:-1]
    assert list(sources_of_output(wiring, layers)) == read[-1]
    assert count_connections(wiring, layers) == sum(map(len, read[:-1]))


@given(listed())
def test_listed_edges_are_joined_as_they_are_written(edges: list[list[int]]) -> None:
    """Another order is another function of the weights."""
    wiring = ConnectivitySpec.model_validate({"edges": edges})
    assert [list(sources_of_layer(wiring, i + 1)) for i in range(len(edges))] == edges
    assert count_connections(wiring, len(edges)) == sum(map(len, edges))


ORDERS = ("oldest_first", "newest_first")


@given(named, st.integers(1, 60), st.sampled_from(ORDERS), st.sampled_from([None, *ORDERS]))
def test_an_order_turns_what_a_rule_reads_and_no_more(
    rule: RuleName, layers: int, order: Order, output_order: Order | None
) -> None:
    """The output follows the layers where nothing else is said; the connections stay the same."""
    usual = ConnectivitySpec(rule=rule)
    wiring = ConnectivitySpec(rule=rule, order=order, output_order=output_order)
    turned = slice(None, None, -1 if order == "newest_first" else 1)
    for layer in range(1, layers + 1):
        assert sources_of_layer(wiring, layer) == sources_of_layer(usual, layer)[turned]
    turned = slice(None, None, -1 if (output_order or order) == "newest_first" else 1)
    assert sources_of_output(wiring, layers) == sources_of_output(usual, layers)[turned]
    assert count_connections(wiring, layers) == count_connections(usual, layers)


@given(st.integers(1, 40), st.data())
def test_an_output_may_be_said_for_every_rule(layers: int, data: st.DataObject) -> None:
    """All, the new ones, the last, or a list, which is joined as it is written."""
    rule = data.draw(named)
    for output, expected in (
        ("all", [*range(layers + 1)]),
        ("new", [*range(1, layers + 1)]),
        ("last", [layers]),
    ):
        assert (
            list(sources_of_output(ConnectivitySpec(rule=rule, output=output), layers)) == expected
        )
    some = data.draw(st.lists(st.integers(0, layers), min_size=1, unique=True))
    assert (
        list(sources_of_output(ConnectivitySpec.model_validate({"output": some}), layers)) == some
    )


@pytest.mark.parametrize(
    "wiring",
    [
        *FEEDS,
        {"window": 3},
        {"edges": [[0], [1, 0], [1], [3, 0], [2]], "output": [5, 4, 3, 0]},
        {"rule": "log", "share": 0.5, "output": "all"},
        {"rule": "one_shot", "share": 0.25},
        {"order": "newest_first"},
        {"rule": "harmonic", "order": "newest_first", "output_order": "oldest_first"},
        {"rule": "log", "order": "newest_first", "share": 0.5},
    ],
    ids=str,
)
@pytest.mark.parametrize("aggregate", [None, {"channels": 7}], ids=["joined", "aggregated"])
def test_what_is_built_has_the_rules_connections(wiring: object, aggregate: object) -> None:
    """Derived from the operators, layer by layer, in their order,
    and as many as the closed form says.
    """
    block = {"layers": 5, "growth_rate": 4, "connectivity": wiring, "aggregate": aggregate}
    spec = Spec.model_validate({"blocks": [block], "stem": {"channels": 8}, "transitions": []})
    graph = build_graph(spec)
    (declared,), (found,) = spec.dense_blocks(), derive_connections(graph)
    assert verify(graph) == ()
    assert found.sources == tuple(sources_of_layer(declared.connectivity, i) for i in range(1, 6))
    assert found.gathered == sources_of_output(declared.connectivity, 5)
    assert found.edges == count_connections(
        declared.connectivity, 5, aggregated=aggregate is not None
    )
