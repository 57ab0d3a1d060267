"""A file that passes have rewritten is the spec's to `certify --optimized`, and with one further
change it is none.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, reject, settings
from pydantic import ValidationError
from rewrites.networks import (
    SETTINGS,
    farthest,
    images_of,
    outputs_of,
    tensors_of,
)
from spec.language import specs
from writers.operator_networks import settings_of

from archspec.certify.certificate import Certificate
from archspec.certify.certify_file import certify_file
from archspec.compare.simplify import keep_leading_to
from archspec.errors import GraphError, ModelFileError
from archspec.graph.build import build_graph
from archspec.graph.ir import Graph, Op
from archspec.graph.parameters import list_parameters
from archspec.graph.shapes import infer_shapes
from archspec.lift.lift_file import lift_file
from archspec.operators.attributes import STATISTICS
from archspec.operators.shape_rules import Shape, ShapeFault
from archspec.operators.table import ACTIVATIONS, OPERATORS
from archspec.rewrites.optimize import optimize
from archspec.rewrites.weighted_graph import WeightedGraph
from archspec.spec.spec import Spec
from archspec.verifiers.verify import verify_or_raise
from archspec.writers.onnx.model import make_onnx
from archspec.writers.onnx.onnx_files import save_onnx

TOLERANCE = 1e-4
RANDOM = settings(
    deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
LEVELS = ("basic", "all")


def spec_of(case: str) -> Spec:
    return Spec.model_validate(settings_of(**SETTINGS[case]))


def write(network: WeightedGraph, file: Path) -> Any:
    model = make_onnx(network.graph, network.tensors)
    save_onnx(model, file)
    return model


def run(file: Path, graph: Graph, images: Any) -> dict[str, Any]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(file), options, ["CPUExecutionProvider"])
    made = session.run(None, {session.get_inputs()[0].name: images})
    return dict(zip(graph.outputs, made, strict=True))


def lines(found: Certificate) -> list[str]:
    return [str(difference) for difference in found.differences]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("are_equal", [False, True], ids=["any weights", "equal weights"])
@pytest.mark.parametrize("case", SETTINGS)
def test_a_rewritten_file_computes_the_network_and_is_certified_as_it(
    case: str, level: Any, are_equal: bool, tmp_path: Path
) -> None:
    """ONNX Runtime, which leaves it as it is, beside a NumPy forward of the spec's own graph."""
    spec, file = spec_of(case), tmp_path / "net.onnx"
    graph = build_graph(spec)
    tensors, images = tensors_of(graph, are_equal=are_equal), images_of(graph)
    made = optimize(graph, tensors, level)
    write(made.network, file)
    wanted = outputs_of(graph, tensors, images)
    assert farthest(run(file, graph, images), wanted) < TOLERANCE
    found = certify_file(file, spec, optimized=True)
    assert lines(found) == []
    parameters = list_parameters(made.network.graph).values()
    learnt = [each for each in parameters if each.role not in STATISTICS]
    if case != "scales around a norm":  # one before a norm that is written out counts as its part
        assert found.comparison.params == sum(prod(each.shape) for each in learnt)
    assert found.structure_digest == certify_file(file, spec).structure_digest


def test_without_the_flag_weights_that_stand_once_are_a_difference(tmp_path: Path) -> None:
    """Norms in convolutions and as scales, and joins of joins, are none, as before."""
    for case, is_equal in {
        "repeated layers": False,
        "equal branches": False,
        "a slice that leaves layers out": False,
        "joins of joins": True,
        "two norms behind a convolution": True,
        "dropout": True,
    }.items():
        spec, file = spec_of(case), tmp_path / "net.onnx"
        graph = build_graph(spec)
        write(optimize(graph, tensors_of(graph, are_equal=True), "all").network, file)
        assert (case, certify_file(file, spec).is_equal) == (case, is_equal)


def test_the_certificate_says_what_the_file_has_otherwise(tmp_path: Path) -> None:
    notes = {}
    for case in ("repeated layers", "a slice that leaves layers out"):
        spec, file = spec_of(case), tmp_path / "net.onnx"
        graph = build_graph(spec)
        write(optimize(graph, tensors_of(graph, are_equal=True), "basic").network, file)
        notes[case] = " ".join(certify_file(file, spec, optimized=True).notes)
    assert "for several of the spec's, which have equal weights" in notes["repeated layers"]
    assert "cut off everywhere" in notes["a slice that leaves layers out"]


def test_names_are_compared_of_what_the_file_has(tmp_path: Path) -> None:
    """What stands for several has the name of one of them; a note counts the others."""
    spec, file = spec_of("repeated layers"), tmp_path / "net.onnx"
    graph = build_graph(spec)
    write(optimize(graph, tensors_of(graph, are_equal=True), "basic").network, file)
    found = certify_file(file, spec, optimized=True, names=True)
    assert lines(found) == []
    assert "the file has no names for the weights of" in " ".join(found.notes)


def test_a_name_that_reads_like_that_of_a_copy_is_compared(tmp_path: Path) -> None:
    """An operator is a copy by what was copied, whatever the file calls its own."""
    spec = Spec.model_validate(settings_of())
    graph = verify_or_raise(build_graph(spec))
    name = next(op.name for op in graph.ops.values() if op.kind == "conv")
    file, other = tmp_path / "net.onnx", f"{name}, for what"
    model = write(WeightedGraph(graph, tensors_of(graph)), file)
    for tensor in model.graph.initializer:
        tensor.name = tensor.name.replace(f"{name}.", f"{other}.")
    for node in model.graph.node:
        node.input[:] = [each.replace(f"{name}.", f"{other}.") for each in node.input]
    save_onnx(model, file)
    for optimized in (False, True):
        found = certify_file(file, spec, optimized=optimized, names=True)
        assert any(f"{name} is called {other} in the file" in line for line in lines(found))


def test_a_file_as_the_spec_says_is_taken_too(tmp_path: Path) -> None:
    """`--optimized` takes more, and nothing less; what it says is then the same."""
    for case in SETTINGS:
        spec, file = spec_of(case), tmp_path / "net.onnx"
        graph = build_graph(spec)
        write(WeightedGraph(graph, tensors_of(graph)), file)
        found = certify_file(file, spec, optimized=True)
        assert found.values() == certify_file(file, spec).values()


def test_another_order_of_what_is_joined_is_taken_as_without_the_flag(tmp_path: Path) -> None:
    """It permutes channels of weights alone."""
    file = tmp_path / "net.onnx"
    blocks = [dict(block) for block in SETTINGS["repeated layers"]["blocks"]]
    for block in blocks:
        block["connectivity"] = {**block["connectivity"], "output": "all"}
    spec = Spec.model_validate(settings_of(blocks=blocks))
    for block in blocks:
        block["connectivity"] = {**block["connectivity"], "output_order": "newest_first"}
    graph = build_graph(Spec.model_validate(settings_of(blocks=blocks)))
    write(WeightedGraph(graph, tensors_of(graph)), file)
    found = certify_file(file, spec, optimized=True)
    assert (lines(found), found.values()) == ([], certify_file(file, spec).values())


def test_a_network_before_training_is_taken_too(tmp_path: Path) -> None:
    """Norms add zeros and biases are zero, which leaves no trace; norms in a row are all equal."""
    for case in SETTINGS:
        spec, file = spec_of(case), tmp_path / "net.onnx"
        graph = build_graph(spec)
        tensors = tensors_of(graph)
        for name, values in tensors.items():
            role = name.rpartition(".")[2]
            if role != "weight":
                tensors[name] = np.full_like(values, role in ("gamma", "moving_variance"))
        write(optimize(graph, tensors, "all").network, file)
        assert (case, lines(certify_file(file, spec, optimized=True))) == (case, [])


def pick(graph: Graph, rng: random.Random, *kinds: str) -> Op | None:
    ops = [op for op in graph.ops.values() if op.kind in kinds]
    return rng.choice(ops) if ops else None


def with_attrs(op: Op, **attrs: Any) -> Op:
    return replace(op, attrs={**op.attrs, **attrs})


def change_an_activation(graph: Graph, rng: random.Random) -> Graph | None:
    op = pick(graph, rng, *ACTIVATIONS)
    kind = "tanh" if op and op.kind != "tanh" else "silu"
    return graph.with_op(replace(op, kind=kind, attrs={})) if op else None


def change_a_width(graph: Graph, rng: random.Random) -> Graph | None:
    """Not of the classifier: where a spec says no number of classes, the file's is taken."""
    op = pick(graph, rng, "conv", "conv_transpose")
    return graph.with_op(with_attrs(op, out_channels=op.attrs["out_channels"] + 2)) if op else None


def change_a_window(graph: Graph, rng: random.Random) -> Graph | None:
    op = pick(graph, rng, "conv")
    if op is None:
        return None
    larger = {"kernel": op.attrs["kernel"] + 2, "padding": op.attrs["padding"] + 1}
    return graph.with_op(with_attrs(op, **larger))


def drop_a_connection(graph: Graph, rng: random.Random) -> Graph | None:
    op = pick(graph, rng, "concat")
    if op is None:
        return None
    gone = rng.randrange(len(op.inputs))
    return graph.with_op(replace(op, inputs=(*op.inputs[:gone], *op.inputs[gone + 1 :])))


def add_a_connection(graph: Graph, rng: random.Random) -> Graph | None:
    op = pick(graph, rng, "concat")
    if op is None:
        return None
    shapes, names = infer_shapes(graph)[0], [*graph.ops]
    before = names[: names.index(op.name)]
    fitting = [name for name in before if shapes[name][1:] == shapes[op.name][1:]]
    return graph.with_op(replace(op, inputs=(*op.inputs, rng.choice(fitting))))


def rewire(graph: Graph, rng: random.Random) -> Graph | None:
    """An operator reads another value of the same shape."""
    shapes, names = infer_shapes(graph)[0], [*graph.ops]
    op = rng.choice([op for op in graph.ops.values() if op.inputs])
    at = rng.randrange(len(op.inputs))
    before = names[: names.index(op.name)]
    fitting = [name for name in before if shapes[name] == shapes[op.inputs[at]]]
    inputs = (*op.inputs[:at], rng.choice(fitting), *op.inputs[at + 1 :])
    return graph.with_op(replace(op, inputs=inputs))


def drop_an_operator(graph: Graph, rng: random.Random) -> Graph | None:
    """What read it reads what it read.

    Not a norm behind a convolution, nor a learned scale: a norm that shifts by zero is folded
    without a trace, and a scale before a norm that is written out is a part of that. Notes say so.
    """
    ops = [op for op in graph.ops.values() if len(op.inputs) == 1 and op.name not in graph.outputs]
    ops = [op for op in ops if op.kind != "scale" and not is_norm_behind_filters(graph, op)]
    if not ops:
        return None
    op = rng.choice(ops)
    passed = {op.name: op.inputs[0]}
    made = {}
    for name, other in graph.ops.items():
        reads = tuple(passed.get(source, source) for source in other.inputs)
        made[name] = replace(other, inputs=reads)
    return replace(graph, ops=made)


def is_norm_behind_filters(graph: Graph, op: Op) -> bool:
    return op.kind == "batch_norm" and OPERATORS[graph.ops[op.inputs[0]].kind].folds_norm


def insert_an_activation(graph: Graph, rng: random.Random) -> Graph | None:
    op = rng.choice([op for op in graph.ops.values() if op.inputs])
    extra = Op(f"{op.name}.extra", "tanh", op.inputs[:1])
    reading = replace(op, inputs=(extra.name, *op.inputs[1:]))
    ops: dict[str, Op] = {}
    for name, other in graph.ops.items():
        ops |= {extra.name: extra, name: reading} if name == op.name else {name: other}
    return replace(graph, ops=ops)


MUTATIONS: tuple[Callable[[Graph, random.Random], Graph | None], ...] = (
    change_an_activation,
    change_a_width,
    change_a_window,
    drop_a_connection,
    add_a_connection,
    rewire,
    drop_an_operator,
    insert_an_activation,
)


def refit(graph: Graph, outputs: tuple[str, ...]) -> Graph | None:
    """The graph that leads to its outputs, widths as what is read has them; None where shapes do
    not fit.
    """
    ops = {name: replace(op, region="") for name, op in graph.ops.items()}
    if any(not op.inputs and op.kind != "input" for op in ops.values()):
        return None
    ops = keep_leading_to(outputs, ops)
    shapes: dict[str, Shape] = {}
    for name, op in ops.items():
        reads = [shapes[source] for source in op.inputs]
        widths = {key: reads[0][0] for key in ("in_channels", "channels") if key in op.attrs}
        ops[name] = with_attrs(op, **widths)
        try:
            shapes[name] = OPERATORS[op.kind].shape(ops[name].attrs, reads)
        except ShapeFault:
            return None
    made = Graph("mutant", ops)
    return made if made.outputs == outputs else None


def draw_tensors(graph: Graph, *, are_equal: bool) -> dict[str, Any]:
    """Of a graph that was rewritten; equal ones for each role and shape, in whichever graph."""
    tensors = {}
    for number, (name, parameter) in enumerate(list_parameters(graph).items()):
        is_variance = parameter.role == "moving_variance"
        rng = np.random.default_rng(
            [*parameter.shape, len(parameter.role), (not are_equal) * number]
        )
        values = rng.normal(0, 0.5, parameter.shape)
        values = np.abs(values) + 0.5 if is_variance else values
        tensors[name] = values.astype(np.float32)
    return tensors


def is_other(mutant: Graph, graph: Graph) -> bool:
    """Whether a mutant gives other outputs where all weights of a shape and role are equal.

    One that does not may be the network with some weights that are equal: it reads one of two
    layers that are alike, say. That is no other network to `--optimized`.
    """
    images = images_of(graph)
    found, wanted = (
        outputs_of(each, draw_tensors(each, are_equal=True), images) for each in (mutant, graph)
    )
    if any(found[name].shape != wanted[name].shape for name in wanted):
        return True
    return farthest(found, wanted) > 1e-9


def assert_mutants_are_refused(spec: Spec, file: Path, seed: str, times: int) -> int:
    """Each level, each mutation so often; return how many there were."""
    graph, rng, tried, missed = build_graph(spec), random.Random(seed), 0, []
    for level in LEVELS:
        rewritten = optimize(graph, tensors_of(graph), level).network.graph
        bare = refit(rewritten, rewritten.outputs)
        assert bare is not None
        for mutate in [mutate for mutate in MUTATIONS for _ in range(times)]:
            changed = mutate(bare, rng)
            mutant = refit(changed, bare.outputs) if changed else None
            if mutant is None or not is_other(mutant, bare):
                continue
            tried += 1
            write(WeightedGraph(mutant, draw_tensors(mutant, are_equal=False)), file)
            if is_taken(file, spec):
                missed.append((level, mutate.__name__))
    assert missed == []
    return tried


def is_taken(file: Path, spec: Spec) -> bool:
    try:
        return certify_file(file, spec, optimized=True).is_equal
    except ModelFileError:
        return False


OFTEN = (
    "dropout",
    "joins of joins",
    "repeated layers",
    "a slice that leaves layers out",
    "two norms behind a convolution",
    "feature maps",
)
"""Cases that are tried each time; between them they have every pass."""


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=[pytest.mark.slow] * (case not in OFTEN)) for case in SETTINGS],
)
def test_a_file_with_one_further_change_is_refused(case: str, tmp_path: Path) -> None:
    """Another activation, width, window or wiring; a connection, or an operator, fewer or more."""
    assert assert_mutants_are_refused(spec_of(case), tmp_path / "net.onnx", case, 1) > 4


def assert_random_mutants(values: Mapping[str, Any], file: Path) -> None:
    try:
        spec = Spec.model_validate(values)
        verify_or_raise(build_graph(spec))
    except (GraphError, ValidationError):
        reject()
    assert_mutants_are_refused(spec, file, str(values), 1)


@settings(RANDOM, max_examples=3)
@given(values=specs())
def test_any_file_with_one_further_change_is_refused(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any]
) -> None:
    assert_random_mutants(values, tmp_path_factory.getbasetemp() / "mutant.onnx")


@pytest.mark.slow
@settings(RANDOM, max_examples=100)
@given(values=specs())
def test_many_files_with_one_further_change_are_refused(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any]
) -> None:
    assert_random_mutants(values, tmp_path_factory.getbasetemp() / "mutants.onnx")


def test_a_rewritten_file_is_lifted_as_what_stands_in_it(tmp_path: Path) -> None:
    """Biases where norms were folded; a layer that stands for two is no dense block's, in words."""
    lifted = {}
    for case in ("two norms behind a convolution", "repeated layers"):
        graph, file = build_graph(spec_of(case)), tmp_path / f"{case.split()[0]}.onnx"
        write(optimize(graph, tensors_of(graph, are_equal=True), "all").network, file)
        lifted[case] = file
    assert "bias: true" in lift_file(lifted["two norms behind a convolution"]).text
    with pytest.raises(ModelFileError, match="R108"):
        lift_file(lifted["repeated layers"])
