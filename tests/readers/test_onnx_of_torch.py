"""Files that PyTorch 2.13's two exporters wrote of one operator each compute what PyTorch computed.

`NAME_EXPORTER.onnx`; `recorded.npz` holds what they all read, `x`, and what PyTorch gave for each
NAME. The exporter is `torchscript` (opset 17) or `dynamo` (opset 18), with another opset behind it,
`free` where the batch is, and `unfolded` where weights are computed in the file: dynamo leaves that
to the reader for weights above 8192 values.
"""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import oracle
import pytest

from archspec.compare.compare import compare
from archspec.graph.ir import Graph, Op
from archspec.readers.onnx.read import read_onnx

FOLDER = Path(__file__).parent.parent / "cases" / "onnx"
FILES = sorted(FOLDER.glob("*.onnx"))
RECORDED = np.load(FOLDER / "recorded.npz")


def name_of(file: Path) -> str:
    return file.stem[: max(file.stem.find("_torchscript"), file.stem.find("_dynamo"))]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_file_of_torch_computes_what_torch_did(file: Path) -> None:
    """As ONNX Runtime runs it; and it is valid."""
    onnx.checker.check_model(str(file), full_check=True)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (given,) = session.run(None, {"x": RECORDED["x"]})
    assert oracle.distance(given, RECORDED[name_of(file)]) < 1e-5


FIRST = ("conv", {"in_channels": 3, "out_channels": 4, "kernel": 3, "stride": 1, "padding": 1})
LAST = (
    "conv",
    {"in_channels": 4, "out_channels": 2, "kernel": 1, "stride": 1, "padding": 0, "bias": True},
)
SECOND = ("conv", {**FIRST[1], "in_channels": 4, "bias": True})
RELU = ("relu", {})
READ = {
    "elu": ("elu", {"alpha": 1.0}),
    "elu_alpha": ("elu", {"alpha": 0.3}),
    "mish": ("mish", {}),
    "tanh": ("tanh", {}),
    "softplus": ("softplus", {"beta": 1.0}),
    "softplus_beta": ("softplus", {"beta": 1.5}),
    "hard_tanh": ("hard_tanh", {"low": -1.0, "high": 1.0}),
    "hard_tanh_bounds": ("hard_tanh", {"low": -0.5, "high": 2.0}),
    "hard_tanh_relu": ("hard_tanh", {"low": -1.0, "high": 1.0}),
    "scale": ("scale", {"value": 0.2}),
    **dict.fromkeys(
        ("layer_scale", "layer_scale_last", "layer_scale_view", "layer_scale_last_first"),
        ("scale", {"channels": 4, "initial": 1e-6}),
    ),
}
"""The operator of each file, between a convolution and a ReLU with another one."""
IN_A_SUM = {"layer_scale_first": READ["layer_scale"], "scale_residual": READ["scale"]}
"""Behind another convolution, its output added to the first."""
WITHOUT_RELU = ("hard_tanh", "hard_tanh_bounds")


def line_of(name: str) -> Graph:
    """What a file holds, one operator behind the other."""
    image = ("input", {"shape": RECORDED["x"].shape[1:]})
    middle = [SECOND, IN_A_SUM[name], ("add", {})] if name in IN_A_SUM else [READ[name]]
    steps = [image, FIRST, *middle, *([] if name in WITHOUT_RELU else [RELU]), LAST]
    reads = [(), *((f"s{at}",) for at in range(len(steps) - 1))]
    if name in IN_A_SUM:
        reads[4] = ("s1", "s3")
    ops = (Op(f"s{at}", kind, reads[at], attrs) for at, (kind, attrs) in enumerate(steps))
    return Graph.of(name, ops)


@pytest.mark.parametrize(
    "file",
    [file for file in FILES if name_of(file) in {*READ, *IN_A_SUM}],
    ids=lambda file: file.stem,
)
def test_a_file_of_torch_is_read_as_what_it_holds(file: Path) -> None:
    """Whichever exporter wrote it; dynamo joins a ReLU with the bounds before it."""
    compared = compare(line_of(name_of(file)), read_onnx(file))
    assert [str(line) for line in compared.differences] == []


def test_every_operator_has_a_file_of_each_exporter() -> None:
    """But for the RMS norm that PyTorch has itself, of which TorchScript knows nothing."""
    both = {(name_of(file), exporter) for file in FILES for exporter in file.stem.split("_")}
    missing = {
        (name, exporter)
        for name in RECORDED.files
        for exporter in ("torchscript", "dynamo")
        if name != "x" and (name, exporter) not in both
    }
    assert missing == {("rms_norm", "torchscript")}
