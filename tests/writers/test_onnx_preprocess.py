"""What is put in front of an ONNX prepares images as `predict` does: in each engine beside Pillow,
for images that shrink, grow, or do one across and the other down.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import oracle
import pytest
from onnx.reference import ReferenceEvaluator
from PIL import Image
from writers.operator_networks import graph_of

from archspec.train.data.images.geometry import fit_image
from archspec.train.data.images.preprocess import Preprocess
from archspec.train.export.export_preprocess import _begins_down
from archspec.train.trained.engines import ENGINES, EngineName, load_network
from archspec.writers.onnx.image_steps import (
    OLDEST,
    ImageSteps,
    make_preprocess_model,
    put_in_front,
)
from archspec.writers.onnx.model import make_onnx
from archspec.writers.onnx.onnx_files import save_onnx

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
NETWORK = (48, 40)
"""Height and width."""
SIZES = [(97, 131), (60, 45), (48, 40), (31, 30), (30, 90), (90, 30), (50, 7), (1, 1), (400, 300)]
"""Of images."""
CONFIGURATIONS = [("bilinear", None), ("bilinear", 0.875), ("bicubic", None), ("bicubic", 0.9)]


def photo(height: int, width: int, channels: int = 3) -> Any:
    """Slopes, edges and noise, (height, width, channels)."""
    rng = np.random.default_rng(height * 1000 + width)
    down, across = np.indices((height, width))
    slopes = [255 * across / width, 255 * down / height, (down // 7 + across // 5) % 2 * 255]
    noise = rng.integers(0, 256, (height, width, 3))
    pixels = np.where(rng.random((height, width, 1)) < 0.3, noise, np.stack(slopes, -1))
    return pixels.astype(np.uint8)[:, :, :channels]


def steps_of(interpolation: str, crop_pct: float | None, channels: int = 3) -> ImageSteps:
    return ImageSteps(
        image_size=NETWORK,
        mean=MEAN[:channels],
        std=STD[:channels],
        crop_pct=crop_pct,
        interpolation=interpolation,
        can_begin_down=_begins_down(),
        are_independent=False,
    )


def fitted(pixels: Any, steps: ImageSteps) -> Any:
    """Grey levels as evaluation sees them, (C, H, W)."""
    channels = len(steps.mean)
    image = Image.fromarray(pixels if channels == 3 else pixels[:, :, 0])
    how: Any = {"crop_pct": steps.crop_pct, "interpolation": steps.interpolation}
    preprocess = Preprocess(steps.image_size, channels, steps.mean, steps.std, **how)
    return np.asarray(fit_image(image, preprocess)).reshape(*NETWORK, channels).transpose(2, 0, 1)


def levels_of(prepared: Any, steps: ImageSteps) -> Any:
    return prepared * np.reshape(steps.std, (-1, 1, 1)) + np.reshape(steps.mean, (-1, 1, 1))


def assert_prepares_as_pillow(
    folder: Path, engine: EngineName, steps: ImageSteps, photos: list[Any], opset: int = 18
) -> None:
    """To each grey level in ONNX Runtime. OpenVINO computes weights in float32, whatever the file
    says, so that halves are rounded otherwise, on the way across and down.
    """
    most = 2 if engine == "openvino" else 0
    model = make_preprocess_model(steps, opset)
    onnx.checker.check_model(model, full_check=True)
    save_onnx(model, folder / "part.onnx")
    part = load_network(folder / "part.onnx", engine)
    for pixels in photos:
        levels = levels_of(part.compute(pixels[None])[0][0], steps)
        difference = np.abs(levels - fitted(pixels, steps))
        assert difference.max() < most + 0.01, pixels.shape
        assert (difference > 0.01).mean() < 0.15, pixels.shape  # a box half a pixel aside: most


@pytest.mark.parametrize("engine", ENGINES[".onnx"])
@pytest.mark.parametrize(("interpolation", "crop_pct"), CONFIGURATIONS)
def test_each_engine_prepares_an_image_as_pillow_does(
    interpolation: str, crop_pct: float | None, engine: EngineName, tmp_path: Path
) -> None:
    pytest.importorskip(engine, reason=f"{engine} is not installed")
    photos = [photo(*size) for size in SIZES]
    assert_prepares_as_pillow(tmp_path, engine, steps_of(interpolation, crop_pct), photos)


def test_an_older_opset_prepares_images_as_well(tmp_path: Path) -> None:
    for opset in range(OLDEST, 18):
        assert_prepares_as_pillow(
            tmp_path, "onnxruntime", steps_of("bicubic", 0.875), [photo(90, 61)], opset
        )


def test_grey_images_have_one_channel(tmp_path: Path) -> None:
    steps = steps_of("bicubic", 0.875, channels=1)
    assert_prepares_as_pillow(tmp_path, "onnxruntime", steps, [photo(90, 61, channels=1)])


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES[".onnx"])
@pytest.mark.parametrize(("interpolation", "crop_pct"), CONFIGURATIONS)
def test_real_photographs_are_prepared_as_pillow_does(
    shared: Path, interpolation: str, crop_pct: float | None, engine: EngineName, tmp_path: Path
) -> None:
    pytest.importorskip(engine, reason=f"{engine} is not installed")
    files = sorted((shared / "data/clothing/val").rglob("*.jpg"))
    photos = [np.asarray(Image.open(file).convert("RGB")) for file in files]
    assert photos
    assert_prepares_as_pillow(tmp_path, engine, steps_of(interpolation, crop_pct), photos)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES[".onnx"])
@pytest.mark.parametrize("seed", range(2))
def test_images_of_any_size_are_prepared_as_pillow_does(
    seed: int, engine: EngineName, tmp_path: Path
) -> None:
    pytest.importorskip(engine, reason=f"{engine} is not installed")
    rng = np.random.default_rng(seed)
    sizes = [(height, int(height * rng.uniform(0.3, 3)) + 1) for height in rng.integers(2, 400, 60)]
    photos = [photo(*size) for size in sizes]
    for interpolation, crop_pct in CONFIGURATIONS:
        steps = steps_of(interpolation, crop_pct)
        assert_prepares_as_pillow(tmp_path, engine, steps, photos)


def test_a_pillow_that_always_begins_across_is_followed_too(tmp_path: Path) -> None:
    """As those before 13: two resizes, one after the other."""
    steps, pixels = steps_of("bicubic", None), photo(90, 30)
    image, how = Image.fromarray(pixels), Image.Resampling.BICUBIC
    wanted = image.resize((NETWORK[1], 90), how).resize(NETWORK[::-1], how)
    across_first = ImageSteps(
        **{name: getattr(steps, name) for name in steps.__slots__} | {"can_begin_down": False}
    )
    save_onnx(make_preprocess_model(across_first, 18), tmp_path / "part.onnx")
    made = load_network(tmp_path / "part.onnx", "onnxruntime").compute(pixels[None])[0][0]
    levels = levels_of(made, steps).transpose(1, 2, 0)
    assert np.abs(levels - np.asarray(wanted)).max() < 0.01


NEWEST = pytest.param(onnx.defs.onnx_opset_version(), True, marks=pytest.mark.slow)


@pytest.mark.parametrize(("opset", "are_independent"), [(18, False), NEWEST])
def test_the_whole_file_gives_probabilities_of_a_batch(
    opset: int, are_independent: bool, tmp_path: Path
) -> None:
    """Of the body's logits for what the front makes; by onnx's own evaluator, not by an engine."""
    graph = graph_of(input={"channels": 3})
    channels, height, width = graph.ops[graph.inputs[0]].attrs["shape"]
    values = {name: getattr(steps_of("bilinear", 0.875), name) for name in ImageSteps.__slots__}
    values |= {"image_size": (height, width), "are_independent": are_independent}
    steps = ImageSteps(**values)
    parameters = oracle.random_parameters(graph.ops.values(), 0)
    model = make_onnx(graph, parameters, opset=opset)
    put_in_front(model, steps)
    onnx.checker.check_model(model, full_check=True)
    onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    (reads,), (gives,) = model.graph.input, model.graph.output
    assert [dim.dim_param or dim.dim_value for dim in reads.type.tensor_type.shape.dim] == [
        "batch",
        "height",
        "width",
        channels,
    ]
    photos = np.stack([photo(23, 31), photo(31, 23).transpose(1, 0, 2)])
    part = make_preprocess_model(steps, opset)
    (prepared,) = ReferenceEvaluator(part).run(None, {reads.name: photos})
    (made,) = ReferenceEvaluator(model).run(None, {reads.name: photos})
    made_by_oracle = oracle.values(graph.ops.values(), parameters, prepared)
    logits = dict(zip(graph.ops, made_by_oracle, strict=True))[graph.outputs[0]]
    wanted = np.exp(logits)
    wanted = wanted / (1 + wanted) if are_independent else wanted / wanted.sum(1, keepdims=True)
    assert gives.name == "probabilities"
    assert np.allclose(made, wanted, atol=1e-5)
