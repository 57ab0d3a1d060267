"""Small image sources, and the batches that are made of them."""

from pathlib import Path

import numpy as np
from PIL import Image

from archspec.train.data.batches.batches import load_batches
from archspec.train.data.images.preprocess import Preprocess
from archspec.train.data.sources.source import Source

RAW = {1: ((0.0,), (1.0,)), 3: ((0.0,) * 3, (1.0,) * 3)}


def raw(size: tuple[int, int], channels: int = 3, **options: object) -> Preprocess:
    """Preprocessing that leaves pixels as they are, so that batches can be compared in bytes."""
    return Preprocess(size, channels, *RAW[channels], **options)


def noise(count: int, size: int, channels: int = 3) -> Source:
    arrays = np.random.default_rng(0).integers(1, 256, (count, size, size, channels), np.uint8)
    labels = (np.arange(count) % 10).astype(np.int32)
    return Source("noise", tuple("0123456789"), labels, arrays=arrays)


def gradient(count: int, size: int) -> Source:
    """Images whose red says x, and whose green says y."""
    steps = np.arange(size, dtype=np.uint8)
    image = np.stack(
        [np.tile(steps, (size, 1)), np.tile(steps[:, None], (1, size)), np.zeros((size, size))], 2
    )
    arrays = np.broadcast_to(image.astype(np.uint8), (count, size, size, 3))
    return Source("gradient", ("a",), np.zeros(count, np.int32), arrays=arrays)


def photographs(root: Path, count: int) -> Source:
    root.mkdir(exist_ok=True)
    rng = np.random.default_rng(1)
    files = tuple(root / f"{number}.jpg" for number in range(count))
    for number, file in enumerate(files):
        height, width = 40 + number, 90 - 3 * (number % 20)
        coarse = rng.integers(0, 256, (5, 7, 3), np.uint8)
        Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(file)
    return Source("photographs", ("a",), np.zeros(count, np.int32), files=files)


def epoch(
    source,
    preprocess,
    *,
    training=True,
    batch_size=8,
    seed=0,
    workers=1,
    indices=None,
    first_batch=0,
):
    chosen = np.arange(len(source)) if indices is None else indices
    return list(
        load_batches(
            source,
            indices=chosen,
            preprocess=preprocess,
            training=training,
            batch_size=batch_size,
            seed=seed,
            workers=workers,
            first_batch=first_batch,
        )
    )


def images(*args, **options) -> np.ndarray:
    """Return an epoch's images as one array (N, H, W, C)."""
    return np.concatenate([x for x, _ in epoch(*args, **options)]).transpose(0, 2, 3, 1)
