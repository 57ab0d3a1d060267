"""Strokes against their background: images and masks made of the embedded digits, and a small
FC-DenseNet.
"""

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

STROKE = 120
"""Grey levels above it are strokes."""
NETWORK = """\
name: small_fcdensenet
input: {channels: 1, height: 8, width: 8}
growth_rate: 12
stem: [conv: {width: 24, kernel: 3}]
layer: [norm, activation, conv: {width: k, kernel: 3}]
blocks:
  - {layers: 2}
  - {layers: 2, connectivity: {output: new}}
  - {layers: 2}
transitions:
  - steps: [norm, activation, conv: {kernel: 1}, max_pool: {kernel: 2, stride: 2}]
  - {steps: [conv_transpose: {kernel: 3, stride: 2}], skip: 1, crop: true}
head: per_pixel
"""


def write_digits(folder: Path, train: int = 1_400, val: int = 200) -> None:
    """Write images and masks; half of the images, drawn at random, are negatives, so that no single
    pixel tells its class, and all have a little noise.
    """
    rng = np.random.default_rng(0)
    levels = np.rint(load_digits().images * (255 / 16))
    is_negative = rng.random(len(levels)) < 1 / 2
    shown = np.where(is_negative[:, None, None], 255 - levels, levels)
    noisy = np.clip(shown + rng.normal(0, 3, levels.shape), 0, 255).astype(np.uint8)
    masks = (levels > STROKE).astype(np.uint8)
    for part, numbers in (("train", range(train)), ("val", range(train, train + val))):
        for name, pixels in (("images", noisy), ("masks", masks)):
            (folder / part / name).mkdir(parents=True)
            for number in numbers:
                Image.fromarray(pixels[number]).save(folder / part / name / f"{number}.png")
