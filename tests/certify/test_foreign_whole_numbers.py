"""Files of whole numbers by ONNX Runtime's quantiser as it comes: it puts pairs behind everything,
inside norms and paddings too, and leaves out what a pair cuts off anyway.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import oracle
import pytest
from onnx import numpy_helper
from onnxruntime import quantization
from writers.operator_networks import CASES, settings_of
from writers.test_onnx import images_of, run

from archspec.certify.certify_file import certify_file
from archspec.errors import ModelFileError
from archspec.graph.build import build_graph
from archspec.graph.ir import Graph
from archspec.spec.spec import Spec
from archspec.writers.onnx.model import make_onnx

CONV = {"conv": {"width": "k", "kernel": 3}}
WIDE = {
    "input": {"channels": 3, "height": 16, "width": 16},
    "growth_rate": 12,
    "stem": {"channels": 12, "kernel": 3, "stride": 1, "norm": False, "pool": "none"},
    "head": {"num_classes": 20},
}
"""So that values of both signs are met."""
SPECS: dict[str, dict[str, Any]] = {
    "gates": {"layer": ["norm", "activation", CONV, {"squeeze_excite": {"reduction": 2}}]},
    "ReLU6 beside gates": {
        "layer": [
            *("norm", {"activation": "relu6"}, CONV),
            {"squeeze_excite": {"reduction": 2, "gate": "hard_sigmoid"}},
        ]
    },
    **{
        name: {**CASES[name], "head": {"num_classes": 20}}
        for name in ("layer norm", "group norm", "instance norm", "blur pools")
    },
    "rms norm": {"norm": {"kind": "rms"}},
    "pixels and channels": CASES["pixels and channels"],
    "groups and a shuffle": CASES["groups and a shuffle"],
}
QUICK = ("ReLU6 beside gates", "layer norm", "group norm", "blur pools")
TYPES = {
    "uint8": {},
    "int8": {"activation_type": quantization.QuantType.QInt8, "per_channel": True},
    "uint16": {"activation_type": quantization.QuantType.QUInt16},
}


class Images(quantization.CalibrationDataReader):  # type: ignore[misc]
    """Noise and colours."""

    def __init__(self, graph: Graph) -> None:
        (name,) = graph.inputs
        self.given = ({name: images} for images in self.draw(images_of(graph).shape))

    def draw(self, shape: tuple[int, ...]) -> Iterator[Any]:
        random = np.random.default_rng(3)
        for _ in range(20):
            colours = 2 * random.normal(size=(*shape[:2], 1, 1))
            yield (random.normal(size=shape) + colours).astype(np.float32)

    def get_next(self) -> Any:
        return next(self.given, None)


def made_of(name: str, folder: Path, kind: str = "uint8") -> tuple[Spec, dict[str, Any], Path]:
    """A spec, its weights, and the file of whole numbers."""
    spec = Spec.model_validate(settings_of(**{**WIDE, **SPECS[name]}))
    graph = build_graph(spec)
    tensors = dict(oracle.random_parameters(graph.ops.values(), 0))
    onnx.save(make_onnx(graph, tensors), folder / "float.onnx")
    whole = folder / "whole.onnx"
    quantization.quantize_static(folder / "float.onnx", whole, Images(graph), **TYPES[kind])
    files = (whole, folder / "float.onnx")
    made, wanted = (run(file.read_bytes(), images_of(graph)) for file in files)
    assert np.abs(made[-1] - wanted[-1]).max() < 0.2 * np.abs(wanted[-1]).max()
    return spec, tensors, whole


def cases() -> list[Any]:
    found = []
    for name in SPECS:
        for kind in TYPES:
            is_quick = name in QUICK and kind == "uint8"
            found.append(pytest.param(name, kind, marks=[] if is_quick else [pytest.mark.slow]))
    return found


@pytest.mark.parametrize(("name", "kind"), cases())
def test_a_network_that_is_rounded_everywhere_is_the_specs(
    name: str, kind: str, tmp_path: Path
) -> None:
    """With all of its weights; and no longer where a pair leaves nothing of what it rounds."""
    spec, tensors, file = made_of(name, tmp_path, kind)
    found = certify_file(file, spec, tensors=tensors)
    assert [each.message for each in found.differences] == []
    assert found.given is not None
    assert found.given.left_out == ()
    model = onnx.load(file)
    pairs = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
    for pair in (pairs[len(pairs) // 3], pairs[len(pairs) // 2]):
        spoilt = onnx.ModelProto.FromString(model.SerializeToString())
        give_steps(spoilt, pair.output[0], 1e6)
        onnx.save(spoilt, tmp_path / "spoilt.onnx")
        codes = {each.code for each in certify_file(tmp_path / "spoilt.onnx", spec).differences}
        assert codes == {"R113"}, pair.input[0]


def give_steps(model: Any, whole: str, scale: float) -> None:
    """Give a pair a scale of its own."""
    model.graph.initializer.append(numpy_helper.from_array(np.float32(scale), "of its own"))
    for node in model.graph.node:
        if whole in (*node.output, node.input[0] if node.input else ""):
            node.input[1] = "of its own"


def test_a_pair_that_ends_above_6_stands_for_no_relu6(tmp_path: Path) -> None:
    spec, _, file = made_of("ReLU6 beside gates", tmp_path)
    model = onnx.load(file)
    held = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    pair = next(
        node
        for node in model.graph.node
        if node.op_type == "QuantizeLinear" and "relu6" in node.input[0]
    )
    assert held[pair.input[1]] * 255 <= 6.000001
    give_steps(model, pair.output[0], 6.1 / 255)
    onnx.save(model, file)
    (fault,) = certify_file(file, spec).differences
    assert "relu, the spec says relu6" in fault.message


def test_a_rounded_padding_of_another_number_than_zero_is_refused(tmp_path: Path) -> None:
    """It might be cut off, as the least number beside a maximum would be."""
    spec, _, file = made_of("blur pools", tmp_path)
    model = onnx.load(file)
    (pad, *_) = (node for node in model.graph.node if node.op_type == "Pad")
    for attribute in pad.attribute:
        attribute.s = b"constant"
    model.graph.initializer.append(numpy_helper.from_array(np.float32(-1), "lowest"))
    pad.input.append("lowest")
    onnx.save(model, file)
    with pytest.raises(ModelFileError, match=r"R008 .* rounds a padding of -1\.0"):
        certify_file(file, spec)
