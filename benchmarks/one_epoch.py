"""One epoch by the whole command, beside MindCV's train.py.

    python benchmarks/one_epoch.py --photos PHOTOS --mindcv DIR [--rounds 1]

PHOTOS has folders train/ and val/ with a folder for each class. densenet121, 64 px, batch 16, two
loading threads, random crops, flips and colour jitter, SGD with momentum, cosine decay, then the
validation. Ours is `densenet train` with an empty cache folder, so that the certificate is made and
the network compiled, and again with what the first start kept. Theirs is `train.py`, at the same
setting for x86 CPUs. Sides take turns; medians by the clock and of the processor, ratios, and
MISSED where one is above its goal.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
GOAL = 0.6
"""Of the first start's time, to theirs."""
OURS = (
    *("train", "densenet121", "--epochs", "1", "--image-size", "64", "--batch-size", "16"),
    *("--recipe", "imagefolder", "--workers", "2", "--lr", "0.05"),
    *("--set", "recipe.data.augment=random_resized_crop", "--set", "recipe.data.color_jitter=0.4"),
)
THEIRS = (
    *("--device_target", "CPU", "--model", "densenet121", "--dataset", "", "--epoch_size", "1"),
    *("--image_resize", "64", "--batch_size", "16", "--num_parallel_workers", "2", "--loss", "CE"),
    *("--opt", "momentum", "--lr", "0.05", "--weight_decay", "0.0001", "--warmup_epochs", "0"),
    *("--decay_epochs", "1", "--val_while_train", "True", "--dataset_sink_mode", "False"),
)


class Spent(NamedTuple):
    """Seconds of a whole command: by the clock, and of the processor."""

    clock: float
    processor: float


def main() -> None:
    parser = argparse.ArgumentParser(description="One epoch by the whole command, and by MindCV's.")
    parser.add_argument("--photos", type=Path, help="holds train/ and val/")
    parser.add_argument("--mindcv", type=Path, help="a checkout of MindCV")
    parser.add_argument("--rounds", type=int, default=1)
    asked = parser.parse_args()
    if asked.photos is None or asked.mindcv is None:
        print("not measured: it takes --photos, a folder with train/ and val/, and --mindcv")
        return
    spent: dict[str, list[Spent]] = {"first start": [], "second start": [], "train.py": []}
    for _ in range(asked.rounds):
        with tempfile.TemporaryDirectory() as folder:
            for name in ("first start", "second start"):
                spent[name].append(run_ours(asked.photos.resolve(), Path(folder)))
            spent["train.py"].append(
                run_theirs(asked.photos.resolve(), asked.mindcv.resolve(), Path(folder))
            )
    show({name: take_medians(values) for name, values in spent.items()})


def show(spent: Mapping[str, Spent]) -> None:
    theirs = spent["train.py"]
    print(f"{'':14}   s by the clock    s of the processor")
    for name, (clock, processor) in spent.items():
        by_clock, by_processor = clock / theirs.clock, processor / theirs.processor
        verdict = ""
        if name == "first start":
            verdict = f"  goal {GOAL} by the clock: {'held' if by_clock <= GOAL else 'MISSED'}"
        left = f"{name:14} {clock:6.1f} = {by_clock:.2f} x"
        print(f"{left}    {processor:6.1f} = {by_processor:.2f} x{verdict}")


def take_medians(values: Sequence[Spent]) -> Spent:
    clock = median(value.clock for value in values)
    return Spent(clock, median(value.processor for value in values))


def run_ours(photos: Path, folder: Path) -> Spent:
    """Run `densenet train` with a cache folder that is empty the first time."""
    run = folder / "run"
    shutil.rmtree(run, ignore_errors=True)
    words = [*OURS, "--data-dir", str(photos), "--out", str(run)]
    return run_command(
        [sys.executable, "-m", "densenet_cli", *words],
        {"DENSENET_CACHE": str(folder / "cache")},
        ROOT,
    )


def run_theirs(photos: Path, mindcv: Path, folder: Path) -> Spent:
    classes = sum(entry.is_dir() for entry in (photos / "train").iterdir())
    words = [*THEIRS, "--data_dir", str(photos), "--num_classes", str(classes)]
    words += ["--ckpt_save_dir", str(folder / "theirs")]
    # What the commands of this project set by themselves.
    setting = {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    return run_command([sys.executable, str(mindcv / "train.py"), *words], setting, folder)


def run_command(command: Sequence[str], setting: Mapping[str, str], folder: Path) -> Spent:
    """Return what a command and its children spent."""
    began = time.perf_counter()
    child = subprocess.Popen(
        command, cwd=folder, env={**os.environ, **setting}, stdout=subprocess.DEVNULL
    )
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = status
    if status:
        raise SystemExit(f"{' '.join(command[1:4])} ended with {status}")
    return Spent(time.perf_counter() - began, used.ru_utime + used.ru_stime)


if __name__ == "__main__":
    main()
