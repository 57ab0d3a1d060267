"""Slices of what is joined: channel by channel the same, and each connection shows."""

import random
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from compare.test_compare import SPEC, lines, nameless
from compare.test_equal_operators import conv, spec_of

from archspec.compare.compare import compare
from archspec.compare.concat_sources import MAX_JOINED
from archspec.compare.row_facts import count_channels
from archspec.compare.sliced_concats import resolve_slices, resolve_slices_as_in
from archspec.errors import ModelFileError
from archspec.graph.build import build_graph
from archspec.graph.ir import Graph, Op
from archspec.spec.load import load_spec

JOIN = "features.denseblock2.concat3"
"""What layer 3 of block 2 reads: 20 channels of the block's input, 8 of layer 1, 8 of layer 2."""


def channels(graph: Graph) -> dict[str, tuple[tuple[str, int], ...]]:
    """Which channel of which operator each channel of a value is,
    by Python's own slices and sums.
    """
    widths, made = dict[str, int](), dict[str, tuple[tuple[str, int], ...]]()
    for op in graph.ops.values():
        widths[op.name] = count_channels(op, widths)
        if op.kind == "slice":
            made[op.name] = made[op.inputs[0]][op.attrs["start"] : op.attrs["stop"]]
        elif op.kind == "concat":
            made[op.name] = sum((made[source] for source in op.inputs), ())
        else:
            made[op.name] = tuple((op.name, number) for number in range(widths[op.name]))
    return made


def random_graph(rng: random.Random) -> Graph:
    """Convolutions, slices and concatenations that read one another at random."""
    ops = [Op("x", "input", (), {"shape": (rng.randint(1, 5), 8, 8)})]
    widths = dict[str, int]()
    for number in range(14):
        known = [op.name for op in ops]
        kind = rng.choice(["conv", "slice", "slice", "concat", "concat"])
        inputs = tuple(rng.choices(known, k=rng.randint(1, 3) if kind == "concat" else 1))
        widths = {}
        for op in ops:
            widths[op.name] = count_channels(op, widths)
        start, stop = sorted(rng.sample(range(widths[inputs[0]] + 1), 2))
        attrs = {
            "conv": {"out_channels": rng.randint(1, 6)},
            "slice": {"start": start, "stop": stop},
        }
        ops.append(Op(f"{kind}{number}", kind, inputs, attrs.get(kind, {})))
    unread = {op.name for op in ops} - {source for op in ops for source in op.inputs}
    return Graph.of("random", [*ops, Op("end", "concat", tuple(sorted(unread)))])


@pytest.mark.parametrize("seed", range(40))
def test_every_channel_is_what_it_was(seed: int) -> None:
    """What stays is a slice of a single value, not of all of it,
    and no two of a join follow one another.
    """
    graph = random_graph(random.Random(seed))
    made = resolve_slices(graph)
    assert channels(made)["end"] == channels(graph)["end"]
    assert made.outputs == graph.outputs
    widths = dict[str, int]()
    for op in made.ops.values():
        widths[op.name] = count_channels(op, widths)
        sources = [made.ops[source] for source in op.inputs]
        if op.kind == "slice":
            assert sources[0].kind not in ("slice", "concat")
            assert widths[op.name] < widths[op.inputs[0]]
        if op.kind == "concat":
            assert not any(
                a.inputs == b.inputs and a.attrs["stop"] == b.attrs["start"]
                for a, b in pairwise(sources)
                if a.kind == b.kind == "slice"
            )


def sliced(*bounds: tuple[int, int]) -> Graph:
    """The spec's graph, what layer 3 of block 2 reads put together
    of slices of the join of all before it.
    """
    pieces = [
        Op(f"piece {number}", "slice", ("all",), {"start": start, "stop": stop})
        for number, (start, stop) in enumerate(bounds)
    ]
    names = tuple(piece.name for piece in pieces)
    new = [replace(SPEC.ops[JOIN], name="all"), *pieces, replace(SPEC.ops[JOIN], inputs=names)]
    ops = [each for op in SPEC.ops.values() for each in (new if op.name == JOIN else [op])]
    return Graph.of("sliced", ops, SPEC.regions.values())


@pytest.mark.parametrize(
    "bounds",
    [
        ((0, 20), (20, 28), (28, 36)),
        ((0, 36),),
        ((0, 3), (3, 24), (24, 25), (25, 36)),
        ((0, 20), (20, 24), (24, 28), (28, 36)),
    ],
)
def test_slices_joined_in_order_are_the_join(bounds: tuple[tuple[int, int], ...]) -> None:
    """Wherever it is cut; nothing is noted."""
    for ordered in (False, True):
        found = compare(SPEC, nameless(sliced(*bounds)), ordered)
        assert (lines(found), found.notes) == ([], ())
        assert [block.edges for block in found.blocks] == [6, 10]


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        (
            ((0, 20), (20, 28), (20, 28)),
            ["block 2, layer 3 does not read layer 2", "block 2, layer 3 reads layer 1 twice"],
        ),
        (
            ((0, 20), (28, 36), (28, 36)),
            ["block 2, layer 3 does not read layer 1", "block 2, layer 3 reads layer 2 twice"],
        ),
        (((0, 28),), ["block 2, layer 3 does not read layer 2"]),
        (((20, 36),), ["block 2, layer 3 does not read the block's input"]),
    ],
)
def test_a_source_that_slices_leave_out_is_named(
    bounds: tuple[tuple[int, int], ...], expected: list[str]
) -> None:
    """The widths may be right all the same."""
    assert lines(compare(SPEC, nameless(sliced(*bounds)))) == expected


def test_slices_in_another_order_are_told_as_joins_are() -> None:
    """A note, or a difference with --ordered."""
    file = nameless(sliced((0, 20), (28, 36), (20, 28)))
    assert compare(SPEC, file).is_equal
    assert lines(compare(SPEC, file, ordered=True)) == [
        "block 2, layer 3 joins its sources in another order"
    ]


@pytest.mark.parametrize(
    "bounds", [((0, 20), (20, 28), (28, 35)), ((0, 20), (21, 36)), ((1, 36), (0, 1), (0, 1))]
)
def test_channels_that_are_left_out_or_moved_are_found(bounds: tuple[tuple[int, int], ...]) -> None:
    """One is enough."""
    assert not compare(SPEC, nameless(sliced(*bounds))).is_equal


def test_what_a_spec_slices_stays_as_it_says() -> None:
    """A bypass is the first half of what enters the block, the join of the block before here."""
    overrides = [
        "connectivity=cross_stage_partial",
        "transition.pool=none",
        "transition.steps=none",
    ]
    spec = build_graph(load_spec("densenetbc_digits", overrides))
    assert resolve_slices_as_in(spec, spec) is spec
    found = compare(spec, nameless(spec))
    assert (lines(found), found.notes) == ([], ())
    assert all(block.edges == block.expected_edges for block in found.blocks)


IDLE = {
    "a dropout": [{"dropout": {"rate": 0.3}}],
    "a shuffle of one group": [{"shuffle": {"groups": 1}}],
    "a pool of one pixel": [{"max_pool": {"kernel": 1, "stride": 1}}],
    "two dropouts and a slice of all": ["dropout", {"slice": {}}, "dropout"],
}


@pytest.mark.parametrize("output", [[0, 2], [2, 1], "all", "last", "new"])
@pytest.mark.parametrize("idle", IDLE.values(), ids=IDLE)
def test_what_a_spec_slices_behind_an_idle_step_stays_as_it_says(idle: Any, output: Any) -> None:
    """Of what a block gives, in a branch of the head and in a transition:
    files have no such step.
    """

    def network(steps: list[Any], start: int = 1) -> Graph:
        of = [[*steps, {"slice": {"start": start}}], []]
        blocks = [{"layers": 2, "connectivity": {"rule": "dense", "output": output}}] * 2
        return spec_of(
            stem=[conv(8)],
            blocks=blocks,
            layer=[conv("k")],
            transitions=[{"steps": [{"branches": {"of": of}}]}],
            head=[{"branches": {"of": of}}, "global_pool", "dense"],
        )

    written, plain = network(idle), network([])
    for spec, file in ((written, plain), (plain, written), (written, written)):
        found = compare(spec, nameless(file), ordered=True)
        assert (lines(found), found.notes) == ([], ())
    assert not compare(written, nameless(network([], start=2))).is_equal


@pytest.mark.slow
def test_slices_that_multiply_without_end_are_refused() -> None:
    """A slice sixteen times over, again and again."""
    ops = [Op("x0", "input", (), {"shape": (4, 8, 8)})]
    for n in range(1, 12):
        ops += [
            Op(f"s{n}", "slice", (f"x{n - 1}",), {"start": 0, "stop": 4 * 16 ** (n - 1)}),
            Op(f"x{n}", "concat", (f"s{n}",) * 16),
        ]
    with pytest.raises(ModelFileError, match=f"R009 joins more than {MAX_JOINED:,} values"):
        resolve_slices(Graph.of("bomb", [*ops, Op("end", "global_avg_pool", ("x11",))]))
