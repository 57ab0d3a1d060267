"""Connections that are there in form alone:
files with weights that are zero, and ONNX Runtime's word on them.
"""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from conftest import densenet as command
from onnx import TensorProto, helper, numpy_helper
from readers.onnx_styles import STYLES, Step, densenet, run, standardized, written

from archspec.certify.certificate import make_certificate
from archspec.certify.liveness import Liveness, check_liveness
from archspec.compare.compare import NOT_COMPARED, compare
from archspec.errors import ArchspecError
from archspec.graph.build import build_graph
from archspec.graph.ir import Graph
from archspec.readers.mindir.read import mindir_reading
from archspec.readers.onnx.read import onnx_reading
from archspec.readers.reading import filters_in
from archspec.runtime import prepare
from archspec.spec.load import load_spec
from archspec.spec.reading.shorthand import expand_short_forms
from archspec.spec.reading.yaml_reader import read_text
from archspec.spec.spec import Spec
from archspec.writers.mindspore.create_model import create_model
from archspec.writers.mindspore.export_mindir import export_mindir

DIGITS = build_graph(load_spec("densenetbc_digits"))
STEPS = densenet([4, 4], 12, (1, 8, 8), 10, imagenet=False)
GROWTH = 12
ENTERING = {1: 24, 2: 36}
"""Channels that enter each block."""
CONNECTIONS = 20 + 2 * 5 + 1
"""Of layers; of the transition and the head,
which read their block's input and its layers; of the stem."""

Weights = dict[str, Any]


def layer(block: int, number: int) -> str:
    return f"features.denseblock{block}.denselayer{number}"


def channels(block: int, source: int) -> slice:
    """The channels of a source where a layer of the block reads them."""
    start = ENTERING[block] + GROWTH * (source - 1)
    return slice(start, start + GROWTH) if source else slice(0, ENTERING[block])


def changed(style: str, *changes: Callable[[Weights], None], steps: Any = STEPS) -> Any:
    """The network in a style, some of its weights changed."""
    weights = {name: value.copy() for name, value in written(steps, STYLES[style])[1].items()}
    for change in changes:
        change(weights)
    return written(steps, STYLES[style], weights)[0]


def without(name: str, where: Any = slice(None), axis: int = 1) -> Callable[[Weights], None]:
    """Set a part of a weight to zero."""

    def change(weights: Weights) -> None:
        weights[name][(slice(None),) * axis + (where,)] = 0

    return change


def life(model: Any, folder: Path, graph: Graph = DIGITS) -> Liveness:
    file = folder / "model.onnx"
    file.write_bytes(model.SerializeToString())
    reading = onnx_reading(file)
    comparison = compare(graph, reading.graph, filters_of=filters_in(file, reading))
    assert comparison.is_equal, comparison.differences
    return check_liveness(comparison.match, reading, file)


def lines(found: Liveness) -> list[str]:
    return [difference.message for difference in found.differences]


@pytest.mark.parametrize("style", STYLES)
def test_a_network_with_weights_is_alive(style: str, tmp_path: Path) -> None:
    found = life(changed(style), tmp_path)
    assert lines(found) == []
    assert (found.connections, found.unreadable, found.notes) == (CONNECTIONS, (), ())


@pytest.mark.parametrize("style", STYLES)
def test_what_is_zero_is_named_in_every_style(style: str, tmp_path: Path) -> None:
    """A slice of a convolution, a slice of a scale,
    the whole of a layer's last convolution, slices behind a block.
    """
    model = changed(
        style,
        without(f"{layer(1, 4)}.conv1.weight", channels(1, 2)),
        without(f"{layer(2, 2)}.norm1.gamma", channels(2, 0), axis=0),
        without(f"{layer(2, 3)}.conv2.weight"),
        without("features.transition1.conv.weight", channels(1, 3)),
        without("classifier.weight", channels(2, 4)),
    )
    assert lines(life(model, tmp_path)) == [
        "block 1, layer 4 reads layer 2 with weights that are all zero",
        "transition 1 reads layer 3 with weights that are all zero",
        "block 2, layer 2 reads the block's input with a scale that is all zero",
        "block 2, layer 3 gives the same output for every image: the weights of "
        "features.denseblock2.denselayer3.conv2 are all zero",
        "the head reads layer 4 with weights that are all zero",
    ]


def test_a_single_weight_keeps_a_connection_alive(tmp_path: Path) -> None:
    def but_one(weights: Weights) -> None:
        weights[f"{layer(1, 4)}.conv1.weight"][17, channels(1, 2).start + 5] = 1e-30

    zero = without(f"{layer(1, 4)}.conv1.weight", channels(1, 2))
    assert lines(life(changed("torch", zero, but_one), tmp_path)) == []


def test_a_connection_ends_where_its_channels_end_one_by_one(tmp_path: Path) -> None:
    """Scales close one half of them, weights the other;
    or what they are mixed into is not read on.
    """
    start, middle, stop = (channels(1, 2).start + part for part in (0, 7, GROWTH))
    halves = (
        without(f"{layer(1, 4)}.norm1.gamma", slice(start, middle), axis=0),
        without(f"{layer(1, 4)}.conv1.weight", slice(middle, stop)),
    )

    def into_one(weights: Weights) -> None:
        weights[f"{layer(2, 3)}.conv1.weight"][1:, channels(2, 1)] = 0
        weights[f"{layer(2, 3)}.conv2.weight"][:, 0] = 0

    found = life(changed("torch", *halves, into_one), tmp_path)
    assert [(dead.reader, dead.source, dead.operator) for dead in found.dead_connections] == [
        ("block 1, layer 4", "layer 2", f"{layer(1, 4)}.conv1"),
        ("block 2, layer 3", "layer 1", f"{layer(2, 3)}.conv2"),
    ]


def test_constant_channels_of_a_source_count_for_nothing(tmp_path: Path) -> None:
    """A layer reads one channel of the one before, and this one is the same for every image."""
    source = without(f"{layer(1, 1)}.conv2.weight", 3, axis=0)
    others = [
        channel for channel in range(channels(1, 1).start, channels(1, 1).stop) if channel != 27
    ]
    found = life(changed("torch", source, without(f"{layer(1, 2)}.conv1.weight", others)), tmp_path)
    assert lines(found) == ["block 1, layer 2 reads layer 1 with weights that are all zero"]


def test_what_nothing_leads_to_is_said_once_at_its_cause(tmp_path: Path) -> None:
    found = life(changed("torch", without("features.conv0.weight")), tmp_path)
    assert lines(found) == [
        "the stem gives the same output for every image: the weights of features.conv0 are all zero"
    ]
    wide = (without(f"{layer(1, 1)}.conv1.weight", half, axis=0) for half in [slice(0, 24)])
    half = without(f"{layer(1, 1)}.conv2.weight", slice(24, 48))
    assert lines(life(changed("torch", *wide, half), tmp_path)) == [
        "block 1, layer 1 gives the same output for every image: the weights of "
        "features.denseblock1.denselayer1.conv2 are zero for all that depends on it"
    ]


def magnified(model: Any, block: int, number: int, source: int) -> Any:
    """The whole file, in which one layer alone reads three times what a source gives."""
    made = onnx.ModelProto.FromString(model.SerializeToString())
    maker = {output: node for node in made.graph.node for output in node.output}
    reader = next(
        node for node in made.graph.node if f"{layer(block, number)}.conv1.weight" in node.input
    )
    for _ in range(2 + (number > 1)):
        reader = maker[reader.input[0]]
    factor = numpy_helper.from_array(np.array(3, np.float32), "factor")
    made.graph.initializer.append(factor)
    product = helper.make_node("Mul", [reader.input[source], "factor"], ["magnified"])
    reader.input[source] = "magnified"
    made.graph.node.insert(list(made.graph.node).index(reader), product)
    return made


def test_onnx_runtime_says_the_same_of_every_connection(tmp_path: Path) -> None:
    model = changed(
        "torch",
        without(f"{layer(1, 4)}.conv1.weight", channels(1, 2)),
        without(f"{layer(2, 2)}.norm1.gamma", channels(2, 1), axis=0),
        without(f"{layer(2, 4)}.conv1.weight", channels(2, 0)),
        without(f"{layer(1, 2)}.conv1.weight", channels(1, 1)),
    )
    images = np.random.default_rng(5).normal(size=(2, 1, 8, 8)).astype(np.float32)
    logits, still = run(model, images), set()
    for block in (1, 2):
        for number in range(1, 5):
            for source in range(number):
                if (run(magnified(model, block, number, source), images) == logits).all():
                    still.add(
                        (
                            f"block {block}, layer {number}",
                            f"layer {source}" if source else "the block's input",
                        )
                    )
    assert still == {(dead.reader, dead.source) for dead in life(model, tmp_path).dead_connections}
    assert len(still) == 4


@pytest.mark.parametrize(
    ("value", "role"), [(np.nan, "conv1.weight"), (np.inf, "norm2.moving_variance")]
)
def test_weights_that_are_no_numbers_are_said(value: float, role: str, tmp_path: Path) -> None:
    def put(weights: Weights) -> None:
        weights[f"{layer(1, 2)}.{role}"].flat[3] = value

    who = f"{layer(1, 2)}.{role.partition('.')[0]}"
    found = life(changed("torch", put), tmp_path)
    assert [(line.code, line.message) for line in found.differences] == [
        ("R110", f"{who} has weights that are not finite numbers")
    ]


def computed_norms(model: Any) -> Any:
    """Each norm as an exporter writes it that computes nothing beforehand."""
    made, nodes = onnx.ModelProto.FromString(model.SerializeToString()), list[Any]()
    made.graph.initializer.append(numpy_helper.from_array(np.array(1e-5, np.float32), "eps"))
    made.graph.initializer.append(numpy_helper.from_array(np.array([1, 2]), "pixels"))

    def node(kind: str, *inputs: str, out: str = "") -> str:
        nodes.append(helper.make_node(kind, inputs, [out or f"{kind} {len(nodes)}"]))
        return str(nodes[-1].output[0])

    for old in made.graph.node:
        if old.op_type != "BatchNormalization":
            nodes.append(old)
            continue
        root = node("Sqrt", node("Add", old.input[4], "eps"))
        scale, shift, mean, root = (
            node("Unsqueeze", each, "pixels") for each in (*old.input[1:4], root)
        )
        normed = node("Div", node("Sub", old.input[0], mean), root)
        node("Add", node("Mul", normed, scale), shift, out=old.output[0])
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    return made


VARIANCES = {-0.5: "R110", -1e-5: "R110", -0.5e-5: "", 0.0: ""}
IMAGES = np.random.default_rng(5).normal(size=(2, 1, 8, 8)).astype(np.float32)


@pytest.mark.parametrize("variance", VARIANCES)
@pytest.mark.parametrize("form", ["a node", "many nodes", "folded"])
def test_a_variance_without_a_root_is_said(variance: float, form: str, tmp_path: Path) -> None:
    """Those that give no number in ONNX Runtime: up to -eps; eps carries those above."""

    def put(weights: Weights) -> None:
        weights[f"{layer(1, 2)}.norm2.moving_variance"][3] = variance
        weights[f"{layer(2, 1)}.norm2.moving_variance"][5] = variance

    with np.errstate(all="ignore"):
        model = changed("torch folded" if form == "folded" else "torch", put)
    model = computed_norms(model) if form == "many nodes" else model
    found = life(model, tmp_path)
    assert [line.code for line in found.differences] == [VARIANCES[variance]] * bool(
        VARIANCES[variance]
    )
    assert found.unreadable == ()
    assert np.isfinite(run(model, IMAGES)).all() == (not VARIANCES[variance])
    if form == "a node" and found.bad_variances:
        assert lines(found) == [
            f"{layer(1, 2)}.norm2 and 1 more have a variance that with eps is not above zero: "
            "what it gives is no number"
        ]


def kept_outside(model: Any, name: str, location: str) -> Any:
    """The values of one weight in another file."""
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0")):
        tensor.external_data.add(key=key, value=value)
    return model


def test_weights_in_another_file_of_the_folder_are_looked_at(tmp_path: Path) -> None:
    name = f"{layer(1, 4)}.conv1.weight"
    model = changed("torch", without(name, channels(1, 2)))
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    (tmp_path / "model.data").write_bytes(tensor.raw_data)
    found = life(kept_outside(model, name, "model.data"), tmp_path)
    assert lines(found) == ["block 1, layer 4 reads layer 2 with weights that are all zero"]


def test_what_could_not_be_looked_at_is_said(tmp_path: Path) -> None:
    """Nobody claims that it is alive."""
    model = kept_outside(changed("torch"), f"{layer(1, 4)}.conv1.weight", "gone.data")
    found = life(model, tmp_path)
    note = f"the weights of {layer(1, 4)}.conv1 cannot be read: nobody looked whether they are zero"
    assert (lines(found), found.unreadable, found.notes) == ([], (f"{layer(1, 4)}.conv1",), (note,))
    known = make_certificate(
        tmp_path / "model.onnx", DIGITS, compare(DIGITS, DIGITS), liveness=found
    ).values()
    assert known["not_looked_at"] == (f"{layer(1, 4)}.conv1",)
    assert note in known["notes"]


def test_a_certificate_says_whether_the_weights_were_looked_at(tmp_path: Path) -> None:
    found = life(changed("torch"), tmp_path)
    file, comparison = tmp_path / "model.onnx", compare(DIGITS, DIGITS)
    without_life = make_certificate(file, DIGITS, comparison).values()
    assert without_life["not_compared"] == NOT_COMPARED
    assert "counts as one" in NOT_COMPARED[0]
    assert "dead" not in without_life
    known = make_certificate(file, DIGITS, comparison, liveness=found).values()
    assert "counts as one" not in " ".join(known["not_compared"])
    assert "all zero" in known["compared"][-1]
    assert (known["dead"], known["connections"], known["equal"]) == ([], CONNECTIONS, True)


@pytest.mark.parametrize("name", ["peleenet", "hardnet39ds", "cspdensenet121"])
def test_relatives_are_alive(name: str, tmp_path: Path) -> None:
    """Depthwise convolutions, branches, slices, sources that are read in part."""
    graph = build_graph(load_spec(name))
    found = life(written(graph.ops.values(), STYLES["torch"])[0], tmp_path, graph)
    assert (lines(found), found.unreadable) == ([], ())


VARIANT = {
    "name": "variant",
    "input": {"channels": 1, "height": 8, "width": 8},
    "growth_rate": 8,
    "stem": {"channels": 16},
    "blocks": [
        {"layers": 3, "connectivity": {"window": 1}},
        {
            "layers": 2,
            "layer": [
                {"squeeze_excite": {"reduction": 4}},
                "norm",
                "activation",
                {"conv": {"width": "2k", "kernel": 1}},
                {"shuffle": {"groups": 4}},
                {"conv": {"width": "2k", "kernel": 3, "groups": 4}},
                {"conv": {"width": "k", "kernel": 1}},
            ],
        },
    ],
    "head": {"num_classes": 10},
}


@pytest.fixture(scope="module")
def variant(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    """Layers that read one other alone, so that a norm is folded into another layer;
    gates, groups.
    """
    file = tmp_path_factory.mktemp("variant") / "variant.yaml"
    file.write_text(json.dumps(VARIANT))
    return build_graph(load_spec(str(file)))


def weights_of(graph: Graph, layers: Sequence[int], role: str) -> list[str]:
    block, number = layers
    return [op for op in graph.ops if op.startswith(f"{layer(block, number)}.") and role in op]


@pytest.mark.parametrize("style", ["torch", "torch folded", "scale and shift"])
def test_gates_and_groups_carry_features(style: str, variant: Graph, tmp_path: Path) -> None:
    """Zero behind a gate is alive still:
    the gate reads all channels, and each of its own depends on it.
    """
    last = weights_of(variant, (2, 2), "conv")[-1]
    first = next(
        op for op in weights_of(variant, (2, 2), "conv") if variant.ops[op].attrs["kernel"] == 1
    )
    ops = variant.ops.values()
    assert lines(life(changed(style, steps=ops), tmp_path, variant)) == []
    entering = variant.ops[first].attrs["in_channels"] - 8
    behind_a_gate = changed(style, without(f"{first}.weight", slice(entering, None)), steps=ops)
    assert lines(life(behind_a_gate, tmp_path, variant)) == []
    constant = life(changed(style, without(f"{last}.weight"), steps=ops), tmp_path, variant)
    assert [(dead.reader, dead.operator) for dead in constant.dead_connections] == [
        ("block 2, layer 2", last)
    ]


def exported(file: Path, values: Mapping[str, tuple[Any, float]]) -> Path:
    """The demo's network as MindSpore writes it, some of its weights set."""
    prepare()
    from mindspore import Tensor

    network = create_model("densenetbc_digits")
    for parameter in network.get_parameters():
        if parameter.name in values:
            where, value = values[parameter.name]
            changed_values = parameter.asnumpy().copy()
            changed_values[where] = value
            parameter.set_data(Tensor(changed_values))
    export_mindir(network, (1, 8, 8), file)
    return file


def test_a_variance_without_a_root_is_said_of_what_mindspore_writes(tmp_path: Path) -> None:
    """And one that eps carries is not."""
    name = f"{layer(1, 2)}.norm1"
    for value, expected in ((-0.1, [name]), (-1e-6, [])):
        file = exported(tmp_path / "model.mindir", {f"{name}.moving_variance": (2, value)})
        reading = mindir_reading(file)
        found = check_liveness(compare(DIGITS, reading.graph).match, reading, file)
        assert [line.where for line in found.differences if line.code == "R110"] == expected


@pytest.fixture(scope="module")
def mindir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's network as MindSpore writes it, some of its weights zero."""
    zeros: Mapping[str, Any] = {
        f"{layer(1, 3)}.conv1.weight": (slice(None), channels(1, 1)),
        f"{layer(2, 4)}.norm1.gamma": (channels(2, 2),),
        f"{layer(2, 1)}.conv2.weight": (slice(None),),
        "classifier.weight": (slice(None), channels(2, 3)),
    }
    file = tmp_path_factory.mktemp("mindir") / "zeros.mindir"
    return exported(file, {name: (where, 0) for name, where in zeros.items()})


def test_zeros_are_found_in_what_mindspore_writes(mindir: Path) -> None:
    reading = mindir_reading(mindir)
    found = check_liveness(compare(DIGITS, reading.graph).match, reading, mindir)
    assert found.unreadable == ()
    assert lines(found) == [
        "block 1, layer 3 reads layer 1 with weights that are all zero",
        "block 2, layer 1 gives the same output for every image: the weights of "
        "features.denseblock2.denselayer1.conv2 are all zero",
        "block 2, layer 4 reads layer 2 with a scale that is all zero",
        "the head reads layer 3 with weights that are all zero",
    ]


def test_certify_ends_with_3_and_lists_them(mindir: Path) -> None:
    ended = command("certify", mindir, "densenetbc_digits", "--json")
    assert (ended.returncode, ended.stderr) == (3, "")
    known = json.loads(ended.stdout)
    assert (known["equal"], len(known["dead"]), len(known["differences"])) == (False, 4, 4)
    assert known["dead"][0] == {
        "reader": "block 1, layer 3",
        "source": "layer 1",
        "operator": f"{layer(1, 3)}.conv1",
        "message": "block 1, layer 3 reads layer 1 with weights that are all zero",
    }


@pytest.mark.parametrize("number", [20, pytest.param(1_000, marks=pytest.mark.slow)])
def test_a_damaged_file_is_refused_or_looked_at(number: int, tmp_path: Path) -> None:
    """Bytes are changed, taken out and put in anywhere:
    there is no other end than an error with a code.
    """
    draw, file = random.Random(number), tmp_path / "model.onnx"
    whole, looked_at = changed("scale and shift").SerializeToString(), 0
    for _ in range(number):
        content, at = bytearray(whole), draw.randrange(len(whole))
        content[at : at + draw.randrange(2)] = draw.randbytes(draw.randrange(3))
        file.write_bytes(content)
        with suppress(ArchspecError):
            reading = onnx_reading(file)
            comparison = compare(DIGITS, reading.graph)
            looked_at += (
                comparison.is_equal
                and check_liveness(comparison.match, reading, file).connections == CONNECTIONS
            )
    assert looked_at


def test_what_the_spec_itself_cuts_off_is_not_called_dead(tmp_path: Path) -> None:
    """A slice leaves out the last layer;
    half of what it leaves has weights of zero, which are told.
    """
    values = {
        "input": {"channels": 1, "height": 8, "width": 8},
        "growth_rate": 4,
        "stem": {"channels": 8, "kernel": 3, "stride": 1, "pool": "none"},
        "blocks": [{"layers": 2}],
        "head": {
            "steps": ["norm", {"slice": {"stop": 12}}, "global_pool", "dense"],
            "num_classes": 3,
        },
    }
    graph = build_graph(Spec.model_validate(values))
    content, weights = written(graph.ops.values(), STYLES["torch"])
    found = life(content, tmp_path, graph)
    assert (lines(found), found.unreadable) == ([], ())
    name = next(name for name in weights if name.endswith("dense.weight"))
    weights[name][:, 8:12] = 0
    found = life(written(graph.ops.values(), STYLES["torch"], weights)[0], tmp_path, graph)
    assert lines(found) == ["the head reads layer 1 with weights that are all zero"]


SCALED = """
input: {height: 8, width: 8}
stem: [{conv: {width: 8, kernel: 3}}]
growth_rate: 4
layer: [{conv: {width: k, kernel: 3}}, scale]
block_config: [2]
head: [global_pool, scale, dense]
"""


@pytest.mark.parametrize("style", ["torch", "view"])
def test_a_scale_of_zeros_cuts_off_what_it_scales(style: str, tmp_path: Path) -> None:
    """Of a layer, all of it; of the head, the channels of one layer."""
    graph = build_graph(Spec.model_validate(expand_short_forms(read_text(SCALED, "spec")).value))
    steps = [Step(op.name, op.kind, op.inputs, op.attrs) for op in graph.ops.values()]
    layers = "features.denseblock1.denselayer"
    whole = without(f"{layers}2.scale1.gamma", axis=0)
    part = without("scale.gamma", slice(8, 12), axis=0)
    assert lines(life(changed(style, steps=steps), tmp_path, graph)) == []
    assert lines(life(changed(style, whole, part, steps=steps), tmp_path, graph)) == [
        "block 1, layer 2 gives the same output for every image: "
        f"the scale of {layers}2.scale1 is all zero",
        "the head reads layer 1 with a scale that is all zero",
    ]


STANDARDIZED = """
input: {height: 8, width: 8}
stem: [{conv: {width: 8, kernel: 3}}]
growth_rate: 4
layer: [norm, activation, {conv: {width: k, kernel: 3, standardized: true}}]
block_config: [2]
head: [global_pool, dense]
"""


@pytest.mark.parametrize("style", ["torch", "torch folded"])
def test_standardized_filters_that_were_stored_are_looked_at_as_they_are(
    style: str, tmp_path: Path
) -> None:
    """What is zero there is used so: no mean is taken away once more."""
    text = expand_short_forms(read_text(STANDARDIZED, "spec")).value
    graph = build_graph(Spec.model_validate(text))
    said = ("standardized", "weight_eps")
    steps = [
        Step(op.name, op.kind, op.inputs, {k: v for k, v in op.attrs.items() if k not in said})
        for op in graph.ops.values()
    ]
    weights = written(steps, STYLES[style])[1]
    name = "features.denseblock1.denselayer2.conv1.weight"
    for each in ("features.denseblock1.denselayer1.conv1.weight", name):
        weights[each] = standardized(weights[each], 1e-6)
    assert lines(life(written(steps, STYLES[style], weights)[0], tmp_path, graph)) == []
    zeros = np.zeros((4, 8, 3, 3), np.float32)
    weights[name] = np.concatenate([zeros, standardized(weights[name][:, 8:], 1e-6)], axis=1)
    assert lines(life(written(steps, STYLES[style], weights)[0], tmp_path, graph)) == [
        "block 1, layer 2 reads the block's input with weights that are all zero"
    ]
