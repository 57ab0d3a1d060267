"""densenet export --optimize: what is said of it, what stands in the file, and who takes it."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from conftest import densenet, passed

from archspec.certify.certify_file import certify_file
from archspec.runtime import prepare
from archspec.train import evaluate
from archspec.train.export.export_onnx import export_onnx
from archspec.train.export.export_serving import export_serving
from archspec.train.export.onnx_form import OnnxForm
from archspec.train.inference.open_trained import open_trained
from archspec.train.trained.engines import load_network


def metadata(file: Path) -> dict[str, str]:
    return {entry.key: entry.value for entry in onnx.load(file).metadata_props}


def test_what_passes_did_stands_on_the_screen_and_in_the_file(
    digits_run: Path, tmp_path: Path
) -> None:
    """Every norm is a part of a convolution, or a scale and a shift; the next command takes it."""
    told = passed(densenet("export", digits_run, "-o", "a.onnx", "--optimize", "all", cwd=tmp_path))
    costs = r"operators [\d,]+ -> [\d,]+, parameters [\d,]+ -> [\d,]+, bytes moved .* MB an image"
    names = ["norms folded into convolutions", "norms written as scale and shift"]
    for name in names:
        assert re.search(f"^{name}: {costs}$", told, re.MULTILINE), told
    assert "within " in told
    (following,) = re.findall(r"^Next: densenet (.*)$", told, re.MULTILINE)
    assert following.endswith(" --optimized")
    taken = passed(densenet(*following.split(), cwd=tmp_path))
    assert "batch norms are folded into the convolution before" in taken
    assert "batch norms are written as a scale and a shift" in taken
    said = metadata(tmp_path / "a.onnx")
    assert (said["optimize"], json.loads(said["passes"])) == ("all", names)
    kinds = Counter(node.op_type for node in onnx.load(tmp_path / "a.onnx").graph.node)
    assert kinds["BatchNormalization"] == 0
    assert kinds["Mul"] == kinds["Add"] > 0


@pytest.mark.slow
def test_that_there_is_nothing_to_do_is_said(digits_run: Path, tmp_path: Path) -> None:
    told = passed(
        densenet("export", digits_run, "-o", "a.onnx", "--optimize", "basic", cwd=tmp_path)
    )
    assert "\n--optimize basic: nothing to do\n" in told
    assert json.loads(metadata(tmp_path / "a.onnx")["passes"]) == []


def test_by_default_norms_stand_in_the_file(digits_run: Path, tmp_path: Path) -> None:
    """And nothing is said of passes."""
    file = tmp_path / "a.onnx"
    prepare()
    assert export_onnx(open_trained(str(digits_run)), file).passes == ()
    assert metadata(file).keys().isdisjoint({"optimize", "passes"})
    assert "BatchNormalization" in {node.op_type for node in onnx.load(file).graph.node}


FORMS: tuple[dict[str, Any], ...] = (
    {"is_sized": False, "opset": 21},
    {"batch": 3, "has_preprocess": True},
    {"precision": "float16"},
    {"precision": "bfloat16"},
    {"precision": "int8"},
    {"precision": "int8", "has_preprocess": True},
)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: " ".join(map(str, form.values())))
@pytest.mark.slow
def test_it_goes_with_all_other_forms_of_a_file(
    form: dict[str, Any], digits_run: Path, tmp_path: Path
) -> None:
    """Judged as the run is; certified unless it prepares images itself."""
    pytest.importorskip("openvino")
    prepare()
    file = tmp_path / "a.onnx"
    export_onnx(open_trained(str(digits_run)), file, form=OnnxForm(optimize="all", **form))
    engine: Any = "openvino" if form.get("precision") == "bfloat16" else "onnxruntime"
    judged = evaluate(open_trained(str(file), engine=engine))
    assert judged.top1 == pytest.approx(evaluate(str(digits_run)).top1, abs=5 / 300)
    assert metadata(file)["optimize"] == "all"
    if "has_preprocess" not in form:
        assert certify_file(file, digits_run / "spec.yaml", optimized=True).is_equal


@pytest.mark.slow
def test_it_goes_into_a_folder_of_models(digits_run: Path, tmp_path: Path) -> None:
    prepare()
    run = open_trained(str(digits_run))
    export_serving(run, tmp_path, "triton", form=OnnxForm(optimize="all"))
    (file,) = tmp_path.rglob("model.onnx")
    assert certify_file(file, digits_run / "spec.yaml").is_equal
    images = np.zeros((1, 1, 8, 8), np.float32)
    assert np.isfinite(load_network(file, "onnxruntime").compute(images)[0]).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-o", "a.mindir", "--optimize", "all"), ("--optimize", "goes with --format onnx")),
        (("-o", "a.py", "--optimize", "basic"), ("--optimize", "goes with --format onnx")),
        (("-o", "a.onnx", "--optimize", "fast"), ("none", "basic", "all")),
    ],
    ids=lambda each: " ".join(map(str, each)),
)
def test_what_is_no_onnx_or_no_level_is_refused(
    arguments: tuple[object, ...], words: tuple[str, ...], tmp_path: Path
) -> None:
    done = densenet("export", "nothing", *arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stdout
    assert all(word in done.stderr for word in words), done.stderr
    assert [*tmp_path.iterdir()] == []
