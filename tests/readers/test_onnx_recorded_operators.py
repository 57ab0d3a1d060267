"""Files that PyTorch's two exporters wrote of one operator each are read as that operator,
with its attributes.

What the files are is told in test_onnx_of_torch.py, which holds that they compute what PyTorch did.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import oracle
import pytest
from readers.test_onnx_of_torch import FILES, FOLDER, RECORDED, name_of

from archspec.readers.onnx.read import onnx_reading
from archspec.readers.tensors import values_of

FIRST = ("conv", {"in_channels": 3, "out_channels": 4, "kernel": 3, "padding": 1})
NORM = {"channels": 4, "eps": 1e-5}
CORNERS = ("upsample", {"factor": 2, "mode": "bilinear", "align_corners": True})
MAXIMUM = [("relu", {}), ("global_max_pool", {}), ("dense", {"in_channels": 4, "out_channels": 2})]
Known = tuple[str, Mapping[str, Any]]


def last(channels: int) -> Known:
    return ("conv", {"in_channels": channels, "out_channels": 2, "kernel": 1, "bias": True})


def then(kind: str, channels: int = 4, /, **attrs: Any) -> list[Known]:
    """The operator itself, what stands behind it, and how many channels that reads."""
    return [(kind, attrs), ("relu", {}), last(channels)]


EXPECTED: Mapping[str, list[Known]] = {
    "drop_path": [("relu", {}), last(4)],
    "dropout2d": [("relu", {}), last(4)],
    "instance_norm": then("instance_norm", **NORM),
    "group_norm_of_one": then("group_norm", **NORM, groups=4),
    **{
        name: then("rms_norm", channels=4, eps=1e-6)
        for name in ("rms_norm", "rms_norm_rsqrt", "rms_norm_sqrt", "rms_norm_first")
    },
    "pixel_shuffle": then("pixel_shuffle", 1, factor=2),
    "pixel_unshuffle": then("pixel_unshuffle", 16, factor=2),
    "global_max_pool": MAXIMUM,
    "global_max_pool_amax": MAXIMUM,
    "global_max_pool_keep": [
        ("global_max_pool", {"keep": True}),
        ("conv", {"in_channels": 4, "out_channels": 4, "kernel": 1, "bias": True}),
        ("sigmoid", {}),
        ("multiply", {}),
        last(4),
    ],
    "align_corners": [CORNERS, ("relu", {}), last(4)],
    "align_corners_to": [("avg_pool", {"kernel": 2}), CORNERS, ("concat", {}), last(8)],
}
ROLES = {
    "instance_norm": ("gamma", "beta"),
    "group_norm": ("gamma", "beta"),
    "rms_norm": ("gamma",),
}
OURS = [file for file in FILES if name_of(file) in EXPECTED]


def test_each_of_these_operators_has_a_file() -> None:
    """So that none of the cases is empty."""
    assert {name_of(file) for file in OURS} == {*EXPECTED}


@pytest.mark.parametrize("file", OURS, ids=lambda file: file.stem)
def test_a_file_of_torch_is_read_as_its_operator(file: Any) -> None:
    """Kinds and attributes; with its weights the NumPy forward gives what PyTorch gave."""
    reading = onnx_reading(file)
    ops = [op for op in reading.graph.ops.values() if op.kind != "input"]
    expected = [FIRST, *EXPECTED[name_of(file)]]
    assert [op.kind for op in ops] == [kind for kind, _ in expected]
    for op, (_, attrs) in zip(ops, expected, strict=True):
        assert {**op.attrs, **attrs} == op.attrs
    weights = dict[str, Any]()
    with values_of(file) as values:
        for name, known in reading.weights.items():
            roles = ROLES.get(reading.graph.ops[name].kind, ("weight", "bias"))
            for role, source in zip(roles, (*known.scales, *known.others), strict=False):
                found = values.of(source)
                weights[f"{name}.{role}"] = found if role == "weight" else found.reshape(-1)
    given = oracle.forward(reading.graph.ops.values(), weights, RECORDED["x"])
    assert oracle.distance(given, RECORDED[name_of(file)]) < 1e-5


def test_a_shuffle_in_another_order_of_channels_is_refused(tmp_path: Any) -> None:
    """TensorFlow's takes a square's pixels from all over the channels."""
    import onnx

    from archspec.errors import ModelFileError

    model = onnx.load(FOLDER / "pixel_shuffle_dynamo.onnx")
    (node,) = (node for node in model.graph.node if node.op_type == "DepthToSpace")
    for mode in node.attribute:
        if mode.name == "mode":
            mode.s = b"DCR"
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(ModelFileError, match="as TensorFlow does"):
        onnx_reading(tmp_path / "other.onnx")
