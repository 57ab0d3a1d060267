"""Learn a class for each pixel, from images and masks in folders: python examples/segmentation.py

Strokes of handwritten digits against their background; half of the images are negatives, so no
pixel tells its class alone.
"""

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from archspec import train
from archspec.train.data.datasets import open_data

NETWORK = """
input: {channels: 1, height: 8, width: 8}
growth_rate: 12
stem: [conv: {width: 24, kernel: 3}]
layer: [norm, activation, conv: {width: k, kernel: 3}]
blocks: [{layers: 2}, {layers: 2, connectivity: {output: new}}, {layers: 2}]
transitions:
  - steps: [norm, activation, conv: {kernel: 1}, max_pool: {kernel: 2, stride: 2}]
  - {steps: [conv_transpose: {kernel: 3, stride: 2}], skip: 1, crop: true}
head: per_pixel
"""
SHORT = ["epochs=6", "batch_size=32", "schedule.learning_rate=0.01", "data.augment=none"]


def write_images_and_masks(folder: Path) -> None:
    """As `--data-dir` takes them: images/NAME.png and masks/NAME.png, of which a share is held out.

    A mask's pixels are numbers of classes: 0 and 1 here.
    """
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for number, digit in enumerate(open_data(None).train.arrays[:, :, :, 0]):
        shown = 255 - digit if number % 2 else digit
        Image.fromarray(shown).save(folder / "images" / f"{number}.png")
        Image.fromarray((digit > 120).astype(np.uint8)).save(folder / "masks" / f"{number}.png")


with tempfile.TemporaryDirectory() as place:
    folder = Path(place)
    write_images_and_masks(folder / "data")
    (folder / "strokes.yaml").write_text(NETWORK)
    names = "data.classes=[background, stroke]"
    plan = train.plan(
        folder / "strokes.yaml", data_dir=folder / "data", recipe_overrides=[*SHORT, names]
    )
    outcome = train.fit(plan, folder / "run")
    print(f"mIoU {outcome.accuracy.miou:.1%} over {outcome.accuracy.images} images")
    for row in train.examine(outcome.run).as_json()["classes"]:
        print(f"{row['class']}: IoU {row['iou']:.1%} over {row['pixels']:,} pixels")
