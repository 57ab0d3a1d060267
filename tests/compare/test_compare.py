"""Comparing a file's graph with a spec's:
by structure alone, each fault named, permutations forgiven.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import networkx as nx
import pytest

from archspec.compare.compare import MAX_LINES, Comparison, compare
from archspec.compare.concat_sources import MAX_JOINED
from archspec.errors import ModelFileError
from archspec.graph.build import build_graph
from archspec.graph.ir import Graph, Op
from archspec.readers.mindir.read import read_mindir
from archspec.runtime import prepare
from archspec.spec.load import load_spec
from archspec.writers.mindspore.create_model import import_text
from archspec.writers.mindspore.export_mindir import export_mindir
from archspec.writers.mindspore.module import write_module

SMALL = ["block_config=[3,4]", "growth_rate=8", "input.height=32", "input.width=32"]
SPEC = build_graph(load_spec("densenet121", SMALL))
L1, L2 = "features.denseblock1.denselayer", "features.denseblock2.denselayer"


def small_but(override: str) -> list[str]:
    """The settings of the small network, one of them another."""
    key = override.partition("=")[0]
    return [*(setting for setting in SMALL if not setting.startswith(f"{key}=")), override]


def nameless(graph: Graph, seed: int = 0) -> Graph:
    """The graph as a file has it:
    no regions, other names, another order, no dropout, no momentum.
    """
    rng = random.Random(seed)
    names = {
        name: f"n{index}"
        for index, name in enumerate(rng.sample(sorted(graph.ops), len(graph.ops)))
    }
    order = list(nx.lexicographical_topological_sort(graph.digraph, key=names.get))
    ops = (graph.ops[name] for name in order)
    return Graph.of(
        "file",
        [
            Op(
                names[op.name],
                op.kind,
                tuple(names[source] for source in op.inputs),
                {key: value for key, value in op.attrs.items() if key != "momentum"},
            )
            for op in ops
        ],
    )


def lines(comparison: Comparison) -> list[str]:
    return [difference.message for difference in comparison.differences]


def changed(
    name: str, kind: str = "", inputs: tuple[str, ...] | None = None, **attrs: Any
) -> Graph:
    """The spec's graph with one operator changed."""
    op = SPEC.ops[name]
    inputs = op.inputs if inputs is None else inputs
    return SPEC.with_op(
        replace(op, kind=kind or op.kind, inputs=inputs, attrs={**op.attrs, **attrs})
    )


@pytest.mark.parametrize(
    "spec", ["densenet121", "densenet40_k12", "densenetbc_digits", "densenet161"]
)
def test_a_graph_equals_its_spec_whatever_its_operators_are_called(spec: str) -> None:
    """Names, order and regions are taken away; connections are L(L+1)/2 in the file's graph too."""
    graph = build_graph(load_spec(spec))
    comparison = compare(graph, nameless(graph, seed=3))
    assert comparison.is_equal
    assert comparison.notes == ()
    for block in comparison.blocks:
        assert block.edges == block.expected_edges == block.layers * (block.layers + 1) // 2
        assert block.missing == block.surplus == ()
    assert comparison.params == comparison.expected_params


def test_parameters_are_the_published_number() -> None:
    """torchvision's densenet121 has 7,978,856."""
    graph = build_graph(load_spec("densenet121"))
    assert compare(graph, nameless(graph)).params == 7_978_856


def test_dropout_is_passed_by() -> None:
    """It does nothing in evaluation mode, so a file does not have it."""
    with_dropout = build_graph(
        load_spec("densenet121", [*SMALL, "drop_rate=0.2", "head.dropout=0.5"])
    )
    assert compare(with_dropout, nameless(SPEC)).is_equal
    assert compare(SPEC, nameless(with_dropout)).is_equal


def running(graph: Graph) -> Graph:
    """The same network with every join added to the one before: concat(concat(x, a), b)."""
    for block in (1, 2):
        before = ""
        for op in [
            op
            for op in graph.ops.values()
            if op.name.startswith(f"features.denseblock{block}.concat")
        ]:
            if before:
                graph = graph.with_op(replace(op, inputs=(before, op.inputs[-1])))
            before = op.name
    return graph


def test_nested_joins_equal_flat_ones() -> None:
    """Both ways in which people write a dense block are one network."""
    nested = running(SPEC)
    assert (
        nested.ops["features.denseblock2.concat"].inputs
        != SPEC.ops["features.denseblock2.concat"].inputs
    )
    assert compare(SPEC, nameless(nested)).is_equal


def test_another_order_inside_joins_is_a_note() -> None:
    """The channels of the weights behind it are permuted; the network is the same."""
    name = "features.denseblock1.concat3"
    comparison = compare(SPEC, nameless(changed(name, inputs=SPEC.ops[name].inputs[::-1])))
    assert comparison.is_equal
    assert comparison.notes == (
        (
            "block 1, layer 3 joins its sources in another order: the same network with the "
            "channels of weights permuted"
        ),
    )


def join(block: int, layer: int | str) -> str:
    return f"features.denseblock{block}.concat{layer}"


FAULTS: list[tuple[Graph, list[str]]] = [
    (
        changed(
            join(2, 4), inputs=SPEC.ops[join(2, 4)].inputs[:1] + SPEC.ops[join(2, 4)].inputs[2:]
        ),
        ["block 2, layer 4 does not read layer 1"],
    ),
    (
        changed(join(2, 3), inputs=SPEC.ops[join(2, 3)].inputs[1:]),
        ["block 2, layer 3 does not read the block's input"],
    ),
    (
        changed(
            join(2, ""), inputs=SPEC.ops[join(2, "")].inputs[:2] + SPEC.ops[join(2, "")].inputs[3:]
        ),
        ["the output of block 2 does not read layer 2"],
    ),
    (
        changed(
            join(2, 3),
            inputs=(*SPEC.ops[join(2, 3)].inputs, "features.denseblock1.denselayer1.conv2"),
        ),
        ["block 2, layer 3 must not read block 1, layer 1"],
    ),
    (
        changed(join(1, 3), inputs=(*SPEC.ops[join(1, 3)].inputs, f"{L1}1.conv2")),
        ["block 1, layer 3 reads layer 1 twice"],
    ),
    (
        changed(f"{L1}3.norm1", inputs=(f"{L1}2.conv2",)).without_op(join(1, 3)),
        [
            "block 1, layer 3 does not read the block's input",
            "block 1, layer 3 does not read layer 1",
        ],
    ),
    (changed("features.conv0", kernel=5), ["features.conv0 has kernel 5, the spec says 7"]),
    (changed("features.conv0", stride=1), ["features.conv0 has stride 1, the spec says 2"]),
    (
        changed("features.conv0", padding=(2, 3, 2, 3)),
        ["features.conv0 has padding 2 x 3 x 2 x 3, the spec says 3"],
    ),
    (changed("features.conv0", bias=True), ["features.conv0 has bias True, the spec says False"]),
    (changed("features.norm0", eps=1e-3), ["features.norm0 has eps 0.001, the spec says 1e-05"]),
    (
        changed("features.norm0", eps=0.2 + 3e-9),
        ["features.norm0 has eps 0.2, the spec says 1e-05"],
    ),
    (changed(f"{L2}2.relu1", "silu"), [f"{L2}2.relu1 is silu, the spec says relu"]),
    (changed("features.pool0", "avg_pool"), ["features.pool0 is avg_pool, the spec says max_pool"]),
    (
        changed("features.transition1.conv", out_channels=30),
        ["features.transition1.conv has 30 outputs, the spec says 20"],
    ),
    (changed(f"{L2}3.conv2", groups=2), [f"{L2}3.conv2 has groups 2, the spec says 1"]),
    (
        changed(f"{L2}3.conv2", weights_of="n7"),
        [f"{L2}3.conv2 shares the weights of n7, the spec says that it has its own"],
    ),
    (changed("classifier", out_channels=10), ["classifier has 10 outputs, the spec says 1000"]),
    (
        changed(f"{L2}2.conv1", inputs=(f"{L2}2.norm1",)).without_op(f"{L2}2.relu1"),
        [
            "block 2, layer 2 consists of batch_norm, conv, batch_norm, relu, conv; "
            "the spec says batch_norm, relu, conv, batch_norm, relu, conv"
        ],
    ),
    (
        changed("input", shape=(3, 64, 64)),
        ["input is an image (C, H, W) of 3 x 64 x 64, the spec says 3 x 32 x 32"],
    ),
]


@pytest.mark.parametrize(("graph", "expected"), FAULTS, ids=[text[0] for _, text in FAULTS])
def test_one_fault_is_one_line_in_the_users_words(graph: Graph, expected: list[str]) -> None:
    """Nothing else is accused, and no name of the file's helps."""
    comparison = compare(SPEC, nameless(graph, seed=5))
    assert not comparison.is_equal
    assert lines(comparison) == expected


def test_missing_edges_are_counted_in_the_files_own_graph() -> None:
    """The block's report has the edge (layer 4, source 1) as missing, and none else."""
    graph, _ = FAULTS[0]
    block = compare(SPEC, nameless(graph)).blocks[1]
    assert (block.edges, block.expected_edges) == (9, 10)
    assert (block.missing, block.surplus) == (((4, 1),), ())


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("block_config=[3,3]", ["block 2 has 4 layers, the spec says 3"]),
        ("block_config=[4,4]", ["block 1 has 3 layers, the spec says 4"]),
        (
            "block_config=[2,5]",
            ["block 1 has 3 layers, the spec says 2", "block 2 has 4 layers, the spec says 5"],
        ),
        ("compression=0.25", ["features.transition1.conv has 20 outputs, the spec says 10"]),
        (
            "growth_rate=6",
            [
                "features.conv0 has 16 outputs, the spec says 12",
                f"{L1}1.conv1 and 6 more have 32 outputs, the spec says 24",
                f"{L1}1.conv2 and 6 more have 8 outputs, the spec says 6",
            ],
        ),
        ("norm.eps=0.001", ["features.norm0 and 16 more have eps 1e-05, the spec says 0.001"]),
        (
            "stem.norm=false",
            ["the stem consists of conv, batch_norm, relu, max_pool; the spec says conv, max_pool"],
        ),
        (
            "transitions.0.pool=max",
            ["features.transition1.pool is avg_pool, the spec says max_pool"],
        ),
        (
            "layer=basic",
            [
                "block 1, layer 1 and 6 more consist of batch_norm, relu, conv, batch_norm, "
                "relu, conv; "
                "the spec says batch_norm, relu, conv"
            ],
        ),
    ],
)
def test_a_right_file_against_a_wrong_spec(override: str, expected: list[str]) -> None:
    """What follows from a fault, such as the width of what comes behind it, is not said again."""
    wrong = build_graph(load_spec("densenet121", small_but(override)))
    assert lines(compare(wrong, nameless(SPEC))) == expected


def test_a_missing_block_is_not_taken_for_anything_else() -> None:
    """The second block and its transition are missing in the file."""
    one_block = build_graph(load_spec("densenet121", [*SMALL[1:], "block_config=[3]"]))
    found = lines(compare(SPEC, nameless(one_block)))
    assert found[:2] == [
        "the file has 1 block, the spec says 2",
        "block 2 has 0 layers, the spec says 4",
    ]
    assert "transition 1 is missing" in found


def test_another_network_altogether_is_different() -> None:
    """Nothing to pair is no reason to fall over."""
    ops = [
        Op("a", "input", (), {"shape": (3, 32, 32)}),
        Op("b", "global_avg_pool", ("a",)),
        Op("c", "dense", ("b",), {"in_channels": 3, "out_channels": 2}),
    ]
    assert not compare(SPEC, Graph.of("file", ops)).is_equal


STORED = 0.20000000298023224
"""What a float32 makes of 0.2."""
SCALED = "layer=[norm,activation,{scale: SETTINGS},{conv: {width: k, kernel: 3}}]"


@pytest.mark.parametrize(
    ("ours", "theirs", "words"),
    [
        ("{value: 0.1}", {"value": STORED}, "value 0.2, the spec says 0.1"),
        ("{value: 0.1}", {"channels": 64, "initial": None}, "no value, the spec says 0.1"),
        ("{}", {"value": STORED}, "value 0.2, the spec says none"),
    ],
)
def test_a_number_is_said_as_it_was_written(ours: str, theirs: dict[str, Any], words: str) -> None:
    """The shortest that is stored so; and what is none is said in words."""
    settings = [setting for setting in SMALL if "block" not in setting]
    override = SCALED.replace("SETTINGS", ours)
    spec = build_graph(load_spec("densenet121", [*settings, "block_config=[1]", override]))
    (scale,) = (op for op in spec.ops.values() if op.kind == "scale")
    found = spec.with_op(replace(scale, attrs=theirs))
    assert lines(compare(spec, nameless(found)))[0] == f"{scale.name} has {words}"


def test_eps_is_compared_as_it_is_stored() -> None:
    """A file has a float32: 1e-05 is 9.99999974e-06 there."""
    stored = 9.999999747378752e-06
    ops = [
        replace(op, attrs={**op.attrs, "eps": stored}) if "eps" in op.attrs else op
        for op in SPEC.ops.values()
    ]
    assert compare(SPEC, nameless(Graph.of("file", ops))).is_equal


def mutations(rng: random.Random) -> Iterator[Callable[[Graph], Graph]]:
    """Changes of the function: of attributes, kinds and wiring, at random places."""

    def bump(graph: Graph) -> Graph:
        op = rng.choice([op for op in graph.ops.values() if op.attrs])
        key = rng.choice(
            sorted(set(op.attrs) - {"shape", "momentum", "in_channels", "channels"}) or ["groups"]
        )
        value = op.attrs.get(key, 1) * 2 or 1
        return graph.with_op(replace(op, attrs={**op.attrs, key: value}))

    def rewire(graph: Graph) -> Graph:
        names = list(graph.ops)
        op = rng.choice([op for op in graph.ops.values() if op.inputs and op.inputs != (names[0],)])
        at = rng.randrange(len(op.inputs))
        source = rng.choice(
            [name for name in names[: names.index(op.name)] if name not in op.inputs]
        )
        return graph.with_op(replace(op, inputs=(*op.inputs[:at], source, *op.inputs[at + 1 :])))

    def drop(graph: Graph) -> Graph:
        op = rng.choice([op for op in graph.ops.values() if op.kind == "concat"])
        at = rng.randrange(len(op.inputs))
        return graph.with_op(replace(op, inputs=op.inputs[:at] + op.inputs[at + 1 :]))

    def cut(graph: Graph) -> Graph:
        op = rng.choice(
            [op for op in graph.ops.values() if len(op.inputs) == 1 and op.name != "classifier"]
        )
        readers = [r for r in graph.ops.values() if op.name in r.inputs]
        for reader in readers:
            inputs = tuple(
                op.inputs[0] if source == op.name else source for source in reader.inputs
            )
            graph = graph.with_op(replace(reader, inputs=inputs))
        return graph.without_op(op.name)

    while True:
        yield rng.choice([bump, rewire, drop, cut])


def reachable(graph: Graph) -> Graph:
    used = nx.ancestors(graph.digraph, "classifier") | {"classifier"}
    return replace(graph, ops={name: op for name, op in graph.ops.items() if name in used})


def same_function(graph: Graph) -> bool:
    """An oracle by another way:
    isomorphic as labelled graphs (networkx), joins' inputs written out.
    """
    return nx.is_isomorphic(
        labelled(SPEC),
        labelled(graph),
        node_match=lambda a, b: a == b,
        edge_match=lambda a, b: a == b,
    )


def labelled(graph: Graph) -> nx.DiGraph:
    made = nx.DiGraph()
    for op in graph.ops.values():
        if op.kind != "concat":
            made.add_node(
                op.name, what=(op.kind, tuple(sorted((k, str(v)) for k, v in op.attrs.items())))
            )
            for source in flat(graph, op.inputs):
                count = (
                    made.edges[source, op.name]["count"] if made.has_edge(source, op.name) else 0
                )
                made.add_edge(source, op.name, count=count + 1)
    return made


def flat(graph: Graph, names: tuple[str, ...]) -> list[str]:
    return [
        part
        for name in names
        for part in (
            flat(graph, graph.ops[name].inputs) if graph.ops[name].kind == "concat" else [name]
        )
    ]


def test_every_random_mutation_is_found() -> None:
    """300 mutations; networkx's isomorphism says which of them
    change nothing (none of those is accused).
    """
    rng = random.Random(11)
    unchanged = 0
    for seed, mutate in zip(range(300), mutations(rng), strict=False):
        mutant = reachable(mutate(SPEC))
        same = same_function(mutant)
        unchanged += same
        assert compare(SPEC, nameless(mutant, seed)).is_equal == same, lines(
            compare(SPEC, nameless(mutant))
        )
    assert unchanged < 30


def test_joins_that_double_without_end_are_refused() -> None:
    """concat(x, x) thirty times over would be written out as a thousand million values."""
    ops = [Op("x0", "input", (), {"shape": (3, 32, 32)})]
    ops += [Op(f"x{n}", "concat", (f"x{n - 1}", f"x{n - 1}")) for n in range(1, 31)]
    ops += [
        Op("pool", "global_avg_pool", ("x30",)),
        Op("end", "dense", ("pool",), {"in_channels": 3 * 2**30, "out_channels": 2}),
    ]
    with pytest.raises(ModelFileError, match=f"R009 joins more than {MAX_JOINED:,} values"):
        compare(SPEC, Graph.of("bomb", ops))


def test_the_list_of_differences_ends() -> None:
    """A block of 80 layers that read one another alone lacks
    3,160 connections less those it has.
    """
    spec = build_graph(load_spec("densenet121", small_but("block_config=[80]")))
    chain = spec
    for index in range(2, 81):
        norm = spec.ops[f"{L1}{index}.norm1"]
        chain = chain.with_op(replace(norm, inputs=(f"{L1}{index - 1}.conv2",)))
    used = nx.ancestors(chain.digraph, "classifier") | {"classifier"}
    found = compare(
        spec, nameless(replace(chain, ops={n: op for n, op in chain.ops.items() if n in used}))
    )
    assert lines(found)[-1] == f"more than {MAX_LINES:,} differences"
    assert len(found.differences) == MAX_LINES + 1
    assert len(found.blocks[0].missing) == 80 * 79 // 2


@pytest.fixture(scope="session")
def emitted() -> str:
    prepare()
    return write_module(SPEC)


def exported(text: str, path: Path) -> Graph:
    """The graph read back from what MindSpore compiled of a module's text."""
    network = import_text(text, path.stem).Network()
    export_mindir(network, (3, 32, 32), path, batch=2)
    return read_mindir(path)


LOOP = """        for layer in self.cell_list:
            x = ops.concat((x, layer(x)), 1)
        return x"""


def edited(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1
    return text.replace(old, new)


def test_a_connection_lost_in_the_code_is_named(tmp_path: Path, emitted: str) -> None:
    """Layer 3 of every block reads what layer 2 read: it still runs, and MindSpore compiled it."""
    text = edited(
        emitted,
        LOOP,
        """        before = x
        for i, layer in enumerate(self.cell_list):
            made = layer(before if i == 2 else x)
            before = x
            x = ops.concat((x, made), 1)
        return x""",
    )
    text = edited(
        text, "in_channels + i * growth_rate", "in_channels + (1 if i == 2 else i) * growth_rate"
    )
    comparison = compare(SPEC, exported(text, tmp_path / "lost.mindir"))
    assert lines(comparison) == [
        "block 1, layer 3 does not read layer 2",
        "block 2, layer 3 does not read layer 2",
    ]
    assert [block.missing for block in comparison.blocks] == [((3, 2),), ((3, 2),)]


def test_newest_first_is_the_same_network(tmp_path: Path, emitted: str) -> None:
    """concat((layer(x), x)): a permutation of channels, noted and not accused."""
    text = edited(emitted, "ops.concat((x, layer(x)), 1)", "ops.concat((layer(x), x), 1)")
    comparison = compare(SPEC, exported(text, tmp_path / "newest.mindir"))
    assert comparison.is_equal
    assert "in another order" in comparison.notes[0]


def test_a_sum_that_the_spec_does_not_have_is_named(tmp_path: Path, emitted: str) -> None:
    """x + x behind each layer's join, as a ResNet's user may add it."""
    text = edited(
        emitted,
        "x = ops.concat((x, layer(x)), 1)",
        "x = ops.concat((x, layer(x)), 1)\n            x = x + x",
    )
    found = lines(compare(SPEC, exported(text, tmp_path / "residual.mindir")))
    assert found[0] == "block 1, layer 1 is followed by add, which the spec does not have"


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ("x[:, :-16], x[:, -16:-8], x[:, -8:]", []),
        (
            "x[:, :-16], x[:, -16:-8], x[:, -16:-8]",
            [
                line
                for block in (1, 2)
                for line in (
                    f"block {block}, layer 3 does not read layer 2",
                    f"block {block}, layer 3 reads layer 1 twice",
                )
            ],
        ),
    ],
    ids=["in order", "one twice"],
)
def test_slices_of_the_running_maps_are_what_they_take(
    tmp_path: Path, emitted: str, pieces: str, expected: list[str]
) -> None:
    """Layer 3 of every block reads the maps in three pieces."""
    text = edited(
        emitted,
        LOOP,
        f"""        for i, layer in enumerate(self.cell_list):
            made = layer(ops.concat(({pieces}), 1) if i == 2 else x)
            x = ops.concat((x, made), 1)
        return x""",
    )
    comparison = compare(SPEC, exported(text, tmp_path / "sliced.mindir"))
    assert sorted(lines(comparison)) == sorted(expected)
    assert comparison.notes == ()
