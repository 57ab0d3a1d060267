"""Every operator, rule and skip that a spec may have,
read back from what MindSpore compiled of our network.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from operators.examples import default_of, step_of, steps_beside

from archspec.compare.compare import Comparison, compare
from archspec.errors import ModelFileError
from archspec.graph.build import build_graph
from archspec.graph.ir import Graph, Op
from archspec.operators.table import ACTIVATIONS, GLOBAL_POOLS, OPERATORS
from archspec.readers.mindir.read import read_mindir
from archspec.runtime import prepare
from archspec.spec.catalogue import shipped
from archspec.spec.load import load_spec
from archspec.spec.spec import Spec
from archspec.verifiers.verify import verify_or_raise
from archspec.writers.mindspore.create_model import create_network
from archspec.writers.mindspore.export_mindir import export_mindir

prepare()

CONV = {"conv": {"width": "k", "kernel": 3}}
Document = dict[str, Any]


def activations(*kinds: str) -> list[Any]:
    return [{"activation": kind} for kind in kinds]


SET = [kind for kind in ACTIVATIONS if OPERATORS[kind].settings]
LAYERS: Document = {
    "windows": [
        {"conv": {"width": 12, "kernel": 3, "groups": 4, "bias": True}},
        {"shuffle": {"groups": 2}},
        {"conv": {"kernel": 5, "groups": "depthwise"}},
        {"conv": {"width": 7, "kernel": 3, "dilation": 2}},
        {"slice": {"start": 2, "stop": 6}},
        {"scale": {"value": 0.2}},
        {"conv": {"width": 8, "kernel": 3, "standardized": True, "bias": True}},
        {"conv": {"kernel": 3, "groups": 2, "standardized": True, "weight_eps": 0.01}},
        CONV,
        "scale",
    ],
    "gate": [
        "norm",
        CONV,
        {"squeeze_excite": {"reduction": 1, "activation": "silu", "gate": "hard_sigmoid"}},
    ],
    "branches": [
        {"branches": {"join": "add", "of": [["norm"], [], [{"activation": "sigmoid"}]]}},
        {"branches": {"join": "multiply", "of": [[], [{"norm": {"kind": "layer", "eps": 0.01}}]]}},
        {"branches": {"of": [[CONV, "activation"], [CONV, "norm", "activation"]]}},
        CONV,
    ],
    "activations": [
        {"activation": {"kind": "leaky_relu", "slope": 0.3}},
        *activations(*ACTIVATIONS),
        *(step_of(kind) for kind in SET),
        {"norm": {"kind": "group", "groups": 2, "eps": 0.001}},
        CONV,
    ],
    "norms": [
        {"norm": {"kind": "instance", "eps": 0.01}},
        CONV,
        {"norm": {"kind": "rms", "eps": 0.01}},
        "scale",
    ],
}
TRANSITIONS: Document = {
    "ceil": [
        {"max_pool": {"kernel": 3, "stride": 2, "padding": 1, "ceil": True}},
        {"avg_pool": {"kernel": 2, "stride": 2, "ceil": True}},
    ],
    "larger": [
        {"conv_transpose": {"width": 6, "kernel": 3, "stride": 2, "padding": 1, "bias": True}},
        {"upsample": {"factor": 3}},
        {"upsample": {"factor": 2, "mode": "bilinear"}},
        {"upsample": {"factor": 2, "mode": "bilinear", "align_corners": True}},
    ],
    "blurred": [
        {"blur_pool": {}},
        {"blur_pool": {"kernel": 5, "stride": 1}},
        {"conv": {"width": 6, "kernel": 3, "stride": 2}},
    ],
    "pixels": [
        {"conv": {"width": 9, "kernel": 1}},
        {"pixel_shuffle": {"factor": 3}},
        "activation",
        {"pixel_unshuffle": {"factor": 3}},
    ],
}
MAXIMA = {
    "branches": {
        "join": "multiply",
        "of": [[], [{"global_pool": {"kind": "max", "keep": True}}, {"activation": "sigmoid"}]],
    }
}
OPERATORS_OF_ALL_KINDS: Document = {
    "name": "operators",
    "input": {"channels": 2, "height": 13, "width": 11},
    "stem": {"kernel": 3, "stride": 1, "norm": False, "pool": "none"},
    "growth_rate": 4,
    "blocks": [{"layers": 2, "layer": layer} for layer in LAYERS.values()],
    "transitions": [{"steps": steps} for steps in TRANSITIONS.values()],
    "head": {
        "steps": [
            MAXIMA,
            "norm",
            {"global_pool": {"keep": True}},
            {"conv": {"width": "out", "kernel": 1}},
        ],
        "num_classes": 3,
    },
}
WIRING: Document = {
    "name": "wiring",
    "input": {"channels": 2, "height": 12, "width": 10},
    "stem": {"kernel": 3, "stride": 1, "norm": False, "pool": "none"},
    "growth_rate": 3,
    "layer": [CONV, "norm", "activation"],
    "blocks": [
        {
            "layers": 3,
            "connectivity": {"rule": "cross_stage_partial", "share": 0.3},
            "aggregate": {"channels": 7},
        },
        {"layers": 3, "connectivity": "one_shot", "residual": True, "aggregate": {"channels": 6}},
        {"layers": 4, "connectivity": {"rule": "harmonic", "output": "new"}},
        {"layers": 4, "connectivity": "log"},
        {"layers": 3, "connectivity": {"edges": [[0], [0, 1], [1]], "output": [0, 2, 3]}},
        {"layers": 3, "connectivity": {"window": 2}},
    ],
    "transitions": [
        {"channels": 6},
        {"channels": 5, "pool": "none"},
        {"steps": [{"conv_transpose": {"kernel": 3, "stride": 2}}], "skip": 1, "crop": True},
        {"steps": "none", "skip": 1},
        {"channels": 8, "pool": "none"},
    ],
    "features": [4, 1],
    "head": {"steps": "per_pixel", "num_classes": 3},
}
HALVES = {"branches": {"of": [[{"slice": {"stop": "in/2"}}], [{"slice": {"start": "in/2"}}]]}}
VECTORS: Document = {
    "name": "vectors",
    "input": {"channels": 2, "height": 8, "width": 8},
    "growth_rate": 4,
    "stem": [
        {"conv": {"width": 8, "kernel": 3}},
        {"global_pool": {"keep": True}},
        {"max_pool": {"kernel": 2, "stride": 2, "ceil": True}},
        {"avg_pool": {"kernel": 3, "stride": 1, "padding": 1}},
        HALVES,
        "norm",
        {"global_pool": {}},
    ],
    "layer": [
        {"norm": "layer"},
        HALVES,
        {"dense": {"width": "2k", "bias": False}},
        {"activation": {"kind": "prelu", "slope": 0.1}},
        {"slice": {"start": "k"}},
        "scale",
    ],
    "blocks": [{"layers": 3}, {"layers": 2, "connectivity": "cross_stage_partial"}],
    "transitions": [{"steps": ["activation", {"dense": {"width": 6}}], "skip": "stem"}],
    "head": [
        {
            "branches": {
                "of": [
                    [],
                    ["activation"],
                    [{"activation": {"kind": "leaky_relu", "slope": 1.0}}, "dropout"],
                ]
            }
        },
        {"branches": {"join": "add", "of": [[], [{"activation": "silu"}]]}},
        {
            "branches": {
                "join": "multiply",
                "of": [[], [{"dense": {"width": "in"}}, {"activation": "sigmoid"}]],
            }
        },
        "dense",
    ],
}
UNSAID = ("batch_norm", "concat")
BESIDE = steps_beside(OPERATORS_OF_ALL_KINDS, WIRING, VECTORS, UNSAID)
TRANSITIONS["larger"] += [step for kind, step in BESIDE if kind not in GLOBAL_POOLS]


def gate(step: Document) -> Document:
    """The step of a pool over all pixels, which keeps one: it gates the map that it reads."""
    ((name, said),) = step.items()
    kept = {name: {**said, "keep": True}}
    return {"branches": {"join": "multiply", "of": [[], [kept, {"activation": "sigmoid"}]]}}


GATES = [gate(step) for kind, step in BESIDE if kind in GLOBAL_POOLS]
OPERATORS_OF_ALL_KINDS["head"]["steps"][:0] = GATES
ALIKE: Document = {
    "name": "alike",
    "input": {"channels": 2, "height": 8, "width": 8},
    "growth_rate": 4,
    "stem": [{"conv": {"width": 8, "kernel": 3}}],
    "blocks": [
        {"layers": 1, "layer": [{"branches": {"of": [[step, CONV], [step, CONV]]}}, CONV]}
        for step in (
            *activations(*(kind for kind in ACTIVATIONS if kind != "prelu")),
            {"max_pool": {"kernel": 3, "stride": 1, "padding": 1}},
            {"avg_pool": {"kernel": 3, "stride": 1, "padding": 1}},
            {"blur_pool": {"stride": 1}},
            {"shuffle": {"groups": 2}},
            {"scale": {"value": 0.2}},
            {"slice": {"start": 1}},
            {"branches": {"of": [["activation"], []]}},
            {"branches": {"join": "add", "of": [[], ["activation"]]}},
        )
    ]
    + [
        {
            "layers": 4,
            "layer": ["activation", CONV],
            "connectivity": {"edges": [[0], [0], [1, 2], [1, 2]]},
        }
    ],
    "transition": {"channels": 8, "pool": "none"},
    "norm": "none",
    "head": {"num_classes": 3},
}


def graph_of(document: Document) -> Graph:
    return verify_or_raise(build_graph(Spec.model_validate(document)))


def read_back(graph: Graph, path: Path, batch: int | None = 1) -> Graph:
    export_mindir(create_network(graph), graph.ops["input"].attrs["shape"], path, batch=batch)
    return read_mindir(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("operators")


@pytest.fixture(scope="module")
def operators(folder: Path) -> Graph:
    return read_back(graph_of(OPERATORS_OF_ALL_KINDS), folder / "operators.mindir")


@pytest.fixture(scope="module")
def wiring(folder: Path) -> Graph:
    return read_back(graph_of(WIRING), folder / "wiring.mindir")


def assert_equal(comparison: Comparison) -> None:
    assert comparison.differences == ()
    assert comparison.notes == ()
    assert comparison.params == comparison.expected_params
    for block in comparison.blocks:
        assert (block.edges, block.missing, block.surplus) == (block.expected_edges, (), ())


def test_every_kind_of_operator_is_read_back(operators: Graph, wiring: Graph) -> None:
    """Both networks equal their specs, and together they have all
    operators but dropout and the dense layer.
    """
    assert_equal(compare(graph_of(OPERATORS_OF_ALL_KINDS), operators))
    assert_equal(compare(graph_of(WIRING), wiring))
    kinds = {op.kind for graph in (operators, wiring) for op in graph.ops.values()}
    idle = {kind for kind, row in OPERATORS.items() if row.is_of_training}
    unlike = {"dense", "instance_norm"}  # the latter is a group norm in the file
    assert kinds == set(OPERATORS) - unlike - idle


@pytest.mark.parametrize("kind", [kind for kind, row in OPERATORS.items() if row.said])
def test_the_networks_have_each_setting_of_an_operator(kind: str) -> None:
    """With a value that is not the default: one that is lost on its way back is a difference."""
    graphs = map(graph_of, (OPERATORS_OF_ALL_KINDS, WIRING, VECTORS))
    ops = [op for graph in graphs for op in graph.ops.values() if op.kind == kind]
    row = OPERATORS[kind]
    for name in {*row.said} - row.in_training - row.untold:
        values = [op.attrs[name] for op in ops if name in op.attrs]
        assert any(value != default_of(kind, name) for value in values), name


def test_a_network_of_vectors_is_read_back(folder: Path) -> None:
    """Of one pixel at first, then of none: all steps that take vectors;
    slices and joins are along channels.
    """
    graph = graph_of(VECTORS)
    assert_equal(compare(graph, read_back(graph, folder / "vectors.mindir")))


def test_equal_operators_that_mindspore_merges_are_each_layers_own(folder: Path) -> None:
    """Pairs of all kinds without weights in branches,
    and layers that begin alike: the file has each once.
    """
    graph = graph_of(ALIKE)
    found = read_back(graph, folder / "alike.mindir")
    kinds = [Counter(op.kind for op in each.ops.values()) for each in (graph, found)]
    assert len(found.ops) <= len(graph.ops) - len(ALIKE["blocks"])
    assert kinds[0]["conv"] == kinds[1]["conv"]
    assert_equal(compare(graph, found))
    assert_equal(compare(graph, found, ordered=True))


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(OPERATORS_OF_ALL_KINDS, id="operators"),
        pytest.param(WIRING, id="wiring", marks=pytest.mark.slow),
        pytest.param(VECTORS, id="vectors", marks=pytest.mark.slow),
    ],
)
def test_a_free_batch_changes_nothing(folder: Path, document: Document) -> None:
    """MindSpore leaves computations of sizes and branches on them in the file then."""
    graph = graph_of(document)
    assert_equal(
        compare(graph, read_back(graph, folder / f"free {document['name']}.mindir", batch=None))
    )


Edit = Callable[[Document], None]


def setting(*path: Any, to: Any) -> Edit:
    def edit(document: Document) -> None:
        for key in path[:-1]:
            document = document[key]
        document[path[-1]] = to

    return edit


def lines(document: Document, edit: Edit, found: Graph) -> list[str]:
    changed = deepcopy(document)
    edit(changed)
    return [difference.message for difference in compare(graph_of(changed), found).differences]


B, T = "features.denseblock", "features.transition"


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (
            setting("blocks", 0, "layer", 0, "conv", "groups", to=1),
            [f"{B}1.denselayer{n}.conv1 has groups 4, the spec says 1" for n in (1, 2)],
        ),
        (
            setting("blocks", 0, "layer", 3, "conv", "dilation", to=1),
            [
                f"{B}1.denselayer{n}.conv3 has {what}"
                for n in (1, 2)
                for what in ("dilation 2, the spec says 1", "padding 2, the spec says 1")
            ],
        ),
        (
            setting("blocks", 0, "layer", 4, "slice", to={"start": 1, "stop": 5}),
            [
                f"{B}1.denselayer{n}.slice1 has {bound}"
                for n in (1, 2)
                for bound in ("start 2, the spec says 1", "stop 6, the spec says 5")
            ],
        ),
        (
            setting("blocks", 1, "layer", 2, "squeeze_excite", "gate", to="sigmoid"),
            [f"{B}2.denselayer{n}.se_gate1 is hard_sigmoid, the spec says sigmoid" for n in (1, 2)],
        ),
        (
            setting("blocks", 3, "layer", 0, "activation", "slope", to=0.2),
            [f"{B}4.denselayer{n}.leaky_relu1 has slope 0.3, the spec says 0.2" for n in (1, 2)],
        ),
        (
            setting("blocks", 3, "layer", -2, "norm", "groups", to=1),
            [f"{B}4.denselayer{n}.norm1 has groups 2, the spec says 1" for n in (1, 2)],
        ),
        (
            setting("transitions", 1, "steps", 2, "upsample", "mode", to="nearest"),
            [f"{T}2.upsample2 has mode bilinear, the spec says nearest"],
        ),
        (
            setting("transitions", 2, "steps", 1, "blur_pool", "kernel", to=3),
            [
                f"{T}3.pool2 has kernel 5, the spec says 3",
                f"{T}3.pool2 has padding 2, the spec says 1",
            ],
        ),
    ],
)
def test_another_operator_is_named(operators: Graph, edit: Edit, expected: list[str]) -> None:
    """The file against a spec that says otherwise:
    one line for each operator that differs, no other.
    """
    assert sorted(lines(OPERATORS_OF_ALL_KINDS, edit, operators)) == sorted(expected)


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (
            setting("blocks", 0, "connectivity", "share", to=0.6),
            [
                f"{B}1.bypass has stop 4, the spec says 2",
                f"{B}1.entering has start 4, the spec says 2",
            ],
        ),
        (
            setting("blocks", 0, "aggregate", "channels", to=9),
            [f"{B}1.aggregate.conv has 7 outputs, the spec says 9"],
        ),
        (
            setting("blocks", 2, "connectivity", "output", to="all"),
            ["the output of block 3 does not read the block's input"],
        ),
        (
            setting("blocks", 5, "connectivity", "window", to=3),
            [
                "block 6, layer 3 does not read the block's input",
                "the output of block 6 does not read layer 1",
            ],
        ),
        (
            setting("blocks", 1, "residual", to=False),
            ["block 2's aggregation is followed by add, which the spec does not have"],
        ),
        (
            setting("features", to=[1, 4]),
            [
                f"output {n} of the network {verb} block {block}"
                for verb, blocks in (("does not read", (1, 4)), ("must not read", (4, 1)))
                for n, block in enumerate(blocks, start=1)
            ],
        ),
        (setting("features", to=[1]), ["the network has 3 outputs, the spec says 2"]),
    ],
)
def test_other_connections_are_named(wiring: Graph, edit: Edit, expected: list[str]) -> None:
    """In the words of a user: blocks, layers, aggregations, skips."""
    found = lines(WIRING, edit, wiring)
    assert found == expected, found


def test_a_missing_skip_is_one_line(wiring: Graph) -> None:
    """All layers of block 4, and its output, read it: it is transition 3 that lacks it."""
    crop = next(op.name for op in wiring.ops.values() if op.kind == "crop")
    join = next(op for op in wiring.ops.values() if op.kind == "concat" and op.inputs[0] == crop)
    found = compare(graph_of(WIRING), wiring.with_op(replace(join, inputs=(crop,))))
    assert [difference.message for difference in found.differences] == [
        "transition 3 does not read block 1 (its skip)"
    ]


def test_ordered_makes_an_error_of_another_order(wiring: Graph) -> None:
    """A note otherwise."""
    crop = next(op.name for op in wiring.ops.values() if op.kind == "crop")
    join = next(op for op in wiring.ops.values() if op.kind == "concat" and op.inputs[0] == crop)
    reversed_join = wiring.with_op(replace(join, inputs=join.inputs[::-1]))
    found = compare(graph_of(WIRING), reversed_join, ordered=True)
    assert found.notes == ()
    assert found.differences[0].message == "block 4, layer 1 joins its sources in another order"


def refused(path: Path, what: str) -> str:
    """What is said of a network of a convolution and something else."""
    from mindspore import nn, ops

    class Shifted(nn.Cell):
        def construct(self, x: Any) -> Any:
            return x + 1

    class Halved(nn.Cell):
        def construct(self, x: Any) -> Any:
            return x[:, :, ::2]

    class Stretched(nn.Cell):
        def construct(self, x: Any) -> Any:
            return ops.ResizeBilinearV2(False, False)(x, (16, 16))

    class Mirrored(nn.Cell):
        def construct(self, x: Any) -> Any:
            return ops.relu(ops.pad(x, (1, 1, 1, 1), mode="reflect"))

    class Enlarged(nn.Cell):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2dTranspose(8, 8, 3, stride=2, pad_mode="same")

        def construct(self, x: Any) -> Any:
            return self.conv(x)

    network = nn.SequentialCell(nn.Conv2d(3, 8, 3), locals()[what](), nn.Conv2d(8, 4, 1))
    export_mindir(network, (3, 8, 8), path, batch=1)
    with pytest.raises(ModelFileError) as caught:
        read_mindir(path)
    return caught.value.diagnostics[0].message


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("Shifted", ": Add"),
        ("Halved", "StridedSlice slices with steps"),
        ("Stretched", "ResizeBilinearV2 interpolates neither between the middles"),
        ("Mirrored", "ReLU reads part of a mirrored padding"),
        ("Enlarged", "Conv2DTranspose pads in a way that is not known"),
    ],
)
def test_what_a_spec_cannot_say_is_refused_by_its_primitive(
    tmp_path: Path, what: str, expected: str
) -> None:
    """Never taken for an operator that looks like it."""
    assert expected in refused(tmp_path / "other.mindir", what)


@pytest.mark.slow
@pytest.mark.parametrize("name", shipped())
def test_every_shipped_network_is_read_back(tmp_path: Path, name: str) -> None:
    """Of 64 x 64 pixels at most, so that MindSpore is soon done with it."""
    size = min(64, load_spec(name).input.height)
    graph = verify_or_raise(
        build_graph(load_spec(name, {"input.height": size, "input.width": size}))
    )
    assert_equal(compare(graph, read_back(graph, tmp_path / f"{name}.mindir")))


def between_convolutions(cell: Any, path: Path, batch: int | None) -> list[Any]:
    """What a cell of 8 channels and 8 x 8 pixels is read as, kinds and bounds."""
    from mindspore import nn

    network = nn.SequentialCell(nn.Conv2d(3, 8, 3), cell, nn.Conv2d(8, 4, 1))
    export_mindir(network, (3, 8, 8), path, batch)
    ops = list(read_mindir(path).ops.values())
    assert [op.kind for op in (*ops[:2], ops[-1])] == ["input", "conv", "conv"]
    return [(op.kind, *(op.attrs[name] for name in sorted(op.attrs))) for op in ops[2:-1]]


@pytest.mark.parametrize("batch", [None, pytest.param(1, marks=pytest.mark.slow)])
def test_what_changes_nothing_is_read_as_nothing(tmp_path: Path, batch: int | None) -> None:
    """Arithmetic with zero and one, no padding, the size that there is,
    slices and cutouts of all.
    """
    from mindspore import nn, ops

    class Idle(nn.Cell):
        def construct(self, x: Any) -> Any:
            x = (x * 1.0 + 0.0) / 1.0 - 0.0
            x = ops.interpolate(ops.pad(x, (0, 0, 0, 0)), size=(8, 8), mode="nearest")
            x = ops.stop_gradient(x[:, 0:8])[:, :, 0:8, 0:8]
            x = ops.transpose(ops.transpose(x, (0, 2, 3, 1)), (0, 3, 1, 2))
            return ops.concat((x,), 1)

    assert between_convolutions(Idle(), tmp_path / "idle.mindir", batch) == []


def reshaped(x: Any) -> Any:
    return x.reshape(x.shape[0], -1)


def squeezed(x: Any) -> Any:
    return x.squeeze(3).squeeze(2)


def averaged(x: Any) -> Any:
    return x.mean((2, 3))


@pytest.mark.parametrize("taken", [reshaped, squeezed, averaged])
def test_the_pixel_of_a_convolution_is_taken_away_as_by_a_pool(taken: Any, tmp_path: Path) -> None:
    """Of a map of one pixel: the spec says it by a pool, as it has no other way."""
    from mindspore import nn

    class Network(nn.Cell):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.dense = nn.Conv2d(3, 8, 1), nn.Dense(8, 10)

        def construct(self, x: Any) -> Any:
            return self.dense(taken(self.conv(x)))

    sizes = {"in_channels": 3, "out_channels": 8}
    ops = [
        Op("x", "input", (), {"shape": (3, 1, 1)}),
        Op("conv", "conv", ("x",), {**sizes, "kernel": 1, "stride": 1, "padding": 0}),
        Op("pool", "global_avg_pool", ("conv",)),
        Op("dense", "dense", ("pool",), {"in_channels": 8, "out_channels": 10}),
    ]
    export_mindir(Network(), (3, 1, 1), tmp_path / "pixel.mindir", 1)
    assert_equal(compare(Graph.of("spec", ops), read_mindir(tmp_path / "pixel.mindir")))


@pytest.mark.parametrize("batch", [1, None])
def test_every_way_to_take_some_channels_is_a_slice(tmp_path: Path, batch: int | None) -> None:
    """Parts of one size or of several, by bounds or by a length,
    with a batch that is known or free.
    """
    from mindspore import nn, ops

    class Parts(nn.Cell):
        def construct(self, x: Any) -> Any:
            halves = ops.split(x, 4, axis=1)
            uneven = ops.split(x, [2, 6], axis=1)
            return ops.concat(
                (
                    ops.relu6(halves[1]),
                    ops.clamp(uneven[0], 0, 6),
                    ops.relu6(ops.narrow(x, 1, 3, 1)),
                    ops.relu6(x[:, -1:]),
                ),
                1,
            )

    found = between_convolutions(Parts(), tmp_path / "parts.mindir", batch)
    assert Counter(found) == Counter(
        [
            *(("slice", *bounds) for bounds in ((4, 8), (0, 2), (3, 4), (7, 8))),
            *[("relu6",)] * 4,
            ("concat",),
        ]
    )
