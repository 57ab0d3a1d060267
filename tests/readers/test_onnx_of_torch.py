"""Files that PyTorch 2.13's two exporters wrote of one operator each compute what PyTorch computed.

`NAME_EXPORTER.onnx`; `recorded.npz` holds what they all read, `x`, and what PyTorch gave for each NAME. The exporter is
`torchscript` (opset 17) or `dynamo` (opset 18), with another opset behind it, `free` where the batch is, and
`unfolded` where weights are computed in the file: dynamo leaves that to the reader for weights above 8192 values.
"""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import oracle
import pytest

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
