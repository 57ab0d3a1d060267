"""Reduced DenseNets-BC on a subset of CIFAR-10 by the paper's recipe, and their curves.

    python benchmarks/cifar_paper.py CIFAR10 [--layers 3 16] [--epochs 20] [--images 1000]
                                     [--seed 0] [--out runs/cifar]

CIFAR10 holds `cifar-10-batches-bin`. The subset is the first images of each training batch and the
first 2,000 test images, laid out as CIFAR-10 itself and read by `densenet train` like the whole.
The recipe is `cifar_paper`, step decay at 50 % and 75 % of however many epochs there are; the best
checkpoint is chosen by a tenth of the training images. 16 layers in each of the three blocks are
the paper's BC-100-12. With --out the runs stay, and the same command goes on with one that was
stopped. Prints a row for each epoch; docs/guide.md keeps those of one run.
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
TEST = 2_000
"""Images taken of the test batch."""


def main() -> None:
    arguments = parse_arguments()
    if not (arguments.data / "cifar-10-batches-bin").is_dir():
        print(f"skipped: there is no CIFAR-10 in {arguments.data}")
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.out or Path(temporary)
        subset(
            arguments.data / "cifar-10-batches-bin",
            folder / "cifar" / "cifar-10-batches-bin",
            arguments.images,
        )
        for layers in arguments.layers:
            run = folder / f"{layers}_layers"
            train(run, folder / "cifar", layers, arguments)
            show(run / "metrics.jsonl", layers)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Reduced DenseNets-BC on a subset of CIFAR-10.")
    parser.add_argument(
        "data", type=Path, nargs="?", default=Path("cifar10"), help="holds cifar-10-batches-bin"
    )
    parser.add_argument("--layers", type=int, nargs="+", default=[6], help="in each block")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--images", type=int, default=1_000, help="of each training batch")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="keep the runs here")
    return parser.parse_args()


def train(run: Path, data: Path, layers: int, arguments: argparse.Namespace) -> None:
    """Train a network to the last epoch, or the rest of a run that was stopped."""
    blocks = f"block_config=[{layers}, {layers}, {layers}]"
    given = ["--data-dir", str(data), "--recipe", "cifar_paper", "--set", blocks]
    length = ["--epochs", str(arguments.epochs), "--seed", str(arguments.seed)]
    command = ["train", "densenetbc100_k12", *given, *length, "--out", str(run)]
    if run.exists():
        command = ["train", "--resume", str(run)]
    print("densenet", *command, flush=True)
    subprocess.run([sys.executable, "-m", "densenet_cli", *command], check=True)


def subset(whole: Path, part: Path, images: int) -> None:
    """Lay out the first images of each file as the official files are."""
    part.mkdir(parents=True, exist_ok=True)
    shutil.copy(whole / "batches.meta.txt", part)
    for name, count in [
        *((f"data_batch_{n}.bin", images) for n in range(1, 6)),
        ("test_batch.bin", TEST),
    ]:
        with (whole / name).open("rb") as file:
            (part / name).write_bytes(file.read(count * RECORD))


def show(metrics: Path, layers: int) -> None:
    """Print the curve and the accuracy on the test images."""
    events = [json.loads(line) for line in metrics.read_text().splitlines()]
    print(f"{layers} layers in each block\nepoch  loss    train   val     seconds")
    for event in (event for event in events if event["event"] == "epoch"):
        print(
            f"{event['epoch']:5}  {event['loss']:.3f}  {event['accuracy']:6.2%}  "
            f"{event['val_top1']:6.2%}  {event['seconds']:7.0f}"
        )
    print(f"test: {events[-1]['top1']:.2%} of {events[-1]['images']:,} images\n", flush=True)


if __name__ == "__main__":
    main()
