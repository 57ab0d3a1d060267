"""Equal operators that a compiler merged, or a person wrote once:
the same network, each layer with its own.
"""

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import networkx as nx
import numpy as np
import oracle
import pytest
from compare.test_compare import lines, nameless
from operators.examples import EXAMPLES, MAP, read_by, step_of

from archspec.compare.compare import Comparison, compare
from archspec.graph.build import build_graph
from archspec.graph.ir import Graph, Op
from archspec.operators.table import JOINS, OPERATORS
from archspec.spec.spec import Spec
from archspec.verifiers.verify import verify_or_raise

Step = Any


def stands_in_a_layer(kind: str) -> bool:
    """Whether a step says the first example of a kind, and it gives as many pixels as it reads."""
    row, attrs = OPERATORS[kind], EXAMPLES[kind][0]
    if row.is_of_training or not (row.step or row.family or kind in JOINS):
        return False
    return row.shape(attrs, read_by(kind))[1:] == MAP[1:]


STANDING = [kind for kind in OPERATORS if stands_in_a_layer(kind)]
WEIGHTED = [kind for kind in STANDING if OPERATORS[kind].tensors(EXAMPLES[kind][0])]
WITHOUT_WEIGHTS: dict[str, Step] = {
    **{kind: step_of(kind) for kind in STANDING if kind not in WEIGHTED},
    # Windows that keep the size, which those of examples do not.
    "max_pool": {"max_pool": {"kernel": 3, "stride": 1, "padding": 1}},
    "avg_pool": {"avg_pool": {"kernel": 3, "stride": 1, "padding": 1}},
    "blur_pool": {"blur_pool": {"stride": 1}},
}


def conv(width: Any, kernel: int = 3) -> Step:
    return {"conv": {"width": width, "kernel": kernel}}


def branches(*steps: Step) -> Step:
    """Two branches that begin alike."""
    return {"branches": {"of": [[*steps, conv("k/2", 1)], [*steps, conv("k/2")]]}}


def spec_of(**settings: Any) -> Graph:
    """A verified graph; one block of two layers of 4 channels on 8 x 8 pixels
    where nothing else is said.
    """
    usual = {
        "input": {"height": 8, "width": 8},
        "stem": [conv(8)],
        "growth_rate": 4,
        "blocks": [{"layers": 2}],
        "head": ["global_pool", "dense"],
    }
    return verify_or_raise(build_graph(Spec.model_validate(usual | settings)))


RELU, POOL = WITHOUT_WEIGHTS["relu"], WITHOUT_WEIGHTS["max_pool"]
FIRST_ALIKE = {"edges": [[0], [0], [1, 2], [1, 2]]}
SPECS: dict[str, Graph] = {
    **{f"two of {kind}": spec_of(layer=[branches(step)]) for kind, step in WITHOUT_WEIGHTS.items()},
    "two runs": spec_of(layer=[branches(POOL, RELU)]),
    "nested": spec_of(layer=[branches({"branches": {"of": [[RELU], [RELU, POOL], [POOL]]}})]),
    "read twice by one": spec_of(layer=[{"branches": {"of": [[RELU], [RELU]]}}, conv("k")]),
    "behind dropout": spec_of(layer=[branches({"dropout": {"rate": 0.2}}, RELU)]),
    "layers that begin alike": spec_of(
        layer=[RELU, conv("k")], blocks=[{"layers": 4, "connectivity": FIRST_ALIKE}]
    ),
    "layers and branches": spec_of(
        layer=[branches(RELU, POOL)], blocks=[{"layers": 4, "connectivity": FIRST_ALIKE}]
    ),
    "layers of no weights": spec_of(
        layer=[conv("k")],
        blocks=[
            {
                "layers": 3,
                "growth_rate": [8, 8, 4],
                "layer_at": {1: [RELU], 2: [RELU]},
                "connectivity": {"edges": [[0], [0], [1, 2]]},
            }
        ],
    ),
    "a bypass": spec_of(
        layer=[branches(RELU)], blocks=[{"layers": 3, "connectivity": "cross_stage_partial"}]
    ),
}


def compiled(graph: Graph, rng: random.Random, share: float = 1.0) -> Graph:
    """The graph with operators merged that have no weights and read the same,
    each with a probability.
    """
    chosen = {name: rng.random() < share for name in graph.ops}
    kept = dict[str, Op]()
    same = dict[str, str]()
    values = dict[str, str]()
    for op in graph.ops.values():
        op = replace(op, inputs=tuple(same.get(source, source) for source in op.inputs))
        what = repr((op.kind, sorted(op.attrs.items()), [values[name] for name in op.inputs]))
        has_weights = not op.inputs or bool(oracle.shapes_of(op.kind, op.attrs))
        twin = next((one for one in kept if values[one] == what and one != op.name), "")
        values[op.name] = op.name if has_weights else what
        if twin and not has_weights and chosen[op.name]:
            same[op.name] = twin
        else:
            kept[op.name] = op
    return reachable(replace(graph, ops=kept), graph.outputs[-1])


def assert_equal(comparison: Comparison) -> None:
    """With each connection that the spec has, and nothing to note."""
    assert lines(comparison) == []
    assert comparison.notes == ()
    assert comparison.params == comparison.expected_params
    for block in comparison.blocks:
        assert (block.edges, block.missing, block.surplus) == (block.expected_edges, (), ())


@pytest.mark.parametrize("name", SPECS)
def test_merged_operators_are_the_specs(name: str) -> None:
    """All of them, some of them, none; with --ordered too."""
    spec, rng = SPECS[name], random.Random(name)
    assert len(compiled(spec, rng).ops) < len(spec.ops)
    for seed, share in enumerate((1.0, 0.5, 0.5, 0.0)):
        file = nameless(compiled(spec, rng, share), seed)
        assert_equal(compare(spec, file))
        assert_equal(compare(spec, file, ordered=True))


def test_a_file_may_have_twice_what_the_spec_has_once() -> None:
    """relu(x) written for each reader, and before both."""
    once = spec_of(layer=[RELU, {"branches": {"of": [[conv("k/2", 1)], [conv("k/2")]]}}])
    twice = spec_of(layer=[branches(RELU)])
    assert_equal(compare(once, nameless(twice)))
    assert_equal(compare(twice, nameless(once)))


@pytest.mark.parametrize(
    "step",
    [
        *map(step_of, WEIGHTED),
        "norm",
        "scale",
        conv("in"),
        {"squeeze_excite": {"reduction": 2}},
    ],
    ids=[*WEIGHTED, "the spec's own norm", "scale", "conv", "gate"],
)
def test_what_has_weights_is_never_merged(step: Step) -> None:
    """One such operator that two read shares its weights: another network than two."""
    spec = spec_of(layer=[branches(step)])
    once = spec_of(layer=[step, {"branches": {"of": [[conv("k/2", 1)], [conv("k/2")]]}}])
    assert_equal(compare(spec, nameless(spec)))
    assert not compare(spec, nameless(once)).is_equal
    assert not compare(once, nameless(spec)).is_equal


def changes(graph: Graph) -> Iterator[Graph]:
    """One layer's operator of another kind, left out, with another window;
    a join without its first.
    """
    for op in graph.ops.values():
        if op.kind in ("relu", "max_pool") and "denselayer" in op.name:
            yield graph.with_op(replace(op, kind="silu" if op.kind == "relu" else "avg_pool"))
            yield bypassed(graph, op)
        if op.kind == "conv" and "denselayer" in op.name:
            yield graph.with_op(replace(op, attrs={**op.attrs, "kernel": 7, "padding": 3}))
        if op.kind == "concat" and len(op.inputs) > 1:
            yield graph.with_op(replace(op, inputs=op.inputs[1:]))


def bypassed(graph: Graph, gone: Op) -> Graph:
    """The graph without an operator, whose readers read what it read."""
    for op in graph.ops.values():
        inputs = tuple(gone.inputs[0] if source == gone.name else source for source in op.inputs)
        graph = graph.with_op(replace(op, inputs=inputs))
    return graph.without_op(gone.name)


def reachable(graph: Graph, end: str) -> Graph:
    used = nx.ancestors(graph.digraph, end) | {end}
    return replace(graph, ops={name: op for name, op in graph.ops.items() if name in used})


@pytest.mark.parametrize(
    "name", ["two of relu", "two of max_pool", "two runs", "layers that begin alike"]
)
def test_a_difference_is_told_as_if_nothing_were_merged(name: str) -> None:
    """In the same words, at the same layer, whatever a compiler merged beside it."""
    spec, rng = SPECS[name], random.Random(0)
    for changed in changes(spec):
        changed = reachable(changed, spec.outputs[-1])
        told = lines(compare(spec, nameless(changed)))
        assert told
        assert lines(compare(spec, nameless(compiled(changed, rng)))) == told


def test_a_layer_that_is_changed_in_a_merged_file_is_named() -> None:
    """The readers of one operator are told apart: layer 2 alone has another."""
    spec = SPECS["two of relu"]
    relu = spec.ops["features.denseblock1.denselayer2.relu1"]
    file = compiled(spec.with_op(replace(relu, kind="silu")), random.Random(0))
    assert lines(compare(spec, nameless(file))) == [f"{relu.name} is silu, the spec says relu"]


@pytest.mark.parametrize("name", ["two runs", "nested", "layers and branches", "a bypass"])
def test_a_random_change_that_changes_the_output_is_found(name: str) -> None:
    """Wires and kinds changed at random, then merged;
    the NumPy forward says which of them are another function.
    """
    spec, rng = SPECS[name], random.Random(name)
    parameters = oracle.random_parameters(spec.ops.values(), 0)
    image = np.random.default_rng(0).normal(size=(1, 3, 8, 8))
    expected = oracle.forward(spec.ops.values(), parameters, image)
    found = 0
    while found < 12:
        changed = reachable(rewired(spec, rng), spec.outputs[-1])
        try:
            given = oracle.forward(changed.ops.values(), parameters, image)
        except (ValueError, AssertionError):
            continue  # widths do not fit
        if np.abs(given - expected).max() > 1e-9:
            found += 1
            file = nameless(compiled(changed, rng), found)
            assert not compare(spec, file, ordered=True).is_equal


def rewired(graph: Graph, rng: random.Random) -> Graph:
    """One operator reads another value, or is of another kind."""
    names = list(graph.ops)
    op = rng.choice([op for op in graph.ops.values() if op.inputs and op.kind != "dense"])
    if op.kind in ("relu", "max_pool") and rng.random() < 0.3:
        return graph.with_op(replace(op, kind="sigmoid" if op.kind == "relu" else "avg_pool"))
    at = rng.randrange(len(op.inputs))
    source = rng.choice(names[: names.index(op.name)])
    return graph.with_op(replace(op, inputs=(*op.inputs[:at], source, *op.inputs[at + 1 :])))


@pytest.mark.parametrize("seed", range(8))
def test_branches_that_end_the_network_are_told_apart_by_their_place(seed: int) -> None:
    """A ReLU and a hard sigmoid, each with a norm:
    whichever the file lists first, its place in the join is its own.
    """
    ends = [[{"activation": "relu"}, "norm"], [], [{"activation": "hard_sigmoid"}, "norm"]]
    spec = spec_of(head=[{"branches": {"of": ends}}])
    listed = list(spec.ops.values())
    last, middle, first = listed[-1], listed[-5:-1], listed[:-5]
    pairs = [middle[:2], middle[2:]]
    random.Random(seed).shuffle(pairs)
    turned = [*first, *pairs[0], *pairs[1], last]
    file = nameless(replace(spec, ops={op.name: op for op in turned}), seed)
    found = compare(spec, file, ordered=True)
    assert (found.differences, found.notes) == ((), ())


def test_layers_that_are_alike_are_told_apart_by_all_their_places() -> None:
    """Layers 1 and 3 read the input, are read twice, and stand at places of one sum:
    0, 0, 4 and 0, 2, 2.
    """
    edges = [[0], [1, 0], [0], [3], [2, 0, 3, 4, 1]]
    block = {
        "layers": 5,
        "growth_rate": [8, 4, 8, 2, 8],
        "connectivity": {"edges": edges, "output": "new"},
    }
    spec = spec_of(blocks=[block], layer="post_activation")
    third = [op for op in spec.ops.values() if "denselayer3" in op.name]
    others = [op for op in spec.ops.values() if op not in third]
    at = next(number for number, op in enumerate(others) if "denselayer1" in op.name)
    listed = [*others[:at], *third, *others[at:]]
    file = nameless(replace(spec, ops={op.name: op for op in listed}), 3)
    found = compare(spec, file, ordered=True)
    assert (found.differences, found.notes) == ((), ())


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("head", [[{"slice": {"stop": "in/2"}}], ["norm"]])
def test_layers_that_change_places_from_join_to_join_are_told_apart(
    head: list[Any], seed: int
) -> None:
    """Layers 1 and 2 stand at 1 and 0 in one join, at 0 and 1 in the other: whose it is tells."""
    connectivity = {"edges": [[0], [0], [2, 1, 0]], "output": "new"}
    spec = spec_of(blocks=[{"layers": 3, "connectivity": connectivity}], head=head)
    waiting = list(spec.ops.values())
    random.Random(seed).shuffle(waiting)
    listed: dict[str, Op] = {}
    while waiting:
        ready = [op for op in waiting if listed.keys() >= {*op.inputs}]
        listed |= {op.name: op for op in ready}
        waiting = [op for op in waiting if op.name not in listed]
    found = compare(spec, nameless(replace(spec, ops=listed), seed), ordered=True)
    assert (found.differences, found.notes) == ((), ())
