"""densenet export --precision: what is looked at before a file of smaller numbers is there, what it
costs, and who takes it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from conftest import densenet, passed
from PIL import Image

from archspec.certify.certify_file import certify_file
from archspec.errors import ArchspecError, Place
from archspec.runtime import prepare
from archspec.spec.load import load_spec
from archspec.spec.override import Override
from archspec.train import evaluate
from archspec.train.data.inputs import open_splits
from archspec.train.export import export_check
from archspec.train.export.calibration_images import (
    Calibration,
    choose_calibration_images,
    load_calibration_batches,
)
from archspec.train.export.export_onnx import export_onnx
from archspec.train.export.export_precision import (
    TOLERANCES,
    import_engine_for,
    measure_loss,
    reduce_precision,
)
from archspec.train.export.onnx_form import OnnxForm, Precision
from archspec.train.inference.open_trained import open_trained
from archspec.train.trained.engines import ENGINES

ROOT = Path(__file__).resolve().parents[2]
SMALLER: tuple[Precision, ...] = ("float16", "bfloat16", "int8")
ONE_IMAGE = 1 / 300
"""Of those that are judged."""


def metadata(file: Path) -> dict[str, str]:
    return {entry.key: entry.value for entry in onnx.load(file).metadata_props}


@pytest.fixture(scope="module")
def exported(digits_run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What was found out of a file in each precision, which lies where `file` says."""
    pytest.importorskip("openvino")
    prepare()
    run, found = open_trained(str(digits_run)), {}
    folder = tmp_path_factory.mktemp("smaller")
    for precision in SMALLER:
        form = OnnxForm(precision=precision)
        found[precision] = export_onnx(run, folder / f"{precision}.onnx", form=form)
    assert sorted(file.name for file in folder.iterdir()) == sorted(
        f"{precision}.onnx" for precision in SMALLER
    )
    return {**found, "folder": folder}


@pytest.mark.parametrize("precision", SMALLER)
def test_a_file_of_smaller_numbers_is_certified_run_and_says_what_it_is(
    precision: Precision, exported: dict[str, Any], digits_run: Path
) -> None:
    found, file = exported[precision], exported["folder"] / f"{precision}.onnx"
    assert (found.connections, found.loss.judged) == (20, 32)
    assert found.distance <= TOLERANCES["float32"] < found.loss.distance
    assert found.loss.distance <= TOLERANCES[precision]
    assert found.loss.agreeing >= 29
    said = metadata(file)
    assert said["precision"] == precision
    assert said["checked"].startswith("openvino" if precision == "bfloat16" else "onnxruntime")
    certificate = certify_file(file, digits_run / "spec.yaml")
    assert certificate.is_equal
    is_quantised = any("are quantised" in note for note in certificate.notes)
    assert is_quantised == (precision == "int8")


def test_int8_says_its_accuracy_before_and_after_and_what_it_was_calibrated_by(
    exported: dict[str, Any], digits_run: Path
) -> None:
    """On all held-out images; by training images, of which none is held out."""
    loss, file = exported["int8"].loss, exported["folder"] / "int8.onnx"
    run = open_trained(str(digits_run))
    wanted = evaluate(run)
    assert loss.before.top1 == wanted.top1
    assert abs(loss.after.top1 - wanted.top1) <= 5 * ONE_IMAGE
    assert loss.after.loss != loss.before.loss
    told = json.loads(metadata(file)["calibration"])
    assert told == {"method": "minmax", "images": 200}
    assert exported["int8"].calibrated == "200 images of digits"
    (note,) = [note for note in exported["int8"].notes if "quantised" in note]
    assert "(uint8)" in note
    assert "(int32, int8)" in note
    images = choose_calibration_images(run, Calibration()).arrays
    training = {image.tobytes() for image in open_splits(run.run).train.arrays}
    assert {image.tobytes() for image in images} <= training


@pytest.mark.parametrize("engine", ENGINES[".onnx"])
@pytest.mark.parametrize(
    "precision", [pytest.param("float16", marks=pytest.mark.slow), "bfloat16", "int8"]
)
def test_such_a_file_is_judged_by_each_engine(
    precision: Precision, engine: Any, exported: dict[str, Any], digits_run: Path
) -> None:
    """But for bfloat16 in ONNX Runtime, which says where it runs."""
    file = str(exported["folder"] / f"{precision}.onnx")
    if (precision, engine) == ("bfloat16", "onnxruntime"):
        with pytest.raises(ArchspecError, match=r"R006 onnxruntime: .*--engine openvino"):
            open_trained(file)
        return
    found = evaluate(open_trained(file, engine=engine), batch_size=50)
    wanted = evaluate(open_trained(str(digits_run)))
    assert found.images == wanted.images
    assert found.top1 == pytest.approx(wanted.top1, abs=5 * ONE_IMAGE)


def test_the_example_says_in_one_line_that_it_does_not_run_bfloat16(
    exported: dict[str, Any], digit_files: list[Path]
) -> None:
    program = [sys.executable, ROOT / "examples/run_onnx.py", exported["folder"] / "bfloat16.onnx"]
    done = subprocess.run([*program, *digit_files], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert "ONNX Runtime has no bfloat16 on CPUs" in line
    assert "--engine openvino" in line


@pytest.mark.slow
def test_what_a_file_of_smaller_numbers_costs_stands_on_the_screen(
    digits_run: Path, tmp_path: Path
) -> None:
    words = ("export", digits_run, "-o", "a.onnx", "--precision", "int8")
    told = passed(densenet(*words, "--calibration-images", 20, cwd=tmp_path))
    assert "are quantised: rounding and clipping are not compared" in told
    assert "calibrated by 20 images of digits\n" in told
    assert "ONNX Runtime gives what MindSpore gives, in float32, within " in told
    assert " of 32 images\n" in told[told.index("\nin int8 within ") :]
    before, after = (told.index(f"\n{numbers}: top-1 ") for numbers in ("float32", "int8"))
    assert before < after
    told = passed(densenet(*words, "--unchecked", cwd=tmp_path))
    assert "not run (--unchecked)" in told
    assert metadata(tmp_path / "a.onnx")["checked"].startswith("no")


@pytest.mark.parametrize(
    "form",
    [
        {"precision": "int8", "has_preprocess": True},
        {"precision": "float16", "has_preprocess": True},
        {"precision": "int8", "is_sized": False},
        {"precision": "int8", "batch": 3, "opset": 21},
        {"precision": "float16", "is_sized": False, "batch": 2},
        {"precision": "bfloat16", "is_sized": False},
    ],
    ids=lambda form: " ".join(map(str, form.values())),
)
@pytest.mark.slow
def test_smaller_numbers_go_with_other_forms_of_a_file(
    form: dict[str, Any], digits_run: Path, tmp_path: Path
) -> None:
    prepare()
    file = tmp_path / "preprocess.onnx"  # as a file beside it was once called
    found = export_onnx(open_trained(str(digits_run)), file, form=OnnxForm(**form))
    assert found.loss.agreeing >= 0.9 * found.loss.judged
    if "has_preprocess" in form:
        assert (found.prepared.levels, metadata(file)["preprocess"]) == (
            0,
            "in the file",
        )
        assert found.prepared.probabilities < 1e-4
    engine: Any = "openvino" if form["precision"] == "bfloat16" else "onnxruntime"
    judged = evaluate(open_trained(str(file), engine=engine))
    assert judged.top1 == pytest.approx(evaluate(str(digits_run)).top1, abs=5 * ONE_IMAGE)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-o", "a.mindir", "--precision", "int8"), ("--precision", "onnx")),
        (("-o", "a.onnx", "--calibrate", "."), ("--calibrate", "int8")),
        (("-o", "a.onnx", "--precision", "float16", "--calibration-images", 5), ("int8",)),
        (("-o", "a.onnx", "--precision", "fp16"), ("float16", "bfloat16")),
        (("-o", "a.onnx", "--precision", "int8", "--calibrate", "nothing"), ("nothing", "D001")),
        (("-o", "a.onnx", "--precision", "int8", "--calibrate", "empty"), ("empty", "D003")),
        (("-o", "a.onnx", "--precision", "int8", "--calibrate", "broken"), ("a.png", "D005")),
        (("-o", "a.onnx", "--precision", "bfloat16", "--opset", 18), ("W004", "Conv", "opset 18")),
        (("-o", "a.onnx", "--precision", "bfloat16", "--with-preprocess"), ("W004", "bfloat16")),
    ],
    ids=lambda each: " ".join(map(str, each)),
)
@pytest.mark.slow
def test_what_cannot_be_in_smaller_numbers_is_refused_and_leaves_nothing(
    arguments: tuple[object, ...], words: tuple[str, ...], digits_run: Path, tmp_path: Path
) -> None:
    for name in ("empty", "broken"):
        (tmp_path / name).mkdir()
    (tmp_path / "broken" / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n cut short")
    done = densenet("export", digits_run, *arguments, cwd=tmp_path)
    assert done.returncode in (1, 2), done.stdout
    assert all(word in done.stderr for word in words), done.stderr
    assert sorted(file.name for file in tmp_path.iterdir()) == ["broken", "empty"]


@pytest.mark.parametrize(
    ("precision", "package", "words"),
    [
        ("bfloat16", "openvino", "ONNX Runtime has no bfloat16 on CPUs: pip install openvino, or"),
        ("int8", "onnxruntime", "pip install onnxruntime: its quantiser is ONNX Runtime's"),
        ("float16", "onnxruntime", "pip install onnxruntime, or --unchecked"),
    ],
)
def test_what_a_precision_needs_is_named_where_it_is_missing(
    precision: Precision, package: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(ArchspecError, match="E009") as missing:
        import_engine_for(precision)
    assert words in str(missing.value)


def test_images_to_calibrate_by_come_from_any_folder(digits_run: Path, tmp_path: Path) -> None:
    """Without labels; the training part of a data set; as many as there are; always the same."""
    run = open_trained(str(digits_run))
    draw = np.random.default_rng(0)
    for name in ("plain/b", "set/train/0", "set/train/1", "set/val/0", "set/val/1"):
        (tmp_path / name).mkdir(parents=True)
        for number in range(3):
            pixels = draw.integers(0, 256, (9, 12), np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    plain = choose_calibration_images(run, Calibration(tmp_path / "plain", 9))
    assert [file.name for file in plain.files] == ["0.png", "1.png", "2.png"]
    learnt = choose_calibration_images(run, Calibration(tmp_path / "set", 9))
    assert {str(file.parent.relative_to(tmp_path)) for file in map(Path, learnt.files)} == {
        "set/train/0",
        "set/train/1",
    }
    few, again = (choose_calibration_images(run, Calibration(images=5)) for _ in range(2))
    assert len(few) == 5
    assert (few.arrays == again.arrays).all()
    batches = load_calibration_batches(run, plain, None)
    assert [batch.shape for batch in batches] == [(1, 1, 8, 8)] * 3
    of_spec = replace(run, run=None)
    for asked in (Calibration(judged_by=tmp_path / "set", images=9), Calibration(tmp_path / "set")):
        found = choose_calibration_images(of_spec, asked)
        assert {*map(str, found.files)} == {*map(str, learnt.files)}
    with pytest.raises(ArchspecError, match=r"W004 --calibrate is missing: no run"):
        choose_calibration_images(of_spec, Calibration(judged_by=tmp_path / "set" / "val"))
    (filled,) = load_calibration_batches(run, plain, 4)
    assert filled.shape == (4, 1, 8, 8)
    assert (filled[3] == filled[0]).all()
    with pytest.raises(ArchspecError, match=r"W004 --calibrate is missing: no run"):
        choose_calibration_images(replace(run, run=None), Calibration())


def test_broken_images_are_left_out_where_the_recipe_says_so(
    digits_run: Path, tmp_path: Path
) -> None:
    skips = [Override(("data.on_error", "skip"), Place("--set", "python"))]
    pixels = np.random.default_rng(0).integers(0, 256, (30, 30), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:300])
    for overrides, count in ((skips, 1), ([], 0)):
        run = open_trained(str(digits_run), recipe_overrides=overrides)
        images = choose_calibration_images(run, Calibration(tmp_path))
        batches = load_calibration_batches(run, images, None)
        if count:
            assert [len(batch) for batch in batches] == [count]
        else:
            with pytest.raises(ArchspecError, match="D005"):
                list(batches)


def test_filters_that_were_standardized_are_not_quantised(digits_run: Path, tmp_path: Path) -> None:
    """A file of int8 could not be certified."""
    run = open_trained(str(digits_run))
    layer = [{"conv": {"width": "k", "kernel": 3, "standardized": True, "weight_eps": 1e-5}}]
    spec = load_spec("densenetbc_digits", [("layer", layer)])
    form = OnnxForm(precision="int8")
    with pytest.raises(ArchspecError, match="W004 has standardized filters"):
        reduce_precision(replace(run, spec=spec), onnx.ModelProto(), tmp_path / "a.onnx", form)


@pytest.mark.parametrize(
    "precision", [*(pytest.param(each, marks=pytest.mark.slow) for each in SMALLER[:2]), "int8"]
)
def test_numbers_that_lose_too_much_are_not_written(
    precision: Precision, digits_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check is one that can fail; and it says what may help."""
    prepare()
    monkeypatch.setattr(export_check, "TOLERANCES", {**TOLERANCES, precision: 1e-7})
    run, form = open_trained(str(digits_run)), OnnxForm(precision=precision)
    with pytest.raises(ArchspecError, match=f"W005 is not written: .* in {precision}, ") as lost:
        export_onnx(run, tmp_path / "a.onnx", form=form)
    assert ("--calibrate" in str(lost.value)) == (precision == "int8")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_as_far_off_as_can_be(value: float) -> None:
    wanted = [np.ones((2, 3), np.float32)]
    made = [np.array([[1, 1, 1], [1, value, 1]], np.float32)]
    assert measure_loss(made, wanted).distance == np.inf
    assert measure_loss([np.ones((2, 4), np.float32)], wanted).distance == np.inf
    exact = measure_loss(wanted, wanted)
    assert (exact.distance, exact.agreeing, exact.judged) == (0, 2, 2)
    maps = np.ones((2, 5, 7, 7), np.float32)  # of a block, before what the head gives
    assert measure_loss([maps, *wanted], [maps, *wanted]).judged == 2


def test_another_quantised_network_or_pair_is_told_with_its_place(
    exported: dict[str, Any], tmp_path: Path
) -> None:
    file = exported["folder"] / "int8.onnx"
    certificate = certify_file(file, "densenetbc_digits", ["block_config=[4, 5]"])
    told = [difference.message for difference in certificate.differences]
    assert "block 2 has 4 layers, the spec says 5" in told
    model = onnx.load(file)
    first, second, *_ = (node for node in model.graph.node if node.op_type == "QuantizeLinear")
    first.input[1] = second.input[1]
    onnx.save(model, tmp_path / "a.onnx")
    with pytest.raises(ArchspecError, match=r"R008 .*_DequantizeLinear: DequantizeLinear has"):
        certify_file(tmp_path / "a.onnx", "densenetbc_digits")
