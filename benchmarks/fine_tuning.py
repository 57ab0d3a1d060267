"""Is a network that has learnt CIFAR-10 worth more on few photographs than a fresh one?

    python benchmarks/fine_tuning.py RUN PHOTOS [--seeds 3] [--epochs 20] [--image-size 64]

RUN is a run on CIFAR-10, such as `benchmarks/cifar_paper.py --out` leaves; PHOTOS holds `train` and
`val`, each with a folder for each class. For each seed the run's network is trained on the
photographs twice: from scratch, and from the run's best weights with `--init-from`. Recipe, number
of epochs, images and their order are the same, and so is the time that training takes; the time
that the run took comes on top. Both read images as the run did. Prints the accuracy over `val` of
the last epoch, which nothing chose, and the seconds of each.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path


def main() -> None:
    arguments = parse_arguments()
    if not (arguments.run.is_dir() and (arguments.photos / "val").is_dir()):
        print("skipped: it needs a run on CIFAR-10, and a folder with train and val")
        return
    rows: dict[str, list[float]] = {"from scratch": [], "fine-tuned": []}
    print("seed  weights       val     seconds")
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(arguments.seeds):
            for name, accuracies in rows.items():
                run = Path(folder) / f"{seed} {name}"
                accuracy, seconds = train(run, seed, name == "fine-tuned", arguments)
                accuracies.append(accuracy)
                print(f"{seed:4}  {name:12}  {accuracy:6.2%}  {seconds:7.0f}", flush=True)
    for name, accuracies in rows.items():
        print(f"mean  {name:12}  {statistics.mean(accuracies):6.2%}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="From scratch against fine-tuned, in equal time.")
    parser.add_argument("run", type=Path, nargs="?", default=Path("runs/cifar/3_layers"))
    parser.add_argument("photos", type=Path, nargs="?", default=Path("photos"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--recipe", default="imagefolder")
    return parser.parse_args()


def train(
    run: Path, seed: int, is_fine_tuned: bool, arguments: argparse.Namespace
) -> tuple[float, float]:
    """Return the accuracy after the last epoch, and the seconds of all epochs."""
    command = ["train", str(arguments.run / "spec.yaml"), "--out", str(run), "--no-certify"]
    command += ["--data-dir", str(arguments.photos), "--recipe", arguments.recipe]
    command += ["--epochs", str(arguments.epochs), "--image-size", str(arguments.image_size)]
    command += ["--seed", str(seed)]
    for key, values in (("mean", "[125.3, 123.0, 113.9]"), ("std", "[63.0, 62.1, 66.7]")):
        command += ["--set", f"recipe.data.{key}={values}"]
    if is_fine_tuned:
        command += ["--init-from", str(arguments.run / "checkpoints/best.ckpt")]
    subprocess.run(
        [sys.executable, "-m", "densenet_cli", *command], check=True, stdout=subprocess.DEVNULL
    )
    lines = (run / "metrics.jsonl").read_text().splitlines()
    epochs = [event for event in map(json.loads, lines) if event["event"] == "epoch"]
    return epochs[-1]["val_top1"], sum(event["seconds"] for event in epochs)


if __name__ == "__main__":
    main()
