"""A reduced DenseNet-BC on a fixed subset of CIFAR-10 by the paper's recipe, and its curve.

    python benchmarks/cifar_paper.py CIFAR10 [--epochs 20] [--layers 6] [--seed 0]

CIFAR10 holds `cifar-10-batches-bin`. The subset is the first 1,000 images of each training batch
and the first 2,000 test images, laid out as CIFAR-10 itself and read by `densenet train` like the
whole. The recipe is `cifar_paper`, step decay at 50 % and 75 % of however many epochs there are;
the best checkpoint is chosen by a tenth of the training images. Prints a row for each epoch;
docs/guide.md keeps those of one run.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

RECORD = 1 + 3 * 32 * 32
"""Bytes of a label and an image."""
TRAIN, TEST = 1_000, 2_000
"""Images taken of each training batch, and of the test batch."""


def main() -> None:
    parser = argparse.ArgumentParser(description="A reduced DenseNet-BC on a subset of CIFAR-10.")
    parser.add_argument(
        "data", type=Path, nargs="?", default=Path("cifar10"), help="holds cifar-10-batches-bin"
    )
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--layers", type=int, default=6, help="in each of the three blocks")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if not (arguments.data / "cifar-10-batches-bin").is_dir():
        print(f"skipped: there is no CIFAR-10 in {arguments.data}")
        return
    with tempfile.TemporaryDirectory() as folder:
        subset(arguments.data / "cifar-10-batches-bin", Path(folder) / "cifar-10-batches-bin")
        command = train_command(folder, arguments)
        print("densenet", *command)
        subprocess.run(
            [sys.executable, "-m", "densenet_cli", *command, "--out", f"{folder}/run"], check=True
        )
        show(Path(folder) / "run" / "metrics.jsonl")


def train_command(folder: str, arguments: argparse.Namespace) -> list[str]:
    blocks = f"block_config=[{', '.join([str(arguments.layers)] * 3)}]"
    given = ["--set", blocks, "--data-dir", folder, "--recipe", "cifar_paper"]
    return [
        "train",
        "densenetbc100_k12",
        *given,
        "--epochs",
        str(arguments.epochs),
        "--seed",
        str(arguments.seed),
    ]


def subset(whole: Path, part: Path) -> None:
    """Lay out the first images of each file as the official files are."""
    part.mkdir(parents=True)
    shutil.copy(whole / "batches.meta.txt", part)
    for name, count in [
        *((f"data_batch_{n}.bin", TRAIN) for n in range(1, 6)),
        ("test_batch.bin", TEST),
    ]:
        with (whole / name).open("rb") as file:
            (part / name).write_bytes(file.read(count * RECORD))


def show(metrics: Path) -> None:
    """Print the curve and the accuracy on the test images."""
    events = [json.loads(line) for line in metrics.read_text().splitlines()]
    print("epoch  loss    train   val")
    for event in (event for event in events if event["event"] == "epoch"):
        print(
            f"{event['epoch']:5}  {event['loss']:.3f}  {event['accuracy']:6.2%}  "
            f"{event['val_top1']:6.2%}"
        )
    print(f"test: {events[-1]['top1']:.2%} of {events[-1]['images']:,} images")


if __name__ == "__main__":
    main()
