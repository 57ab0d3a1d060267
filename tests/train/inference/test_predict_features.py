"""Feature maps that a network gives beside its classes, of a checkpoint and of exported files."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cli.test_export import export_as_mindir
from conftest import densenet, passed
from PIL import Image

from archspec.errors import ArchspecError
from archspec.runtime import prepare
from archspec.spec.load import load_spec
from archspec.train import evaluate, predict
from archspec.train.export.export_onnx import export_onnx
from archspec.train.export.export_python import export_python
from archspec.train.export.onnx_form import OnnxForm
from archspec.train.inference.open_trained import open_trained
from archspec.train.inference.predict_features import name_outputs, predict_features
from archspec.train.trained.trained import Trained

FEATURES = ("features=[1, 2]",)


@pytest.fixture(scope="module")
def trained(digits_run) -> Trained:
    prepare()
    checkpoint = digits_run / "checkpoints" / "best.ckpt"
    return open_trained(str(digits_run / "spec.yaml"), ckpt=checkpoint, overrides=FEATURES)


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("images")
    pixels = np.random.default_rng(0).integers(0, 256, (7, 8, 8), np.uint8)
    for number, each in enumerate(pixels):
        Image.fromarray(each).save(folder / f"{number}.png")
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def wanted(trained, images) -> list[np.ndarray]:
    """What the emitted network gives, whose norms are not folded, for one image at a time."""
    import mindspore as ms

    source = [np.asarray(Image.open(file), np.float32)[None, None] for file in images]
    mean, std = (np.float32(each) for each in (trained.recipe.data.mean, trained.recipe.data.std))
    network = trained.network()
    rows = [network(ms.Tensor((pixels - mean) / std)) for pixels in source]
    return [np.concatenate([row[at].asnumpy() for row in rows]) for at in range(3)]


def assert_equal(file: Path, images: list[Path], wanted: list[np.ndarray]) -> None:
    arrays = np.load(file)
    assert [*arrays] == ["images", "block1", "block2", "logits"]
    assert arrays["images"].tolist() == [str(image) for image in images]
    for name, values in zip(("block1", "block2", "logits"), wanted, strict=True):
        assert arrays[name].dtype == np.float32
        np.testing.assert_allclose(arrays[name], values, atol=2e-5)


@pytest.mark.parametrize(
    "form",
    [
        "checkpoint",
        "onnxruntime",
        pytest.param("openvino", marks=pytest.mark.slow),
        pytest.param("mindspore", marks=pytest.mark.slow),
    ],
)
def test_maps_are_those_of_the_network_image_by_image(form, trained, images, wanted, tmp_path):
    """In whatever form it runs; and classes and figures are those of the network without them."""
    network = trained
    if form == "mindspore":
        network = open_trained(str(export_as_mindir(trained, tmp_path / "a.mindir")))
    elif form != "checkpoint":
        pytest.importorskip(form, reason=f"{form} is not installed")
        export_onnx(trained, tmp_path / "a.onnx", form=OnnxForm(batch=3, is_checked=False))
        network = open_trained(str(tmp_path / "a.onnx"), engine=form)
    shapes = predict_features(network, images, tmp_path / "new" / "maps.npz", batch_size=4)
    assert shapes == {"block1": (7, 72, 8, 8), "block2": (7, 84, 4, 4), "logits": (7, 10)}
    assert_equal(tmp_path / "new" / "maps.npz", images, wanted)
    guesses = predict(network, images, top=1)
    likeliest = wanted[2].argmax(axis=1).tolist()
    assert [name for ((name, _),) in guesses] == [f"class {number}" for number in likeliest]
    plain = replace(trained, spec=trained.spec.model_copy(update={"features": ()}))
    assert evaluate(network).top1 == evaluate(plain).top1


@pytest.mark.slow
def test_python_code_gives_the_same_maps(trained, images, wanted, tmp_path, monkeypatch):
    """A tuple of them."""
    import mindspore as ms

    export_python(trained, tmp_path / "module_of_maps.py")
    monkeypatch.syspath_prepend(tmp_path)
    import module_of_maps

    monkeypatch.delitem(sys.modules, "module_of_maps")
    network = module_of_maps.Network()
    ms.load_param_into_net(network, ms.load_checkpoint(str(tmp_path / "module_of_maps.ckpt")))
    network.set_train(False)
    for number, image in enumerate(images):
        pixels = np.asarray(Image.open(image), np.float32)[None, None]
        mean, std = (
            np.float32(each) for each in (trained.recipe.data.mean, trained.recipe.data.std)
        )
        made = network(ms.Tensor((pixels - mean) / std))
        for output, values in zip(made, wanted, strict=True):
            np.testing.assert_allclose(output.asnumpy()[0], values[number], atol=2e-5)


def test_broken_images_are_left_out_and_a_full_disk_leaves_nothing(trained, images, tmp_path):
    """The arrays have no row for them; no array where none could be read."""
    broken = tmp_path / "broken.png"
    broken.write_bytes(images[0].read_bytes()[:-60])
    left_out = []
    how = {"leave_out": lambda number, fault: left_out.append(number)}
    file = tmp_path / "maps.npz"
    shapes = predict_features(trained, [images[0], broken, images[1]], file, **how)
    assert (left_out, shapes["logits"]) == ([1], (2, 10))
    assert np.load(file)["images"].tolist() == [str(images[0]), str(images[1])]
    assert predict_features(trained, [broken], tmp_path / "none.npz", **how) == {}
    assert not (tmp_path / "none.npz").exists()
    with pytest.raises(ArchspecError, match=r"full/maps.npz D001 cannot be written"):
        predict_features(trained, images, "/dev/full/maps.npz")


def test_networks_without_such_maps_or_without_a_head_are_refused(trained, digits_run, images):
    """With what to do."""
    run = open_trained(str(digits_run))
    with pytest.raises(ArchspecError, match=r"T014 gives no block's maps.*features=\[1, 2\]"):
        predict_features(run, images, "maps.npz")
    headless = replace(trained, spec=load_spec("densenetbc_digits", [*FEATURES, "head=none"]))
    for ask in (predict, evaluate):
        with pytest.raises(ArchspecError, match=r"T014 gives feature maps, and no classes"):
            ask(headless, *([images] if ask is predict else []))


@pytest.mark.parametrize(
    ("overrides", "names"),
    [
        (("features=[2, 3, 4]",), "block2 block3 block4 logits"),
        (("features=[2, 4]", "head=none"), "block2 block4"),
        ((), "logits"),
    ],
)
def test_outputs_are_called_by_their_blocks(overrides, names):
    assert name_outputs(load_spec("densenet121", overrides)) == tuple(names.split())


@pytest.mark.slow
def test_the_command_writes_them_and_says_their_shapes(digits_run, images, tmp_path):
    checkpoint = digits_run / "checkpoints" / "best.ckpt"
    arguments = ("predict", digits_run / "spec.yaml", *images, "--ckpt", checkpoint)
    told = passed(densenet(*arguments, "--set", *FEATURES, "--features", "a.npz", cwd=tmp_path))
    assert told.splitlines()[:4] == [
        "wrote a.npz",
        "block1 7 x 72 x 8 x 8",
        "block2 7 x 84 x 4 x 4",
        "logits 7 x 10",
    ]
