"""What stands in front of an exported network that reads images as they are: which steps, and are
they those of `densenet predict`?
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from archspec.errors import ArchspecError, Diagnostic
from archspec.graph.ir import Graph
from archspec.graph.shapes import infer_shapes
from archspec.train.data.images.geometry import RESAMPLING
from archspec.train.data.inputs import make_preprocess
from archspec.train.data.sources.source import Source
from archspec.train.evaluation.class_evaluation import tell_probabilities
from archspec.train.export.onnx_form import OPSETS
from archspec.train.trained.engines import load_network
from archspec.train.trained.trained import Trained

if TYPE_CHECKING:
    from archspec.writers.onnx.image_steps import ImageSteps

MOST_LEVELS = 1
"""Grey levels that the file's images may be apart from ours, where another Pillow rounds a half
otherwise than the one that was followed."""
TOLERANCE = 1e-4
"""Of probabilities for the very same pixels."""
FLAG = "--with-preprocess"

Values = npt.NDArray[Any]


@dataclass(frozen=True)
class PreparedFit:
    """How far a file that prepares images itself is from `predict`."""

    levels: int
    """Of its prepared images, in grey levels."""
    share: float
    """Of all values, those which differ."""
    probabilities: float
    """Of what it gives."""


def choose_image_steps(
    trained: Trained, graph: Graph, *, is_sized: bool, opset: int = OPSETS["float32"]
) -> ImageSteps:
    """Return the steps of a trained network's recipe, and what becomes of its logits.

    Raises:
        ArchspecError: W004, all that cannot be written.
    """
    from archspec.writers.onnx.image_steps import FILTERS, OLDEST, ImageSteps

    preprocess, recipe = make_preprocess(trained.spec, trained.recipe), trained.recipe
    shapes, _ = infer_shapes(graph)
    faults = []
    if [len(shapes[name]) for name in graph.outputs] != [1]:
        rule = f"{FLAG} gives probabilities of an image's classes; this network gives other things"
        faults.append(Diagnostic("W004", rule, hint=f"leave out {FLAG}"))
    if not is_sized:
        rule = f"{FLAG} resizes to one height and width: they cannot be free"
        faults.append(Diagnostic("W004", rule, hint="leave out --dynamic-size"))
    if opset < OLDEST:
        rule = f"{FLAG} is written from opset {OLDEST} on"
        faults.append(Diagnostic("W004", rule, hint=f"leave out {FLAG}, or name a newer opset"))
    for key, value, known in (
        ("resize", preprocess.resize, ("pillow",)),
        ("interpolation", preprocess.interpolation, tuple(FILTERS)),
    ):
        if value not in known:
            rule = f"data.{key} (={value}) must be {' or '.join(known)} with {FLAG}"
            cure = f"leave out {FLAG}: the program that runs the file then prepares its images"
            faults.append(Diagnostic("W004", rule, recipe.place(("data", key)), cure))
    if faults:
        raise ArchspecError(faults)
    return ImageSteps(
        image_size=preprocess.image_size,
        mean=preprocess.mean,
        std=preprocess.std,
        crop_pct=preprocess.crop_pct,
        interpolation=preprocess.interpolation,
        can_begin_down=_begins_down(),
        are_independent=recipe.loss.kind == "bce",
    )


def _begins_down() -> bool:
    """Whether this Pillow resizes an image down first that shrinks in that way alone."""
    pixels = np.random.default_rng(0).integers(0, 2, (64, 16), np.uint8) * 255
    image, how = Image.fromarray(pixels), RESAMPLING["bicubic"]
    across_first = image.resize((24, 64), how).resize((24, 24), how)
    return across_first.tobytes() != image.resize((24, 24), how).tobytes()


def make_random_photos(trained: Trained, count: int) -> Source:
    """Return images of noise that are larger than the network's, where there are no real ones."""
    size = trained.spec.input
    shape = (count, size.height * 3 // 2 + 3, size.width * 2 + 1, size.channels)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    return Source("random images", (), np.zeros(count, np.int32), pixels)


def compare_prepared(
    trained: Trained, file: Path, steps: ImageSteps, network: Any, photos: Source, opset: int
) -> PreparedFit:
    """Return how far a file is from what `predict` does with images; ONNX Runtime runs it, and what
    stands in front alone.

    Raises:
        ArchspecError: W005, further than rounding leaves.
    """
    from archspec.writers.onnx.image_steps import make_preprocess_model
    from archspec.writers.onnx.onnx_files import save_onnx

    part = file.with_name(f"preprocess-{file.name}")
    save_onnx(make_preprocess_model(steps, opset), part)
    pixels = [_read_pixels(trained, photos, number) for number in range(len(photos))]
    made = _run_each(part, pixels)
    given = _run_each(file, pixels)
    batches = trained.batches(photos, len(photos))
    wanted = np.concatenate([images for images, _ in islice(batches, 1)])
    levels = np.abs(made - wanted) * np.reshape(steps.std, (-1, 1, 1))
    by_its_own, by_ours = (_judge(network, images, steps) for images in (made, wanted))
    found = PreparedFit(
        levels=int(levels.max().round()),
        share=float((levels > 0.5).mean()),
        probabilities=float(np.abs(given - by_ours).max()),
    )
    if found.levels > MOST_LEVELS:
        raise _refuse(f"images are prepared {found.levels} grey levels off")
    if not np.abs(given - by_its_own).max() <= TOLERANCE:
        raise _refuse("ONNX Runtime gives other probabilities for the same pixels")
    return found


def _refuse(reason: str) -> ArchspecError:
    return ArchspecError.one("W005", f"is not written: {reason}", hint=f"leave out {FLAG}")


def _read_pixels(trained: Trained, photos: Source, number: int) -> Values:
    """One image as it is, (1, H, W, C) uint8."""
    channels = trained.spec.input.channels
    image = photos.image(number, channels, trained.recipe.data.white_level)
    return np.asarray(image).reshape(1, image.height, image.width, channels)


def _run_each(file: Path, pixels: list[Values]) -> Values:
    """What a file gives for each image: they are of different sizes."""
    network = load_network(file, "onnxruntime")
    return np.concatenate([network.compute(image)[0] for image in pixels])


def _judge(network: Any, images: Values, steps: ImageSteps) -> Values:
    import mindspore as ms

    logits = network(ms.Tensor(images)).asnumpy()
    return tell_probabilities(logits, are_independent=steps.are_independent)
