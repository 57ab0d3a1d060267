"""How an ONNX file ends, the order of its nodes, and constants that are filled."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from readers.onnx_styles import STYLES, File, Style, densenet, finished, run, written

from archspec.certify.liveness import check_liveness
from archspec.compare.compare import Comparison, compare
from archspec.errors import ModelFileError
from archspec.graph.build import build_graph
from archspec.graph.digest import structure_digest
from archspec.readers.onnx.read import OnnxReading, onnx_reading
from archspec.spec.load import load_spec

DIGITS = build_graph(load_spec("densenetbc_digits"))
STEPS = densenet([4, 4], 12, (1, 8, 8), 10, imagenet=False)
IMAGES = np.random.default_rng(4).normal(size=(2, 1, 8, 8)).astype(np.float32)


def reading_of(model: Any, folder: Path) -> OnnxReading:
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return onnx_reading(folder / "model.onnx")


def compared(model: Any, folder: Path, *overrides: str) -> Comparison:
    spec = build_graph(load_spec("densenetbc_digits", list(overrides)))
    return compare(spec, reading_of(model, folder).graph)


def lines(comparison: Comparison) -> list[str]:
    return [difference.message for difference in comparison.differences]


def fault_of(model: Any, folder: Path) -> str:
    with pytest.raises(ModelFileError) as caught:
        reading_of(model, folder)
    return "; ".join(f"{fault.code} {fault.message}" for fault in caught.value.diagnostics)


# ---- order


@pytest.mark.parametrize("style", STYLES)
def test_nodes_in_any_order_are_read(style: str, tmp_path: Path) -> None:
    """ONNX Runtime sorts them too; nothing else of the file changes."""
    model = written(STEPS, STYLES[style])[0]
    images = IMAGES if STYLES[style].batch != 3 else np.concatenate([IMAGES, IMAGES[:1]])
    right, graph = run(model, images), reading_of(model, tmp_path).graph
    nodes = list(model.graph.node)
    for order in (nodes[::-1], random.Random(1).sample(nodes, len(nodes))):
        del model.graph.node[:]
        model.graph.node.extend(order)
        np.testing.assert_array_equal(run(model, images), right)
        found = reading_of(model, tmp_path).graph
        assert structure_digest(found) == structure_digest(graph)
        assert lines(compare(DIGITS, found)) == []


def test_a_cycle_has_no_order(tmp_path: Path) -> None:
    """Of one node, of two, and of what else reads them."""
    for reads, cycle in (("a", "Relu"), ("b", "Sigmoid")):
        model = written(STEPS, STYLES["torch"])[0]
        model.graph.node.append(helper.make_node(cycle, [reads], ["a"]))
        model.graph.node.append(helper.make_node("Relu", ["a"], ["b"]))
        assert fault_of(model, tmp_path) == (
            f"R007 {reads} is read before anything makes it: it is missing, or a cycle"
        )


# ---- softmax


def ending(kind: str, opset: int, **attrs: Any) -> Any:
    """The network with one more node at its end."""
    model = written(STEPS, Style(opset=opset))[0]
    model.graph.node.append(helper.make_node(kind, [model.graph.output[0].name], ["end"], **attrs))
    model.graph.output[0].name = "end"
    return model


@pytest.mark.parametrize("kind", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize(
    ("opset", "attrs"), [(11, {}), (13, {}), (13, {"axis": 1}), (17, {"axis": -1})]
)
def test_a_file_may_end_in_a_softmax(
    kind: str, opset: int, attrs: dict[str, int], tmp_path: Path
) -> None:
    model = ending(kind, opset, **attrs)
    shares = run(model, IMAGES)
    np.testing.assert_allclose(
        (shares if kind == "Softmax" else np.exp(shares)).sum(axis=1), 1, rtol=1e-5
    )
    reading = reading_of(model, tmp_path)
    assert lines(compare(DIGITS, reading.graph)) == []
    assert reading.notes == (
        f"the file ends in {kind}, which no spec has: the network before it is compared",
    )


def test_a_softmax_over_the_batch_is_refused(tmp_path: Path) -> None:
    assert "Softmax is not taken over the channels" in fault_of(
        ending("Softmax", 13, axis=0), tmp_path
    )


def test_a_softmax_that_is_read_is_refused(tmp_path: Path) -> None:
    model = ending("Softmax", 17)
    model.graph.node.append(helper.make_node("Relu", ["end"], ["after"]))
    model.graph.output[0].name = "after"
    assert "Relu reads part of a Softmax" in fault_of(model, tmp_path)


def test_classes_of_each_pixel_may_end_in_a_softmax(tmp_path: Path) -> None:
    """Over the channels; before opset 13 it is taken over all pixels, which is something else."""
    for opset, pixelwise in ((17, True), (11, False)):
        file = File(Style(opset=opset))
        model = finished(file, "x", ("N", 4, 8, 8), file.node("Softmax", "x", axis=1))
        if pixelwise:
            assert reading_of(model, tmp_path).notes
        else:
            assert "not taken over the channels of each pixel" in fault_of(model, tmp_path)


# ---- several outputs

BLOCKS = ("features.denseblock1.concat", "features.denseblock2.concat")


@pytest.mark.parametrize("style", ["torch", "torch folded", "running", "mindcv"])
def test_features_are_outputs(style: str, tmp_path: Path) -> None:
    """In the spec's order, and before the head's."""
    both = written(STEPS, STYLES[style], outputs=BLOCKS)[0]
    assert lines(compared(both, tmp_path, "features=[1,2]")) == []
    first = written(STEPS, STYLES[style], outputs=BLOCKS[:1])[0]
    assert lines(compared(first, tmp_path, "features=[1]")) == []


@pytest.mark.parametrize(
    ("outputs", "features"),
    [
        (BLOCKS, "[1]"),
        (BLOCKS[:1], "[1,2]"),
        ((), "[2]"),
        (BLOCKS[::-1], "[1,2]"),
        (BLOCKS[:1], "[2]"),
    ],
)
def test_other_outputs_are_a_difference(
    outputs: tuple[str, ...], features: str, tmp_path: Path
) -> None:
    """One too many, one missing, another order, another block's."""
    model = written(STEPS, STYLES["torch"], outputs=outputs)[0]
    assert lines(compared(model, tmp_path, f"features={features}"))


def test_a_backbone_without_a_head_is_read(tmp_path: Path) -> None:
    names = [step.name for step in STEPS]
    model = written(STEPS[: names.index(BLOCKS[1]) + 1], STYLES["torch"], outputs=BLOCKS[:1])[0]
    assert lines(compared(model, tmp_path, "features=[1,2]", "head=none")) == []


# ---- constants


def test_sizes_may_be_filled(tmp_path: Path) -> None:
    """A padding of zeros and ones, put together of constants that a node fills."""

    def fill(file: File, value: int) -> str:
        tensor = helper.make_tensor("value", onnx.TensorProto.INT64, [1], [value])
        return file.node("ConstantOfShape", file.sizes(2), value=tensor)

    file = File(Style(opset=13))
    pads = file.node("Concat", *(fill(file, value) for value in (0, 1, 0, 1)), axis=0)
    x = file.node("Pad", "x", pads)
    model = finished(
        file, "x", ("N", 4, 8, 8), file.node("Conv", x, file.constant(np.ones((4, 4, 3, 3))))
    )
    run(model, np.ones((1, 4, 8, 8), np.float32))
    found = reading_of(model, tmp_path).graph
    assert found.ops[found.outputs[0]].attrs["padding"] == 1


@pytest.mark.parametrize("channels", [4, 64])
def test_weights_may_be_filled(channels: int, tmp_path: Path) -> None:
    """Few values or many: a filter that is filled with zeros passes nothing, and with ones all."""
    for value, is_zero in ((0.0, True), (1.0, False)):
        model = written(STEPS, STYLES["torch"])[0]
        name = (
            "features.conv0.weight"
            if channels == 4
            else "features.denseblock2.denselayer4.conv2.weight"
        )
        weight = next(tensor for tensor in model.graph.initializer if tensor.name == name)
        dims = numpy_helper.from_array(np.array(weight.dims), "dims")
        tensor = helper.make_tensor("value", onnx.TensorProto.FLOAT, [1], [value])
        model.graph.initializer.remove(weight)
        model.graph.initializer.append(dims)
        model.graph.node.insert(
            0, helper.make_node("ConstantOfShape", ["dims"], [name], value=tensor)
        )
        run(model, IMAGES)
        reading = reading_of(model, tmp_path)
        comparison = compare(DIGITS, reading.graph)
        assert lines(comparison) == []
        life = check_liveness(comparison.match, reading, tmp_path / "model.onnx")
        assert (bool(life.dead_connections), life.unreadable) == (is_zero, ())


def test_constants_of_one_name_are_not_shared(tmp_path: Path) -> None:
    """Exporters call the tensor of each Constant `value`, and may call all such nodes alike."""
    model = written(STEPS, STYLES["view"])[0]
    for node in model.graph.node:
        if node.op_type == "Constant":
            node.name, node.attribute[0].t.name = "Constant", "value"
    run(model, IMAGES)
    assert lines(compared(model, tmp_path)) == []
