"""A verifier that cannot fail is worth nothing:
graphs are broken in every way, and each break must be told.

Each mutation changes a right graph at one place; `verify` must object, and name the place: the
operator, its region, or what reads it.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from operators.special_values import values_of

from archspec.compare.row_facts import count_channels
from archspec.errors import Diagnostic
from archspec.graph.build import build_graph
from archspec.graph.digest import structure_digest
from archspec.graph.ir import Graph, Op, Region
from archspec.operators.attributes import DERIVED
from archspec.operators.table import OPERATORS, ROWS, attribute
from archspec.spec.load import load_spec
from archspec.verifiers.verify import VERIFIERS, verify

DIGITS, GATES = "densenetbc_digits", "gates, groups and skips"
SMALL = {"input.height": 96, "input.width": 96}
FEW_LAYERS = {**SMALL, "block_config": [3, 5, 4, 3]}


def shortened(name: str, most: int) -> Graph:
    """A shipped network whose blocks have so many layers at most: each mutant is proved anew."""
    blocks = [block.layers for block in load_spec(name).blocks]
    layers = {f"blocks.{at}.layers": most for at, count in enumerate(blocks) if count > most}
    return build_graph(load_spec(name, SMALL | layers))


GRAPHS = {
    DIGITS: build_graph(load_spec(DIGITS)),
    "densenet121": build_graph(load_spec("densenet121", FEW_LAYERS)),
    **{name: build_graph(load_spec(name, SMALL)) for name in ("hardnet68", "vovnet39")},
    **{name: shortened(name, 4) for name in ("peleenet", "fcdensenet103", "cspdensenet121")},
    "a backbone": build_graph(
        load_spec("densenet121", {**FEW_LAYERS, "features": [1, 4], "head": "none"})
    ),
    GATES: build_graph(load_spec(Path(__file__).parent / "gates.yaml")),
    "layers of their own": build_graph(load_spec(Path(__file__).parent / "own_layers.yaml")),
}
CONCATS = "concat"
WINDOWS = [kind for kind, row in OPERATORS.items() if "kernel" in row.required]
COUNTED = [kind for kind, row in OPERATORS.items() if not DERIVED.isdisjoint(row.required)]
"""Kinds that declare how many channels they read."""


@dataclass(frozen=True)
class Mutant:
    """A broken graph and the operators and regions at which it was broken."""

    what: str
    graph: Graph
    touched: frozenset[str]


Mutation = Callable[[Graph, random.Random], Mutant | None]


def pick(graph: Graph, rng: random.Random, *kinds: str) -> Op:
    return rng.choice(
        [op for op in graph.ops.values() if (op.kind in kinds if kinds else op.inputs)]
    )


def mutant(what: str, graph: Graph, changed: Iterable[Op], touched: Iterable[str] = ()) -> Mutant:
    places = set(touched)
    for op in changed:
        places |= {
            op.name,
            op.region,
            graph.regions[op.region].parent if op.region in graph.regions else "",
        }
        graph = graph.with_op(op)
    return Mutant(f"{what}: {', '.join(sorted(places))}", graph, frozenset(places - {""}))


def with_attrs(op: Op, **attrs: Any) -> Op:
    return replace(op, attrs={**op.attrs, **attrs})


def readers(graph: Graph, name: str) -> list[Op]:
    return [op for op in graph.ops.values() if name in op.inputs]


def drop_an_edge(graph: Graph, rng: random.Random) -> Mutant:
    """A concatenation loses one input."""
    op = pick(graph, rng, CONCATS)
    gone = rng.choice(op.inputs)
    kept = tuple(source for source in op.inputs if source != gone)
    return mutant(f"drop {gone}", graph, [replace(op, inputs=kept)], [gone])


def refitted(broken: Mutant | None) -> Mutant | None:
    """The mutant with all widths behind the fault made to fit, so that no shape gives it away."""
    if broken is None:
        return None
    ops: dict[str, Op] = {}
    width: dict[str, int] = {}
    for op in broken.graph.ops.values():
        reads = [width[source] for source in op.inputs]
        declared = dict.fromkeys(DERIVED & op.attrs.keys(), sum(reads))
        ops[op.name] = with_attrs(op, **declared) if declared else op
        width[op.name] = op.attrs["shape"][0] if op.kind == "input" else count_channels(op, width)
    return Mutant(broken.what, replace(broken.graph, ops=ops), broken.touched)


def drop_an_edge_and_refit(graph: Graph, rng: random.Random) -> Mutant | None:
    """As a builder with a wrong rule would:
    one source fewer, and every width as if that were right.
    """
    return refitted(drop_an_edge(graph, rng))


def add_an_edge_and_refit(graph: Graph, rng: random.Random) -> Mutant | None:
    """A concatenation also reads a layer's inner convolution, or a source twice; widths fit."""
    op = pick(graph, rng, CONCATS)
    earlier = list(graph.ops)[: list(graph.ops).index(op.name)]
    block = [
        name for name in earlier if name.startswith(op.region) and graph.ops[name].kind != "concat"
    ]
    new = rng.choice(block or list(op.inputs))
    wider = replace(op, inputs=(*op.inputs, new))
    return refitted(mutant(f"add {new}", graph, [wider], [new]))  # an edge has two ends


def read_one_twice_for_another(graph: Graph, rng: random.Random) -> Mutant | None:
    """A concatenation reads one layer in another's place: every width is still right."""
    op = pick(graph, rng, CONCATS)
    layers = list(op.inputs[1:])
    if len(layers) < 2:
        return None
    old, new = rng.sample(layers, 2)
    inputs = tuple(new if source == old else source for source in op.inputs)
    return mutant(f"{new} for {old}", graph, [replace(op, inputs=inputs)])


def add_an_edge(graph: Graph, rng: random.Random) -> Mutant:
    """A concatenation gains an input from anywhere in the graph, perhaps from behind itself."""
    op = pick(graph, rng, CONCATS)
    new = rng.choice(list(graph.ops))
    position = rng.randint(0, len(op.inputs))
    inputs = (*op.inputs[:position], new, *op.inputs[position:])
    return mutant(f"add {new}", graph, [replace(op, inputs=inputs)])


def redirect_an_edge(graph: Graph, rng: random.Random) -> Mutant | None:
    """An operator reads something else in place of one of its inputs;
    the old source loses a reader.
    """
    op = pick(graph, rng)
    position = rng.randrange(len(op.inputs))
    old, new = op.inputs[position], rng.choice(list(graph.ops))
    if new == old:
        return None
    inputs = (*op.inputs[:position], new, *op.inputs[position + 1 :])
    return mutant(f"redirect {old} to {new}", graph, [replace(op, inputs=inputs)], [old])


def reorder_a_concat(graph: Graph, rng: random.Random) -> Mutant | None:
    """A concatenation reads the same in another order:
    the weights behind it would meet other channels.
    """
    op = pick(graph, rng, CONCATS)
    inputs = tuple(rng.sample(op.inputs, len(op.inputs)))
    return None if inputs == op.inputs else mutant("reorder", graph, [replace(op, inputs=inputs)])


def change_a_width(graph: Graph, rng: random.Random) -> Mutant:
    """Channels in, out or normalised, declared differently in one operator alone."""
    op = pick(graph, rng, *COUNTED)
    name = rng.choice([name for name in op.attrs if name.endswith("channels")])
    value = rng.choice([1, -1, 2 * op.attrs[name], 7 * op.attrs[name]])
    changed = with_attrs(op, **{name: op.attrs[name] + value})
    return mutant(name, graph, [changed], [reader.name for reader in readers(graph, op.name)])


def widen_a_bottleneck(graph: Graph, rng: random.Random) -> Mutant:
    """The inner width of a layer changes in all its operators, so that every shape still fits."""
    stem = rng.choice(bottlenecks(graph))
    conv = graph.ops[f"{stem}conv1"]
    width = rng.choice([1, 3, conv.attrs["out_channels"] + 4])
    ops = [
        with_attrs(conv, out_channels=width),
        with_attrs(graph.ops[f"{stem}norm2"], channels=width),
        with_attrs(graph.ops[f"{stem}conv2"], in_channels=width),
    ]
    return mutant("bottleneck", graph, ops)


def bottlenecks(graph: Graph) -> list[str]:
    """Beginnings of the names of a layer's two convolutions with a norm between them,
    first of the layer that come.
    """
    stems = [name.removesuffix("conv1") for name in graph.ops if name.endswith(".conv1")]
    return [
        stem
        for stem in stems
        if graph.ops.get(f"{stem}relu2", graph.ops["input"]).inputs == (f"{stem}norm2",)
    ]


def change_a_window(graph: Graph, rng: random.Random) -> Mutant:
    """Kernel, stride or padding, alone or so that the size stays."""
    op = pick(graph, rng, *WINDOWS)
    kernel, stride, padding = op.attrs["kernel"], op.attrs["stride"], op.attrs["padding"]
    change = rng.choice(
        [
            {"kernel": kernel + 2, "padding": padding + 1},  # the size stays
            {"kernel": kernel + 2},
            {"stride": stride + 1},
            {"padding": padding + 1},
            {"dilation": 2, "padding": padding + kernel // 2},
        ]
    )
    return mutant(
        str(change), graph, [with_attrs(op, **change)], [r.name for r in readers(graph, op.name)]
    )


def change_a_setting(graph: Graph, rng: random.Random) -> Mutant:
    """What a spec says: eps, momentum, groups, the kind of an activation or a pool."""
    one_of_each = {op.kind: op for op in graph.ops.values()}
    op = pick(graph, rng, *(kind for kind, op in one_of_each.items() if any(others_of(op))))
    return mutant("setting", graph, [rng.choice([*others_of(op)])])


def others_of(op: Op) -> Iterator[Op]:
    """The operator with one setting of another value that the language has, or of another kind of
    its family that has the same settings.
    """
    row = OPERATORS[op.kind]
    for name in row.said:
        now = attribute(op.kind, op.attrs, name)
        values = [value for value in values_of(op.kind, name) if type(value) is type(now)]
        yield from (with_attrs(op, **{name: value}) for value in values if value != now)
    alike = [other for other in ROWS if other.family == row.family != ""]
    same = [other.kind for other in alike if {*other.required} == {*row.required}]
    yield from (replace(op, kind=kind) for kind in same if kind != op.kind)
    yield from BESIDE.get(op.kind, lambda op: [])(op)


BESIDE: Mapping[str, Callable[[Op], list[Op]]] = {
    "batch_norm": lambda op: [replace(op, kind="layer_norm")],
    "relu": lambda op: [replace(op, kind="dropout", attrs={"rate": 0.5})],
    "slice": lambda op: [
        with_attrs(op, start=op.attrs["start"] + 1, stop=op.attrs["stop"] + 1),
        with_attrs(op, stop=op.attrs["stop"] - 1),
    ],
    "crop": lambda op: [with_attrs(op, corner=tuple(at + 1 for at in op.attrs["corner"]))],
    "multiply": lambda op: [replace(op, kind="add"), replace(op, inputs=op.inputs[::-1])],
}
"""Examples of what no setting says: of places, and of kinds that are unlike. A row needs none."""


def move_the_border_of_a_bypass(graph: Graph, rng: random.Random) -> Mutant | None:
    """More channels go round a block's layers than the spec says,
    or the last instead of the first; widths fit.
    """
    block = rng.choice(split_blocks(graph))
    bypass, entering = (graph.ops[f"{block}.{end}"] for end in ("bypass", "entering"))
    border, channels = bypass.attrs["stop"], entering.attrs["stop"]
    first, last = rng.choice([(border - 4, border - 4), (channels - border, 0)])
    moved = [
        with_attrs(bypass, start=0 if last else first, stop=first if last else channels),
        with_attrs(entering, start=last, stop=channels if last else first),
    ]
    return refitted(mutant("border", graph, moved))


def split_blocks(graph: Graph) -> list[str]:
    return [name.removesuffix(".bypass") for name in graph.ops if name.endswith(".bypass")]


def swap_what_a_join_reads(graph: Graph, rng: random.Random) -> Mutant | None:
    """A transition reads the skip and joins what it should have read."""
    op = pick(graph, rng, "concat")
    region = graph.regions[op.region]
    if region.kind != "transition":
        return None
    skip = op.inputs[1]
    members = {member.name for member in graph.members[region.name]}
    inside = [member for member in graph.members[region.name] if members.isdisjoint(member.inputs)]
    (entering,) = {source for member in inside for source in member.inputs}
    moved = [replace(member, inputs=(skip,)) for member in inside]
    return refitted(
        mutant(
            "swap",
            graph,
            [*moved, replace(op, inputs=tuple(entering if s == skip else s for s in op.inputs))],
        )
    )


def give_another_feature(graph: Graph, rng: random.Random) -> Mutant | None:
    """A backbone's output is that of another block, or of a layer."""
    op = pick(graph, rng, "output")
    new = rng.choice([name for name in graph.ops if "denseblock" in name])
    if new in op.inputs:
        return None
    region = graph.regions[graph.ops[new].region]
    return mutant(
        f"give {new}", graph, [replace(op, inputs=(new,))], [region.name, region.parent, *op.inputs]
    )


def remove_an_operator(graph: Graph, rng: random.Random) -> Mutant:
    """What read it reads its input instead."""
    op = pick(graph, rng)
    after = readers(graph, op.name)
    moved = []
    for reader in after:
        at = reader.inputs.index(op.name)
        moved.append(
            replace(reader, inputs=(*reader.inputs[:at], *op.inputs, *reader.inputs[at + 1 :]))
        )
    return mutant(
        f"remove {op.name}",
        graph.without_op(op.name),
        moved,
        [op.name, op.region, *(op.inputs if op.kind == "output" else ())],
    )


def insert_an_operator(graph: Graph, rng: random.Random) -> Mutant:
    """An activation too many between an operator and its input, in its region or in none."""
    op = pick(graph, rng)
    region = rng.choice([op.region, op.region, ""])
    extra = Op(f"{op.name}.extra", "relu", op.inputs[:1], {}, region)
    places = [graph.ops[op.inputs[0]].region]
    return mutant(
        "insert", graph, [extra, replace(op, inputs=(extra.name, *op.inputs[1:]))], places
    )


def remove_a_layer(graph: Graph, rng: random.Random) -> Mutant:
    """All operators of a layer and its region; concatenations forget it."""
    layer = rng.choice(graph.regions_of("dense_layer"))
    gone = {op.name for op in graph.members[layer.name]}
    kept = [
        replace(op, inputs=tuple(source for source in op.inputs if source not in gone))
        for op in graph.ops.values()
        if op.name not in gone
    ]
    regions = [region for region in graph.regions.values() if region != layer]
    sources = {source for op in graph.members[layer.name] for source in op.inputs} - gone
    mutated = Graph.of(graph.name, kept, regions)
    starved = [op.name for op in kept if not op.inputs and op.kind != "input"]
    return Mutant(f"remove {layer.name}", mutated, frozenset({layer.parent, *sources, *starved}))


def move_to_another_region(graph: Graph, rng: random.Random) -> Mutant | None:
    """Two operators swap their regions."""
    first, second = pick(graph, rng), pick(graph, rng)
    if first.region == second.region:
        return None
    swapped = [replace(first, region=second.region), replace(second, region=first.region)]
    return mutant("swap", graph, swapped, [*first.inputs, *second.inputs])


def declare_a_layer_as_another(graph: Graph, rng: random.Random) -> Mutant:
    """A layer's region declares the steps of another layer of its block,
    which consists of others.
    """
    first, second = rng.choice(unlike_layers(graph))
    part = replace(first.attrs["part"], steps=second.attrs["part"].steps)
    region = replace(first, attrs={**first.attrs, "part": part})
    regions = {**graph.regions, first.name: region}
    touched = frozenset({first.name, *(op.name for op in graph.members[first.name])})
    return Mutant(f"{first.name} as {second.name}", replace(graph, regions=regions), touched)


def unlike_layers(graph: Graph) -> list[tuple[Region, Region]]:
    blocks = [
        graph.regions_of("dense_layer", block.name) for block in graph.regions_of("dense_block")
    ]
    pairs = [pair for layers in blocks for pair in permutations(layers, 2)]
    return [(a, b) for a, b in pairs if a.attrs["part"].steps != b.attrs["part"].steps]


MUTATIONS: tuple[Mutation, ...] = (
    drop_an_edge,
    drop_an_edge_and_refit,
    add_an_edge,
    add_an_edge_and_refit,
    read_one_twice_for_another,
    redirect_an_edge,
    reorder_a_concat,
    change_a_width,
    widen_a_bottleneck,
    change_a_window,
    change_a_setting,
    remove_an_operator,
    insert_an_operator,
    remove_a_layer,
    move_to_another_region,
    move_the_border_of_a_bypass,
    swap_what_a_join_reads,
    give_another_feature,
    declare_a_layer_as_another,
)
PLACES: Mapping[Mutation, Callable[[Graph], bool]] = {
    widen_a_bottleneck: lambda graph: bool(bottlenecks(graph)),
    move_the_border_of_a_bypass: lambda graph: bool(split_blocks(graph)),
    swap_what_a_join_reads: lambda graph: any(
        region.attrs.get("skip") for region in graph.regions.values()
    ),
    declare_a_layer_as_another: lambda graph: bool(unlike_layers(graph)),
    give_another_feature: lambda graph: any(op.kind == "output" for op in graph.ops.values()),
}
"""Whether a graph has a place for a mutation that needs one."""
CASES = [
    (name, m)
    for name, graph in GRAPHS.items()
    for m in MUTATIONS
    if m not in PLACES or PLACES[m](graph)
]


def names_a_place(found: Iterable[Diagnostic], touched: Iterable[str]) -> bool:
    words = {
        word.strip(",;()'") for fault in found for word in f"{fault.where} {fault.message}".split()
    }
    return not words.isdisjoint(touched)


def told_at(graph: Graph, changed: str) -> Iterable[str]:
    """What reads a changed operator, and where that takes whatever it gets, what reads that."""
    for op in readers(graph, changed):
        yield op.name
        if op.kind != CONCATS and "out_channels" not in op.attrs:
            yield from told_at(graph, op.name)


@pytest.mark.parametrize(
    ("name", "mutate"), CASES, ids=lambda part: getattr(part, "__name__", part)
)
@pytest.mark.parametrize("times", [10, pytest.param(30, marks=pytest.mark.slow)])
def test_every_mutation_is_caught_at_its_place(name: str, mutate: Mutation, times: int) -> None:
    """So many mutations of each kind on each graph: none passes, each is told where it is."""
    graph, rng = GRAPHS[name], random.Random(f"{name} {mutate.__name__}")
    tried, missed, misplaced = 0, [], []
    while tried < times:
        broken = mutate(graph, rng)
        if broken is None:
            continue
        tried += 1
        found = verify(broken.graph)
        touched = {*broken.touched, *(name for t in broken.touched for name in told_at(graph, t))}
        if not found:
            missed.append(broken.what)
        elif not names_a_place(found, touched):
            misplaced.append(f"{broken.what} -> {found[0]}")
    assert (missed, misplaced) == ([], [])


@pytest.mark.parametrize(
    "mutate", [m for m in MUTATIONS if (DIGITS, m) in CASES], ids=lambda m: m.__name__
)
def test_a_mutation_is_another_structure_or_another_grouping(mutate: Mutation) -> None:
    """The digest tells them apart too, but for operators that only changed their region."""
    graph, rng = GRAPHS["densenetbc_digits"], random.Random(mutate.__name__)
    for broken in filter(None, (mutate(graph, rng) for _ in range(20))):
        codes = {fault.code for fault in verify(broken.graph)}
        if codes.isdisjoint({"G001", "G002", "G003"}):
            differs = structure_digest(broken.graph) != structure_digest(graph)
            assert differs == (mutate is not move_to_another_region)


def test_every_verifier_can_fail() -> None:
    """Each of them finds a fault in some mutant that those it relies on let pass."""
    graph, rng = GRAPHS[DIGITS], random.Random(0)
    broken = [
        m.graph
        for name, mutate in CASES
        if name in (DIGITS, GATES)
        for _ in range(8)
        if (m := mutate(GRAPHS[name], rng))
    ]
    feature = GRAPHS[GATES].ops["feature2"]
    broken.append(GRAPHS[GATES].with_op(replace(feature, inputs=("features.denseblock1.concat",))))
    broken.append(graph.with_op(replace(graph.ops["relu5"], kind="eval")))
    fallible = set()
    for graph in broken:
        failed: set[Any] = set()
        for verifier, needs in VERIFIERS:
            if not failed.isdisjoint(needs) or list(verifier(graph)):
                fallible |= {verifier} if failed.isdisjoint(needs) else set()
                failed.add(verifier)
    assert fallible == {verifier for verifier, _ in VERIFIERS}
