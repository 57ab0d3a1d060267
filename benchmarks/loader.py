"""How quickly are batches of training images made, beside mindspore.dataset's own operators?

    python benchmarks/loader.py [--folder DIR] [--rounds 5] [--quick]

Ours are the batches that `train` makes with densenet121 and the recipe imagenet_ascend, as it is
and with `data.image_backend: opencv`; theirs the chain of operators by which MindCV reads for the
same recipe: random resized crop, flip, colour jitter 0.4, mean and std, batches of 32. The folder
has one folder for each class, or is made: JPEGs of 500 x 375 pixels and about 110 kB, as ImageNet's
are.

Each is run in turn in a process of its own. The best round of each is printed, since what else the
machine does only slows a round down, and MISSED where ours takes more CPU time an image, or makes
fewer images a second, or where its memory grows.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Figures = Mapping[str, float]
BATCH, SIDE = 32, 224
THEIRS = "mindspore.dataset"
WORKERS = (1, 2, 4)
MAX_GROWTH_MB = 20.0
"""Of the peak between two halves of a run: at one moment one batch more, of 19 MB, may be alive."""


def main() -> None:
    parser = argparse.ArgumentParser(description="How quickly are batches made?")
    parser.add_argument("--folder", type=Path, help="one folder for each class")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=60, help="that are timed, of 32 images")
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--workers", type=int, default=1, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.side:
        print(json.dumps(measure(SIDES[asked.side](asked.folder, asked.workers), asked.batches)))
        sys.stdout.flush()
        os._exit(0)  # MindSpore's threads are in the middle of the next batches
    if asked.quick:
        asked.rounds, asked.batches = 1, 12
    with tempfile.TemporaryDirectory() as made:
        folder = asked.folder or make_folder(Path(made), 64 if asked.quick else 256)
        for workers in WORKERS:
            print_rows(workers, run_rounds(folder, workers, asked.rounds, asked.batches))


# ---- what is compared


def read_ours(folder: Path, workers: int, *settings: str) -> Iterator[Any]:
    from archspec.spec.load import load_spec
    from archspec.train.data.datasets import open_data
    from archspec.train.data.inputs import load_epoch, split_by_recipe
    from archspec.train.recipe.recipe import load_recipe

    spec = load_spec("densenet121")
    recipe = load_recipe("imagenet_ascend", [f"data.workers={workers}", *settings])
    source = split_by_recipe(recipe, open_data(folder)).train
    return chain.from_iterable(load_epoch(spec, recipe, source, epoch=n) for n in count())


def read_ours_by_opencv(folder: Path, workers: int) -> Iterator[Any]:
    return read_ours(folder, workers, "data.image_backend=opencv")


def read_theirs(folder: Path, workers: int) -> Iterator[Any]:
    """What MindCV's transforms_factory.py and loader.py put together."""
    folder = folder / "train" if (folder / "train").is_dir() else folder
    import mindspore
    from mindspore.dataset import ImageFolderDataset, transforms, vision

    workers = min(workers, os.cpu_count() or 1)  # it refuses more
    images = ImageFolderDataset(str(folder), num_parallel_workers=workers, shuffle=True)
    change = [
        vision.RandomCropDecodeResize(SIDE, (0.08, 1.0), (0.75, 1.333), vision.Inter.BILINEAR),
        vision.RandomHorizontalFlip(0.5),
        vision.RandomColorAdjust(0.4, 0.4, 0.4),
        vision.Normalize([123.675, 116.28, 103.53], [58.395, 57.12, 57.375]),
        vision.HWC2CHW(),
    ]
    images = images.map(change, "image", num_parallel_workers=workers)
    label = transforms.TypeCast(mindspore.int32)
    images = images.map(label, "label", num_parallel_workers=workers)
    images = images.batch(BATCH, drop_remainder=True)
    epochs = (images.create_tuple_iterator(num_epochs=1, output_numpy=True) for _ in count())
    return chain.from_iterable(epochs)


SIDES: dict[str, Callable[[Path, int], Iterator[Any]]] = {
    THEIRS: read_theirs,
    "as it is": read_ours,
    "opencv": read_ours_by_opencv,
}


# ---- measuring


def measure(batches: Iterator[Any], wanted: int) -> dict[str, float]:
    """Return a process's figures over so many batches, after some that start it."""
    for _ in range(6):
        next(batches)
    began, used = time.perf_counter(), cpu_seconds()
    first_half = 0.0
    for number in range(wanted):
        next(batches)
        if number == wanted // 2:
            first_half = peak_mb()
    images = wanted * BATCH
    return {
        "images_per_second": images / (time.perf_counter() - began),
        "cpu_ms": (cpu_seconds() - used) / images * 1000,
        "peak_mb": peak_mb(),
        "growth_mb": peak_mb() - first_half,
    }


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run_rounds(folder: Path, workers: int, rounds: int, batches: int) -> dict[str, Figures]:
    """Return the best of each side's figures, and the most memory."""
    found: dict[str, list[Figures]] = {side: [] for side in SIDES}
    for _ in range(rounds):
        for side in SIDES:
            words = ["--side", side, "--workers", str(workers), "--batches", str(batches)]
            command = [sys.executable, __file__, *words, "--folder", str(folder)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found[side].append(json.loads(done.stdout.splitlines()[-1]))
    return {side: best_of(figures) for side, figures in found.items()}


def best_of(figures: Sequence[Figures]) -> Figures:
    best = {key: max(one[key] for one in figures) for key in figures[0]}
    return best | {"cpu_ms": min(one["cpu_ms"] for one in figures)}


def print_rows(workers: int, found: Mapping[str, Figures]) -> None:
    print(f"workers {workers}", flush=True)
    theirs = found[THEIRS]
    for side, ours in found.items():
        speed = ours["images_per_second"] / theirs["images_per_second"]
        cpu = theirs["cpu_ms"] / ours["cpu_ms"]
        is_missed = min(speed, cpu) < 1 or (side != THEIRS and ours["growth_mb"] > MAX_GROWTH_MB)
        row = f"  {side:18} {ours['images_per_second']:6.0f} img/s = {speed:.2f} x"
        row += f"   CPU {ours['cpu_ms']:.2f} ms an image = {cpu:.2f} x"
        row += f"   peak {ours['peak_mb']:.0f} MB, {ours['growth_mb']:+.0f} in the second half"
        print(f"{row}{'  MISSED' if is_missed else ''}", flush=True)


# ---- images


def make_folder(root: Path, images: int) -> Path:
    """Fill a folder with JPEGs whose detail falls off with its fineness as that of photographs."""
    rng = np.random.default_rng(0)
    for number in range(images):
        folder = root / f"class{number % 8}"
        folder.mkdir(exist_ok=True)
        make_image(rng, 500, 375).save(folder / f"{number}.jpg", quality=92)
    return root


def make_image(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    strength = np.maximum(frequency, 1 / width) ** -1.15
    noise = rng.standard_normal((2, 3, *strength.shape))
    planes = np.fft.irfft2((noise[0] + 1j * noise[1]) * strength, (height, width))
    grey, blue, red = planes / planes.std(axis=(1, 2), keepdims=True)
    colours = np.stack([grey + 0.35 * red, grey - 0.2 * red - 0.2 * blue, grey + 0.35 * blue], 2)
    return Image.fromarray(np.clip(colours * 50 + 120, 0, 255).astype(np.uint8))


if __name__ == "__main__":
    main()
