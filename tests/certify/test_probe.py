"""Layers that ONNX Runtime runs by themselves: does each move with what it reads?"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from certify.test_liveness import (
    CONNECTIONS,
    DIGITS,
    STEPS,
    VARIANT,
    changed,
    channels,
    kept_outside,
    layer,
    life,
    without,
)
from conftest import densenet as command
from onnx import TensorProto, helper, numpy_helper
from readers.onnx_styles import STYLES, written

from archspec.certify.certify_file import certify_file
from archspec.certify.probe import Probe, import_onnx_runtime, probe_connections
from archspec.certify.subgraph import NotExtractable, SubgraphExtractor
from archspec.errors import EnvironmentFault, ModelFileError
from archspec.graph.build import build_graph
from archspec.graph.ir import Graph
from archspec.readers.onnx.read import onnx_reading
from archspec.readers.tensors import values_of
from archspec.spec.load import load_spec
from archspec.writers.onnx.halves import halve_numbers


def probed(model: Any, folder: Path, graph: Graph = DIGITS) -> Probe:
    found = life(model, folder, graph)
    return probe_connections(found, onnx_reading(folder / "model.onnx"), folder / "model.onnx")


def lines(probe: Probe) -> list[str]:
    return [difference.message for difference in probe.differences]


@pytest.mark.parametrize("style", STYLES)
def test_every_connection_is_confirmed_in_every_style(style: str, tmp_path: Path) -> None:
    found = probed(changed(style), tmp_path)
    assert (found.confirmed, found.connections) == (CONNECTIONS, CONNECTIONS)
    assert (lines(found), found.notes) == ([], ())


@pytest.mark.parametrize("style", ["torch", "torch folded", "scale and shift"])
def test_what_the_weights_say_is_dead_does_not_move(style: str, tmp_path: Path) -> None:
    """One connection, and a layer whose output is constant: what reads it cannot be asked."""
    model = changed(
        style,
        without(f"{layer(1, 4)}.conv1.weight", channels(1, 2)),
        without(f"{layer(2, 3)}.conv2.weight"),
    )
    found = probed(model, tmp_path)
    assert (lines(found), found.notes) == ([], ())
    readers_of_the_constant = 2
    own = 3
    assert found.confirmed == found.connections == CONNECTIONS - 1 - own - readers_of_the_constant


def test_a_relu_that_is_never_positive_is_found_out(tmp_path: Path) -> None:
    """The weights are fine: no one but the probe sees it."""

    def shut(weights: dict[str, Any]) -> None:
        weights[f"{layer(1, 3)}.norm1.beta"][channels(1, 2)] = -1e9

    model = changed("torch", shut)
    assert life(model, tmp_path).differences == ()
    found = probed(model, tmp_path)
    assert [line.code for line in found.differences] == ["R111"]
    assert lines(found) == ["block 1, layer 3 does not move when layer 2 does"]
    assert (found.confirmed, found.connections) == (CONNECTIONS - 1, CONNECTIONS)


def test_what_moves_though_its_weights_deny_it_is_said(tmp_path: Path) -> None:
    """A fault of ours would be one: the two ways to the answer check each other."""
    found = life(changed("torch"), tmp_path)
    wrong = replace(
        found, carried_sources={**found.carried_sources, layer(1, 2): np.array([True, False])}
    )
    file = tmp_path / "model.onnx"
    assert lines(probe_connections(wrong, onnx_reading(file), file)) == [
        "block 1, layer 2 moves when layer 1 does, though its weights say that it cannot"
    ]


def test_a_layer_that_is_not_apart_in_the_file_is_said(tmp_path: Path) -> None:
    """Its norm is folded into the layer before: between the two the file has no value."""
    (tmp_path / "variant.yaml").write_text(str(VARIANT))
    graph = build_graph(load_spec(str(tmp_path / "variant.yaml")))
    model = written(graph.ops.values(), STYLES["torch folded"])[0]
    found = probed(model, tmp_path, graph)
    assert len(found.not_run) == 4
    assert found.notes == (
        (
            "not probed: block 1, layer 1 (what it reads or gives is no tensor of the file), and "
            "3 more"
        ),
    )
    assert 0 < found.confirmed == found.connections
    whole = probed(written(graph.ops.values(), STYLES["torch"])[0], tmp_path, graph)
    assert (whole.notes, lines(whole)) == ((), [])


def of_type(model: Any, kind: int) -> Any:
    """The same network in other numbers."""
    wanted = helper.tensor_dtype_to_np_dtype(kind)
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            values = numpy_helper.to_array(tensor).astype(wanted)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = kind
    return model


def test_halves_are_run_too(tmp_path: Path) -> None:
    dead = without(f"{layer(1, 4)}.conv1.weight", channels(1, 2))
    model = of_type(changed("torch", dead), TensorProto.FLOAT16)
    assert [dead.source for dead in life(model, tmp_path).dead_connections] == ["layer 2"]
    found = probed(model, tmp_path)
    assert (found.confirmed, lines(found), found.notes) == (CONNECTIONS - 1, [], ())


def test_bfloat16_is_run_in_float32_and_that_is_said(tmp_path: Path) -> None:
    """ONNX Runtime has none on CPUs."""
    weights = {name: value.copy() for name, value in written(STEPS, STYLES["torch"])[1].items()}
    without(f"{layer(1, 4)}.conv1.weight", channels(1, 2))(weights)
    model = written(STEPS, replace(STYLES["torch"], opset=22), weights)[0]
    halve_numbers(model, "bfloat16")
    found = probed(model, tmp_path)
    assert (found.confirmed, found.connections) == (CONNECTIONS - 1, CONNECTIONS - 1)
    (note,) = found.notes
    assert "bfloat16 was probed in float32" in note


def test_what_does_not_run_at_all_is_no_certificate(tmp_path: Path) -> None:
    """Nothing was confirmed, and that is no success: of float64 no engine has convolutions."""
    model = of_type(changed("torch"), TensorProto.DOUBLE)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    assert certify_file(tmp_path / "model.onnx", "densenetbc_digits").is_equal
    with pytest.raises(ModelFileError, match=r"R006 cannot be probed, no part of it runs by itsel"):
        certify_file(tmp_path / "model.onnx", "densenetbc_digits", probe=True)


def test_weights_of_another_file_are_put_in(tmp_path: Path) -> None:
    """ONNX Runtime is never told to open a file that a file names."""
    name, model = f"{layer(1, 4)}.conv1.weight", changed("torch")
    values = next(tensor for tensor in model.graph.initializer if tensor.name == name).raw_data
    (tmp_path / "model.data").write_bytes(values)
    found = probed(kept_outside(model, name, "model.data"), tmp_path)
    assert (found.confirmed, found.notes) == (CONNECTIONS, ())
    reading = onnx_reading(tmp_path / "model.onnx")
    with values_of(tmp_path / "model.onnx") as opened:
        extractor = SubgraphExtractor(reading, opened)
        subgraph = extractor.extract([reading.graph.inputs[0]], [reading.graph.outputs[0]])
        assert b"model.data" not in subgraph.model
        (tmp_path / "model.data").unlink()
        with pytest.raises(NotExtractable, match="weights that cannot be read"):
            extractor.extract([reading.graph.inputs[0]], [reading.graph.outputs[0]])


def test_nothing_is_run_that_the_reader_does_not_know(tmp_path: Path) -> None:
    """A node beside the way is left out; one on it would not have been read at all."""
    model = changed("torch")
    image = model.graph.input[0].name
    model.graph.node.append(helper.make_node("Hardmax", [image], ["beside"], domain="evil"))
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    reading = onnx_reading(tmp_path / "model.onnx")
    with values_of(tmp_path / "model.onnx") as opened:
        extractor = SubgraphExtractor(reading, opened)
        subgraph = extractor.extract([reading.graph.inputs[0]], [reading.graph.outputs[0]])
        kinds = {node.op_type for node in onnx.ModelProto.FromString(subgraph.model).graph.node}
        assert "Hardmax" not in kinds
        with pytest.raises(NotExtractable):
            extractor.extract([reading.graph.inputs[0]], ["no such operator"])
    assert life(model, tmp_path).differences == ()


def test_onnx_runtime_may_refuse_a_part(tmp_path: Path) -> None:
    """Then nothing is said to be confirmed there."""
    model = changed("torch")
    model.opset_import[0].version = 2_000
    found = probed(model, tmp_path)
    assert (found.confirmed, found.connections) == (0, 0)
    assert "ONNX Runtime: " in found.not_run[0]
    assert found.notes[0].startswith("not probed: the stem (ONNX Runtime: ")


@pytest.fixture(scope="module")
def dead(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dead")
    model = changed("torch", without(f"{layer(1, 4)}.conv1.weight", channels(1, 2)))
    (folder / "dead.onnx").write_bytes(model.SerializeToString())
    return folder / "dead.onnx"


def test_certify_probes_as_it_is_told(dead: Path) -> None:
    ended = command("certify", dead, "densenetbc_digits", "--probe")
    assert (ended.returncode, ended.stderr) == (3, "")
    assert ended.stdout.splitlines() == [
        f"{dead} is not densenetbc_digits",
        "different: block 1, layer 4 reads layer 2 with weights that are all zero",
        (
            f"probe         {CONNECTIONS - 1} of {CONNECTIONS - 1} connections confirmed by ONNX "
            "Runtime"
        ),
    ]


def test_a_probe_needs_an_onnx_that_is_equal_otherwise(dead: Path, tmp_path: Path) -> None:
    (tmp_path / "some.mindir").write_bytes(b"\x0a")
    usage = command("certify", tmp_path / "some.mindir", "densenetbc_digits", "--probe")
    assert usage.returncode == 2
    assert "--probe" in usage.stderr
    other = command("certify", dead, "densenetbc_digits", "--set", "growth_rate=8", "--probe")
    assert other.returncode == 3
    assert "note: not probed: the network is another one" in other.stdout.splitlines()


def test_a_machine_without_onnx_runtime_is_told_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(EnvironmentFault, match=r"E009 .* \(pip install onnxruntime\)"):
        import_onnx_runtime()
