"""The proof of a graph: each rule has its code and words,
and no garbage makes the verifiers stumble.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archspec.errors import GraphError
from archspec.graph.build import build_graph
from archspec.graph.digest import structure_digest
from archspec.graph.ir import Graph, Op, Region
from archspec.spec.load import load_spec
from archspec.verifiers.verify import check_acyclic, check_connected, verify, verify_or_raise

DIGITS = build_graph(load_spec("densenetbc_digits"))


L, T = "features.denseblock1.denselayer1", "features.transition1.pool"


def with_attrs(op: Op, **attrs: Any) -> Op:
    return replace(op, attrs={**op.attrs, **attrs})


@pytest.mark.parametrize(
    ("mutate", "code", "text"),
    [
        (
            lambda g: g.with_op(replace(g.ops["relu5"], kind="relo")),
            "G001",
            "unknown kind of operator 'relo'",
        ),
        (
            lambda g: g.with_op(replace(g.ops["relu5"], region="x")),
            "G001",
            "belongs to region 'x', which does",
        ),
        (
            lambda g: g.with_op(replace(g.ops["relu5"], inputs=("x",))),
            "G002",
            "reads 'x', which does not exist",
        ),
        (lambda g: g.with_op(replace(g.ops["relu5"], inputs=())), "G002", "takes 1 inputs, has 0"),
        (
            lambda g: g.with_op(replace(g.ops["input"], inputs=("relu5",))),
            "G002",
            "takes 0 inputs, has 1",
        ),
        (
            lambda g: g.with_op(replace(g.ops["relu5"], inputs=("classifier",))),
            "G003",
            "relu5 G003 reads classifier, which depends on it",
        ),
        (
            lambda g: g.with_op(Op("in2", "input", (), {"shape": (3, 2, 2)})),
            "G004",
            "has 2 inputs (input, in2)",
        ),
        (
            lambda g: g.with_op(Op("x", "relu", ("input",))),
            "G004",
            "has 2 outputs (classifier, x), must have",
        ),
        (
            lambda g: g.with_op(Op("x", "relu", ("input",))),
            "G005",
            "x G005 does not lead to the output",
        ),
        (
            lambda g: g.with_op(with_attrs(g.ops["classifier"], in_channels=5)),
            "G006",
            "classifier G006 is made for 5 channels, reads 84",
        ),
        (
            lambda g: g.with_op(with_attrs(g.ops["classifier"], out_channels=5)),
            "G009",
            "head G009 gives 5 channels, the spec says 10",
        ),
        (
            lambda g: g.with_op(replace(g.ops["relu5"], kind="silu")),
            "G010",
            (
                "head G010 consists of batch_norm, silu, global_avg_pool, dense; the spec says "
                "batch_norm, relu,"
            ),
        ),
        (
            lambda g: g.with_op(with_attrs(g.ops["features.norm5"], eps=0.5)),
            "G010",
            "features.norm5 G010 eps (=0.5) must be 1e-05",
        ),
    ],
)
def test_each_rule_has_its_code_and_words(
    mutate: Callable[[Graph], Graph], code: str, text: str
) -> None:
    """One broken rule, one known message."""
    found = verify(mutate(DIGITS))
    assert any(fault.code == code and text in str(fault) for fault in found), found


def test_a_connection_that_is_missing_is_told_by_layer() -> None:
    """Layer 3 of block 1 does not read layer 1, though its channels are made up from elsewhere."""
    graph = DIGITS
    block = "features.denseblock1"
    twice = graph.with_op(
        replace(
            graph.ops[f"{block}.concat3"],
            inputs=("features.conv0", f"{block}.denselayer2.conv2", f"{block}.denselayer2.conv2"),
        )
    )
    assert [str(fault) for fault in verify(twice)] == [
        f"{block}.concat3 G010 joins sources 0, 2, 2, must join each once",
        f"{block} G008 layer 3 does not read layer 1",
        f"{block} G008 has 9 direct connections, 10 expected",
    ]


def test_a_layer_that_is_joined_beside_the_aggregation_is_told() -> None:
    """What gathers all layers has it already; that the widths behind it fit is no excuse."""
    graph = build_graph(load_spec("cspdensenet121"))
    fuse = graph.ops["features.denseblock1.fuse"]
    inputs = (*fuse.inputs, "features.denseblock1.denselayer3.conv2")
    found = map(str, verify(graph.with_op(replace(fuse, inputs=inputs))))
    assert f"{fuse.name} G010 joins sources 3 beside the aggregation, which" in "; ".join(found)


def test_nested_joins_in_order_are_as_good_as_flat_ones() -> None:
    """Keras joins one layer after the other:
    the same channels in the same order, so the proof holds.
    """
    graph = DIGITS
    for block in graph.regions_of("dense_block"):
        names = [op.name for op in graph.members[block.name]]
        for before, name in pairwise(names):
            op = graph.ops[name]
            graph = graph.with_op(replace(op, inputs=(before, op.inputs[-1])))
    assert verify(graph) == ()
    assert structure_digest(graph) != structure_digest(DIGITS)


def test_verified_returns_the_graph_or_raises_every_fault() -> None:
    """The guard that rewrites and writers call."""
    graph = DIGITS
    assert verify_or_raise(graph) is graph
    broken = graph.with_op(with_attrs(graph.ops["classifier"], out_channels=5))
    broken = broken.with_op(with_attrs(broken.ops["features.norm5"], channels=5))
    broken = broken.with_op(with_attrs(broken.ops["features.conv0"], in_channels=5))
    with pytest.raises(GraphError) as caught:
        verify_or_raise(broken)
    assert [fault.where for fault in caught.value.diagnostics] == ["features.conv0", "classifier"]
    faults = verify(
        graph.with_op(replace(graph.ops["relu5"], kind="a")).with_op(
            replace(graph.ops["pool"], kind="b")
        )
    )
    assert [fault.where for fault in faults] == ["relu5", "pool"]


def regrouped(graph: Graph, **changes: Any) -> Graph:
    """The graph with the attributes (or the parent, or the kind) of its first block changed."""
    block = graph.regions["features.denseblock1"]
    attrs = {key: value for key, value in {**block.attrs, **changes}.items() if value is not None}
    regions = [replace(r, attrs=attrs) if r == block else r for r in graph.regions.values()]
    return Graph.of(graph.name, graph.ops.values(), regions)


def replaced_region(graph: Graph, name: str, **changes: Any) -> Graph:
    regions = [replace(r, **changes) if r.name == name else r for r in graph.regions.values()]
    return Graph.of(graph.name, graph.ops.values(), regions)


def skipping(graph: Graph, skip: Any) -> Graph:
    name = "features.transition1"
    return replaced_region(graph, name, attrs={**graph.regions[name].attrs, "skip": skip})


OPS = list(DIGITS.ops.values())
LAYER = "features.denseblock1.denselayer1"
CONV_ATTRS = {"in_channels": 1, "out_channels": 1, "kernel": 1, "stride": 1, "padding": 0}


def one(**attrs: Any) -> Graph:
    """An input and one convolution with some attributes changed, or taken away where None."""
    given = {key: value for key, value in {**CONV_ATTRS, **attrs}.items() if value is not None}
    return Graph.of(
        "one", [Op("x", "input", (), {"shape": (1, 2, 2)}), Op("y", "conv", ("x",), given)]
    )


GARBAGE: Mapping[str, Graph] = {
    "an empty graph": Graph.of("empty", []),
    "regions without operators": Graph.of("hollow", [], DIGITS.regions.values()),
    "an input without shape": Graph.of("x", [Op("x", "input", ())]),
    "an input of no size": Graph.of("x", [Op("x", "input", (), {"shape": ()})]),
    "an input of words": Graph.of("x", [Op("x", "input", (), {"shape": ("a", "b", "c")})]),
    "an input that reads itself": Graph.of("x", [Op("x", "input", ("x",), {"shape": (1, 2, 2)})]),
    "unknown kinds": Graph.of("x", [Op("x", "", ()), Op("y", "eval", ("x",))]),
    "missing inputs": Graph.of(
        "x", [Op("x", "relu", ("nothing",)), Op("y", "concat", ("x", "none"))]
    ),
    "a cycle of two": Graph.of("x", [Op("x", "relu", ("y",)), Op("y", "relu", ("x",))]),
    "a concat of nothing": Graph.of("x", [Op("x", "concat", ())]),
    "two inputs": Graph.of(
        "x", [*OPS, Op("in2", "input", (), {"shape": (1, 2, 2)})], DIGITS.regions.values()
    ),
    "no outputs": Graph.of("x", [OPS[0], Op("y", "concat", ("input", "y"))]),
    "no regions": Graph.of("x", OPS),
    "one region missing": Graph.of(
        "x", OPS, [r for r in DIGITS.regions.values() if r.name != LAYER]
    ),
    "the blocks missing": Graph.of("x", OPS, DIGITS.regions_of("dense_layer")),
    "a block without layers": Graph.of(
        "x", OPS, [r for r in DIGITS.regions.values() if r.kind != "dense_layer"]
    ),
    "an empty block": Graph.of(
        "x",
        OPS,
        [
            *DIGITS.regions.values(),
            replace(DIGITS.regions["features.denseblock1"], name="features.denseblock9"),
        ],
    ),
    "an unknown connectivity": regrouped(DIGITS, connectivity="sparse"),
    "an unhashable connectivity": regrouped(DIGITS, connectivity=["dense"]),
    "no connectivity": regrouped(DIGITS, connectivity=None),
    "no number of layers": regrouped(DIGITS, num_layers=None),
    "another number of layers": regrouped(DIGITS, num_layers=5),
    "a number of layers in words": regrouped(DIGITS, num_layers="four"),
    "a negative growth rate": regrouped(DIGITS, growth_rate=-1),
    "no channels": regrouped(DIGITS, in_channels=None),
    "a layer in itself": replaced_region(DIGITS, LAYER, parent=LAYER),
    "a layer in a layer": replaced_region(DIGITS, LAYER, parent="features.denseblock1.denselayer2"),
    "a layer alone": replaced_region(DIGITS, LAYER, parent=""),
    "a block in its own layer": replaced_region(DIGITS, "features.denseblock1", parent=LAYER),
    "an unknown kind of region": replaced_region(DIGITS, "stem", kind="root"),
    "a stem called head": replaced_region(DIGITS, "stem", kind="head"),
    "a part in words": replaced_region(
        DIGITS, LAYER, attrs={**DIGITS.regions[LAYER].attrs, "part": "bottleneck"}
    ),
    "a transition with NaN": replaced_region(
        DIGITS,
        "features.transition1",
        attrs={**DIGITS.regions["features.transition1"].attrs, "compression": float("nan")},
    ),
    **{
        f"a skip of {skip!r}": skipping(DIGITS, skip)
        for skip in (9, -1, True, "root", "", None, [1], "stem")
    },
    "attributes missing": one(kernel=None),
    "all attributes missing": Graph.of(
        "x", [Op("x", "conv", ("x",)), Op("y", "dense", ("x",)), Op("z", "avg_pool", ("y",))]
    ),
    "a stride of 0": one(stride=0),
    "a kernel of -3": one(kernel=-3),
    "a kernel in words": one(kernel="3x3"),
    "a pair of kernels": one(kernel=(3, 3)),
    "a dilation of 0": one(dilation=0),
    "no groups at all": one(groups=0),
    "channels that are true": one(in_channels=True),
    "channels that are a fraction": one(out_channels=1.5),
}


@pytest.mark.parametrize("what", GARBAGE)
def test_garbage_gives_diagnostics_and_never_a_traceback(what: str) -> None:
    """Whatever a reader hands over, verify answers with faults that print on one line."""
    found = verify(GARBAGE[what])
    if what != "no regions":  # a flow of operators without regions claims nothing about blocks
        assert found
    assert all(fault.code.startswith("G") and str(fault).isprintable() for fault in found)


@pytest.mark.parametrize("name", ["densenetbc_digits", "densenet121"])
def test_random_soup_never_raises(name: str) -> None:
    """Operators with inputs, kinds, regions and attributes exchanged at random."""
    graph, rng = build_graph(load_spec(name)), random.Random(name)
    ops, regions = list(graph.ops.values()), list(graph.regions.values())
    for _ in range(15):
        soup = [
            replace(
                op,
                kind=rng.choice(ops).kind if rng.random() < 0.05 else op.kind,
                inputs=rng.choice(ops).inputs if rng.random() < 0.05 else op.inputs,
                region=rng.choice(ops).region if rng.random() < 0.05 else op.region,
                attrs=rng.choice(ops).attrs if rng.random() < 0.05 else op.attrs,
            )
            for op in ops
        ]
        some = [region for region in regions if rng.random() < 0.98]
        assert verify(Graph.of("soup", soup, some))


def test_a_region_is_judged_by_what_the_spec_declares() -> None:
    """A layer that is bottleneck in the spec and basic in the graph is caught,
    and the other way round.
    """
    basic = build_graph(load_spec("densenetbc_digits", ["layer=basic"]))
    declared = {r.name: r for r in DIGITS.regions.values()}
    mixed = Graph.of(
        "mixed", basic.ops.values(), [declared[r.name] for r in basic.regions.values()]
    )
    found = verify(mixed)
    assert {fault.code for fault in found} == {"G010"}
    assert [fault.where for fault in found] == [r.name for r in basic.regions_of("dense_layer")]


def test_a_transition_must_read_what_its_skip_names() -> None:
    """The stem's output as well as a block's."""
    found = verify(skipping(DIGITS, "stem"))
    assert any("must be one and the output of the stem" in fault.message for fault in found)
    assert [fault.code for fault in found] == ["G010", "G007"]


@pytest.mark.parametrize(
    ("name", "attrs", "expected"),
    [
        ("features.norm5", {"eps": 2}, "norm.eps (=2) must be in (0, 1]"),
        ("features.norm5", {"momentum": "x"}, "norm.momentum (=x) must be a number"),
        ("features.norm5", {"channels": 0}, "channels (=0) must be a whole number >= 1"),
        (f"{L}.conv1", {"kernel": 0}, "conv.kernel (=0) must be in [1, 31]"),
        (f"{L}.conv1", {"groups": []}, "conv.groups (=[]) must be a whole number"),
        (f"{L}.conv1", {"out_channels": 1.5}, "out_channels (=1.5) must be a whole number >= 1"),
        (T, {"padding": 7}, "padding (=7) must be at most half of kernel (=2)"),
        (T, {"ceil": 1}, "avg_pool.ceil (=1) must be true or false"),
    ],
)
def test_an_attribute_is_as_the_languages_setting_may_be(
    name: str, attrs: dict[str, Any], expected: str
) -> None:
    """The bounds are those of the step; what no setting says counts channels or pixels."""
    found = verify(DIGITS.with_op(with_attrs(DIGITS.ops[name], **attrs)))
    assert f"{name} G001 {expected}" in map(str, found)
    assert {fault.code for fault in found} == {"G001"}


@pytest.mark.parametrize("attrs", [{"padding": "1"}, {"padding": -1}, {"kernel": None}])
def test_an_attribute_that_no_setting_says_is_a_count(attrs: dict[str, Any]) -> None:
    """A blur's padding follows from its kernel; what a step needs must be there."""
    window = {"kernel": 3, "stride": 2, "padding": 1, **attrs}
    blurred = DIGITS.with_op(replace(DIGITS.ops[T], kind="blur_pool", attrs=window))
    assert {fault.code for fault in verify(blurred)} == {"G001"}


def test_a_region_without_parent_attributes_is_named() -> None:
    """The message says which region and which attribute."""
    assert [str(fault) for fault in verify(regrouped(DIGITS, num_layers=None))] == [
        "features.denseblock1 G001 a dense_block must have the attribute 'num_layers'"
    ]
    stray = Graph.of(
        "x", OPS, [*DIGITS.regions.values(), Region("lost", "dense_layer", "nowhere", {})]
    )
    assert "lost G001 a dense_layer must stand inside a dense_block, not in 'nowhere'" in map(
        str, verify(stray)
    )


@given(
    reads=st.lists(st.sets(st.integers(0, 9), min_size=1, max_size=3), min_size=1, max_size=9),
    order=st.randoms(use_true_random=False),
)
def test_cycles_and_what_leads_nowhere_are_those_that_networkx_finds(reads, order):
    """Operators listed in any order, on cycles, unread, and behind nothing that is an input."""
    names = [f"op{number}" for number in range(len(reads) + 1)]
    ops = [Op("op0", "input", (), {"shape": (3, 2, 2)})]
    for name, numbers in zip(names[1:], reads, strict=True):
        inputs = [f"op{number % len(names)}" for number in sorted(numbers)]
        ops.append(Op(name, "concat", tuple(dict.fromkeys(inputs))))
    order.shuffle(ops)
    graph = Graph.of("random", ops)
    edges = nx.DiGraph((source, op.name) for op in ops for source in op.inputs)
    edges.add_nodes_from(names)
    assert bool([*check_acyclic(graph)]) != nx.is_directed_acyclic_graph(edges)
    if not nx.is_directed_acyclic_graph(edges):
        return
    told = {fault.where for fault in check_connected(graph) if fault.code == "G005"}
    ends = [name for name in names if edges.out_degree(name) == 0]
    main = max(
        (name for name in graph.ops if name in ends),
        key=lambda name: len(nx.ancestors(edges, name)),
    )
    useful = nx.ancestors(edges, main) | {main}
    reachable = nx.descendants(edges, "op0") | {"op0"}
    assert told == {name for name in names if name not in useful & reachable}
