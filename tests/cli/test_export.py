"""densenet export, as ONNX: what is looked at before the file is there, and what it says."""

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import densenet, passed, refused

from archspec.errors import ArchspecError
from archspec.runtime import prepare
from archspec.train import evaluate, predict
from archspec.train.evaluation.engines import ENGINES
from archspec.train.evaluation.export_onnx import OnnxForm, export_onnx
from archspec.train.evaluation.export_python import export_python
from archspec.train.evaluation.open_trained import open_trained
from archspec.train.evaluation.trained import Trained

ROOT = Path(__file__).resolve().parents[2]


def metadata(file: Path) -> dict[str, str]:
    return {entry.key: entry.value for entry in onnx.load(file).metadata_props}


@pytest.fixture(scope="module")
def no_runtime(tmp_path_factory):
    """An environment in which onnxruntime is not installed."""
    folder = tmp_path_factory.mktemp("blocked")
    (folder / "onnxruntime.py").write_text("raise ImportError('not installed')\n")
    return {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}


def test_an_onnx_is_read_back_and_run_and_gives_what_predict_gives(
    digits_run, digit_files, tmp_path
):
    """By a program that knows nothing of this package; parent folders are made."""
    file = tmp_path / "new" / "folder" / "digits.onnx"
    told = passed(densenet("export", digits_run, "-o", file, cwd=tmp_path))
    assert "certified: 20 direct connections" in told
    assert re.search(r"within \de-0[678] of the largest output, on 8 of digits", told)
    assert [entry.name for entry in file.parent.iterdir()] == ["digits.onnx"]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(file.stat().st_mode) == 0o666 & ~umask
    program = [sys.executable, ROOT / "examples/run_onnx.py", file, *digit_files]
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    prepare()
    guesses = zip(digit_files, predict(str(digits_run), digit_files), strict=True)
    wanted = [f"{image}: {name} {share:.1%}" for image, [(name, share), *_] in guesses]
    assert done.stdout.splitlines() == wanted
    assert metadata(file)["checked"].startswith("onnxruntime 1.")


def test_without_onnx_runtime_nothing_is_written_unless_that_is_said(
    digits_run, no_runtime, tmp_path
):
    """And then the file says so."""
    refused(
        densenet("export", digits_run, "-o", "a.onnx", cwd=tmp_path, env=no_runtime),
        "E009",
        "--unchecked",
    )
    assert not list(tmp_path.iterdir())
    arguments = ("export", digits_run, "-o", "a.onnx", "--unchecked")
    assert "not run" in passed(densenet(*arguments, cwd=tmp_path, env=no_runtime))
    assert metadata(tmp_path / "a.onnx")["checked"].startswith("no")
    assert json.loads(metadata(tmp_path / "a.onnx")["classes"]) == [*map(str, range(10))]


def test_an_onnx_that_gives_something_else_is_not_written(digits_run, tmp_path, monkeypatch):
    """The check is one that can fail: of a network with other weights it does."""
    prepare()
    trained = open_trained(str(digits_run))
    network = trained.network()
    for parameter in network.get_parameters():
        parameter.set_data(parameter * 1.01)
    monkeypatch.setattr(Trained, "network", lambda self: network)
    with pytest.raises(ArchspecError, match="W005 is not written: ONNX Runtime gives"):
        export_onnx(trained, tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("engine", ENGINES)
def test_an_exported_file_answers_and_is_judged_as_the_run_is(
    digits_run, digit_files, engine, tmp_path
):
    """Image by image, by each engine; a fixed batch is filled up."""
    pytest.importorskip(engine, reason=f"{engine} is not installed")
    prepare()
    run = open_trained(str(digits_run))
    file = tmp_path / "digits.onnx"
    export_onnx(run, file, form=OnnxForm(batch=3, is_checked=False))
    exported = open_trained(str(file), engine=engine)
    for found, wanted in zip(
        predict(exported, digit_files), predict(run, digit_files), strict=True
    ):
        assert [name for name, _ in found] == [name for name, _ in wanted]
        shares = [[share for _, share in guesses] for guesses in (found, wanted)]
        assert np.allclose(*shares, atol=1e-6)
    found, wanted = (evaluate(network, batch_size=50) for network in (exported, run))
    assert (found.top1, found.images) == (wanted.top1, wanted.images)
    assert found.loss == pytest.approx(wanted.loss, abs=1e-5)


def test_a_file_that_does_not_say_what_it_is_is_no_network_to_ask(digit_files, tmp_path):
    """Foreign, cut short, no ONNX, gone; and what is said of weights, which it has."""
    model = onnx.helper.make_model(onnx.helper.make_graph([], "empty", [], []))
    (tmp_path / "foreign.onnx").write_bytes(model.SerializeToString())
    (tmp_path / "text.onnx").write_text("nothing")
    for name, words in (
        ("foreign.onnx", "R004 does not say which network it is"),
        ("text.onnx", "R006 is no ONNX"),
        ("gone.onnx", "R005 cannot be read: No such file"),
    ):
        with pytest.raises(ArchspecError, match=words):
            open_trained(str(tmp_path / name))
    with pytest.raises(ArchspecError, match=r"R004 .*leave out --ckpt, --ema"):
        open_trained("a.onnx", ckpt=Path("b.ckpt"), ema=True)
    with pytest.raises(ArchspecError, match="R004 openvino runs exported files"):
        open_trained("densenet121", engine="openvino")


def test_python_code_and_its_weights_give_the_runs_outputs_without_this_package(
    digits_run, tmp_path
):
    """To the last bit."""
    prepare()
    run = open_trained(str(digits_run))
    assert "certified: 20 of 20" in export_python(run, tmp_path / "new" / "digits.py")
    code = """if True:
        import mindspore as ms, numpy as np, sys
        from digits import Network
        network = Network()
        missing = ms.load_param_into_net(network, ms.load_checkpoint("digits.ckpt"))
        images = np.random.default_rng(0).normal(size=(5, 1, 8, 8)).astype(np.float32)
        made = network.set_train(False)(ms.Tensor(images)).asnumpy()
        assert not [name for name in sys.modules if name.startswith("archspec")]
        np.save("made.npy", made); print(missing)
    """
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path / "new",
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "([], [])\n"
    import mindspore as ms

    images = np.random.default_rng(0).normal(size=(5, 1, 8, 8)).astype(np.float32)
    wanted = run.network()(ms.Tensor(images)).asnumpy()
    assert (np.load(tmp_path / "new" / "made.npy") == wanted).all()


def test_sizes_of_images_may_be_free_and_the_file_is_still_certified(digits_run, tmp_path):
    """A batch may be fixed at once; images of another size are run."""
    arguments = ("export", digits_run, "-o", "a.onnx", "--dynamic-size", "--unchecked")
    passed(densenet(*arguments, cwd=tmp_path))
    passed(densenet("certify", "a.onnx", digits_run, cwd=tmp_path))
    import onnxruntime

    session = onnxruntime.InferenceSession(tmp_path / "a.onnx", providers=["CPUExecutionProvider"])
    images = np.zeros((3, 1, 12, 20), np.float32)
    assert session.run(None, {session.get_inputs()[0].name: images})[0].shape == (3, 10)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-o", "a.mindir", "--opset", 18), ("--opset", "onnx")),
        (("--dynamic-size",), ("--dynamic-size", "onnx")),
        (("--format", "onnx", "-o", "a.mindir"), ("W001", ".onnx")),
        (("-o", "a.tflite"), ("W001", ".mindir, .onnx, .py")),
        (("-o", "a.onnx", "--opset", 99), ("W004", "18 to")),
        (("-o", "file/a.onnx", "--unchecked"), ("W002", "file/a.onnx")),
        (("-o", "file/a.mindir"), ("W002", "file/a.mindir")),
        (("-o", "a.onnx", "--data-dir", "nothing"), ("nothing", "D0")),
    ],
    ids=lambda each: " ".join(map(str, each)),
)
def test_what_cannot_be_exported_so_is_refused_and_leaves_nothing(
    digits_run, arguments, words, tmp_path
):
    (tmp_path / "file").touch()
    done = densenet("export", digits_run, *arguments, cwd=tmp_path)
    assert done.returncode in (1, 2)
    assert all(word in done.stderr for word in words), done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
