"""densenet export, as ONNX: what is looked at before the file is there, and what it says."""

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import densenet, passed, refused, started
from PIL import Image

from archspec.certify.certify_file import certify_file
from archspec.errors import ArchspecError, Place, SpecError
from archspec.graph.build import build_graph
from archspec.readers.frontends import read_model_file
from archspec.readers.mindir.messages import load_messages
from archspec.runtime import prepare
from archspec.spec.load import load_spec
from archspec.spec.override import Override
from archspec.train import evaluate, predict
from archspec.train.export.certified_mindir import export_certified_mindir
from archspec.train.export.export_onnx import export_onnx
from archspec.train.export.export_preprocess import (
    choose_image_steps,
    compare_prepared,
    make_random_photos,
)
from archspec.train.export.export_python import export_python
from archspec.train.export.onnx_form import OnnxForm
from archspec.train.inference.open_trained import open_trained
from archspec.train.recipe.recipe import load_recipe
from archspec.train.trained.engines import ENGINES
from archspec.train.trained.exported import check_batch
from archspec.train.trained.trained import Trained
from archspec.writers.mindspore.create_model import create_model
from archspec.writers.onnx import onnx_files
from archspec.writers.onnx.image_steps import put_in_front
from archspec.writers.onnx.model import make_onnx
from archspec.writers.onnx.onnx_files import save_onnx

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


def test_a_module_replaces_no_code_and_no_checkpoint_that_nobody_named(digits_run, tmp_path):
    """The weights beside it have a name that follows; a module's own name is Python's."""
    run = open_trained(str(digits_run))
    (tmp_path / "mine.ckpt").write_text("weights of a week")
    (tmp_path / "hand.py").write_text("# code of a week\n")
    with pytest.raises(ArchspecError, match=r"hand.py W002 exists, and no export has written it"):
        export_python(run, tmp_path / "hand.py")
    with pytest.raises(ArchspecError, match=r"mine.ckpt W002 exists, and is not overwritten"):
        export_python(run, tmp_path / "mine.py")
    for name in ("my-net.py", "class.py"):
        with pytest.raises(ArchspecError, match="W003 is no name that Python imports"):
            export_python(run, tmp_path / name)
    assert {file.name for file in tmp_path.iterdir()} == {"hand.py", "mine.ckpt"}


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("spec", "growth_rat: 3"),
        ("spec", "a: ["),
        ("spec", "- 1"),
        ("recipe", "x: 1"),
        ("classes", '["0", "1"]'),
        ("classes", '{"0": 1}'),
    ],
)
def test_a_file_that_says_no_network_is_named_itself(key, said, digits_run, tmp_path):
    """Not the place where its words were read."""
    file = tmp_path / "a.onnx"
    export_onnx(open_trained(str(digits_run)), file, form=OnnxForm(is_checked=False))
    model = onnx.load(file)
    for entry in model.metadata_props:
        entry.value = said if entry.key == key else entry.value
    onnx.save(model, file)
    with pytest.raises(ArchspecError) as refused_:
        open_trained(str(file))
    (fault,) = refused_.value.diagnostics
    assert (fault.code, fault.where) == ("R004", str(file))


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


@pytest.mark.parametrize(
    ("engine", "batch"),
    [
        ("onnxruntime", 3),
        ("openvino", 3),
        ("mindspore", None),
        pytest.param("mindspore", 3, marks=pytest.mark.slow),
    ],
)
def test_an_exported_file_answers_and_is_judged_as_the_run_is(
    digits_run, digit_files, engine, batch, tmp_path
):
    """Image by image, by each engine; a fixed batch is filled up."""
    pytest.importorskip(engine, reason=f"{engine} is not installed")
    prepare()
    run = open_trained(str(digits_run))
    if engine == "mindspore":
        file = export_as_mindir(run, tmp_path / "digits.mindir", batch)
    else:
        file = tmp_path / "digits.onnx"
        export_onnx(run, file, form=OnnxForm(batch=batch, is_checked=False))
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


def export_as_mindir(run: Trained, file: Path, batch: int | None = None) -> Path:
    """As the command does it."""
    assert export_certified_mindir(run, file, batch) == 20
    return file


def test_a_mindir_that_is_another_network_is_not_written(digits_run, tmp_path, monkeypatch):
    """It is read back before it is there."""
    prepare()
    run = open_trained(str(digits_run))
    spec = load_spec("densenetbc_digits", ["block_config=[4, 3]"])
    other = create_model(spec)
    monkeypatch.setattr(Trained, "network", lambda self: other)
    with pytest.raises(ArchspecError, match=r"a.mindir W005 is not written: block 2 has 3 layers"):
        export_certified_mindir(run, tmp_path / "a.mindir")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_screen_says_that_a_mindir_is_certified(digits_run, tmp_path):
    told = passed(densenet("export", digits_run, "-o", "a.mindir", cwd=tmp_path))
    assert "wrote a.mindir\ncertified: 20 direct connections, read back from the file\n" in told


@pytest.mark.parametrize(
    ("file", "engine", "cure"),
    [("a.onnx", "mindspore", "onnxruntime or openvino"), ("a.mindir", "openvino", "mindspore")],
)
def test_an_engine_that_does_not_run_such_files_is_refused(file, engine, cure, tmp_path):
    (tmp_path / file).touch()
    words = rf"R004 {engine} does not run .{file[2:]} files .*--engine {cure}"
    with pytest.raises(ArchspecError, match=words):
        open_trained(str(tmp_path / file), engine=engine)


def test_weights_beside_a_file_are_those_it_was_written_with(digits_run, tmp_path, monkeypatch):
    """Those of another export of the same network would fit as well."""
    monkeypatch.setattr(onnx_files, "LARGEST_MESSAGE", 1_000)
    prepare()
    run, form = open_trained(str(digits_run)), OnnxForm(is_checked=False)
    other = {name: values * 2 for name, values in run.read_tensors().items()}
    for name, each in (("a", run), ("b", replace(run, tensors=other))):
        (tmp_path / name).mkdir()
        export_onnx(each, tmp_path / name / "digits.onnx", form=form)
    file = tmp_path / "a/digits.onnx"
    assert sorted(each.name for each in file.parent.iterdir()) == [
        "digits.onnx",
        "digits.onnx.data",
    ]
    assert certify_file(file, run.spec).is_equal
    assert evaluate(str(file)).top1 == evaluate(run).top1
    shutil.copy(tmp_path / "b/digits.onnx.data", tmp_path / "a/digits.onnx.data")
    for ask in (lambda: certify_file(file, run.spec), lambda: open_trained(str(file))):
        with pytest.raises(ArchspecError, match=r"R006 digits.onnx.data does not hold the weights"):
            ask()


def test_classes_of_a_checkpoint_are_those_of_the_file_that_names_them(digits_run, tmp_path):
    """As in the recipe of a run."""
    file, ckpt = tmp_path / "names.txt", digits_run / "checkpoints" / "best.ckpt"
    names = tuple(f"number {each}" for each in range(10))
    named = [Override(("data.class_names", str(file)), Place("--set", "command line"))]
    for told, words in ((names, ""), (names[:2], "names 2 classes, the network has 10")):
        file.write_text("\n".join(told))
        if not words:
            found = open_trained("densenetbc_digits", ckpt=ckpt, recipe_overrides=named)
            assert found.classes == names
            continue
        with pytest.raises(ArchspecError, match=f"D012 {words}"):
            open_trained("densenetbc_digits", ckpt=ckpt, recipe_overrides=named)


@pytest.mark.slow
def test_a_file_whose_classes_nobody_names_says_how_they_are_named(digits_run, tmp_path):
    (tmp_path / "names.txt").write_text("".join(f"number {each}\n" for each in range(10)))
    ckpt = digits_run / "checkpoints" / "best.ckpt"
    words = ("export", "densenetbc_digits", "--ckpt", ckpt, "-o", "a.onnx", "--unchecked")
    told = passed(densenet(*words, cwd=tmp_path))
    assert "note: the file says no names of classes" in told
    flag = ("--set", "recipe.data.class_names=names.txt")
    assert "names of classes" not in passed(densenet(*words, *flag, cwd=tmp_path))
    assert json.loads(metadata(tmp_path / "a.onnx")["classes"])[7] == "number 7"


def test_mindspores_loader_sees_no_file_that_our_reader_has_not_passed(digits_run, tmp_path):
    """Operators that run code, beside those of the output; weights that lie elsewhere; another
    network; no text of what it is; cut short.
    """
    prepare()
    whole = export_as_mindir(open_trained(str(digits_run)), tmp_path / "a.mindir").read_bytes()
    proto = load_messages()

    def changed(change) -> bytes:
        model = proto.ModelProto.FromString(whole)
        change(model)
        return model.SerializeToString()

    def run_code(model):
        primitive = model.primitives.add(name="Custom:99", op_type="Custom")
        model.graph.node.add(op_type=f"REF::{primitive.name}", name="9", output=["9"])

    def run_code_by_its_name(model):
        model.graph.node.add(op_type="ImageSummary", name="9", output=["9"])

    def send_for_weights(model):
        model.graph.parameter[0].ClearField("raw_data")
        model.graph.parameter[0].external_data.location = "/etc/passwd"

    def be_another(model):
        model.user_info["spec"] = model.user_info["spec"].replace("layers: 4", "layers: 3", 1)

    for name, data, words in (
        ("code", changed(run_code), "R008 .*beside those that lead to its output: Custom$"),
        ("named", changed(run_code_by_its_name), "R008 .*: ImageSummary$"),
        ("weights", changed(send_for_weights), "R008 does not hold all values of weights: .*conv0"),
        ("other", changed(be_another), "R004 is another network than it says"),
        ("silent", changed(lambda model: model.user_info.clear()), "R004 does not say which"),
        ("short", whole[:-500], "R006 is no MINDIR, or is cut short"),
    ):
        file = tmp_path / f"{name}.mindir"
        file.write_bytes(data)
        with pytest.raises(ArchspecError, match=words):
            open_trained(str(file))


@pytest.mark.parametrize("engine", ENGINES[".onnx"])
def test_what_an_engine_finds_wrong_while_it_runs_is_told_of_the_file(engine, digits_run, tmp_path):
    """It reads other images than its network; or gives something else."""
    pytest.importorskip(engine, reason=f"{engine} is not installed")
    export_onnx(open_trained(str(digits_run)), tmp_path / "a.onnx", form=OnnxForm(is_checked=False))
    images = np.zeros((2, 1, 8, 8), np.float32)
    for change, words in (
        (read_five_channels, rf"R006 {engine}: (?!Exception from)"),
        (give_maps, r"R004 gives \(2, 24, 8, 8\) for 2 images"),
    ):
        model = onnx.load(tmp_path / "a.onnx")
        change(model.graph)
        file = tmp_path / f"{change.__name__}.onnx"
        onnx.save(model, file)
        with pytest.raises(ArchspecError, match=words):
            open_trained(str(file), engine=engine).exported.compute(images)


def read_five_channels(graph: onnx.GraphProto) -> None:
    graph.input[0].type.tensor_type.shape.dim[1].dim_value = 5


def give_maps(graph: onnx.GraphProto) -> None:
    graph.output[0].name = graph.node[0].output[0]
    graph.output[0].type.tensor_type.ClearField("shape")


@pytest.fixture(scope="module")
def photos_of_digits(digit_files, tmp_path_factory):
    """The pictures, larger than the network reads, each of another size."""
    folder = tmp_path_factory.mktemp("photos")
    for number, file in enumerate(digit_files):
        with Image.open(file) as image:
            image.resize((11 + 3 * number, 30 - number)).save(folder / file.name)
    return sorted(folder.iterdir())


def test_a_file_that_prepares_images_itself_gives_what_predict_gives(
    digits_run, photos_of_digits, tmp_path
):
    """For images as they are, of any size; it says so, and to whom that is no use."""
    import onnxruntime

    prepare()
    file = tmp_path / "digits.onnx"
    found = export_onnx(open_trained(str(digits_run)), file, form=OnnxForm(has_preprocess=True))
    assert found.prepared.levels == 0
    assert found.prepared.probabilities < 1e-6
    assert [entry.name for entry in tmp_path.iterdir()] == ["digits.onnx"]
    assert metadata(file)["preprocess"] == "in the file"

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    wanted = predict(str(digits_run), photos_of_digits, top=10)
    for photo, guesses in zip(photos_of_digits, wanted, strict=True):
        pixels = np.asarray(Image.open(photo))[None, :, :, None]
        shares = session.run(["probabilities"], {"images": pixels})[0][0].tolist()
        assert shares == pytest.approx([dict(guesses)[str(digit)] for digit in range(10)], abs=1e-5)
    with pytest.raises(ArchspecError, match=r"R007 reads images as they are.*--with-preprocess"):
        read_model_file(file)
    told = predict(str(file), photos_of_digits, top=10)
    for guesses, shares in zip(told, wanted, strict=True):
        assert dict(guesses) == pytest.approx(dict(shares), abs=1e-5)
    if find_spec("openvino") is not None:  # whose first answer is another, 0.4 off
        (first,) = predict(open_trained(str(file), engine="openvino"), photos_of_digits[:1], top=10)
        assert dict(first) == pytest.approx(dict(wanted[0]), abs=1e-2)
    other = [Override(("data.std", [99.0]), Place("--std 99", "command line"))]
    with pytest.raises(ArchspecError, match="R004 prepares images itself, otherwise than is asked"):
        open_trained(str(file), recipe_overrides=other)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES[".onnx"])
@pytest.mark.parametrize("loss", ["cross_entropy", "bce"])
def test_a_file_that_prepares_images_itself_is_judged_as_the_run_is(
    digits_run, photos_of_digits, engine, loss, tmp_path
):
    """By each engine, from a file of a fixed batch too; of images that are broken, none counts."""
    pytest.importorskip(engine, reason=f"{engine} is not installed")
    prepare()
    kind = [Override(("loss.kind", loss), Place("loss", "python"))]
    run, file = open_trained(str(digits_run), recipe_overrides=kind), tmp_path / "digits.onnx"
    export_onnx(run, file, form=OnnxForm(batch=2, has_preprocess=True))
    exported = open_trained(str(file), engine=engine)
    broken = tmp_path / "broken.png"
    broken.write_bytes(photos_of_digits[0].read_bytes()[:-60])
    photos, left_out = [photos_of_digits[0], broken, *photos_of_digits[1:]], []
    how = {"leave_out": lambda number, fault: left_out.append(number)}
    told = predict(exported, photos, **how), predict(run, photos, **how)
    assert left_out == [1, 1]
    most = 1e-4 if engine == "onnxruntime" else 1e-2  # for which some grey levels differ
    for found, wanted in zip(*told, strict=True):
        assert dict(found) == pytest.approx(dict(wanted), abs=most)
    found, wanted = (evaluate(network, batch_size=50) for network in (exported, run))
    assert (found.top1, found.images) == (wanted.top1, wanted.images)
    assert found.loss == pytest.approx(wanted.loss, abs=1e-4)


@pytest.mark.slow
def test_it_is_said_how_a_file_was_found_to_prepare_images(digits_run, tmp_path):
    flag = "--with-preprocess"
    told = passed(densenet("export", digits_run, "-o", "a.onnx", flag, cwd=tmp_path))
    assert "images as they are: every grey level is predict's, probabilities within " in told
    said = refused(densenet("certify", "a.onnx", digits_run, cwd=tmp_path), "R007", flag)
    assert "Traceback" not in said
    told = passed(densenet("export", digits_run, "-o", "b.onnx", flag, "--unchecked", cwd=tmp_path))
    assert "not run" in told
    refused(densenet("export", digits_run, "-o", "c.onnx", flag, "--dynamic-size", cwd=tmp_path))


def test_a_file_that_prepares_images_otherwise_is_not_written(digits_run, tmp_path):
    """The comparison is one that can fail: of a file that cuts off more it does."""
    prepare()
    trained = open_trained(str(digits_run))
    graph = build_graph(trained.spec)
    steps = choose_image_steps(trained, graph, is_sized=True)
    model = make_onnx(graph, trained.read_tensors())
    put_in_front(model, steps)
    save_onnx(model, tmp_path / "a.onnx")
    photos = make_random_photos(trained, 2)
    network = trained.network()
    wrong = replace(steps, crop_pct=0.5)
    with pytest.raises(ArchspecError, match=r"W005 is not written: images are prepared \d+ grey"):
        compare_prepared(trained, tmp_path / "a.onnx", wrong, network, photos, 18)
    other = replace(steps, are_independent=True)
    with pytest.raises(ArchspecError, match=r"W005 is not written: .* other probabilities"):
        compare_prepared(trained, tmp_path / "a.onnx", other, network, photos, 18)


def test_preparing_that_cannot_be_written_is_refused_all_at_once(digits_run):
    """Resizing that only our own code does, free sizes, and networks that tell other things."""
    wanted = {"data.resize": "mindspore", "data.interpolation": "nearest"}
    overrides = [Override(setting, Place("--set", "python")) for setting in wanted.items()]
    trained = open_trained(str(digits_run), recipe_overrides=overrides)
    with pytest.raises(ArchspecError) as refused_all:
        choose_image_steps(trained, build_graph(trained.spec), is_sized=False, opset=14)
    said = [fault.message for fault in refused_all.value.diagnostics]
    assert [fault.code for fault in refused_all.value.diagnostics] == ["W004"] * 4
    assert "cannot be free" in said[0]
    assert "is written from opset 15 on" in said[1]
    assert "data.resize (=mindspore) must be pillow with" in said[2]
    assert "data.interpolation (=nearest) must be bilinear or bicubic with" in said[3]
    spec = load_spec("fcdensenet103")
    of_pixels = replace(trained, spec=spec, recipe=load_recipe("segmentation"))
    with pytest.raises(ArchspecError, match=r"W004 .* gives probabilities of an image's classes"):
        choose_image_steps(of_pixels, build_graph(spec), is_sized=True)


def test_a_file_that_does_not_say_what_it_is_is_no_network_to_ask(digit_files, tmp_path):
    """Foreign, cut short, no ONNX, gone; and what is said of weights, which it has."""
    model = onnx.helper.make_model(onnx.helper.make_graph([], "empty", [], []))
    (tmp_path / "foreign.onnx").write_bytes(model.SerializeToString())
    (tmp_path / "text.onnx").write_text("nothing")
    (tmp_path / "empty.onnx").touch()
    for name, words in (
        ("foreign.onnx", "R004 does not say which network it is"),
        ("text.onnx", "R006 is no ONNX"),
        ("empty.onnx", "R006 is empty"),
        ("gone.onnx", "R005 cannot be read: No such file"),
    ):
        with pytest.raises(ArchspecError, match=words):
            open_trained(str(tmp_path / name))
    with pytest.raises(ArchspecError, match=r"R004 .*leave out --ckpt, --ema"):
        open_trained("a.onnx", ckpt=Path("b.ckpt"), ema=True)
    size = Override(("input.height", 64), Place("--image-size 64", "command line"))
    with pytest.raises(ArchspecError, match=r"R004 .*leave out --image-size"):
        open_trained("a.onnx", overrides=[size])
    with pytest.raises(ArchspecError, match=r"R004 .*leave out --device-target"):
        open_trained("a.onnx", device_target="CPU")


@pytest.mark.slow
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


def test_more_images_at_once_than_memory_holds_are_refused(digits_run, tmp_path):
    """Before they are made: to try an ONNX, and to compile a MINDIR."""
    run = open_trained(str(digits_run))
    with pytest.raises(ArchspecError, match=r"W004 batch_size \(=100,000,000\): images of 25.6 GB"):
        export_onnx(run, tmp_path / "a.onnx", form=OnnxForm(batch=100_000_000))
    check_batch(run.spec, 8_000_000)
    check_batch(run.spec, None)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_export_that_is_ended_leaves_no_draft(number, digits_run, tmp_path):
    """In the middle of it, when there is one."""
    ended = started("export", digits_run, "-o", "models", "--serving", "triton", cwd=tmp_path)
    while ended.poll() is None and not list(tmp_path.rglob(".export-*")):
        time.sleep(0.02)
    ended.send_signal(number)
    ended.communicate()
    assert ended.returncode != 0
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("flags", "key", "told"),
    [
        pytest.param(
            *(("--mean", 10, "--recipe", "imagenet_ascend"), "mean", [10.0]),
            marks=pytest.mark.slow,
        ),
        (("--data-dir", "photos"), "crop_pct", 0.875),
        pytest.param((), "crop_pct", None, marks=pytest.mark.slow),
    ],
)
def test_a_file_says_that_images_are_prepared_as_validate_does_with_the_same_flags(
    flags, key, told, digits_run, tmp_path
):
    """Of a spec with a checkpoint the data decides, as there."""
    (tmp_path / "photos" / "train" / "hat").mkdir(parents=True)
    words = ("densenetbc_digits", "--ckpt", digits_run / "checkpoints" / "best.ckpt", *flags)
    passed(densenet("export", *words, "-o", "a.onnx", "--unchecked", cwd=tmp_path))
    assert json.loads(metadata(tmp_path / "a.onnx")[key]) == told


@pytest.mark.slow
def test_an_exported_file_is_not_exported_again(digits_run, tmp_path):
    """It says what to name instead."""
    file = tmp_path / "a.onnx"
    export_onnx(open_trained(str(digits_run)), file, form=OnnxForm(is_checked=False))
    done = densenet("export", file, "-o", "b.mindir", cwd=tmp_path)
    refused(done, "R004 is an exported network already", "name the run")


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
        (("-o", "a.onnx", "--opset", 99), ("W004", "13 to")),
        (("-o", "a.onnx", "--opset", 0), ("W004", "opset (=0)", "13 to")),
        (("-o", "a.mindir", "--opset", 0), ("--opset", "onnx")),
        (("-o", "file/a.onnx", "--unchecked"), ("W002", "file/a.onnx")),
        (("-o", "file/a.mindir"), ("W002", "file/a.mindir")),
        (("-o", "a.onnx", "--data-dir", "nothing"), ("nothing", "D0")),
        (("-o", "a.py", "--mean", 1), ("--mean", "images")),
        (("-o", "a.py", "--batch-size", 2), ("--batch-size", "code")),
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


@pytest.mark.parametrize("of_file", [False, True])
def test_an_empty_word_is_no_recipe(of_file: bool, digits_run: Path, tmp_path: Path) -> None:
    """As a shell makes it of "$UNSET": neither the run's own, nor the file's."""
    target = digits_run
    if of_file:
        target = tmp_path / "net.onnx"
        export_onnx(open_trained(str(digits_run)), target, form=OnnxForm(is_checked=False))
    with pytest.raises(SpecError, match="S010 there is no recipe ''"):
        open_trained(str(target), recipe="")
